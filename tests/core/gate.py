"""One gate for tests: a site, a door in and out, a few people with cards, PINs and templates, and a reader to use."""

from __future__ import annotations

import json
from collections.abc import Iterable, Mapping, Sequence
from datetime import UTC, datetime
from typing import Any

from schemas.base import Message
from schemas.people import Cardholder, Credential, Permission, Secret
from schemas.places import AccessPoint, Device, Door, Site, Thresholds, Zone
from schemas.reference import ENTITIES, id_of
from schemas.rules import AllRequired, Fusion, Policy, Schedule, SingleMethod, Window
from schemas.sealing import Sealer
from schemas.vocabulary import Direction, FactorKind
from streams.agents.verification import SecretVerifier
from streams.core.processor import Found, Lookup
from streams.core.site import SiteProcessor
from streams.engine.harness import Harness
from streams.hashing import PinHashing, hasher

MASTER = bytes(range(32))
WEEK = ("mon", "tue", "wed", "thu", "fri", "sat", "sun")
CARD, PIN, FACE, FINGERPRINT = FactorKind.CARD, FactorKind.PIN, FactorKind.FACE, FactorKind.FINGERPRINT
ANN_FACE, BOB_FACE = (1.0, 0.0, 0.0, 0.0), (0.0, 1.0, 0.0, 0.0)
ANN_FINGER = (0.0, 0.0, 1.0, 0.0)
_CHEAP = hasher(memory_kib=8, time_cost=1)
_ENTITY = {entity.model: entity for entity in ENTITIES}

SINGLES = tuple(SingleMethod(factor=kind) for kind in (CARD, PIN, FACE, FINGERPRINT))
CARD_AND_PIN = AllRequired(factors=(CARD, PIN))
FACE_AND_FINGER = Fusion(weights={FACE: 0.6, FINGERPRINT: 0.4}, threshold=0.75)


def card(number: str) -> dict[str, Any]:
    return {"kind": "card", "card_number": number}


def pin(digits: str, of: str | None = "ann") -> dict[str, Any]:
    return {"kind": "pin", "pin": digits, "cardholder_id": of}


def face(template: Sequence[float], of: str | None = None) -> dict[str, Any]:
    return {"kind": "face", "template": list(template), "model": "arc", "cardholder_id": of}


def finger(template: Sequence[float], of: str | None = None) -> dict[str, Any]:
    return {"kind": "fingerprint", "template": list(template), "model": "arc", "cardholder_id": of}


def people() -> list[Message]:
    """Ann has everything and may enter; Bob has a card and a face and may enter; Cid has a card and no permission."""
    hashing, sealer = PinHashing(MASTER, _CHEAP), Sealer.of_master(MASTER)

    def secret(id_: str, kind: FactorKind, content: Mapping[str, Any]) -> Secret:
        return Secret(credential_id=id_, kind=kind, sealed=sealer.seal(json.dumps(content).encode()))

    return [
        *(Cardholder(cardholder_id=who, name=who.title()) for who in ("ann", "bob", "cid")),
        *(Credential(credential_id=f"{who}-card", kind=CARD, cardholder_id=who, card_number=who)
          for who in ("ann", "bob", "cid")),
        Credential(credential_id="ann-pin", kind=PIN, cardholder_id="ann"),
        Credential(credential_id="ann-face", kind=FACE, cardholder_id="ann"),
        Credential(credential_id="ann-finger", kind=FINGERPRINT, cardholder_id="ann"),
        Credential(credential_id="bob-face", kind=FACE, cardholder_id="bob"),
        secret("ann-pin", PIN, hashing.enrol("4711", "9922")),
        secret("ann-face", FACE, {"templates": [ANN_FACE], "model": "arc"}),
        secret("ann-finger", FINGERPRINT, {"templates": [ANN_FINGER], "model": "arc"}),
        secret("bob-face", FACE, {"templates": [BOB_FACE], "model": "arc"}),
        *(Permission(permission_id=f"{who}-perm", site_id="hq", cardholder_id=who, zone_ids=("in",),
                     schedule_id="always") for who in ("ann", "bob")),
    ]  # fmt: skip


