"""A small house to ask at: one site, one way in, and whatever a test adds to it or changes in it."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from datetime import datetime
from typing import Any, Self

from schemas.base import Message
from schemas.people import Cardholder, Credential, Permission, Secret
from schemas.places import AccessPoint, Device, Door, Site, Zone
from schemas.reference import ENTITIES, id_of
from schemas.rules import Method, Policy, SingleMethod
from schemas.sealing import Sealer
from schemas.vocabulary import Direction, FactorKind
from streams.agents.verification import SecretVerifier
from streams.core.alerts import AlertsProcessor
from streams.core.processor import Found, Lookup
from streams.core.site import SiteProcessor
from streams.engine.harness import Harness
from streams.engine.ports import TransientError
from streams.hashing import PinHashing, hasher

MASTER = bytes(range(32))
NINE = "2026-03-02T09:00:00+08:00"
"""A Monday morning at the house, which stands in Shanghai."""

_CHEAP = hasher(memory_kib=8, time_cost=1)
_PINS = PinHashing(MASTER, _CHEAP)
_SEALER = Sealer.of_master(MASTER)
_BY_MODEL = {entity.model: entity for entity in ENTITIES}

Json = dict[str, Any]

SITE = Site(
    site_id="hq",
    name="Headquarters",
    time_zone="Asia/Shanghai",
    policy_id="normal",
    message_authentication="off",
    plain_secrets=True,
)
POLICY = Policy(policy_id="normal", methods=(SingleMethod(factor=FactorKind.CARD),))
HALL = Zone(zone_id="hall", site_id="hq", parent_id="hq", kind="building", name="Hall")
DOOR = Door(door_id="lobby", site_id="hq", device_id="c1", name="Lobby", has_dps=False)
POINT = AccessPoint(
    access_point_id="lobby-in",
    site_id="hq",
    door_id="lobby",
    direction=Direction.ENTRY,
    zone_from="street",
    zone_to="hall",
)
DEVICE = Device(device_id="c1", site_id="hq")
_PLACES: tuple[Message, ...] = (
    SITE,
    POLICY,
    Zone(zone_id="hq", site_id="hq", kind="site", name="Headquarters"),
    Zone(zone_id="street", site_id="hq", parent_id="hq", kind="outside", name="Street"),
    HALL,
    DOOR,
    POINT,
    DEVICE,
)


def person(name: str, **more: Any) -> tuple[Cardholder, Credential, Permission]:
    """Somebody with a card (`<name>-no`) and a permission (`<name>-may`) for the hall at all times."""
    return Cardholder(cardholder_id=name, name=name, **more), card_of(name), permission_of(name)


def card_of(name: str, **more: Any) -> Credential:
    """A person's card."""
    fields: Json = {"cardholder_id": name, **more}
    return Credential(credential_id=f"{name}-card", kind=FactorKind.CARD, card_number=f"{name}-no", **fields)


def permission_of(name: str, **more: Any) -> Permission:
    """A person's permission, for the hall unless it says otherwise."""
    fields: Json = {"zone_ids": ("hall",), **more}
    return Permission(permission_id=f"{name}-may", site_id="hq", cardholder_id=name, **fields)


ADA = person("ada")
BOB = person("bob")


def policy(*methods: Method) -> Policy:
    """The site's policy with other methods."""
    return POLICY.model_copy(update={"methods": methods})


def pin_of(name: str, pin: str, duress_pin: str | None = None) -> tuple[Message, ...]:
    """A person's PIN, enrolled."""
    return _enrolled(name, FactorKind.PIN, _PINS.enrol(pin, duress_pin))


def template_of(name: str, kind: FactorKind, template: Sequence[float]) -> tuple[Message, ...]:
    """A person's face or finger, enrolled."""
    return _enrolled(name, kind, {"templates": [list(template)], "model": "m1"})


def _enrolled(name: str, kind: FactorKind, secret: Json) -> tuple[Message, ...]:
    id_ = f"{name}-{kind}"
    sealed = sealed_box(secret)
    return Credential(credential_id=id_, kind=kind, cardholder_id=name), Secret(
        credential_id=id_, kind=kind, sealed=sealed
    )


