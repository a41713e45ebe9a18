"""Which messages of controllers are listened to (contract: device authentication)."""

from __future__ import annotations

from typing import Any

import msgspec
import pytest

from schemas.access import AccessDenied, AccessGranted
from schemas.ids import request_id
from schemas.keys import DEVICE, derive_key
from schemas.places import Device
from schemas.signing import sign
from schemas.vocabulary import FactorKind, Reason
from streams.core import backlog
from streams.core.admission import WINDOW
from streams.core.processor import Arrival
from tests.core.world import MASTER, World, card, event, of_type, pin, request

STRANGER = b"x" * 32


def decision(found: list[Any]) -> AccessGranted | AccessDenied | None:
    return next((one for one in found if isinstance(one, AccessGranted | AccessDenied)), None)


def reason(found: list[Any]) -> str | None:
    one = decision(found)
    return "nothing" if one is None else one.reason


def signed(world: World, fields: dict[str, Any], version: int, signed_as: int | None = None) -> list[Any]:
    """A request under a key version; `signed_as` where the header names another one."""
    value = msgspec.json.encode(fields)
    secret = derive_key(MASTER, DEVICE, "c1", version)
    mac = sign(secret, signed_as or version, "access.requests", b"hq", value)
    return world.decide(world.record("access.requests", value, (mac,)))


# -- whose it is ------------------------------------------------------------------------------------------------------


def test_a_message_without_a_mac_or_with_anothers_is_refused_recorded_and_not_acted_on() -> None:
    world = World()
    value = msgspec.json.encode(request(sequence=1))
    unsigned = world.decide(world.record("access.requests", value))
    forged = world.send(request(sequence=1), key=STRANGER)
    other = world.send(request(sequence=1), key=derive_key(MASTER, DEVICE, "c2"))
    for found in (unsigned, forged, other):
        assert [one.type for one in found] == ["access_denied"]
        assert reason(found) is Reason.INVALID_SIGNATURE
    assert {output.topic for output in world.sent} == {"access.decisions", "threats"}


def test_a_message_is_provably_of_a_controller_only_where_that_signed_it_and_is_at_its_site() -> None:
    world = World()
    value = msgspec.json.encode(request(sequence=1))

    def source(key: bytes, fields: bytes = value) -> str | None:
        mac = sign(key, 1, "access.requests", b"hq", fields)
        record = world.record("access.requests", fields, (mac,))
        return world.site.source(Arrival(record, world.site.decode(record)), world._context({}))

    assert source(derive_key(MASTER, DEVICE, "c1")) == "c1"
    assert source(STRANGER) is None
    assert source(derive_key(MASTER, DEVICE, "c2")) is None
    nobody = msgspec.json.encode(request(sequence=1, device_id="nobody"))
    assert source(derive_key(MASTER, DEVICE, "nobody"), nobody) is None


def test_an_altered_message_is_refused() -> None:
    world = World()
    value = msgspec.json.encode(request(sequence=1))
    mac = sign(derive_key(MASTER, DEVICE, "c1"), 1, "access.requests", b"hq", value)
    altered = value.replace(b'"100"', b'"200"')
    assert reason(world.decide(world.record("access.requests", altered, (mac,)))) is Reason.INVALID_SIGNATURE


def test_a_mac_is_good_for_its_own_topic_alone() -> None:
    world = World()
    value = msgspec.json.encode({"sequence": 1, **request(outcome="granted")})
    mac = sign(derive_key(MASTER, DEVICE, "c1"), 1, "access.requests", b"hq", value)
    assert reason(world.decide(world.record("access.backlog", value, (mac,)))) is Reason.INVALID_SIGNATURE


def test_a_site_may_do_without_macs() -> None:
    world = World()
    world.change("site", "hq", message_authentication="off")
    value = msgspec.json.encode(request(sequence=1))
    assert reason(world.decide(world.record("access.requests", value))) is None


