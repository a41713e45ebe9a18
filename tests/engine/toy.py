# ruff: noqa: ARG002 - the protocol names what this toy does not need
"""A toy processor: accounts with deposits, withdrawals that may be refused, loans with a deadline, and bad messages."""

from __future__ import annotations

import json
from collections.abc import Iterable, Sequence
from typing import Any

import msgspec

from schemas.record import Output, Record
from streams.core.processor import (
    Arrival,
    Cause,
    Change,
    Context,
    Lookup,
    Need,
    Outcome,
    ReferenceTable,
    State,
    Tick,
    UndecodableError,
    Verification,
)


class Account(msgspec.Struct, frozen=True):
    balance: int = 0
    loan_due_ms: int | None = None


class Event(msgspec.Struct, frozen=True):
    """`kind`: deposited, withdrawn, refused, lent, overdue, failed, checked."""

    kind: str
    account: str
    amount: int
    balance: int
    note: str = ""
    at_ms: int = 0


class Noted(msgspec.Struct, frozen=True):
    """Concerns the state alone."""

    account: str
    loan_due_ms: int | None


def message(kind: str, account: str = "a", amount: int = 1, **more: Any) -> bytes:
    return json.dumps({"kind": kind, "account": account, "amount": amount, **more}).encode()


def name_of(data: bytes) -> Iterable[str]:
    return [json.loads(data)["name"]]


class Bank:
    """Kinds of messages: deposit, withdraw, lend (amount = ms), half (raises after a change), die, ask, pin, big.

    Any other kind makes `decide` raise.
    """

    name = "bank"
    inputs: tuple[str, ...] = ("orders", "requests", "events")
    references: tuple[ReferenceTable, ...] = (ReferenceTable("rate", "reference.rate", json.loads, {"name": name_of}),)

    def __init__(self, version: str = "1", *, salt: str = "") -> None:
        self.version = version
        self.salt = salt
        self.decided = 0
        self.fatal: Exception | BaseException | None = None

    def decode(self, record: Record) -> Any:
        try:
            data = json.loads(record.value or b"")
        except ValueError as error:
            raise UndecodableError("not JSON") from error
        return data

    def needs(self, state: State, arrival: Arrival, context: Context) -> Sequence[Need]:
        kind = arrival.message["kind"]
        if kind == "ask" and context.references.get("rate", arrival.message["rate"]) is None:
            return [Lookup("rate", "rate", "id", arrival.message["rate"])]
        if kind == "pin":
            return [Verification("pin", arrival.message["account"], "pin", arrival.message["pin"])]
        return ()

    def decide(self, state: State, cause: Cause, context: Context) -> Sequence[Outcome]:
        self.decided += 1
        if isinstance(cause, Tick):
            account = state.get(cause.key) or Account()
            name = cause.key.partition("/")[2]
            return [Noted(name, None), Event("overdue", name, 0, account.balance, "", context.now_ms)]
        order = cause.message
        name, amount, kind = order["account"], order["amount"], order["kind"]
        account = state.get(f"account/{name}") or Account()
        if kind == "die" and self.fatal is not None:
            raise self.fatal
        match kind:
            case "deposit" | "half":
                if kind == "half":
                    return [Event("deposited", name, amount, account.balance + amount), Event("broken", name, 0, 0)]
                return [Event("deposited", name, amount, account.balance + amount, self.salt, context.now_ms)]
            case "withdraw" if account.balance < amount:
                return [Event("refused", name, amount, account.balance)]
            case "withdraw":
                return [Event("withdrawn", name, amount, account.balance - amount)]
            case "lend":
                return [Noted(name, context.now_ms + amount), Event("lent", name, amount, account.balance)]
            case "ask" | "pin":
                return [Event("checked", name, 0, account.balance, self._answer(order, context))]
            case "big":
                return [Event("big", name, 0, account.balance, "x" * amount)]
            case _:
                raise RuntimeError(f"no such order {kind}, secret 4711")

    def _answer(self, order: Any, context: Context) -> str:
        if order["kind"] == "pin":
            return f"pin {context.resolved.get('pin')}"
        rate = context.references.get("rate", order["rate"])
        if rate is not None:
            return f"view {rate['percent']}"
        found = context.resolved.get("rate")
        if found is None:
            return "nobody knows"
        return f"database {json.loads(found[0].value)['percent']}" if found else "absent"

    def evolve(self, state: State, outcome: Outcome) -> Iterable[Change]:
        key = f"account/{outcome.account}"
        account = state.get(key) or Account()
        if isinstance(outcome, Noted):
            yield key, Account(account.balance, outcome.loan_due_ms)
        elif outcome.kind in ("deposited", "withdrawn"):
            yield key, Account(outcome.balance, account.loan_due_ms)
        elif outcome.kind == "broken":
            raise RuntimeError("half-way")

    def refuse(self, cause: Cause, context: Context, error: str) -> Sequence[Outcome]:
        name = cause.message.get("account", "?") if isinstance(cause, Arrival) else cause.key
        return [Event("failed", name, 0, 0)]

    def publish(self, outcome: Outcome, cause: Cause, context: Context) -> Output | None:
        if isinstance(outcome, Noted):
            return None
        return Output("ledger", outcome.account.encode(), msgspec.json.encode(outcome), (), context.partition)

    def scrub(self, record: Record) -> tuple[bytes | None, str | None]:
        if b"pin" in (record.value or b""):
            return None, "removed"
        return record.value, None

    def deadline(self, key: str, entity: Any) -> int | None:
        due: int | None = entity.loan_due_ms
        return due

    def encode_entity(self, entity: Any) -> bytes:
        return msgspec.msgpack.encode(entity)

    def decode_entity(self, key: str, data: bytes) -> Any:
        return msgspec.msgpack.decode(data, type=Account)


class Rated(Bank):
    """An overdue loan costs as much as the rate says; the first look at it may fail."""

    failing: Exception | None = None

    def decide(self, state: State, cause: Cause, context: Context) -> Sequence[Outcome]:
        if not isinstance(cause, Tick):
            return super().decide(state, cause, context)
        failing, self.failing = self.failing, None
        if failing is not None:
            raise failing
        name, rate = cause.key.partition("/")[2], context.references.get("rate", "r")
        return [Noted(name, None), Event("overdue", name, rate["percent"] if rate else 0, 0)]