def sealed_box(content: Json) -> str:
    """What only the decide role opens."""
    return _SEALER.seal(json.dumps(content).encode())


def card(name: str) -> Json:
    """A person's card as it is read."""
    return {"kind": "card", "card_number": f"{name}-no"}


class Database:
    """The database that misses are looked up in: what it has, and what it was asked."""

    def __init__(self, *rows: Message, up: bool = True) -> None:
        self.rows = rows
        self.up = up
        self.asked: list[Lookup] = []

    async def fetch(self, lookups: Sequence[Lookup]) -> Mapping[Lookup, Sequence[Found]]:
        """The rows whose field holds the value."""
        self.asked += lookups
        if not self.up:
            raise TransientError("the database is down")
        return {lookup: [self._found(row) for row in self.rows if self._fits(row, lookup)] for lookup in lookups}

    @staticmethod
    def _fits(row: Message, lookup: Lookup) -> bool:
        entity = _BY_MODEL[type(row)]
        wanted = id_of(entity, row) if lookup.index == "id" else getattr(row, lookup.index, None)
        return entity.name == lookup.entity and wanted == lookup.value

    @staticmethod
    def _found(row: Message) -> Found:
        return Found(id_of(_BY_MODEL[type(row)], row), 0, row.to_json())


class House:
    """The machine of a site, asked by messages alone. Records given later replace those of the same id."""

    def __init__(
        self,
        *records: Message,
        at: str = NINE,
        lookups: Database | None = None,
        processor: SiteProcessor | None = None,
    ) -> None:
        self.harness = Harness(
            processor or SiteProcessor(MASTER), lookups=lookups, verifier=SecretVerifier(MASTER, _CHEAP), start=False
        )
        self.harness.clock.move(datetime.fromisoformat(at).timestamp() - self.harness.clock.now_ms() / 1000)
        self._sequence = 0
        self._read = 0
        self.learn(*_PLACES, *records)
        self.harness.start()

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.harness.close()

    def learn(self, *records: Message) -> None:
        """Publish reference records."""
        for record in records:
            entity = _BY_MODEL[type(record)]
            self.harness.publish(entity.topic, id_of(entity, record), record.to_json())

    def send(self, topic: str, type_: str, **fields: Any) -> None:
        """Publish a message of the controller, without letting the machine run."""
        self._sequence += 1
        message = {
            "type": type_,
            "site_id": "hq",
            "device_id": "c1",
            "boot": 1,
            "sequence": self._sequence,
            "occurred_at": NINE,
            **fields,
        }
        self.harness.publish(topic, "hq", json.dumps(message).encode())

    def request(self, *factors: Json, point: str = "lobby-in") -> None:
        """Publish a request, without letting the machine run."""
        self.send("access.requests", "access_requested", access_point_id=point, factors=factors)

    def decisions(self) -> list[Json]:
        """Let the machine run, and give what it decided since the last time."""
        self.harness.run_until_idle()
        values = self.harness.values("access.decisions")
        found = [json.loads(value or b"null") for value in values[self._read :]]
        self._read = len(values)
        return [one for one in found if one["type"] in {"access_granted", "access_denied"}]

    def ask(self, *factors: Json, point: str = "lobby-in") -> Json:
        """The decision on one request."""
        self.request(*factors, point=point)
        (decision,) = self.decisions()
        return decision

    def alerts(self) -> list[Json]:
        """What the alerts' machine raises of all that was decided so far."""
        with Harness(AlertsProcessor()) as alerts:
            for record in (*self.harness.outputs("access.decisions"), *self.harness.outputs("threats")):
                alerts.publish(record.topic, record.key, record.value, record.headers)
            alerts.run_until_idle()
            found = [json.loads(value or b"null") for value in alerts.values("alerts")]
        return [one for one in found if one["type"] == "alert_raised"]


def checks(decision: Json) -> dict[str, str]:
    """The outcome of each check of a decision, by its name."""
    return {name: outcome for name, outcome, _ in decision["checks"]}
