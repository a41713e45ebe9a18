"""What is told of a device where it stands differently, and what is kept of it and of its site (M1)."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any, Literal

import msgspec

from schemas.base import JournalPosition
from schemas.commands import Probe
from schemas.device_states import ActiveFault, DeviceDiagnosis, DeviceState
from schemas.ids import derive
from schemas.vocabulary import Connection, DeviceEvent
from streams.core.device_conditions import Event
from streams.core.diagnosis import cause_of
from streams.core.hearing import offset_of
from streams.core.processor import Context, Outcome, State
from streams.core.repairs import RECOVERING
from streams.core.times import from_ms
from streams.core.watched import (
    BATTERY,
    CHECKING,
    CLOCK,
    CONNECTION,
    DOWN,
    FAULT,
    POWER,
    SILENT,
    TAMPER,
    Repair,
    SiteCount,
    Watched,
    count_key,
)

_replace = msgspec.structs.replace


class DeviceKept(msgspec.Struct, frozen=True, gc=False, tag="device_kept"):
    """A device was heard, or a deadline of it has passed."""

    device_id: str
    state: Watched


class SiteCounted(msgspec.Struct, frozen=True, gc=False, tag="site_counted"):
    """How many devices of a site are watched, and offline."""

    site_id: str
    count: SiteCount


class Telling:
    """The outcomes of one cause about one device."""

    def __init__(self, device_id: str, context: Context, cause_id: str | None) -> None:
        self.outcomes: list[Outcome] = []
        self.place: tuple[str | int, ...] = ()
        self.occurred_at: Any = None
        self._device_id = device_id
        self._context = context
        self._cause_id = cause_id

    def moved(self, state: State, old: Watched | None) -> None:
        """The device is no longer watched where it was."""
        if old is None or not old.monitored:
            return
        count = _recount(state, old.site_id, -1, -int(is_offline(old)))
        ended = _replace(old, monitored=False, repairs={})
        self.outcomes += [
            self._message(ended, count, Event(DeviceEvent.MONITORING_ENDED)),
            DeviceKept(self._device_id, ended),
            SiteCounted(old.site_id, count),
        ]

    def probed(self, device: Watched) -> Watched:
        """The device is asked how it is."""
        probe = Probe(
            command_id=derive("probe", self._device_id, *self.place),
            site_id=device.site_id,
            device_id=self._device_id,
            issued_at=from_ms(self._context.now_ms),
        )
        self.outcomes.append(probe)
        return _replace(device, probe_id=probe.command_id)

    def changed(self, state: State, before: Watched | None, after: Watched, events: Sequence[Event]) -> None:
        """The device stands differently, and that is told; `before` None = it was not watched yet."""
        was_offline = before is not None and is_offline(before)
        more, offline = int(before is None), int(is_offline(after)) - int(was_offline)
        count = _recount(state, after.site_id, more, offline)
        self.outcomes += [self._message(after, count, event) for event in events]
        self.outcomes.append(DeviceKept(self._device_id, after))
        if more or offline:
            self.outcomes.append(SiteCounted(after.site_id, count))

    def _message(self, device: Watched, count: SiteCount, event: Event) -> DeviceState:
        context, on = self._context, device.conditions
        wrong = {name for name, one in on.items() if one.on}
        faults = sorted(name for name in wrong if name.startswith(f"{FAULT}/"))
        event_id = derive("device_state", self._device_id, event.event, event.condition or "", event.code or "")
        case = device.repairs.get(_cause(event) or "")
        return DeviceState(
            event_id=derive("device_state", event_id, *self.place),
            event=event.event,
            condition=event.condition,
            code=event.code,
            detail=event.detail,
            site_id=device.site_id,
            device_id=self._device_id,
            cause_id=self._cause_id,
            connection=_connection(device),
            since=from_ms(device.since_ms),
            last_seen=from_ms(device.last_seen_ms) if device.heard else None,
            tamper=TAMPER in wrong,
            power_failure=POWER in wrong,
            battery_low=BATTERY in wrong,
            faults=tuple(
                ActiveFault(code=name.partition("/")[2], detail=on[name].detail, since=from_ms(on[name].since_ms))
                for name in faults
            ),
            diagnosis=None if case is None else _diagnosis(case),
            clock_wrong=CLOCK in wrong,
            clock_offset_ms=offset_of(device.offsets_ms),
            flapping=tuple(sorted(name for name, one in on.items() if one.until_ms)),
            network=_NETWORK[device.network],
            offline_doors=_doors_of(self._device_id, context) if _NETWORK[device.network] == "down" else (),
            snapshot_version=device.snapshot_version or None,
            site_offline=count.offline,
            site_devices=count.devices,
            occurred_at=self.occurred_at,
            decided_at=from_ms(context.now_ms),
            journal=JournalPosition(partition=context.partition, number=context.number),
        )


_NETWORK: Mapping[str, Literal["ok", "checking", "down"]] = {
    "": "ok",
    CHECKING: "checking",
    DOWN: "down",
    SILENT: "down",
}


def _doors_of(device_id: str, context: Context) -> tuple[str, ...]:
    return tuple(door.door_id for door in context.references.find("door", "device_id", device_id))


def _connection(device: Watched) -> Connection:
    if is_offline(device):
        return Connection.OFFLINE
    return Connection.ONLINE if device.heard else Connection.UNKNOWN


def is_offline(device: Watched) -> bool:
    """Whether a device counts as offline."""
    found = device.conditions.get(CONNECTION)
    return found is not None and found.on


def _recount(state: State, site_id: str, devices: int, offline: int) -> SiteCount:
    count: SiteCount = state.get(count_key(site_id)) or SiteCount()
    return SiteCount(count.devices + devices, count.offline + offline)


def _cause(event: Event) -> str | None:
    """The cause of the exception that an event is of."""
    if event.condition is None:
        return None
    return cause_of(event.condition if event.code is None else f"{event.condition}/{event.code}")


def _diagnosis(case: Repair) -> DeviceDiagnosis:
    nature: Any = case.nature
    until = from_ms(case.recover_by_ms) if case.stage == RECOVERING and case.recover_by_ms else None
    return DeviceDiagnosis(case_id=case.case_id, nature=nature, recover_by=until, remedy=case.remedy)
