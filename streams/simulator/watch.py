"""Watches what is told of the controllers, beside what they sent: every silence, every return and every fault, once."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Mapping
from itertools import pairwise
from typing import Any

from schemas.base import DeviceMessage
from schemas.devices import Fault, FaultCleared
from streams.loading.campus import Campus
from streams.simulator.timings import timings

EVENTS = "device.events"
SLACK_S = 4.0
"""A silence that is longer or shorter than the limit by less may be told or not: records take their time."""

LOST, BACK = "controller_offline", "controller_online"


class Watch:
    """The controllers of one run; moments are seconds of the run's timer."""

    def __init__(self, campus: Campus) -> None:
        self._limits_s = {id_: timing.offline_after_s for id_, timing in timings(campus).items()}
        self._sent: dict[str, list[float]] = defaultdict(list)
        self._faults: dict[str, list[str]] = defaultdict(list)
        self._told: dict[str, list[str]] = defaultdict(list)

    def sent(self, message: DeviceMessage, at_s: float) -> None:
        """A controller sent something on `device.events`."""
        self._sent[message.device_id].append(at_s)
        if isinstance(message, Fault | FaultCleared):
            self._faults[message.device_id].append(f"{message.type} {message.code}")

    def told(self, fields: Mapping[str, Any]) -> None:
        """A state was told. What happened before the run's first message of a device is another's story."""
        device_id, event = str(fields.get("device_id")), str(fields.get("event"))
        if device_id in self._sent:
            code = fields.get("code")
            self._told[device_id].append(f"{event} {code}" if code is not None else event)

    def is_lost(self, device_id: str) -> bool:
        """Whether the last that was told of a controller's connection is that there is none."""
        return [one for one in self._told[device_id] if one in {LOST, BACK}][-1:] == [LOST]

    def count(self, event: str) -> int:
        """How often an event was told."""
        return sum(one.partition(" ")[0] == event for told in self._told.values() for one in told)

    @property
    def waiting(self) -> bool:
        """Whether something that must be told has not been."""
        return any(self._missing(device_id) for device_id in self._sent)

    def differences(self) -> list[str]:
        """A sentence for each device of which something else was told than happened."""
        found = [f"{device_id}: not told: {', '.join(missing)}" for device_id in sorted(self._sent)
                 if (missing := self._missing(device_id))]  # fmt: skip
        for device_id, told in sorted(self._told.items()):
            lost = [one for one in told if one in {LOST, BACK}]
            if any(one == other for one, other in pairwise(lost)):
                found.append(f"{device_id}: told twice in a row: {', '.join(lost)}")
            if told.count(LOST) > self._silences(device_id, -SLACK_S):
                found.append(f"{device_id}: told offline {told.count(LOST)} times, and was not silent as often")
            faults = [one for one in told if one.startswith("fault")]
            if len(faults) > len(self._faults[device_id]):
                found.append(f"{device_id}: told of faults that it did not have: {', '.join(faults)}")
        return found

    def _missing(self, device_id: str) -> list[str]:
        told = self._told[device_id]
        silences = self._silences(device_id, SLACK_S)
        missing = [LOST] * (silences - told.count(LOST))
        if self.is_lost(device_id):
            missing.append(BACK)
        return missing + [one for one in self._faults[device_id] if one not in told]

    def _silences(self, device_id: str, slack_s: float) -> int:
        limit_s = self._limits_s.get(device_id, 45.0) + slack_s
        return sum(later - earlier > limit_s for earlier, later in pairwise(self._sent[device_id]))
