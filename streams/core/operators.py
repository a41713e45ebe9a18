"""Operators' requests: signed, in time, once, and only with the right; every refusal says what to do."""

from __future__ import annotations

from collections.abc import Iterator
from datetime import datetime
from hashlib import blake2b
from typing import Any

import msgspec

from schemas.base import JournalPosition
from schemas.commands import AccessDoor
from schemas.ids import derive
from schemas.keys import OPERATOR
from schemas.operators import (
    DoorUnlockRequested,
    OperatorRequest,
    OperatorRequestAccepted,
    OperatorRequestRefused,
    PassbackForgiven,
)
from schemas.places import Site
from schemas.record import Record
from schemas.signing import MAC_HEADER, NONCE_HEADER, NOT_AFTER_HEADER, verify
from streams.core import reference
from streams.core.admission import MISPLACED, Keys, misplaced
from streams.core.entities import DoorState, OperatorAsked, door_key, nonce_key, operator_key
from streams.core.passage import next_sequence
from streams.core.presence import lose_presence
from streams.core.processor import Arrival, Context, Outcome, State
from streams.core.times import from_ms, to_ms

UNLOCK_WITHIN_S = 10
"""How long a controller may still act on an unlock."""

REMEMBERED_S = 3600
"""How long a request id is remembered, and the farthest that its end may lie ahead."""

RIGHTS = {"door_unlock_requested": "unlock", "passback_forgiven": "forgive_passback"}


class OperatorAnswered(msgspec.Struct, frozen=True, gc=False, tag="operator_answered"):
    """A request was carried out; its id and its number used once (`nonce`, if it had one) are remembered until then."""

    site_id: str
    request_id: str
    operator_id: str
    nonce: str | None
    until_ms: int


class _Refused(Exception):  # noqa: N818 - control flow inside this module
    def __init__(self, code: str, detail: str) -> None:
        super().__init__(detail)
        self.code = code
        self.detail = detail


def decide_operator(arrival: Arrival, state: State, context: Context, keys: Keys) -> Iterator[Outcome]:
    """What comes of an operator's request."""
    request: OperatorRequest = arrival.message
    try:
        site = _site(request, arrival.record, context)
        _check_signature(request, arrival.record, site, context, keys)
        _check_right(request, site, context)
        nonce = _check_new(request, arrival.record, state)
        outcomes = list(_carry_out(request, state, context))
    except _Refused as refused:
        yield refuse_operator(request, context, refused.code, refused.detail)
        return
    until_ms = context.now_ms + REMEMBERED_S * 1000
    yield OperatorAnswered(request.site_id, request.request_id, request.operator_id, nonce, until_ms)
    yield from outcomes


def _site(request: OperatorRequest, record: Record, context: Context) -> Site:
    site = reference.site(context.references, request.site_id)
    if site is None or record.key != request.site_id.encode():
        raise _Refused("unknown_operator", f"site {request.site_id} is not on file, or is not the record's key")
    if misplaced(site.site_id, context):
        raise _Refused("failed", MISPLACED)
    return site


def _check_signature(request: OperatorRequest, record: Record, site: Site, context: Context, keys: Keys) -> None:
    end = record.header(NOT_AFTER_HEADER)
    if end is not None:
        try:
            moment = datetime.fromisoformat(end.decode("ascii"))
        except ValueError:
            moment = None
        if moment is None or moment.tzinfo is None:
            raise _Refused("expired", f"{NOT_AFTER_HEADER} is no RFC 3339 time with an offset")
        until_ms = to_ms(moment)
        if context.now_ms > until_ms:
            raise _Refused("expired", f"the request ended at {end.decode()}: send it again")
        if until_ms > context.now_ms + REMEMBERED_S * 1000:
            raise _Refused("expired", f"{NOT_AFTER_HEADER} lies more than {REMEMBERED_S} s ahead")
    if site.message_authentication == "off":
        return
    header, key = record.header(MAC_HEADER), keys.of(OPERATOR, request.operator_id)
    if end is None or record.header(NONCE_HEADER) is None:
        raise _Refused("invalid_signature", f"{NOT_AFTER_HEADER} and {NONCE_HEADER} are required")
    if header is None or key is None or not verify(key, header, record.topic, record.key, record.value, record.headers):
        raise _Refused("invalid_signature", f"{MAC_HEADER} is not that of operator {request.operator_id}")


