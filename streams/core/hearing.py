"""What a message of a device, or its silence, changes in what is known of it, and what is told of that (M1)."""

from __future__ import annotations

from collections.abc import Mapping
from typing import NamedTuple
from zlib import crc32

import msgspec

from schemas.base import DeviceMessage
from schemas.devices import (
    BatteryLow,
    BatteryRestored,
    Fault,
    FaultCleared,
    Heartbeat,
    PowerFailure,
    PowerRestored,
    Tamper,
    TamperRestored,
)
from schemas.rules import DeviceTiming, Monitoring
from schemas.vocabulary import DeviceEvent
from streams.core.admission import WINDOW
from streams.core.conditions import Damping
from streams.core.device_conditions import Conditions, Event
from streams.core.times import to_ms
from streams.core.watched import BATTERY, CLOCK, CONNECTION, NEVER, POWER, TAMPER, Watched
from streams.core.windows import Standing, from_bytes, slid, standing, to_bytes

CLOCK_SAMPLES = 8
LEAST_SAMPLES = 4
"""So many before a clock counts as behind: what is late on its way looks the same."""
LONGEST_BACKOFF = 4
"""A device that doesn't answer is asked after 2, 4, 8 and then always 16 periods."""
_replace = msgspec.structs.replace


_SAID: Mapping[type, tuple[str, bool]] = {
    Tamper: (TAMPER, True),
    TamperRestored: (TAMPER, False),
    PowerFailure: (POWER, True),
    PowerRestored: (POWER, False),
    BatteryLow: (BATTERY, True),
    BatteryRestored: (BATTERY, False),
}


class Rules(NamedTuple):
    """What applies to a device: the policy's monitoring, and the times of its model."""

    monitoring: Monitoring
    timing: DeviceTiming

    @property
    def damping(self) -> Damping:
        """When changes are too many."""
        return Damping(self.monitoring.flapping_changes, self.monitoring.flapping_window_s * 1000)


def rules_for(monitoring: Monitoring, model: str) -> Rules:
    """The rules for a device of that model."""
    return Rules(monitoring, monitoring.timing(model))


def begin(site_id: str, key_version: int, device_id: str, at_ms: int, rules: Rules) -> Watched:
    """A device that is watched from now on."""
    return Watched(
        site_id,
        key_version,
        at_ms,
        offline_at_ms=at_ms + rules.timing.offline_after_s * 1000,
        probe_at_ms=next_probe(device_id, at_ms, rules.timing),
    )


def next_probe(device_id: str, after_ms: int, timing: DeviceTiming, unanswered: int = 0) -> int:
    """When a device is asked next (0: never): each at its own moment of the period, so that they never come at once."""
    period_ms = timing.probe_every_s * 1000 << min(unanswered, LONGEST_BACKOFF)
    if period_ms == 0:
        return 0
    phase_ms = crc32(device_id.encode()) % period_ms
    return after_ms + 1 + (phase_ms - after_ms - 1) % period_ms


def listen(device: Watched, message: DeviceMessage, key_version: int) -> Watched | None:
    """The device with a message's number taken; None where that number was heard before, or is too old.

    Nor is a device heard under a lower version of its key than it has had: that key's messages would count again.
    """
    if key_version < device.key_version:
        return None
    if key_version > device.key_version:
        # A swapped controller: its boots and numbers start afresh under its own key.
        conditions = {name: _replace(one, number=NEVER) for name, one in device.conditions.items()}
        device = _replace(
            device, key_version=key_version, boot=-1, highest=-1, window=b"", conditions=conditions, listed=NEVER
        )
    boot, sequence = message.boot, message.sequence
    if boot < device.boot:
        return None
    if boot > device.boot:
        return _replace(device, boot=boot, highest=sequence, window=to_bytes(1, WINDOW), offsets_ms=())
    window = from_bytes(device.window)
    if standing(device.highest, window, sequence, WINDOW) is not Standing.NEW:
        return None
    highest, window = slid(device.highest, window, sequence, WINDOW)
    return _replace(device, highest=highest, window=to_bytes(window, WINDOW))


