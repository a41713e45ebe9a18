"""Answers of the outside, however large, many or strange, close no partition."""

from __future__ import annotations

import asyncio
import json
import threading

from streams.core.processor import Found, Verification
from streams.engine.inputs import MOST_ANSWERED
from streams.engine.journal import Entry
from streams.engine.memory import ManualClock
from streams.engine.options import MachineOptions
from streams.engine.references import ReferenceTables
from streams.engine.resolve import Resolver
from tests.engine.conftest import MakeHarness
from tests.engine.test_resolve import Database, Pins, ask, notes
from tests.engine.toy import message
from tests.engine.watching import Watching, journal, watching


def test_answers_that_are_too_large_for_the_journal_are_none(make: MakeHarness) -> None:
    rows = {"r": Found("r", 5, json.dumps({"name": "r", "percent": 9, "note": "x" * 2_000_000}).encode())}
    harness = make(lookups=Database(rows))
    harness.publish("requests", "a", ask())
    harness.publish("requests", "a", message("deposit"))
    harness.run_until_idle()
    assert notes(harness) == ["nobody knows"]
    assert watching(harness).halts == []


def test_many_answers_share_the_journals_room(make: MakeHarness) -> None:
    text = "x" * 30_000
    rows = {
        f"r{at}": Found("r", 5, json.dumps({"name": "r", "percent": at, "note": text}).encode()) for at in range(90)
    }
    harness = make(lookups=Database(rows))
    for at in range(90):
        harness.publish("requests", "a", ask(f"r{at}"))
        harness.publish("events", "a", ask(f"r{at}"))
    harness.run_until_idle()
    assert sorted(notes(harness)) == sorted([f"database {at}" for at in range(90)] * 2)
    assert max(len(record.value or b"") for record in harness.broker.records("doorstream.bank.journal")) < 900_000


def test_an_answer_that_cannot_be_journalled_is_none(make: MakeHarness) -> None:
    class Strange(Pins):
        def verify(self, verification: object) -> object:
            return object() if verification else None

    harness = make(verifier=Strange())
    harness.publish("requests", "a", message("pin", "a", pin="1234"))
    harness.publish("requests", "a", message("deposit"))
    harness.run_until_idle()
    assert notes(harness) == ["pin None"]
    assert watching(harness).drops == []


def test_an_answer_that_is_no_number_is_the_same_on_replay(make: MakeHarness) -> None:
    class Nan(Pins):
        def verify(self, verification: object) -> object:
            return {"score": float("nan"), "big": 2**80} if verification else None

    harness = make(verifier=Nan())
    harness.publish("requests", "a", message("pin", "a", pin="1234"))
    harness.run_until_idle()
    harness.publish("requests", "a", message("deposit"))
    harness.run_until_idle()
    harness.restart()
    harness.run_until_idle()
    assert watching(harness).drifts == []
    assert watching(harness).recoveries[-1] == (0, 2)


async def test_a_flood_of_attempts_at_one_access_point_is_cut_short() -> None:
    free = threading.Event()

    class Slow:
        def verify(self, verification: Verification) -> object:
            return free.wait(5) and verification.lane

    clock, woken = ManualClock(), asyncio.Event()
    resolver = Resolver(
        lookups=None,
        verifier=Slow(),
        references=ReferenceTables([], clock).views([]),
        clock=clock,
        options=MachineOptions(lane_attempts=4),
        observer=Watching(),
        executor=None,
        wake=woken.set,
    )
    pending = [resolver.ask([Verification("pin", "door-1", "pin", "1")]) for _ in range(1_000)]
    elsewhere = resolver.ask([Verification("pin", "door-2", "pin", "1")])
    # One in flight and four that wait; the others are decided at once, without an answer.
    assert [one.ready(clock.monotonic_s()) for one in pending] == [False] * 5 + [True] * 995
    free.set()
    while not all(one.missing == 0 for one in [*pending, elsewhere]):
        woken.clear()
        await woken.wait()
    resolver.close()
    assert [bool(one.answers) for one in pending] == [True] * 5 + [False] * 995
    assert elsewhere.answers["pin"].value == "door-2"


def test_an_entry_has_few_answers(make: MakeHarness) -> None:
    harness = make(verifier=Pins(), options=MachineOptions(lane_attempts=1_000, smallest_share=1_000))
    for _ in range(350):
        harness.publish("requests", "a", message("pin", "a", pin="1234"), partition=0)
    harness.run_until_idle()
    answered = [len(item.resolved["requests"]) for item in journal(harness) if isinstance(item, Entry)]
    assert sum(answered) == 350
    assert max(answered) == MOST_ANSWERED


async def test_a_verification_that_hangs_is_no_answer_and_its_access_point_is_verified_again() -> None:
    free, woken, watching_ = threading.Event(), asyncio.Event(), Hung()
    resolver = hanging(free, woken, watching_)

    async def answered(lane: str, payload: str) -> bool:
        pending = resolver.ask([Verification("pin", lane, "pin", payload)])
        while pending.missing:
            woken.clear()
            await woken.wait()
        return "pin" in pending.answers

    # Two threads and two that stand in for hung ones: three hang, and the last one still verifies.
    for door in ("door-1", "door-2", "door-1"):
        assert not await answered(door, "hang")
        assert await answered(door, "1234")
    assert watching_.hung == [1, 2, 3]
    assert not await answered("door-1", "hang")
    # None is left: decided at once, without an answer, until one comes back.
    assert resolver.ask([Verification("pin", "door-1", "pin", "1234")]).missing == 0
    free.set()
    while watching_.hung[-1]:
        watching_.told.clear()
        await watching_.told.wait()
    assert await answered("door-1", "1234")
    before = {thread.ident for thread in threading.enumerate() if thread.name == "verify"}
    assert len(before) <= 4
    resolver.close()


async def test_what_waits_behind_a_hung_verification_is_not_taken_for_hung() -> None:
    free, woken, watching_ = threading.Event(), asyncio.Event(), Hung()
    resolver = hanging(free, woken, watching_, threads=1)
    hung = resolver.ask([Verification("pin", "door-1", "pin", "hang")])
    behind = resolver.ask([Verification("pin", "door-2", "pin", "1234")])
    while hung.missing or behind.missing:
        woken.clear()
        await woken.wait()
    # Told once, of the one that hangs; what waits behind it may be cancelled or answered, which tells nothing.
    assert watching_.hung == [1]
    free.set()
    resolver.close()


def hanging(free: threading.Event, woken: asyncio.Event, observer: Watching, threads: int = 2) -> Resolver:
    class Hanging:
        def verify(self, verification: Verification) -> object:
            return free.wait(30) if verification.payload == "hang" else True

    clock = ManualClock()
    return Resolver(
        lookups=None,
        verifier=Hanging(),
        references=ReferenceTables([], clock).views([]),
        clock=clock,
        options=MachineOptions(verifier_threads=threads, verify_timeout_s=0.3, most_hung_verifiers=2),
        observer=observer,
        executor=None,
        wake=woken.set,
    )


class Hung(Watching):
    def __init__(self) -> None:
        super().__init__()
        self.hung: list[int] = []
        self.told = asyncio.Event()

    def verifiers_hung(self, threads: int) -> None:
        self.hung.append(threads)
        self.told.set()
