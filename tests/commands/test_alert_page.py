"""What a guard reads of an alert."""

from __future__ import annotations

import json
from datetime import UTC, datetime
from typing import Any

import pytest

from streams.commands.alerts import page, row_of
from streams.commands.rendering import line_of
from streams.commands.terminal import coloured
from tests.core.desk import Desk


def told(desk: Desk, topic: str = "alerts") -> list[dict[str, Any]]:
    """The messages of a topic as they are on it."""
    return [json.loads(record.value or b"null") for record in desk.records(topic)]


def test_an_alerts_page_says_where_who_what_led_to_it_what_to_do_and_what_happened() -> None:
    with Desk() as desk:
        desk.door(
            "door_forced_open", last_decision_id="d-1", last_cardholder_id="ann", last_passed_at="2026-03-02T08:00:00Z"
        )
        desk.ask("alert_acknowledged", desk.last().alert_id, reason="on my way")
        found = told(desk)
    lines = page(found[-1], found)
    text = "\n".join(lines)
    assert lines[0] == found[0]["alert_id"]
    for part in ("high: front was forced open", "acknowledged; the cause is still there", "hq, door front, device c1"):
        assert part in text
    assert "Send a guard" in text
    assert "ann passed front" in text
    assert [line.split()[1] for line in lines[lines.index("happened") + 1 :]] == ["alert_raised", "alert_acknowledged"]
    assert '"on my way"' in lines[-1]
    assert "None" not in text


def test_a_page_shows_no_control_characters() -> None:
    with Desk() as desk:
        desk.device("fault", code="lock", detail="\x1b[2Jgone\nand more")
        found = told(desk)
    assert all(line.isprintable() for line in page(found[-1], found))


def test_a_line_says_who_is_told_and_by_what() -> None:
    with Desk() as desk:
        desk.door("door_forced_open")
        (raised,) = told(desk)
    line = line_of("alerts", raised)
    assert "was forced open -> sms: control-room, on-call" in line, "that it is raised says how it stands"
    assert "is shelved ->" in line_of("alerts", raised | {"state": "shelved"})


def test_the_list_has_a_row_of_columns_for_each_alert() -> None:
    with Desk() as desk:
        desk.door("door_forced_open")
        (raised,) = told(desk)
    row = row_of(raised | {"state": "returned_to_normal_unacknowledged", "count": 3}, datetime.now(UTC))
    _age, id_, severity, rest = row.split(maxsplit=3)
    assert (id_, severity) == (raised["alert_id"][:8], "high")
    assert rest.startswith("returned to normal unacknowledged ")
    assert rest.endswith("was forced open (x3)")


def test_colour_is_for_terminals_only(monkeypatch: pytest.MonkeyPatch) -> None:
    alert = {"alert_id": "a", "severity": "critical", "state": "unacknowledged"}
    monkeypatch.delenv("NO_COLOR", raising=False)
    monkeypatch.setattr("sys.stdout.isatty", lambda: False, raising=False)
    assert coloured("line", alert) == "line"
    monkeypatch.setattr("sys.stdout.isatty", lambda: True, raising=False)
    assert coloured("line", alert) != "line"
    assert coloured("line", {"type": "access_granted"}) == "line"
    assert coloured("line", alert) != coloured("line", alert | {"state": "closed"})
