"""The checks of a cardholder's permissions (A2): validity, type, schedule, and whether this door is among them."""

from __future__ import annotations

from collections.abc import Sequence

import msgspec

from schemas.people import Permission
from schemas.vocabulary import Direction, Reason
from streams.core import reference, schedules, times
from streams.core.entities import PermissionUse, permission_key
from streams.core.permission_exceptions import Checked, looked_up, refreshed, state_of, version_of
from streams.core.question import Findings, Question

_NO_RIGHTS = Reason.NO_ACCESS_RIGHTS
_PERMISSION_CHECKS = ("validity", "permission-type", "schedule", "device-permission")
_SCHEDULE = 2
_Found = tuple[Reason | None, str]
"""Why a check fails, and its inputs."""


class _Candidate(msgspec.Struct, frozen=True, gc=False):
    """One permission against the question: what each of the permission's checks found."""

    permission: Permission
    found: tuple[_Found, _Found, _Found, _Found]

    @property
    def first_failure(self) -> int:
        for index, (reason, _) in enumerate(self.found):
            if reason is not None:
                return index
        return len(self.found)

    @property
    def lacks_permission(self) -> bool:
        """Whether what fails first is not the schedule: that is no matter of how the permission stands."""
        return self.first_failure not in {_SCHEDULE, len(self.found)}

    @property
    def is_for_here(self) -> bool:
        reason, _ = self.found[3]
        return reason is None


def check_permission(question: Question, findings: Findings) -> None:
    """Find the permission that lets the cardholder in, or the one that comes closest, and note what it lacks."""
    holder = question.authentication.cardholder
    if holder is None:
        for name in ("permission", *_PERMISSION_CHECKS):
            findings.skip(name, "no cardholder")
        return
    known, reason = _permissions(question, holder.cardholder_id)
    # Who was refused before this has no need of a permission; what happened earlier says nothing of those of now.
    looks = question.live and not findings.failed
    if not known:
        if looks and reason is _NO_RIGHTS:
            findings.checked = Checked("missing", retried=_was_asked(question, holder.cardholder_id))
        findings.note("permission", reason, f"cardholder={holder.cardholder_id} permissions=0")
        for name in _PERMISSION_CHECKS:
            findings.skip(name, "no permission")
        return
    best = _best(question, known)
    if looks and best.lacks_permission:
        best = _verify_again(question, findings, known, best)
    findings.permission = best.permission
    findings.note("permission", None, f"permission={best.permission.permission_id}")
    for name, (failure, inputs) in zip(_PERMISSION_CHECKS, best.found, strict=True):
        findings.note(name, failure, inputs)


def _was_asked(question: Question, cardholder_id: str) -> bool:
    """Whether the database has answered about somebody's permissions."""
    return f"permission:{cardholder_id}" in question.context.resolved


def _verify_again(question: Question, findings: Findings, known: Sequence[Permission], best: _Candidate) -> _Candidate:
    """Check how the permission stands by what the database has, and verify again with that, once (A5)."""
    context = question.context
    newer = looked_up(context, best.permission.cardholder_id)
    retried = newer is not None
    if retried:
        permissions = refreshed(known, newer or (), question.site.site_id)
        best = _best(question, permissions) if permissions else best
    permission = best.permission
    state = state_of(permission, question.at_ms, question.state)
    findings.checked = Checked(state, permission, version_of(permission, newer or (), context), retried)
    return best


def _permissions(question: Question, cardholder_id: str) -> tuple[Sequence[Permission], Reason]:
    """The cardholder's permissions at this site, and why there are none where there are none."""
    context, site_id = question.context, question.site.site_id
    at_site = reference.permissions_at(context.references, cardholder_id, site_id)
    if at_site:
        return at_site, _NO_RIGHTS
    rows = looked_up(context, cardholder_id)
    if rows is None:
        elsewhere = reference.permissions_of(context.references, cardholder_id)
        return (), _NO_RIGHTS if elsewhere else Reason.AUTHENTICATION_UNAVAILABLE
    return [one for _, one in rows if one.site_id == site_id and one.cardholder_id == cardholder_id], _NO_RIGHTS


