"""May this person pass here, now (A2)? The ordered checks up to the permission for this door."""

from __future__ import annotations

from typing import Any

import pytest

from schemas.people import Permission
from schemas.vocabulary import Posture, Reason
from streams.core.entities import Risk, ZonePosture
from streams.core.evolution import PostureSet, RiskSet
from streams.core.failures import Kept
from streams.core.lockout_state import Lockout, lockout_key
from tests.core.world import World, card, event, of_type, outcomes_of

PAST, FUTURE = "2026-01-01T00:00:00Z", "2027-01-01T00:00:00Z"
ORDER = [
    "in-service", "posture", "threat-level", "credential", "lockout", "permission", "validity", "permission-type",
    "schedule", "device-permission", "passback", "occupancy", "two-person", "escort", "interlock", "first-person-in",
    "risk",
]  # fmt: skip


@pytest.mark.branch("A2.07", "A2.11", "A2.16")
def test_whoever_passes_every_check_is_granted_and_each_check_is_named_in_its_order() -> None:
    decision = World().ask()
    assert decision.type == "access_granted"
    assert [name for name, _, _ in decision.checks] == ORDER
    assert set(outcomes_of(decision).values()) == {"passed", "skipped"}
    assert (decision.reason, decision.failed_checks, decision.permission_id) == (None, (), "of-ann")


@pytest.mark.branch("A2.03")
def test_a_permission_that_is_in_the_view_is_not_asked_of_the_database() -> None:
    world = World()
    world.database = None
    assert world.ask().type == "access_granted"


@pytest.mark.branch("A2.04")
def test_a_permission_that_the_view_lacks_is_taken_from_the_database() -> None:
    world = World()
    row: Any = world.references.get("permission", "of-ann")
    world.remove("permission", "of-ann")
    world.database = {"permission:ann": [row]}
    assert world.ask().permission_id == "of-ann"


@pytest.mark.branch("A2.06")
def test_without_a_permission_access_is_denied_and_what_depends_on_one_is_skipped() -> None:
    world = World()
    world.remove("permission", "of-ann")
    decision = world.ask()
    assert decision.failed_checks == (Reason.NO_ACCESS_RIGHTS,)
    assert outcomes_of(decision)["device-permission"] == "skipped"


def test_who_presents_nothing_is_let_out_and_not_in() -> None:
    world = World()
    entering, leaving = world.ask(factors=[]), world.ask(factors=[], at="front-out")
    assert (entering.type, entering.reason) == ("access_denied", Reason.AUTHENTICATION_FACTOR_TIMEOUT)
    assert (leaving.type, leaving.actuated) == ("access_granted", True)


def test_nobody_answering_means_denied() -> None:
    world = World()
    world.remove("permission", "of-ann")
    world.database = None
    assert world.ask().reason is Reason.AUTHENTICATION_UNAVAILABLE


@pytest.mark.branch("A2.06", "A3.07")
@pytest.mark.parametrize(
    ("changes", "reason"),
    [
        ({"status": "revoked"}, "no_access_rights"),
        ({"valid_until": PAST}, "credential_expired"),
        ({"valid_from": FUTURE}, "credential_not_yet_active"),
        ({"site_id": "elsewhere"}, "no_access_rights"),
    ],
)
def test_a_permission_that_does_not_hold_denies_and_sends_no_command(changes: dict[str, Any], reason: str) -> None:
    world = World()
    world.change("permission", "of-ann", **changes)
    assert world.ask().reason == reason
    assert b"access_door" not in b"".join(output.value or b"" for output in world.sent)


def test_validity_includes_its_start_and_excludes_its_end() -> None:
    world = World()
    world.change("permission", "of-ann", valid_from="2026-03-02T09:00:00Z", valid_until="2026-03-02T09:00:01Z")
    assert world.ask().type == "access_granted"
    world.wait(1)
    assert world.ask().reason is Reason.CREDENTIAL_EXPIRED


@pytest.mark.branch("A2.10")
def test_a_permission_for_another_door_does_not_include_this_one() -> None:
    world = World()
    world.change("permission", "of-ann", zone_ids=(), door_ids=("lab",))
    assert world.ask().reason is Reason.POINT_NO_ACCESS_RIGHTS


