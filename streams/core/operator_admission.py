"""Which requests of operators are carried out: signed, in time, once, and only with the right.

Every processor that takes requests admits them in this way, and every refusal says what to do.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Mapping
from datetime import datetime
from hashlib import blake2b
from typing import Any

import msgspec

from schemas.base import JournalPosition
from schemas.keys import OPERATOR
from schemas.operators import OperatorRequest, OperatorRequestAccepted, OperatorRequestRefused
from schemas.places import Site
from schemas.record import Record
from schemas.signing import MAC_HEADER, NONCE_HEADER, NOT_AFTER_HEADER, verify
from streams.core import reference
from streams.core.admission import MISPLACED, Keys, misplaced
from streams.core.entities import OperatorAsked, nonce_key, operator_key
from streams.core.processor import Arrival, Change, Context, Outcome, State
from streams.core.times import from_ms, to_ms

REMEMBERED_S = 3600
"""How long a request id is remembered, and the farthest that its end may lie ahead."""

CarryOut = Callable[[Any, State, Context], Iterable[Outcome]]


class OperatorAnswered(msgspec.Struct, frozen=True, gc=False, tag="operator_answered"):
    """A request was carried out; its id and its number used once (`nonce`, if it had one) are remembered until then."""

    site_id: str
    request_id: str
    operator_id: str
    nonce: str | None
    until_ms: int


class Refused(Exception):  # noqa: N818 - control flow of who carries a request out
    """A request is not carried out: a word for why, and a sentence with the fix."""

    def __init__(self, code: str, detail: str) -> None:
        super().__init__(detail)
        self.code = code
        self.detail = detail


def decide_request(
    arrival: Arrival, state: State, context: Context, keys: Keys, rights: Mapping[str, str], carry_out: CarryOut
) -> Iterator[Outcome]:
    """What comes of an operator's request; `rights` names the right that each type needs.

    `carry_out` gives the outcomes, the acceptance among them, or raises `Refused`.
    """
    request: OperatorRequest = arrival.message
    try:
        site = _site(request, arrival.record, context)
        _check_signature(request, arrival.record, site, context, keys)
        need_right(request, rights[_type(request)], context)
        nonce = _check_new(request, arrival.record, state)
        outcomes = list(carry_out(request, state, context))
    except Refused as refused:
        yield refuse_operator(request, context, refused.code, refused.detail)
        return
    until_ms = context.now_ms + REMEMBERED_S * 1000
    yield OperatorAnswered(request.site_id, request.request_id, request.operator_id, nonce, until_ms)
    yield from outcomes


def _site(request: OperatorRequest, record: Record, context: Context) -> Site:
    site = reference.site(context.references, request.site_id)
    if site is None or record.key != request.site_id.encode():
        raise Refused("unknown_operator", f"site {request.site_id} is not on file, or is not the record's key")
    if misplaced(site.site_id, context):
        raise Refused("failed", MISPLACED)
    return site


def _check_signature(request: OperatorRequest, record: Record, site: Site, context: Context, keys: Keys) -> None:
    end = record.header(NOT_AFTER_HEADER)
    if end is not None:
        try:
            moment = datetime.fromisoformat(end.decode("ascii"))
        except ValueError:
            moment = None
        if moment is None or moment.tzinfo is None:
            raise Refused("expired", f"{NOT_AFTER_HEADER} is no RFC 3339 time with an offset")
        until_ms = to_ms(moment)
        if context.now_ms > until_ms:
            raise Refused("expired", f"the request ended at {end.decode()}: send it again")
        if until_ms > context.now_ms + REMEMBERED_S * 1000:
            raise Refused("expired", f"{NOT_AFTER_HEADER} lies more than {REMEMBERED_S} s ahead")
    if site.message_authentication == "off":
        return
    header, key = record.header(MAC_HEADER), keys.of(OPERATOR, request.operator_id)
    if end is None or record.header(NONCE_HEADER) is None:
        raise Refused("invalid_signature", f"{NOT_AFTER_HEADER} and {NONCE_HEADER} are required")
    if header is None or key is None or not verify(key, header, record.topic, record.key, record.value, record.headers):
        raise Refused("invalid_signature", f"{MAC_HEADER} is not that of operator {request.operator_id}")


def _check_new(request: OperatorRequest, record: Record, state: State) -> str | None:
    """Neither the request's id nor its number used once was seen before; gives the number (as a digest)."""
    if state.get(operator_key(request.site_id, request.request_id)) is not None:
        raise Refused("repeated", "this request was answered before: send a new request_id")
    header = record.header(NONCE_HEADER)
    if header is None:
        return None
    nonce = blake2b(header, digest_size=16).hexdigest()
    if state.get(nonce_key(request.site_id, request.operator_id, nonce)) is not None:
        raise Refused("repeated", f"{NONCE_HEADER} was used before: draw a new one for each request")
    return nonce


def need_right(request: OperatorRequest, right: str, context: Context) -> None:
    """Refuse a request whose operator lacks a right at its site.

    Raises:
        Refused: no such operator, or no such right.
    """
    site = reference.site(context.references, request.site_id)
    policy = reference.policy(context.references, site.policy_id) if site is not None else None
    known = {row.operator_id: row.rights for row in policy.operators} if policy is not None else {}
    named = f"policy {site.policy_id}" if site is not None else "the site's policy"
    if request.operator_id not in known:
        detail = f"{request.operator_id} is no operator of {request.site_id}: name them in {named}"
        raise Refused("unknown_operator", detail)
    if right not in known[request.operator_id]:
        raise Refused("no_right", f"{request.operator_id} lacks the right `{right}`: give it in {named}")


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


def accepted(request: OperatorRequest, context: Context, **fields: Any) -> OperatorRequestAccepted:
    """The acceptance of a request."""
    return OperatorRequestAccepted(**_answer(request, context), **fields)


def refuse_operator(request: OperatorRequest, context: Context, code: str, detail: str) -> OperatorRequestRefused:
    """The refusal of a request."""
    return OperatorRequestRefused(**_answer(request, context), code=code, detail=detail)


def evolve_answered(answered: OperatorAnswered) -> Iterator[Change]:
    """What is kept of an answer."""
    asked = OperatorAsked(answered.until_ms)
    yield operator_key(answered.site_id, answered.request_id), asked
    if answered.nonce is not None:
        yield nonce_key(answered.site_id, answered.operator_id, answered.nonce), asked
