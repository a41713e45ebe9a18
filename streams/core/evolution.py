"""What each outcome of the site changes; nothing else changes anything."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Mapping
from typing import Any

import msgspec

from schemas.access import AccessNotTaken, AccessTaken
from schemas.commands import AccessDoor
from streams.core.access import Accompanied
from streams.core.admission import DeviceHeard
from streams.core.entities import (
    EVERYBODY,
    DoorState,
    Lockout,
    PermissionUse,
    Presence,
    Risk,
    ZonePosture,
    ZoneState,
    device_key,
    door_key,
    lockout_key,
    nonce_key,
    operator_key,
    permission_key,
    posture_key,
    presence_key,
    risk_key,
    zone_key,
)
from streams.core.operators import OperatorAnswered, remembered
from streams.core.passage import MOST_PENDING, DoorMoved, GrantPending, Passed, PresenceLost
from streams.core.processor import Change, Outcome, State

_replace = msgspec.structs.replace


class LockoutSet(msgspec.Struct, frozen=True, gc=False, tag="lockout_set"):
    """A subject (`credential`, `cardholder`, `access-point`) is locked; `lock` None ends it."""

    subject: str
    id: str
    lock: Lockout | None


class PostureSet(msgspec.Struct, frozen=True, gc=False, tag="posture_set"):
    """A zone is under a posture; None = back to normal."""

    zone_id: str
    posture: ZonePosture | None


class RiskSet(msgspec.Struct, frozen=True, gc=False, tag="risk_set"):
    """A cardholder's risk was assessed."""

    site_id: str
    cardholder_id: str
    risk: Risk | None


class Forgotten(msgspec.Struct, frozen=True, gc=False, tag="forgotten"):
    """An entity that has expired."""

    key: str


def evolve_site(state: State, outcome: Outcome) -> Iterable[Change]:
    """The entities that an outcome changes."""
    evolve = _EVOLVERS.get(type(outcome))
    return () if evolve is None else evolve(state, outcome)


def _commanded(state: State, outcome: AccessDoor) -> Iterable[Change]:
    return ((door_key(outcome.door_id), _replace(_door(state, outcome.door_id), sequence=outcome.sequence)),)


def _moved(state: State, outcome: DoorMoved) -> Iterable[Change]:
    return ((door_key(outcome.door_id), _replace(_door(state, outcome.door_id), open=outcome.open)),)


def _accompanied(state: State, outcome: Accompanied) -> Iterable[Change]:
    zone = _zone(state, outcome.zone_id)
    escort_ms = outcome.at_ms if outcome.escort else zone.escort_ms
    after = _replace(zone, candidate=outcome.cardholder_id, candidate_ms=outcome.at_ms, escort_ms=escort_ms)
    return ((zone_key(outcome.zone_id), after),)


def _answered(_: State, outcome: OperatorAnswered) -> Iterator[Change]:
    yield operator_key(outcome.site_id, outcome.request_id), remembered(outcome)
    if outcome.nonce is not None:
        yield nonce_key(outcome.site_id, outcome.operator_id, outcome.nonce), remembered(outcome)


def _not_taken(state: State, outcome: AccessNotTaken) -> Iterator[Change]:
    yield from _no_longer_pending(state, outcome)
    yield from _release(state, outcome)


def _door(state: State, door_id: str) -> DoorState:
    found: DoorState = state.get(door_key(door_id)) or DoorState()
    return found


def _zone(state: State, zone_id: str) -> ZoneState:
    found: ZoneState = state.get(zone_key(zone_id)) or ZoneState()
    return found


def _use(state: State, permission_id: str) -> PermissionUse:
    found: PermissionUse = state.get(permission_key(permission_id)) or PermissionUse()
    return found


def _grant_pending(state: State, outcome: GrantPending) -> Iterator[Change]:
    door = _door(state, outcome.door_id)
    kept = (*door.pending, outcome.pending)[-MOST_PENDING:]
    yield door_key(outcome.door_id), _replace(door, pending=kept)
    if outcome.pending.single_use and outcome.pending.permission_id is not None:
        use = _use(state, outcome.pending.permission_id)
        reserved = (*use.reserved, outcome.pending.decision_id)
        yield permission_key(outcome.pending.permission_id), _replace(use, reserved=reserved)


def _no_longer_pending(state: State, outcome: AccessTaken | AccessNotTaken) -> Iterable[Change]:
    door = _door(state, outcome.door_id)
    kept = tuple(pending for pending in door.pending if pending.decision_id != outcome.decision_id)
    return ((door_key(outcome.door_id), _replace(door, pending=kept)),)


def _release(state: State, outcome: AccessNotTaken) -> Iterator[Change]:
    if outcome.permission_id is not None:
        use = _use(state, outcome.permission_id)
        if outcome.decision_id in use.reserved:
            reserved = tuple(one for one in use.reserved if one != outcome.decision_id)
            yield permission_key(outcome.permission_id), _replace(use, reserved=reserved)


def _passed(state: State, outcome: Passed) -> Iterator[Change]:
    key = presence_key(outcome.site_id, outcome.cardholder_id)
    yield key, Presence(outcome.zone_to, outcome.at_ms, outcome.escort)
    for zone_id in outcome.leave:
        yield zone_key(zone_id), _counted(_zone(state, zone_id), -1, escort=outcome.escort)
    for zone_id in outcome.enter:
        zone = _counted(_zone(state, zone_id), 1, escort=outcome.escort)
        yield zone_key(zone_id), _opened(zone, outcome) if zone_id == outcome.opens else zone
    if outcome.opens is not None and outcome.opens not in outcome.enter:
        yield zone_key(outcome.opens), _opened(_zone(state, outcome.opens), outcome)
    if outcome.permission_id is not None:
        use = _use(state, outcome.permission_id)
        reserved = tuple(one for one in use.reserved if one != outcome.decision_id)
        yield permission_key(outcome.permission_id), PermissionUse(use.used + 1, reserved)


def _opened(zone: ZoneState, outcome: Passed) -> ZoneState:
    return _replace(zone, opened_on=outcome.opened_on)


def _lost(state: State, outcome: PresenceLost) -> Iterator[Change]:
    yield presence_key(outcome.site_id, outcome.cardholder_id or EVERYBODY), Presence(None, outcome.at_ms)
    for zone_id in outcome.leave:
        yield zone_key(zone_id), _counted(_zone(state, zone_id), -1, escort=outcome.escort)


def _counted(zone: ZoneState, step: int, *, escort: bool) -> ZoneState:
    escorts = max(0, zone.escorts + step) if escort else zone.escorts
    return _replace(zone, count=max(0, zone.count + step), escorts=escorts)


_EVOLVERS: Mapping[type, Callable[[State, Any], Iterable[Change]]] = {
    DeviceHeard: lambda _, outcome: ((device_key(outcome.device_id), outcome.state),),
    AccessDoor: _commanded,
    GrantPending: _grant_pending,
    AccessTaken: _no_longer_pending,
    AccessNotTaken: _not_taken,
    DoorMoved: _moved,
    Passed: _passed,
    PresenceLost: _lost,
    Accompanied: _accompanied,
    OperatorAnswered: _answered,
    LockoutSet: lambda _, outcome: ((lockout_key(outcome.subject, outcome.id), outcome.lock),),
    PostureSet: lambda _, outcome: ((posture_key(outcome.zone_id), outcome.posture),),
    RiskSet: lambda _, outcome: ((risk_key(outcome.site_id, outcome.cardholder_id), outcome.risk),),
    Forgotten: lambda _, outcome: ((outcome.key, None),),
}
"""What each outcome changes; the others change nothing."""
