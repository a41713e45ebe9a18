"""What somebody can show at a reader: their cards, the PIN they know, their face and finger as a reader sees them."""

from __future__ import annotations

import math
import random
from collections.abc import Sequence

from schemas.people import Cardholder
from schemas.places import AccessPoint
from schemas.rules import Method
from schemas.vocabulary import FactorKind
from streams.simulator.factors import BiometricRead, CardShown, PinTyped, Shown
from streams.simulator.people import People, kinds_of

NOISE = 0.25
"""How far a reading is from what was enrolled, as a share of its length; 0.25 is a likeness of about 0.97."""


class Wallet:
    """Shows what a method asks for, well or badly; the chance is the scene's own."""

    def __init__(self, people: People, holder: Cardholder, chance: random.Random) -> None:
        self._people = people
        self._holder = holder
        self._chance = chance

    def shows(self, point: AccessPoint) -> list[Shown] | None:
        """What opens that reader, with as few factors as it takes; None where the person lacks something."""
        methods = sorted(self._people.policy_at(point).methods, key=lambda method: len(kinds_of(method)))
        return next((shown for method in methods if (shown := self._all(method)) is not None), None)

    def mistyped(self, shown: Sequence[Shown]) -> list[Shown]:
        """The same with a wrong PIN."""
        return [
            PinTyped(self._wrong(one.pin), one.cardholder_id) if isinstance(one, PinTyped) else one for one in shown
        ]

    def forced(self, shown: Sequence[Shown]) -> list[Shown]:
        """The same with the PIN that calls for help; the right one where the person has no such PIN."""
        own = next((one for one in self._people.own(self._holder.cardholder_id, FactorKind.PIN)), None)
        duress = self._people.pins[own.credential_id].duress_pin if own is not None else None
        if duress is None:
            return list(shown)
        return [PinTyped(duress, one.cardholder_id) if isinstance(one, PinTyped) else one for one in shown]

    def disguised(self, shown: Sequence[Shown]) -> list[Shown]:
        """The same with the face and finger of somebody who is on no file."""
        return [
            BiometricRead(one.kind, tuple(self._chance.gauss(0, 1) for _ in one.template), one.model, one.cardholder_id)
            if isinstance(one, BiometricRead)
            else one
            for one in shown
        ]

    def _all(self, method: Method) -> list[Shown] | None:
        kinds = kinds_of(method)
        shown = [self._one(kind, alone=FactorKind.CARD not in kinds, single=len(kinds) == 1) for kind in kinds]
        return [one for one in shown if one is not None] if None not in shown else None

    def _one(self, kind: FactorKind, *, alone: bool, single: bool) -> Shown | None:
        own = next((c for c in self._people.own(self._holder.cardholder_id, kind) if c.status == "active"), None)
        if own is None:
            return None
        claimed = self._holder.cardholder_id if alone else None
        if kind is FactorKind.CARD:
            return CardShown(own.card_number or "", own.facility_code)
        if kind is FactorKind.PIN:
            return PinTyped(self._people.pins[own.credential_id].pin, claimed)
        enrolled = self._people.templates.get(own.credential_id)
        if enrolled is None:
            return None
        template = self._chance.choice(enrolled.templates)
        length = math.sqrt(math.fsum(x * x for x in template) / len(template)) * NOISE
        seen = tuple(round(x + self._chance.gauss(0, length), 6) for x in template)
        return BiometricRead(kind, seen, enrolled.model, None if single else claimed)

    def _wrong(self, pin: str) -> str:
        own = self._people.own(self._holder.cardholder_id, FactorKind.PIN)
        duress = {self._people.pins[one.credential_id].duress_pin for one in own}
        while True:
            place = self._chance.randrange(len(pin))
            wrong = pin[:place] + str((int(pin[place]) + self._chance.randint(1, 9)) % 10) + pin[place + 1 :]
            if wrong not in duress:
                return wrong
