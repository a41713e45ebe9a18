"""The ordered checks of permission verification (A2): every one named, all that fail listed, the first one the reason.

Unknown means denied. A check that an earlier failure left without its subject is skipped, not passed.
"""

from __future__ import annotations

from schemas.places import AccessPoint, Device, Door
from schemas.vocabulary import Direction, DoorMode, Enforcement, Posture, Reason
from streams.core.entities import DoorState, ZonePosture, door_key
from streams.core.lockouts import is_exempt, until
from streams.core.permission_checks import check_permission
from streams.core.question import Findings, Question
from streams.core.threat_checks import check_threat_level

_BLOCKED = DoorMode.BLOCKED
SHUT = (_BLOCKED, DoorMode.LOCKED_DOWN)
"""In these modes a controller obeys `access_door` only with `override`."""
_NORMAL = ZonePosture(Posture.NORMAL)
_HARD, _SOFT = Enforcement.HARD, Enforcement.SOFT
_RANK = {Posture.NORMAL: 0, Posture.EMERGENCY_OPENING: 1, Posture.LOCKDOWN: 2, Posture.EVACUATION: 3}


def check_person(question: Question, findings: Findings) -> None:
    """The checks up to the device permission, in the order of A2."""
    _in_service(question, findings)
    _posture(question, findings)
    check_threat_level(question, findings)
    known = question.authentication
    if known.heard:
        findings.note("credential", known.failure, known.detail)
    else:
        findings.skip("credential", f"{known.detail} not listened to")
    _lockout(question, findings)
    check_permission(question, findings)


def is_free_egress(point: AccessPoint, door: Door) -> bool:
    """Whether this side of a door may never be refused."""
    return point.direction is Direction.EGRESS and door.egress == "free"


def in_service(point: AccessPoint, device: Device) -> bool:
    """Whether an access point is enabled and its device active."""
    return point.enabled and device.status == "active"


def _in_service(question: Question, findings: Findings) -> None:
    policy_known = question.place.policy_known
    well = policy_known and in_service(question.point, question.device)
    found: DoorState | None = question.state.get(door_key(question.door.door_id))
    if found is not None and found.mode in SHUT:
        if question.point.direction is Direction.EGRESS:
            findings.override = True
        elif found.mode is _BLOCKED:
            findings.note("in-service", Reason.OUT_OF_SERVICE, "door=blocked")
            return
    inputs = f"access_point={'enabled' if question.point.enabled else 'disabled'} device={question.device.status}"
    if not policy_known:
        inputs = f"{inputs} policy={question.point.policy_id} is not on file"
    findings.note("in-service", None if well else Reason.OUT_OF_SERVICE, inputs)


def _posture(question: Question, findings: Findings) -> None:
    """Every zone on the way in must let the cardholder pass; nothing holds back who leaves.

    Where there is a real lockdown, a drill refuses nobody: it would keep out responders.
    """
    get = question.state.get
    kept: list[ZonePosture] = [one for key in question.place.posture_keys if (one := get(key)) is not None]
    postures = [one for one in kept if question.live or question.event_ms >= one.since_ms]
    if not postures:
        findings.note("posture", None, "posture=normal")
        return
    strongest = max((one.posture for one in postures), key=_RANK.__getitem__)
    closing = [one for one in postures if _RANK[one.posture] >= _RANK[Posture.LOCKDOWN]]
    for_practice = all(one.drill for one in closing)
    closed = [one.clearance for one in closing if one.drill is for_practice]
    if not closed:
        findings.note("posture", None, f"posture={strongest}")
        return
    if question.point.direction is Direction.EGRESS:
        findings.note("posture", None, f"posture={strongest} leaving")
        return
    known = question.authentication
    clearance = known.cardholder.clearance if known.cardholder is not None and known.failure is None else None
    cleared = clearance is not None and all(least is not None and clearance >= least for least in closed)
    findings.override = findings.override or cleared
    needed = "nobody" if None in closed else max(least for least in closed if least is not None)
    drill = " drill" if for_practice else ""
    inputs = f"posture={strongest}{drill} clearance={'-' if clearance is None else clearance}/{needed}"
    findings.drill = for_practice
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
