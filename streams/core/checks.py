"""The ordered checks of permission verification (A2): every one named, all that fail listed, the first one the reason.

Unknown means denied. A check that an earlier failure left without its subject is skipped, not passed.
"""

from __future__ import annotations

from collections.abc import Sequence
from datetime import datetime

import msgspec

from schemas.access import Check
from schemas.people import Permission
from schemas.places import AccessPoint, Device, Door, Site
from schemas.rules import Policy
from schemas.vocabulary import CheckOutcome, Direction, Enforcement, Posture, Reason
from streams.core import reference, schedules, times
from streams.core.authentication import Authentication
from streams.core.entities import PermissionUse, ZonePosture, permission_key
from streams.core.lockouts import Locks, is_exempt, until
from streams.core.places import Place
from streams.core.processor import Context, State

PASSED, FAILED, SOFT, SKIPPED = CheckOutcome.PASSED, CheckOutcome.FAILED, CheckOutcome.SOFT, CheckOutcome.SKIPPED
_NORMAL = ZonePosture(Posture.NORMAL)
_HARD, _SOFT = Enforcement.HARD, Enforcement.SOFT
_RANK = {Posture.NORMAL: 0, Posture.EMERGENCY_OPENING: 1, Posture.LOCKDOWN: 2, Posture.EVACUATION: 3}


class Question(msgspec.Struct, frozen=True, gc=False):
    """May this person pass here, now? `at_ms` is the time that schedules and validity are judged at.

    `event_ms` is when it was asked, as far as locks and the windows of failures go; `locks` are those in force then.

    `live` is false for what happened earlier, so that the state of now says little about it. `policy` is the access
    point's own or, where that is not on file, the site's.
    """

    site: Site
    policy: Policy
    device: Device
    door: Door
    point: AccessPoint
    authentication: Authentication
    at_ms: int
    event_ms: int
    locks: Locks
    local: datetime
    place: Place
    state: State
    context: Context
    live: bool


class Findings:
    """What the checks found, in their order."""

    __slots__ = ("checks", "denied", "failed", "override", "permission", "reserves", "soft")

    def __init__(self) -> None:
        self.checks: list[Check] = []
        self.failed: list[Reason] = []
        self.soft: list[Reason] = []
        self.permission: Permission | None = None
        self.override = False
        self.reserves: tuple[str, ...] = ()
        self.denied = False

    def note(self, name: str, reason: Reason | None, inputs: str, enforcement: Enforcement = _HARD) -> None:
        """Record a check: passed without a reason, else failed, or soft where it is not enforced."""
        if reason is None:
            self.checks.append((name, PASSED, inputs))
        elif enforcement is _SOFT:
            self.checks.append((name, SOFT, inputs))
            self.soft.append(reason)
        else:
            self.checks.append((name, FAILED, inputs))
            self.failed.append(reason)
            self.denied = True

    def soften(self) -> None:
        """Deny nothing: what failed stays listed, and is on record as broken too (A2: egress is always granted)."""
        self.soft = [*self.failed, *self.soft]
        self.denied = False

    def skip(self, name: str, inputs: str = "") -> None:
        """Record a check that had no subject."""
        self.checks.append((name, SKIPPED, inputs))


def check_person(question: Question, findings: Findings) -> None:
    """The checks up to the device permission, in the order of A2."""
    _in_service(question, findings)
    _posture(question, findings)
    known = question.authentication
    if known.heard:
        findings.note("credential", known.failure, known.detail)
    else:
        findings.skip("credential", f"{known.detail} not listened to")
    _lockout(question, findings)
    _permission(question, findings)


def is_free_egress(point: AccessPoint, door: Door) -> bool:
    """Whether this side of a door may never be refused."""
    return point.direction is Direction.EGRESS and door.egress == "free"


def in_service(point: AccessPoint, device: Device) -> bool:
    """Whether an access point is enabled and its device active."""
    return point.enabled and device.status == "active"


def _in_service(question: Question, findings: Findings) -> None:
    policy_known = question.place.policy_known
    well = policy_known and in_service(question.point, question.device)
    inputs = f"access_point={'enabled' if question.point.enabled else 'disabled'} device={question.device.status}"
    if not policy_known:
        inputs = f"{inputs} policy={question.point.policy_id} is not on file"
    findings.note("in-service", None if well else Reason.OUT_OF_SERVICE, inputs)


