"""What the `devices` processor keeps: small frozen entities by key."""

from __future__ import annotations

from typing import Any

import msgspec

from streams.core.entities import OperatorAsked
from streams.core.keeping import codec

CONNECTION = "connection"
TAMPER = "tamper"
POWER = "power"
BATTERY = "battery"
CLOCK = "clock"
FAULT = "fault"
"""A condition's name; a fault's is `fault/<code>`."""

NETWORK = "network"
CHECKING, DOWN, SILENT = "checking", "down", "silent"
"""What `Watched.network` says where the network is not well."""

Number = tuple[int, int]
"""Boot and sequence of a device's message."""

NEVER: Number = (-1, -1)


class Condition(msgspec.Struct, frozen=True, gc=False, array_like=True):
    """One thing that can be wrong with a device.

    `on`: it is, since `since_ms`, as the message of that `number` said; `told`: what was last told of it. `changes` are
    the moments of its latest changes. While it flaps nothing is told until `until_ms`, which each change puts off
    (0: it does not flap).
    """

    on: bool = False
    since_ms: int = 0
    number: Number = NEVER
    told: bool = False
    changes: tuple[int, ...] = ()
    until_ms: int = 0
    detail: str = ""


class Repair(msgspec.Struct, frozen=True, gc=False, array_like=True):
    """An exception of a device, and its repair case once it was opened; see `repairs`.

    It began at `began_ms` and takes its next step by itself at `due_ms` (0: none). What has not happened is 0 or empty.
    """

    case_id: str
    stage: str
    nature: str
    began_ms: int
    due_ms: int = 0
    transition: int = 0
    recover_by_ms: int = 0
    opened_ms: int = 0
    repaired_ms: int = 0
    assigned_to: str = ""
    result: str = ""
    detail: str = ""
    remedy: str = ""


class Watched(msgspec.Struct, frozen=True, gc=False, tag="device", array_like=True):
    """A device: `device/<id>`.

    `window` is a bitmap (little endian) of the numbers up to `highest` that were heard in this boot, bit 0 the highest.
    `since_ms` is since when it is online, offline, or (not `heard`) unknown. `offline_at_ms` and `probe_at_ms` are when
    it counts as offline and when it is asked next (0: not). `probe_id` is the probe that is not answered yet,
    `unanswered` how many were not in a row. `listed` is the message that last told all faults. `offsets_ms` are the
    last differences between its clock and the broker's, the latest taken at `measured_ms`.

    `network` is `checking` while a probe's answer is awaited until `network_by_ms`, `down` when none came, and `silent`
    where that was not told (the device is never asked, or flaps). `snapshot_version` is what the device says it holds.
    `repairs` are its exceptions by cause.
    """

    site_id: str
    key_version: int
    since_ms: int
    monitored: bool = True
    heard: bool = False
    boot: int = -1
    highest: int = -1
    window: bytes = b""
    last_seen_ms: int = 0
    offline_at_ms: int = 0
    probe_at_ms: int = 0
    probe_id: str = ""
    unanswered: int = 0
    conditions: dict[str, Condition] = {}
    listed: Number = NEVER
    offsets_ms: tuple[int, ...] = ()
    measured_ms: int = 0
    network: str = ""
    network_by_ms: int = 0
    snapshot_version: str = ""
    repairs: dict[str, Repair] = {}


class SiteCount(msgspec.Struct, frozen=True, gc=False, tag="site", array_like=True):
    """A site: `site/<id>`: how many devices are watched there, and how many of them are offline."""

    devices: int = 0
    offline: int = 0


class Sweep(msgspec.Struct, frozen=True, gc=False, tag="sweep", array_like=True):
    """When the partition's sites are next looked through for devices that nobody watches yet: `sweep`."""

    due_ms: int


class Synced(msgspec.Struct, frozen=True, gc=False, tag="synced", array_like=True):
    """A controller's permission snapshot: `synced/<device>`.

    `digest` is that of the lists of `version` (its moment: Unix, milliseconds), which is published again at `renew_ms`.
    While the device is asked to take it, `call_id` is the command's id, and its answer is due at `answer_by_ms` (0: not
    asked, or the network is looked at first); `tries` counts the calls for this version.
    """

    site_id: str
    version: int
    digest: bytes
    renew_ms: int
    call_id: str = ""
    answer_by_ms: int = 0
    tries: int = 0


class Round(msgspec.Struct, frozen=True, gc=False, tag="round", array_like=True):
    """The look through a partition's devices for snapshots that are out of date: `snapshots`.

    It goes on at `due_ms` behind the device `after` (`<site>/<device>`; empty: a new round begins). `began` is the
    references' version when the round began, `seen` that of the last round that came to its end.
    """

    due_ms: int
    after: str = ""
    began: int = -1
    seen: int = -1


Entity = Watched | SiteCount | Sweep | Synced | Round | OperatorAsked

SWEEP = "sweep"
SNAPSHOTS = "snapshots"
encode, decode = codec(Entity)


def watched_key(device_id: str) -> str:
    """`device/<id>`."""
    return f"device/{device_id}"


def count_key(site_id: str) -> str:
    """`site/<id>`."""
    return f"site/{site_id}"


def synced_key(device_id: str) -> str:
    """`synced/<device>`."""
    return f"synced/{device_id}"


def deadline_of(entity: Any) -> int | None:
    """When an entity wants a tick (Unix, milliseconds), or None."""
    if isinstance(entity, Sweep | Round):
        return entity.due_ms
    if isinstance(entity, OperatorAsked):
        return entity.until_ms
    if isinstance(entity, Synced):
        return min(entity.renew_ms, entity.answer_by_ms or entity.renew_ms)
    if not isinstance(entity, Watched) or not entity.monitored:
        return None
    due = [
        entity.offline_at_ms,
        entity.probe_at_ms,
        entity.network_by_ms,
        *(one.until_ms for one in entity.conditions.values()),
        *(case.due_ms for case in entity.repairs.values()),
    ]
    return min((at_ms for at_ms in due if at_ms), default=None)
