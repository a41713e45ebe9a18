"""How a lockdown is run: the part of a policy that each lockdown carries from its start (E2)."""

from __future__ import annotations

from typing import Annotated, Literal

from pydantic import Field, StringConstraints

from schemas.base import Frozen, Id
from schemas.places import Clearance

LONGEST_NOTICE = 400
Notice = Annotated[str, StringConstraints(max_length=LONGEST_NOTICE, pattern=r"^[^\x00]*$")]


class LockdownPlan(Frozen):
    """A plan for lockdowns; of several in force at a door, the one of the highest `rank` leads.

    `clearance`: who has at least that much passes all the same (responders); None: nobody does. `occupants` stay where
    they are (`shelter`), or leave (`clear`): then the lockdown is effective when the zone is empty or `clear_within_s`
    have passed. `notice` is for the people inside, `guard_notice` for guards.
    """

    plan_id: Id
    rank: Annotated[int, Field(ge=0, le=100)] = 1
    clearance: Clearance | None = None
    occupants: Literal["shelter", "clear"] = "shelter"
    clear_within_s: Annotated[int, Field(ge=10, le=86_400)] = 900
    two_person_release: bool = False
    auto_release_s: Annotated[int, Field(ge=10, le=604_800)] | None = None
    notice: Notice = "Lockdown. Stay where you are, away from doors and windows. You can always leave through any door."
    guard_notice: Notice = "Lockdown. Guard the entrances; see to the doors that are named."


USUAL_PLAN = LockdownPlan(plan_id="lockdown")
"""The plan where a policy names none."""
