"""The stories of a demo: which alert and which messages belong to one, when it is over, and that no duress leaks."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from typing import Any

import pytest

from schemas.rules import Policy
from streams.commands.hurry import hurried
from streams.commands.simulate import CAMPUS
from streams.commands.stories import Stories
from streams.commands.story_lines import lines_of
from streams.loading.campus import Campus, read_campus
from streams.simulator.scene import Cause, Plan, Story

NINE = datetime(2026, 3, 2, 9, 0, tzinfo=UTC)
CONTROL_ROOM, HEAD = "+86 10 5550 0101", "+86 10 5550 0120"
MONITORING = "+86 10 5550 0130"


@pytest.fixture(scope="module")
def campus() -> Campus:
    return read_campus(CAMPUS)


def at(seconds: float) -> str:
    return (NINE + timedelta(seconds=seconds)).isoformat()


def alert(kind: str, type_: str = "raised", seconds: float = 1.0, **more: Any) -> dict[str, Any]:
    usual = {"severity": "high", "summary": f"{kind} somewhere", "result": "", "operator_id": None}
    named = {"type": f"alert_{type_}", "alert_id": f"{kind}-1", "site_id": "hq", "kind": kind, "cause_id": f"of {kind}"}
    return {**usual, **named, "raised_at": at(1.0), "updated_at": at(seconds), **more}


def caught(channel: str, to: str, text: str, seconds: float = 2.0) -> dict[str, Any]:
    return {"at": at(seconds), "channel": channel, "taken": True, "body": {"to": to, "message": text}}


def begun(campus: Campus, story: Story, kind: str, **place: str) -> Stories:
    stories = Stories(campus)
    stories.on_story(Plan(story, "hq"))
    stories.on_story(Cause(story, "hq", NINE, "it happens", kind, place))
    return stories


def forced(campus: Campus) -> Stories:
    stories = begun(campus, Story.FORCED_DOOR, "door_forced_open", door_id="hq-d22")
    stories.on_alert(alert("door_forced_open", door_id="hq-d22"), monitoring=False)
    return stories


def test_a_story_is_over_when_its_alert_was_told_raised_acknowledged_and_closed(campus: Campus) -> None:
    stories, found = forced(campus), alert("door_forced_open", door_id="hq-d22")
    told = stories.told["hq", Story.FORCED_DOOR]
    assert told.lacks == ["told", "acknowledged", "closed", "escalated"]
    stories.on_caught(caught("sms", CONTROL_ROOM, f"Ack: {found['alert_id']}"))
    stories.on_alert(
        found | {"type": "alert_escalated", "updated_at": at(11), "severity": "critical"}, monitoring=False
    )
    stories.on_caught(caught("phone", HEAD, f"Alert. {found['summary']}.", 12))
    stories.on_alert(
        found | {"type": "alert_acknowledged", "updated_at": at(13), "operator_id": "op-1"}, monitoring=False
    )
    assert stories.waiting
    closed = {"type": "alert_closed", "updated_at": at(14), "operator_id": "op-1", "result": "repaired"}
    stories.on_alert(found | closed, monitoring=False)
    assert (told.lacks, stories.waiting) == ([], False)
    steps = [line.split(maxsplit=2)[2] for line in lines_of([told])[2:]]
    assert [step.split()[0] for step in steps] == [
        "caused", "raised", "told", "escalated", "told", "acknowledged", "closed",
    ]  # fmt: skip
    assert steps[4].endswith("Chen Jing by phone")


def test_a_message_counts_that_arrives_before_its_alert_has_been_read(campus: Campus) -> None:
    stories = begun(campus, Story.FORCED_DOOR, "door_forced_open", door_id="hq-d22")
    stories.on_caught(caught("sms", CONTROL_ROOM, "Ack: door_forced_open-1"))
    stories.on_alert(alert("door_forced_open", door_id="hq-d22"), monitoring=False)
    told = stories.told["hq", Story.FORCED_DOOR]
    assert [step.text for step in told.steps if step.kind == "told"] == ["Control room by sms"]


def test_an_alert_of_another_door_or_of_before_is_another_story(campus: Campus) -> None:
    stories = begun(campus, Story.FORCED_DOOR, "door_forced_open", door_id="hq-d22")
    stories.on_alert(alert("door_forced_open", door_id="hq-d23"), monitoring=False)
    stories.on_alert(alert("door_forced_open", door_id="hq-d22", raised_at=at(-60)), monitoring=False)
    stories.on_alert(alert("door_held_open", door_id="hq-d22"), monitoring=False)
    assert stories.told["hq", Story.FORCED_DOOR].alert is None


def test_a_message_that_is_said_to_be_sent_and_never_arrives_is_missed(campus: Campus) -> None:
    stories = forced(campus)
    sent = {"type": "notification_sent", "alert_id": "door_forced_open-1", "digest_id": None}
    stories.on_caught(caught("sms", CONTROL_ROOM, "Ack: door_forced_open-1"))
    stories.on_notification(sent | {"recipient_id": "control-room", "channel": "sms"}, monitoring=False)
    told = stories.told["hq", Story.FORCED_DOOR]
    assert "every message caught" not in told.lacks
    stories.on_notification(sent | {"recipient_id": "head-of-security", "channel": "phone"}, monitoring=False)
    assert "every message caught" in told.lacks
    stories.on_caught(caught("phone", HEAD, "door_forced_open somewhere"))
    assert "every message caught" not in told.lacks


@pytest.mark.parametrize(
    "text", ["DURESS at the gate", "【紧急】胁迫报警", "Ack: duress-1", "duress somewhere", "because of: of duress"]
)
def test_duress_that_anybody_but_monitoring_is_told_of_is_found(campus: Campus, text: str) -> None:
    stories = begun(campus, Story.DURESS_PIN, "duress", access_point_id="hq-d52-in")
    stories.on_caught(caught("sms", CONTROL_ROOM, text))
    stories.on_alert(alert("duress", access_point_id="hq-d52-in"), monitoring=True)
    stories.on_caught(caught("sms", MONITORING, "Duress. Ack: duress-1"))
    stories.conclude()
    assert stories.leaks == [f"{CONTROL_ROOM} was told of duress by sms"]


def test_duress_on_a_topic_that_others_read_is_found_and_on_monitorings_own_is_not(campus: Campus) -> None:
    stories = begun(campus, Story.DURESS_PIN, "duress", access_point_id="hq-d52-in")
    told = {"type": "notification_sent", "alert_id": "duress-1", "recipient_id": "monitoring-centre", "channel": "sms"}
    stories.on_alert(alert("duress", access_point_id="hq-d52-in"), monitoring=True)
    stories.on_notification(told, monitoring=True)
    stories.on_caught(caught("sms", MONITORING, "Duress. Ack: duress-1"))
    stories.conclude()
    assert stories.leaks == []
    stories.on_notification(told, monitoring=False)
    stories.on_alert(alert("duress", access_point_id="hq-d52-in"), monitoring=False)
    assert len(stories.leaks) == 2


def test_a_story_for_which_the_day_is_too_short_says_so_and_lacks_nothing(campus: Campus) -> None:
    stories = Stories(campus)
    stories.on_story(Plan(Story.HELD_DOOR, "hq", "it takes 29 s of a day"))
    told = stories.told["hq", Story.HELD_DOOR]
    assert not stories.waiting
    assert lines_of([told])[1] == "a door held open, hq: not on this day, it takes 29 s of a day"
    assert told.as_json()["missing"] == "it takes 29 s of a day"


def test_a_campus_in_a_hurry_has_the_same_levels_in_seconds(campus: Campus) -> None:
    policy, quick = campus.records["policy"]["standard"], hurried(campus).records["policy"]["standard"]
    assert isinstance(policy, Policy)
    assert isinstance(quick, Policy)
    assert [level.acknowledge_within_s for level in policy.alerts.levels] == [600, 300, 120]
    assert [level.acknowledge_within_s for level in quick.alerts.levels] == [10, 10, 10]
    assert [level.recipients for level in quick.alerts.levels] == [level.recipients for level in policy.alerts.levels]
    assert Policy.model_validate(quick.model_dump()) == quick
    assert hurried(campus).records["door"] == campus.records["door"]
