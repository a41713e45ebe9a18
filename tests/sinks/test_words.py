"""The words that SQL repeats by hand are those of the messages: none that no message has, and no list lacks one."""

from __future__ import annotations

import json
import re
from collections import defaultdict
from collections.abc import Iterator
from pathlib import Path
from typing import Any, get_args

import pytest

from schemas.devices import CommandFailed
from schemas.event_classes import ALERT_CLASSES
from schemas.reference import ENTITIES
from schemas.registry import decode
from schemas.vocabulary import Severity
from sinks import alert_queries, migrate
from sinks.commands import state_of
from sinks.postgres_rows.commands import RANKS
from tests.sinks.records import example

SNAPSHOTS = Path(__file__).parents[2] / "schemas" / "snapshots"
QUERIES = Path(alert_queries.__file__).parent
_COMPARED = re.compile(r"(\w+)\s*(?:=|<>|!=|\b(?:not )?in)\s*('\w+'|\('\w+'(?:,\s*'\w+')*\))")
_WORD = re.compile(r"'(\w+)'")
_AS = {"next_event": "event", "first_severity": "severity", "last_event": "type"}
"""Columns of views that have the words of another."""


def _words_of(schema: Any, definitions: dict[str, Any]) -> Iterator[str]:
    if "$ref" in schema:
        yield from _words_of(definitions[schema["$ref"].rpartition("/")[2]], definitions)
    yield from (one for one in (*schema.get("enum", ()), schema.get("const")) if isinstance(one, str))
    for inner in (*schema.get("anyOf", ()), *([schema["items"]] if isinstance(schema.get("items"), dict) else ())):
        yield from _words_of(inner, definitions)


def _known() -> dict[str, set[str]]:
    """The words of each field of any message, and of each column that is made of a message's type."""
    found: dict[str, set[str]] = defaultdict(set)
    for path in SNAPSHOTS.rglob("*.json"):
        whole = json.loads(path.read_text(encoding="utf-8"))
        definitions = whole.get("$defs", {})
        for schema in (whole, *definitions.values()):
            for name, field in schema.get("properties", {}).items():
                found[name].update(_words_of(field, definitions))
    for type_ in found["type"]:
        found["outcome"] |= {type_.removeprefix("access_"), type_.rpartition("_")[2]}
        found["answer"].add(type_.removeprefix("operator_request_"))
    found["kind"] |= ALERT_CLASSES.keys()
    found["entity"] = {entity.name for entity in ENTITIES}
    found["state"] |= {*RANKS, "in_force", "releasing", "released"}
    return found


KNOWN = _known()
FILES = [*(QUERIES / "migrations").rglob("*.sql"), *QUERIES.glob("*.py")]


@pytest.mark.parametrize("path", sorted(FILES), ids=lambda path: f"{path.parent.name}-{path.stem}")
def test_what_a_column_is_held_against_are_words_that_it_can_have(path: Path) -> None:
    for column, text in _COMPARED.findall(path.read_text(encoding="utf-8")):
        words = set(_WORD.findall(text))
        assert words <= KNOWN[_AS.get(column, column)], f"{column} is never one of {words}"


def _text(store: str, number: str) -> str:
    (one,) = [file.text for file in migrate.files(store) if file.name.startswith(number)]
    return one


def _cut(text: str, begin: str, end: str) -> set[str]:
    return set(_WORD.findall(text.partition(begin)[2].partition(end)[0]))


def test_the_states_of_commands_are_the_same_in_the_answers_both_stores_and_the_view() -> None:
    reasons = get_args(CommandFailed.model_fields["reason"].annotation)
    confirmed, delivered, failed = (
        decode("command.results", example(f"command_{how}")) for how in ("confirmed", "delivered", "failed")
    )
    answers = [confirmed, delivered, *(failed.model_copy(update={"reason": reason}) for reason in reasons)]
    assert {"sent", *(state_of(one)[0] for one in answers)} == set(RANKS)
    assert _cut(_text("postgres", "0001"), "check (state in (", "))") == set(RANKS)
    assert _cut(_text("clickhouse", "0002"), "multiIf(\n        countIf(e.state", ") as state") == set(RANKS)


def test_a_command_is_open_until_it_has_its_last_answer() -> None:
    still = {state for state, rank in RANKS.items() if rank < RANKS["expired"]}
    assert _cut(_text("postgres", "0002"), "create view open_commands as", ";") - {"access_door"} == still


def test_severities_are_listed_worst_first() -> None:
    assert _WORD.findall(alert_queries._RANK) == [one.value for one in reversed(Severity)]
