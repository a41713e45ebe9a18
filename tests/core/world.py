"""A site in memory and a driver of the site processor, so that a test reads: given, when, then."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from datetime import UTC, datetime
from typing import Any

import msgspec

from schemas.access import AccessDenied, AccessGranted, AccessRecorded, AccessRequested
from schemas.base import Message
from schemas.keys import DEVICE, OPERATOR, derive_key
from schemas.people import Cardholder, Credential, Permission, Secret
from schemas.places import AccessPoint, Device, Door, Site, Zone
from schemas.record import Output, Record
from schemas.reference import ENTITIES, id_of
from schemas.registry import decode, topic_of
from schemas.rules import Policy, SingleMethod
from schemas.sealing import Sealer
from schemas.signing import NONCE_HEADER, NOT_AFTER_HEADER, sign
from schemas.vocabulary import Direction, FactorKind
from streams.agents.verification import SecretVerifier
from streams.core.admission import DeviceHeard
from streams.core.processor import Arrival, Cause, Context, Found, Lookup, Outcome, Tick, Verification
from streams.core.reference_tables import tables
from streams.core.site import SiteProcessor
from streams.hashing import PinHashing, hasher

MASTER = bytes(range(32))
_THREATS = ("threats", "duress.threats")
"""What is told beside everything else, and asked for apart."""
NOW = datetime(2026, 3, 2, 9, 0, tzinfo=UTC)  # a Monday, 10:00 at the site
CHEAP = hasher(memory_kib=8, time_cost=1)
_ENTITIES = {entity.model: entity for entity in ENTITIES}
_TABLES = {table.entity: table for table in tables()}


class References:
    """Reference data as of now; positions count the changes."""

    def __init__(self) -> None:
        self.rows: dict[str, dict[str, tuple[int, Message]]] = {name: {} for name in _TABLES}
        self.derived: dict[Any, Any] = {}
        self.changes = 0

    def put(self, record: Message, *, remove: bool = False) -> None:
        entity = _ENTITIES[type(record)]
        self.changes += 1
        self.derived.clear()
        self.rows[entity.name].pop(id_of(entity, record), None)
        if not remove:
            self.rows[entity.name][id_of(entity, record)] = (self.changes, record)

    def get(self, entity: str, id_: str) -> Any | None:
        return self.rows.get(entity, {}).get(id_, (0, None))[1]

    def find(self, entity: str, index: str, value: str) -> Sequence[Any]:
        read = _TABLES[entity].indexes[index]
        rows = sorted(self.rows[entity].items())
        return [record for _, (_, record) in rows if value in read(record.to_json())]

    def position(self, entity: str, id_: str) -> int:
        return self.rows[entity].get(id_, (-1, None))[0]

    def version(self) -> int:
        return self.changes


class World:
    """Site `hq`: the street, the hall behind door `front`, and the lab in the hall behind door `lab`.

    Ann may go everywhere with card 100, at all times. Readers are `front-in`, `front-out`, `lab-in` and `lab-out`.
    """

    def __init__(self, *changes: Message) -> None:
        self.site = SiteProcessor(MASTER)
        self.references = References()
        self.state: dict[str, Any] = {}
        self.database: dict[str, list[Message]] | None = {}
        self.now_ms = round(NOW.timestamp() * 1000)
        self.sent: list[Output] = []
        self.heard: list[DeviceHeard] = []
        self.sequence = 0
        self.entry = 0
        self.verifier = SecretVerifier(MASTER, CHEAP)
        for record in (*hq(), *changes):
            self.references.put(record)

    # -- given ----------------------------------------------------------------------------------------------------

    def change(self, entity: str, id_: str, **fields: Any) -> None:
        """Publish another version of a reference record."""
        found: Any = self.references.get(entity, id_)
        self.references.put(type(found).model_validate(found.model_dump() | fields))

    def remove(self, entity: str, id_: str) -> None:
        """Publish a tombstone."""
        found: Any = self.references.get(entity, id_)
        self.references.put(found, remove=True)

    def person(self, who: str, card: str, *, kind: str = "permanent", **fields: Any) -> None:
        """Somebody more, with a card and a permission everywhere."""
        self.references.put(Cardholder(cardholder_id=who, name=who.title(), **fields))
        self.references.put(
            Credential(credential_id=f"card-{card}", kind=FactorKind.CARD, cardholder_id=who, card_number=card)
        )
        permission = {"permission_id": f"of-{who}", "site_id": "hq", "cardholder_id": who, "zone_ids": ["hq"]}
        self.references.put(Permission.model_validate(permission | {"kind": kind}))

    def enrol(self, who: str, kind: FactorKind, **secret: Any) -> str:
        """A PIN (`pin`, `duress_pin`) or templates (`templates`, `model`) of somebody."""
        id_ = f"{kind}-{who}"
        content = PinHashing(MASTER, CHEAP).enrol(**secret) if kind is FactorKind.PIN else secret
        self.references.put(Credential(credential_id=id_, kind=kind, cardholder_id=who))
        self.references.put(
            Secret(credential_id=id_, kind=kind, sealed=Sealer.of_master(MASTER).seal(msgspec.json.encode(content)))
        )
        return id_

    def outcome(self, outcome: Outcome) -> None:
        """What another flow decides: a lockout, a posture, a risk."""
        for key, value in self.site.evolve(self._view, outcome):
            self._put(key, value)

    # -- when -----------------------------------------------------------------------------------------------------

    def ask(self, *factors: Mapping[str, Any], at: str = "front-in", **fields: Any) -> AccessGranted | AccessDenied:
        """Somebody presents factors (a card of Ann by default); the decision."""
        found = self.send(request(*factors, at=at, **fields), **_how(fields))
        return next(one for one in found if isinstance(one, AccessGranted | AccessDenied))

    def ask_quietly(self, *factors: Mapping[str, Any]) -> None:
        """The same where there may be no decision."""
        self.send(request(*factors))

    def send(
        self, fields: Mapping[str, Any], *, age_s: float = 0, key: bytes | None = None, version: int = 1
    ) -> list[Any]:
        """A controller's message, signed as it should be; everything that is published because of it."""
        if "sequence" not in fields:
            self.sequence += 1
        value = msgspec.json.encode({"sequence": self.sequence, **fields})
        topic = topic_of(fields["type"])
        secret = derive_key(MASTER, DEVICE, fields["device_id"]) if key is None else key
        return self.decide(self.record(topic, value, (sign(secret, version, topic, b"hq", value),), age_s=age_s))

    def operator(self, fields: Mapping[str, Any], *, valid_s: float = 60, nonce: str = "n", **how: Any) -> list[Any]:
        """An operator's request, signed as it should be."""
        given = {"site_id": "hq", "operator_id": "op-7", "occurred_at": NOW.isoformat(), "request_id": "r-1"}
        value = msgspec.json.encode(given | dict(fields))
        end = datetime.fromtimestamp(self.now_ms / 1000 + valid_s, UTC).isoformat()
        own = ((NOT_AFTER_HEADER, end.encode()), (NONCE_HEADER, nonce.encode()))
        secret = derive_key(MASTER, OPERATOR, how.get("signer", "op-7"))
        mac = sign(secret, 1, "operator.requests", b"hq", value, own)
        return self.decide(self.record("operator.requests", value, (*own, mac)))

    def record(self, topic: str, value: bytes, headers: Any = (), *, age_s: float = 0) -> Record:
        """A record that was appended `age_s` ago."""
        self.entry += 1
        return Record(topic, 0, self.entry, b"hq", value, headers, self.now_ms - round(age_s * 1000))

    def decide(self, record: Record) -> list[Any]:
        """Resolve, decide, evolve and publish one record, as the engine does; nothing is caught."""
        arrival = Arrival(record, self.site.decode(record))
        needs = self.site.needs(self._view, arrival, self._context({}))
        answers = {need.name: answer for need in needs if (answer := self._answer(need)) is not None}
        return self._run(arrival, self._context(answers))

    def wait(self, seconds: float) -> list[Any]:
        """Let time pass; deadlines come due in order."""
        end, found = self.now_ms + round(seconds * 1000), []
        while due := min(
            ((d, k) for k, e in self.state.items() if (d := self.site.deadline(k, e)) is not None), default=None
        ):
            if due[0] > end:
                break
            self.now_ms = max(self.now_ms, due[0])
            found += self._run(Tick(due[1], due[0]), self._context({}))
        self.now_ms = end
        return found

    # -- how ------------------------------------------------------------------------------------------------------

    @property
    def _view(self) -> Any:
        return self.state

    def _put(self, key: str, value: Any) -> None:
        if value is None:
            self.state.pop(key, None)
        else:
            self.state[key] = self.site.decode_entity(key, self.site.encode_entity(value))

    def _context(self, answers: Mapping[str, Any]) -> Context:
        return Context(self.now_ms, self.references, answers, 0, self.entry, 1_772_000_000)

    def _answer(self, need: Lookup | Verification) -> Any:
        if isinstance(need, Verification):
            return self.verifier.verify(need)
        if self.database is None:
            return None
        return [Found("id", 0, record.to_json()) for record in self.database.get(need.name, ())]

    def _run(self, cause: Cause, context: Context) -> list[Any]:
        outcomes = self.site.decide(self._view, cause, context)
        self.heard += [outcome for outcome in outcomes if isinstance(outcome, DeviceHeard)]
        for outcome in outcomes:
            for key, value in self.site.evolve(self._view, outcome):
                self._put(key, value)
        outputs = [one for outcome in outcomes if (one := self.site.publish(outcome, cause, context)) is not None]
        self.sent += outputs
        return [decode(output.topic, output.value) for output in outputs if output.topic not in _THREATS]

    def threats(self, topic: str = "threats") -> list[Any]:
        """What was told of threats so far."""
        return [decode(one.topic, one.value) for one in self.sent if one.topic == topic]


