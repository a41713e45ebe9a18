"""What an operator reads: one line a message, and never a secret."""

from __future__ import annotations

import json
import time
from datetime import UTC, datetime
from pathlib import Path

import pytest
from aiokafka import ConsumerRecord

from schemas.registry import MODELS
from schemas.topics import registry
from streams.commands.live import Frame, View, plain, sparkline
from streams.commands.reading import since_ms
from streams.commands.rendering import line_of, without_secrets
from streams.commands.running import CommandError, print_json
from streams.commands.tail import fields_of, fits, types_of
from streams.commands.terminal import age

EXAMPLES = Path(__file__).parents[1] / "examples"


@pytest.mark.parametrize("path", sorted(EXAMPLES.rglob("*.json")), ids=lambda path: path.stem)
def test_every_message_becomes_one_line(path: Path) -> None:
    line = line_of(path.parts[-3], without_secrets(json.loads(path.read_text(encoding="utf-8"))))
    assert "\n" not in line
    assert path.stem in line
    assert "None" not in line.replace("None known", "")
    assert len(MODELS) > 40


def test_a_denial_says_who_where_and_why() -> None:
    path = EXAMPLES / "access.decisions" / "v1" / "access_denied.json"
    line = line_of("access.decisions", json.loads(path.read_text(encoding="utf-8")))
    assert "p0017" in line
    assert "hq-d01-in out_of_time_range (also passback)" in line


@pytest.mark.parametrize(
    ("type_", "says"),
    [
        ("lockout_started", "credential c10000017 of p0017 at hq until "),
        ("lockout_started", "3 failures in 300 s, the last at hq-d01-in: incorrect_authentication_factor"),
        ("lockout_ended", "credential c10000017 of p0017 at hq (operator by op-7: holder identified at the desk)"),
        ("lockout_impending", "access-point hq-d01-in at hq: 10 failures with 6 numbers in 60 s"),
    ],
)
def test_a_lockout_says_whom_it_is_of_and_why(type_: str, says: str) -> None:
    path = EXAMPLES / "lockouts" / "v1" / f"{type_}.json"
    assert says in line_of("lockouts", json.loads(path.read_text(encoding="utf-8")))


@pytest.mark.parametrize(
    ("topic", "type_", "says"),
    [
        (
            "incidents",
            "lockdown_escalated",
            "hall 1/4 confirmed, 0 shut, 0 inside (55abb3e0-2c90-826d-9402-bdfe4dadfa8e)",
        ),
        ("door.modes", "door_mode_desired", "floor        locked_down for lockdown be269cdd"),
    ],
)
def test_a_lockdown_says_how_far_it_is_and_a_door_what_it_is_to_be_and_why(topic: str, type_: str, says: str) -> None:
    path = EXAMPLES / topic / "v1" / f"{type_}.json"
    assert says in line_of(topic, json.loads(path.read_text(encoding="utf-8")))


@pytest.mark.parametrize(
    ("type_", "says"),
    [
        (
            "device_exception",
            "hq-c01       fault/lock_jammed lock 1 does not move (permanent): assigned by op-7, for fitter-2",
        ),
        ("permission_updated", "p0017        permission of-p0017 is expired, noticed at hq-d01-in: denied"),
    ],
)
def test_an_exception_says_what_it_is_and_what_became_of_it(type_: str, says: str) -> None:
    path = EXAMPLES / "exceptions" / "v1" / f"{type_}.json"
    assert says in line_of("exceptions", json.loads(path.read_text(encoding="utf-8")))


def test_a_notification_says_who_was_told_by_what_and_why_not() -> None:
    path = EXAMPLES / "notifications" / "v1" / "notification_failed.json"
    line = line_of("notifications", json.loads(path.read_text(encoding="utf-8")))
    assert "9b2e7c11 step 2 -> guard-wang (on-call) by sms +86 *** 0199 at attempt 4: answered 503" in line


def test_addresses_are_starred() -> None:
    path = EXAMPLES / "reference.recipient" / "v1" / "recipient.json"
    assert "example.org" not in json.dumps(without_secrets(json.loads(path.read_text(encoding="utf-8"))))


def _record(value: bytes | None) -> ConsumerRecord[bytes, bytes]:
    return ConsumerRecord("access.requests", 0, 1, 0, 0, b"hq", value, None, 2, 2, ())


def test_secrets_are_starred() -> None:
    factors = [{"kind": "pin", "pin": "8302"}, {"kind": "face", "template": [0.1, 0.2]}, {"kind": "pin", "sealed": "x"}]
    fields = fields_of(_record(json.dumps({"type": "access_requested", "factors": factors}).encode()))
    assert [list(factor.values())[1] for factor in fields["factors"]] == ["***", "***", "***"]
    assert "8302" not in json.dumps(fields)


