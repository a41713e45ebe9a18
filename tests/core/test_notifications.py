"""Who is told by what, when, and how often."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping
from typing import Any

import pytest

from schemas.sending import NotificationDue
from streams.core.notify_state import encode
from tests.core.telling import PEOPLE, SENDS, Tellings


def failing(*channels: str, verdict: str = "failed", **more: Any) -> Any:
    """Attempts by these channels fail."""

    def answer(due: NotificationDue) -> Mapping[str, Any]:
        if due.channel in channels:
            return {"verdict": verdict, "error": "answered 503", **more}
        return {"verdict": "delivered"}

    return answer


@pytest.mark.branch("M2.13", "M2.14")
def test_a_step_is_told_to_its_recipient_by_its_channel() -> None:
    with Tellings() as desk:
        desk.alert("a1", "room", channels=["email"])
        (sent,) = desk.outcomes()
        assert (sent.type, sent.alert_id, sent.step, sent.recipient_id) == ("notification_sent", "a1", 1, "room")
        assert (sent.channel, sent.asked_for, sent.attempts, sent.target) == ("email", "room", 1, "***")
        (due,) = desk.attempts
        assert due.notice.where.endswith("(front)")
        assert (due.notice.time_zone, due.notice.summary) == ("Europe/Berlin", "hq-d01 is held open")


def test_a_group_is_everybody_in_it_and_each_is_told_once() -> None:
    with Tellings() as desk:
        desk.alert("a1", "guards", "wang", "on-call", channels=["sms"])
        assert sorted(desk.told()) == [("sent", "li", "sms"), ("sent", "wang", "sms")]


def test_every_channel_of_a_step_is_used() -> None:
    with Tellings() as desk:
        desk.alert("a1", "li", channels=["phone", "sms"], severity="critical")
        assert sorted(desk.told()) == [("sent", "li", "phone"), ("sent", "li", "sms")]


def test_who_lacks_the_channel_is_told_by_the_preferred_one() -> None:
    with Tellings() as desk:
        desk.alert("a1", "li", channels=["email"])
        (sent,) = desk.outcomes()
        assert (sent.channel, sent.instead_of) == ("phone", "email")


@pytest.mark.branch("M3.09")
def test_a_message_that_comes_again_tells_nobody_again() -> None:
    with Tellings() as desk:
        desk.alert("a1", "wang")
        desk.alert("a1", "wang", transition=1)
        desk.alert("a1", "wang", step=1)
        assert desk.told() == [("sent", "wang", "sms")]
        desk.alert("a1", "wang", step=2)
        assert desk.told() == [("sent", "wang", "sms")] * 2


def test_the_rota_is_asked_when_the_step_is_sent() -> None:
    with Tellings() as desk:
        desk.alert("a1", "on-call")
        desk.advance(3 * 3600 + 1, step_s=600)
        desk.alert("a1", "on-call", step=2)
        assert [one.recipient_id for one in desk.outcomes()] == ["wang", "li"]
        assert {one.asked_for for one in desk.outcomes()} == {"on-call"}


def test_nobody_to_be_told_is_a_failure_that_is_seen() -> None:
    with Tellings() as desk:
        desk.alert("a1", "nobody", "room")
        failed, sent = desk.outcomes()
        assert (failed.type, failed.recipient_id) == ("notification_failed", "nobody")
        assert "nobody is on file" in failed.error
        assert (sent.type, sent.recipient_id) == ("notification_sent", "room")


def test_a_channel_that_is_down_is_tried_again_and_then_another_takes_its_place_within_a_minute() -> None:
    with Tellings(answer=failing("sms")) as desk:
        desk.alert("a1", "wang", severity="high")
        begun = desk.now()
        desk.advance(60)
        failed, sent = desk.outcomes()
        assert (failed.type, failed.channel, failed.error) == ("notification_failed", "sms", "answered 503")
        assert failed.attempts >= 3
        assert (sent.type, sent.channel, sent.instead_of) == ("notification_sent", "email", "sms")
        assert (sent.updated_at - begun).total_seconds() <= 60


def test_a_refusal_is_not_tried_again() -> None:
    with Tellings(answer=failing("sms", verdict="refused")) as desk:
        desk.alert("a1", "wang")
        assert desk.told() == [("failed", "wang", "sms"), ("sent", "wang", "email")]
        assert [due.channel for due in desk.attempts] == ["sms", "email"]


def test_a_channel_that_asks_for_patience_gets_it_if_there_is_time() -> None:
    with Tellings(answer=failing("sms", retry_after_s=12.0)) as desk:
        desk.alert("a1", "wang")
        desk.advance(11)
        assert len(desk.attempts) == 1
        desk.answer = failing()
        desk.advance(2)
        assert desk.told() == [("sent", "wang", "sms")]


def test_a_channel_that_asks_for_more_patience_than_there_is_loses_its_turn() -> None:
    with Tellings(answer=failing("sms", retry_after_s=120.0)) as desk:
        desk.alert("a1", "wang")
        assert desk.told() == [("failed", "wang", "sms"), ("sent", "wang", "email")]


def test_the_last_channel_is_tried_for_longer_and_then_given_up() -> None:
    with Tellings(answer=failing("sms", "email")) as desk:
        desk.alert("a1", "wang")
        desk.advance(600, step_s=5)
        assert desk.told() == [("failed", "wang", "sms")]
        desk.advance(600, step_s=5)
        assert desk.told() == [("failed", "wang", "sms"), ("failed", "wang", "email")]
        made = len(desk.attempts)
        desk.advance(600, step_s=5)
        assert len(desk.attempts) == made


def test_two_channels_that_fail_share_the_third_one() -> None:
    people = [{"recipient_id": "li", "phone": "+861234", "sms": "+861234", "email": "li@example.org"}]
    with Tellings(people, failing("sms", "phone", verdict="refused")) as desk:
        desk.alert("a1", "li", channels=["phone", "sms"], severity="critical")
        assert Counter(desk.told()) == Counter(
            [("failed", "li", "phone"), ("failed", "li", "sms"), ("sent", "li", "email")]
        )


def test_what_was_acknowledged_meanwhile_is_not_told_any_more() -> None:
    with Tellings(answer=failing("sms")) as desk:
        desk.alert("a1", "wang")
        desk.alert("a1", step=None, state="acknowledged", acknowledged_by="op-7")
        desk.advance(60)
        (skipped,) = desk.outcomes()
        assert (skipped.type, skipped.error) == ("notification_skipped", "the alert is acknowledged by op-7")


def test_without_a_sender_nothing_is_lost() -> None:
    with Tellings(sender=None) as desk:
        desk.alert("a1", "wang")
        desk.advance(30)
        assert (desk.told(), desk.attempts) == ([], [])
        desk.ready("s1")
        desk.advance(2)
        assert desk.told() == [("sent", "wang", "sms")]


def test_an_attempt_of_a_sender_that_is_gone_is_made_once_more_and_not_twice() -> None:
    with Tellings(answer=lambda _due: None) as desk:
        desk.alert("a1", "wang")
        for number in range(2, 6):
            desk.ready(f"s{number}")
            desk.advance(4)
        by_sms = [due for due in desk.attempts if due.channel == "sms"]
        assert [due.sender_id for due in by_sms] == ["s1", "s2"]
        assert [due.attempt for due in by_sms] == [1, 2]


def test_what_a_sender_had_not_begun_when_it_went_is_made_by_the_next_however_many_go() -> None:
    with Tellings() as desk:
        desk.begins = False
        desk.alert("a1", "wang")
        for number in range(2, 6):
            desk.ready(f"s{number}")
            desk.advance(4)
        assert [due.channel for due in desk.attempts] == ["sms"] * len(desk.attempts)
        assert {due.sender_id for due in desk.attempts} == {f"s{number}" for number in range(1, 6)}
        desk.begins = True
        desk.ready("s6")
        desk.advance(20)
        assert desk.told() == [("sent", "wang", "sms")]
        assert desk.outcomes()[0].attempts == 1


def test_a_sender_that_was_slow_and_not_gone_has_told_once() -> None:
    with Tellings(answer=lambda _due: None) as desk:
        desk.begins = False
        desk.alert("a1", "wang")
        (first,) = desk.attempts
        desk.begins = True
        desk.ready("s2")
        desk.advance(4)
        desk.begin(first)
        desk.begin(first)
        desk.ready("s3")
        desk.advance(60)
        by_sms = [due.sender_id for due in desk.attempts if due.channel == "sms"]
        assert by_sms == ["s1", "s2"]
        assert desk.told()[0] == ("failed", "wang", "sms")


def test_an_answer_that_comes_late_counts() -> None:
    with Tellings(answer=lambda _due: None) as desk:
        desk.alert("a1", "wang")
        (first,) = desk.attempts
        desk.ready("s2")
        desk.advance(3)
        desk.answer = lambda _due: {"verdict": "delivered"}
        desk._attempt(first.model_copy(update={"sender_id": "s2"}))
        desk.settle()
        desk.advance(60)
        assert desk.told() == [("sent", "wang", "sms")]


def test_attempts_that_came_too_late_to_be_begun_are_none_and_take_the_next_channel_in_the_end() -> None:
    with Tellings(answer=failing("sms", verdict="expired", error="the channel is busy")) as desk:
        desk.alert("a1", "wang")
        desk.advance(10)
        desk.alert("a2", "li", channels=["sms"])
        desk.advance(20)
        assert desk.told() == [("failed", "wang", "sms"), ("sent", "wang", "email")]
        assert desk.outcomes()[0].attempts == 0
        desk.answer = failing()
        desk.advance(2)
        *_, sent = desk.outcomes()
        assert (sent.recipient_id, sent.channel, sent.attempts) == ("li", "sms", 1)


def test_an_attempt_that_came_too_late_is_made_again() -> None:
    with Tellings(answer=failing("sms", verdict="expired")) as desk:
        desk.alert("a1", "wang")
        desk.advance(5)
        desk.answer = failing()
        desk.advance(2)
        (sent,) = desk.outcomes()
        assert (sent.channel, sent.attempts) == ("sms", 1)


def test_above_its_rate_a_recipient_gets_one_message_about_many_and_none_is_lost() -> None:
    with Tellings() as desk:
        for number in range(40):
            desk.alert(f"a{number}", "room", channels=["email"])
        held = [one for one in desk.outcomes() if one.type == "notification_held"]
        assert (len(held), len(desk.attempts)) == (30, 10)
        desk.advance(120)
        sent = [one for one in desk.outcomes() if one.type == "notification_sent"]
        assert Counter(one.alert_id for one in sent) == Counter(f"a{number}" for number in range(40))
        assert len(desk.attempts) == 11
        notice = desk.attempts[-1].notice
        assert (len(notice.also), notice.more) == (20, 9)
        together = {one.digest_id for one in sent if one.alert_id in {h.alert_id for h in held}}
        assert together == {desk.attempts[-1].notification_id}


def waiting(desk: Tellings) -> list[Any]:
    """What is kept of the recipients' rates, and of what they hold back."""
    (slot,) = desk.harness.worker.machine._slots.values()
    assert slot.partition is not None
    store = slot.partition.store
    return [store.get(key) for key in store.keys() if key.startswith(("bucket/", "page/"))]  # noqa: SIM118