@pytest.mark.branch("A2.11")
@pytest.mark.parametrize(
    "targets", [{"door_ids": ["lab"]}, {"access_point_ids": ["lab-in"]}, {"zone_ids": ["lab"]}, {"zone_ids": ["hall"]}]
)
def test_a_door_is_included_by_itself_its_reader_its_zone_or_a_zone_around(targets: dict[str, list[str]]) -> None:
    world = World()
    world.change("permission", "of-ann", **{"zone_ids": [], **targets})
    decision = world.ask(at="lab-in")
    assert (decision.type, outcomes_of(decision)["device-permission"]) == ("access_granted", "passed")


@pytest.mark.parametrize(
    ("kind", "clearance", "granted"), [("permanent", 5, False), ("special", 2, False), ("special", 3, True)]
)
def test_a_special_zone_needs_a_special_permission_and_clearance(kind: str, clearance: int, *, granted: bool) -> None:
    world = World()
    world.change("zone", "lab", special=True, clearance=3)
    world.change("cardholder", "ann", clearance=clearance)
    world.change("permission", "of-ann", kind=kind)
    assert world.ask(at="lab-in").reason is (None if granted else Reason.ZONE_NO_ACCESS_RIGHTS)


def test_one_permission_that_passes_is_enough_beside_others_that_do_not() -> None:
    world = World()
    world.change("permission", "of-ann", status="revoked")
    more = Permission(permission_id="more", site_id="hq", cardholder_id="ann", door_ids=("front",))
    world.references.put(more)
    assert world.ask().permission_id == "more"


@pytest.mark.branch("A2.17")
def test_every_failed_check_is_listed_and_the_first_one_in_order_is_the_reason() -> None:
    world = World()
    world.change("access-point", "front-in", enabled=False)
    world.change("credential", "card-100", status="lost")
    world.change("permission", "of-ann", valid_until=PAST, zone_ids=(), schedule_id="nowhere on file")
    world.outcome(PostureSet("hq", ZonePosture(Posture.LOCKDOWN)))
    world.outcome(Kept(lockout_key("hq", "cardholder", "ann"), Lockout(None)))
    decision = world.ask()
    assert decision.failed_checks == (
        "out_of_service", "lockdown", "credential_lost", "credential_lockout", "credential_expired",
        "out_of_time_range", "point_no_access_rights",
    )  # fmt: skip
    assert decision.reason == decision.failed_checks[0]


@pytest.mark.branch("A2.17")
@pytest.mark.parametrize(
    ("entity", "id_", "reason"),
    [
        ("zone", "hall", Reason.ZONE_NO_ACCESS_RIGHTS),
        ("cardholder", "ann", Reason.CREDENTIAL_UNASSIGNED),
        ("access-point", "front-in", Reason.UNKNOWN_ACCESS_POINT),
        ("door", "front", Reason.UNKNOWN_ACCESS_POINT),
        ("device", "c1", Reason.UNKNOWN_ACCESS_POINT),
        ("policy", "usual", Reason.UNKNOWN_ACCESS_POINT),
        ("site", "hq", Reason.UNKNOWN_ACCESS_POINT),
    ],
)
def test_what_is_not_on_file_denies(entity: str, id_: str, reason: Reason) -> None:
    world = World()
    world.remove(entity, id_)
    assert world.ask().reason is reason


@pytest.mark.parametrize("entity", ["device", "access-point"])
def test_what_is_out_of_service_lets_nobody_in(entity: str) -> None:
    world = World()
    if entity == "device":
        world.change("device", "c1", status="inactive")
    else:
        world.change("access-point", "front-in", enabled=False)
    assert world.ask().reason is Reason.OUT_OF_SERVICE


# -- posture ----------------------------------------------------------------------------------------------------------


def test_a_lockdown_of_a_zone_around_keeps_everybody_out_but_those_cleared_who_get_an_override() -> None:
    world = World()
    world.outcome(PostureSet("hq", ZonePosture(Posture.LOCKDOWN, clearance=4)))
    assert world.ask(at="lab-in").reason is Reason.LOCKDOWN
    world.change("cardholder", "ann", clearance=4)
    messages = world.ask(at="lab-in"), world.sent[-1]
    assert messages[0].type == "access_granted"
    assert b'"override":true' in (messages[1].value or b"")
    world.outcome(PostureSet("hq", None))
    assert world.ask(at="lab-in").type == "access_granted"
    assert b'"override":false' in (world.sent[-1].value or b"")


def test_who_may_pass_one_lockdown_may_not_pass_a_stricter_one_around_it() -> None:
    world = World()
    world.change("cardholder", "ann", clearance=4)
    world.outcome(PostureSet("lab", ZonePosture(Posture.LOCKDOWN, clearance=1)))
    world.outcome(PostureSet("hq", ZonePosture(Posture.LOCKDOWN, clearance=5)))
    assert world.ask(at="lab-in").reason is Reason.LOCKDOWN
    world.outcome(PostureSet("hq", ZonePosture(Posture.EVACUATION, clearance=1)))
    world.outcome(PostureSet("lab", ZonePosture(Posture.LOCKDOWN)))
    assert world.ask(at="lab-in").reason is Reason.LOCKDOWN


