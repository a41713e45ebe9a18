"""Outcomes as records: the topic and key of the contract, CloudEvents headers, and the device's mac on commands."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from functools import cache
from operator import attrgetter
from typing import Any, NamedTuple

from schemas.alerts import DURESS
from schemas.base import Message
from schemas.commands import Command
from schemas.envelope import CONTENT_TYPE, SPECVERSION
from schemas.ids import derive
from schemas.keys import DEVICE
from schemas.lockouts import AuthenticationFailed, LockoutEnded, LockoutImpending, LockoutLifted, LockoutStarted
from schemas.record import Headers, Output, Record
from schemas.registry import topic_of
from schemas.sealing import Sealer
from schemas.signing import sign
from schemas.threats import ThreatAssessed
from schemas.topics import registry
from streams.core import reference
from streams.core.admission import Keys
from streams.core.lockout_publication import publish_at_site, publish_failure
from streams.core.processor import Context, Outcome
from streams.core.times import rfc3339

SEALED = "sealed"
DURESS_THREATS = "duress.threats"
"""Where nobody but monitoring reads."""
SOURCE = "/doorstream/site"
_SOURCE = ("ce_source", SOURCE.encode())
_MAY_BE_SECRET = (b"pin", b"template", b"secret", b"\\u", b"\\U")


def _passage_id(message: Any) -> str:
    return derive(message.type, message.decision_id)


def _answer_id(message: Any) -> str:
    return derive(message.type, message.site_id, message.request_id)


def _incident_id(message: Any) -> str:
    return derive(message.type, message.incident_id, message.transition)


def _mode_id(message: Any) -> str:
    return derive(message.type, message.door_id, message.mode_epoch, message.revision)


_IDS: Mapping[str, Callable[[Any], str]] = {
    "access_granted": attrgetter("decision_id"),
    "access_denied": attrgetter("decision_id"),
    "access_taken": _passage_id,
    "access_not_taken": _passage_id,
    "message_refused": attrgetter("refusal_id"),
    "duress": attrgetter("duress_id"),
    "operator_request_accepted": _answer_id,
    "operator_request_refused": _answer_id,
    "access_door": attrgetter("command_id"),
    "display": attrgetter("command_id"),
    "door_alarm": attrgetter("alarm_id"),
    "permission_updated": attrgetter("update_id"),
    "door_mode_desired": _mode_id,
    **dict.fromkeys(registry()["incidents"].messages, _incident_id),
    **dict.fromkeys(
        (
            "lock_door",
            "unlock_door",
            "block_door",
            "lock_down_door",
            "lock_down_release_door",
            "lock_open_door",
            "lock_open_release_door",
        ),
        attrgetter("command_id"),
    ),
    "threat_assessed": attrgetter("event_id"),
    "monitoring_started": attrgetter("event_id"),
    "monitoring_extended": attrgetter("event_id"),
    "monitoring_ended": attrgetter("event_id"),
    "threat_level_set": attrgetter("event_id"),
    "threat_level_cleared": attrgetter("event_id"),
    "abnormal_passage": attrgetter("event_id"),
}


_LOCKOUTS = frozenset({AuthenticationFailed, LockoutEnded, LockoutImpending, LockoutLifted, LockoutStarted})


class _Form(NamedTuple):
    """What is the same for all messages of a type; `key` is a field, and `id_of` gives an event's id."""

    topic: str
    key: str
    id_of: Callable[[Any], str]
    is_command: bool
    type_header: tuple[str, bytes]


@cache
def _form(model: type) -> _Form | None:
    """None for outcomes that concern the state alone, and for lockouts."""
    if not issubclass(model, Message) or model in _LOCKOUTS:
        return None
    type_ = str(model.model_fields["type"].default)
    topic = registry()[topic_of(type_)]
    return _Form(
        topic.name, topic.key or "site_id", _IDS[type_], issubclass(model, Command), ("ce_type", type_.encode())
    )


def publish_site(outcome: Outcome, context: Context, keys: Keys) -> Output | None:
    """The record that a message of the site becomes, on the site's own partition; None for what is no message."""
    kind: Any = type(outcome)
    form = _form(kind)
    if form is None:
        return _publish_lockout(outcome, context, keys) if kind in _LOCKOUTS else None
    topic, key_field, id_of, is_command, type_header = form
    if kind is ThreatAssessed and outcome.kind == DURESS:
        topic = DURESS_THREATS
    value = outcome.to_json()
    key = getattr(outcome, key_field).encode()
    headers: Headers = (
        ("ce_id", id_of(outcome).encode()),
        _SOURCE,
        SPECVERSION,
        ("ce_time", rfc3339(outcome.issued_at if is_command else outcome.decided_at).encode()),
        type_header,
        CONTENT_TYPE,
    )
    if is_command:
        headers = with_mac(topic, key, value, headers, outcome.device_id, context, keys)
    return Output(topic, key, value, headers, context.partition)


def _publish_lockout(outcome: Any, context: Context, keys: Keys) -> Output:
    if isinstance(outcome, AuthenticationFailed | LockoutLifted):
        return publish_failure(outcome, SOURCE, context, keys)
    return publish_at_site(outcome, SOURCE, context, context.partition)


def with_mac(
    topic: str, key: bytes, value: bytes, headers: Headers, device_id: str, context: Context, keys: Keys
) -> Headers:
    """A command's headers with the mac under the device's key; as they are without a master secret."""
    device = reference.device(context.references, device_id)
    version = device.key_version if device is not None else 1
    secret = keys.of(DEVICE, device_id, version)
    return headers if secret is None else (*headers, sign(secret, version, topic, key, value, headers))


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