def hear(device: Watched, message: DeviceMessage, at_ms: int, rules: Rules) -> tuple[Watched, list[Event]]:
    """What a message that counts, appended at `at_ms`, changes; `listen` has taken its number."""
    events: list[Event] = []
    seen_ms = max(device.last_seen_ms, at_ms)
    changes: dict[str, object] = {
        "last_seen_ms": seen_ms,
        "offline_at_ms": seen_ms + rules.timing.offline_after_s * 1000,
        "heard": True,
        "unanswered": 0,
    }
    conditions = Conditions(device.conditions, at_ms, (message.boot, message.sequence), rules.damping, events)
    connection = device.conditions.get(CONNECTION)
    if connection is not None and connection.on:
        conditions.put(CONNECTION, on=False)
        changes["since_ms"] = at_ms
    elif not device.heard:
        events.append(Event(DeviceEvent.CONTROLLER_ONLINE, CONNECTION))
        changes["since_ms"] = at_ms
    if isinstance(message, Heartbeat):
        _heartbeat(device, message, conditions, changes, rules)
    elif isinstance(message, Fault | FaultCleared):
        if conditions.number >= device.listed:
            on = isinstance(message, Fault)
            conditions.fault(message.code, on=on, detail=message.detail if isinstance(message, Fault) else "")
    elif (said := _SAID.get(type(message))) is not None:
        conditions.put(said[0], on=said[1])
    if conditions.changed is not None:
        changes["conditions"] = conditions.changed
    return _replace(device, **changes), events


def _heartbeat(
    device: Watched, message: Heartbeat, conditions: Conditions, changes: dict[str, object], rules: Rules
) -> None:
    at_ms = conditions.at_ms
    for name, on in ((TAMPER, message.tamper), (POWER, message.power_failure), (BATTERY, message.battery_low)):
        if on is not None:
            conditions.put(name, on=on)
    if message.faults is not None and conditions.number >= device.listed:
        changes["listed"] = conditions.number
        conditions.faults(message.faults)
    if at_ms - device.measured_ms >= rules.timing.heartbeat_s * 500:
        # What queued up on its way comes at once and tells nothing new of the clock.
        offsets = (*device.offsets_ms, to_ms(message.occurred_at) - at_ms)[-CLOCK_SAMPLES:]
        changes["offsets_ms"], changes["measured_ms"] = offsets, at_ms
        _clock(offsets, conditions, rules.monitoring.clock_tolerance_s * 1000)
    if message.probe_id is not None and message.probe_id == device.probe_id:
        changes["probe_id"] = ""
        conditions.events.append(Event(DeviceEvent.PROBE_ANSWERED))


def offset_of(offsets_ms: tuple[int, ...]) -> int | None:
    """How far the clock is ahead: the largest of the last differences, since what is late on its way looks behind."""
    return max(offsets_ms, default=None)


def _clock(offsets_ms: tuple[int, ...], conditions: Conditions, tolerance_ms: int) -> None:
    ahead_ms = max(offsets_ms)
    if conditions.is_on(CLOCK):
        if abs(ahead_ms) <= tolerance_ms // 2:
            conditions.put(CLOCK, on=False)
    elif ahead_ms > tolerance_ms or (ahead_ms < -tolerance_ms and len(offsets_ms) >= LEAST_SAMPLES):
        conditions.put(CLOCK, on=True)


def overdue(device: Watched, device_id: str, due_ms: int, now_ms: int, rules: Rules) -> tuple[Watched, list[Event]]:
    """What the deadlines up to `due_ms` change. A probe is due where `probe_at_ms` has moved; the caller sends it."""
    events: list[Event] = []
    changes: dict[str, object] = {}
    conditions = Conditions(device.conditions, due_ms, NEVER, rules.damping, events)
    if 0 < device.offline_at_ms <= due_ms:
        conditions.put(CONNECTION, on=True)
        changes["offline_at_ms"], changes["since_ms"] = 0, device.offline_at_ms
    conditions.settle()
    if 0 < device.probe_at_ms <= due_ms:
        unanswered = device.unanswered + (device.probe_id != "")
        changes["unanswered"] = unanswered
        offline = conditions.is_on(CONNECTION)
        changes["probe_at_ms"] = next_probe(device_id, max(due_ms, now_ms), rules.timing, unanswered if offline else 0)
    if conditions.changed is not None:
        changes["conditions"] = conditions.changed
    return _replace(device, **changes), events
