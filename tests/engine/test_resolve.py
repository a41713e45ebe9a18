"""What a message needs of the outside: asked once, bounded in time, journalled as an answer."""

from __future__ import annotations

import asyncio
import threading
from collections.abc import Mapping, Sequence

from streams.core.processor import Found, Lookup, Verification
from streams.engine.harness import Harness
from streams.engine.memory import ManualClock
from streams.engine.options import MachineOptions
from streams.engine.ports import TransientError
from streams.engine.references import ReferenceTables
from streams.engine.resolve import Pending, Resolver
from tests.engine.conftest import MakeHarness
from tests.engine.toy import message
from tests.engine.watching import Watching, assert_repeats_are_equal, events, watching


class Database:
    def __init__(self, rows: Mapping[str, Found] | None = None) -> None:
        self.rows = dict(rows or {})
        self.asked: list[list[str]] = []
        self.down = False
        self.slow_s = 0.0

    async def fetch(self, lookups: Sequence[Lookup]) -> Mapping[Lookup, Sequence[Found]]:
        self.asked.append([lookup.value for lookup in lookups])
        if self.slow_s:
            await asyncio.sleep(self.slow_s)
        if self.down:
            raise TransientError("no database")
        return {one: [self.rows[one.value]] if one.value in self.rows else [] for one in lookups}


class Pins:
    def __init__(self) -> None:
        self.seen: list[str] = []

    def verify(self, verification: Verification) -> object:
        self.seen.append(verification.payload)
        if verification.payload == "boom":
            raise RuntimeError("4711")
        return verification.payload == "1234"


def ask(rate: str = "r", account: str = "a") -> bytes:
    return message("ask", account, rate=rate)


def notes(harness: Harness) -> list[str]:
    return [event["note"] for event in events(harness) if event["kind"] == "checked"]


def test_a_miss_is_looked_up_in_the_database(make: MakeHarness) -> None:
    database = Database({"r": Found("r", 5, b'{"name": "r", "percent": 9}')})
    harness = make(lookups=database)
    harness.publish("requests", "a", ask())
    harness.publish("requests", "a", ask("unknown"))
    harness.run_until_idle()
    assert notes(harness) == ["database 9", "absent"]
    assert database.asked == [["r", "unknown"]]


def test_concurrent_misses_share_one_question_and_its_answer_is_kept(make: MakeHarness) -> None:
    database = Database({"r": Found("r", 5, b'{"name": "r", "percent": 9}')})
    harness = make(lookups=database)
    for _ in range(3):
        harness.publish("requests", "a", ask())
    harness.run_until_idle()
    harness.publish("requests", "a", ask())
    harness.run_until_idle()
    assert notes(harness) == ["database 9"] * 4
    assert database.asked == [["r"]]


def test_a_confirmed_absence_is_kept_briefly(make: MakeHarness) -> None:
    database = Database()
    harness = make(lookups=database, options=MachineOptions(absence_cached_s=2))
    for _ in range(2):
        harness.publish("requests", "a", ask())
        harness.run_until_idle()
    assert len(database.asked) == 1
    harness.advance(3)
    harness.publish("requests", "a", ask())
    harness.run_until_idle()
    assert len(database.asked) == 2


def test_a_row_that_the_view_has_overtaken_does_not_rise_again(make: MakeHarness) -> None:
    database = Database({"r": Found("r", 0, b'{"name": "r", "percent": 9}')})
    harness = make(lookups=database)
    harness.publish("reference.rate", "r", b'{"name": "r", "percent": 9}')
    harness.publish("reference.rate", "r", None)
    harness.run_until_idle()
    harness.publish("requests", "a", ask())
    harness.run_until_idle()
    assert notes(harness) == ["absent"]


def test_a_kept_answer_ends_when_the_view_passes_it(make: MakeHarness) -> None:
    database = Database({"r": Found("r", 0, b'{"name": "r", "percent": 9}')})
    harness = make(lookups=database)
    harness.publish("requests", "a", ask())
    harness.run_until_idle()
    harness.publish("reference.rate", "r", b'{"name": "r", "percent": 9}')
    harness.publish("reference.rate", "r", None)
    harness.run_until_idle()
    harness.publish("requests", "a", ask())
    harness.run_until_idle()
    assert notes(harness) == ["database 9", "absent"]


