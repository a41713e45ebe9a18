"""The state of a site: small frozen entities by key, and what a key looks like."""

from __future__ import annotations

import msgspec

from schemas.vocabulary import DoorMode, Posture
from streams.core.keeping import codec
from streams.core.lockdown_state import Lockdown, LockdownDoors, SiteLockdowns
from streams.core.lockout_state import Failures, Guesses, Lockout, LockoutLet
from streams.core.mode_state import Converging, DoorModes, Timetable
from streams.core.numbering import NO_MESSAGE, MessageNumber
from streams.core.threat_state import Lately, Monitored, ThreatsAt, ZoneThreat


class TopicNumbers(msgspec.Struct, frozen=True, gc=False, array_like=True):
    """The numbers of a controller's boot that were seen in one topic: bit 0 of `window` is `highest`."""

    boot: int = -1
    highest: int = -1
    window: int = 0


class DeviceState(msgspec.Struct, frozen=True, gc=False, tag="device", array_like=True):
    """What was heard of a controller: `device/<id>`.

    `window` is a bitmap (little endian) of the numbers up to `highest` that were seen in this boot, bit 0 the highest;
    `digests` has two bytes of each of these numbers' content, at `number % 1024`. `backlog_*` are the backlog's own
    counter: its last boot and number, a byte of the content of each of its last numbers (the newest last), the first
    number of that boot, and of each boot before it the boot, its first and its last number. `tokens` are what the
    device may still send now, as of `tokens_at_ms`; `stranger_tokens` bound what is recorded of what anybody could send
    in its name. `heard_ms` is when its own last message was appended, `boot_ms` when the first one of this boot was and
    `highest_ms` when that of the highest number; `by_topic` are the numbers of each topic for itself.
    """

    key_version: int
    boot: int = -1
    highest: int = -1
    window: bytes = b""
    digests: bytes = b""
    backlog_boot: int = -1
    backlog_highest: int = -1
    backlog_digests: bytes = b""
    tokens: float = 0.0
    tokens_at_ms: int = 0
    flooding: bool = False
    stranger_tokens: float = 0.0
    strangers_flooding: bool = False
    backlog_first: int = -1
    backlog_earlier: tuple[tuple[int, int, int], ...] = ()
    heard_ms: int = 0
    boot_ms: int = 0
    highest_ms: int = 0
    by_topic: tuple[TopicNumbers, ...] = ()


class Pending(msgspec.Struct, frozen=True, gc=False, array_like=True):
    """A grant whose passage is awaited at a door until `until_ms`; a place is kept in the zones it `reserves`."""

    site_id: str
    device_id: str
    decision_id: str
    request_id: str
    command_id: str
    access_point_id: str
    zone_from: str
    zone_to: str
    direction: str
    cardholder_id: str | None
    credential_id: str | None
    permission_id: str | None
    single_use: bool
    granted_ms: int
    until_ms: int
    reserves: tuple[str, ...] = ()


class LastPassage(msgspec.Struct, frozen=True, gc=False, array_like=True):
    """The last passage that was granted and taken at a door."""

    decision_id: str
    cardholder_id: str | None
    at_ms: int


class DoorState(msgspec.Struct, frozen=True, gc=False, tag="door", array_like=True):
    """A door: `door/<id>`.

    `mode` and `mode_epoch` are what is desired of it. `sequence` is that of the last command; `open` None = not known,
    `told` is the newest message that told of it. Until `exit_until_ms` an opening
    is that of somebody who has asked to leave. `alarms` have not ended yet.
    """

    sequence: int = 0
    mode_epoch: int = 0
    open: bool | None = None
    pending: tuple[Pending, ...] = ()
    exit_until_ms: int = 0
    alarms: tuple[str, ...] = ()
    last_passage: LastPassage | None = None
    mode: DoorMode = DoorMode.LOCKED
    told: MessageNumber = NO_MESSAGE