def test_clearance_needs_somebody_who_is_who_they_say() -> None:
    world = World()
    world.change("cardholder", "ann", clearance=7)
    world.change("credential", "card-100", status="stolen")
    world.outcome(PostureSet("hall", ZonePosture(Posture.LOCKDOWN, clearance=1)))
    assert world.ask().failed_checks == (Reason.LOCKDOWN, Reason.CREDENTIAL_STOLEN)


# -- lockout ----------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(("subject", "id_"), [("credential", "card-100"), ("cardholder", "ann")])
def test_a_lock_holds_until_it_ends(subject: str, id_: str) -> None:
    world = World()
    world.outcome(Kept(lockout_key("hq", subject, id_), Lockout(world.now_ms + 5000)))
    assert world.ask().reason is Reason.CREDENTIAL_LOCKOUT
    world.wait(5)
    assert world.ask().type == "access_granted"
    world.outcome(Kept(lockout_key("hq", subject, id_), Lockout(None)))
    assert world.ask().reason is Reason.CREDENTIAL_LOCKOUT
    world.outcome(Kept(lockout_key("hq", subject, id_), None))
    assert world.ask().type == "access_granted"


def test_a_locked_access_point_still_opens_for_several_factors() -> None:
    world = World()
    world.outcome(Kept(lockout_key("hq", "access-point", "front-in"), Lockout(None)))
    assert world.ask().reason is Reason.ACCESS_POINT_LOCKOUT
    assert world.ask(at="lab-in").type == "access_granted"
    world.change("policy", "usual", methods=[{"kind": "all_required", "factors": ["card", "face"]}])
    face = {"kind": "face", "score": 0.9}
    assert world.ask(card(), face).type == "access_granted"
    assert world.ask(card(), {**face, "score": 0.1}).failed_checks == ("verification_failed", "access_point_lockout")


@pytest.mark.parametrize("who", ["responder", "emergency credential"])
def test_locks_hold_up_neither_responders_nor_emergency_credentials(who: str) -> None:
    world = World()
    if who == "responder":
        world.change("cardholder", "ann", exempt=True)
    else:
        world.change("credential", "card-100", emergency=True)
    world.outcome(Kept(lockout_key("hq", "credential", "card-100"), Lockout(None)))
    decision = world.ask()
    assert (decision.type, decision.soft_breaches) == ("access_granted", (Reason.CREDENTIAL_LOCKOUT,))


# -- risk -------------------------------------------------------------------------------------------------------------


@pytest.mark.branch("A2.18")
def test_a_risk_over_its_limit_denies() -> None:
    world = World()
    world.outcome(RiskSet("hq", "ann", Risk(80.0, 80.0)))
    assert world.ask().type == "access_granted"
    world.outcome(RiskSet("hq", "ann", Risk(80.5, 80.0)))
    assert world.ask().reason is Reason.RISK


# -- single use -------------------------------------------------------------------------------------------------------


def test_a_single_use_permission_is_used_up_by_the_first_passage_and_kept_meanwhile() -> None:
    world = World()
    world.change("permission", "of-ann", kind="single_use")
    assert world.ask().type == "access_granted"
    assert world.ask().reason is Reason.MAX_USES
    assert of_type(world.wait(11), "access_not_taken")
    assert world.ask().type == "access_granted"
    assert of_type(world.send(event("door_opened")), "access_taken")
    world.wait(60)
    assert world.ask().reason is Reason.MAX_USES


def test_leaving_neither_needs_nor_uses_up_a_single_use_permission() -> None:
    world = World()
    world.change("permission", "of-ann", kind="single_use", max_uses=2)
    world.ask()
    world.send(event("door_opened"))
    leaving = world.ask(at="front-out")
    assert (leaving.type, leaving.soft_breaches) == ("access_granted", ())
    world.send(event("door_opened"))
    assert world.ask().type == "access_granted"


def test_a_door_without_a_switch_uses_it_up_with_the_grant() -> None:
    world = World()
    world.change("door", "front", has_dps=False)
    world.change("permission", "of-ann", kind="single_use")
    assert world.ask().type == "access_granted"
    assert world.ask().reason is Reason.MAX_USES
