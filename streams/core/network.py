"""The network to a device (A5): where it is silent or leaves a command unanswered, it is probed.

Without an answer its doors are in offline mode: their controller decides alone.
"""

from __future__ import annotations

from typing import NamedTuple

import msgspec

from schemas.vocabulary import DeviceEvent
from streams.core.device_conditions import Event
from streams.core.device_telling import is_offline
from streams.core.hearing import Rules
from streams.core.watched import CHECKING, CONNECTION, DOWN, NETWORK, SILENT, Watched

_replace = msgspec.structs.replace


class Looked(NamedTuple):
    """A device after its network was looked at, what is told of that, and whether it is to be probed at once."""

    device: Watched
    events: tuple[Event, ...] = ()
    probe: bool = False


def check(device: Watched, detail: str, now_ms: int, answer_within_s: int, code: str | None = None) -> Looked:
    """A network exception: the connection is probed. One that is under way, or has ended badly, is no second one."""
    if device.network:
        return Looked(device)
    checking = _replace(device, network=CHECKING, network_by_ms=now_ms + answer_within_s * 1000)
    return Looked(checking, (Event(DeviceEvent.NETWORK_EXCEPTION, NETWORK, code, detail),), probe=True)


def heard(before: Watched, after: Watched, events: list[Event]) -> Looked:
    """What a message of the device says of its network: the answer to a probe, or that it is back at all.

    Another message proves nothing: whoever can speak may still not hear.
    """
    if not before.network or not (is_offline(before) or any(one.event is DeviceEvent.PROBE_ANSWERED for one in events)):
        return Looked(after)
    well = _replace(after, network="", network_by_ms=0)
    return Looked(well, (Event(DeviceEvent.OFFLINE_MODE_ENDED, NETWORK),) if before.network == DOWN else ())


def overdue(before: Watched, after: Watched, due_ms: int, now_ms: int, rules: Rules, answer_within_s: int) -> Looked:
    """What the deadlines up to `due_ms` say: the device has fallen silent, or left the probe unanswered."""
    if is_offline(after) and not is_offline(before):
        if after.network:
            return Looked(after)
        if not rules.timing.probe_every_s or after.conditions[CONNECTION].until_ms:
            return Looked(_replace(after, network=SILENT))
        return check(after, f"not heard for {rules.timing.offline_after_s} s", now_ms, answer_within_s)
    if 0 < before.network_by_ms <= due_ms:
        started = Event(DeviceEvent.OFFLINE_MODE_STARTED, NETWORK, None, f"no answer within {answer_within_s} s")
        return Looked(_replace(after, network=DOWN, network_by_ms=0), (started,))
    return Looked(after)
