"""A journal decided again as a whole."""

from __future__ import annotations

import asyncio
import json

import msgspec
import pytest

from schemas.record import Output
from streams.core.processor import Processor
from streams.engine.auditing import Audit, Audited
from streams.engine.harness import Harness
from streams.engine.memory import MemoryClient
from streams.engine.references import ReferenceTables
from tests.engine.conftest import MakeHarness
from tests.engine.toy import Bank, message

JOURNAL = "doorstream.bank.journal"


def audit(harness: Harness, bank: Processor | None = None) -> Audited:
    async def work() -> Audited:
        client, code = MemoryClient(harness.broker), bank or Bank()
        tables = ReferenceTables(code.references, harness.clock)
        await tables.load(client)
        views = tables.views(code.references)
        return await Audit(code, client, views, incarnation=1).run(0)

    return asyncio.run(work())


def busy(harness: Harness) -> None:
    """Messages of every kind, over crashes, checkpoints, ticks, dead letters and changing references."""
    for at in range(40):
        harness.publish("reference.rate", "r", json.dumps({"name": "r", "at": at}).encode())
        harness.publish("requests", "a", message("deposit", "a", at), partition=0)
        harness.publish("requests", "a", message("lend", f"b{at}", 1500), partition=0)
        harness.publish("requests", "a", message("half", "c"), partition=0)
        harness.publish("events", "a", b"no json", partition=0)
        harness.run_until_idle()
        harness.advance(0.7)
        if at % 9 == 8:
            harness.restart()
            harness.run_until_idle()


def test_a_journal_decided_again_gives_the_digests_of_then(make: MakeHarness) -> None:
    harness = make()
    busy(harness)
    found = audit(harness)
    assert (found.drifts, found.stopped) == ([], None)
    assert found.messages == 160
    assert found.ticks > 0
    topics = ("ledger", "requests.dead", "events.dead")
    assert found.outputs == sum(len(harness.outputs(topic)) for topic in topics)


def test_other_code_is_found_out_at_its_first_entry(make: MakeHarness) -> None:
    harness = make()
    busy(harness)
    found = audit(harness, Bank(salt="drifted"))
    assert found.drifts[0] == 1


def test_an_input_that_was_altered_is_found_out(make: MakeHarness) -> None:
    harness = make()
    for amount in (1, 2, 3):
        harness.publish("requests", "a", message("deposit", "a", amount), partition=0)
        harness.run_until_idle()
    harness.advance(1.5)
    records = harness.broker.log("requests", 0).records
    records[1] = msgspec.structs.replace(records[1], value=message("deposit", "a", 77))
    assert audit(harness).drifts == [2, 3]


@pytest.mark.parametrize("version", ["2"])
def test_entries_of_another_version_are_named_and_not_decided(make: MakeHarness, version: str) -> None:
    harness = make()
    busy(harness)
    found = audit(harness, Bank(version))
    assert found.entries == 0
    assert found.stopped == "entry 1 was decided by version 1: run that version"


def test_what_a_sleeper_wrote_does_not_count(make: MakeHarness) -> None:
    harness = make()
    busy(harness)
    last = harness.broker.log(JOURNAL, 0).records[-1]
    harness.broker.write(Output(JOURNAL, None, last.value, (), 0))
    assert audit(harness).drifts == []