def test_no_answer_in_time_means_no_entry(make: MakeHarness) -> None:
    database = Database({"r": Found("r", 5, b"{}")})
    database.slow_s = 0.06
    harness = make(lookups=database)
    harness.publish("requests", "a", ask())
    harness.run_until_idle()
    assert notes(harness) == ["nobody knows"]


def test_the_breaker_spares_a_database_that_fails_and_tries_again_later(make: MakeHarness) -> None:
    database = Database({"r": Found("r", 5, b'{"name": "r", "percent": 9}')})
    database.down = True
    harness = make(lookups=database, options=MachineOptions(breaker_failures=3, breaker_open_s=5))
    for _ in range(10):
        harness.publish("requests", "a", ask())
        harness.run_until_idle()
    assert len(database.asked) == 3
    database.down = False
    harness.advance(6)
    harness.publish("requests", "a", ask())
    harness.run_until_idle()
    assert notes(harness)[-1] == "database 9"


def test_a_replay_needs_neither_database_nor_secret(make: MakeHarness) -> None:
    database = Database({"r": Found("r", 5, b'{"name": "r", "percent": 9}')})
    pins = Pins()
    harness = make(lookups=database, verifier=pins)
    harness.publish("requests", "a", ask())
    harness.publish("requests", "a", message("pin", "a", pin="1234"))
    harness.run_until_idle()
    database.down = True
    pins.seen.clear()
    harness.restart()
    harness.run_until_idle()
    harness.publish("requests", "a", message("deposit", "a"))
    harness.run_until_idle()
    assert notes(harness) == ["database 9", "pin True"]
    assert watching(harness).drifts == []
    assert_repeats_are_equal(harness)
    assert pins.seen == []
    written = b"".join(record.value or b"" for record in harness.broker.records("doorstream.bank.journal"))
    assert b"1234" not in written


def test_a_message_that_waits_holds_up_its_own_partition_alone(make: MakeHarness) -> None:
    database = Database({"r": Found("r", 5, b'{"name": "r", "percent": 9}')})
    database.slow_s = 0.04
    harness = make(lookups=database, partitions=2)
    harness.run_until_idle()
    harness.publish("requests", "a", message("deposit", "a"), partition=0)
    harness.publish("requests", "a", ask(), partition=0)
    harness.publish("requests", "a", message("deposit", "a"), partition=0)
    harness.publish("requests", "a", message("deposit", "a"), partition=1)
    harness.worker.step(0.02)
    early = [(record.partition, record.offset) for record in harness.outputs("ledger")]
    assert early == [(0, 0), (1, 0)]
    harness.run_until_idle()
    assert [event["kind"] for event in events(harness)] == ["deposited", "checked", "deposited", "deposited"]


def test_a_verification_that_fails_is_no_answer_and_leaks_nothing(make: MakeHarness) -> None:
    harness = make(verifier=Pins())
    harness.publish("requests", "a", message("pin", "a", pin="boom"))
    harness.run_until_idle()
    assert notes(harness) == ["pin None"]
    assert "4711" not in " ".join(watching(harness).retries)


async def test_lanes_are_verified_side_by_side_off_the_event_loop_and_each_one_at_a_time() -> None:
    running: set[str] = set()
    seen: list[tuple[int, bool]] = []
    together = threading.Barrier(2, timeout=5)

    class Slow:
        def verify(self, verification: Verification) -> object:
            seen.append((threading.get_ident(), verification.lane in running))
            running.add(verification.lane)
            together.wait()  # only two lanes at once come past here
            running.discard(verification.lane)
            return True

    clock, woken = ManualClock(), asyncio.Event()
    resolver = Resolver(
        lookups=None,
        verifier=Slow(),
        references=ReferenceTables([], clock).views([]),
        clock=clock,
        options=MachineOptions(verifier_threads=2),
        observer=Watching(),
        executor=None,
        wake=woken.set,
    )
    pending = [resolver.ask([Verification("pin", lane, "pin", "1")]) for lane in ("door-1", "door-2") * 3]
    while not all(one.missing == 0 for one in pending):
        woken.clear()
        await woken.wait()
    resolver.close()
    assert [resolver.answers(one)["pin"].value for one in pending] == [True] * 6
    assert not any(overlapped for _, overlapped in seen)
    assert threading.get_ident() not in {thread for thread, _ in seen}


def test_what_waited_too_long_is_decided_without_an_answer() -> None:
    pending = Pending(give_up_s=10)
    pending.missing = 1
    assert not pending.ready(9.9)
    assert pending.ready(10)
