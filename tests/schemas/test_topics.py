"""The registry page tested against itself and against the models."""

from __future__ import annotations

import pytest
from pydantic import ValidationError

from schemas.base import Message
from schemas.consistency import problems
from schemas.reference import ENTITIES
from schemas.registry import MODELS, carried, topic_of
from schemas.topics import Topic, parse, registry, topics_file


def test_every_topic_with_a_site_id_is_partitioned_by_site() -> None:
    for type_, model in MODELS.items():
        topic = registry()[topic_of(type_)]
        if topic.name.startswith("reference."):
            assert topic.partitions == 1, topic.name
        elif "site_id" in model.model_fields:
            assert topic.by_site, f"{topic.name} carries {type_}, which has a site_id"


def test_every_message_type_is_carried_by_exactly_one_topic_that_is_not_the_same_as_another() -> None:
    topics = [topic for topic in registry().values() if topic.same_as is None]
    named = [(topic.name, type_) for topic in topics for type_ in topic.messages]
    assert sorted(named) == sorted(carried())


def test_a_topic_that_is_the_same_as_another_carries_what_that_one_does() -> None:
    assert registry()["duress.alerts"].messages == registry()["alerts"].messages != ()
    page = dict(registry())
    page["duress.alerts"] = page["duress.alerts"].model_copy(update={"messages": ("duress",)})
    assert "duress.alerts carries more than alerts, which it is said to be the same as" in problems(page)


def test_every_type_that_a_topic_names_has_a_model() -> None:
    assert {name for topic in registry().values() for name in topic.messages} == set(MODELS)


def test_every_key_is_a_field_of_every_message_of_its_topic() -> None:
    for type_, model in MODELS.items():
        key = registry()[topic_of(type_)].key
        assert key in model.model_fields, f"{topic_of(type_)} is keyed by {key}, which {type_} lacks"


def test_every_entity_has_its_own_compacted_topic_of_one_partition() -> None:
    for entity in ENTITIES:
        topic = registry()[entity.topic]
        assert (topic.partitions, topic.cleanup, topic.key) == (1, "compact", entity.id_field)


def test_a_dead_letter_topic_has_the_partitions_of_its_source() -> None:
    sources = [topic for topic in registry().values() if topic.dead]
    assert sources
    for topic in sources:
        dead = registry()[f"{topic.name}.dead"]
        assert (dead.partitions, dead.max_bytes) == (topic.partitions, topic.max_bytes)
        assert dead.retention_ms == 30 * 86_400_000


def test_all_inputs_and_outputs_of_a_processor_share_the_partitions_of_its_journal() -> None:
    for processor in ("site", "alerts"):
        journal = registry()[f"doorstream.{processor}.journal"]
        touched = [t for t in registry().values() if processor in (*t.readers, *t.writers)]
        assert len(touched) > 3
        assert {t.partitions for t in touched} == {journal.partitions}


def test_what_concerns_duress_is_read_by_monitoring_and_no_other_people() -> None:
    topics = [topic for topic in registry().values() if topic.name.startswith("duress.")]
    assert len(topics) > 4
    for topic in topics:
        assert not {"operators", "subscribers", "systems"} & {*topic.readers, *topic.writers}, topic.name


def test_names_have_dots_and_no_underscores() -> None:
    assert [name for name in registry() if "_" in name] == []


def test_who_may_hold_a_secret_is_marked() -> None:
    for type_, model in MODELS.items():
        if "factors" in model.model_fields and type_.startswith(("access_requested", "access_recorded")):
            assert registry()[topic_of(type_)].secret


def test_an_unknown_field_on_the_page_is_refused() -> None:
    with pytest.raises(ValidationError, match="retenton"):
        parse("a.b: {meaning: x, messages: [], key: null, partitions: 1, cleanup: delete, retenton: 1d}")


def test_retention_is_read_in_milliseconds() -> None:
    fields = {"meaning": "", "messages": (), "key": None, "partitions": 1, "cleanup": "delete"}
    more = {"writers": (), "readers": ()}
    assert Topic(name="a", retention="36h", **fields, **more).retention_ms == 129_600_000
    assert Topic(name="a", retention="forever", **fields, **more).retention_ms == -1


def test_the_page_names_each_topic_once() -> None:
    heads = [line[:-1] for line in topics_file().read_text().splitlines() if line.endswith(":") and line[0].isalpha()]
    assert len(heads) == len(set(heads))


def test_every_model_says_what_it_is() -> None:
    for model in MODELS.values():
        assert issubclass(model, Message)
        assert (model.__doc__ or "").strip()
