"""The controllers of one site, and what they say: signed, and numbered by each."""

from __future__ import annotations

import asyncio
import itertools
from collections import Counter
from collections.abc import AsyncIterator, Sequence
from datetime import UTC, datetime
from typing import Any

from bench.stage import Plain
from bench.world import MASTER
from schemas.base import DeviceMessage
from schemas.keys import DEVICE, derive_key
from schemas.signing import sign

WELL = {"faults": (), "tamper": False, "power_failure": False, "battery_low": False}
"""What the heartbeat of a controller tells that lacks nothing."""


class Controllers:
    """Those of a site, in one boot of theirs."""

    def __init__(self, site_id: str, boot: int = 1) -> None:
        self._site_id = site_id
        self._boot = boot
        self._keys: dict[str, bytes] = {}
        self._numbers: Counter[str] = Counter()

    def say(self, kind: type[DeviceMessage], topic: str, device_id: str, **fields: Any) -> Plain:
        """The next message of one of them, said now unless `occurred_at` is given."""
        if device_id not in self._keys:
            self._keys[device_id] = derive_key(MASTER, DEVICE, device_id)
        self._numbers[device_id] += 1
        named = {"site_id": self._site_id, "device_id": device_id}
        numbered = {"boot": self._boot, "sequence": self._numbers[device_id]}
        message = kind(**{"occurred_at": datetime.now(UTC), **named, **numbered, **fields})
        key, value = self._site_id.encode(), message.to_json()
        return key, value, [sign(self._keys[device_id], 1, topic, key, value, ())]


async def in_turn(ids: Sequence[str], every_s: float, turn_s: float) -> AsyncIterator[Sequence[str]]:
    """For ever those whose turn it is, each one once in `every_s`."""
    turns = round(every_s / turn_s)
    for turn in itertools.cycle(range(turns)):
        yield ids[turn::turns]
        await asyncio.sleep(turn_s)
