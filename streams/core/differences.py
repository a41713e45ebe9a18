"""Why a controller alone decided otherwise than the rules do, as far as one can tell (A5)."""

from __future__ import annotations

from schemas.access import AccessRecorded
from schemas.record import Record
from schemas.vocabulary import DifferenceCause, Enforcement, Reason
from streams.core import reference
from streams.core.question import Findings, Question
from streams.core.times import to_ms

_STATE = frozenset(
    {
        Reason.CREDENTIAL_LOCKOUT,
        Reason.ACCESS_POINT_LOCKOUT,
        Reason.MAX_USES,
        Reason.PASSBACK,
        Reason.OCCUPANCY_LIMIT,
        Reason.NO_ACCOMPANIMENT,
        Reason.INCORRECT_ACCOMPANIMENT,
        Reason.INTERLOCK,
        Reason.FIRST_PERSON_ABSENT,
        Reason.RISK,
        Reason.LOCKDOWN,
        Reason.THREAT_LEVEL,
    }
)
"""What only the site knows: who is where, and what holds just now."""

_FACTORS = frozenset(
    {
        Reason.INCORRECT_AUTHENTICATION_FACTOR,
        Reason.VERIFICATION_FAILED,
        Reason.AUTHENTICATION_FACTOR_TIMEOUT,
        Reason.AUTHENTICATION_UNAVAILABLE,
    }
)


def cause_of(request: AccessRecorded, record: Record, question: Question, findings: Findings) -> DifferenceCause:
    """The most likely cause; asked only where the outcomes differ."""
    if request.reason is Reason.LOCKDOWN:
        return DifferenceCause.DOOR_SHUT
    if request.mode == "facility_code":
        return DifferenceCause.FACILITY_CODE
    if request.mode == "deny" and (question.door.degraded_mode != "snapshot" or request.reason is Reason.STALE_REQUEST):
        return DifferenceCause.DENIES_ALONE
    issued_ms = _issued(request, record)
    if issued_ms is None:
        return DifferenceCause.NO_SNAPSHOT
    policy = reference.policy(question.context.references, question.site.policy_id)
    valid_s = policy.offline_mode.snapshot_valid_s if policy is not None else 0
    if request.mode == "deny" or to_ms(request.occurred_at) >= issued_ms + valid_s * 1000:
        return DifferenceCause.STALE_SNAPSHOT
    return _of_snapshot(request, question, findings)


def _issued(request: AccessRecorded, record: Record) -> int | None:
    """When the snapshot was issued, which its version tells; None for what cannot be the version of one."""
    version = request.snapshot_version or ""
    if not (version.isascii() and version.isdigit()) or int(version) > record.timestamp_ms:
        return None
    return int(version)


def _of_snapshot(request: AccessRecorded, question: Question, findings: Findings) -> DifferenceCause:
    reason = findings.failed[0] if findings.denied and findings.failed else request.reason
    if reason in _STATE:
        return DifferenceCause.STATE_UNKNOWN
    if reason in _FACTORS:
        return DifferenceCause.FACTOR_UNVERIFIED
    zone, permission = question.place.zone, findings.permission
    together = zone is not None and Enforcement.HARD in {zone.two_person.enforcement, zone.escort.enforcement}
    if not findings.denied and (together or (permission is not None and permission.kind == "single_use")):
        return DifferenceCause.STATE_UNKNOWN
    return DifferenceCause.RIGHTS_CHANGED
