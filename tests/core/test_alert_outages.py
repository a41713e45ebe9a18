"""Controllers that fall silent together are one alert, and theirs wait under it (M3)."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator
from typing import Any

import pytest

from schemas.places import Device
from tests.core.desk import Desk

BEHIND = tuple(f"s{number}" for number in range(8))
"""Controllers behind switch `sw-3`."""
SITE = 100


@pytest.fixture
def desk() -> Iterator[Desk]:
    with Desk() as made:
        for device in BEHIND:
            made.put(Device(device_id=device, site_id="hq", upstream="sw-3"))
        yield made


def silent(desk: Desk, *devices: str, every_s: float = 1) -> None:
    """One controller after the other falls silent; few of the site's."""
    for device in devices:
        desk.device("controller_offline", device=device, site_offline=8, site_devices=SITE)
        desk.wait(every_s)


def back(desk: Desk, *devices: str) -> None:
    """They are heard of again."""
    for device in devices:
        desk.device("controller_online", device=device, site_offline=1, site_devices=SITE)


def stands(desk: Desk) -> dict[str, Any]:
    """The last message of each alert, by its controller or kind."""
    return {one.device_id or one.kind: one for one in desk.messages()}


def told(desk: Desk) -> list[str]:
    """Of what somebody was to be told for the first time, in order."""
    found = [one for one in desk.messages() if one.notify is not None and one.notify.step == 1]
    return [one.device_id or one.kind for one in found]


def test_controllers_that_fall_silent_together_are_one_alert_and_theirs_wait_under_it(desk: Desk) -> None:
    silent(desk, *BEHIND)
    found = stands(desk)
    root = found.pop("network_outage")
    assert told(desk) == [*BEHIND[:4], "network_outage"]
    assert {one.state for one in found.values()} == {"suppressed"}
    assert {one.suppressed_by for one in found.values()} == {root.alert_id}
    assert root.summary == "Controllers of hq behind sw-3 fell silent together: their network or power"
    assert (root.severity, root.dedup_key, len(root.led_to)) == ("high", "hq/network_outage/upstream/sw-3", 5)
    desk.wait(330)
    assert stands(desk)["network_outage"].count == len(BEHIND)
    assert set(told(desk)) == {*BEHIND[:4], "network_outage"}


def test_what_must_never_wait_does_not_in_an_outage_either(desk: Desk) -> None:
    silent(desk, *BEHIND)
    desk.door("door_held_open", device_id=BEHIND[7])
    assert desk.last().state == "suppressed"
    desk.door("door_forced_open", device_id=BEHIND[7])
    assert (desk.last().kind, desk.last().state) == ("door_forced_open", "unacknowledged")
    desk.device("tamper", device=BEHIND[6], connection="offline")
    assert (desk.last().kind, desk.last().state) == ("tamper", "unacknowledged")
    desk.duress()
    assert desk.last("duress.alerts").notify.recipients == ("monitoring",)


def test_the_outage_is_over_when_few_are_silent_and_those_are_told_of(desk: Desk) -> None:
    silent(desk, *BEHIND)
    back(desk, *BEHIND[:3])
    assert stands(desk)["network_outage"].state == "unacknowledged"
    back(desk, BEHIND[3])
    assert stands(desk)["network_outage"].state == "returned_to_normal_unacknowledged"
    desk.wait(61)
    found = stands(desk)
    assert [found[device].state for device in BEHIND] == ["closed"] * 4 + ["unacknowledged"] * 4
    assert told(desk)[-4:] == list(BEHIND[4:])


def test_who_falls_silent_alone_or_later_or_behind_another_switch_is_told_of(desk: Desk) -> None:
    silent(desk, *BEHIND[:4], every_s=61)
    assert told(desk) == list(BEHIND[:4])
    silent(desk, *BEHIND[4:], "c1")
    assert told(desk) == [*BEHIND, "c1"]
    assert "network_outage" not in stands(desk)


