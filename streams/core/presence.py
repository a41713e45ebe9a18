"""Where people are, as far as is known: moved by passages, forgotten after outages and when an operator forgives."""

from __future__ import annotations

import msgspec

from schemas.people import Cardholder
from schemas.vocabulary import Direction
from streams.core import reference
from streams.core.entities import EVERYBODY, Pending, Presence, ZoneState, presence_key, zone_key
from streams.core.places import way
from streams.core.processor import Context, State
from streams.core.schedules import local


class Passed(msgspec.Struct, frozen=True, gc=False, tag="passed"):
    """Somebody is now in another zone: the zones left and entered, and what that used up.

    `overtaken`: something newer is known of the cardholder already, so only what was used up counts.
    """

    site_id: str
    cardholder_id: str
    zone_to: str
    at_ms: int
    leave: tuple[str, ...]
    enter: tuple[str, ...]
    escort: bool
    permission_id: str | None
    decision_id: str
    opens: str | None = None
    opened_on: str = ""
    overtaken: bool = False


class PresenceLost(msgspec.Struct, frozen=True, gc=False, tag="presence_lost"):
    """Nobody knows any more where a cardholder is: passback is soft until it is known again.

    Without a cardholder, that holds for everybody; they stay counted where they are, so that leaving counts them out.
    """

    site_id: str
    cardholder_id: str | None
    at_ms: int
    leave: tuple[str, ...]
    escort: bool = False


def may_accompany(holder: Cardholder) -> bool:
    """Whether somebody is an escort: who needs one is none, least of all their own."""
    return holder.escort and not holder.needs_escort


def presence_of(state: State, site_id: str, cardholder_id: str) -> Presence | None:
    """Where a cardholder was last known to be."""
    found: Presence | None = state.get(presence_key(site_id, cardholder_id))
    return found


def forgiven_ms(state: State, site_id: str) -> int:
    """Until when passback was forgiven to everybody at a site."""
    found: Presence | None = state.get(presence_key(site_id, EVERYBODY))
    return -1 if found is None else found.since_ms


def zone_state(state: State, zone_id: str) -> ZoneState:
    """A zone; nobody is in one of which nothing was heard."""
    found: ZoneState = state.get(zone_key(zone_id)) or ZoneState()
    return found


def zones_entered(state: State, context: Context, site_id: str, cardholder_id: str, zone_to: str) -> tuple[str, ...]:
    """The zones in which a cardholder who passes into `zone_to` is not yet counted."""
    presence = presence_of(state, site_id, cardholder_id)
    return way(context.references, presence.zone_id if presence is not None else None, zone_to)[1]


def moved(pending: Pending, cardholder_id: str, at_ms: int, state: State, context: Context) -> Passed:
    """Where the cardholder of a passage is since then, and what that uses up."""
    references = context.references
    holder = reference.cardholder(references, cardholder_id)
    presence = presence_of(state, pending.site_id, cardholder_id)
    left, entered = way(references, presence.zone_id if presence is not None else None, pending.zone_to)
    opens, day = None, ""
    if holder is not None and holder.first_person and pending.direction == Direction.ENTRY:
        opens, day = pending.zone_to, _local_day(pending.site_id, at_ms, context)
    return Passed(
        site_id=pending.site_id,
        cardholder_id=cardholder_id,
        zone_to=pending.zone_to,
        at_ms=at_ms,
        leave=left,
        enter=entered,
        escort=holder is not None and may_accompany(holder),
        permission_id=pending.permission_id if pending.single_use else None,
        decision_id=pending.decision_id,
        opens=opens,
        opened_on=day,
        overtaken=presence is not None and presence.since_ms > at_ms,
    )


def _local_day(site_id: str, at_ms: int, context: Context) -> str:
    site = reference.site(context.references, site_id)
    return local(at_ms, site.time_zone).date().isoformat() if site is not None else ""


def lose_presence(site_id: str, cardholder_id: str | None, state: State, context: Context) -> PresenceLost:
    """Forget where a cardholder, or without one everybody, is; the zones of one cardholder are counted down with it."""
    if cardholder_id is None:
        return PresenceLost(site_id, None, context.now_ms, ())
    found = presence_of(state, site_id, cardholder_id)
    inside = reference.zone_path(context.references, found.zone_id) if found is not None and found.zone_id else ()
    escort = found is not None and found.escort
    return PresenceLost(site_id, cardholder_id, context.now_ms, inside, escort)
