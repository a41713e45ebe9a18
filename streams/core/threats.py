"""Threats (A5): assessed, recorded, and followed by heightened monitoring or by a plan that is proposed to a person.

Low: recorded, nothing else. Medium: the zone, or the person where it is theirs, is monitored for a while. High:
besides, the zone's level is set and the plan of its policy proposed, once for the zone that the plan is to cover, until
somebody starts it, clears the level, or nobody has confirmed it in time. All of it ends by itself.

Duress is assessed and begins nothing: whoever stands beside its victim must not see anything happen.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import Any

import msgspec

from schemas.ids import derive
from schemas.incidents import LockdownEscalated, LockdownReleased, LockdownStarted
from schemas.operators import OperatorRequest
from schemas.threats import Assessment, ThreatAssessed, ThreatClearRequested, ThreatLevelRequested
from schemas.vocabulary import ThreatLevel
from streams.core import reference
from streams.core.lockdowns import Order, start
from streams.core.operator_admission import Refused, accepted
from streams.core.processor import Context, Outcome, References, State
from streams.core.threat_places import Locus, locus, rules_of, scope_of
from streams.core.threat_scoring import assess, circumstances, recent_within
from streams.core.threat_signs import PERSONAL, Sign
from streams.core.threat_state import (
    Held,
    Lately,
    Monitored,
    ThreatsAt,
    ZoneThreat,
    lately_key,
    monitored_key,
    threats_key,
    zone_threat_key,
)
from streams.core.threat_work import ThreatWork
from streams.core.times import from_ms

DURESS = "duress"
_replace = msgspec.structs.replace
_COVERS = {
    "area": ThreatLevel.LOW,
    "floor": ThreatLevel.MEDIUM,
    "building": ThreatLevel.HIGH,
    "site": ThreatLevel.EXTREME,
}
_MEDIUM, _HIGH = ThreatLevel.MEDIUM.rank, ThreatLevel.HIGH.rank


def suspect(sign: Sign, work: ThreatWork) -> None:
    """A sign of a threat: assess it, put it on record, and begin what its level asks for."""
    where = locus(
        work.context.references, sign.site_id,
        access_point_id=sign.access_point_id, door_id=sign.door_id, device_id=sign.device_id,
    )  # fmt: skip
    if sign.kind == DURESS:
        found = circumstances(where, sign.site_id, work.at_ms, work.state, work.context)
        work.tell(_assessed(sign, where, assess(DURESS, where.rules, found), 0, work, {"response": "recorded"}))
        return
    recent = _count(sign, where, work)
    watched = watching(sign.site_id, where, sign.cardholder_id, work)
    personally = any(one.subject == "cardholder" for one in watched)
    found = circumstances(
        where, sign.site_id, work.at_ms, work.state, work.context, recent=recent, monitored=personally
    )
    assessment = assess(sign.kind, where.rules, found)
    for one in watched:
        work.seen(one)
    # What is begun is told after the record of why.
    place = work.told
    response = _respond(sign, where, assessment.level.rank, work)
    work.tell(_assessed(sign, where, assessment, recent, work, response), place)


def watching(site_id: str, where: Locus, cardholder_id: str | None, work: ThreatWork) -> list[Monitored]:
    """The heightened monitorings that something at a place, or by a person, is an event of."""
    subjects = [("zone", zone_id) for zone_id in where.path]
    if cardholder_id is not None:
        subjects.insert(0, ("cardholder", cardholder_id))
    found = (work.monitored(site_id, subject, id_) for subject, id_ in subjects)
    return [one for one in found if one is not None]


def _count(sign: Sign, where: Locus, work: ThreatWork) -> int:
    """Count a threat in its zone; gives how many others there were within the window before it."""
    key = lately_key(f"threats/{sign.site_id}", where.zone_id or "")
    known: Lately = work.get(key) or Lately((), (), 0)
    # What is heard of late counts as of the last that was heard of.
    at_ms = max([work.at_ms, *known.times[-1:], *known.anybodys[-1:]])
    count, times, anybodys = recent_within(sign.kind, known.times, known.anybodys, at_ms, where.rules)
    until_ms = max(at_ms, work.context.now_ms) + where.rules.window_s * 1000
    work.put(key, Lately(times, anybodys, until_ms))
    return count


def _respond(sign: Sign, where: Locus, rank: int, work: ThreatWork) -> dict[str, Any]:
    """Begin what the level asks for; gives what the record says of it."""
    if rank < _MEDIUM:
        return {"response": "recorded"}
    fields = _monitor(sign, where, work)
    scope = scope_of(work.context.references, where.path, where.rules.scope) or where.zone_id
    if rank < _HIGH or scope is None:
        return fields
    return {**fields, "scope_zone_id": scope, **_propose(sign, where, scope, work)}


def _monitor(sign: Sign, where: Locus, work: ThreatWork) -> dict[str, Any]:
    subject, subject_id = "zone", where.zone_id
    if sign.kind in PERSONAL and sign.cardholder_id is not None:
        subject, subject_id = "cardholder", sign.cardholder_id
    if subject_id is None:
        return {"response": "recorded"}
    end_ms = work.at_ms + where.rules.monitor_s * 1000
    until_ms = work.monitor(sign.site_id, subject, subject_id, threat_id_of(sign), end_ms)
    if until_ms is None:
        return {"response": "recorded"}
    of = f"{subject}/{subject_id}"
    return {"response": "monitoring", "monitored_until": from_ms(until_ms), "monitoring_of": of}


def _propose(sign: Sign, where: Locus, scope: str, work: ThreatWork) -> dict[str, Any]:
    """Set the level of what a plan is to cover, and propose the plan; once, also where a wider zone has it already."""
    threat_id, rules = threat_id_of(sign), where.rules
    until_ms = work.at_ms + rules.hold_s * 1000
    for zone_id in where.path[where.path.index(scope) :]:
        held = work.zone(zone_id, sign.site_id).assessment
        if held is None or (held.until_ms is not None and held.until_ms <= work.at_ms):
            continue
        if held.until_ms is not None:
            longer = _replace(held, until_ms=max(held.until_ms, until_ms))
            work.set_level(sign.site_id, zone_id, "assessment", longer, threat_id)
        return {"response": "plan_pending" if held.plan_id is not None else "no_plan", "scope_zone_id": zone_id}
    work.clear_level(sign.site_id, scope, "assessment", "expired")
    automatic = sign.kind in rules.automatic and rules.plan is not None
    asked = rules.clearances.high if automatic else 0
    new = Held(ThreatLevel.HIGH.value, asked, work.at_ms, until_ms, threat_id, rules.plan, reason=sign.summary)
    work.set_level(sign.site_id, scope, "assessment", new, threat_id)
    if rules.plan is None:
        return {"response": "no_plan"}
    level = level_of(work.context.references, scope)
    confirm = (
        f"doorstream lockdown start {scope} --level {level} --plan {rules.plan} --threat {threat_id} "
        '--operator <you> --reason "..."'
    )
    proposed = {"response": "plan_proposed", "plan_proposed": rules.plan, "confirm": confirm}
    if not automatic:
        return proposed
    order = Order(sign.site_id, scope, level, sign.summary, "threat", threat_id, plan_id=rules.plan)
    try:
        begun = start(order, work.state, work.context)
    except Refused:
        # No door leads there, or there is no such plan: a person must see to it.
        return proposed
    work.begin(begun)
    for outcome in begun:
        if isinstance(outcome, LockdownStarted):
            procedure_began(outcome, work)
    return {"response": "plan_started", "plan_proposed": rules.plan}


def level_of(references: References, zone_id: str) -> ThreatLevel:
    """The threat level whose lockdown covers just that zone."""
    zone = reference.zone(references, zone_id)
    return _COVERS.get(zone.kind, ThreatLevel.HIGH) if zone is not None else ThreatLevel.HIGH


def procedure_began(incident: LockdownStarted | LockdownEscalated, work: ThreatWork) -> None:
    """An emergency procedure runs, or covers more: the threats within its zone stand until it is over."""
    if incident.drill:
        return
    for zone_id, held in _assessed_levels(incident.site_id, work):
        if held.incident_id is None and incident.zone_id in reference.zone_path(work.context.references, zone_id):
            running = _replace(held, until_ms=None, incident_id=incident.incident_id)
            work.set_level(incident.site_id, zone_id, "assessment", running, incident.incident_id)


def procedure_ended(incident: LockdownReleased, work: ThreatWork) -> None:
    """An emergency procedure is over, and with it the threats that it ran for."""
    for zone_id, held in _assessed_levels(incident.site_id, work):
        if held.incident_id == incident.incident_id:
            work.clear_level(incident.site_id, zone_id, "assessment", "incident_ended")


def _assessed_levels(site_id: str, work: ThreatWork) -> list[tuple[str, Held]]:
    at: ThreatsAt = work.get(threats_key(site_id)) or ThreatsAt()
    found = [(zone_id, work.zone(zone_id, site_id).assessment) for zone_id in at.zones]
    return [(zone_id, held) for zone_id, held in found if held is not None]


def threat_id_of(sign: Sign) -> str:
    """The id of the threat that a sign is of."""
    return derive("threat", sign.kind, sign.cause_id)


def _assessed(
    sign: Sign, where: Locus, assessment: Assessment, recent: int, work: ThreatWork, response: dict[str, Any]
) -> ThreatAssessed:
    threat_id = threat_id_of(sign)
    subject = ("zone", where.zone_id) if where.zone_id is not None else ("site", sign.site_id)
    return ThreatAssessed(
        **work.event("threat_assessed", sign.site_id, *subject, threat_id),
        threat_id=threat_id,
        kind=sign.kind,
        assessment=assessment,
        summary=f"{sign.summary[:1].upper()}{sign.summary[1:]}",
        recent=recent,
        zone_id=where.zone_id,
        door_id=sign.door_id,
        access_point_id=sign.access_point_id,
        device_id=sign.device_id,
        cardholder_id=sign.cardholder_id,
        cause_type=sign.cause_type,
        cause_id=sign.cause_id,
        occurred_at=from_ms(work.at_ms),
        **response,
    )


# -- deadlines --------------------------------------------------------------------------------------------------------


def run_out(key: str, deadline_ms: int, state: State, context: Context) -> Sequence[Outcome]:
    """Heightened monitoring, or a level, whose time is over."""
    work = ThreatWork(state, context, deadline_ms)
    found: Monitored | ZoneThreat | None = state.get(key)
    if isinstance(found, Monitored):
        work.end_monitoring(key, found)
    elif isinstance(found, ZoneThreat):
        zone_id = key.removeprefix(zone_threat_key(""))
        for source in ("operator", "assessment"):
            held: Held | None = getattr(found, source)
            if held is not None and held.until_ms is not None and held.until_ms <= deadline_ms:
                work.clear_level(found.site_id, zone_id, source, "expired")
    return work.outcomes()


# -- operators --------------------------------------------------------------------------------------------------------

RIGHTS = {"threat_level_requested": "set_threat_level", "threat_clear_requested": "set_threat_level"}


def carry_out(request: OperatorRequest, state: State, context: Context) -> Iterator[Outcome]:
    """Set or clear a threat level on an operator's request.

    Raises:
        Refused: there is no such zone or threat, no reason, or an emergency procedure runs.
    """
    if not request.reason.strip():
        raise Refused("no_reason", "a threat level is set and cleared for a reason: give one")
    work = ThreatWork(state, context, context.now_ms)
    if isinstance(request, ThreatLevelRequested):
        _set(request, work)
        yield accepted(request, context, zone_id=request.zone_id)
    elif isinstance(request, ThreatClearRequested):
        _clear(request, work)
        yield accepted(request, context, subject_id=request.subject_id)
    yield from work.outcomes()


def _set(request: ThreatLevelRequested, work: ThreatWork) -> None:
    references = work.context.references
    zone = reference.zone(references, request.zone_id)
    if zone is None or zone.site_id != request.site_id or zone.kind == "outside":
        raise Refused("unknown_zone", f"{request.site_id} has no zone {request.zone_id} with an inside")
    rules = rules_of(references, request.site_id, reference.zone_path(references, request.zone_id))
    held = Held(
        level=request.level.value,
        clearance=rules.clearances.of(request.level) if request.clearance is None else request.clearance,
        since_ms=work.context.now_ms,
        until_ms=None if request.for_s is None else work.context.now_ms + request.for_s * 1000,
        operator_id=request.operator_id,
        request_id=request.request_id,
        reason=request.reason,
    )
    work.set_level(request.site_id, request.zone_id, "operator", held, request.request_id)


def _clear(request: ThreatClearRequested, work: ThreatWork) -> None:
    site_id, subject, id_ = request.site_id, request.subject, request.subject_id
    found = work.monitored(site_id, subject, id_)
    zone = work.zone(id_, site_id) if subject == "zone" else ZoneThreat(site_id)
    if zone.site_id != site_id or (zone == ZoneThreat(site_id) and found is None):
        text = f"{site_id} has no threat level and no heightened monitoring of {subject} {id_}"
        raise Refused("unknown_threat", f"{text}: see `doorstream threats list`")
    if zone.assessment is not None and zone.assessment.incident_id is not None:
        running = f"its emergency procedure {zone.assessment.incident_id} still runs"
        raise Refused("still_active", f"{running}: release it, which clears the threat")
    for source in ("operator", "assessment"):
        work.clear_level(site_id, id_, source, "operator", request)
    if found is not None:
        work.end_monitoring(monitored_key(site_id, subject, id_), found, request)
