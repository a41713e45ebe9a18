"""How serious a threat or an abnormal passage is: a sum of named parts, and the level that follows from it (A5, M2)."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import NamedTuple

from schemas.threat_rules import ANYBODYS, ThreatRules
from schemas.threats import Assessment, Factor
from schemas.vocabulary import ThreatLevel
from streams.core import reference, schedules
from streams.core.presence import zone_state
from streams.core.processor import Context, State
from streams.core.threat_places import Locus

_LEVELS = {level.value: level for level in ThreatLevel}


class Circumstances(NamedTuple):
    """What adds to the points of a kind."""

    clearance: int = 0
    special: bool = False
    recent: int = 0
    inside: int = 0
    after_hours: str | None = None
    monitored_person: bool = False


def circumstances(
    where: Locus, site_id: str, at_ms: int, state: State, context: Context, *, recent: int = 0, monitored: bool = False
) -> Circumstances:
    """What is so at a place now."""
    zone = where.zone
    return Circumstances(
        clearance=zone.clearance if zone is not None else 0,
        special=zone is not None and zone.special,
        recent=recent,
        inside=zone_state(state, zone.zone_id).count if zone is not None else 0,
        after_hours=_after_hours(where.rules, site_id, at_ms, context),
        monitored_person=monitored,
    )


def _after_hours(rules: ThreatRules, site_id: str, at_ms: int, context: Context) -> str | None:
    """Since the hours are over: the local time; None within them, or where nobody knows them."""
    references = context.references
    site = reference.site(references, site_id)
    schedule = reference.schedule(references, rules.working_hours) if rules.working_hours is not None else None
    if site is None or schedule is None:
        return None
    calendars = reference.calendars(references, site.holiday_calendar_ids)
    local = schedules.local(at_ms, site.time_zone)
    return None if calendars is None or schedules.allows(schedule, calendars, local) else f"{local:%a %H:%M}"


def assess(kind: str, rules: ThreatRules, found: Circumstances) -> Assessment:
    """The score of a kind in its circumstances, and its level."""
    factors = tuple(_factors(kind, rules, found))
    score = sum(factor.points for factor in factors)
    level = "high" if score >= rules.high_from else "medium" if score >= rules.medium_from else "low"
    most = rules.weight(kind).at_most
    capped = min((level, most), key=lambda name: _LEVELS[name].rank)
    if capped != level:
        factors = (*factors, Factor(name="at_most", points=0, detail=f"{kind} is {most} at most"))
    return Assessment(level=_LEVELS[capped], score=score, factors=factors)


def _factors(kind: str, rules: ThreatRules, found: Circumstances) -> Iterator[Factor]:
    yield Factor(name=kind, points=rules.weight(kind).points)
    if found.clearance and rules.per_clearance:
        detail = f"the zone asks for clearance {found.clearance}"
        yield Factor(name="zone_clearance", points=rules.per_clearance * found.clearance, detail=detail)
    if found.special and rules.special:
        yield Factor(name="special_zone", points=rules.special, detail="the zone is special")
    recent = min(found.recent, rules.most_recent)
    if recent and rules.per_recent:
        detail = f"{found.recent} other threats in the zone within {rules.window_s} s"
        yield Factor(name="recent_threats", points=rules.per_recent * recent, detail=detail)
    if found.inside and rules.occupied:
        yield Factor(name="occupied", points=rules.occupied, detail=f"{found.inside} people are inside")
    if found.after_hours is not None and rules.after_hours:
        yield Factor(name="after_hours", points=rules.after_hours, detail=f"at {found.after_hours}")
    if found.monitored_person and rules.monitored_person:
        yield Factor(name="monitored_person", points=rules.monitored_person, detail="the person is monitored")


Moments = tuple[int, ...]


def recent_within(
    kind: str, times: Moments, anybodys: Moments, at_ms: int, rules: ThreatRules
) -> tuple[int, Moments, Moments]:
    """How many others happened within the window up to `at_ms`, and the moments with this one.

    What anybody can cause adds to nothing but its like: a stranger's forgeries must not make one forced door an attack.
    Only as many are kept as count. `at_ms` is not before any of the moments.
    """
    stranger = kind in ANYBODYS
    begin = at_ms - rules.window_s * 1000
    own, strange = _since(times, begin), _since(anybodys, begin)
    count = len(own) + (len(strange) if stranger else 0)
    most = rules.most_recent + 1
    if stranger:
        return count, own, (*strange, at_ms)[-most:]
    return count, (*own, at_ms)[-most:], strange


def _since(times: Sequence[int], begin: int) -> Moments:
    return tuple(moment for moment in times if moment > begin)
