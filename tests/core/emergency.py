"""A site under lockdown: the world with rights and plans, and a controller that does as it is told."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

from schemas.commands import ModeCommand
from tests.core.world import World, event, of_type

OPERATORS = [
    {"operator_id": who, "rights": ["unlock", "forgive_passback", "start_lockdown", "release_lockdown",
                                    "override_lockdown", "set_door_modes"]}
    for who in ("op-7", "op-8")
]  # fmt: skip


class Site(World):
    """The world, with everything allowed to `op-7` and `op-8`. `plan` changes the site's only plan."""

    def __init__(self, **plan: Any) -> None:
        super().__init__()
        self.change("policy", "usual", operators=OPERATORS, lockdowns=[{"plan_id": "usual", **plan}])
        self.asked = 0

    def request(self, type_: str, *, by: str = "op-7", **fields: Any) -> list[Any]:
        """An operator's request, and what is published because of it."""
        self.asked += 1
        given = {"type": type_, "request_id": f"r-{self.asked}", "operator_id": by, "reason": "an intruder"}
        return self.operator(given | fields, nonce=f"n-{self.asked}", signer=by)

    def lock_down(self, zone: str = "lab", level: str = "low", **fields: Any) -> list[Any]:
        """Start a lockdown."""
        return self.request("lockdown_requested", zone_id=zone, threat_level=level, **fields)

    def release(self, incident_id: str, **fields: Any) -> list[Any]:
        """Give the all-clear."""
        return self.request("lockdown_release_requested", incident_id=incident_id, **fields)

    def escalate(self, incident_id: str, level: str, **fields: Any) -> list[Any]:
        """Extend a lockdown to the scope of a higher level."""
        return self.request("lockdown_escalation_requested", incident_id=incident_id, threat_level=level, **fields)

    def declare(self, incident_id: str, **fields: Any) -> list[Any]:
        """Declare a lockdown formally effective."""
        return self.request("lockdown_effective_requested", incident_id=incident_id, **fields)

    def obey(self, found: Iterable[Any]) -> list[Any]:
        """The controller confirms the mode commands among what was published."""
        told: list[Any] = []
        for command in found:
            if isinstance(command, ModeCommand):
                told += self.send(event("command_confirmed", command_id=command.command_id))
        return told

    def shut(self, *doors: str) -> None:
        """The doors are seen shut."""
        for door in doors:
            self.send(event("door_closed", door_id=door))

    def report(self, **doors: tuple[str, int]) -> list[Any]:
        """A heartbeat that tells modes and epochs."""
        told = [{"door_id": door, "mode": mode, "mode_epoch": epoch} for door, (mode, epoch) in doors.items()]
        return self.send(event("heartbeat", doors=told))


def commands(found: Iterable[Any]) -> list[ModeCommand]:
    """The mode commands among messages."""
    return [one for one in found if isinstance(one, ModeCommand)]


def incident_id(found: Iterable[Any]) -> str:
    """The lockdown that was started."""
    (started,) = of_type(found, "lockdown_started")
    return str(started.incident_id)
