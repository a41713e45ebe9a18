"""The security rules of A2: anti-passback, occupancy, two persons, escort, interlock, first person in, and risk.

Each is off, soft (recorded and alerted) or hard (denied), by the zone or door that it protects. Who is exempt (first
responders) breaks them softly.
"""

from __future__ import annotations

from schemas.people import Cardholder
from schemas.places import Zone
from schemas.vocabulary import Direction, Enforcement, Reason
from streams.core import reference
from streams.core.checks import Findings, Question
from streams.core.entities import (
    EVERYBODY,
    DoorState,
    Presence,
    Risk,
    ZoneState,
    door_key,
    presence_key,
    risk_key,
    zone_key,
)

NAMES = ("passback", "occupancy", "two-person", "escort", "interlock", "first-person-in", "risk")
TWO = 2
_OFF = Enforcement.OFF


def check_rules(question: Question, findings: Findings) -> None:
    """Apply every rule that is on at this door and zone, in the order of A2."""
    holder = question.authentication.cardholder
    zone = reference.zone(question.context.references, question.point.zone_to)
    if holder is None or zone is None:
        for name in NAMES:
            findings.skip(name, "no cardholder" if holder is None else "no zone")
        return
    _passback(question, findings, holder, zone)
    _occupancy(question, findings, holder)
    _two_person(question, findings, holder, zone)
    _escort(question, findings, holder, zone)
    _interlock(question, findings, holder)
    _first_person(question, findings, holder, zone)
    _risk(question, findings, holder)


def _enforced(enforcement: Enforcement, holder: Cardholder) -> Enforcement:
    return Enforcement.SOFT if holder.exempt else enforcement


def _passback(question: Question, findings: Findings, holder: Cardholder, zone: Zone) -> None:
    rule = zone.passback
    if rule.enforcement is _OFF:
        return findings.skip("passback", "off")
    found: Presence | None = question.state.get(presence_key(question.site.site_id, holder.cardholder_id))
    at = found.zone_id if found is not None else None
    if found is not None and rule.presence_timeout_s:
        age_ms = question.context.now_ms - found.since_ms
        at = at if age_ms < rule.presence_timeout_s * 1000 else None
    forgiven: Presence | None = question.state.get(presence_key(question.site.site_id, EVERYBODY))
    if found is not None and forgiven is not None and found.since_ms <= forgiven.since_ms:
        at = None
    broken = at is not None and not _may_come_from(question, at)
    return findings.note(
        "passback",
        Reason.PASSBACK if broken else None,
        f"presence={at or 'unknown'} from={question.point.zone_from}",
        _enforced(rule.enforcement, holder),
    )


def _may_come_from(question: Question, at: str) -> bool:
    """Whether somebody in that zone can stand before this door: in the zone it leads from, and not yet behind it."""
    point = question.point
    if at == point.zone_from:
        return True
    path = reference.zone_path(question.context.references, at)
    return point.zone_from in path and point.zone_to not in path


def _occupancy(question: Question, findings: Findings, holder: Cardholder) -> None:
    """The innermost full zone that refuses is named; one that only reports never speaks for one that refuses."""
    presence: Presence | None = question.state.get(presence_key(question.site.site_id, holder.cardholder_id))
    inside = reference.zone_path(question.context.references, presence.zone_id) if presence and presence.zone_id else ()
    full: tuple[str, Enforcement] | None = None
    for zone_id in question.zone_path:
        zone = reference.zone(question.context.references, zone_id)
        if zone is None or zone.occupancy.enforcement is _OFF or zone_id in inside:
            continue
        state: ZoneState = question.state.get(zone_key(zone_id)) or ZoneState()
        hard = zone.occupancy.enforcement is Enforcement.HARD
        if state.count >= zone.occupancy.limit and (full is None or (hard and full[1] is not Enforcement.HARD)):
            full = f"zone={zone_id} count={state.count}/{zone.occupancy.limit}", zone.occupancy.enforcement
    if full is None:
        return findings.note("occupancy", None, "")
    return findings.note("occupancy", Reason.OCCUPANCY_LIMIT, full[0], _enforced(full[1], holder))


