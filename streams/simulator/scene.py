"""Something that happens on a day; and the stories, which are told from their cause on."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from datetime import datetime
from enum import StrEnum
from typing import NamedTuple


class Story(StrEnum):
    """What somebody must be told of, and what becomes of it: one of each happens at every site, if the day is long."""

    HELD_DOOR = "held_door"
    DYING_CONTROLLER = "dying_controller"
    PIN_GUESSER = "pin_guesser"
    DURESS_PIN = "duress_pin"
    FORCED_DOOR = "forced_door"
    LOCKDOWN_DRILL = "lockdown_drill"
    LOCKDOWN = "lockdown"


@dataclass(frozen=True)
class Scene:
    """Something that happens: `at` is the share of the day (0 to 1), `cost` about how many requests it makes.

    `who` are cardholders (or a card; in a lockdown also the controllers that are away), `goal` is a zone, an access
    point, a door or a device, as the kind has it (`plays.py`). `story` is the one that it is the cause of.
    """

    at: float
    kind: str
    site_id: str
    who: tuple[str, ...] = ()
    goal: str = ""
    cost: int = 1
    story: Story | None = None


class Cause(NamedTuple):
    """What a story begins with. An alert of `alert_kind` that has the fields of `place` is expected of it.

    `goal` is that of its scene.
    """

    story: Story
    site_id: str
    at: datetime
    what: str
    alert_kind: str
    place: Mapping[str, str]
    goal: str = ""


class Plan(NamedTuple):
    """A story of a day. `missing` says why it is not on it; empty: it is."""

    story: Story
    site_id: str
    missing: str = ""


class Turn(NamedTuple):
    """Something more that happens in a story."""

    story: Story
    site_id: str
    at: datetime
    kind: str
    what: str


OnStory = Callable[[Plan | Cause | Turn], None]