class Presence(msgspec.Struct, frozen=True, gc=False, tag="presence", array_like=True):
    """Where a cardholder was last known to be: `presence/<site>/<cardholder>`; `zone_id` None = not known."""

    zone_id: str | None
    since_ms: int
    escort: bool = False


class ZoneState(msgspec.Struct, frozen=True, gc=False, tag="zone", array_like=True):
    """A zone: `zone/<id>`.

    `count` people are inside, `escorts` of them may accompany, and `expected` more have been let in and have not passed
    yet. `candidate` is who was last let in, or turned away only for lack of company, at `candidate_ms`; `escort_ms` is
    when an escort was last let in; `opened_on` is the local day on which a first person opened the zone.
    """

    count: int = 0
    escorts: int = 0
    candidate: str | None = None
    candidate_ms: int = 0
    escort_ms: int = 0
    opened_on: str = ""
    expected: int = 0


class PermissionUse(msgspec.Struct, frozen=True, gc=False, tag="permission", array_like=True):
    """A permission: `permission/<id>`: how often it was used up, and the grants that may yet use it (single-use).

    `told` is the state that was last told of it, of its record at `version`.
    """

    used: int = 0
    reserved: tuple[str, ...] = ()
    told: str = ""
    version: int = -1


class ZonePosture(msgspec.Struct, frozen=True, gc=False, tag="posture", array_like=True):
    """What a zone is under: `posture/<zone>`; who has at least `clearance` passes a lockdown (None: nobody does).

    `drill`: it is for practice, and refuses all the same. What happened before `since_ms` is none of its business.
    """

    posture: Posture
    clearance: int | None = None
    drill: bool = False
    since_ms: int = 0


class Risk(msgspec.Struct, frozen=True, gc=False, tag="risk", array_like=True):
    """A cardholder's risk score and its limit: `risk/<site>/<cardholder>`."""

    score: float
    limit: float


class OperatorAsked(msgspec.Struct, frozen=True, gc=False, tag="operator", array_like=True):
    """A request that was carried out: `operator/<site>/<request>`, and its number used once: `nonce/<site>/...`.

    Forgotten at `until_ms`, when the request has expired anyway.
    """

    until_ms: int


Entity = (
    DeviceState
    | DoorState
    | Presence
    | ZoneState
    | PermissionUse
    | Lockout
    | Failures
    | Guesses
    | LockoutLet
    | ZonePosture
    | Risk
    | OperatorAsked
    | DoorModes
    | Converging
    | Timetable
    | Lockdown
    | LockdownDoors
    | SiteLockdowns
    | ZoneThreat
    | Monitored
    | ThreatsAt
    | Lately
)

encode, decode = codec(Entity)


def device_key(device_id: str) -> str:
    """`device/<id>`."""
    return f"device/{device_id}"


def door_key(door_id: str) -> str:
    """`door/<id>`."""
    return f"door/{door_id}"


def presence_key(site_id: str, cardholder_id: str) -> str:
    """`presence/<site>/<cardholder>`; without a cardholder, since when older presences at the site are forgiven."""
    return f"presence/{site_id}/{cardholder_id}"


EVERYBODY = ""
"""Stands for all cardholders in a presence key; nobody's id is empty."""


def zone_key(zone_id: str) -> str:
    """`zone/<id>`."""
    return f"zone/{zone_id}"


def permission_key(permission_id: str) -> str:
    """`permission/<id>`."""
    return f"permission/{permission_id}"


def posture_key(zone_id: str) -> str:
    """`posture/<zone>`."""
    return f"posture/{zone_id}"


def risk_key(site_id: str, cardholder_id: str) -> str:
    """`risk/<site>/<cardholder>`."""
    return f"risk/{site_id}/{cardholder_id}"


def operator_key(site_id: str, request_id: str) -> str:
    """`operator/<site>/<request>`."""
    return f"operator/{site_id}/{request_id}"


def nonce_key(site_id: str, operator_id: str, nonce: str) -> str:
    """`nonce/<site>/<operator>/<digest of the number used once>`."""
    return f"nonce/{site_id}/{operator_id}/{nonce}"