def test_in_a_storm_what_waits_is_kept_in_small_pieces_and_all_of_it_is_told_the_urgent_first() -> None:
    with Tellings() as desk:
        for number in range(500):
            severity = "high" if number >= 470 else "medium"
            desk.alert(f"a{number}", "room", channels=["email"], severity=severity, settle=False)
        desk.settle()
        sizes = [len(encode(one)) for one in waiting(desk)]
        assert len(sizes) > 20
        assert max(sizes) <= 1024
        desk.advance(60)
        sent = [one for one in desk.outcomes() if one.type == "notification_sent"]
        assert Counter(one.alert_id for one in sent) == Counter(f"a{number}" for number in range(500))
        first = {one.alert_id for one in sent if one.digest_id == desk.attempts[10].notification_id}
        assert {f"a{number}" for number in range(470, 500)} <= first
        desk.advance(400, step_s=20)
        assert waiting(desk) == []


def test_a_message_about_many_that_fails_takes_all_of_them_to_the_next_channel() -> None:
    with Tellings(answer=failing("email", verdict="refused")) as desk:
        for number in range(13):
            desk.alert(f"a{number}", "room", channels=["email"])
        desk.advance(120)
        sent = [one for one in desk.outcomes() if one.type == "notification_sent"]
        assert Counter(one.alert_id for one in sent) == Counter(f"a{number}" for number in range(13))
        assert {(one.channel, one.instead_of) for one in sent} == {("sms", "email")}


