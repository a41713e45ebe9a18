"""What all partitions of a machine share."""

from __future__ import annotations

import msgspec

from streams.core.processor import Processor
from streams.engine.observer import Observer
from streams.engine.options import MachineOptions
from streams.engine.ports import Broker, Clock
from streams.engine.pulse import Pulse
from streams.engine.references import ReferenceViews
from streams.engine.resolve import Resolver


class Surroundings(msgspec.Struct, frozen=True):
    """The machine's parts that its partitions lean on."""

    processor: Processor
    broker: Broker
    clock: Clock
    incarnation: int
    references: ReferenceViews
    resolver: Resolver
    observer: Observer
    options: MachineOptions
    pulse: Pulse
