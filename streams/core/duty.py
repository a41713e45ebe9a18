"""Who is told: recipients by id, by group and by rota; and who is on call at a moment."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from datetime import date, datetime, time
from typing import NamedTuple
from zoneinfo import ZoneInfo

from schemas.recipients import OnCall, Recipient
from streams.core.processor import References
from streams.core.times import to_ms


class Asked(NamedTuple):
    """Somebody who is to be told, and the name that an alert asked for."""

    recipient: Recipient
    asked_for: str


def on_duty(rota: OnCall, at_ms: int) -> list[str]:
    """The ids of those who may be on call at a moment (Unix, milliseconds): who is, and then the members after them.

    The second and later count only where the first can't be told.
    """
    turns = _hand_overs(rota, at_ms) // rota.turn
    first = turns % len(rota.members)
    order = [*rota.members[first:], *rota.members[:first]]
    standing_in = [one.recipient_id for one in rota.stand_ins if to_ms(one.from_at) <= at_ms < to_ms(one.until_at)]
    return list(dict.fromkeys([*standing_in[::-1][:1], *order]))


def _hand_overs(rota: OnCall, at_ms: int) -> int:
    """How many hand-overs there have been since the first one of the rota; negative before it.

    A hand-over is a moment, not a reading of the clock: an hour that is repeated does not hand back, one that is
    skipped hands over when it would have come.
    """
    zone = ZoneInfo(rota.time_zone)
    today = datetime.fromtimestamp(at_ms / 1000, zone).date()
    per_day = len(rota.handover_at)
    # The clocks are never changed by a day: yesterday's are past, tomorrow's are to come.
    passed = sum(_moment_ms(today, clock, zone) <= at_ms for clock in rota.handover_at)
    return (today - rota.first_day).days * per_day + passed - 1


def _moment_ms(day: date, clock: str, zone: ZoneInfo) -> int:
    hour, _, minute = clock.partition(":")
    return to_ms(datetime.combine(day, time(int(hour), int(minute)), tzinfo=zone))


def asked(references: References, names: Iterable[str], site_id: str, at_ms: int) -> tuple[list[Asked], list[str]]:
    """Who is meant by the names that an alert asks for, each once; and the names that mean nobody."""
    found: dict[str, Asked] = {}
    nobody: list[str] = []
    for name in names:
        meant = list(_meant(references, name, site_id, at_ms))
        for recipient in meant:
            found.setdefault(recipient.recipient_id, Asked(recipient, name))
        if not meant:
            nobody.append(name)
    return list(found.values()), nobody


def _meant(references: References, name: str, site_id: str, at_ms: int) -> Iterator[Recipient]:
    own = _active(references, name)
    if own is not None and _serves(own, site_id):
        yield own
    rota: OnCall | None = references.get("on-call", name)
    if rota is not None and _serves(rota, site_id):
        members = (_active(references, id_) for id_ in on_duty(rota, at_ms))
        yield from [member for member in members if member is not None][:1]
    for recipient in references.find("recipient", "group", name):
        if recipient.status == "active" and _serves(recipient, site_id):
            yield recipient


def concerned(references: References, cardholder_id: str | None, site_id: str) -> list[Asked]:
    """The cardholder that an alert is about, where a recipient of that id is on file."""
    own = _active(references, cardholder_id) if cardholder_id is not None else None
    return [Asked(own, "cardholder")] if own is not None and _serves(own, site_id) else []


def monitoring(references: References, site_id: str) -> list[Asked]:
    """Who is told of duress at a site."""
    found: Iterable[Recipient] = references.find("recipient", "monitoring", "yes")
    return [Asked(one, "monitoring") for one in found if one.status == "active" and _serves(one, site_id)]


def _active(references: References, id_: str) -> Recipient | None:
    found: Recipient | None = references.get("recipient", id_)
    return found if found is not None and found.status == "active" else None


def _serves(one: Recipient | OnCall, site_id: str) -> bool:
    return not one.site_ids or site_id in one.site_ids
