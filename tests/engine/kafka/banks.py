"""The toy bank under other names, so that every test has topics of its own."""

from __future__ import annotations

from collections.abc import Sequence

import msgspec

from schemas.record import Output
from streams.core.processor import Cause, Context, Outcome
from tests.engine.toy import Bank

TOPICS = ("orders", "requests", "events", "ledger")
INPUTS = ("orders", "requests", "events")


class NamedBank(Bank):
    def __init__(self, prefix: str) -> None:
        super().__init__()
        self.prefix = prefix
        self.name = f"{prefix}bank"
        self.inputs = tuple(prefix + topic for topic in INPUTS)
        self.references = ()

    def publish(self, outcome: Outcome, cause: Cause, context: Context) -> Output | None:
        output = super().publish(outcome, cause, context)
        return None if output is None else msgspec.structs.replace(output, topic=self.prefix + output.topic)


def topics_of(prefix: str) -> Sequence[str]:
    """Every topic that a bank of this prefix needs."""
    own = [prefix + topic for topic in TOPICS]
    journals = [f"doorstream.{prefix}bank.{log}" for log in ("journal", "state")]
    return [*own, *(f"{topic}.dead" for topic in own), *journals]
