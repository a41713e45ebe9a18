"""A small campus, and a site that signs commands, for controllers and the oracle to be tried on."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from typing import Any

from schemas.base import JournalPosition, Message, RequestNumber
from schemas.commands import AccessDoor, Command, Probe, ShowDisplay
from schemas.keys import DEVICE, derive_key
from schemas.people import Cardholder, Credential, Permission
from schemas.permission_snapshots import (
    PermissionSnapshot,
    SnapshotGrant,
    SnapshotPoint,
    SnapshotSchedule,
    card_digest,
    cards_key,
)
from schemas.places import (
    AccessPoint,
    Accompaniment,
    Device,
    Door,
    FirstPersonIn,
    Interlock,
    Occupancy,
    Passback,
    Site,
    Zone,
)
from schemas.reference import ENTITIES, id_of
from schemas.rules import AllRequired, Fusion, Policy, Schedule, SingleMethod, Window
from schemas.sealing import Sealer
from schemas.signing import sign
from schemas.vocabulary import Direction, Display, Enforcement, FactorKind, Reason
from streams.loading.campus import Campus, PlainPin, Templates
from streams.simulator.controller import Controller
from streams.simulator.effects import Answered, Effect, Number, Released
from streams.simulator.factors import Shown
from streams.simulator.happenings import Happenings
from streams.simulator.lock import Moment
from streams.simulator.oracle import Oracle
from streams.simulator.people import People
from streams.simulator.places import Places
from streams.simulator.wire import Incoming, Memory, Outgoing, Signature

MASTER = bytes(range(32))
NOON = datetime(2026, 3, 2, 12, 0, tzinfo=UTC)
"""A Monday; 13:00 on the walls of the site."""

_BY_MODEL = {entity.model: entity for entity in ENTITIES}
_HARD = Enforcement.HARD
_WEEK = ("mon", "tue", "wed", "thu", "fri", "sat", "sun")

DOORS: dict[str, dict[str, Any]] = {
    "main": {"device_id": "c1", "degraded_mode": "snapshot"},
    "side": {"device_id": "c1", "degraded_mode": "facility_code", "facility_codes": ("21",)},
    "lab": {"device_id": "c1", "degraded_mode": "deny"},
    "vault": {"device_id": "c2"},
    "outer": {"device_id": "c2", "interlock": Interlock(group="trap")},
    "inner": {"device_id": "c2", "interlock": Interlock(group="trap")},
    "gate": {"device_id": "c2", "has_dps": False},
}
WAYS = {
    "main": ("street", "hall"),
    "side": ("street", "hall"),
    "lab": ("hall", "lab"),
    "vault": ("hall", "vault"),
    "outer": ("hall", "trap"),
    "inner": ("trap", "store"),
    "gate": ("street", "yard"),
}
_POLICIES = {"lab": "card-pin", "inner": "face-finger", "vault": "card"}


def campus(*more: Message, **zone_rules: dict[str, Any]) -> Campus:
    """The campus, with more records, and rules of zones by their id."""
    always = Window(days=_WEEK, start="00:00", end="24:00")
    zones = ["hall", "lab", "vault", "trap", "store", "yard"]
    records: list[Message] = [
        Site(site_id="s", name="s", time_zone="Europe/Berlin", policy_id="card"),
        Policy(policy_id="card", methods=(SingleMethod(factor=FactorKind.CARD),)),
        Policy(policy_id="card-pin", methods=(AllRequired(factors=(FactorKind.CARD, FactorKind.PIN)),)),
        Policy(
            policy_id="face-finger",
            methods=(Fusion(weights={FactorKind.FACE: 0.6, FactorKind.FINGERPRINT: 0.4}, threshold=0.75),),
        ),
        Schedule(schedule_id="always", name="", windows=(always,)),
        Device(device_id="c1", site_id="s"),
        Device(device_id="c2", site_id="s"),
        Zone(zone_id="s", site_id="s", kind="site", name="s"),
        Zone(zone_id="street", site_id="s", kind="outside", name="street"),
        *(Zone(zone_id=z, site_id="s", parent_id="s", kind="area", name=z, **zone_rules.get(z, {})) for z in zones),
        *(Door(door_id=id_, site_id="s", name=id_, **fields) for id_, fields in DOORS.items()),
    ]
    for door_id, (outer, inner) in WAYS.items():
        for end, direction, zones_ in (
            ("in", Direction.ENTRY, (outer, inner)),
            ("out", Direction.EGRESS, (inner, outer)),
        ):
            records.append(
                AccessPoint(
                    access_point_id=f"{door_id}-{end}",
                    site_id="s",
                    door_id=door_id,
                    direction=direction,
                    zone_from=zones_[0],
                    zone_to=zones_[1],
                    policy_id=_POLICIES.get(door_id) if direction is Direction.ENTRY else None,
                )
            )
    for number, name in enumerate(("ann", "bob", "eve"), 1):
        records += [
            Cardholder(cardholder_id=name, name=name, escort=name == "ann", needs_escort=name == "eve"),
            Credential(
                credential_id=f"{name}-card",
                kind=FactorKind.CARD,
                cardholder_id=name,
                card_number=str(number),
                facility_code="21",
            ),
            Permission(
                permission_id=f"{name}-p", site_id="s", cardholder_id=name, zone_ids=("s",), schedule_id="always"
            ),
        ]
    for kind in (FactorKind.PIN, FactorKind.FACE, FactorKind.FINGERPRINT):
        records.append(Credential(credential_id=f"ann-{kind}", kind=kind, cardholder_id="ann"))
    found: dict[str, dict[str, Message]] = {}
    for record in (*records, *more):
        entity = _BY_MODEL[type(record)]
        found.setdefault(entity.name, {})[id_of(entity, record)] = record
    return Campus(
        found,
        {"ann-pin": PlainPin("4711", "8302")},
        {
            "ann-face": Templates(((1.0, 0.0, 0.0, 0.0),), "arc"),
            "ann-fingerprint": Templates(((0.0, 1.0, 0.0, 0.0),), "arc"),
        },
    )


HARD_PASSBACK = {"passback": Passback(enforcement=_HARD, presence_timeout_s=3600)}
TWO_PERSONS = {"two_person": Accompaniment(enforcement=_HARD, window_s=30)}
ESCORTED = {"escort": Accompaniment(enforcement=_HARD, window_s=30)}
FIRST_PERSON = {"first_person_in": FirstPersonIn(enforcement=_HARD)}


def full_at(limit: int) -> dict[str, Any]:
    """Occupancy of a zone."""
    return {"occupancy": Occupancy(enforcement=_HARD, limit=limit)}


class World:
    """The oracle on a small campus."""

    def __init__(self, found: Campus) -> None:
        self.places = Places(found)
        self.people = People(found, self.places)
        self.happenings = Happenings(self.places)
        self.oracle = Oracle(self.people, self.places, self.happenings)

    def expect(self, point: str, *shown: Shown, at: datetime = NOON) -> set[str]:
        """The right outcomes, as words."""
        expected = self.oracle.expect(self.places.points[point], shown, at, at)
        return {outcome.value if outcome is not None else "granted" for outcome in expected.outcomes}

    def enters(self, who: str, zone_id: str, at: datetime = NOON) -> None:
        """Somebody is in a zone now."""
        self.happenings.moved("s", self.people.holders[who], zone_id, at, entry=True)

    def grants(self, id_: str, point: str, who: str, single_use: str | None = None, at: datetime = NOON) -> None:
        """Somebody is let in, and has not passed yet."""
        self.happenings.granted(id_, self.places.points[point], who, at, single_use)


@dataclass
class Clock:
    """A controller's clocks, moved by hand."""

    seconds: float = 0.0

    @property
    def now(self) -> Moment:
        """This moment."""
        return Moment(self.seconds, NOON + timedelta(seconds=self.seconds))


