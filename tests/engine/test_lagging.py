from __future__ import annotations

from streams.engine.lagging import Lag, Lags

PLACE = ("orders", 0)


def test_what_is_done_to_the_end_has_no_lag() -> None:
    lags = Lags()
    lags.look(0, {PLACE: 5}, {PLACE: 5})
    assert lags.now == {PLACE: Lag(0, 0.0)}


def test_the_age_is_that_of_the_oldest_message_that_waits() -> None:
    lags = Lags()
    lags.look(0, {PLACE: 5}, {PLACE: 7})
    lags.look(10, {PLACE: 5}, {PLACE: 9})
    assert lags.now[PLACE] == Lag(4, 10.0)
    lags.look(20, {PLACE: 7}, {PLACE: 9})
    assert lags.now[PLACE] == Lag(2, 10.0), "the two that came first are done"
    lags.look(30, {PLACE: 9}, {PLACE: 9})
    assert lags.now[PLACE] == Lag(0, 0.0)


def test_a_steady_flow_that_is_kept_up_with_stays_young() -> None:
    lags = Lags()
    for now in range(100):
        lags.look(now, {PLACE: now * 10}, {PLACE: now * 10 + 5})
    assert lags.now[PLACE] == Lag(5, 0.0)


def test_a_partition_that_went_elsewhere_is_forgotten() -> None:
    lags = Lags()
    lags.look(0, {PLACE: 5}, {PLACE: 7})
    lags.look(10, {}, {})
    lags.look(20, {PLACE: 5}, {PLACE: 7})
    assert lags.now[PLACE] == Lag(2, 0.0)