def test_what_is_critical_never_waits() -> None:
    with Tellings() as desk:
        for number in range(40):
            desk.alert(f"a{number}", "room", severity="critical", channels=["email"])
        assert Counter(kind for kind, *_ in desk.told()) == {"sent": 40}


def test_duress_is_told_to_monitoring_alone_and_so_is_what_became_of_it() -> None:
    with Tellings() as desk:
        desk.alert("a1", "on-call", "guards", kind="duress", severity="critical", topic="duress.alerts")
        assert desk.told() == []
        assert desk.told("duress.notifications") == [("sent", "centre", "sms")]
        assert {due.recipient_id for due in desk.attempts} == {"centre"}


def test_duress_that_nobody_may_be_told_of_fails_where_monitoring_sees_it() -> None:
    with Tellings(PEOPLE[:1]) as desk:
        desk.alert("a1", "room", kind="duress", severity="critical", topic="duress.alerts")
        assert desk.told() == []
        assert desk.told("duress.notifications") == [("failed", "monitoring", "sms")]


def test_after_an_outage_only_what_still_matters_is_told() -> None:
    with Tellings() as desk:
        for step in range(1, 5):
            desk.alert("open", "wang", step=step, age_s=600 - step, settle=False)
        desk.alert("known", "wang", age_s=600, settle=False)
        desk.alert("known", step=None, state="acknowledged", age_s=500, settle=False)
        desk.settle()
        desk.advance(5)
        found = {(one.alert_id, one.step, one.type) for one in desk.outcomes()}
        assert found == {
            ("open", 1, "notification_skipped"),
            ("open", 2, "notification_skipped"),
            ("open", 3, "notification_skipped"),
            ("open", 4, "notification_sent"),
            ("known", 1, "notification_skipped"),
        }


