"""What threatens a site, how that was assessed, and what was done about it (A5, M2).

All messages of the topic `threats` carry an `event_id`, and a `threat_key` that names what they are about.
"""

from __future__ import annotations

from typing import Annotated, Literal

from pydantic import Field

from schemas.base import Frozen, Id, JournalPosition, Message, Text, Timestamp
from schemas.operators import OperatorRequest
from schemas.places import Clearance
from schemas.threat_rules import PassageKind, ThreatKind
from schemas.vocabulary import ThreatLevel

Watched = Literal["zone", "cardholder"]
"""What heightened monitoring is of."""


class Factor(Frozen):
    """A part of a score: what it is called, its points, and why it counts."""

    name: Id
    points: int
    detail: Text = ""


class Assessment(Frozen):
    """A score with its parts, and the level that follows from it."""

    level: ThreatLevel
    score: int
    factors: tuple[Factor, ...]


class ThreatEvent(Message):
    """What all messages about threats share. `threat_key` is `<site>/<zone or cardholder>/<id>`."""

    event_id: Id
    threat_key: Annotated[str, Field(min_length=1, max_length=300)]
    site_id: Id
    decided_at: Timestamp
    journal: JournalPosition


class ThreatAssessed(ThreatEvent):
    """A security exception: what happened where, its level with all that contributed, and what was begun.

    `cause_id` is the decision, refusal, alarm or message that it was seen by, of type `cause_type`. `recent` counts the
    other threats of the zone within the window, as far as they count. `monitoring_of` says what is monitored because of
    it (`zone/<id>`). Where a plan is proposed, `plan_proposed` names it, `scope_zone_id` what it is to cover, and
    `confirm` is the command by which a person starts it. `plan_pending`: it is proposed already, or runs. A threat of
    duress is on `duress.threats` alone, and begins nothing.
    """

    type: Literal["threat_assessed"] = "threat_assessed"
    threat_id: Id
    kind: ThreatKind
    assessment: Assessment
    response: Literal["recorded", "monitoring", "plan_proposed", "plan_pending", "plan_started", "no_plan"]
    summary: Text
    recent: int = 0
    zone_id: Id | None = None
    door_id: Id | None = None
    access_point_id: Id | None = None
    device_id: Id | None = None
    cardholder_id: Id | None = None
    cause_type: Id
    cause_id: Id
    monitored_until: Timestamp | None = None
    monitoring_of: Id | None = None
    plan_proposed: Id | None = None
    scope_zone_id: Id | None = None
    confirm: Text = ""
    occurred_at: Timestamp


class Monitoring(ThreatEvent):
    """Heightened monitoring of a zone or a person: since when, until when, because of which threat (the last one).

    `events` were seen of it so far: its passages, and what else threatened.
    """

    monitoring_id: Id
    subject: Watched
    subject_id: Id
    threat_id: Id
    started_at: Timestamp
    until: Timestamp
    events: int = 0


class MonitoringStarted(Monitoring):
    """From now on its alerts are raised one level, and each of its passages is on record."""

    type: Literal["monitoring_started"] = "monitoring_started"


class MonitoringExtended(Monitoring):
    """Another threat: it ends later."""

    type: Literal["monitoring_extended"] = "monitoring_extended"


class MonitoringEnded(Monitoring):
    """It ran out, or an operator ended it (then with the request and the reason)."""

    type: Literal["monitoring_ended"] = "monitoring_ended"
    ended_at: Timestamp
    cause: Literal["expired", "operator"]
    operator_id: Id | None = None
    request_id: Id | None = None
    reason: Text = ""


class ThreatLevelEvent(ThreatEvent):
    """A zone's threat level, as an operator set it or as it was assessed; each of the two stands on its own.

    `level` and `clearance` are the source's, `in_force` and `asked` what applies to the zone by both: the higher level,
    and the clearance that who enters it or what lies in it must have. `until` is null where it does not end by itself.
    `incident_id` is the emergency procedure that runs because of it.
    """

    zone_id: Id
    source: Literal["operator", "assessment"]
    level: ThreatLevel
    clearance: Clearance
    in_force: ThreatLevel | None
    asked: Clearance
    since: Timestamp
    until: Timestamp | None = None
    threat_id: Id | None = None
    plan_proposed: Id | None = None
    incident_id: Id | None = None
    operator_id: Id | None = None
    request_id: Id | None = None
    reason: Text = ""


class ThreatLevelSet(ThreatLevelEvent):
    """The zone has this level from now on, or keeps it for longer."""

    type: Literal["threat_level_set"] = "threat_level_set"


class ThreatLevelCleared(ThreatLevelEvent):
    """The level is over: nobody confirmed its plan in time, its emergency procedure ended, or an operator says so."""

    type: Literal["threat_level_cleared"] = "threat_level_cleared"
    cause: Literal["expired", "incident_ended", "operator"]


class AbnormalPassage(ThreatEvent):
    """What was abnormal about a passage or an attempt at one, and how risky it was (M2).

    `decision_id` is null where no decision led to it. `monitoring_ids` are the heightened monitorings that it is on
    the record of.
    """

    type: Literal["abnormal_passage"] = "abnormal_passage"
    kind: PassageKind
    assessment: Assessment
    summary: Text
    decision_id: Id | None = None
    cardholder_id: Id | None = None
    access_point_id: Id | None = None
    door_id: Id | None = None
    device_id: Id | None = None
    zone_id: Id | None = None
    monitoring_ids: tuple[Id, ...] = ()
    occurred_at: Timestamp


class ThreatLevelRequested(OperatorRequest):
    """Set a zone's threat level; a `reason` is required.

    Who enters needs `clearance` (null: what the policy asks at that level). It stands for `for_s` seconds (null: until
    somebody clears it).
    """

    type: Literal["threat_level_requested"] = "threat_level_requested"
    zone_id: Id
    level: ThreatLevel
    clearance: Clearance | None = None
    for_s: Annotated[int, Field(ge=10, le=2_592_000)] | None = None


class ThreatClearRequested(OperatorRequest):
    """The threat to a zone or by a cardholder is over; a `reason` is required. Ends its levels and its monitoring.

    Not while an emergency procedure runs because of it: that is released first.
    """

    type: Literal["threat_clear_requested"] = "threat_clear_requested"
    subject: Watched
    subject_id: Id
