"""What a site keeps of threats: the levels of its zones, heightened monitoring, and what happened lately (A5)."""

from __future__ import annotations

import msgspec

MOST_MONITORED = 64
"""Zones and people of a site that are monitored at a time; a further one is not, and its threat is recorded."""


class Held(msgspec.Struct, frozen=True, gc=False, array_like=True):
    """A level that somebody or something has given a zone; `until_ms` None: it does not end by itself.

    An assessed one has its threat, the plan that was proposed for it, and the emergency procedure that runs for it.
    """

    level: str
    clearance: int
    since_ms: int
    until_ms: int | None
    threat_id: str | None = None
    plan_id: str | None = None
    incident_id: str | None = None
    operator_id: str | None = None
    request_id: str | None = None
    reason: str = ""


class ZoneThreat(msgspec.Struct, frozen=True, gc=False, tag="zone threat", array_like=True):
    """A zone's threat level: `threat/<zone>`; each source's stands on its own, the higher of them applies."""

    site_id: str
    operator: Held | None = None
    assessment: Held | None = None

    @property
    def asked(self) -> int:
        """The clearance that who enters must have."""
        return max(held.clearance for held in (self.operator, self.assessment, _NOTHING) if held is not None)

    @property
    def due_ms(self) -> int | None:
        """When the first of them ends by itself."""
        ends = [held.until_ms for held in (self.operator, self.assessment) if held is not None]
        return min((end for end in ends if end is not None), default=None)


_NOTHING = Held("low", 0, 0, None)


class Monitored(msgspec.Struct, frozen=True, gc=False, tag="monitored", array_like=True):
    """Heightened monitoring: `monitored/<site>/<zone or cardholder>/<id>`, and how much was seen of it."""

    site_id: str
    subject: str
    subject_id: str
    since_ms: int
    until_ms: int
    threat_id: str
    events: int = 0


class ThreatsAt(msgspec.Struct, frozen=True, gc=False, tag="threats at", array_like=True):
    """What a site must look out for: `threats/<site>`; there is none where nothing threatens it.

    `zones` are those with a level, `monitored` the keys of what is monitored, each in order.
    """

    zones: tuple[str, ...] = ()
    monitored: tuple[str, ...] = ()


class Lately(msgspec.Struct, frozen=True, gc=False, tag="lately", array_like=True):
    """When something happened lately: `lately/<what>/<where>`; the latest moments, in order, forgotten at `until_ms`.

    `anybodys` are those that anybody can cause.
    """

    times: tuple[int, ...]
    anybodys: tuple[int, ...]
    until_ms: int


def zone_threat_key(zone_id: str) -> str:
    """`threat/<zone>`."""
    return f"threat/{zone_id}"


def monitored_key(site_id: str, subject: str, subject_id: str) -> str:
    """`monitored/<site>/<zone or cardholder>/<id>`."""
    return f"monitored/{site_id}/{subject}/{subject_id}"


def threats_key(site_id: str) -> str:
    """`threats/<site>`."""
    return f"threats/{site_id}"


def lately_key(what: str, where: str) -> str:
    """`lately/<what>/<where>`."""
    return f"lately/{what}/{where}"
