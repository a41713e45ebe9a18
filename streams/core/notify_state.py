"""The state of the notify processor: alerts, what is being told of them, and how much each recipient may get."""

from __future__ import annotations

from typing import Any, Literal

import msgspec

from streams.core.keeping import codec

SENDER = "sender"
"""The key of the partition's sender."""


Program = tuple[str, str, str]
"""A recipient's id, what was asked for, and the channel."""


class Sender(msgspec.Struct, frozen=True, gc=False, tag="sender", array_like=True):
    """Which worker's sender is at work."""

    sender_id: str


class Told(msgspec.Struct, frozen=True, gc=False, tag="told", array_like=True):
    """An alert as its last message says: `told/<alert id>`.

    `step` is the last one that was planned; `open` are its notifications that are not done, `others` those that took
    the place of a failed channel. `quiet` says why nobody is told any more; empty while somebody is to know.
    `led_to` are (Unix milliseconds, text). `programs` are to be told when it is over.
    """

    alert_id: str
    site_id: str
    duress: bool
    transition: int
    step: int
    kind: str
    severity: str
    state: str
    count: int
    summary: str
    door_id: str | None
    access_point_id: str | None
    device_id: str | None
    cardholder_id: str | None
    raised_ms: int
    updated_ms: int
    procedure: str
    led_to: tuple[tuple[int, str], ...]
    quiet: str
    over: bool
    until_ms: int
    open: tuple[str, ...] = ()
    others: tuple[str, ...] = ()
    programs: tuple[Program, ...] = ()


class Telling(msgspec.Struct, frozen=True, gc=False, tag="telling", array_like=True):
    """A notification that is not done: `telling/<id>`.

    `phase`: `waiting` for `due_ms`; `held` by the recipient's rate; `along` with another one (`leader`), in whose
    message it is told; `sending`: attempt number `attempt` is with `sender_id` and lost at `lost_ms`. `admitted`: the
    recipient's rate let it pass. `tried` are the recipient's channels that are or were used for this step. `made`
    attempts have been begun as far as anybody knows, `unknown` of them without an answer. `also` are the notifications
    told along with it. `begun`: the sender of the present attempt has said that it begins; `spared` are the
    attempts that had not begun when their sender was gone.
    """

    notification_id: str
    alert_id: str
    site_id: str
    step: int
    severity: str
    recipient_id: str
    asked_for: str
    channel: str
    demanded_ms: int
    instead_of: str | None = None
    tried: tuple[str, ...] = ()
    phase: Literal["waiting", "held", "along", "sending"] = "waiting"
    due_ms: int | None = None
    attempt: int = 0
    made: int = 0
    unknown: int = 0
    sender_id: str = ""
    lost_ms: int = 0
    first_failed_ms: int | None = None
    error: str = ""
    target: str = ""
    admitted: bool = False
    leader: str | None = None
    also: tuple[str, ...] = ()
    begun: bool = False
    spared: tuple[int, ...] = ()


class Bucket(msgspec.Struct, frozen=True, gc=False, tag="bucket", array_like=True):
    """What a recipient may still get about a site's alerts: `bucket/<site>/<recipient>`.

    `tokens` as of `at_ms`; `due_ms` is when the next message may leave, or when nothing need be remembered. `held` are
    the last notifications that wait, after those on the pages from `first` to before `last`; the `urgent` ones alike.
    """

    tokens: float
    at_ms: int
    due_ms: int
    held: tuple[str, ...] = ()
    first: int = 0
    last: int = 0
    urgent: tuple[str, ...] = ()
    urgent_first: int = 0
    urgent_last: int = 0


class Page(msgspec.Struct, frozen=True, gc=False, tag="page", array_like=True):
    """Notifications that wait: `page/<site>/<recipient>/<queue>/<number>`."""

    ids: tuple[str, ...]


Entity = Sender | Told | Telling | Bucket | Page

encode, decode = codec(Entity)


def deadline(entity: Any) -> int | None:
    """When an entity is due."""
    if isinstance(entity, Told):
        return entity.until_ms
    return None if isinstance(entity, Sender | Page) else entity.due_ms


def told_key(alert_id: str) -> str:
    """`told/<alert id>`."""
    return f"told/{alert_id}"


def telling_key(notification_id: str) -> str:
    """`telling/<id>`."""
    return f"telling/{notification_id}"


def bucket_key(site_id: str, recipient_id: str) -> str:
    """`bucket/<site>/<recipient>`."""
    return f"bucket/{site_id}/{recipient_id}"


def page_key(bucket: str, queue: str, number: int) -> str:
    """`page/<site>/<recipient>/<queue>/<number>`."""
    return f"page/{bucket.removeprefix('bucket/')}/{queue}/{number}"
