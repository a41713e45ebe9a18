"""Any schedule against an independent model: every minute painted onto a wall calendar, also as clocks change."""

from __future__ import annotations

from datetime import date, datetime, timedelta
from zoneinfo import ZoneInfo

from hypothesis import given
from hypothesis import strategies as st

from schemas.rules import Holiday, HolidayCalendar, HolidayWindow, Schedule, Window
from streams.core.schedules import allows

DAYS = ("mon", "tue", "wed", "thu", "fri", "sat", "sun")
BERLIN = ZoneInfo("Europe/Berlin")


clock = st.integers(0, 24 * 60).map(lambda minute: f"{minute // 60:02}:{minute % 60:02}")
weekdays = st.sets(st.sampled_from(DAYS), min_size=1).map(lambda days: tuple(sorted(days)))
windows = st.builds(Window, days=weekdays, start=clock, end=clock)
kinds = st.sampled_from(["holiday", "half"])


def model(found: Schedule, days: dict[date, str], start: date, length: int) -> set[tuple[date, int]]:
    """Every minute that a schedule allows, painted window by window onto a wall calendar."""
    allowed = set()
    for offset in range(-1, length):
        day = start + timedelta(days=offset)
        kind = days.get(day) if found.observes_holidays else None
        spans = (
            [(one.start, one.end) for one in found.windows if DAYS[day.weekday()] in one.days]
            if kind is None
            else [(one.start, one.end) for one in found.holidays if one.kind == kind]
        )
        for begin, end in spans:
            first, last = (int(text[:2]) * 60 + int(text[3:]) for text in (begin, end))
            for minute in range(first, last if last > first else last + 1440):
                later, of_day = divmod(minute, 1440)
                allowed.add((day + timedelta(days=later), of_day))
    return allowed


@given(
    st.builds(
        Schedule,
        type=st.just("schedule"),
        schedule_id=st.just("s"),
        name=st.just("S"),
        windows=st.lists(windows, max_size=3).map(tuple),
        holidays=st.lists(st.builds(HolidayWindow, kind=kinds, start=clock, end=clock), max_size=2).map(tuple),
        observes_holidays=st.booleans(),
    ),
    st.dictionaries(st.dates(date(2026, 3, 27), date(2026, 3, 31)), kinds, max_size=3),
    st.data(),
)
def test_any_schedule_allows_just_the_minutes_that_a_wall_calendar_would(
    found: Schedule, days: dict[date, str], data: st.DataObject
) -> None:
    calendar = HolidayCalendar(
        holiday_calendar_id="h", name="H", days=tuple(Holiday(date=day, kind=kind) for day, kind in days.items())
    )
    allowed = model(found, days, date(2026, 3, 27), 5)
    for minute in data.draw(st.lists(st.integers(0, 5 * 1440 - 1), min_size=20, max_size=40)):
        moment = datetime(2026, 3, 27, tzinfo=BERLIN) + timedelta(minutes=minute)
        expected = (moment.date(), moment.hour * 60 + moment.minute) in allowed
        assert allows(found, [calendar], moment) is expected