def test_another_message_of_a_stranger_is_refused_by_its_position() -> None:
    world = World()
    world.ask()
    (refused,) = world.send(event("door_opened"), key=STRANGER)
    assert (refused.type, refused.reason, refused.topic) == ("message_refused", "invalid_signature", "door.events")
    assert of_type(world.wait(11), "access_not_taken")


def test_device_site_and_access_point_belong_together() -> None:
    world = World()
    world.references.put(Device(device_id="c2", site_id="elsewhere"))
    assert reason(world.send(request(sequence=1, device_id="c2"))) is Reason.UNKNOWN_ACCESS_POINT
    world.references.put(Device(device_id="c2", site_id="hq"))
    assert reason(world.send(request(sequence=1, device_id="c2"))) is Reason.UNKNOWN_ACCESS_POINT
    assert reason(world.send(request(sequence=1, site_id="elsewhere"))) is Reason.UNKNOWN_ACCESS_POINT
    assert reason(world.send(request(sequence=1))) is None


# -- once -------------------------------------------------------------------------------------------------------------


def test_the_same_message_again_is_decided_once() -> None:
    world = World()
    assert reason(world.send(request(sequence=5))) is None
    assert world.send(request(sequence=5)) == []


def test_the_same_number_with_other_content_is_a_replay_whose_decision_does_not_take_the_others_place() -> None:
    world = World()
    first, second = world.send(request(sequence=5)), world.send(request(card("200"), sequence=5))
    assert reason(second) is Reason.REPLAYED_REQUEST
    assert [one.type for one in second] == ["access_denied"]
    assert first[0].request_id == second[0].request_id
    assert first[0].decision_id != second[0].decision_id


def test_numbers_may_come_in_any_order_within_the_window_and_not_below_it() -> None:
    world = World()
    assert reason(world.send(request(sequence=5000))) is None
    assert WINDOW >= 1024
    assert reason(world.send(request(sequence=5001 - WINDOW))) is None
    assert reason(world.send(request(sequence=5000 - WINDOW))) is Reason.REPLAYED_REQUEST
    assert reason(world.send(request(sequence=4999))) is None
    assert world.send(request(sequence=4999)) == []


def test_a_leap_ahead_forgets_what_is_below_the_window() -> None:
    world = World()
    world.send(request(sequence=1))
    world.send(request(sequence=2**53 - 1))
    assert reason(world.send(request(sequence=1))) is Reason.REPLAYED_REQUEST


def test_a_higher_boot_starts_afresh_and_a_lower_one_is_a_replay() -> None:
    world = World()
    world.send(request(boot=7, sequence=900))
    assert reason(world.send(request(boot=8, sequence=1))) is None
    assert reason(world.send(request(boot=7, sequence=901))) is Reason.REPLAYED_REQUEST


def test_numbers_are_shared_by_all_that_a_controller_says() -> None:
    world = World()
    world.send(request(sequence=5))
    (refused,) = world.send(event("door_opened", sequence=5))
    assert refused.reason is Reason.REPLAYED_REQUEST


def test_a_new_key_version_starts_afresh_and_the_old_key_is_no_longer_listened_to() -> None:
    world = World()
    signed(world, request(boot=9, sequence=900), 1)
    world.change("device", "c1", key_version=2)
    assert reason(signed(world, request(boot=9, sequence=901), 1)) is Reason.INVALID_SIGNATURE
    assert reason(signed(world, request(boot=9, sequence=902), 1, signed_as=2)) is Reason.INVALID_SIGNATURE
    assert reason(signed(world, request(boot=1, sequence=1), 2)) is None
    assert reason(signed(world, request(boot=0, sequence=2), 2)) is Reason.REPLAYED_REQUEST


