"""What is wrong with a device, under change, and what is told of each change (M1)."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import NamedTuple

from schemas.devices import DeviceFault
from schemas.vocabulary import DeviceEvent
from streams.core.conditions import Damping, Told, forgettable, put, settle
from streams.core.watched import (
    BATTERY,
    CLOCK,
    CONNECTION,
    FAULT,
    NEVER,
    POWER,
    TAMPER,
    Condition,
    Number,
)

MOST_FAULTS = 16
"""Codes that are kept apart for one device, those of the last window included; the rest are one: `MORE_FAULTS`."""
MORE_FAULTS = "more_faults"
MOST_DETAIL = 200
WORDS: Mapping[str, tuple[DeviceEvent, DeviceEvent]] = {
    CONNECTION: (DeviceEvent.CONTROLLER_OFFLINE, DeviceEvent.CONTROLLER_ONLINE),
    TAMPER: (DeviceEvent.TAMPER, DeviceEvent.TAMPER_RESTORED),
    POWER: (DeviceEvent.POWER_FAILURE, DeviceEvent.POWER_RESTORED),
    BATTERY: (DeviceEvent.BATTERY_LOW, DeviceEvent.BATTERY_RESTORED),
    CLOCK: (DeviceEvent.CLOCK_WRONG, DeviceEvent.CLOCK_RIGHT),
    FAULT: (DeviceEvent.FAULT, DeviceEvent.FAULT_CLEARED),
}
"""Each condition's trouble and the event that ends it."""


class Event(NamedTuple):
    """What is to be told of a device."""

    event: DeviceEvent
    condition: str | None = None
    code: str | None = None
    detail: str = ""


class Conditions:
    """A device's conditions under change; `changed` None = as they were."""

    def __init__(
        self, given: dict[str, Condition], at_ms: int, number: Number, damping: Damping, events: list[Event]
    ) -> None:
        self._given = given
        self.changed: dict[str, Condition] | None = None
        self.at_ms = at_ms
        self.number = number
        self._damping = damping
        self.events = events

    @property
    def now(self) -> dict[str, Condition]:
        """As they are by now."""
        return self._given if self.changed is None else self.changed

    def is_on(self, name: str) -> bool:
        """Whether that is wrong."""
        found = self.now.get(name)
        return found is not None and found.on

    def put(self, name: str, *, on: bool, detail: str = "") -> None:
        """A condition is so, or is not."""
        found = self.now.get(name)
        if found is None:
            if not on:
                return
            found = Condition()
        number = self.number if name != CONNECTION else NEVER
        new, told = put(found, on=on, at_ms=self.at_ms, number=number, damping=self._damping, detail=detail)
        if new is not found:
            if self.changed is None:
                self.changed = dict(self._given)
            self.changed[name] = new
            self.events += self._events(name, new, told)

    def fault(self, code: str, *, on: bool, detail: str) -> None:
        """A fault is there, or gone; where there are too many codes, it is one of the rest."""
        self.put(self._fault_name(code, on=on), on=on, detail=detail[:MOST_DETAIL])

    def faults(self, listed: tuple[DeviceFault, ...]) -> None:
        """These are all the faults that there are."""
        details = {fault.code: fault.detail for fault in listed}
        gone = [name for name, one in self.now.items() if one.on and name.startswith(f"{FAULT}/")]
        for code, detail in sorted(details.items()):
            name = self._fault_name(code, on=True)
            if name in gone:
                gone.remove(name)
            self.put(name, on=True, detail=detail[:MOST_DETAIL])
        for name in gone:
            self.put(name, on=False)

    def _fault_name(self, code: str, *, on: bool) -> str:
        name = f"{FAULT}/{code}"
        # A code that is not known can only be gone if it was one of the rest.
        return f"{FAULT}/{MORE_FAULTS}" if name not in self.now and (not on or self._full()) else name

    def _full(self) -> bool:
        """Whether no other code may be kept apart, those let go that are long over."""
        if sum(name.startswith(f"{FAULT}/") for name in self.now) < MOST_FAULTS:
            return False
        self.changed = {name: one for name, one in self.now.items() if not forgettable(one, self.at_ms, self._damping)}
        return sum(name.startswith(f"{FAULT}/") for name in self.changed) >= MOST_FAULTS

    def settle(self) -> None:
        """End the flapping of what has kept still, and forget what is long over."""
        for name, found in self._given.items():
            now = self.now.get(name, found)
            new, told = settle(now, self.at_ms)
            if told:
                self.changed = {**self.now, name: new}
                self.events += self._events(name, new, told)
        if any(forgettable(one, self.at_ms, self._damping) for one in self.now.values()):
            self.changed = {
                name: one for name, one in self.now.items() if not forgettable(one, self.at_ms, self._damping)
            }

    @staticmethod
    def _events(name: str, condition: Condition, told: tuple[Told, ...]) -> Iterator[Event]:
        kind, _, code = name.partition("/")
        on, off = WORDS[kind]
        words = {
            Told.ON: on,
            Told.OFF: off,
            Told.FLAPPING: DeviceEvent.FLAPPING,
            Told.SETTLED: DeviceEvent.SETTLED,
        }
        for word in told:
            yield Event(words[word], kind, code or None, condition.detail)
