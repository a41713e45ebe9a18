"""Lockdowns (E2): scope, start, and the all-clear; `lockdown_course` does the rest.

One posture of the scope's zone refuses entry to everything in it from the very next message on. The doors follow in
parts, so that a large site goes on deciding meanwhile; each has the lockdown among its causes until it is over.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence

import msgspec

from schemas.ids import derive
from schemas.incidents import (
    LockdownReleasing,
    LockdownStarted,
)
from schemas.lockdown_plans import LONGEST_NOTICE, USUAL_PLAN, LockdownPlan
from schemas.places import Door
from schemas.vocabulary import Direction, DoorMode, Posture, ThreatLevel
from streams.core import reference
from streams.core.entities import ZonePosture, posture_key
from streams.core.keeping import Draft
from streams.core.lockdown_state import (
    InForce,
    Lockdown,
    LockdownDoors,
    SiteLockdowns,
    lockdown_doors_key,
    lockdown_key,
    site_lockdowns_key,
)
from streams.core.lockdown_telling import tell
from streams.core.mode_control import Doors
from streams.core.mode_state import DoorModes
from streams.core.modes import ModeCause, find
from streams.core.operator_admission import Refused
from streams.core.processor import Context, Outcome, References, State

PART = 64
"""Doors that are commanded in one cycle, before others have their turn: 3 to 5 ms. They are kept together."""

LOOK_MS = 250
"""How often a lockdown's doors are looked at while some have not confirmed."""

_DRILL = "Drill. "
_KINDS = ("area", "floor", "building", "site")
_SCOPES = dict(zip(ThreatLevel, _KINDS, strict=True))
_replace = msgspec.structs.replace


class Order(msgspec.Struct, frozen=True, gc=False):
    """What a lockdown is started with. `cause_id` is the request's id, or the threat's (`cause` threat).

    While a lockdown of a zone is in force for a cause, that starts no other one there.
    """

    site_id: str
    zone_id: str
    level: ThreatLevel
    reason: str
    cause: str
    cause_id: str
    operator_id: str | None = None
    plan_id: str | None = None
    auto_release_s: int | None = None
    drill: bool = False
    drill_commands: bool = False


def scope_of(references: References, site_id: str, zone_id: str, level: ThreatLevel) -> str:
    """The zone that a threat level locks down: the area, floor, building or site around a zone.

    Where there is none of that kind (a courtyard has no floor), it is the next larger one.

    Raises:
        Refused: no such zone, or it is larger than the level's scope.
    """
    path = reference.zone_path(references, zone_id)
    zones = [zone for one in path if (zone := reference.zone(references, one)) is not None]
    if not zones or zones[0].site_id != site_id:
        raise Refused("unknown_zone", f"{site_id} has no zone {zone_id} that can be locked down")
    wanted = _KINDS.index(_SCOPES[level])
    if _KINDS.index(zones[0].kind) > wanted:
        detail = (
            f"{level} locks down one {_SCOPES[level]}, and {zone_id} is a {zones[0].kind}: name a smaller zone, or "
        )
        raise Refused("not_possible", f"{detail}give a higher level")
    found = next((zone for zone in zones if _KINDS.index(zone.kind) >= wanted), None)
    if found is None:
        raise Refused("unknown_zone", f"nothing of kind {_SCOPES[level]} lies around {zone_id}")
    return found.zone_id


def doors_in(references: References, zone_id: str) -> Sequence[str]:
    """The doors that lead into a zone or anything within it, in the order of their ids.

    What leads to the street is none of them, whichever way its reader is said to lead: nobody is kept in.
    """
    key = ("doors in", zone_id)
    known: Sequence[str] | None = references.derived.get(key)
    return reference.remember(references, key, sorted(_doors_in(references, zone_id))) if known is None else known


