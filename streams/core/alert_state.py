"""An alert as it is kept, its ISA-18.2 state, its deadlines, and what else the alerts processor remembers (M3)."""

from __future__ import annotations

import msgspec

from schemas.vocabulary import Severity
from streams.core.entities import OperatorAsked
from streams.core.keeping import codec

LOW = Severity.LOW.value
LED_TO_KEPT = 5
"""How many troubles at a place are remembered, for an alert there to tell."""

LED_TO_FOR_MS = 3_600_000
"""For how long."""

RECHECK_MS = 60_000
"""How often an alert that is inhibited at a whole site looks whether it still is."""

LIFETIME_MS = 30 * 86_400_000
"""An alert that nobody has closed by then is closed, so that what nobody works is not kept for ever."""


class Level(msgspec.Struct, frozen=True, gc=False, array_like=True):
    """A level of the policy, copied."""

    severity: str
    within_s: int
    repeats: int
    channels: tuple[str, ...]
    recipients: tuple[str, ...]


class Led(msgspec.Struct, frozen=True, gc=False, array_like=True):
    """What happened at a place: when, which type of message, its id, and in a few words."""

    at_ms: int
    type: str
    id: str
    summary: str


class Acting(msgspec.Struct, frozen=True, gc=False, array_like=True):
    """An alert's action: the `attempt`-th of `attempts`, to be verified at `due_ms` (None: the verdict stands)."""

    action: str
    attempts: int
    verify_ms: int
    attempt: int = 0
    due_ms: int | None = None
    verdict: str = "pending"

    def paused(self) -> Acting:
        """An attempt that nobody verifies does not count."""
        if self.due_ms is None:
            return self
        return msgspec.structs.replace(self, attempt=self.attempt - 1, due_ms=None)


class Assessed(msgspec.Struct, frozen=True, gc=False, array_like=True):
    """How a threat or an abnormal passage was assessed: its level, the score and its parts (name, points, why).

    A threat's has its id, what was begun, and the command that starts the plan that is proposed.
    """

    level: str
    score: int
    factors: tuple[tuple[str, int, str], ...]
    threat_id: str | None = None
    response: str = ""
    confirm: str = ""


class Case(msgspec.Struct, frozen=True, gc=False, tag="case", array_like=True):
    """An alert: `alert/<id>`, kept until it is closed and its window is over.

    `seen` is the count that was last told, at the end of a window or sooner. `clears`: its cause has an end, and
    `active` says whether it is still there. `due_ms` is when it is told again or raised; `recheck_ms` when it looks
    whether what inhibits it at the whole site is over; `told` how often it was told again at this severity; `step` how
    often somebody was to be told at all. `levels` are those from its first severity. `upstream` is the part of the
    network that its controller hangs on or that has the trouble; `outage` the alert of those that fell silent with it.
    `raised` says why it was more severe than usual from the first, where it was.
    """

    alert_id: str
    site_id: str
    kind: str
    severity: str
    dedup_key: str
    cause_id: str
    summary: str
    raised_ms: int
    window_ms: int
    window_until_ms: int
    close_after_ms: int
    count: int = 1
    seen: int = 1
    door_id: str | None = None
    access_point_id: str | None = None
    device_id: str | None = None
    cardholder_id: str | None = None
    clears: bool = False
    active: bool = False
    levels: tuple[Level, ...] = ()
    procedure: str = ""
    plan: str | None = None
    led_to: tuple[Led, ...] = ()
    acting: Acting | None = None
    transition: int = 0
    step: int = 0
    told: int = 0
    due_ms: int | None = None
    acknowledged_ms: int | None = None
    acknowledged_by: str | None = None
    assigned_to: str | None = None
    shelved_until_ms: int | None = None
    suppressed_by: str | None = None
    resolved_ms: int | None = None
    result: str = ""
    forced: bool = False
    closed: bool = False
    recheck_ms: int | None = None
    upstream: str = ""
    outage: str | None = None
    assessed: Assessed | None = None
    raised: str = ""

    @property
    def state(self) -> str:
        """The ISA-18.2 state."""
        if self.closed:
            return "closed"
        if self.resolved_ms is not None:
            return "resolved"
        if self.shelved_until_ms is not None:
            return "shelved"
        if self.suppressed_by is not None:
            return "suppressed"
        if self.acknowledged_ms is not None:
            return "acknowledged"
        return "unacknowledged" if self.active or not self.clears else "returned_to_normal_unacknowledged"

    @property
    def over(self) -> bool:
        """Whether nothing of its handling is left."""
        return self.closed or self.resolved_ms is not None

    @property
    def quiet(self) -> bool:
        """Whether nobody is told of it now."""
        return self.over or self.shelved_until_ms is not None or self.suppressed_by is not None

    @property
    def level(self) -> Level | None:
        """The level of its severity; a low alert has none."""
        for level in self.levels:  # no generator: asked several times at every transition
            if level.severity == self.severity:
                return level
        return None

    def deadline(self) -> int:
        """When it wants a tick."""
        if self.closed:
            return self.window_until_ms
        found = [self.raised_ms + LIFETIME_MS]
        if self.count != self.seen:
            found.append(self.window_until_ms)
        if self.resolved_ms is not None:
            found.append(self.resolved_ms + self.close_after_ms)
        if self.shelved_until_ms is not None:
            found.append(self.shelved_until_ms)
        if self.due_ms is not None:
            found.append(self.due_ms)
        if self.recheck_ms is not None:
            found.append(self.recheck_ms)
        if self.acting is not None and self.acting.due_ms is not None:
            found.append(self.acting.due_ms)
        return min(found)