def places(methods: Sequence[Any] = SINGLES) -> list[Message]:
    """The site, its zones `out` and `in`, the door `d` with readers both ways, and its rules."""
    always = Window(days=WEEK, start="00:00", end="24:00")
    return [
        Site(site_id="hq", name="hq", time_zone="Europe/Berlin", policy_id="p", message_authentication="off",
             plain_secrets=True),
        Policy(policy_id="p", methods=tuple(methods), thresholds=Thresholds(face=0.8, fingerprint=0.8)),
        Schedule(schedule_id="always", name="Always", windows=(always,)),
        Zone(zone_id="hq", site_id="hq", kind="site", name="hq"),
        Zone(zone_id="out", site_id="hq", parent_id="hq", kind="outside", name="out"),
        Zone(zone_id="in", site_id="hq", parent_id="hq", kind="building", name="in"),
        Device(device_id="c", site_id="hq"),
        Door(door_id="d", site_id="hq", device_id="c", name="d", has_dps=False),
        AccessPoint(access_point_id="d-in", site_id="hq", door_id="d", zone_from="out", zone_to="in",
                    direction=Direction.ENTRY),
        AccessPoint(access_point_id="d-out", site_id="hq", door_id="d", zone_from="in", zone_to="out",
                    direction=Direction.EGRESS),
    ]  # fmt: skip


class Gate:
    """The gate at work. `now` is when the day begins; `changes` replace or add reference records."""

    def __init__(
        self,
        *changes: Message,
        methods: Sequence[Any] = SINGLES,
        without: Iterable[str] = (),
        now: datetime | None = None,
        lookups: Any = None,
    ) -> None:
        self.processor = SiteProcessor(MASTER)
        verifier = SecretVerifier(MASTER, _CHEAP)
        self.harness = Harness(self.processor, start=False, verifier=verifier, lookups=lookups)
        if now is not None:
            self.harness.clock.move(now.timestamp() - self.harness.clock.now_ms() / 1000)
        self.sequence = 0
        absent = set(without)
        for message in (*places(methods), *people(), *changes):
            if id_of(_ENTITY[type(message)], message) not in absent:
                self.publish(message)
        self.harness.start()

    def publish(self, message: Message) -> None:
        entity = _ENTITY[type(message)]
        self.harness.publish(entity.topic, id_of(entity, message), message.to_json())

    def ask(self, *factors: Mapping[str, Any], at: str = "d-in") -> dict[str, Any]:
        """Present factors at a reader; gives the decision."""
        self.sequence += 1
        fields = {
            "type": "access_requested", "site_id": "hq", "device_id": "c", "boot": 1, "sequence": self.sequence,
            "access_point_id": at, "occurred_at": datetime.now(UTC).isoformat(), "factors": list(factors),
        }  # fmt: skip
        self.harness.publish("access.requests", "hq", json.dumps(fields).encode())
        self.harness.run_until_idle()
        (decision,) = [one for one in self.decisions() if one["sequence"] == self.sequence]
        return decision

    def decisions(self) -> list[dict[str, Any]]:
        found = [json.loads(value or b"null") for value in self.harness.values("access.decisions")]
        return [one for one in found if one["type"] in {"access_granted", "access_denied"}]

    def close(self) -> None:
        self.harness.close()


def checks(decision: Mapping[str, Any]) -> dict[str, str]:
    """Each check's outcome by its name."""
    return {name: outcome for name, outcome, _inputs in decision["checks"]}


class Rows:
    """PostgreSQL's part in a look-up: rows by entity and value; counts what it is asked."""

    def __init__(self, rows: Mapping[tuple[str, str], Sequence[Message]]) -> None:
        self.rows = rows
        self.asked: list[Lookup] = []

    async def fetch(self, lookups: Sequence[Lookup]) -> Mapping[Lookup, Sequence[Found]]:
        self.asked.extend(lookups)
        return {one: self._found(one) for one in lookups}

    def _found(self, lookup: Lookup) -> list[Found]:
        rows = self.rows.get((lookup.entity, lookup.value), ())
        return [Found(id_of(_ENTITY[type(row)], row), 10**6, row.to_json()) for row in rows]