_HOW = ("age_s", "key")


def _how(fields: Mapping[str, Any]) -> dict[str, Any]:
    return {name: fields[name] for name in _HOW if name in fields}


def card(number: str = "100") -> dict[str, Any]:
    """A card as it is presented."""
    return {"kind": "card", "card_number": number}


def pin(digits: str, **fields: Any) -> dict[str, Any]:
    """A PIN as it is typed, sealed."""
    sealed = Sealer.of_master(MASTER).seal(msgspec.json.encode({"pin": digits}))
    return {"kind": "pin", "sealed": sealed, **fields}


def request(*factors: Mapping[str, Any], at: str = "front-in", **fields: Any) -> dict[str, Any]:
    """An `access_requested`, or with an `outcome` an `access_recorded`."""
    kind = AccessRecorded if "outcome" in fields else AccessRequested
    given = {"type": kind.model_fields["type"].default, "site_id": "hq", "device_id": "c1", "boot": 1}
    given |= {"access_point_id": at, "occurred_at": NOW.isoformat(), "factors": list(factors) or [card()]}
    if kind is AccessRecorded:
        given["mode"] = "snapshot"
    return given | {name: value for name, value in fields.items() if name not in _HOW}


def event(type_: str, **fields: Any) -> dict[str, Any]:
    """Another message of the controller, by default about the front door."""
    given = {"type": type_, "site_id": "hq", "device_id": "c1", "boot": 1, "occurred_at": NOW.isoformat()}
    return given | ({"door_id": "front"} if type_.startswith(("door_", "no_entry", "request_to")) else {}) | fields


