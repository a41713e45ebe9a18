"""How threats and abnormal passages are assessed, and what follows: the `threats` part of a policy (A5, M2).

The score is a sum whose parts are named, so that everybody can add it up again: the points of the kind, and those of
where, when and after what else it happened. Every number is a policy's own; these are the usual ones.
"""

from __future__ import annotations

from typing import Annotated, Literal, Self

from pydantic import Field, model_validator

from schemas.base import Frozen, Id
from schemas.vocabulary import ThreatLevel

ThreatKind = Literal[
    "duress",
    "door_forced_open",
    "tamper",
    "access_point_attack",
    "stolen_credential",
    "lost_credential",
    "lockout",
    "passage_without_decision",
    "forged_request",
    "invalid_signature",
    "replayed_request",
]
"""What threatens a site. `access_point_attack`: many numbers are guessed at a reader; `forged_request`: in the name of
an operator; `passage_without_decision`: a door opened that nobody was let through."""

PassageKind = Literal[
    "antipassback_violation",
    "tailgating_suspected",
    "not_taken_repeatedly",
    "out_of_time_use",
    "soft_breach",
    "monitored_passage",
]
"""What is abnormal about a passage. `not_taken_repeatedly`: granted again and again at a door, and nobody goes in;
`tailgating_suspected`: a door opened again for the grant of one; `monitored_passage`: under heightened monitoring."""

ANYBODYS: frozenset[str] = frozenset(
    {"lockout", "access_point_attack", "forged_request", "invalid_signature", "replayed_request"}
)
"""What anybody can cause who stands at a reader or writes to a topic: it never starts a plan by itself."""

Points = Annotated[int, Field(ge=0, le=100)]
Level = Literal["low", "medium", "high"]
"""The levels that are assessed; an operator may set `extreme`, too."""


class Weight(Frozen):
    """The points of a kind, and the level that it never exceeds, whatever comes together."""

    kind: ThreatKind | PassageKind
    points: Points
    at_most: Level = "high"


WEIGHTS: tuple[Weight, ...] = (
    Weight(kind="duress", points=90),
    Weight(kind="door_forced_open", points=40),
    Weight(kind="tamper", points=40),
    Weight(kind="access_point_attack", points=40),
    Weight(kind="stolen_credential", points=40),
    Weight(kind="lost_credential", points=25),
    Weight(kind="lockout", points=20),
    Weight(kind="passage_without_decision", points=20),
    Weight(kind="forged_request", points=20, at_most="medium"),
    Weight(kind="invalid_signature", points=10, at_most="medium"),
    Weight(kind="replayed_request", points=10, at_most="medium"),
    Weight(kind="antipassback_violation", points=30),
    Weight(kind="tailgating_suspected", points=30),
    Weight(kind="not_taken_repeatedly", points=20),
    Weight(kind="out_of_time_use", points=20),
    Weight(kind="soft_breach", points=10, at_most="medium"),
    Weight(kind="monitored_passage", points=10),
)
_WEIGHTS = {weight.kind: weight for weight in WEIGHTS}


class Clearances(Frozen):
    """The clearance that each threat level asks of who enters a zone, where the request to set it names none."""

    low: Annotated[int, Field(ge=0, le=7)] = 0
    medium: Annotated[int, Field(ge=0, le=7)] = 1
    high: Annotated[int, Field(ge=0, le=7)] = 3
    extreme: Annotated[int, Field(ge=0, le=7)] = 5

    def of(self, level: ThreatLevel) -> int:
        """The clearance that a level asks for."""
        asked: int = getattr(self, level.value)
        return asked


class ThreatRules(Frozen):
    """How threats are assessed at the zones of a policy, and what is done about them.

    A score from `medium_from` is medium, from `high_from` high. To the points of the kind (`weights` stand for the
    usual ones of the same kind) are added: `per_clearance` for each step of clearance that the zone asks for, `special`
    in a special zone, `per_recent` for each other threat in the zone within `window_s` before (`most_recent` at most),
    `occupied` while somebody is inside, `after_hours` outside the schedule `working_hours`, and `monitored_person` for
    who is monitored.

    Medium: heightened monitoring for `monitor_s`. High: `plan` is proposed for the zone of kind `scope` that it lies in
    (without one, nothing is), and the level stands for `hold_s` unless an emergency procedure begins; for the kinds in
    `automatic` that begins at once. A grant that nobody takes is abnormal from the `not_taken`-th within `window_s`.
    """

    weights: tuple[Weight, ...] = ()
    medium_from: Points = 40
    high_from: Points = 80
    window_s: Annotated[int, Field(ge=10, le=86_400)] = 600
    per_clearance: Points = 5
    special: Points = 10
    per_recent: Points = 10
    most_recent: Annotated[int, Field(ge=0, le=20)] = 4
    occupied: Points = 10
    after_hours: Points = 15
    working_hours: Id | None = None
    monitored_person: Points = 30
    monitor_s: Annotated[int, Field(ge=10, le=604_800)] = 1800
    hold_s: Annotated[int, Field(ge=60, le=604_800)] = 3600
    scope: Literal["area", "floor", "building", "site"] = "building"
    plan: Id | None = "lockdown"
    automatic: tuple[ThreatKind, ...] = ()
    clearances: Clearances = Clearances()
    not_taken: Annotated[int, Field(ge=2, le=20)] = 3

    @model_validator(mode="after")
    def _makes_sense(self) -> Self:
        if self.high_from <= self.medium_from:
            raise ValueError("high_from must be above medium_from")
        if "duress" in self.automatic:
            raise ValueError("automatic: duress starts nothing by itself, since that would be seen at the door")
        strangers = sorted(ANYBODYS.intersection(self.automatic))
        if strangers:
            raise ValueError(f"automatic: anybody can cause {', '.join(strangers)}, so it starts no plan by itself")
        return self

    def weight(self, kind: str) -> Weight:
        """The weight of a kind."""
        for one in self.weights:
            if one.kind == kind:
                return one
        return _WEIGHTS[kind]  # type: ignore[index]  # every kind is there (tests/schemas)
