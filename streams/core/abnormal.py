"""Abnormal passages (M2): out of their time, against anti-passback, behind somebody else, not taken again and again.

Each carries its risk: a score with its parts, from which the severity of its alert follows. What happens under
heightened monitoring is on the record of it, be it as normal as can be.
"""

from __future__ import annotations

from typing import Any

import msgspec

from schemas.access import AccessDenied, AccessGranted, AccessNotTaken
from schemas.threat_rules import PassageKind
from schemas.threats import AbnormalPassage
from schemas.vocabulary import Reason, Timeliness
from streams.core.threat_places import Locus, locus
from streams.core.threat_scoring import assess, circumstances
from streams.core.threat_signs import Noticed
from streams.core.threat_state import Lately, Monitored, ThreatsAt, lately_key, threats_key
from streams.core.threat_work import ThreatWork
from streams.core.threats import watching
from streams.core.times import from_ms

_KINDS: dict[Reason, PassageKind] = {
    Reason.PASSBACK: "antipassback_violation",
    Reason.OUT_OF_TIME_RANGE: "out_of_time_use",
}
_SAID: dict[PassageKind, str] = {
    "antipassback_violation": "against anti-passback",
    "tailgating_suspected": "opened again for the grant of one",
    "not_taken_repeatedly": "granted again and again, and nobody goes in",
    "out_of_time_use": "out of time",
    "soft_breach": "although a rule was broken",
    "monitored_passage": "under heightened monitoring",
}


class _About(msgspec.Struct, frozen=True, gc=False):
    """What an abnormal passage is about."""

    site_id: str
    cause_id: str
    decision_id: str | None
    cardholder_id: str | None
    access_point_id: str | None
    door_id: str | None
    device_id: str | None
    detail: str = ""


def look_at(outcome: Any, work: ThreatWork) -> None:
    """What is abnormal about a decision, a passage or an opening; usually nothing."""
    if isinstance(outcome, AccessGranted | AccessDenied):
        _decision(outcome, work)
    elif isinstance(outcome, AccessNotTaken):
        _not_taken(outcome, work)
    elif isinstance(outcome, Noticed) and outcome.kind == "tailgating_suspected":
        about = _About(
            outcome.site_id, outcome.cause_id, outcome.decision_id, outcome.cardholder_id, None, outcome.door_id,
            outcome.device_id,
        )  # fmt: skip
        _abnormal("tailgating_suspected", about, work)


def _decision(decision: AccessGranted | AccessDenied, work: ThreatWork) -> None:
    broken = decision.soft_breaches
    if isinstance(decision, AccessDenied):
        broken = () if decision.reason is None else (decision.reason,)
    kind: PassageKind | None = next((_KINDS[reason] for reason in broken if reason in _KINDS), None)
    if kind is None and isinstance(decision, AccessGranted) and broken:
        kind = "soft_breach"
    at: ThreatsAt | None = work.get(threats_key(decision.site_id))
    if kind is None and (at is None or not at.monitored or decision.timeliness is Timeliness.OFFLINE):
        return
    if decision.door_id is None:
        # Refused unevaluated: nobody knows whether anybody was there.
        return
    about = _About(
        decision.site_id, decision.decision_id, decision.decision_id, decision.cardholder_id,
        decision.access_point_id, decision.door_id, decision.device_id, ", ".join(broken),
    )  # fmt: skip
    _abnormal(kind, about, work)


def _not_taken(outcome: AccessNotTaken, work: ThreatWork) -> None:
    where = locus(work.context.references, outcome.site_id, access_point_id=outcome.access_point_id)
    key = lately_key(f"untaken/{outcome.door_id}", outcome.cardholder_id or "")
    known: Lately = work.get(key) or Lately((), (), 0)
    at_ms = max([work.context.now_ms, *known.times[-1:]])
    window_ms = where.rules.window_s * 1000
    times = (*(one for one in known.times if one > at_ms - window_ms), at_ms)[-where.rules.not_taken :]
    work.put(key, Lately(times, (), at_ms + window_ms))
    if len(times) >= where.rules.not_taken:
        about = _About(
            outcome.site_id, outcome.decision_id, outcome.decision_id, outcome.cardholder_id, outcome.access_point_id,
            outcome.door_id, outcome.device_id, f"{len(times)} times within {where.rules.window_s} s",
        )  # fmt: skip
        _abnormal("not_taken_repeatedly", about, work)


def _abnormal(kind: PassageKind | None, about: _About, work: ThreatWork) -> None:
    """Put it on record with its risk; without a kind, only if it happened under heightened monitoring."""
    where = locus(work.context.references, about.site_id, access_point_id=about.access_point_id, door_id=about.door_id)
    watched = watching(about.site_id, where, about.cardholder_id, work)
    if kind is None and not watched:
        return
    kind = kind or "monitored_passage"
    what = f"{about.cardholder_id or 'Somebody unknown'} at {about.access_point_id or about.door_id} {_SAID[kind]}"
    subject, subject_id = _subject(about, where)
    work.tell(
        AbnormalPassage(
            **work.event(f"abnormal_passage/{kind}", about.site_id, subject, subject_id, about.cause_id),
            kind=kind,
            assessment=assess(
                kind,
                where.rules,
                circumstances(
                    where, about.site_id, work.at_ms, work.state, work.context,
                    recent=_recent(about.site_id, where, work), monitored=_personally(watched),
                ),
            ),
            summary=f"{what}: {about.detail}" if about.detail else what,
            decision_id=about.decision_id,
            cardholder_id=about.cardholder_id,
            access_point_id=about.access_point_id,
            door_id=about.door_id,
            device_id=about.device_id,
            zone_id=where.zone_id,
            monitoring_ids=tuple(work.seen(one) for one in watched),
            occurred_at=from_ms(work.at_ms),
        )
    )  # fmt: skip


def _subject(about: _About, where: Locus) -> tuple[str, str]:
    if about.cardholder_id is not None:
        return "cardholder", about.cardholder_id
    return ("zone", where.zone_id) if where.zone_id is not None else ("site", about.site_id)


def _personally(watched: list[Monitored]) -> bool:
    return any(one.subject == "cardholder" for one in watched)


def _recent(site_id: str, where: Locus, work: ThreatWork) -> int:
    """How many threats there were in the zone within the window."""
    known: Lately | None = work.get(lately_key(f"threats/{site_id}", where.zone_id or ""))
    begin = work.at_ms - where.rules.window_s * 1000
    return 0 if known is None else sum(moment > begin for moment in known.times)
