"""A world in which PINs are guessed: card with PIN at the front door and the lab, and what is locked because of it."""

from __future__ import annotations

from typing import Any

from schemas.people import Credential
from schemas.vocabulary import FactorKind
from tests.core.world import World, card, of_type, pin, request

CARD_AND_PIN = {"kind": "all_required", "factors": ["card", "pin"]}
CARD = {"kind": "single", "factor": "card"}
END = {"type": "lockout_end_requested", "reason": "identified at the desk"}
RIGHT, WRONG = "830217", "000000"


def guarded(*methods: dict[str, Any], **lockout: Any) -> World:
    """Ann with card 100 and a PIN, at doors that want both (or `methods`); `lockout` changes the policy's limits."""
    world = World()
    rights = [{"operator_id": "op-7", "rights": ["end_lockout"]}, {"operator_id": "op-8", "rights": ["unlock"]}]
    world.change("policy", "usual", methods=methods or (CARD_AND_PIN,), lockout=lockout, operators=rights)
    world.enrol("ann", FactorKind.PIN, pin=RIGHT)
    return world


def guess(world: World, digits: str = WRONG, *, at: str = "front-in", number: str = "100", **how: Any) -> list[Any]:
    """One attempt with card and PIN; everything that comes of it."""
    return world.send(request(card(number), pin(digits), at=at, **how), age_s=how.get("age_s", 0))

    return request(card(number), pin(digits), at=at, **how)


def told(found: list[Any]) -> list[tuple[str, str]]:
    """What was told of lockouts: the kind and the key."""
    return [(one.type, one.lockout_key) for one in found if one.type.startswith("lockout_") and hasattr(one, "scope")]


def decision(found: list[Any]) -> Any:
    """The decision among what came of an attempt."""
    (one,) = of_type(found, "access_granted") + of_type(found, "access_denied")
    return one


def cards(world: World, *numbers: str, who: str = "ann") -> None:
    """More cards of somebody."""
    for number in numbers:
        world.references.put(
            Credential(credential_id=f"card-{number}", kind=FactorKind.CARD, cardholder_id=who, card_number=number)
        )
