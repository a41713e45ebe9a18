"""The registry page held against itself and the models: what `doorstream topics check` says."""

from __future__ import annotations

from collections.abc import Mapping

from schemas.reference import ENTITIES
from schemas.registry import ASKED, MODELS, model_of
from schemas.topics import Topic


def problems(topics: Mapping[str, Topic]) -> list[str]:
    """One line for each thing that is wrong; nothing when the page is sound."""
    return [
        *_message_problems(topics),
        *_partition_problems(topics),
        *_entity_problems(topics),
        *_name_problems(topics),
    ]


def _message_problems(topics: Mapping[str, Topic]) -> list[str]:
    found = []
    models = [*MODELS.items(), *ASKED.items()]
    for type_, model in models:
        bearers = [
            topic for topic in topics.values() if type_ in topic.messages and model_of(topic.name, type_) is model
        ]
        carriers = [topic for topic in bearers if topic.same_as is None]
        if len(carriers) != 1:
            names = ", ".join(topic.name for topic in carriers) or "no topic"
            found.append(f"{type_} is carried by {names}: name it in the `messages` of exactly one topic")
        found += [
            f"{topic.name} is keyed by {topic.key}, which {type_} lacks: give it that field or another key"
            for topic in bearers
            if topic.key not in model.model_fields
        ]
    for topic in topics.values():
        if topic.same_as is not None and not set(topic.messages) <= set(_messages(topics, topic.same_as)):
            found.append(f"{topic.name} carries more than {topic.same_as}, which it is said to be the same as")
        found += [
            f"{topic.name} names {type_}, which has no model in schemas/"
            for type_ in topic.messages
            if type_ not in MODELS
        ]
    return found


def _messages(topics: Mapping[str, Topic], name: str) -> tuple[str, ...]:
    return topics[name].messages if name in topics else ()


def _partition_problems(topics: Mapping[str, Topic]) -> list[str]:
    found = []
    for topic in topics.values():
        carries_site = any("site_id" in MODELS[m].model_fields for m in topic.messages if m in MODELS)
        everywhere = topic.name.startswith("reference.") or topic.name.endswith(".global")
        if carries_site and not topic.by_site and not everywhere:
            found.append(f"{topic.name} carries a site_id but is not partitioned by site: set `partitions: site`")
        if topic.name.startswith("doorstream.") and topic.name.endswith((".journal", ".state")) and not topic.by_site:
            found.append(f"{topic.name} must be co-partitioned with what it orders: set `partitions: site`")
    return found


def _entity_problems(topics: Mapping[str, Topic]) -> list[str]:
    found = []
    for entity in ENTITIES:
        topic = topics.get(entity.topic)
        if topic is None:
            found.append(f"{entity.topic} is missing: every reference entity has a topic")
        elif (topic.partitions, topic.cleanup, topic.key) != (1, "compact", entity.id_field):
            found.append(f"{entity.topic} must have 1 partition, be compacted and keyed by {entity.id_field}")
    return found


def _name_problems(topics: Mapping[str, Topic]) -> list[str]:
    return [f"{name}: topic names have dots, not underscores" for name in topics if "_" in name]