class Pointer(msgspec.Struct, frozen=True, gc=False, tag="pointer", array_like=True):
    """The latest alert of a dedup key: `key/<dedup key>`, kept as long as that alert."""

    alert_id: str


class Around(msgspec.Struct, frozen=True, gc=False, tag="around", array_like=True):
    """The open alerts above low of a controller and its doors: `around/<site>/<controller>`, and what inhibits them.

    The cause of that may be over: then it is let go at `until_ms`, when the controller has told how its doors are.
    """

    alert_ids: tuple[str, ...] = ()
    inhibitor_id: str | None = None
    spares: tuple[str, ...] = ()
    until_ms: int | None = None


class AtSite(msgspec.Struct, frozen=True, gc=False, tag="at site", array_like=True):
    """The alert that inhibits these kinds at a whole site: `site/<site>`."""

    inhibitor_id: str
    only: tuple[str, ...]


class Outage(msgspec.Struct, frozen=True, gc=False, tag="outage", array_like=True):
    """Controllers of a part of the network that fell silent: `outage/<site>/<part>`.

    `recent` are when and which, as long as they may become an outage. Of one that there is: its alert, how many of its
    `members` are still silent, when the last one joined, how few mean that it is over, and whether their alerts wait.
    """

    recent: tuple[tuple[int, str], ...] = ()
    until_ms: int | None = None
    alert_id: str | None = None
    members: int = 0
    joined_ms: int = 0
    enough: int = 0
    inhibits: bool = False


class Outages(msgspec.Struct, frozen=True, gc=False, tag="outages", array_like=True):
    """The parts of a site's network that have an outage: `outages/<site>`."""

    parts: tuple[str, ...] = ()


class Recent(msgspec.Struct, frozen=True, gc=False, tag="recent", array_like=True):
    """The last troubles at a place: `recent/<site>/<place>`, oldest first."""

    led: tuple[Led, ...]
    until_ms: int


class Heightened(msgspec.Struct, frozen=True, gc=False, tag="heightened", array_like=True):
    """What is monitored at a site, and until when, by `<zone or cardholder>/<id>`: `heightened/<site>`."""

    until: dict[str, int]


class Locked(msgspec.Struct, frozen=True, gc=False, tag="locked", array_like=True):
    """The lockdowns in force at a site, by their ids, with the zone of each: `locked/<site>`."""

    zones: dict[str, str]


Entity = Heightened | Locked | Case | Pointer | Around | AtSite | Outage | Outages | Recent | OperatorAsked

encode, decode = codec(Entity)


def alert_key(alert_id: str) -> str:
    """`alert/<id>`."""
    return f"alert/{alert_id}"


def pointer_key(dedup_key: str) -> str:
    """`key/<dedup key>`."""
    return f"key/{dedup_key}"


def around_key(site_id: str, device_id: str) -> str:
    """`around/<site>/<controller>`."""
    return f"around/{site_id}/{device_id}"


def heightened_key(site_id: str) -> str:
    """`heightened/<site>`."""
    return f"heightened/{site_id}"


def locked_key(site_id: str) -> str:
    """`locked/<site>`."""
    return f"locked/{site_id}"


def site_key(site_id: str) -> str:
    """`site/<site>`."""
    return f"site/{site_id}"


def outage_key(site_id: str, part: str) -> str:
    """`outage/<site>/<part>`."""
    return f"outage/{site_id}/{part}"


def outages_key(site_id: str) -> str:
    """`outages/<site>`."""
    return f"outages/{site_id}"


def recent_key(site_id: str, place: str) -> str:
    """`recent/<site>/<place>`."""
    return f"recent/{site_id}/{place}"