def test_what_an_old_key_signed_is_not_valid_again_when_its_version_is() -> None:
    world = World()
    signed(world, request(boot=9, sequence=900), 1)
    world.change("device", "c1", key_version=2)
    signed(world, request(boot=1, sequence=1), 2)
    world.change("device", "c1", key_version=1)
    for boot, sequence in ((9, 900), (9, 901), (10, 1)):
        (refused,) = signed(world, request(boot=boot, sequence=sequence), 1)
        assert refused.reason is Reason.INVALID_SIGNATURE
        assert "give the device version 3" in refused.checks[0][2]
    world.change("device", "c1", key_version=2)
    assert reason(signed(world, request(boot=1, sequence=2), 2)) is None
    assert reason(signed(world, request(boot=1, sequence=1), 2)) == "nothing"


def test_a_key_version_that_was_never_used_may_be_taken_back() -> None:
    world = World()
    signed(world, request(boot=9, sequence=900), 1)
    world.change("device", "c1", key_version=2)
    world.change("device", "c1", key_version=1)
    assert reason(signed(world, request(boot=9, sequence=901), 1)) is None
    assert reason(signed(world, request(boot=9, sequence=900), 1)) == "nothing"


def test_a_lower_key_version_starts_nothing_afresh_where_no_macs_are_asked_for() -> None:
    world = World()
    world.change("site", "hq", message_authentication="off")
    world.change("device", "c1", key_version=2)
    assert reason(world.send(request(boot=9, sequence=900))) is None
    world.change("device", "c1", key_version=1)
    assert reason(world.send(request(boot=8, sequence=1))) is Reason.REPLAYED_REQUEST
    assert reason(world.send(request(boot=9, sequence=901))) is None


def test_the_backlog_has_a_counter_of_its_own_that_only_rises() -> None:
    world = World()
    world.send(request(sequence=5000))
    for sequence in (1, 2, 9):
        assert reason(world.send(request(outcome="granted", sequence=sequence))) is None
    assert world.send(request(outcome="granted", sequence=9)) == []
    assert reason(world.send(request(outcome="denied", sequence=9))) is Reason.REPLAYED_REQUEST
    assert reason(world.send(request(outcome="granted", sequence=8))) is Reason.REPLAYED_REQUEST
    assert reason(world.send(request(boot=2, outcome="granted", sequence=1))) is None
    assert reason(world.send(request(sequence=5001))) is None


def test_a_record_of_the_backlog_and_a_live_request_of_the_same_numbers_have_ids_of_their_own() -> None:
    world = World()
    (live, *_), (recorded, *_) = world.send(request(sequence=5)), world.send(request(outcome="granted", sequence=5))
    (refused,) = world.send(request(outcome="denied", sequence=5))
    assert live.request_id == request_id("c1", 1, 5)
    assert recorded.request_id == refused.request_id == request_id("c1", 1, 5, recorded=True) != live.request_id
    assert len({live.decision_id, recorded.decision_id, refused.decision_id}) == 3


def test_a_batch_of_the_backlog_sent_again_is_decided_once_and_counted() -> None:
    world = World()
    numbers = [*range(1, 600), *range(700, 700 + backlog.WINDOW)]
    for sequence in numbers:
        assert reason(world.send(request(outcome="granted", sequence=sequence))) is None
    world.heard.clear()
    for sequence in numbers[-backlog.WINDOW :]:
        assert world.send(request(outcome="granted", sequence=sequence)) == []
    assert [one.again for one in world.heard] == [True] * backlog.WINDOW
    assert backlog.WINDOW >= 1024
    below = numbers[-backlog.WINDOW - 1]
    assert reason(world.send(request(outcome="granted", sequence=below))) is Reason.REPLAYED_REQUEST
    assert reason(world.send(request(outcome="granted", sequence=numbers[-1] + 1))) is None


def test_a_number_of_the_backlog_with_other_content_or_passed_over_is_a_replay() -> None:
    world = World()
    for sequence in (10, 11, 14, 15):
        world.send(request(outcome="granted", sequence=sequence))
    for sequence in (9, 10, 11, 12, 13, 14, 15):
        assert reason(world.send(request(outcome="denied", sequence=sequence))) is Reason.REPLAYED_REQUEST
    assert world.send(request(outcome="granted", sequence=14)) == []


