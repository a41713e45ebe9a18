"""Two sites with the same people, and beside their machine the one that adds up what fails at both."""

from __future__ import annotations

import json
from collections.abc import Mapping
from datetime import UTC, datetime
from typing import Any, Self

from schemas.base import Message
from schemas.people import Cardholder, Credential, Permission, Secret
from schemas.places import AccessPoint, Device, Door, Site, Zone
from schemas.reference import ENTITIES, id_of
from schemas.rules import AllRequired, Policy, SingleMethod
from schemas.sealing import Sealer
from schemas.vocabulary import Direction, FactorKind
from streams.agents.verification import SecretVerifier
from streams.core.everywhere import LockoutsProcessor
from streams.core.site import SiteProcessor
from streams.engine.harness import Harness
from streams.engine.options import MachineOptions
from streams.hashing import PinHashing, hasher
from tests.core.given import Database

MASTER = bytes(range(32))
RIGHT, WRONG = "830217", "000000"
PARTITIONS = 4
_CHEAP = hasher(memory_kib=8, time_cost=1)
_ENTITIES = {entity.model: entity for entity in ENTITIES}
_METHODS = (AllRequired(factors=(FactorKind.CARD, FactorKind.PIN)), SingleMethod(factor=FactorKind.CARD))
RIGHTS = ({"operator_id": "op-7", "rights": ["end_lockout"]},)


def _site(site_id: str, lockout: Mapping[str, Any]) -> list[Message]:
    found: list[Message] = [
        Site(site_id=site_id, name=site_id, time_zone="UTC", policy_id=f"{site_id}-rules",
             message_authentication="off", plain_secrets=True),
        Policy.model_validate({"policy_id": f"{site_id}-rules", "methods": _METHODS, "operators": RIGHTS,
                               "lockout": lockout}),
        Zone(zone_id=site_id, site_id=site_id, kind="site", name=site_id),
        Zone(zone_id=f"{site_id}-street", site_id=site_id, kind="outside", name="Street"),
        Device(device_id=f"{site_id}-c", site_id=site_id),
    ]  # fmt: skip
    for door in (f"{site_id}-d1", f"{site_id}-d2"):
        found += [
            Door(door_id=door, site_id=site_id, device_id=f"{site_id}-c", name=door, has_dps=False),
            AccessPoint(access_point_id=f"{door}-in", site_id=site_id, door_id=door, direction=Direction.ENTRY,
                        zone_from=f"{site_id}-street", zone_to=site_id),
        ]  # fmt: skip
    return found


def _person(who: str, sites: tuple[str, ...]) -> list[Message]:
    sealed = Sealer.of_master(MASTER).seal(json.dumps(PinHashing(MASTER, _CHEAP).enrol(RIGHT)).encode())
    return [
        Cardholder(cardholder_id=who, name=who),
        Credential(credential_id=f"{who}-card", kind=FactorKind.CARD, cardholder_id=who, card_number=f"{who}-no"),
        Credential(credential_id=f"{who}-pin", kind=FactorKind.PIN, cardholder_id=who),
        Secret(credential_id=f"{who}-pin", kind=FactorKind.PIN, sealed=sealed),
        *(Permission(permission_id=f"{who}-{one}", site_id=one, cardholder_id=who, zone_ids=(one,)) for one in sites),
    ]  # fmt: skip


class Campus:
    """The sites `hq` and `branch`, in partitions of their own; Ann and Bob may enter both."""

    def __init__(self, *, processor: LockoutsProcessor | None = None, **lockout: Any) -> None:
        self.sites = ("hq", "branch")
        options = MachineOptions(checkpoint_interval_s=3)
        self.harness = Harness(
            SiteProcessor(MASTER), partitions=PARTITIONS, verifier=SecretVerifier(MASTER, _CHEAP), options=options,
            lookups=Database(), start=False,
        )  # fmt: skip
        self.numbers = dict.fromkeys(self.sites, 0)
        people = [record for who in ("ann", "bob") for record in _person(who, self.sites)]
        for record in (*people, *(one for site in self.sites for one in _site(site, lockout))):
            entity = _ENTITIES[type(record)]
            self.harness.publish(entity.topic, id_of(entity, record), record.to_json())
        self.site_worker = self.harness.start()
        self.everywhere = processor or LockoutsProcessor(MASTER)
        self.other_worker = self.harness.start(processor=self.everywhere)

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.harness.close()

    def present(self, digits: str, site: str, door: int = 1, who: str = "ann") -> None:
        """Publish an attempt with card and PIN; nothing moves yet."""
        self._publish(site, door, {"kind": "card", "card_number": f"{who}-no"}, {"kind": "pin", "pin": digits})

    def swipe(self, number: str, site: str, door: int = 1) -> None:
        """Publish an attempt with a card alone."""
        self._publish(site, door, {"kind": "card", "card_number": number})

    def _publish(self, site: str, door: int, *factors: Mapping[str, Any]) -> None:
        self.numbers[site] += 1
        fields = {
            "type": "access_requested", "site_id": site, "device_id": f"{site}-c", "boot": 1,
            "sequence": self.numbers[site], "access_point_id": f"{site}-d{door}-in",
            "occurred_at": self.now().isoformat(),
            "factors": factors,
        }  # fmt: skip
        self.harness.publish("access.requests", site, json.dumps(fields).encode())

    def ask(self, digits: str, site: str, door: int = 1, who: str = "ann") -> str:
        """An attempt, decided: the reason of the denial, or `granted`."""
        self.present(digits, site, door, who)
        self.harness.run_until_idle()
        return self.answers(site)[-1]

    def answers(self, site: str) -> list[str]:
        """What was decided at a site, in order."""
        found = [one for one in self.messages("access.decisions") if one["site_id"] == site]
        return [one["reason"] or "granted" for one in found if one["type"].startswith("access_")
                and one["type"] in {"access_granted", "access_denied"}]  # fmt: skip

    def end(self, site: str, subject: str = "cardholder", id_: str = "ann") -> str:
        """An operator's request, carried out or refused: the type of the answer."""
        number = f"e-{len(self.harness.broker.records('operator.requests'))}"
        fields = {
            "type": "lockout_end_requested", "request_id": number, "site_id": site, "operator_id": "op-7",
            "occurred_at": self.now().isoformat(), "reason": "identified", "subject": subject, "subject_id": id_,
        }  # fmt: skip
        self.harness.publish("operator.requests", site, json.dumps(fields).encode())
        self.harness.run_until_idle()
        (answer,) = [one for one in self.messages("access.decisions") if one.get("request_id") == number]
        return str(answer["type"])

    def crash_site(self) -> None:
        """SIGKILL of the site's worker, and another in its place."""
        self.harness.crash(self.site_worker)
        self.site_worker = self.harness.start()

    def crash_everywhere(self) -> None:
        """The same of the one that adds up."""
        self.harness.crash(self.other_worker)
        self.other_worker = self.harness.start(processor=self.everywhere)

    def now(self) -> datetime:
        """The time of day."""
        return datetime.fromtimestamp(self.harness.clock.now_ms() / 1000, UTC)

    def messages(self, topic: str) -> list[dict[str, Any]]:
        """What a topic says, repeats dropped."""
        return [json.loads(value or b"null") for value in self.harness.values(topic)]

    def told(self, topic: str) -> list[tuple[str, str]]:
        """The kinds and keys of what was told of lockouts."""
        return [(one["type"], one["lockout_key"]) for one in self.messages(topic)]
