"""What a controller decided alone, judged by the rules: the difference, why it most likely is, and its alert (A5)."""

from __future__ import annotations

from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from schemas.access import AccessDenied, AccessGranted
from schemas.vocabulary import DifferenceCause, Reason
from streams.core.alerts import events_of
from streams.core.troubles import Trouble
from tests.core.emergency import Site
from tests.core.world import NOW, World, card

HOUR_MS = 3_600_000
ISSUED = str(round(NOW.timestamp() * 1000) - HOUR_MS)
LONG_AGO = str(round(NOW.timestamp() * 1000) - 30 * HOUR_MS)
SNAPSHOT: dict[str, Any] = {"mode": "snapshot", "snapshot_version": ISSUED}


def recorded(world: World, outcome: str, number: str = "100", **fields: Any) -> AccessGranted | AccessDenied:
    """What becomes of a record."""
    decision: AccessGranted | AccessDenied = world.ask(card(number), outcome=outcome, **{**SNAPSHOT, **fields})
    assert decision.recorded is not None
    assert decision.recorded.outcome == outcome
    return decision


def commands(world: World) -> list[Any]:
    """What controllers were told."""
    return [one for one in world.sent if one.topic == "device.commands"]


def cause(decision: AccessGranted | AccessDenied) -> str | None:
    assert decision.recorded is not None
    return decision.recorded.cause


@pytest.mark.branch("A5.16")
def test_a_record_that_the_rules_agree_with_is_no_difference_and_has_no_cause() -> None:
    decision = recorded(World(), "granted")
    assert (decision.type, decision.difference, cause(decision)) == ("access_granted", False, None)


@pytest.mark.branch("A5.16")
def test_somebody_let_in_by_rights_that_were_revoked_since_is_flagged_alerted_and_nothing_is_actuated() -> None:
    world = World()
    world.change("permission", "of-ann", status="revoked")
    decision = recorded(world, "granted")
    assert (decision.type, decision.difference, cause(decision)) == ("access_denied", True, "rights_changed")
    assert decision.recorded is not None
    assert decision.recorded.snapshot_version == ISSUED
    assert commands(world) == []
    (trouble,) = events_of(decision)
    assert isinstance(trouble, Trouble)
    assert trouble.kind == "offline_difference"
    assert "against the rules: no_access_rights (rights_changed)" in trouble.summary


@pytest.mark.parametrize(
    ("fields", "expected"),
    [
        ({"snapshot_version": None}, "no_snapshot"),
        ({"snapshot_version": "campus"}, "no_snapshot"),
        ({"snapshot_version": "99999999999999"}, "no_snapshot"),
        ({"snapshot_version": LONG_AGO}, "stale_snapshot"),
        ({"mode": "facility_code", "snapshot_version": None}, "facility_code"),
        ({}, "rights_changed"),
    ],
)
def test_why_somebody_was_let_in_whom_the_rules_keep_out(fields: dict[str, Any], expected: str) -> None:
    world = World()
    world.change("permission", "of-ann", status="revoked")
    assert cause(recorded(world, "granted", **fields)) == expected


@pytest.mark.parametrize(
    ("degraded_mode", "fields", "expected"),
    [
        ("snapshot", {"mode": "deny", "snapshot_version": None}, "no_snapshot"),
        ("snapshot", {"mode": "deny"}, "stale_snapshot"),
        ("snapshot", {"mode": "deny", "reason": Reason.STALE_REQUEST}, "denies_alone"),
        ("deny", {"mode": "deny", "snapshot_version": None}, "denies_alone"),
        ("snapshot", {"reason": Reason.AUTHENTICATION_UNAVAILABLE}, "factor_unverified"),
        ("snapshot", {"reason": Reason.NO_ACCESS_RIGHTS}, "rights_changed"),
        ("snapshot", {"reason": Reason.LOCKDOWN}, "door_shut"),
        ("facility_code", {"mode": "facility_code", "snapshot_version": None}, "facility_code"),
    ],
)
def test_why_somebody_was_kept_out_whom_the_rules_let_in(
    degraded_mode: str, fields: dict[str, Any], expected: str
) -> None:
    world = World()
    world.change("door", "front", degraded_mode=degraded_mode)
    decision = recorded(world, "denied", **fields)
    assert (decision.type, cause(decision)) == ("access_granted", expected)
    assert list(events_of(decision)) == []


def test_what_only_the_site_knows_is_named_as_that() -> None:
    world = World()
    world.change("permission", "of-ann", kind="single_use")
    assert cause(recorded(world, "denied", reason=Reason.NO_ACCESS_RIGHTS)) == "state_unknown"
    world.ask(at="front-in")
    assert cause(recorded(world, "granted")) == "state_unknown"


def test_an_outcome_of_somebody_unknown_is_a_matter_of_rights() -> None:
    assert cause(recorded(World(), "granted", "999")) == "rights_changed"


@pytest.mark.branch("A5.16")
@given(
    outcome=st.sampled_from(["granted", "denied"]),
    number=st.sampled_from(["100", "999"]),
    mode=st.sampled_from(["deny", "facility_code", "snapshot"]),
    version=st.sampled_from([None, ISSUED, LONG_AGO, "x", "٣"]),
    reason=st.sampled_from([None, *Reason]),
    degraded_mode=st.sampled_from(["deny", "facility_code", "snapshot"]),
)
def test_whatever_was_recorded_a_difference_has_a_cause_and_nothing_else_has_and_no_door_is_told_anything(
    outcome: str, number: str, mode: str, version: str | None, reason: Reason | None, degraded_mode: str
) -> None:
    world = World()
    world.change("door", "front", degraded_mode=degraded_mode)
    decision = recorded(world, outcome, number, mode=mode, snapshot_version=version, reason=reason)
    assert decision.difference is ((decision.type == "access_granted") is not (outcome == "granted"))
    assert (cause(decision) in set(DifferenceCause)) is decision.difference
    assert commands(world) == []
    assert not decision.actuated


def test_somebody_let_in_alone_during_a_drill_is_told_of_as_one() -> None:
    site = Site()
    site.lock_down("lab", "low", drill=True, drill_commands=True)
    decision = site.ask(at="lab-in", outcome="granted", **SNAPSHOT)
    assert isinstance(decision, AccessDenied)
    assert decision.drill
    (trouble,) = events_of(decision)
    assert isinstance(trouble, Trouble)
    assert trouble.summary.startswith("Drill: c1 alone let somebody in at lab-in")