@pytest.mark.parametrize("seed", range(3))
def test_a_worker_that_dies_between_any_two_messages_tells_every_step_once(seed: int) -> None:
    with Tellings() as desk:
        for number in range(12):
            desk.alert(f"a{number}", "on-call", "room", channels=["sms"], severity="critical", settle=False)
            if number % 3 == seed:
                desk.harness.run_until_idle()
                desk.harness.restart()
                desk.ready(f"restarted-{number}")
        desk.advance(30)
        sent = [one for one in desk.outcomes() if one.type == "notification_sent"]
        assert Counter((one.alert_id, one.recipient_id) for one in sent) == Counter(
            (f"a{number}", who) for number in range(12) for who in ("wang", "room")
        )
        sends = Counter((due.notification_id, due.attempt) for due in desk.attempts)
        assert max(sends.values()) == 1
        assert desk.harness.outputs(SENDS)


PROGRAM = {"recipient_id": "am", "alertmanager": "http://alertmanager:9093"}


def test_a_program_that_keeps_alerts_is_told_once_that_one_is_over() -> None:
    with Tellings([*PEOPLE, PROGRAM]) as desk:
        desk.alert("a1", "am", "room", channels=["webhook", "email"])
        desk.alert("a1", step=None, state="acknowledged")
        desk.alert("a1", step=None, state="resolved", type="alert_resolved")
        desk.alert("a1", step=None, state="closed")
        told = [(one.step, one.recipient_id, one.type) for one in desk.outcomes()]
        assert sorted(told) == [
            (0, "am", "notification_sent"),
            (1, "am", "notification_sent"),
            (1, "room", "notification_sent"),
        ]
        assert [due.notice.over for due in desk.attempts if due.recipient_id == "am"] == [False, True]


def test_a_program_that_is_away_when_an_alert_is_over_is_told_later() -> None:
    with Tellings([*PEOPLE, PROGRAM]) as desk:
        desk.alert("a1", "am", channels=["webhook"])
        desk.answer = failing("alertmanager")
        desk.alert("a1", step=None, state="closed")
        desk.advance(60)
        assert len(desk.outcomes()) == 1
        desk.answer = failing()
        desk.advance(60)
        assert [one.step for one in desk.outcomes()] == [1, 0]


@pytest.mark.branch("M3.02")
def test_an_alert_that_asks_for_nobody_tells_nobody() -> None:
    with Tellings() as desk:
        desk.alert("a1", step=None, severity="low")
        desk.alert("a2", step=None, severity="medium")
        assert (desk.told(), desk.attempts) == ([], [])


def test_an_alert_that_can_not_be_read_is_a_dead_letter() -> None:
    with Tellings() as desk:
        for value in (b"{", b'{"severity": 3}', b'{"severity":"low","type":"no_such","notify":{}}'):
            desk.harness.publish("alerts", "a1", value)
        desk.settle()
        assert len(desk.harness.outputs("alerts.dead")) == 3


def test_a_closed_alert_is_forgotten() -> None:
    with Tellings() as desk:
        desk.alert("a1", "wang")
        desk.alert("a1", step=None, state="closed")
        desk.advance(2 * 3600, step_s=600)
        assert desk.harness.worker.machine.health()[0].phase == "running"
        assert desk.told() == [("sent", "wang", "sms")]