@pytest.mark.parametrize(
    ("value", "type_"),
    [(None, "tombstone"), (b"\xff", "undecodable"), (b"[" * 10**6, "undecodable"), (b"3", "undecodable")],
)
def test_what_is_no_message_is_shown_as_such(value: bytes | None, type_: str) -> None:
    assert fields_of(_record(value))["type"] == type_


def test_a_door_matches_itself_and_its_access_points_only() -> None:
    assert fits({"door_id": "hq-d1"}, {}, "hq-d1")
    assert fits({"access_point_id": "hq-d1-in"}, {}, "hq-d1")
    assert not fits({"access_point_id": "hq-d10-in"}, {}, "hq-d1")
    assert not fits({"door_id": "hq-d1", "site_id": "x"}, {"site_id": "hq"}, "hq-d1")


def test_a_span_is_counted_back_from_now() -> None:
    assert abs(since_ms("2h") - (time.time() - 7200) * 1000) < 2000
    assert since_ms("2026-03-02T08:00:00+08:00") == 1772409600000
    with pytest.raises(CommandError, match="10m, 2h, 1d"):
        since_ms("yesterday")


def test_a_frame_is_drawn_and_printed(capsys: pytest.CaptureFixture[str]) -> None:
    frame = Frame(
        elapsed_s=3, seconds=60, requests=1200, granted=1000, denied=200, commands=1000, confirmed=990, waiting=3,
        rate=400, p50_ms=8, p99_ms=30, doors={"d1": "open", "d2": "shut"}, last=["a decision"],
    )  # fmt: skip
    assert "requests 1,200" in plain(frame)
    view = View("demo")
    with view:
        view.show(frame)
    assert "400/s" in capsys.readouterr().err
    assert view.draw(frame).renderables


def test_a_sparkline_is_scaled_to_its_largest_value() -> None:
    assert sparkline([0, 50, 100]) == "▁▄█"
    assert sparkline([]) == ""


@pytest.mark.parametrize(
    "fields",
    [
        {"type": "access_requested", "factors": 5},
        {"type": "access_requested", "factors": [7]},
        {"type": "access_granted", "soft_breaches": None},
        {"type": "access_denied", "failed_checks": 3},
        {"type": "access_door", "request": "x"},
        {"type": "access_door", "request": {"boot": 1}},
        {"type": ["a"], "decided_at": {}},
    ],
)
def test_a_message_of_any_shape_is_a_line(fields: dict[str, object]) -> None:
    assert "\n" not in line_of("access.requests", fields)


def test_no_message_speaks_to_the_terminal() -> None:
    line = line_of("access.requests", {"type": "access_requested", "access_point_id": "\x1b[2J\r\n\x9b", "factors": []})
    assert line.isprintable()


def test_json_with_half_a_character_is_printed_and_read_again(capsys: pytest.CaptureFixture[str]) -> None:
    print_json({"name": "\ud800", "other": "é"})
    assert json.loads(capsys.readouterr().out) == {"name": "\ud800", "other": "é"}
    print_json({"name": "é"})
    assert capsys.readouterr().out == '{"name": "é"}\n'


@pytest.mark.parametrize(
    ("since", "shown"),
    [
        ("2026-03-02T11:59:53Z", "7s"),
        ("2026-03-02T12:00:01Z", "0s"),
        ("2026-03-02T11:58:01Z", "1m"),
        ("2026-03-02T07:00:00Z", "5h"),
        ("2026-02-27T12:00:00Z", "3d"),
        ("2026-03-02T12:00:00", "?"),
        (None, "?"),
    ],
)
def test_an_age_is_told_in_the_largest_unit_that_fits(since: str | None, shown: str) -> None:
    assert age(since, datetime(2026, 3, 2, 12, tzinfo=UTC)) == shown


@pytest.mark.parametrize("topic", sorted(registry()))
def test_every_type_of_a_topic_may_be_tailed(topic: str) -> None:
    known = types_of([topic])
    messages = set(registry()[topic].messages)
    assert messages <= known
    assert bool(known) is bool(messages), "anything may come where nothing is named"


def test_a_device_s_events_may_be_tailed_and_those_of_a_dead_letter_of_any_name() -> None:
    assert {"door_alarm", "door_held_open", "tombstone", "undecodable"} <= types_of(["door.alarms"])
    assert types_of(["door.alarms", "door.alarms.dead"]) == frozenset()
