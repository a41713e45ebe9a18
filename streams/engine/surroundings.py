"""What all partitions of a machine share."""

from __future__ import annotations

import asyncio

import msgspec

from streams.core.processor import Processor
from streams.engine.observer import Observer
from streams.engine.options import MachineOptions
from streams.engine.pace import Pace
from streams.engine.ports import Broker
from streams.engine.pulse import Pulse
from streams.engine.references import ReferenceViews
from streams.engine.resolve import Resolver
from streams.engine.timekeeping import SteadyClock


class Surroundings(msgspec.Struct, frozen=True):
    """The machine's parts that its partitions lean on.

    `partitions` is how many there are, owned or not (0: not known). `survived` has the partition and epoch of owners
    that ended without taking this process with them. Who does what may kill the process holds `careful`, so that the
    journal of no other partition of the process says the same of itself. `hurried`: somebody waits for what it decides.
    """

    processor: Processor
    broker: Broker
    clock: SteadyClock
    incarnation: int
    references: ReferenceViews
    resolver: Resolver
    observer: Observer
    options: MachineOptions
    pulse: Pulse
    partitions: int = 0
    survived: set[tuple[int, int]] = msgspec.field(default_factory=set)
    careful: asyncio.Lock = msgspec.field(default_factory=asyncio.Lock)
    pace: Pace = msgspec.field(default_factory=Pace)
    hurried: bool = True
