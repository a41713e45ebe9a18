"""Exceptions (A5): what did not go as it should, how it was judged, and what became of it.

An authentication failure and a denial for lack of permission are told by the decision itself (its `exception`); what
takes longer, or changes what is on file, has messages of its own here.
"""

from __future__ import annotations

from typing import Annotated, Literal

from pydantic import StringConstraints

from schemas.base import Counter, Id, JournalPosition, Message, Text, Timestamp
from schemas.diagnosis import Nature, Remedy
from schemas.people import PermissionState
from schemas.vocabulary import Reason

DeviceStep = Literal[
    "diagnosed", "recovered", "opened", "assigned", "repaired", "resynced", "verified", "reopened", "closed"
]
"""What happened. `recovered` ends an exception without a repair case; the others are the steps of a case (D3)."""

DeviceExceptionState = Literal["recovering", "recovered", "opened", "assigned", "repaired", "verified", "closed"]

Cause = Annotated[str, StringConstraints(min_length=1, max_length=160, pattern=r"^[^\x00-\x1f\x7f]+$")]
"""`fault/<code>`, or the word of a condition such as `controller_offline`."""


class DeviceException(Message):
    """A fault of a device as it stands: diagnosed, awaited to recover, and under repair where it does not.

    `case_id` names it from the first to the last message, and its repair case where there is one (`opened_at`);
    `transition` counts its messages. A device has one at a time for each `cause`. `active`: the fault is still there.
    `recover_by` is until when recovery is awaited. `due_at` is when the next step comes by itself. `operator_id`,
    `request_id` and `comment` are those of the request that led to this step.
    """

    type: Literal["device_exception"] = "device_exception"
    case_id: Id
    transition: Counter
    step: DeviceStep
    state: DeviceExceptionState
    site_id: Id
    device_id: Id
    model: Text = ""
    cause: Cause
    detail: Text = ""
    nature: Nature
    remedy: Remedy = ""
    active: bool
    began_at: Timestamp
    recover_by: Timestamp | None = None
    due_at: Timestamp | None = None
    opened_at: Timestamp | None = None
    repaired_at: Timestamp | None = None
    assigned_to: Id | None = None
    result: Text = ""
    forced: bool = False
    operator_id: Id | None = None
    request_id: Id | None = None
    comment: Text = ""
    decided_at: Timestamp
    journal: JournalPosition


class PermissionUpdated(Message):
    """A permission that is on file as active has ended or is used up, as somebody who had it was turned away.

    It is about the record at `permission_version` in `reference.permission`; a newer one makes it void. `decision_id`
    is the decision that noticed, `result` what verifying again gave.
    """

    type: Literal["permission_updated"] = "permission_updated"
    update_id: Id
    site_id: Id
    permission_id: Id
    permission_version: int
    cardholder_id: Id
    state: PermissionState
    valid_until: Timestamp | None = None
    decision_id: Id
    access_point_id: Id
    door_id: Id | None = None
    result: Literal["granted", "denied"]
    reason: Reason | None = None
    decided_at: Timestamp
    journal: JournalPosition
