"""The security rules of A2: anti-passback, occupancy, two persons, escort, interlock, first person in, and risk.

Each is off, soft (recorded and alerted) or hard (denied), by the zone or door that it protects. Who is exempt (first
responders) breaks them softly.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping

from schemas.access import Check
from schemas.people import Cardholder
from schemas.places import Zone
from schemas.vocabulary import Enforcement, Reason
from streams.core import reference
from streams.core.entities import DoorState, Risk, door_key, risk_key
from streams.core.places import Place
from streams.core.presence import forgiven_ms, presence_of, zone_state, zones_entered
from streams.core.processor import References
from streams.core.question import PASSED, SKIPPED, Findings, Question

_MOMENTARY = ("occupancy", "two-person", "escort", "interlock")
"""What depends on who is where at that very moment, so that it can't be judged of what happened earlier."""

TWO = 2
_OFF = Enforcement.OFF


def check_rules(question: Question, findings: Findings) -> None:
    """Apply every rule that is on at this door and zone, in the order of A2."""
    holder, zone = question.authentication.cardholder, question.place.zone
    if holder is None or zone is None:
        for name in _RULES:
            findings.skip(name, "no cardholder" if holder is None else "no zone")
        return
    off, live = _off(question.place, question.context.references), question.live
    for name, rule in _RULES.items():
        if not live and name in _MOMENTARY:
            findings.skip(name, "not known of that moment")
        elif name in off:
            findings.checks.append(off[name])
        else:
            rule(question, findings, holder, zone)


def _off(place: Place, references: References) -> Mapping[str, Check]:
    """The rules that are off at an access point of a known zone, whoever asks, with what is noted of them."""
    key = ("rules off", place.point.access_point_id)
    known: Mapping[str, Check] | None = references.derived.get(key)
    if known is not None:
        return known
    zone, interlock = place.zone, place.door.interlock
    assert zone is not None  # noqa: S101 - the caller's promise
    limited = (reference.zone(references, zone_id) for zone_id in place.zone_path)
    on = {
        "passback": zone.passback.enforcement is not _OFF,
        "occupancy": any(one is not None and one.occupancy.enforcement is not _OFF for one in limited),
        "two-person": zone.two_person.enforcement is not _OFF,
        "escort": zone.escort.enforcement is not _OFF,
        "interlock": interlock is not None and interlock.enforcement is not _OFF,
        "first-person-in": zone.first_person_in.enforcement is not _OFF,
        "risk": True,
    }
    # Where no zone has a limit, there is room.
    noted = {name: (name, PASSED, "") if name == "occupancy" else (name, SKIPPED, "off") for name in on}
    return reference.remember(references, key, {name: noted[name] for name in on if not on[name]})


def _enforced(enforcement: Enforcement, holder: Cardholder) -> Enforcement:
    return Enforcement.SOFT if holder.exempt else enforcement


def _passback(question: Question, findings: Findings, holder: Cardholder, zone: Zone) -> None:
    rule = zone.passback
    found = presence_of(question.state, question.site.site_id, holder.cardholder_id)
    at = found.zone_id if found is not None else None
    if found is not None:
        age_ms = question.at_ms - found.since_ms
        timed_out = bool(rule.presence_timeout_s) and age_ms >= rule.presence_timeout_s * 1000
        forgiven = found.since_ms <= forgiven_ms(question.state, question.site.site_id)
        at = None if timed_out or forgiven or age_ms < 0 else at
    broken = at is not None and not _may_come_from(question, at)
    return findings.note(
        "passback",
        Reason.PASSBACK if broken else None,
        f"presence={at or 'unknown'} from={question.point.zone_from}",
        _enforced(rule.enforcement, holder),
    )


def _may_come_from(question: Question, at: str) -> bool:
    """Whether somebody in that zone can stand before this door: in the zone it leads from, and not yet behind it.

    The street is one place, whatever its zones are called.
    """
    point, references = question.point, question.context.references
    if at == point.zone_from:
        return True
    path = reference.zone_path(references, at)
    if not path:
        here, there = reference.zone(references, at), reference.zone(references, point.zone_from)
        return here is not None and there is not None and here.kind == there.kind == "outside"
    return point.zone_from in path and point.zone_to not in path


def _occupancy(question: Question, findings: Findings, holder: Cardholder, _zone: Zone) -> None:
    """A place in every zone that is entered, beside those kept for who was let in and has not passed yet.

    A full zone that denies speaks before one that only records.
    """
    state, site_id, who = question.state, question.site.site_id, holder.cardholder_id
    limited: list[str] = []
    full: dict[Enforcement, str] = {}
    for zone_id in zones_entered(state, question.context, site_id, who, question.point.zone_to):
        zone = reference.zone(question.context.references, zone_id)
        if zone is None or zone.occupancy.enforcement is _OFF:
            continue
        limited.append(zone_id)
        there = zone_state(state, zone_id)
        expected = there.expected - _expected_of(question, who, zone_id)
        if there.count + expected >= zone.occupancy.limit:
            inputs = f"zone={zone_id} count={there.count}+{expected}/{zone.occupancy.limit}"
            full.setdefault(_enforced(zone.occupancy.enforcement, holder), inputs)
    findings.reserves = tuple(limited)
    if not full:
        return findings.note("occupancy", None, "")
    worst = Enforcement.HARD if Enforcement.HARD in full else Enforcement.SOFT
    return findings.note("occupancy", Reason.OCCUPANCY_LIMIT, full[worst], worst)


