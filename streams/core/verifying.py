"""What must be asked of the outside before a request can be decided: missing records, and secrets to be verified."""

from __future__ import annotations

from collections.abc import Sequence

import msgspec

from schemas.access import AccessRecorded, AccessRequested
from schemas.factors import Card, Face, Fingerprint, Pin
from schemas.people import Cardholder, Credential
from schemas.places import AccessPoint, Site
from schemas.vocabulary import FactorKind
from streams.core import reference
from streams.core.processor import Context, Lookup, Need, Verification

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


def answer_name(index: int) -> str:
    """The name in `Context.resolved` of what a factor's verification gave, by the factor's place in the request."""
    return f"factor:{index}"


def needs(
    request: AccessRequested | AccessRecorded, point: AccessPoint, site: Site, context: Context
) -> Sequence[Need]:
    """Lookups for a card, or the permissions of its holder, that the local view lacks; verifications of secrets."""
    found: list[Need] = []
    holder: Cardholder | None = None
    for factor in request.factors:
        if isinstance(factor, Card):
            holder = _card_needs(factor.card_number, context, found)
    for index, factor in enumerate(request.factors):
        if not isinstance(factor, Card):
            need = _verification(factor, index, holder, point, site, context)
            if need is not None:
                found.append(need)
    return found


def _card_needs(card_number: str, context: Context, found: list[Need]) -> Cardholder | None:
    rows = context.references.find("credential", "card_number", card_number)
    if not rows:
        found.append(Lookup(f"credential:{card_number}", "credential", "card_number", card_number))
        return None
    id_ = rows[0].cardholder_id
    if id_ is None:
        return None
    if not reference.permissions_of(context.references, id_):
        found.append(Lookup(f"permission:{id_}", "permission", "cardholder_id", id_))
    return reference.cardholder(context.references, id_)


def _verification(
    factor: Pin | Face | Fingerprint,
    index: int,
    holder: Cardholder | None,
    point: AccessPoint,
    site: Site,
    context: Context,
) -> Verification | None:
    kind = FactorKind(factor.kind)
    plain = factor.pin if isinstance(factor, Pin) else factor.template
    if plain is not None and not site.plain_secrets:
        return None
    if holder is None:
        holder = _claimed(factor.cardholder_id, factor.credential_id, context)
    if isinstance(factor, Pin):
        if holder is None:
            return None
        candidates = _candidates([holder.cardholder_id], kind, context)
        payload = PinToVerify(factor.pin, factor.sealed, candidates[0] if candidates else None)
        return Verification(answer_name(index), point.access_point_id, PIN, payload)
    if factor.template is None and factor.sealed is None:
        return None
    people = [holder.cardholder_id] if holder else reference.permitted_cardholders(context.references, point)
    sought = TemplateToVerify(factor.template, factor.sealed, factor.model, _candidates(people, kind, context))
    return Verification(answer_name(index), point.access_point_id, TEMPLATE, sought)


def _claimed(cardholder_id: str | None, credential_id: str | None, context: Context) -> Cardholder | None:
    if cardholder_id is None and credential_id is not None:
        credential: Credential | None = context.references.get("credential", credential_id)
        cardholder_id = credential.cardholder_id if credential else None
    return reference.cardholder(context.references, cardholder_id) if cardholder_id else None


def _candidates(people: Sequence[str], kind: FactorKind, context: Context) -> tuple[Candidate, ...]:
    found = []
    for id_ in people:
        for credential in reference.credentials_of(context.references, id_, kind):
            secret = reference.secret(context.references, credential.credential_id)
            if secret is not None and credential.status == "active":
                position = context.references.position("secret", credential.credential_id)
                found.append(Candidate(credential.credential_id, id_, position, secret.sealed))
    return tuple(found)
