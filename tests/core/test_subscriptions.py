"""Events that somebody subscribes to: pushed, or kept and delivered together; each once, and none lost (M2)."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from schemas.delivering import EventsDue
from streams.core import subscription_course
from tests.conftest import examples
from tests.core.delivering import Deliveries, failed, subscription, taken


@pytest.mark.branch("M2.07", "M2.08")
def test_an_event_that_a_subscription_wants_is_pushed_at_once_and_recorded_once() -> None:
    with Deliveries(subscription()) as place:
        event = place.event()
        assert [due.events for due in place.attempts] == [(event,)]
        (told,) = place.outcomes()
        assert (told.type, told.delivery, told.events, told.pending) == ("events_delivered", "push", (event,), 0)


@pytest.mark.branch("M2.09", "M2.10")
def test_without_a_push_subscription_an_event_is_kept_and_delivered_in_a_batch_later() -> None:
    with Deliveries(subscription(delivery="batch", every_s=60)) as place:
        events = tuple(place.event() for _ in range(3))
        (pending,) = place.outcomes()
        assert (pending.type, pending.pending, place.attempts) == ("events_pending", 1, [])
        place.advance(59)
        assert place.attempts == []
        place.advance(2)
        assert [due.events for due in place.attempts] == [events]
        delivered = place.outcomes()[-1]
        assert (delivered.type, delivered.events, delivered.pending) == ("events_delivered", events, 0)
        place.advance(120)
        assert len(place.attempts) == 1


def test_a_batch_that_is_full_is_delivered_before_its_time() -> None:
    with Deliveries(subscription(delivery="batch", every_s=600, most_events=4)) as place:
        events = [place.event() for _ in range(10)]
        assert place.delivered() == events[:8]
        place.advance(601, step_s=60)
        assert place.delivered() == events


def test_an_event_that_nobody_wants_goes_nowhere() -> None:
    with Deliveries(subscription(wants={"classes": ["security"]})) as place:
        place.event("access_granted", classification="normal")
        assert (place.attempts, place.outcomes()) == ([], [])


@pytest.mark.parametrize(
    ("wants", "fits", "not_so"),
    [
        ({"classes": ["abnormal"]}, {"type_": "access_denied", "classification": "abnormal"}, {}),
        ({"types": ["access_denied"]}, {"type_": "access_denied"}, {"type_": "access_granted"}),
        ({"site_ids": ["hq"]}, {}, {"site_id": "works"}),
        ({"zone_ids": ["hall"]}, {"zone_to": "lab"}, {"zone_from": "street", "zone_to": "elsewhere"}),
        ({"zone_ids": ["lab"]}, {"type_": "door_alarm", "door_id": "lab"}, {"type_": "door_alarm"}),
        ({"zone_ids": ["lab"]}, {"type_": "device_state", "device_id": "c1"}, {"type_": "device_state"}),
        ({"zone_ids": ["lab"]}, {"type_": "lockdown_started", "zone_id": "lab"}, {"zone_to": "elsewhere"}),
        ({"door_ids": ["front"]}, {"door_id": None}, {"door_id": "lab"}),
        ({"cardholder_ids": ["ann"]}, {"cardholder_id": "ann"}, {"cardholder_id": None}),
        ({"severities": ["high"]}, {"type_": "alert_raised", "severity": "high"}, {"type_": "door_alarm"}),
        ({"classes": ["device"]}, {"type_": "alert_raised", "kind": "fault"}, {"type_": "alert_raised", "kind": "x"}),
    ],
)
def test_a_filter_takes_what_fits_each_of_its_criteria(
    wants: Mapping[str, Any], fits: Mapping[str, Any], not_so: Mapping[str, Any]
) -> None:
    with Deliveries(subscription(wants=wants)) as place:
        place.event(**{"classification": "normal", **not_so})
        event = place.event(**fits)
        assert place.delivered() == [event]


def test_what_fails_is_tried_again_with_longer_pauses_and_nothing_is_lost() -> None:
    with Deliveries(subscription(), subscription("s2"), answer=failed) as place:
        place.answer = lambda due: failed(due) if due.subscription_id == "s1" else taken(due)
        events = [place.event() for _ in range(3)]
        place.advance(60)
        assert place.delivered("s2") == events
        failures = [one for one in place.outcomes() if one.type == "delivery_failed"]
        assert [one.attempts for one in failures] == [1, 2, 3, 4, 5, 6]
        assert {one.delivery_id for one in failures} == {failures[0].delivery_id}
        assert failures[-1].pending == 3
        place.answer = taken
        place.advance(50)
        assert place.delivered() == events


def test_a_retry_after_is_kept_to() -> None:
    with Deliveries(subscription(), answer=lambda due: {**(failed(due) or {}), "retry_after_s": 100}) as place:
        place.event()
        place.advance(99)
        assert len(place.attempts) == 1
        place.advance(3)
        assert len(place.attempts) == 2


def test_of_events_pushed_in_one_go_those_that_arrived_are_not_pushed_again() -> None:
    with Deliveries(subscription(), courier=None) as place:
        events = [place.event() for _ in range(5)]
        place.answer = lambda _due: {"verdict": "failed", "delivered": 2, "error": "answered 503"}
        place.ready("c1")
        place.advance(1.5)
        assert place.delivered() == events[:2]
        place.answer = taken
        place.advance(5)
        assert place.delivered() == events
        assert [len(due.events) for due in place.attempts] == [5, 3]


def test_a_courier_that_is_gone_is_replaced_by_the_next_one() -> None:
    with Deliveries(subscription(), answer=lambda _due: None) as place:
        event = place.event()
        place.answer = taken
        place.ready("c2")
        place.advance(4)
        assert place.delivered() == [event]
        first, second = place.attempts
        assert (second.courier_id, second.delivery_id) == ("c2", first.delivery_id)


def test_an_answer_that_comes_late_still_counts() -> None:
    with Deliveries(subscription(), answer=lambda _due: None) as place:
        event = place.event()
        place.advance(60)
        assert len(place.attempts) > 1
        place.tell(place.attempts[0], verdict="delivered", delivered=1)
        place.settle()
        assert place.delivered() == [event]


def test_a_paused_subscription_keeps_its_events() -> None:
    with Deliveries(subscription(status="paused")) as place:
        events = [place.event() for _ in range(3)]
        place.advance(120, step_s=10)
        assert place.attempts == []
        place.put(subscription())
        place.advance(31)
        assert place.delivered() == events


def test_what_waits_for_a_subscription_that_is_removed_is_dropped_and_said_so() -> None:
    with Deliveries(subscription(delivery="batch", every_s=60, most_events=200)) as place:
        events = [place.event() for _ in range(150)]
        place.remove("s1")
        place.advance(62)
        assert (place.delivered(), place.dropped()) == ([], events)
        assert place.outcomes()[-1].pending == 0


def test_where_more_waits_than_is_kept_the_oldest_are_dropped_and_said_so(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(subscription_course, "MOST_PENDING", 250)
    with Deliveries(subscription(), answer=failed) as place:
        events = [place.event() for _ in range(400)]
        assert place.dropped() == events[:200]
        place.answer = taken
        place.advance(400, step_s=10)
        assert place.delivered() == events[200:]


STEPS = st.lists(
    st.one_of(
        st.tuples(st.just("event"), st.sampled_from(["access_granted", "access_denied", "door_alarm", "alert_raised"])),
        st.tuples(st.just("answer"), st.sampled_from(["taken", "failed", "none", "part"])),
        st.tuples(st.just("wait"), st.sampled_from([0.5, 3.0, 45.0])),
        st.tuples(st.sampled_from(["crash", "courier", "stop"]), st.none()),
    ),
    max_size=40,
)


def _part(due: EventsDue) -> Mapping[str, Any]:
    done = len(due.events) // 2 if due.delivery == "push" else 0
    return {"verdict": "failed", "delivered": done}


ANSWERS: Mapping[str, Any] = {"taken": taken, "failed": failed, "none": lambda _due: None, "part": _part}


@pytest.mark.chaos
@pytest.mark.timeout(3600)
@settings(max_examples=examples(15), deadline=None)
@given(STEPS)
def test_whatever_happens_each_wanted_event_is_delivered_once_on_the_record_and_in_order(steps: list[Any]) -> None:
    batch = subscription("batch", "batch", every_s=20, most_events=3, wants={"types": ["access_denied", "door_alarm"]})
    with Deliveries(subscription("all"), batch) as place:
        wanted: list[Any] = []
        for number, (step, how) in enumerate(steps):
            if step == "event":
                wanted.append((place.event(how, settle=False), how))
            elif step == "answer":
                place.answer = ANSWERS[how]
            elif step == "wait":
                place.advance(how, step_s=5)
            elif step == "courier":
                place.ready(f"c{number}")
            elif step == "stop":
                place.harness.stop()
                place.harness.start()
            else:
                place.harness.restart()
        place.answer = taken
        place.ready("last")
        place.advance(700, step_s=20)
        everything = [event for event, _ in wanted]
        assert Counter(place.delivered("all")) == Counter(everything)
        chosen = [event for event, type_ in wanted if type_ in {"access_denied", "door_alarm"}]
        assert Counter(place.delivered("batch")) == Counter(chosen)
        for topic in {topic for topic, _ in everything}:
            got = [offset for of, offset in place.delivered("all") if of == topic]
            assert got == sorted(got)
        assert place.dropped() == []
