"""A decision in sentences."""

from __future__ import annotations

import json
from typing import Any

from streams.core.explanation import TITLES, explain
from tests.core.world import World, card


def told(world: World, *factors: Any, **fields: Any) -> list[str]:
    decision = world.ask(*factors, **fields)
    return explain(json.loads(decision.to_json()))


def test_a_grant_names_who_where_and_every_check() -> None:
    lines = told(World())
    assert lines[0] == "GRANTED  ann at front-in (entry, street -> hall)"
    for title in list(TITLES.values())[1:]:
        assert any(title in line for line in lines)
    assert "factor card: passed" in lines


def test_a_denial_says_why_and_marks_what_failed_with_its_inputs() -> None:
    world = World()
    world.change("permission", "of-ann", zone_ids=("lab",), valid_until="2026-01-01T00:00:00Z")
    lines = told(world)
    assert lines[1].startswith("because credential_expired: ")
    assert [line.split()[1] for line in lines if line.startswith("FAIL")] == ["validity", "permission"]
    assert any(line.endswith("door=front") for line in lines)


def test_a_refusal_is_explained_by_the_message_itself() -> None:
    world = World()
    world.remove("device", "c1")
    lines = told(world)
    assert lines[0].startswith("DENIED  somebody unknown at front-in")
    assert any("the message itself" in line and "not on file" in line for line in lines)


def test_a_score_and_its_threshold_are_told() -> None:
    world = World()
    world.change("policy", "usual", methods=[{"kind": "single", "factor": "face"}])
    lines = told(world, {"kind": "face", "score": 0.9, "cardholder_id": "ann"})
    assert "factor face: passed with 0.900 against a threshold of 0.75" in lines


def test_what_a_controller_had_decided_alone_is_compared() -> None:
    world = World()
    assert told(world, outcome="granted")[-1] == "the controller had granted it alone: the same outcome as now"
    *_, compared, why = told(world, card("999"), outcome="granted")
    assert compared.endswith("another outcome than now")
    assert why == "its mode was snapshot, snapshot none; likely because: no_snapshot"