@dataclass
class Seen:
    """What a controller did."""

    effects: list[Effect] = field(default_factory=list)

    @property
    def messages(self) -> list[Any]:
        """What it published."""
        return [one.message for one in self.effects if isinstance(one, Outgoing)]

    @property
    def types(self) -> list[str]:
        """The types of what it published."""
        return [message.type for message in self.messages]

    @property
    def released(self) -> list[Released]:
        """The locks it released."""
        return [one for one in self.effects if isinstance(one, Released)]

    @property
    def answers(self) -> list[str]:
        """What people learned."""
        return [one.outcome for one in self.effects if isinstance(one, Answered)]


class Bench:
    """One controller of the campus with its clock, and the site that commands it."""

    def __init__(self, device_id: str = "c1", snapshot: Reason | None = None) -> None:
        """`snapshot`: its snapshot lets nobody in at this time."""
        places = Places(campus())
        self.clock = Clock()
        self.key = derive_key(MASTER, DEVICE, device_id)
        self.device_id = device_id
        self.memory = Memory(boot=7)
        self.controller = Controller(
            places.devices[device_id],
            [door for door in places.doors.values() if door.device_id == device_id],
            [p for p in places.points.values() if places.doors[p.door_id].device_id == device_id],
            Signature(device_id, self.key, 1),
            Sealer.of_master(MASTER),
            self.memory,
        )
        self.memory.vault.take(self.snapshot(1, closed=snapshot is not None))

    def ask(self, point: str, *shown: Shown) -> tuple[Number, Seen]:
        """Present something."""
        number, effects = self.controller.present(point, shown, self.clock.now)
        return number, Seen(effects)

    def open(self, number: Number | None, sequence: int, door: str = "main", **fields: Any) -> AccessDoor:
        """A command to open."""
        request = RequestNumber(boot=number[0], sequence=number[1]) if number is not None else None
        values: dict[str, Any] = {"command_id": f"open-{sequence}", "mode_epoch": 0, "access_time_s": 5, **fields}
        return AccessDoor(
            site_id="s",
            device_id=self.device_id,
            issued_at=NOON,
            door_id=door,
            sequence=sequence,
            request=request,
            **values,
        )

    def probe(self, command_id: str, issued_at: datetime = NOON) -> Probe:
        """A command to tell how it is."""
        return Probe(command_id=command_id, site_id="s", device_id=self.device_id, issued_at=issued_at)

    def deny(self, number: Number, point: str = "main-in") -> ShowDisplay:
        """A command to show a denial."""
        return ShowDisplay(
            command_id=f"show-{number}",
            site_id="s",
            device_id=self.device_id,
            issued_at=NOON,
            decision_id="d",
            access_point_id=point,
            code=Display.NO_PERMISSION,
            request=RequestNumber(boot=number[0], sequence=number[1]),
        )

    def record(self, command: Command, secret: bytes | None = None) -> Incoming:
        """A command as it lies in the topic."""
        topic, key, value = "device.commands", self.device_id.encode(), command.to_json()
        return Incoming(topic, key, value, (sign(secret or self.key, 1, topic, key, value),))

    def tell(self, command: Command, secret: bytes | None = None) -> Seen:
        """The controller gets a command."""
        return Seen(self.controller.command(self.record(command, secret), self.clock.now))

    def snapshot(self, version: int, *, closed: bool = False, days: float = 1, **fields: Any) -> PermissionSnapshot:
        """A snapshot that lets card 1 in at the main door; `closed`: at no time."""
        schedules = (SnapshotSchedule(),) if closed else ()
        given: dict[str, Any] = {
            "points": (SnapshotPoint(access_point_id="main-in", door_id="main", card_alone=True),),
            "schedules": schedules,
            "grants": (SnapshotGrant(points=(0,), schedule=0 if closed else None),),
            "cards": ((card_digest(cards_key(self.key), "1"), "21", None, None, (0,)),),
            **fields,
        }
        return PermissionSnapshot(
            snapshot_id=f"s{version}",
            snapshot_key=self.device_id if given.get("part", 1) == 1 else f"{self.device_id}/{given['part']}",
            site_id="s",
            device_id=self.device_id,
            version=version,
            issued_at=NOON,
            valid_until=NOON + timedelta(days=days),
            time_zone="UTC",
            journal=JournalPosition(partition=0, number=1),
            **given,
        )

    def sync(self, snapshot: PermissionSnapshot, secret: bytes | None = None) -> Seen:
        """The controller reads a snapshot."""
        topic, key, value = "device.snapshots", snapshot.snapshot_key.encode(), snapshot.to_json()
        record = Incoming(topic, key, value, (sign(secret or self.key, 1, topic, key, value),))
        return Seen(self.controller.snapshot(record, self.clock.now))

    def wait(self, seconds: float) -> Seen:
        """Time passes, and the controller's timers run."""
        self.clock.seconds += seconds
        return Seen(self.controller.tick(self.clock.now))


def types(effects: Sequence[Effect]) -> list[str]:
    """The types of the messages among some effects."""
    return Seen(list(effects)).types
