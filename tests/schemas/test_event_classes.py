"""Every event has exactly one class, and the page for subscribers says which."""

from __future__ import annotations

import json
import re
from pathlib import Path
from typing import Any

import pytest

from schemas.alerting import KINDS
from schemas.event_classes import ALERT_CLASSES, EVENT_TYPES, SUBSCRIBED_TYPES, class_of
from schemas.topics import registry
from schemas.vocabulary import Classification
from streams.core.subscription_state import TOPICS
from streams.core.subscriptions import INPUTS

PAGE = Path(__file__).parents[2] / "docs" / "subscriptions.md"
EXAMPLES = Path(__file__).parents[1] / "examples"

NO_EVENTS = {
    "operator.requests",
    "device.commands",
    "device.snapshots",
    "door.modes",
    "notifications",
    "deliveries",
    "duress.requests",
    "duress.answers",
    "duress.notifications",
}
"""What is asked, ordered, described or accounted for."""


def _events(name: str) -> bool:
    return name not in NO_EVENTS and not name.startswith(("reference.", "doorstream."))


@pytest.mark.branch("M2.01")
def test_every_type_of_every_topic_of_events_has_a_class_and_no_other_has() -> None:
    carried = {type_ for topic in registry().values() if _events(topic.name) for type_ in topic.messages}
    assert carried == set(EVENT_TYPES)
    assert len(EVENT_TYPES) == len(set(EVENT_TYPES))


@pytest.mark.branch("M2.01")
@pytest.mark.parametrize("type_", EVENT_TYPES)
def test_every_example_of_an_event_has_one_class_with_and_without_its_fields(type_: str) -> None:
    paths = [path for path in EXAMPLES.rglob(f"{type_}.json") if _events(path.parts[-3])]
    assert paths
    for path in paths:
        assert class_of(json.loads(path.read_text(encoding="utf-8"))) in set(Classification)
    assert class_of({"type": type_}) in set(Classification)


@pytest.mark.parametrize(
    ("fields", "expected"),
    [
        ({"type": "access_granted", "classification": "normal"}, "normal"),
        ({"type": "access_granted", "classification": "abnormal"}, "abnormal"),
        ({"type": "access_denied", "classification": "normal"}, "abnormal"),
        ({"type": "access_denied", "classification": "security"}, "security"),
        ({"type": "access_recorded", "outcome": "denied"}, "abnormal"),
        ({"type": "door_alarm", "event": "door_held_open"}, "abnormal"),
        ({"type": "door_alarm", "event": "door_closed", "ended": ["door_forced_open"]}, "security"),
        ({"type": "device_state", "event": "tamper"}, "security"),
        ({"type": "device_state", "event": "battery_low"}, "device"),
        ({"type": "operator_request_refused", "code": "no_right"}, "security"),
        ({"type": "operator_request_refused", "code": "unknown_door"}, "abnormal"),
        ({"type": "alert_raised", "kind": "fault"}, "device"),
        ({"type": "alert_raised", "kind": "soft_breach"}, "abnormal"),
        ({"type": "alert_closed", "kind": "somebody's own"}, "security"),
    ],
)
def test_what_happened_tells_the_class(fields: dict[str, Any], expected: str) -> None:
    assert class_of(fields) == expected


def test_commands_requests_and_reference_records_are_no_events() -> None:
    assert {class_of({"type": type_}) for type_ in ("access_door", "door_unlock_requested", "site", "?")} == {None}


def test_every_kind_of_alert_that_is_raised_here_is_classed() -> None:
    assert {kind.kind for kind in KINDS} <= set(ALERT_CLASSES)


def test_duress_can_be_subscribed_to_by_nobody() -> None:
    assert "duress" not in SUBSCRIBED_TYPES
    assert [topic for topic in INPUTS if topic.startswith("duress.")] == []
    carried = {type_ for topic in TOPICS for type_ in registry()[topic].messages}
    assert carried == set(SUBSCRIBED_TYPES)


@pytest.mark.branch("M2.01")
def test_the_page_says_what_each_type_can_be() -> None:
    rows = re.findall(r"^\| `(\w+)`[^|]*\|(.*)\|$", PAGE.read_text(encoding="utf-8"), re.MULTILINE)
    told = {type_: set(re.findall(r"normal|abnormal|security|device", text)) for type_, text in rows}
    for type_ in SUBSCRIBED_TYPES:
        name = "alert_raised" if type_.startswith("alert_") else type_
        assert class_of({"type": type_}) in told[name], type_