def _doors_in(references: References, zone_id: str) -> set[str]:
    found: set[str] = set()
    zones, seen = [zone_id], {zone_id}
    while zones:
        zone = zones.pop()
        points = references.find("access-point", "zone_to", zone)
        found |= {point.door_id for point in points if point.direction is Direction.ENTRY}
        found_in = references.find("zone", "parent_id", zone)
        inner = [one.zone_id for one in found_in if one.zone_id not in seen and one.kind != "outside"]
        seen.update(inner)
        zones += inner
    return found


def plan_of(references: References, site_id: str, plan_id: str | None) -> LockdownPlan:
    """A plan of the site's policy; without a name its first one, or the usual one.

    Raises:
        Refused: the policy has no plan of that name.
    """
    site = reference.site(references, site_id)
    policy = reference.policy(references, site.policy_id) if site is not None else None
    plans = (policy.lockdowns if policy is not None else ()) or (USUAL_PLAN,)
    for plan in plans:
        if plan_id in {None, plan.plan_id}:
            return plan
    names = ", ".join(plan.plan_id for plan in plans)
    raise Refused("unknown_plan", f"{site_id} has no plan {plan_id}: there are {names}")


def start(order: Order, state: State, context: Context) -> list[Outcome]:
    """Start a lockdown: entry is refused from here on, and the first doors are commanded.

    Raises:
        Refused: no such zone or plan, no reason, no door, or the same cause has locked that zone down.
    """
    references = context.references
    if not order.reason.strip():
        raise Refused("no_reason", "a lockdown is started for a reason: give one")
    if order.drill_commands and not order.drill:
        raise Refused("not_possible", "drill_commands is for a drill: ask for one with `drill`, too")
    zone_id = scope_of(references, order.site_id, order.zone_id, order.level)
    plan = plan_of(references, order.site_id, order.plan_id)
    doors = doors_in(references, zone_id)
    draft, now_ms = Draft(state), context.now_ms
    # A threat that comes up again when its lockdown is over starts another one; a request comes once.
    which = () if order.cause == "operator" else (now_ms, "drill" if order.drill else "real")
    incident_id = derive("lockdown", order.site_id, zone_id, order.cause, order.cause_id, *which)
    in_force: SiteLockdowns = draft.get(site_lockdowns_key(order.site_id)) or SiteLockdowns(())
    same = [one for one in in_force.active if (one.zone_id, one.cause_id) == (zone_id, order.cause_id)]
    if any(one.drill is order.drill for one in same) or draft.get(lockdown_key(incident_id)) is not None:
        raise Refused("repeated", f"{order.cause_id} has locked {zone_id} down already: `doorstream lockdown status`")
    if not doors:
        raise Refused("not_possible", f"no door leads into {zone_id}")
    auto_s = order.auto_release_s or plan.auto_release_s
    lockdown = Lockdown(
        incident_id,
        order.site_id,
        zone_id,
        order.level,
        plan.plan_id,
        plan.rank,
        plan.clearance,
        plan.occupants,
        now_ms + plan.clear_within_s * 1000,
        plan.two_person_release,
        order.drill,
        order.reason,
        order.cause,
        order.cause_id,
        order.operator_id,
        _notice(plan.notice, drill=order.drill),
        _notice(plan.guard_notice, drill=order.drill),
        now_ms,
        now_ms + auto_s * 1000 if auto_s is not None else 0,
        doors=len(doors),
        slices=cut(draft, incident_id, doors),
        next_ms=now_ms + LOOK_MS,
        drill_commands=order.drill_commands,
    )
    put_in_force(draft, lockdown)
    told, event = tell(LockdownStarted, lockdown, state, context)
    return [event, *apply_part(told, Doors(state, context, draft))]


def _notice(text: str, *, drill: bool) -> str:
    return f"{_DRILL}{text}"[:LONGEST_NOTICE] if drill and text else text