def of_type(messages: Iterable[Any], type_: str) -> list[Any]:
    """The messages of a type."""
    return [one for one in messages if one.type == type_]


def outcomes_of(decision: AccessGranted | AccessDenied) -> dict[str, str]:
    """Each check's outcome."""
    return {name: outcome.value for name, outcome, _inputs in decision.checks}


def hq() -> list[Any]:
    """The reference records of the site."""
    rights = [{"operator_id": "op-7", "rights": ["unlock", "forgive_passback"]}]
    doors = {"front": ("street", "hall"), "lab": ("hall", "lab")}
    made: list[Message] = [
        Site(site_id="hq", name="HQ", time_zone="Europe/Berlin", policy_id="usual"),
        Policy.model_validate(
            {"policy_id": "usual", "methods": [SingleMethod(factor=FactorKind.CARD)], "operators": rights}
        ),
        Zone(zone_id="street", site_id="hq", kind="outside", name="Street"),
        Zone(zone_id="hq", site_id="hq", kind="site", name="HQ"),
        Zone(zone_id="hall", site_id="hq", parent_id="hq", kind="building", name="Hall"),
        Zone(zone_id="lab", site_id="hq", parent_id="hall", kind="area", name="Lab"),
        Device(device_id="c1", site_id="hq"),
        Cardholder(cardholder_id="ann", name="Ann"),
        Credential(credential_id="card-100", kind=FactorKind.CARD, cardholder_id="ann", card_number="100"),
        Permission(permission_id="of-ann", site_id="hq", cardholder_id="ann", zone_ids=("hq", "street")),
    ]
    for door, (outer, inner) in doors.items():
        made += door_between(door, outer, inner)
    return made


def door_between(door: str, outer: str, inner: str) -> list[Message]:
    """A door of the controller, with its readers `<door>-in` and `<door>-out`."""
    made: list[Message] = [Door(door_id=door, site_id="hq", device_id="c1", name=door)]
    for id_, direction, start, end in (
        (f"{door}-in", Direction.ENTRY, outer, inner),
        (f"{door}-out", Direction.EGRESS, inner, outer),
    ):
        made.append(
            AccessPoint(
                access_point_id=id_, site_id="hq", door_id=door, direction=direction, zone_from=start, zone_to=end
            )
        )
    return made