def _best(question: Question, permissions: Sequence[Permission]) -> _Candidate:
    """The permission that passes everything; else one that includes this door, and of those the one failing latest."""
    best: _Candidate | None = None
    for permission in permissions:
        candidate = _judge(question, permission)
        if candidate.first_failure == len(candidate.found):
            return candidate
        if best is None or _worth(candidate) > _worth(best):
            best = candidate
    if best is None:
        raise ValueError("there is no permission to choose from")
    return best


def _worth(candidate: _Candidate) -> tuple[bool, int]:
    return candidate.is_for_here, candidate.first_failure


def _judge(question: Question, permission: Permission) -> _Candidate:
    found = (
        _validity(permission, question.at_ms),
        _type(question, permission),
        _schedule(question, permission),
        _device_permission(question, permission),
    )
    return _Candidate(permission, found)


def _validity(permission: Permission, at_ms: int) -> _Found:
    if permission.status != "active":
        return Reason.NO_ACCESS_RIGHTS, f"status={permission.status}"
    if times.not_yet(permission.valid_from, at_ms):
        return Reason.CREDENTIAL_NOT_YET_ACTIVE, f"valid_from={permission.valid_from}"
    if times.over(permission.valid_until, at_ms):
        return Reason.CREDENTIAL_EXPIRED, f"valid_until={permission.valid_until}"
    return None, "status=active"


def _type(question: Question, permission: Permission) -> _Found:
    zone = question.place.zone
    if zone is None:
        return Reason.ZONE_NO_ACCESS_RIGHTS, f"zone={question.point.zone_to} is not on file"
    if zone.special and permission.kind != "special":
        return Reason.ZONE_NO_ACCESS_RIGHTS, f"type={permission.kind} zone=special"
    holder = question.authentication.cardholder
    if holder is not None and holder.clearance < zone.clearance:
        return Reason.ZONE_NO_ACCESS_RIGHTS, f"clearance={holder.clearance}/{zone.clearance}"
    if permission.kind == "single_use":
        use: PermissionUse = question.state.get(permission_key(permission.permission_id)) or PermissionUse()
        taken = use.used + len(use.reserved)
        leaving = question.point.direction is Direction.EGRESS
        reason = Reason.MAX_USES if taken >= permission.max_uses and not leaving else None
        return reason, f"type=single_use used={taken}/{permission.max_uses}"
    return None, f"type={permission.kind}"


def _schedule(question: Question, permission: Permission) -> _Found:
    if permission.schedule_id is None:
        return None, "schedule=always"
    references, now = question.context.references, question.local
    key = ("schedule", permission.schedule_id, question.site.site_id, now.toordinal(), now.hour, now.minute)
    known: _Found | None = references.derived.get(key)
    if known is not None:
        return known
    return reference.remember(references, key, _at_that_minute(question, permission.schedule_id))


def _at_that_minute(question: Question, schedule_id: str) -> _Found:
    references = question.context.references
    schedule = reference.schedule(references, schedule_id)
    observed = schedule is not None and schedule.observes_holidays
    calendars = reference.calendars(references, question.site.holiday_calendar_ids if observed else ())
    inputs = f"schedule={schedule_id} local={question.local:%a %H:%M}"
    if schedule is None or calendars is None:
        missing = "schedule" if schedule is None else "holiday calendar"
        return Reason.OUT_OF_TIME_RANGE, f"{inputs} the {missing} is not on file"
    return None if schedules.allows(schedule, calendars, question.local) else Reason.OUT_OF_TIME_RANGE, inputs


def _device_permission(question: Question, permission: Permission) -> _Found:
    point = question.point
    if point.access_point_id in permission.access_point_ids:
        return None, f"access_point={point.access_point_id}"
    if point.door_id in permission.door_ids:
        return None, f"door={point.door_id}"
    if permission.zone_ids:
        path = question.place.zone_path or (point.zone_to,)
        if point.direction == Direction.EGRESS:
            # Who may be in a zone may leave it, wherever the door leads.
            path = (*path, *(reference.zone_path(question.context.references, point.zone_from) or (point.zone_from,)))
        for zone_id in permission.zone_ids:
            if zone_id in path:
                return None, f"zone={zone_id}"
    return Reason.POINT_NO_ACCESS_RIGHTS, f"door={point.door_id}"
