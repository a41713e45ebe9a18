"""The toy bank under other names, so that every test has topics of its own."""

from __future__ import annotations

import os
import signal
from collections.abc import Sequence
from typing import Any

import msgspec

from schemas.record import Output, Record
from streams.core.processor import Cause, Context, Outcome
from tests.engine.toy import Bank

TOPICS = ("orders", "requests", "events", "ledger")
INPUTS = ("orders", "requests", "events")


class NamedBank(Bank):
    """A message of kind `kill` ends its process while it is decoded, as native code may."""

    def __init__(self, prefix: str) -> None:
        super().__init__()
        self.prefix = prefix
        self.name = f"{prefix}bank"
        self.inputs = tuple(prefix + topic for topic in INPUTS)
        self.references = ()

    def decode(self, record: Record) -> Any:
        data = super().decode(record)
        if data["kind"] == "kill":
            os.kill(os.getpid(), signal.SIGKILL)
        return data

    def publish(self, outcome: Outcome, cause: Cause, context: Context) -> Output | None:
        output = super().publish(outcome, cause, context)
        return None if output is None else msgspec.structs.replace(output, topic=self.prefix + output.topic)


def topics_of(prefix: str) -> Sequence[str]:
    """Every topic that a bank of this prefix needs."""
    own = [prefix + topic for topic in TOPICS]
    journals = [f"doorstream.{prefix}bank.{log}" for log in ("journal", "state")]
    return [*own, *(f"{topic}.dead" for topic in own), *journals]
