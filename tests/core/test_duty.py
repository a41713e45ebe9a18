"""Who is on call at a moment."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from itertools import pairwise
from typing import Any
from zoneinfo import ZoneInfo

from hypothesis import given
from hypothesis import strategies as st

from schemas.recipients import OnCall
from streams.core.duty import on_duty
from streams.core.times import to_ms

MEMBERS = ["a", "b", "c"]


def rota(**fields: Any) -> OnCall:
    """Shifts of twelve hours in Shanghai from 2026-03-02 on."""
    usual = {
        "on_call_id": "r",
        "time_zone": "Asia/Shanghai",
        "first_day": "2026-03-02",
        "handover_at": ["08:00", "20:00"],
        "turn": 1,
        "members": MEMBERS,
    }
    return OnCall.model_validate({**usual, **fields})


def at(text: str, zone: str = "Asia/Shanghai") -> int:
    """A local moment in milliseconds."""
    return to_ms(datetime.fromisoformat(text).replace(tzinfo=ZoneInfo(zone)))


def who(found: OnCall, text: str) -> str:
    """Who is on call at a local moment."""
    return on_duty(found, at(text, found.time_zone))[0]


def test_the_first_member_begins_on_the_first_day_and_hand_over_is_to_the_minute() -> None:
    shifts = rota()
    assert who(shifts, "2026-03-02T08:00:00") == "a"
    assert who(shifts, "2026-03-02T19:59:59") == "a"
    assert who(shifts, "2026-03-02T20:00:00") == "b"
    assert who(shifts, "2026-03-03T07:59:59") == "b"
    assert who(shifts, "2026-03-03T08:00:00") == "c"


def test_a_turn_may_be_a_week() -> None:
    weeks = rota(handover_at=["08:00"], turn=7)
    assert who(weeks, "2026-03-09T07:59:00") == "a"
    assert who(weeks, "2026-03-09T08:00:00") == "b"


def test_a_stand_in_takes_exactly_the_time_that_is_given() -> None:
    one = {"recipient_id": "z", "from_at": "2026-03-02T10:00:00+08:00", "until_at": "2026-03-02T11:00:00+08:00"}
    late = {**one, "recipient_id": "y", "from_at": "2026-03-02T10:30:00+08:00"}
    found = rota(stand_ins=[one, late])
    assert [who(found, f"2026-03-02T{clock}") for clock in ("09:59:59", "10:00:00", "10:30:00", "11:00:00")] == [
        "a",
        "z",
        "y",
        "a",
    ]


def test_who_is_next_takes_over_where_somebody_can_not_be_told() -> None:
    assert on_duty(rota(), at("2026-03-02T20:30:00")) == ["b", "c", "a"]


def test_an_hour_that_is_repeated_hands_over_once() -> None:
    found = rota(time_zone="Europe/Berlin", handover_at=["02:30"], first_day="2026-10-24", members=["a", "b"])
    begin = datetime(2026, 10, 24, 22, 0, tzinfo=UTC)
    order = [on_duty(found, to_ms(begin + timedelta(minutes=10 * n)))[0] for n in range(24)]
    assert sum(one != other for one, other in pairwise(order)) == 1


def test_an_hour_that_is_skipped_hands_over_all_the_same() -> None:
    found = rota(time_zone="Europe/Berlin", handover_at=["02:30"], first_day="2026-03-28", members=["a", "b"])
    assert who(found, "2026-03-29T01:30:00") != who(found, "2026-03-29T03:30:00")


@given(
    minutes=st.integers(-3_000_000, 3_000_000),
    zone=st.sampled_from(["Asia/Shanghai", "Europe/Berlin", "America/New_York", "Australia/Lord_Howe"]),
    clocks=st.lists(st.sampled_from([f"{hour:02}:00" for hour in range(24)]), min_size=1, max_size=4, unique=True),
    turn=st.integers(1, 14),
)
def test_somebody_is_always_on_call_and_turns_follow_each_other(
    minutes: int, zone: str, clocks: list[str], turn: int
) -> None:
    found = rota(time_zone=zone, handover_at=sorted(clocks), turn=turn)
    now = datetime(2026, 3, 2, tzinfo=UTC) + timedelta(minutes=minutes)
    before = MEMBERS.index(on_duty(found, to_ms(now))[0])
    after = MEMBERS.index(on_duty(found, to_ms(now + timedelta(minutes=29)))[0])
    assert (after - before) % len(MEMBERS) in {0, 1}
