"""What each outcome of the site changes; nothing else changes anything."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Mapping
from typing import Any

import msgspec

from schemas.access import AccessNotTaken, AccessTaken
from schemas.commands import (
    AccessDoor,
    BlockDoor,
    LockDoor,
    LockDownDoor,
    LockDownReleaseDoor,
    LockOpenDoor,
    LockOpenReleaseDoor,
    ModeCommand,
    UnlockDoor,
)
from schemas.door_alarms import DoorAlarm
from schemas.exceptions import PermissionUpdated
from streams.core.access import Accompanied
from streams.core.admission import DeviceHeard
from streams.core.convergence import Woken, evolve_woken
from streams.core.entities import (
    EVERYBODY,
    DoorState,
    LastPassage,
    PermissionUse,
    Presence,
    Risk,
    ZonePosture,
    ZoneState,
    device_key,
    door_key,
    permission_key,
    posture_key,
    presence_key,
    risk_key,
    zone_key,
)
from streams.core.failures import Kept
from streams.core.keeping import Kept as EntityKept
from streams.core.mode_control import ModeSet
from streams.core.mode_state import TIMETABLE, Timetable
from streams.core.operator_admission import OperatorAnswered, evolve_answered
from streams.core.passage import MOST_PENDING, DoorMoved, ExitAsked, GrantPending
from streams.core.presence import Passed, PresenceLost, presence_of, zone_state
from streams.core.processor import Change, Outcome, State
from streams.core.times import to_ms
from streams.core.unlocking import LetGo

_replace = msgspec.structs.replace


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


def _commanded(state: State, outcome: AccessDoor | ModeCommand) -> Iterable[Change]:
    return ((door_key(outcome.door_id), _replace(_door(state, outcome.door_id), sequence=outcome.sequence)),)


def _mode_set(state: State, outcome: ModeSet) -> Iterable[Change]:
    door = _replace(_door(state, outcome.door_id), mode=outcome.mode, mode_epoch=outcome.mode_epoch)
    return ((door_key(outcome.door_id), door),)


def _moved(state: State, outcome: DoorMoved) -> Iterable[Change]:
    door = _door(state, outcome.door_id)
    until_ms = 0 if outcome.passed else door.exit_until_ms
    is_open, told = (outcome.open, outcome.told) if outcome.told.follows(door.told) else (door.open, door.told)
    return ((door_key(outcome.door_id), _replace(door, open=is_open, told=told, exit_until_ms=until_ms)),)


def _exit_asked(state: State, outcome: ExitAsked) -> Iterable[Change]:
    return ((door_key(outcome.door_id), _replace(_door(state, outcome.door_id), exit_until_ms=outcome.until_ms)),)


def _alarmed(state: State, outcome: DoorAlarm) -> Iterable[Change]:
    return ((door_key(outcome.door_id), _replace(_door(state, outcome.door_id), alarms=tuple(outcome.active))),)


def _accompanied(state: State, outcome: Accompanied) -> Iterable[Change]:
    zone = zone_state(state, outcome.zone_id)
    escort_ms = outcome.at_ms if outcome.escort else zone.escort_ms
    after = _replace(zone, candidate=outcome.cardholder_id, candidate_ms=outcome.at_ms, escort_ms=escort_ms)
    return ((zone_key(outcome.zone_id), after),)


def _not_taken(state: State, outcome: AccessNotTaken) -> Iterator[Change]:
    yield from _no_longer_pending(state, outcome)
    yield from _release(state, outcome)


def _door(state: State, door_id: str) -> DoorState:
    found: DoorState = state.get(door_key(door_id)) or DoorState()
    return found


def _use(state: State, permission_id: str) -> PermissionUse:
    found: PermissionUse = state.get(permission_key(permission_id)) or PermissionUse()
    return found


def _permission_updated(state: State, outcome: PermissionUpdated) -> Iterable[Change]:
    use = _use(state, outcome.permission_id)
    told = _replace(use, told=outcome.state, version=outcome.permission_version)
    return ((permission_key(outcome.permission_id), told),)


def _grant_pending(state: State, outcome: GrantPending) -> Iterator[Change]:
    door = _door(state, outcome.door_id)
    kept = (*door.pending, outcome.pending)[-MOST_PENDING:]
    yield door_key(outcome.door_id), _replace(door, pending=kept)
    for zone_id in outcome.pending.reserves:
        zone = zone_state(state, zone_id)
        yield zone_key(zone_id), _replace(zone, expected=zone.expected + 1)
    if outcome.pending.single_use and outcome.pending.permission_id is not None:
        use = _use(state, outcome.pending.permission_id)
        reserved = (*use.reserved, outcome.pending.decision_id)
        yield permission_key(outcome.pending.permission_id), _replace(use, reserved=reserved)


def _no_longer_pending(state: State, outcome: AccessTaken | AccessNotTaken) -> Iterator[Change]:
    door = _door(state, outcome.door_id)
    kept = tuple(pending for pending in door.pending if pending.decision_id != outcome.decision_id)
    last = door.last_passage
    if isinstance(outcome, AccessTaken):
        last = LastPassage(outcome.decision_id, outcome.cardholder_id, to_ms(outcome.decided_at))
    yield door_key(outcome.door_id), _replace(door, pending=kept, last_passage=last)
    for pending in door.pending:
        if pending.decision_id == outcome.decision_id:
            for zone_id in pending.reserves:
                zone = zone_state(state, zone_id)
                yield zone_key(zone_id), _replace(zone, expected=max(0, zone.expected - 1))


def _release(state: State, outcome: AccessNotTaken) -> Iterator[Change]:
    if outcome.permission_id is not None:
        use = _use(state, outcome.permission_id)
        if outcome.decision_id in use.reserved:
            reserved = tuple(one for one in use.reserved if one != outcome.decision_id)
            yield permission_key(outcome.permission_id), _replace(use, reserved=reserved)


def _passed(state: State, outcome: Passed) -> Iterator[Change]:
    site_id = outcome.site_id
    zones: dict[str, ZoneState] = {}
    if not outcome.overtaken:
        before = presence_of(state, site_id, outcome.cardholder_id)
        was_escort = before is not None and before.escort
        zones = _recounted(state, outcome.leave, -1, escort=was_escort)
        zones |= _recounted(state, outcome.enter, 1, escort=outcome.escort)
        now = Presence(outcome.zone_to, outcome.at_ms, outcome.escort)
        yield presence_key(site_id, outcome.cardholder_id), now
    if outcome.opens is not None:
        zone = zones.get(outcome.opens) or zone_state(state, outcome.opens)
        if zone.opened_on < outcome.opened_on:
            yield TIMETABLE, Timetable(outcome.at_ms)
        zones[outcome.opens] = _replace(zone, opened_on=max(zone.opened_on, outcome.opened_on))
    for zone_id, zone in zones.items():
        yield zone_key(zone_id), zone
    if outcome.permission_id is not None:
        use = _use(state, outcome.permission_id)
        reserved = tuple(one for one in use.reserved if one != outcome.decision_id)
        yield permission_key(outcome.permission_id), _replace(use, used=use.used + 1, reserved=reserved)


def _lost(state: State, outcome: PresenceLost) -> Iterator[Change]:
    key = presence_key(outcome.site_id, outcome.cardholder_id or EVERYBODY)
    yield key, Presence(None, outcome.at_ms)
    for zone_id, zone in _recounted(state, outcome.leave, -1, escort=outcome.escort).items():
        yield zone_key(zone_id), zone


def _recounted(state: State, zone_ids: tuple[str, ...], step: int, *, escort: bool) -> dict[str, ZoneState]:
    return {zone_id: _counted(zone_state(state, zone_id), step, escort=escort) for zone_id in zone_ids}


def _counted(zone: ZoneState, step: int, *, escort: bool) -> ZoneState:
    escorts = max(0, zone.escorts + step) if escort else zone.escorts
    return _replace(zone, count=max(0, zone.count + step), escorts=escorts)


_EVOLVERS: Mapping[type, Callable[[State, Any], Iterable[Change]]] = {
    PermissionUpdated: _permission_updated,
    DeviceHeard: lambda _, outcome: ((device_key(outcome.device_id), outcome.state),),
    AccessDoor: _commanded,
    **dict.fromkeys(
        (LockDoor, UnlockDoor, BlockDoor, LockDownDoor, LockDownReleaseDoor, LockOpenDoor, LockOpenReleaseDoor),
        _commanded,
    ),
    ModeSet: _mode_set,
    Woken: evolve_woken,
    GrantPending: _grant_pending,
    AccessTaken: _no_longer_pending,
    AccessNotTaken: _not_taken,
    DoorMoved: _moved,
    DoorAlarm: _alarmed,
    ExitAsked: _exit_asked,
    Passed: _passed,
    PresenceLost: _lost,
    Accompanied: _accompanied,
    OperatorAnswered: lambda _, outcome: evolve_answered(outcome),
    Kept: lambda _, outcome: ((outcome.key, outcome.entity),),
    EntityKept: lambda _, outcome: ((outcome.key, outcome.value),),
    LetGo: lambda _, outcome: ((outcome.key, outcome.let),),
    PostureSet: lambda _, outcome: ((posture_key(outcome.zone_id), outcome.posture),),
    RiskSet: lambda _, outcome: ((risk_key(outcome.site_id, outcome.cardholder_id), outcome.risk),),
    Forgotten: lambda _, outcome: ((outcome.key, None),),
}
"""What each outcome changes; the others change nothing."""
