"""Schedules: is access allowed at a moment, in the site's own time?

A window belongs to the local day on which it starts, so one that runs over midnight still counts in the early hours of
the next day, be that a holiday or not. Wall time decides: an hour that daylight saving repeats counts twice, one that
it skips never comes. On a holiday only the windows of its kind apply.
"""

from __future__ import annotations

from collections.abc import Sequence
from datetime import date, datetime, timedelta
from functools import cache, lru_cache
from zoneinfo import ZoneInfo

from schemas.rules import HolidayCalendar, HolidayWindow, Schedule, Window
from streams.core.times import MOMENTS_KEPT

_WEEKDAYS = ("mon", "tue", "wed", "thu", "fri", "sat", "sun")


@cache
def _zone(name: str) -> ZoneInfo:
    return ZoneInfo(name)


@lru_cache(MOMENTS_KEPT)
def local(at_ms: int, time_zone: str) -> datetime:
    """A moment as the clocks on the site's walls show it."""
    return datetime.fromtimestamp(at_ms / 1000, _zone(time_zone))


def allows(schedule: Schedule, calendars: Sequence[HolidayCalendar], moment: datetime) -> bool:
    """Whether a schedule allows access at a local moment."""
    return began(schedule, calendars, moment) is not None


def began(schedule: Schedule, calendars: Sequence[HolidayCalendar], moment: datetime) -> date | None:
    """The local day on which the window began that allows access at a local moment; None where none does."""
    today = moment.date()
    minute = moment.hour * 60 + moment.minute
    for window in _windows(schedule, calendars, today):
        start, end = _minutes(window.start), _minutes(window.end)
        if start <= minute and (minute < end or end <= start):
            return today
    yesterday = today - timedelta(days=1)
    for window in _windows(schedule, calendars, yesterday):
        start, end = _minutes(window.start), _minutes(window.end)
        if end <= start and minute < end:
            return yesterday
    return None


def holiday_kind(calendars: Sequence[HolidayCalendar], day: date) -> str | None:
    """The kind of holiday that a day is, by the first calendar that has it."""
    for calendar in calendars:
        for holiday in calendar.days:
            if holiday.date == day:
                return holiday.kind
    return None


def _windows(schedule: Schedule, calendars: Sequence[HolidayCalendar], day: date) -> list[Window] | list[HolidayWindow]:
    if schedule.observes_holidays:
        kind = holiday_kind(calendars, day)
        if kind is not None:
            return [window for window in schedule.holidays if window.kind == kind]
    weekday = _WEEKDAYS[day.weekday()]
    return [window for window in schedule.windows if weekday in window.days]


def _minutes(clock: str) -> int:
    return int(clock[:2]) * 60 + int(clock[3:])