def _expected_of(question: Question, cardholder_id: str, zone_id: str) -> int:
    """How many of the places kept in a zone are this cardholder's own, who asks again at the same door."""
    door: DoorState | None = question.state.get(door_key(question.door.door_id))
    pending = door.pending if door is not None else ()
    return sum(one.cardholder_id == cardholder_id and zone_id in one.reserves for one in pending)


def _two_person(question: Question, findings: Findings, holder: Cardholder, zone: Zone) -> None:
    """Two different people within the window; or two are inside already. The first of two waits, turned away."""
    rule = zone.two_person
    state = zone_state(question.state, zone.zone_id)
    recent = question.context.now_ms - state.candidate_ms <= rule.window_s * 1000
    other = state.candidate is not None and state.candidate != holder.cardholder_id and recent
    kept = state.count >= TWO or other
    inputs = f"inside={state.count} other={state.candidate if other else 'nobody'}"
    reason = None if kept else Reason.NO_ACCOMPANIMENT
    return findings.note("two-person", reason, inputs, _enforced(rule.enforcement, holder))


def _escort(question: Question, findings: Findings, holder: Cardholder, zone: Zone) -> None:
    rule = zone.escort
    if not holder.needs_escort:
        return findings.skip("escort", "not needed")
    state = zone_state(question.state, zone.zone_id)
    recent = state.escort_ms > 0 and question.context.now_ms - state.escort_ms <= rule.window_s * 1000
    kept = state.escorts > 0 or recent
    other = question.context.now_ms - state.candidate_ms <= rule.window_s * 1000 and state.candidate not in {
        None,
        holder.cardholder_id,
    }
    reason = None if kept else Reason.INCORRECT_ACCOMPANIMENT if other else Reason.NO_ACCOMPANIMENT
    inputs = f"escorts_inside={state.escorts} escort_just_now={'yes' if recent else 'no'}"
    return findings.note("escort", reason, inputs, _enforced(rule.enforcement, holder))


def _interlock(question: Question, findings: Findings, holder: Cardholder, _zone: Zone) -> None:
    """The others must be shut, or never have been heard of since the site began: switches tell of every change."""
    rule = question.door.interlock
    if rule is None:
        return findings.skip("interlock", "off")
    unknown = None
    for other in reference.interlocked_doors(question.context.references, rule.group):
        if other.door_id == question.door.door_id or other.site_id != question.site.site_id:
            continue
        state: DoorState = question.state.get(door_key(other.door_id)) or DoorState()
        about_to = any(pending.until_ms > question.context.now_ms for pending in state.pending)
        if state.open or about_to:
            inputs = f"door={other.door_id} is {'open' if state.open else 'about to open'}"
            return findings.note("interlock", Reason.INTERLOCK, inputs, _enforced(rule.enforcement, holder))
        if state.open is None and other.has_dps:
            unknown = f"shut or {other.door_id} never heard of"
    return findings.note("interlock", None, f"group={rule.group} others={unknown or 'shut'}")


def _first_person(question: Question, findings: Findings, holder: Cardholder, zone: Zone) -> None:
    rule = zone.first_person_in
    state = zone_state(question.state, zone.zone_id)
    opened = state.opened_on == question.local.date().isoformat()
    reason = None if opened or holder.first_person else Reason.FIRST_PERSON_ABSENT
    inputs = f"opened={'today' if opened else 'not today'} first_person={'yes' if holder.first_person else 'no'}"
    return findings.note("first-person-in", reason, inputs, _enforced(rule.enforcement, holder))


def _risk(question: Question, findings: Findings, holder: Cardholder, _zone: Zone) -> None:
    found: Risk | None = question.state.get(risk_key(question.site.site_id, holder.cardholder_id))
    if found is None:
        return findings.skip("risk", "not assessed")
    reason = Reason.RISK if found.score > found.limit else None
    return findings.note(
        "risk", reason, f"score={found.score:g} limit={found.limit:g}", _enforced(Enforcement.HARD, holder)
    )


_RULES: Mapping[str, Callable[[Question, Findings, Cardholder, Zone], None]] = {
    "passback": _passback,
    "occupancy": _occupancy,
    "two-person": _two_person,
    "escort": _escort,
    "interlock": _interlock,
    "first-person-in": _first_person,
    "risk": _risk,
}
