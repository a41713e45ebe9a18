"""What a load would do: which records are new, changed or gone, and in what order that is safe.

A folder owns what it published: the `ce_source` of a record names the folder's first site. What another folder or
another system published stays, and an id of another folder is not taken from it; unless the folder is said to be the
whole truth.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any, NamedTuple

from schemas.base import Message
from schemas.people import Cardholder, Credential, Permission
from schemas.places import AccessPoint
from schemas.reference import ENTITIES
from streams.loading.campus import Campus
from streams.loading.present import Present, decoded

RIGHTS = ("access-point", "permission", "credential", "cardholder")
"""Without one of these four in force nobody gets in: what of them changes together with others is withdrawn first."""

GONE_FIRST = ("permission", "credential", "secret", "cardholder", "access-point", "door", "device")
PUBLISHED = (
    "policy",
    "holiday-calendar",
    "schedule",
    "site",
    "zone",
    "device",
    "door",
    "cardholder",
    "secret",
    "credential",
    "access-point",
    "permission",
    "recipient",
    "on-call",
    "subscription",
)
GONE_LAST = ("subscription", "on-call", "recipient", "zone", "schedule", "holiday-calendar", "site", "policy")


class Counts(NamedTuple):
    """How many records of an entity are new, changed, removed, unchanged."""

    new: int = 0
    changed: int = 0
    removed: int = 0
    unchanged: int = 0


class Step(NamedTuple):
    """Records of one entity to be written at once, by id; None removes. A step begins when the last one is in place."""

    entity: str
    records: Mapping[str, Message | None]


class Differences:
    """What differs between a campus and the topics, by entity and id."""

    def __init__(self) -> None:
        self.new: dict[str, dict[str, Message]] = {entity.name: {} for entity in ENTITIES}
        self.changed: dict[str, dict[str, tuple[Present, Message]]] = {entity.name: {} for entity in ENTITIES}
        self.removed: dict[str, list[str]] = {entity.name: [] for entity in ENTITIES}
        self.unchanged: dict[str, int] = {entity.name: 0 for entity in ENTITIES}
        self.foreign: list[tuple[str, str, str]] = []
        """Entity, id and home of records that another folder owns."""
        self.latest_end_ms = 0
        """The latest end of a signature in the topics."""

    def counts(self) -> dict[str, Counts]:
        """How many of each entity."""
        return {
            name: Counts(len(self.new[name]), len(self.changed[name]), len(self.removed[name]), self.unchanged[name])
            for name in self.new
        }

    @property
    def any(self) -> bool:
        """Whether anything is to be written."""
        return any(count for found in self.counts().values() for count in found[:3])


class Ownership:
    """Which present records a folder may change or remove."""

    def __init__(self, campus: Campus, *, whole: bool) -> None:
        self.sites = frozenset(campus.records["site"])
        self.home = next(iter(campus.records["site"]))
        self._whole = whole

    def removes(self, present: Present) -> bool:
        """Whether a record that the folder doesn't have is to go."""
        return self._whole or present.home in self.sites

    def foreign(self, present: Present) -> bool:
        """Whether a record is of another folder, and must be left alone."""
        return not self._whole and present.home is not None and present.home not in self.sites


def compare(
    name: str, wanted: Mapping[str, Message], there: Mapping[str, Present], owner: Ownership, found: Differences
) -> None:
    """Compare the records of one entity (all but secrets). A record that is not rightly signed is written again."""
    for id_, record in wanted.items():
        present = there.get(id_)
        if present is None:
            found.new[name][id_] = record
        elif owner.foreign(present):
            found.foreign.append((name, id_, str(present.home)))
        elif present.signed and present.home == owner.home and same(name, present, record):
            found.unchanged[name] += 1
        else:
            found.changed[name][id_] = (present, record)
    gone(name, wanted, there, owner, found)


def gone(
    name: str, wanted: Mapping[str, Any], there: Mapping[str, Present], owner: Ownership, found: Differences
) -> None:
    """Note what is there, is the folder's, and is no longer wanted."""
    found.removed[name].extend(id_ for id_, present in there.items() if id_ not in wanted and owner.removes(present))


def same(name: str, present: Present, record: Message) -> bool:
    """Whether a present record says what is wanted, however it is written."""
    return present.value == record.to_json() or decoded(name, present) == record


def steps(found: Differences) -> Iterator[Step]:
    """What to write, in an order in which no half-loaded state opens a door that neither the old nor the new one would.

    First what takes rights away: what is gone, and what of access points, permissions, credentials and cardholders
    changes together with other things is withdrawn (disabled, revoked) as it was. Then rules and places, then people,
    then access points and permissions. At last rules and places that nothing names any more are removed.
    """
    for name in GONE_FIRST:
        yield from _removal(found, name)
    touched = [name for name, count in found.counts().items() if any(count[:3])]
    if len(touched) > 1:
        for name in RIGHTS:
            changed = found.changed[name].items()
            records = {id_: _withdrawn(name, old) for id_, (old, new) in changed if not same(name, old, new)}
            taken = {id_: record for id_, record in records.items() if record is not None}
            if taken:
                yield Step(name, taken)
    for name in PUBLISHED:
        written = {**found.new[name], **{id_: record for id_, (_, record) in found.changed[name].items()}}
        if written:
            yield Step(name, written)
    for name in GONE_LAST:
        yield from _removal(found, name)


def _removal(found: Differences, name: str) -> Iterator[Step]:
    if found.removed[name]:
        yield Step(name, dict.fromkeys(found.removed[name]))


def _withdrawn(name: str, present: Present) -> Message | None:
    """The record as it was, without effect; None where it has none anyway."""
    match decoded(name, present):
        case AccessPoint(enabled=True) as point:
            return point.model_copy(update={"enabled": False})
        case Permission(status="active") as permission:
            return permission.model_copy(update={"status": "revoked"})
        case Credential(status="active") as credential:
            return credential.model_copy(update={"status": "disabled"})
        case Cardholder(status="active") as cardholder:
            return cardholder.model_copy(update={"status": "inactive"})
        case _:
            return None
