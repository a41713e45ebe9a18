"""Schedules at the door: the site's time zone, midnight, holidays and daylight saving."""

from __future__ import annotations

from datetime import date

import pytest

from schemas.rules import Holiday, HolidayCalendar, HolidayWindow, Schedule, Window
from tests.core.given import ADA, SITE, House, Json, card, checks, permission_of

WORKDAYS = ("mon", "tue", "wed", "thu", "fri")
MAY = permission_of("ada", schedule_id="s")
BERLIN = "Europe/Berlin"


def schedule(*windows: Window, holidays: tuple[HolidayWindow, ...] = (), observes: bool = True) -> Schedule:
    return Schedule(schedule_id="s", name="s", windows=windows, holidays=holidays, observes_holidays=observes)


OFFICE = schedule(Window(days=WORKDAYS, start="08:00", end="18:00"))
NIGHT = schedule(Window(days=("fri",), start="22:00", end="06:00"))
CALENDAR = HolidayCalendar(
    holiday_calendar_id="cn",
    name="China",
    days=(Holiday(date=date(2026, 5, 1)), Holiday(date=date(2026, 5, 4), kind="short")),
)


def asked(at: str, allowed: Schedule, time_zone: str = "Asia/Shanghai", calendars: tuple[str, ...] = ()) -> Json:
    site = SITE.model_copy(update={"time_zone": time_zone, "holiday_calendar_ids": calendars})
    with House(*ADA, site, MAY, allowed, CALENDAR, at=at) as house:
        return house.ask(card("ada"))


def assert_outside(decision: Json) -> None:
    assert (decision["type"], decision["reason"]) == ("access_denied", "out_of_time_range")
    assert (checks(decision)["schedule"], decision["display"]) == ("failed", "not_now")


def assert_inside(decision: Json) -> None:
    assert (decision["type"], checks(decision)["schedule"]) == ("access_granted", "passed")


@pytest.mark.branch("A2.09")
@pytest.mark.parametrize("at", ["2026-03-03T08:00:00+08:00", "2026-03-03T17:59:59.999+08:00"])
def test_the_window_includes_its_start_and_the_last_moment_before_its_end(at: str) -> None:
    assert_inside(asked(at, OFFICE))


@pytest.mark.branch("A2.08")
@pytest.mark.parametrize(
    "at", ["2026-03-03T07:59:59.999+08:00", "2026-03-03T18:00:00+08:00", "2026-03-07T12:00:00+08:00"]
)
def test_before_the_start_at_the_end_and_on_another_day_it_is_out_of_time(at: str) -> None:
    assert_outside(asked(at, OFFICE))


@pytest.mark.branch("A2.08", "A2.09")
def test_the_time_is_that_of_the_site_not_of_the_machine() -> None:
    noon_in_berlin = "2026-03-03T11:00:00+00:00"
    assert_inside(asked(noon_in_berlin, OFFICE, BERLIN))
    assert_outside(asked(noon_in_berlin, OFFICE, "Asia/Shanghai"))


@pytest.mark.branch("A2.09")
@pytest.mark.parametrize("at", ["2026-03-06T22:00:00+08:00", "2026-03-07T00:00:00+08:00", "2026-03-07T05:59:00+08:00"])
def test_a_window_over_midnight_lasts_into_the_next_day(at: str) -> None:
    assert_inside(asked(at, NIGHT))


@pytest.mark.branch("A2.08")
@pytest.mark.parametrize("at", ["2026-03-06T05:59:00+08:00", "2026-03-07T06:00:00+08:00", "2026-03-07T22:00:00+08:00"])
def test_a_window_over_midnight_belongs_to_the_day_on_which_it_starts(at: str) -> None:
    assert_outside(asked(at, NIGHT))


@pytest.mark.branch("A2.08")
def test_a_holiday_closes_what_the_weekday_would_open() -> None:
    assert_inside(asked("2026-05-01T10:00:00+08:00", OFFICE))
    assert_outside(asked("2026-05-01T10:00:00+08:00", OFFICE, calendars=("cn",)))


@pytest.mark.branch("A2.08", "A2.09")
def test_on_a_holiday_only_the_windows_of_its_kind_apply() -> None:
    short = schedule(*OFFICE.windows, holidays=(HolidayWindow(kind="short", start="10:00", end="12:00"),))
    assert_inside(asked("2026-05-04T11:00:00+08:00", short, calendars=("cn",)))
    assert_outside(asked("2026-05-04T13:00:00+08:00", short, calendars=("cn",)))
    assert_outside(asked("2026-05-01T11:00:00+08:00", short, calendars=("cn",)))


@pytest.mark.branch("A2.09")
def test_a_schedule_that_ignores_holidays_stays_as_it_is() -> None:
    always_open = schedule(*OFFICE.windows, observes=False)
    assert_inside(asked("2026-05-01T10:00:00+08:00", always_open, calendars=("cn",)))


@pytest.mark.branch("A2.09")
def test_a_night_that_started_before_a_holiday_is_finished_on_it() -> None:
    night = schedule(Window(days=("thu",), start="22:00", end="06:00"))
    assert_inside(asked("2026-05-01T05:00:00+08:00", night, calendars=("cn",)))


@pytest.mark.branch("A2.08")
def test_a_calendar_or_schedule_that_is_not_on_file_allows_nothing() -> None:
    assert_outside(asked("2026-03-03T10:00:00+08:00", OFFICE, calendars=("unheard of",)))
    assert_outside(asked("2026-03-03T10:00:00+08:00", OFFICE.model_copy(update={"schedule_id": "another"})))


@pytest.mark.branch("A2.09")
@pytest.mark.parametrize("at", ["2026-10-25T00:30:00+00:00", "2026-10-25T01:30:00+00:00"])
def test_an_hour_that_daylight_saving_repeats_counts_twice(at: str) -> None:
    assert_inside(asked(at, schedule(Window(days=("sun",), start="02:00", end="03:00")), BERLIN))


@pytest.mark.branch("A2.08")
@pytest.mark.parametrize("at", ["2026-03-29T00:59:59+00:00", "2026-03-29T01:00:00+00:00", "2026-03-29T01:30:00+00:00"])
def test_an_hour_that_daylight_saving_skips_never_comes(at: str) -> None:
    assert_outside(asked(at, schedule(Window(days=("sun",), start="02:00", end="03:00")), BERLIN))


@pytest.mark.branch("A2.08", "A2.09")
def test_after_the_change_to_summer_time_the_wall_clock_still_decides() -> None:
    assert_inside(asked("2026-03-30T06:00:00+00:00", OFFICE, BERLIN))
    assert_outside(asked("2026-03-27T06:00:00+00:00", OFFICE, BERLIN))
