"""Exceptions at the door (A5): what a denial is an exception of, and what becomes of a permission that lets nobody in.

Who may what is the administration's to say, so nobody else writes `reference.permission`. What has become of a
permission (it has ended, it is used up) is the site's to say, which sees it: `permission_updated` names the version
that it is about, and a newer version of the administration makes it void.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any

import msgspec

from schemas.access import AccessDenied, AccessException, AccessGranted
from schemas.base import JournalPosition
from schemas.exceptions import PermissionUpdated
from schemas.ids import derive
from schemas.people import Permission, PermissionState
from schemas.vocabulary import CheckOutcome, Reason
from streams.core import reference, times
from streams.core.entities import PermissionUse, permission_key
from streams.core.processor import Context, State
from streams.core.times import from_ms

if TYPE_CHECKING:
    from streams.core.question import Findings, Question

PERMISSION_CHECKS = frozenset({"permission", "validity", "permission-type", "device-permission"})
"""Whose failure is a lack of permission. The schedule's is not: the permission is in order, and says when."""

_KINDS: Mapping[str, AccessException] = {
    "credential": AccessException(kind="authentication"),
    "in-service": AccessException(kind="device"),
    **{name: AccessException(kind="permission") for name in PERMISSION_CHECKS},
}
_NETWORK = AccessException(kind="network")
_SECURITY = AccessException(kind="security")
_FORGED = frozenset({Reason.INVALID_SIGNATURE, Reason.REPLAYED_REQUEST})
_ABNORMAL = frozenset({"expired", "exhausted"})
"""States that a permission has come to while it is still on file as active."""


class Checked(msgspec.Struct, frozen=True, gc=False):
    """A permission that was looked at after it had let nobody in; `version` is the reference position of its record."""

    state: PermissionState
    permission: Permission | None = None
    version: int = -1
    retried: bool = False


def exception_of(findings: Findings) -> AccessException | None:
    """What a decision is an exception of: by its first failed check, or by what was looked up and retried."""
    checked = findings.checked
    if checked is not None and (findings.denied or checked.retried):
        return AccessException(kind="permission", permission_state=checked.state, retried=checked.retried)
    if not findings.denied:
        return None
    if findings.failed[0] is Reason.AUTHENTICATION_UNAVAILABLE:
        return _NETWORK
    return _KINDS.get(next(name for name, outcome, _ in findings.checks if outcome is CheckOutcome.FAILED))


def refusal_exception(reason: Reason) -> AccessException | None:
    """What the denial of a message that was not evaluated is an exception of."""
    return _SECURITY if reason in _FORGED else None


def state_of(permission: Permission, at_ms: int, state: State) -> PermissionState:
    """How a permission stands at a moment, whatever it may be used for."""
    if permission.status != "active":
        return "revoked"
    if times.over(permission.valid_until, at_ms):
        return "expired"
    if times.not_yet(permission.valid_from, at_ms):
        return "not_yet_valid"
    if permission.kind == "single_use":
        use: PermissionUse | None = state.get(permission_key(permission.permission_id))
        if use is not None and use.used >= permission.max_uses:
            return "exhausted"
    return "normal"


def looked_up(context: Context, cardholder_id: str) -> list[tuple[int, Permission]] | None:
    """The permissions that the database has newer than the view, each with its position; None: nobody answered."""
    rows = context.resolved.get(f"permission:{cardholder_id}")
    if rows is None:
        return None
    return [(row.position, found) for row in rows if (found := _decoded(row.value)) is not None]


def _decoded(value: bytes) -> Permission | None:
    try:
        return Permission.model_validate_json(value)
    except ValueError:
        return None


def refreshed(known: Sequence[Permission], newer: Sequence[tuple[int, Permission]], site_id: str) -> list[Permission]:
    """The permissions with those versions of the database that are newer, in the order of their ids."""
    found = {one.permission_id: one for one in known}
    found |= {one.permission_id: one for _, one in newer}
    return [one for _, one in sorted(found.items()) if one.site_id == site_id]


def version_of(permission: Permission, newer: Sequence[tuple[int, Permission]], context: Context) -> int:
    """The reference position of the record that a permission was read from."""
    own = [position for position, one in newer if one.permission_id == permission.permission_id]
    return own[-1] if own else context.references.position("permission", permission.permission_id)


def updated(question: Question, findings: Findings, decision: AccessGranted | AccessDenied) -> PermissionUpdated | None:
    """That a permission on file as active is no longer in force; told once for each of its versions."""
    checked = findings.checked
    if checked is None or checked.permission is None or checked.state not in _ABNORMAL:
        return None
    permission = checked.permission
    use: PermissionUse | None = question.state.get(permission_key(permission.permission_id))
    if use is not None and (use.told, use.version) == (checked.state, checked.version):
        return None
    context = question.context
    result: Any = "granted" if isinstance(decision, AccessGranted) else "denied"
    return PermissionUpdated(
        update_id=derive("permission_updated", permission.permission_id, checked.version, checked.state),
        site_id=question.site.site_id,
        permission_id=permission.permission_id,
        permission_version=checked.version,
        cardholder_id=permission.cardholder_id,
        state=checked.state,
        valid_until=permission.valid_until,
        decision_id=decision.decision_id,
        access_point_id=decision.access_point_id,
        door_id=decision.door_id,
        result=result,
        reason=decision.reason,
        decided_at=from_ms(context.now_ms),
        journal=JournalPosition(partition=context.partition, number=context.number),
    )


def covers(cardholder_id: str, site_id: str, point: Any, zone_path: Sequence[str], context: Context) -> bool:
    """Whether a permission at hand may let somebody in here now; cheap, since it is asked for every request."""
    now_ms = context.now_ms
    for one in reference.permissions_at(context.references, cardholder_id, site_id):
        if one.status != "active" or times.over(one.valid_until, now_ms) or times.not_yet(one.valid_from, now_ms):
            continue
        if point.access_point_id in one.access_point_ids or point.door_id in one.door_ids:
            return True
        for zone_id in one.zone_ids:
            if zone_id in zone_path:
                return True
    return False
