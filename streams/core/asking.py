"""From a request for access to the question that is judged: what is on file, who asks, and which locks are in force."""

from __future__ import annotations

import msgspec

from schemas.access import AccessRecorded, AccessRequested
from schemas.places import AccessPoint, Device, Door
from schemas.record import Record
from schemas.vocabulary import Reason
from streams.core.admission import BACKLOG, Admission
from streams.core.authentication import Authentication, authenticate
from streams.core.checks import in_service, is_free_egress
from streams.core.lockouts import Locks, event_ms_of, locks_on, refuses_unheard
from streams.core.places import place as find_place
from streams.core.processor import Context, State
from streams.core.question import Question
from streams.core.schedules import local
from streams.core.times import to_ms

Request = AccessRequested | AccessRecorded
GUESSED = frozenset({Reason.UNKNOWN_CREDENTIAL, Reason.VERIFICATION_FAILED})
"""What a single factor fails with that could be anybody's."""


def question_of(
    request: Request, record: Record, admission: Admission, state: State, context: Context
) -> Question | None:
    """What an admitted request asks; None where its access point is not on file, or not of this controller and site."""
    place = find_place(context.references, request.access_point_id)
    site, device, policy = admission.site, admission.device, admission.policy
    if place is None or site is None or device is None or policy is None:
        return None
    point, door = place.point, place.door
    if door.device_id != device.device_id or not point.site_id == door.site_id == site.site_id:
        return None
    policy = place.policy or policy
    live = record.topic != BACKLOG
    at_ms = context.now_ms if live else to_ms(request.occurred_at)
    event_ms = event_ms_of(request, record, context)
    known = authenticate(request, policy, device, context, at_ms)
    locks = locks_on(
        state,
        context.references,
        site.site_id,
        point.access_point_id,
        known.credential,
        known.cardholder,
        event_ms,
        live=live,
    )
    if _unheard(known, point, door, device, locks):
        known = authenticate(request, policy, device, context, at_ms, heard=False)
        if locks.point and known.failure in GUESSED and not _has_several(known):
            # Whether somebody has such a card or face is told of as little as whether a PIN is right.
            known = msgspec.structs.replace(known, heard=False)
    return Question(
        site=site,
        policy=policy,
        device=device,
        door=door,
        point=point,
        authentication=known,
        at_ms=at_ms,
        event_ms=event_ms,
        locks=locks,
        local=local(at_ms, site.time_zone),
        place=place,
        state=state,
        context=context,
        live=live,
    )


def _unheard(known: Authentication, point: AccessPoint, door: Door, device: Device, locks: Locks) -> bool:
    if is_free_egress(point, door):
        return False
    if not in_service(point, device):
        return True
    return refuses_unheard(locks, known.credential, known.cardholder, several=_has_several(known))


def _has_several(known: Authentication) -> bool:
    return known.method is not None and "+" in known.method
