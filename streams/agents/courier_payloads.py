"""Events as subscribers get them: CloudEvents 1.0 in JSON, signed as Standard Webhooks are."""

from __future__ import annotations

import base64
import hmac
import json
from collections.abc import Sequence
from hashlib import sha256
from typing import Any

import msgspec

from schemas.event_classes import class_of
from schemas.keys import SUBSCRIPTION, derive_key
from schemas.record import Record
from streams.core.notices import Text

ONE = "application/cloudevents+json"
BATCH = "application/cloudevents-batch+json"
_ATTRIBUTES = ("id", "source", "type", "time")


def event_id(record: Record) -> str:
    """The event's id; for one that has none, its place, which no other has."""
    given = record.header("ce_id")
    return given.decode("utf-8", "replace") if given else f"{record.topic}/{record.partition}/{record.offset}"


def event_of(record: Record) -> dict[str, Any]:
    """A record as a CloudEvent; `eventclass` is M2's class, `data` the message as it is on its topic."""
    headers = {name: record.header(f"ce_{name}") for name in _ATTRIBUTES}
    event: dict[str, Any] = {name: value.decode("utf-8", "replace") for name, value in headers.items() if value}
    fields = json.loads(record.value or b"{}")
    found = class_of(fields)
    event |= {
        "specversion": "1.0",
        "id": event_id(record),
        "source": event.get("source", f"/doorstream/{record.topic}"),
        "type": str(fields.get("type", "")),
        "datacontenttype": "application/json",
        "data": msgspec.Raw(record.value or b"{}"),
    }
    return event if found is None else {**event, "eventclass": found.value}


def one(record: Record) -> bytes:
    """The body that an event is pushed with."""
    return msgspec.json.encode(event_of(record))


def batch(records: Sequence[Record]) -> bytes:
    """The body of a batch."""
    return msgspec.json.encode([event_of(record) for record in records])


def secret_of(master: bytes, subscription_id: str) -> str:
    """What a subscription's receiver checks signatures with, as Standard Webhooks writes it."""
    return "whsec_" + base64.b64encode(derive_key(master, SUBSCRIPTION, subscription_id)).decode()


def signed(key: bytes, id_: str, at_s: int, body: bytes) -> dict[str, str]:
    """The headers of a signed body: HMAC-SHA256 over `<id>.<Unix seconds>.<body>` (Standard Webhooks 1.0)."""
    mac = hmac.digest(key, f"{id_}.{at_s}.".encode() + body, sha256)
    return {
        "webhook-id": id_,
        "webhook-timestamp": str(at_s),
        "webhook-signature": "v1," + base64.b64encode(mac).decode(),
    }


def letter(name: str, records: Sequence[Record]) -> Text:
    """A batch as an e-mail: a line for each event."""
    count = f"{len(records)} event{'' if len(records) == 1 else 's'}"
    return Text(f"{name}: {count}", "\n".join(_line(record) for record in records) + "\n")


def _line(record: Record) -> str:
    event = event_of(record)
    fields = json.loads(record.value or b"{}")
    names = (
        "site_id",
        "door_id",
        "access_point_id",
        "device_id",
        "cardholder_id",
        "severity",
        "kind",
        "event",
        "reason",
    )
    said = [str(fields[name]) for name in names if fields.get(name) is not None]
    words = [str(event.get("time", ""))[:19], event["type"], str(event.get("eventclass", "")), *said]
    return "  ".join("".join(c if c.isprintable() else " " for c in word) for word in words)