def _two_person(question: Question, findings: Findings, holder: Cardholder, zone: Zone) -> None:
    """Two different people within the window; or two are inside already. The first of two waits, turned away."""
    rule = zone.two_person
    if rule.enforcement is _OFF:
        return findings.skip("two-person", "off")
    state: ZoneState = question.state.get(zone_key(zone.zone_id)) or ZoneState()
    recent = question.context.now_ms - state.candidate_ms <= rule.window_s * 1000
    other = state.candidate is not None and state.candidate != holder.cardholder_id and recent
    kept = state.count >= TWO or other
    inputs = f"inside={state.count} other={state.candidate if other else 'nobody'}"
    reason = None if kept else Reason.NO_ACCOMPANIMENT
    return findings.note("two-person", reason, inputs, _enforced(rule.enforcement, holder))


def _escort(question: Question, findings: Findings, holder: Cardholder, zone: Zone) -> None:
    rule = zone.escort
    if rule.enforcement is _OFF or not holder.needs_escort:
        return findings.skip("escort", "off" if rule.enforcement is _OFF else "not needed")
    state: ZoneState = question.state.get(zone_key(zone.zone_id)) or ZoneState()
    recent = state.escort_ms > 0 and question.context.now_ms - state.escort_ms <= rule.window_s * 1000
    kept = state.escorts > 0 or recent
    other = state.candidate if question.context.now_ms - state.candidate_ms <= rule.window_s * 1000 else None
    reason = None if kept else Reason.INCORRECT_ACCOMPANIMENT if other else Reason.NO_ACCOMPANIMENT
    inputs = f"escorts_inside={state.escorts} escort_just_now={'yes' if recent else 'no'}"
    return findings.note("escort", reason, inputs, _enforced(rule.enforcement, holder))


def _interlock(question: Question, findings: Findings, holder: Cardholder) -> None:
    rule = question.door.interlock
    if rule is None or rule.enforcement is _OFF:
        return findings.skip("interlock", "off")
    for other in reference.interlocked_doors(question.context.references, rule.group):
        if other.door_id == question.door.door_id:
            continue
        state: DoorState | None = question.state.get(door_key(other.door_id))
        if state is None:
            continue
        about_to = any(pending.until_ms > question.context.now_ms for pending in state.pending)
        if state.open or about_to:
            inputs = f"door={other.door_id} is {'open' if state.open else 'about to open'}"
            return findings.note("interlock", Reason.INTERLOCK, inputs, _enforced(rule.enforcement, holder))
    return findings.note("interlock", None, f"group={rule.group} others=shut")


def _first_person(question: Question, findings: Findings, holder: Cardholder, zone: Zone) -> None:
    rule = zone.first_person_in
    if rule.enforcement is _OFF:
        return findings.skip("first-person-in", "off")
    state: ZoneState = question.state.get(zone_key(zone.zone_id)) or ZoneState()
    opened = state.opened_on == question.local.date().isoformat()
    reason = None if opened or holder.first_person else Reason.FIRST_PERSON_ABSENT
    inputs = f"opened={'today' if opened else 'not today'} first_person={'yes' if holder.first_person else 'no'}"
    return findings.note("first-person-in", reason, inputs, _enforced(rule.enforcement, holder))


def _risk(question: Question, findings: Findings, holder: Cardholder) -> None:
    found: Risk | None = question.state.get(risk_key(question.site.site_id, holder.cardholder_id))
    if found is None:
        return findings.skip("risk", "not assessed")
    reason = Reason.RISK if found.score > found.limit else None
    return findings.note(
        "risk", reason, f"score={found.score:g} limit={found.limit:g}", _enforced(Enforcement.HARD, holder)
    )


def soften(findings: Findings) -> None:
    """Egress is always granted: what failed is kept on record as broken, and denies nothing."""
    findings.soft[:] = [*findings.failed, *findings.soft]


def is_free_egress(question: Question) -> bool:
    """Whether this side of the door may never be refused."""
    return question.point.direction is Direction.EGRESS and question.door.egress == "free"
