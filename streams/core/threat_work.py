"""Threats while one cause is decided, each step seeing the ones before: what is told, and what is kept (A5)."""

from __future__ import annotations

from typing import Any

import msgspec

from schemas.ids import derive
from schemas.threats import MonitoringEnded, MonitoringExtended, MonitoringStarted, ThreatLevelCleared, ThreatLevelSet
from schemas.vocabulary import ThreatLevel
from streams.core.keeping import Draft
from streams.core.passage import journal_position
from streams.core.processor import Context, Outcome, State
from streams.core.threat_state import (
    MOST_MONITORED,
    Held,
    Monitored,
    ThreatsAt,
    ZoneThreat,
    monitored_key,
    threats_key,
    zone_threat_key,
)
from streams.core.times import from_ms

_replace = msgspec.structs.replace
Source = str
"""`operator` or `assessment`."""


class ThreatWork(Draft):
    """The threats to the sites of a partition while one cause is decided.

    `at_ms` is when it happened, as far as windows and deadlines go: the broker's append time, or the deadline.
    """

    def __init__(self, state: State, context: Context, at_ms: int) -> None:
        super().__init__(state)
        self.state = state
        self.context = context
        self.at_ms = at_ms
        self._messages: list[Outcome] = []
        self._begun: list[Outcome] = []

    @property
    def told(self) -> int:
        """How many messages there are so far."""
        return len(self._messages)

    def tell(self, message: Outcome, place: int | None = None) -> None:
        """Publish a message, after all others or after the first `place` of them."""
        self._messages.insert(self.told if place is None else place, message)

    def outcomes(self) -> list[Outcome]:
        """What is to be published, in order, and then what is kept."""
        return [*self._messages, *self.changes(), *self._begun]

    def begin(self, outcomes: list[Outcome]) -> None:
        """What another part of the site decides because of a threat."""
        self._begun += outcomes

    def event(self, kind: str, site_id: str, subject: str, subject_id: str, cause: str | int) -> dict[str, Any]:
        """What all messages share; `cause` tells one event of a kind about a subject from the next."""
        return {
            "event_id": derive("threat event", kind, site_id, subject, subject_id, cause),
            "threat_key": f"{site_id}/{subject}/{subject_id}",
            "site_id": site_id,
            "decided_at": from_ms(self.context.now_ms),
            "journal": journal_position(self.context),
        }

    # -- heightened monitoring ------------------------------------------------------------------------------------

    def monitored(self, site_id: str, subject: str, subject_id: str) -> Monitored | None:
        """The heightened monitoring of a zone or a person, if it is on at that time."""
        found: Monitored | None = self.get(monitored_key(site_id, subject, subject_id))
        return found if found is not None and self.at_ms < found.until_ms else None

    def monitor(self, site_id: str, subject: str, subject_id: str, threat_id: str, until_ms: int) -> int | None:
        """Monitor a zone or a person until then, or for longer; gives until when. None: there are too many already."""
        key = monitored_key(site_id, subject, subject_id)
        known: Monitored | None = self.get(key)
        if known is not None and self.at_ms >= known.until_ms:
            # Its deadline has passed and its tick is still to come.
            self.end_monitoring(key, known)
            known = None
        if known is not None:
            after = _replace(known, until_ms=max(known.until_ms, until_ms), threat_id=threat_id)
            self.put(key, after)
            self.tell(MonitoringExtended(**self._monitoring("monitoring_extended", after, threat_id)))
            return after.until_ms
        at: ThreatsAt = self.get(threats_key(site_id)) or ThreatsAt()
        if len(at.monitored) >= MOST_MONITORED:
            return None
        new = Monitored(site_id, subject, subject_id, self.at_ms, until_ms, threat_id)
        self.put(key, new)
        self.put(threats_key(site_id), _replace(at, monitored=tuple(sorted({*at.monitored, key}))))
        self.tell(MonitoringStarted(**self._monitoring("monitoring_started", new, threat_id)))
        return until_ms

    def seen(self, monitored: Monitored) -> str:
        """Put an event on the record of a monitoring; gives its id."""
        key = monitored_key(monitored.site_id, monitored.subject, monitored.subject_id)
        now: Monitored = self.get(key)
        self.put(key, _replace(now, events=now.events + 1))
        return monitoring_id(now)

    def end_monitoring(self, key: str, known: Monitored, request: Any = None) -> None:
        """It ran out, or an operator ended it."""
        at: ThreatsAt = self.get(threats_key(known.site_id)) or ThreatsAt()
        self.put(key, None)
        self._put_at(known.site_id, _replace(at, monitored=tuple(one for one in at.monitored if one != key)))
        ended_ms = known.until_ms if request is None else min(known.until_ms, self.context.now_ms)
        self.tell(
            MonitoringEnded(
                **self._monitoring("monitoring_ended", known, monitoring_id(known)),
                ended_at=from_ms(ended_ms),
                cause="expired" if request is None else "operator",
                **_asked_by(request),
            )
        )

    def _monitoring(self, kind: str, found: Monitored, cause: str) -> dict[str, Any]:
        return {
            **self.event(kind, found.site_id, found.subject, found.subject_id, cause),
            "monitoring_id": monitoring_id(found),
            "subject": found.subject,
            "subject_id": found.subject_id,
            "threat_id": found.threat_id,
            "started_at": from_ms(found.since_ms),
            "until": from_ms(found.until_ms),
            "events": found.events,
        }

    # -- threat levels --------------------------------------------------------------------------------------------

    def zone(self, zone_id: str, site_id: str) -> ZoneThreat:
        """A zone's threat levels."""
        found: ZoneThreat | None = self.get(zone_threat_key(zone_id))
        return found if found is not None else ZoneThreat(site_id)

    def set_level(self, site_id: str, zone_id: str, source: Source, held: Held, cause: str) -> None:
        """Give a zone a level, in place of the one that it has from the same source."""
        after = self._put_level(site_id, zone_id, source, held)
        level = self._level("threat_level_set", zone_id, source, held, after, cause)
        self.tell(ThreatLevelSet(**level, operator_id=held.operator_id, request_id=held.request_id, reason=held.reason))

    def clear_level(self, site_id: str, zone_id: str, source: Source, cause: str, request: Any = None) -> None:
        """Take the level away that a zone has from a source."""
        held: Held | None = getattr(self.zone(zone_id, site_id), source)
        if held is None:
            return
        after = self._put_level(site_id, zone_id, source, None)
        level = self._level("threat_level_cleared", zone_id, source, held, after, f"{source}/{held.since_ms}")
        self.tell(ThreatLevelCleared(**level, cause=cause, **_asked_by(request)))

    def _put_level(self, site_id: str, zone_id: str, source: Source, held: Held | None) -> ZoneThreat:
        after = _replace(self.zone(zone_id, site_id), **{source: held})
        empty = after.operator is None and after.assessment is None
        self.put(zone_threat_key(zone_id), None if empty else after)
        at: ThreatsAt = self.get(threats_key(site_id)) or ThreatsAt()
        zones = {one for one in at.zones if one != zone_id} | (set() if empty else {zone_id})
        self._put_at(site_id, _replace(at, zones=tuple(sorted(zones))))
        return after

    def _put_at(self, site_id: str, at: ThreatsAt) -> None:
        self.put(threats_key(site_id), at if at != ThreatsAt() else None)

    def _level(
        self, kind: str, zone_id: str, source: Source, held: Held, after: ZoneThreat, cause: str
    ) -> dict[str, Any]:
        return {
            **self.event(kind, after.site_id, "zone", zone_id, cause),
            "zone_id": zone_id,
            "source": source,
            "level": held.level,
            "clearance": held.clearance,
            "in_force": in_force(after),
            "asked": after.asked,
            "since": from_ms(held.since_ms),
            "until": None if held.until_ms is None else from_ms(held.until_ms),
            "threat_id": held.threat_id,
            "plan_proposed": held.plan_id,
            "incident_id": held.incident_id,
        }


def in_force(zone: ZoneThreat) -> ThreatLevel | None:
    """The higher of a zone's levels."""
    levels = [ThreatLevel(held.level) for held in (zone.operator, zone.assessment) if held is not None]
    return max(levels, key=lambda level: level.rank, default=None)


def monitoring_id(found: Monitored) -> str:
    """What names one heightened monitoring from its start to its end."""
    return derive("monitoring", found.site_id, found.subject, found.subject_id, found.since_ms)


def _asked_by(request: Any) -> dict[str, Any]:
    if request is None:
        return {}
    return {"operator_id": request.operator_id, "request_id": request.request_id, "reason": request.reason}