@pytest.mark.parametrize("first", [1, 41])
def test_a_batch_of_the_backlog_is_known_again_through_restarts_of_the_controller(first: int) -> None:
    world = World()
    batch = [(7, number) for number in range(1, 41)]
    batch += [(8, number) for number in range(first, first + 40)]
    batch += [(10, number) for number in range(first + 100, first + 140)]
    sent = [request(outcome="granted", boot=boot, sequence=number) for boot, number in batch]
    assert [reason(world.send(one)) for one in sent] == [None] * 120
    assert [world.send(one) for one in sent] == [[]] * 120
    for boot, number in ((6, 1), (7, 41), (8, first + 40), (9, 1), (9, first + 141), (10, first + 99)):
        found = world.send(request(outcome="granted", boot=boot, sequence=number))
        assert reason(found) is Reason.REPLAYED_REQUEST, (boot, number)


def test_what_is_known_of_a_device_stays_small() -> None:
    world = World()
    for boot in range(1, 40):
        for sequence in range(2**52, 2**52 + 60):
            world.send(request(outcome="granted", boot=boot, sequence=sequence))
    assert len(world.site.encode_entity(world.state["device/c1"])) < 1500


def test_a_strangers_message_uses_up_no_number_of_the_device() -> None:
    world = World()
    world.send(request(boot=99, sequence=2**53 - 1), key=STRANGER)
    world.send(request(outcome="granted", boot=99, sequence=2**53 - 1), key=STRANGER)
    assert reason(world.send(request(boot=1, sequence=1))) is None
    assert reason(world.send(request(outcome="granted", boot=1, sequence=1))) is None


# -- floods -----------------------------------------------------------------------------------------------------------


def small_bucket() -> World:
    world = World()
    world.change("policy", "usual", device_rate_per_s=1, device_burst=3)
    return world


def test_a_device_that_floods_is_refused_and_told_of_once_until_it_calms_down() -> None:
    world = small_bucket()
    seen = [reason(world.send(request())) for _ in range(6)]
    assert seen == [None, None, None, Reason.OUT_OF_SERVICE, "nothing", "nothing"]
    world.wait(1)
    assert [reason(world.send(request())) for _ in range(2)] == [None, "nothing"]
    world.wait(10)
    assert [reason(world.send(request())) for _ in range(4)] == [None, None, None, Reason.OUT_OF_SERVICE]


def test_a_flood_is_refused_before_any_secret_is_verified() -> None:
    world = small_bucket()
    world.change("policy", "usual", methods=[{"kind": "all_required", "factors": ["card", "pin"]}])
    world.enrol("ann", FactorKind.PIN, pin="4711")
    asked: list[Any] = []
    verify = world.verifier.verify

    def counted(verification: Any) -> Any:
        asked.append(verification)
        return verify(verification)

    world.verifier.verify = counted  # type: ignore[method-assign]
    for _ in range(6):
        world.ask_quietly(card(), pin("4711"))
    assert len(asked) == 3


@pytest.mark.parametrize("how", ["forged", "repeated", "replayed"])
def test_what_anybody_can_send_shuts_no_device_out(how: str) -> None:
    world = small_bucket()
    world.send(request(sequence=1))
    world.wait(60)
    foul: list[Any] = []
    for _ in range(20):
        if how == "forged":
            foul += world.send(request(sequence=2), key=STRANGER)
        else:
            foul += world.send(request(card("100" if how == "repeated" else "200"), sequence=1))
    assert len(foul) == (0 if how == "repeated" else 4)
    assert [reason(world.send(request(sequence=number))) for number in (2, 3, 4)] == [None, None, None]


def test_what_queued_up_while_nobody_decided_is_no_flood() -> None:
    world = small_bucket()
    ages = [20 - second for second in range(20)]
    assert [reason(world.send(request(), age_s=age)) for age in ages] == [None] * 20


def test_a_days_backlog_passes_at_once() -> None:
    world = small_bucket()
    assert [reason(world.send(request(outcome="granted"))) for _ in range(50)] == [None] * 50
