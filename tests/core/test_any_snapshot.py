"""Whatever is on file, a controller lets in by its snapshot whom the rules let in, single uses excepted (A5)."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from schemas.base import JournalPosition
from schemas.ids import derive
from schemas.permission_snapshots import PermissionSnapshot, card_digest, cards_key
from schemas.rules import Holiday, HolidayCalendar, Schedule
from streams.core.snapshots import contents_for
from streams.simulator.factors import CardShown
from streams.simulator.vault import Vault
from tests.conftest import examples
from tests.core.world import NOW, World, card

SECRET = bytes(range(32))
DAYS = ["mon", "tue", "wed", "thu", "fri", "sat", "sun"]
clocks = st.sampled_from(["00:00", "02:30", "09:00", "10:00", "10:01", "18:00", "23:59"])
moments = st.one_of(st.none(), st.integers(-72, 72).map(lambda hours: NOW + timedelta(hours=hours)))
windows = st.fixed_dictionaries(
    {"days": st.lists(st.sampled_from(DAYS), min_size=1, max_size=7, unique=True), "start": clocks, "end": clocks}
)
holiday_windows = st.fixed_dictionaries({"kind": st.sampled_from(["holiday", "half"]), "start": clocks, "end": clocks})
schedules = st.fixed_dictionaries(
    {
        "windows": st.lists(windows, max_size=2),
        "holidays": st.lists(holiday_windows, max_size=1),
        "observes_holidays": st.booleans(),
    }
)
permissions = st.fixed_dictionaries(
    {},
    optional={
        "kind": st.sampled_from(["permanent", "temporary", "single_use", "special"]),
        "status": st.sampled_from(["active", "active", "revoked"]),
        "zone_ids": st.sampled_from([(), ("hq",), ("hall",), ("lab",)]),
        "door_ids": st.sampled_from([(), ("front",), ("lab",)]),
        "schedule_id": st.sampled_from([None, "some", "unknown"]),
        "valid_from": moments,
        "valid_until": moments,
    },
)
holders = st.fixed_dictionaries(
    {},
    optional={
        "status": st.sampled_from(["active", "inactive"]),
        "clearance": st.integers(0, 2),
        "valid_until": moments,
    },
)
credentials = st.fixed_dictionaries(
    {}, optional={"status": st.sampled_from(["active", "lost"]), "facility_code": st.sampled_from([None, "21"])}
)
zones = st.fixed_dictionaries({}, optional={"special": st.booleans(), "clearance": st.integers(0, 2)})


def vault_of(world: World) -> Vault:
    """The snapshot of controller `c1` as it is published and taken in."""
    references, key = world.references, cards_key(SECRET)
    site, device = references.get("site", "hq"), references.get("device", "c1")
    assert site is not None
    assert device is not None
    contents = contents_for(references, site, device, lambda number: card_digest(key, number), world.now_ms)
    vault, parts = Vault(), contents.parts()
    for number, part in enumerate(parts, start=1):
        snapshot = PermissionSnapshot(
            snapshot_id=derive("s", number),
            snapshot_key=f"c1/{number}",
            site_id="hq",
            device_id="c1",
            version=1,
            part=number,
            parts=len(parts),
            issued_at=NOW,
            valid_until=NOW + timedelta(days=30),
            time_zone=site.time_zone,
            journal=JournalPosition(partition=0, number=1),
            **part._asdict(),
        )
        vault.take(PermissionSnapshot.model_validate_json(snapshot.to_json()))
    return vault


@pytest.mark.branch("A5.15", "A5.16")
@pytest.mark.chaos
@pytest.mark.timeout(3600)
@settings(max_examples=examples(80))
@given(
    permission=permissions,
    schedule=schedules,
    holder=holders,
    credential=credentials,
    zone=zones,
    holidays=st.lists(st.tuples(st.integers(-1, 1), st.sampled_from(["holiday", "half"])), max_size=2),
    hours=st.integers(-30, 30),
)
def test_a_snapshot_lets_in_whom_the_rules_let_in(
    permission: dict[str, Any],
    schedule: dict[str, Any],
    holder: dict[str, Any],
    credential: dict[str, Any],
    zone: dict[str, Any],
    holidays: list[tuple[int, str]],
    hours: int,
) -> None:
    world = World()
    days = tuple(Holiday(date=(NOW + timedelta(days=day)).date(), kind=kind) for day, kind in holidays)
    world.references.put(HolidayCalendar(holiday_calendar_id="days", name="Days", days=days))
    world.references.put(Schedule.model_validate({"schedule_id": "some", "name": "Some", **schedule}))
    world.change("site", "hq", holiday_calendar_ids=("days",))
    world.change("door", "front", degraded_mode="snapshot")
    world.change("zone", "hall", **zone)
    world.change("cardholder", "ann", **holder)
    world.change("credential", "card-100", **credential)
    world.change("permission", "of-ann", **permission)
    at = datetime.fromtimestamp(world.now_ms / 1000, UTC) + timedelta(hours=hours)
    alone = vault_of(world).decide(SECRET, "front-in", [CardShown("100", "21")], at)
    shown = {**card("100"), "facility_code": "21"}
    decision = world.ask(shown, outcome="granted", occurred_at=at.isoformat())
    by_rules = decision.type == "access_granted" and permission.get("kind") != "single_use"
    assert (alone is None) is by_rules
