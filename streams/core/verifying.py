"""What must be asked of the outside before a request can be decided: missing records, and secrets to be verified."""

from __future__ import annotations

from collections.abc import Sequence
from typing import NamedTuple

import msgspec

from schemas.access import AccessRecorded, AccessRequested
from schemas.factors import Card, Face, Fingerprint, Pin
from schemas.people import Cardholder, Credential
from schemas.places import AccessPoint, Site
from schemas.record import Record
from schemas.vocabulary import Direction, FactorKind
from streams.core import reference
from streams.core.answers import answer_name, claimed_id
from streams.core.checks import in_service, is_free_egress
from streams.core.lockouts import event_ms_of, locks_on, refuses_unheard
from streams.core.permission_exceptions import covers
from streams.core.places import place as find_place
from streams.core.processor import Context, Lookup, Need, State, Verification

PIN = "pin"
TEMPLATE = "template"


class Candidate(msgspec.Struct, frozen=True):
    """An enrolled credential that a template is compared with; `sealed` is its secret part."""

    credential_id: str
    cardholder_id: str
    position: int
    sealed: str


class PinToVerify(msgspec.Struct, frozen=True):
    """A PIN as presented (plain or sealed) and the secret that it is compared with, if any is enrolled."""

    pin: str | None
    sealed: str | None
    candidate: Candidate | None

    def __repr__(self) -> str:
        """Without the secret."""
        return "PinToVerify(...)"


class TemplateToVerify(msgspec.Struct, frozen=True):
    """A template as presented (plain or sealed), its model, and whom it may belong to."""

    template: tuple[float, ...] | None
    sealed: str | None
    model: str | None
    candidates: tuple[Candidate, ...]

    def __repr__(self) -> str:
        """Without the secret."""
        return "TemplateToVerify(...)"


def may_need(request: AccessRequested | AccessRecorded, context: Context) -> bool:
    """Whether anything may have to be asked; cheap, and true for every secret."""
    for factor in request.factors:
        if not isinstance(factor, Card):
            return True
        found = context.references.find("credential", "card_number", factor.card_number)
        if not found or _lacks_permissions(found[0].cardholder_id, request, context):
            return True
    return False


def _lacks_permissions(cardholder_id: str | None, request: AccessRequested | AccessRecorded, context: Context) -> bool:
    """Whether no permission at hand may let somebody in here: the database may have a newer one (A5)."""
    if cardholder_id is None:
        return False
    place = find_place(context.references, request.access_point_id)
    if place is None or isinstance(request, AccessRecorded):
        return not reference.permissions_of(context.references, cardholder_id)
    point = place.point
    if point.direction is Direction.EGRESS:
        return not reference.permissions_of(context.references, cardholder_id)
    return not covers(cardholder_id, point.site_id, point, place.zone_path or (point.zone_to,), context)


def needs(
    request: AccessRequested | AccessRecorded,
    record: Record,
    point: AccessPoint,
    site: Site,
    state: State,
    context: Context,
) -> Sequence[Need]:
    """Lookups for a card, or the permissions of its holder, that the local view lacks; verifications of secrets."""
    found: list[Need] = []
    holder: Cardholder | None = None
    card: Credential | None = None
    several = len({factor.kind for factor in request.factors}) > 1
    for factor in request.factors:
        if isinstance(factor, Card):
            card, holder = _card_needs(factor, request, context, found)
    asked = _Asked(
        point,
        site,
        state,
        context,
        event_ms_of(request, record, context),
        isinstance(request, AccessRequested),
        several,
        request,
    )
    for index, factor in enumerate(request.factors):
        if not isinstance(factor, Card):
            found += _factor_needs(factor, index, (card, holder), asked)
    return found


def _card_needs(
    card: Card, request: AccessRequested | AccessRecorded, context: Context, found: list[Need]
) -> tuple[Credential | None, Cardholder | None]:
    number = card.card_number
    if not context.references.find("credential", "card_number", number):
        found.append(Lookup(f"credential:{number}", "credential", "card_number", number))
        return None, None
    credential = reference.credential_by_card(context.references, number, card.facility_code)
    if credential is None or credential.cardholder_id is None:
        return credential, None
    _permission_needs(credential.cardholder_id, request, context, found)
    return credential, reference.cardholder(context.references, credential.cardholder_id)