def test_a_controller_that_fails_long_after_the_outage_began_is_a_trouble_of_its_own(desk: Desk) -> None:
    silent(desk, *BEHIND[:6])
    desk.wait(3600)
    silent(desk, BEHIND[6])
    assert stands(desk)[BEHIND[6]].state == "unacknowledged"
    back(desk, *BEHIND[:2])
    assert stands(desk)["network_outage"].state == "returned_to_normal_unacknowledged"
    assert stands(desk)[BEHIND[6]].state == "unacknowledged"


def test_an_outage_that_was_closed_by_force_lets_its_members_go(desk: Desk) -> None:
    silent(desk, *BEHIND)
    root = stands(desk)["network_outage"]
    assert desk.ask("alert_closed", root.alert_id, result="nobody is there", force=True, operator="op-1") is None
    desk.wait(61)
    states = Counter(stands(desk)[device].state for device in BEHIND)
    assert states == {"unacknowledged": len(BEHIND)}
    back(desk, *BEHIND)
    silent(desk, *BEHIND)
    assert stands(desk)["network_outage"].alert_id != root.alert_id
    assert {stands(desk)[device].suppressed_by for device in BEHIND} == {stands(desk)["network_outage"].alert_id}


def test_what_somebody_has_acknowledged_stays_theirs(desk: Desk) -> None:
    silent(desk, BEHIND[0])
    desk.ask("alert_acknowledged", desk.last().alert_id)
    silent(desk, *BEHIND[1:])
    assert stands(desk)[BEHIND[0]].state == "acknowledged"
    back(desk, *BEHIND)
    assert stands(desk)[BEHIND[0]].state == "resolved"
    assert stands(desk)["network_outage"].state == "returned_to_normal_unacknowledged"


def test_the_trouble_of_the_whole_site_explains_the_outages_of_its_parts(desk: Desk) -> None:
    silent(desk, *BEHIND)
    outage = stands(desk)["network_outage"]
    desk.device("controller_offline", device="x1", site_offline=SITE // 2, site_devices=SITE)
    found = stands(desk)
    assert found["network_outage"].suppressed_by == found["site_offline"].alert_id
    desk.wait(61)
    assert stands(desk)[BEHIND[0]].suppressed_by == found["site_offline"].alert_id
    back(desk, "x1")
    desk.wait(61)
    assert stands(desk)["network_outage"].state == "unacknowledged"
    assert stands(desk)[BEHIND[0]].suppressed_by == outage.alert_id


def test_the_policy_says_how_many_and_how_soon_and_whether_they_wait() -> None:
    rules = {"outage_controllers": 2, "outage_within_s": 10, "inhibitions": []}
    with Desk(rules) as desk:
        silent(desk, "a", "b", every_s=11)
        assert "network_outage" not in stands(desk)
        silent(desk, "c", "d", "e")
        assert stands(desk)["network_outage"].state == "unacknowledged"
        assert {stands(desk)[device].state for device in "abcde"} == {"unacknowledged"}


def test_an_outage_that_comes_back_is_the_same_trouble_in_its_window(desk: Desk) -> None:
    silent(desk, *BEHIND)
    back(desk, *BEHIND)
    silent(desk, *BEHIND)
    roots = {one.alert_id for one in desk.messages() if one.kind == "network_outage"}
    assert len(roots) == 1
    assert {stands(desk)[device].suppressed_by for device in BEHIND} == roots


def test_nothing_is_kept_of_an_outage_that_is_over(desk: Desk) -> None:
    silent(desk, *BEHIND)
    back(desk, *BEHIND)
    for one in stands(desk).values():
        if one.state not in {"closed", "resolved"}:
            desk.ask("alert_acknowledged", one.alert_id)
    desk.wait(2 * 3600)
    assert [key for key in desk.kept() if not key.startswith("operator/")] == []