def _posture(question: Question, findings: Findings) -> None:
    """Every zone on the way in must let the cardholder pass."""
    get = question.state.get
    postures: list[ZonePosture] = [one for key in question.place.posture_keys if (one := get(key)) is not None]
    if not postures:
        findings.note("posture", None, "posture=normal")
        return
    strongest = max((one.posture for one in postures), key=_RANK.__getitem__)
    closed = [one.clearance for one in postures if _RANK[one.posture] >= _RANK[Posture.LOCKDOWN]]
    if not closed:
        findings.note("posture", None, f"posture={strongest}")
        return
    known = question.authentication
    clearance = known.cardholder.clearance if known.cardholder is not None and known.failure is None else None
    cleared = clearance is not None and all(least is not None and clearance >= least for least in closed)
    findings.override = cleared
    needed = "nobody" if None in closed else max(least for least in closed if least is not None)
    inputs = f"posture={strongest} clearance={'-' if clearance is None else clearance}/{needed}"
    findings.note("posture", None if cleared else Reason.LOCKDOWN, inputs)


def _lockout(question: Question, findings: Findings) -> None:
    known, locks = question.authentication, question.locks
    subject, at_point, _ = locks
    if subject is None and not at_point:
        findings.note("lockout", None, "none")
        return
    enforcement = _SOFT if is_exempt(known.credential, known.cardholder) else _HARD
    if subject is not None:
        findings.note("lockout", Reason.CREDENTIAL_LOCKOUT, _locked(question, subject), enforcement)
    elif known.method is not None and "+" in known.method and known.failure is None:
        # A guessed door still opens for a card with its PIN.
        findings.note("lockout", None, f"access_point=locked method={known.method}")
    else:
        findings.note("lockout", Reason.ACCESS_POINT_LOCKOUT, _locked(question, "access-point"), enforcement)


def _locked(question: Question, subject: str) -> str:
    known, id_ = question.authentication, question.point.access_point_id
    if subject == "credential" and known.credential is not None:
        id_ = known.credential.credential_id
    elif subject == "cardholder" and known.cardholder is not None:
        id_ = known.cardholder.cardholder_id
    end = until(question.state, question.context.references, question.site.site_id, subject, id_)
    return f"{subject}={id_} locked until {end}"


_NO_RIGHTS = Reason.NO_ACCESS_RIGHTS
_PERMISSION_CHECKS = ("validity", "permission-type", "schedule", "device-permission")
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
    def is_for_here(self) -> bool:
        reason, _ = self.found[3]
        return reason is None


def _permission(question: Question, findings: Findings) -> None:
    holder = question.authentication.cardholder
    if holder is None:
        for name in ("permission", *_PERMISSION_CHECKS):
            findings.skip(name, "no cardholder")
        return
    known, reason = _permissions(question, holder.cardholder_id)
    if not known:
        findings.note("permission", reason, f"cardholder={holder.cardholder_id} permissions=0")
        for name in _PERMISSION_CHECKS:
            findings.skip(name, "no permission")
        return
    best = _best(question, known)
    findings.permission = best.permission
    findings.note("permission", None, f"permission={best.permission.permission_id}")
    for name, (failure, inputs) in zip(_PERMISSION_CHECKS, best.found, strict=True):
        findings.note(name, failure, inputs)


def _permissions(question: Question, cardholder_id: str) -> tuple[Sequence[Permission], Reason]:
    """The cardholder's permissions at this site, and why there are none where there are none."""
    context, site_id = question.context, question.site.site_id
    at_site = reference.permissions_at(context.references, cardholder_id, site_id)
    if at_site or reference.permissions_of(context.references, cardholder_id):
        return at_site, _NO_RIGHTS
    rows = context.resolved.get(f"permission:{cardholder_id}")
    if rows is None:
        return (), Reason.AUTHENTICATION_UNAVAILABLE
    found = [permission for row in rows if (permission := _decoded(row)) is not None]
    return [one for one in found if one.site_id == site_id and one.cardholder_id == cardholder_id], _NO_RIGHTS


def _decoded(row: object) -> Permission | None:
    value = row["value"] if isinstance(row, dict) else getattr(row, "value", b"")
    try:
        return Permission.model_validate_json(value)
    except ValueError:
        return None


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
