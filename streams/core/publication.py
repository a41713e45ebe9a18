"""Outcomes as records: the topic and key of the contract, CloudEvents headers, and the device's mac on commands."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any

from schemas.base import Message
from schemas.commands import Command
from schemas.envelope import event_headers, type_of
from schemas.ids import derive
from schemas.keys import DEVICE
from schemas.record import Output, Record
from schemas.registry import topic_of
from schemas.sealing import Sealer
from schemas.signing import sign
from schemas.topics import registry
from streams.core import reference
from streams.core.admission import Keys
from streams.core.processor import Context
from streams.core.times import rfc3339

SEALED = "sealed"
_MAY_BE_SECRET = (b"pin", b"template", b"secret", b"\\u", b"\\U")


def _passage_id(message: Any) -> str:
    return derive(message.type, message.decision_id)


def _answer_id(message: Any) -> str:
    return derive(message.type, message.site_id, message.request_id)


_IDS: Mapping[str, Callable[[Any], str]] = {
    "access_granted": lambda message: str(message.decision_id),
    "access_denied": lambda message: str(message.decision_id),
    "access_taken": _passage_id,
    "access_not_taken": _passage_id,
    "message_refused": lambda message: str(message.refusal_id),
    "duress": lambda message: str(message.duress_id),
    "operator_request_accepted": _answer_id,
    "operator_request_refused": _answer_id,
    "access_door": lambda message: str(message.command_id),
    "display": lambda message: str(message.command_id),
}


def publish_site(message: Message, context: Context, keys: Keys) -> Output:
    """The record that a message of the site becomes, on the site's own partition."""
    fields: Any = message
    type_ = type_of(message)
    topic = topic_of(type_)
    value = message.to_json()
    if isinstance(message, Command):
        key = message.device_id.encode()
        time = message.issued_at
    else:
        key = fields.site_id.encode()
        time = fields.decided_at
    headers = event_headers(_IDS[type_](message), "/doorstream/site", type_, rfc3339(time))
    if isinstance(message, Command):
        device = reference.device(context.references, message.device_id)
        version = device.key_version if device is not None else 1
        secret = keys.of(DEVICE, message.device_id, version)
        if secret is not None:
            headers = (*headers, sign(secret, version, topic, key, value, headers))
    return Output(topic, key, value, headers, context.partition)


def scrub(record: Record, sealer: Sealer | None) -> tuple[bytes | None, str | None]:
    """A dead letter's value: the original, or its sealed box where it may hold a PIN or a template."""
    value = record.value
    topic = registry().get(record.topic)
    if value is None or topic is None or not topic.secret:
        return value, None
    lowered = value.lower()
    if not any(word in lowered for word in _MAY_BE_SECRET):
        return value, None
    if sealer is None:
        return None, "removed"
    return sealer.seal(value).encode(), SEALED