def cut(draft: Draft, incident_id: str, doors: Sequence[str], had: int = 0) -> int:
    """Keep doors of a lockdown in parts, after those that it `had`; gives how many it has now."""
    parts = [tuple(doors[first : first + PART]) for first in range(0, len(doors), PART)]
    for number, part in enumerate(parts, start=had):
        draft.put(lockdown_doors_key(incident_id, number), LockdownDoors(part))
    return had + len(parts)


def apply_part(lockdown: Lockdown, doors: Doors) -> list[Outcome]:
    """Command the next of a lockdown's doors: lock them down, or give them what is left to them."""
    done = lockdown.slices if lockdown.told_only else lockdown.applied
    id_, rank = lockdown.incident_id, lockdown.rank
    cause = ModeCause("lockdown", id_, DoorMode.LOCKED_DOWN, rank, lockdown.since_ms, lockdown.drill)
    part: LockdownDoors | None = doors.draft.get(lockdown_doors_key(id_, done)) if done < lockdown.slices else None
    for door in _known(part.doors if part is not None else (), doors.context.references):
        if lockdown.releasing_ms:
            doors.remove(door, "lockdown", id_)
        elif not _has(doors.modes(door.door_id), id_):
            doors.add(door, cause)
    doors.draft.put(lockdown_key(lockdown.incident_id), _replace(lockdown, applied=min(done + 1, lockdown.slices)))
    return doors.finish()


def _has(modes: DoorModes | None, incident_id: str) -> bool:
    """Whether a door is the lockdown's already."""
    return modes is not None and find(modes.causes, "lockdown", incident_id) is not None


def _known(ids: tuple[str, ...], references: References) -> Iterator[Door]:
    for id_ in ids:
        door = reference.door(references, id_)
        if door is not None:
            yield door


def release(
    lockdown: Lockdown, reason: str, approved: tuple[str, ...], state: State, context: Context
) -> list[Outcome]:
    """The all-clear: entry is decided as usual, and the first doors get the mode that is left to them."""
    draft, now_ms = Draft(state), context.now_ms
    after = _replace(
        lockdown,
        approved=approved,
        release_reason=reason,
        releasing_ms=now_ms,
        applied=0,
        confirmed=0,
        auto_ms=0,
        next_ms=now_ms + LOOK_MS,
    )
    put_in_force(draft, after)
    told, event = tell(LockdownReleasing, after, state, context)
    return [event, *apply_part(told, Doors(state, context, draft))]


def put_in_force(draft: Draft, lockdown: Lockdown, zone_before: str | None = None) -> None:
    """Refuse entry to a lockdown's zone from here on, and to the one that was its scope before no longer for its sake.

    Of one that is being released that is its zone, too. A drill refuses nobody, unless it is to.
    """
    if lockdown.told_only:
        return
    site_id, id_ = lockdown.site_id, lockdown.incident_id
    found: SiteLockdowns = draft.get(site_lockdowns_key(site_id)) or SiteLockdowns(())
    active = tuple(one for one in found.active if one.incident_id != id_)
    if not lockdown.releasing_ms:
        since_ms, cause_id = lockdown.since_ms, lockdown.cause_id
        active = (*active, InForce(id_, lockdown.zone_id, lockdown.clearance, lockdown.drill, since_ms, cause_id))
    draft.put(site_lockdowns_key(site_id), SiteLockdowns(active) if active else None)
    for zone_id in dict.fromkeys((zone_before or lockdown.zone_id, lockdown.zone_id)):
        draft.put(posture_key(zone_id), _posture([one for one in active if one.zone_id == zone_id]))


def _posture(lockdowns: Sequence[InForce]) -> ZonePosture | None:
    """What a zone is under: the strictest of its real lockdowns, if it has any, else of its drills."""
    if not lockdowns:
        return None
    drill = all(one.drill for one in lockdowns)
    asked = [one for one in lockdowns if one.drill is drill]
    known = [one.clearance for one in asked if one.clearance is not None]
    least = max(known) if len(known) == len(asked) else None
    return ZonePosture(Posture.LOCKDOWN, least, drill, min(one.since_ms for one in asked))
