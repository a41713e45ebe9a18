"""The sample campus under rules that are drawn anew for each seed, so that every rule meets every other one."""

from __future__ import annotations

import random
from typing import Any

from schemas.places import Accompaniment, DelayedEgress, FirstPersonIn, Interlock, Occupancy, Passback, Zone
from schemas.vocabulary import Enforcement
from streams.loading.campus import Campus

_LIMITS = {"site": (10, 30, 60), "building": (10, 30, 60)}
_FEW = (0, 1, 2, 3, 5, 10, 30)


def wild(base: Campus, seed: int) -> Campus:
    """The campus with other rules of zones, doors, people and permissions."""
    chance = random.Random(seed)
    records: dict[str, dict[str, Any]] = {entity: dict(found) for entity, found in base.records.items()}
    changes = {"zone": _zone, "door": _door, "cardholder": _holder, "permission": _permission}
    for entity, change in changes.items():
        for id_, record in records[entity].items():
            records[entity][id_] = record.model_copy(update=change(chance, record))
    return Campus(records, base.pins, base.templates)


def _enforcement(chance: random.Random) -> Enforcement:
    return chance.choices([Enforcement.OFF, Enforcement.SOFT, Enforcement.HARD], [2, 1, 3])[0]


def _zone(chance: random.Random, zone: Zone) -> dict[str, Any]:
    rules: dict[str, Any] = {}
    if zone.kind == "outside":
        return rules
    if chance.random() < 0.5:
        timeout_s = chance.choice([0, 20, 60, 43_200])
        rules["passback"] = Passback(enforcement=_enforcement(chance), presence_timeout_s=timeout_s)
    if chance.random() < 0.5:
        limit = chance.choice(_LIMITS.get(zone.kind, _FEW))
        rules["occupancy"] = Occupancy(enforcement=_enforcement(chance), limit=limit)
    if chance.random() < 0.3:
        rules["escort"] = Accompaniment(enforcement=_enforcement(chance), window_s=chance.choice([5, 30]))
    if zone.kind == "area" and chance.random() < 0.15:
        rules["two_person"] = Accompaniment(enforcement=_enforcement(chance), window_s=chance.choice([5, 30]))
    if zone.kind == "area" and chance.random() < 0.15:
        rules["first_person_in"] = FirstPersonIn(enforcement=_enforcement(chance))
    return rules


def _door(chance: random.Random, _door: Any) -> dict[str, Any]:
    rules: dict[str, Any] = {"has_dps": chance.random() < 0.8, "grant_window_s": chance.choice([2, 5, 10])}
    rules["degraded_mode"] = chance.choice(["deny", "facility_code", "snapshot", "snapshot"])
    rules["facility_codes"] = ("77", "21", "101", "1")
    if chance.random() < 0.25:
        rules |= {"egress": "controlled", "delayed_egress": DelayedEgress()}
    if chance.random() < 0.2:
        rules["interlock"] = Interlock(group=f"g{chance.randrange(4)}", enforcement=_enforcement(chance))
    return rules


def _holder(chance: random.Random, _holder: Any) -> dict[str, Any]:
    shares = {"exempt": 0.05, "needs_escort": 0.1, "escort": 0.2, "first_person": 0.1}
    return {field: True for field, share in shares.items() if chance.random() < share}


def _permission(chance: random.Random, _permission: Any) -> dict[str, Any]:
    return {"kind": "single_use", "max_uses": chance.choice([1, 2, 3])} if chance.random() < 0.3 else {}