def _permission_needs(
    cardholder_id: str, request: AccessRequested | AccessRecorded, context: Context, found: list[Need]
) -> None:
    if _lacks_permissions(cardholder_id, request, context):
        found.append(Lookup(f"permission:{cardholder_id}", "permission", "cardholder_id", cardholder_id))


class _Asked(NamedTuple):
    """Where and when a request with `several` factors or one was made."""

    point: AccessPoint
    site: Site
    state: State
    context: Context
    event_ms: int
    live: bool
    several: bool
    request: AccessRequested | AccessRecorded


def _factor_needs(
    factor: Pin | Face | Fingerprint,
    index: int,
    card: tuple[Credential | None, Cardholder | None],
    asked: _Asked,
) -> list[Need]:
    point, context = asked.point, asked.context
    found: list[Need] = []
    credential, holder = card
    named = claimed_id(factor, context)
    if holder is None and named is not None:
        holder = reference.cardholder(context.references, named)
        if holder is None:
            return found
        _permission_needs(holder.cardholder_id, asked.request, context, found)
    elif holder is not None and named not in {None, holder.cardholder_id}:
        return found
    own = None
    if holder is not None:
        kind = FactorKind(factor.kind)
        own = reference.own_credential(context.references, holder.cardholder_id, kind, factor.credential_id)
        if _goes_unheard(asked, credential or own, holder):
            return found
    plain = factor.pin if isinstance(factor, Pin) else factor.template
    if plain is not None and not asked.site.plain_secrets:
        return found
    need = _verification(factor, index, holder, own, point, context)
    return [*found, need] if need is not None else found


def _goes_unheard(asked: _Asked, credential: Credential | None, holder: Cardholder) -> bool:
    """Whether the decision would not listen to a secret anyway; see `lockouts`."""
    point, references = asked.point, asked.context.references
    door = reference.door(references, point.door_id)
    device = reference.device(references, door.device_id) if door is not None else None
    if door is None or device is None or is_free_egress(point, door):
        return False
    if not in_service(point, device):
        return True
    locks = locks_on(
        asked.state,
        references,
        asked.site.site_id,
        point.access_point_id,
        credential,
        holder,
        asked.event_ms,
        live=asked.live,
    )
    return refuses_unheard(locks, credential, holder, several=asked.several)


def _verification(
    factor: Pin | Face | Fingerprint,
    index: int,
    holder: Cardholder | None,
    own: Credential | None,
    point: AccessPoint,
    context: Context,
) -> Verification | None:
    name, lane, kind = answer_name(index), point.access_point_id, FactorKind(factor.kind)
    if isinstance(factor, Pin):
        if holder is None:
            return None
        candidates = _candidates([own] if own is not None else [], context)
        return Verification(name, lane, PIN, PinToVerify(factor.pin, factor.sealed, next(iter(candidates), None)))
    if factor.score is not None or (factor.template is None and factor.sealed is None):
        return None
    people = [holder.cardholder_id] if holder else reference.permitted_cardholders(context.references, point)
    enrolled = [one for id_ in people for one in reference.credentials_of(context.references, id_, kind)]
    sought = TemplateToVerify(factor.template, factor.sealed, factor.model, _candidates(enrolled, context))
    return Verification(name, lane, TEMPLATE, sought)


def _candidates(enrolled: Sequence[Credential], context: Context) -> tuple[Candidate, ...]:
    found = []
    for credential in enrolled:
        secret = reference.secret(context.references, credential.credential_id)
        if secret is not None and credential.status == "active" and credential.cardholder_id is not None:
            position = context.references.position("secret", credential.credential_id)
            found.append(Candidate(credential.credential_id, credential.cardholder_id, position, secret.sealed))
    return tuple(found)
