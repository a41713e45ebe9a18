"""Lockouts: who or what is locked after failed attempts, since when and until when (A4).

A `lockout_key` (`<site>/<subject>/<id>`, of one that holds everywhere `everywhere/cardholder/<id>`) has one lockout at
a time; `lockout_id` names that one lockout from its start to its end.
"""

from __future__ import annotations

from typing import Annotated, Literal

from pydantic import Field, StringConstraints

from schemas.base import Id, JournalPosition, Message, Text, Timestamp
from schemas.rules import LockoutLimits
from schemas.vocabulary import Reason

Subject = Literal["credential", "cardholder", "access-point"]
"""What is locked: a credential, all credentials of a cardholder, or an access point for single factors."""

LockoutKey = Annotated[str, StringConstraints(min_length=1, max_length=300, pattern=r"^[^\x00-\x1f\x7f]+$")]

EVERYWHERE = "everywhere"
"""Stands for the site in the key of a lockout that holds at all sites."""


class LockoutEvent(Message):
    """What is said of a lockout: its subject, where the last failure happened, and what led to it.

    `scope`: at that site, or everywhere. `failures` were counted within `window_s` up to `last_failed_at`, the last of
    them by the decision `decision_id` for `last_reason`, at that site, access point and door. `cardholder_id` and
    `credential_id` are given where they are known; a lock of an access point names nobody, and how many different
    numbers were tried (`numbers`).
    """

    lockout_id: Id
    lockout_key: LockoutKey
    site_id: Id
    scope: Literal["site", "everywhere"] = "site"
    subject: Subject
    subject_id: Id
    cardholder_id: Id | None = None
    credential_id: Id | None = None
    access_point_id: Id
    door_id: Id | None = None
    failures: Annotated[int, Field(ge=1)]
    numbers: int | None = None
    window_s: int
    first_failed_at: Timestamp
    last_failed_at: Timestamp
    last_reason: Reason
    decision_id: Id
    decided_at: Timestamp
    journal: JournalPosition


class LockoutImpending(LockoutEvent):
    """An access point is being guessed at: told before it is locked, or instead where the policy locks none."""

    type: Literal["lockout_impending"] = "lockout_impending"


class LockoutStarted(LockoutEvent):
    """The subject is locked from `started_at` until `locked_until` (null: until somebody ends it).

    `number` counts the subject's locks within the policy's time, with this one; each lasts twice as long as the last.
    """

    type: Literal["lockout_started"] = "lockout_started"
    started_at: Timestamp
    locked_until: Timestamp | None
    number: Annotated[int, Field(ge=1)]


class LockoutEnded(LockoutEvent):
    """The lock is over: it ran out, or an operator ended it (then with the request, the operator and the reason)."""

    type: Literal["lockout_ended"] = "lockout_ended"
    started_at: Timestamp
    locked_until: Timestamp | None
    number: Annotated[int, Field(ge=1)]
    ended_at: Timestamp
    cause: Literal["expired", "operator"]
    request_id: Id | None = None
    operator_id: Id | None = None
    reason: Text = ""


class AuthenticationFailed(Message):
    """A counted failure of a known cardholder, on its way to where those of all sites are added up; internal.

    `failed_at` is the time that windows are reckoned by; `limits` are those of the policy that it was decided under.
    """

    type: Literal["authentication_failed"] = "authentication_failed"
    cardholder_id: Id
    credential_id: Id | None = None
    decision_id: Id
    site_id: Id
    access_point_id: Id
    door_id: Id | None = None
    last_reason: Reason
    failed_at: Timestamp
    live: bool
    limits: LockoutLimits
    decided_at: Timestamp


class LockoutLifted(Message):
    """An operator of a site has ended a cardholder's lock, wherever it holds; internal."""

    type: Literal["lockout_lifted"] = "lockout_lifted"
    cardholder_id: Id
    site_id: Id
    request_id: Id
    operator_id: Id
    reason: Text
    decided_at: Timestamp