def _check_new(request: OperatorRequest, record: Record, state: State) -> str | None:
    """Neither the request's id nor its number used once was seen before; gives the number (as a digest)."""
    if state.get(operator_key(request.site_id, request.request_id)) is not None:
        raise _Refused("repeated", "this request was answered before: send a new request_id")
    header = record.header(NONCE_HEADER)
    if header is None:
        return None
    nonce = blake2b(header, digest_size=16).hexdigest()
    if state.get(nonce_key(request.site_id, request.operator_id, nonce)) is not None:
        raise _Refused("repeated", f"{NONCE_HEADER} was used before: draw a new one for each request")
    return nonce


def _check_right(request: OperatorRequest, site: Site, context: Context) -> None:
    policy = reference.policy(context.references, site.policy_id)
    known = {row.operator_id: row.rights for row in policy.operators} if policy is not None else {}
    if request.operator_id not in known:
        detail = f"{request.operator_id} is no operator of {site.site_id}: name them in policy {site.policy_id}"
        raise _Refused("unknown_operator", detail)
    right = RIGHTS.get(_type(request))
    if right not in known[request.operator_id]:
        detail = f"{request.operator_id} lacks the right `{right}`: give it in policy {site.policy_id}"
        raise _Refused("no_right", detail)


def _carry_out(request: OperatorRequest, state: State, context: Context) -> Iterator[Outcome]:
    if isinstance(request, DoorUnlockRequested):
        command = _unlock(request, state, context)
        yield _accepted(request, context, door_id=request.door_id, command_id=command.command_id)
        yield command
    elif isinstance(request, PassbackForgiven):
        who = request.cardholder_id
        if who is not None and reference.cardholder(context.references, who) is None:
            raise _Refused("unknown_cardholder", f"cardholder {who} is not on file")
        yield _accepted(request, context, cardholder_id=who)
        yield lose_presence(request.site_id, who, state, context)


def _unlock(request: DoorUnlockRequested, state: State, context: Context) -> AccessDoor:
    door = reference.door(context.references, request.door_id)
    if door is None or door.site_id != request.site_id:
        raise _Refused("unknown_door", f"{request.site_id} has no door {request.door_id}")
    found: DoorState = state.get(door_key(door.door_id)) or DoorState()
    return AccessDoor(
        command_id=derive("unlock", request.site_id, request.request_id),
        operator_request_id=request.request_id,
        site_id=request.site_id,
        device_id=door.device_id,
        door_id=door.door_id,
        sequence=next_sequence(found, context),
        mode_epoch=found.mode_epoch,
        issued_at=from_ms(context.now_ms),
        access_time_s=door.access_time_s,
        not_after=from_ms(context.now_ms + UNLOCK_WITHIN_S * 1000),
    )


def _type(request: OperatorRequest) -> str:
    return str(getattr(request, "type", "operator_request"))


def _answer(request: OperatorRequest, context: Context) -> dict[str, Any]:
    return {
        "request_id": request.request_id,
        "site_id": request.site_id,
        "operator_id": request.operator_id,
        "request_type": _type(request),
        "decided_at": from_ms(context.now_ms),
        "journal": JournalPosition(partition=context.partition, number=context.number),
    }


def _accepted(request: OperatorRequest, context: Context, **fields: Any) -> OperatorRequestAccepted:
    return OperatorRequestAccepted(**_answer(request, context), **fields)


def refuse_operator(request: OperatorRequest, context: Context, code: str, detail: str) -> OperatorRequestRefused:
    """The refusal of a request."""
    return OperatorRequestRefused(**_answer(request, context), code=code, detail=detail)


def remembered(answered: OperatorAnswered) -> OperatorAsked:
    """What is kept of an answer."""
    return OperatorAsked(answered.until_ms)
