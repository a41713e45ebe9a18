"""Whether each device lives (M1): heartbeats, silence, probes, and what must not pass for a sign of life."""

from __future__ import annotations

import json
from collections.abc import Sequence

import pytest

from schemas.keys import DEVICE, derive_key
from schemas.places import Device
from schemas.rules import Monitoring
from streams.core.devices import SWEEP_MOST
from streams.core.hearing import next_probe, rules_for
from streams.core.processor import Cause, Context, Outcome, State, Tick
from streams.core.watched import deadline_of
from streams.engine.options import MachineOptions
from tests.core.plant import EVENTS, STATES, Plant
from tests.core.world import MASTER


@pytest.mark.branch("M1.03", "M1.04")
def test_a_heartbeat_makes_a_device_online_and_each_one_moves_when_it_was_last_seen() -> None:
    with Plant() as plant:
        assert plant.tell() == ["controller_online"]
        first = plant.state()
        assert (first["connection"], first["site_offline"], first["site_devices"]) == ("online", 0, 1)
        plant.beat(60)
        assert plant.events() == ["controller_online"]
        assert plant.kept().last_seen_ms == plant.harness.clock.now_ms() - 15_000


@pytest.mark.branch("M1.05", "M1.07")
def test_a_controller_without_a_heartbeat_for_45_s_is_told_offline_once() -> None:
    with Plant(devices=2) as plant:
        plant.beat(30, "c1", "c2")
        plant.say("heartbeat", "c1")
        plant.wait(44)
        assert plant.events("c1") == ["controller_online"]
        plant.wait(600)
        assert plant.events("c1") == ["controller_online", "controller_offline"]
        told = plant.state("c1")
        assert (told["connection"], told["condition"], told["cause_id"]) == ("offline", "connection", None)
        assert told["since"] == "2026-03-02T00:01:15Z"
        assert told["last_seen"] == "2026-03-02T00:00:30Z"


@pytest.mark.branch("M1.05")
def test_a_device_that_never_spoke_is_offline_after_its_deadline() -> None:
    with Plant(devices=2) as plant:
        plant.tell("heartbeat", "c2")
        plant.beat(60, "c2")
        assert plant.events("c1") == ["controller_offline"]
        assert plant.state("c1")["last_seen"] is None
        assert (plant.state("c1")["site_offline"], plant.state("c1")["site_devices"]) == (1, 2)


def test_a_site_where_nobody_ever_spoke_is_told_of() -> None:
    with Plant(devices=3) as plant:
        plant.wait(50)
        assert plant.events() == ["controller_offline"] * 3
        assert [state["site_offline"] for state in plant.states()] == [1, 2, 3]


def test_a_device_that_is_put_on_file_later_is_watched_too() -> None:
    with Plant() as plant:
        plant.beat(120)
        plant.put(Device(device_id="late", site_id="hq"))
        plant.beat(120)
        assert plant.events("late") == ["controller_offline"]
        assert plant.state("late")["site_devices"] == 2


def test_very_many_new_devices_begin_to_be_watched_a_share_at_a_time() -> None:
    with Plant(devices=SWEEP_MOST + 5, monitoring={"probe_every_s": 0, "offline_after_s": 3600}) as plant:
        plant.wait(1)
        plant.tell("heartbeat", f"c{SWEEP_MOST + 5}")
        assert plant.state(f"c{SWEEP_MOST + 5}")["site_devices"] == SWEEP_MOST + 5


@pytest.mark.branch("M1.10")
def test_an_offline_device_that_answers_later_is_online_again() -> None:
    with Plant() as plant:
        plant.tell()
        plant.wait(100)
        assert plant.tell() == ["controller_online"]
        assert (plant.state()["connection"], plant.state()["site_offline"]) == ("online", 0)
        plant.wait(100)
        assert plant.events() == ["controller_online", "controller_offline"] * 2


def test_times_differ_by_the_type_of_device() -> None:
    slow = {"model": "battery lock", "heartbeat_s": 600, "offline_after_s": 2000, "probe_every_s": 0}
    with Plant(monitoring={"probe_every_s": 0, "types": [slow]}) as plant:
        plant.put(Device(device_id="lock", site_id="hq", model="battery lock"))
        plant.tell("heartbeat", "lock")
        plant.tell("heartbeat", "c1")
        plant.wait(100)
        assert (plant.state("c1")["connection"], plant.state("lock")["connection"]) == ("offline", "online")
        plant.wait(2000)
        assert plant.events("lock") == ["controller_online", "controller_offline"]


# -- probes -----------------------------------------------------------------------------------------------------------


@pytest.mark.branch("M1.01")
def test_every_device_is_probed_once_a_period_and_not_all_at_once() -> None:
    names = [f"c{number}" for number in range(1, 21)]
    with Plant(devices=20, monitoring={"probe_every_s": 100}) as plant:
        plant.beat(300, *names)
        probes = plant.probes()
        assert {name: sum(one["device_id"] == name for one in probes) for name in names} == dict.fromkeys(names, 3)
        assert len({probe["issued_at"] for probe in probes}) > 30
        assert len({probe["command_id"] for probe in probes}) == 60


@pytest.mark.branch("M1.02", "M1.04")
def test_a_controllers_answer_to_a_probe_is_taken_in_and_told_with_its_whole_state() -> None:
    with Plant(monitoring={"probe_every_s": 20}) as plant:
        plant.tell(tamper=True)
        plant.wait(20)
        (probe,) = plant.probes()
        assert plant.tell(probe_id="another") == []
        assert plant.tell(probe_id=probe["command_id"], battery_low=True) == ["battery_low", "probe_answered"]
        told = plant.state()
        assert (told["tamper"], told["battery_low"], told["power_failure"]) == (True, True, False)
        assert plant.tell(probe_id=probe["command_id"]) == []


def test_an_offline_device_is_probed_ever_more_rarely() -> None:
    with Plant(monitoring={"probe_every_s": 10}) as plant:
        plant.wait(2000)
        gone = len(plant.probes())
        assert 2000 / 160 <= gone < 30
        assert plant.tell() == ["controller_online", "offline_mode_ended"]
        plant.beat(100)
        assert len(plant.probes()) >= gone + 4


def test_nobody_is_probed_where_the_policy_says_never() -> None:
    with Plant() as plant:
        plant.beat(3600, every_s=40)
        assert plant.probes() == []


def test_after_an_outage_of_the_workers_a_device_is_probed_once_and_not_once_for_every_period_missed() -> None:
    with Plant(monitoring={"probe_every_s": 10}) as plant:
        plant.beat(15)
        before = len(plant.probes())
        plant.harness.worker.paused = True
        plant.beat(600)
        plant.harness.worker.paused = False
        plant.harness.run_until_idle()
        assert len(plant.probes()) == before + 1


def test_the_moment_of_a_probe_lies_within_the_next_period() -> None:
    timing = rules_for(Monitoring(probe_every_s=10), "").timing
    for after_ms in (0, 1, 9_999, 10_000, 123_456):
        at_ms = next_probe("c1", after_ms, timing)
        assert after_ms < at_ms <= after_ms + 10_000
        assert next_probe("c1", at_ms - 1, timing) == at_ms
        assert next_probe("c1", at_ms, timing) == at_ms + 10_000


# -- what is no sign of life ------------------------------------------------------------------------------------------


def test_a_strangers_heartbeat_keeps_no_dead_controller_online() -> None:
    with Plant() as plant:
        genuine = plant.say()
        plant.harness.run_until_idle()
        for _ in range(6):
            plant.wait(10)
            plant.sequence["c1"] += 1
            forged = json.loads(genuine.value or b"") | {"sequence": plant.sequence["c1"]}
            plant.send(json.dumps(forged).encode(), b"no key of ours")
        plant.wait(1)
        assert plant.events() == ["controller_online", "controller_offline"]


def test_a_replayed_heartbeat_keeps_no_dead_controller_online() -> None:
    with Plant() as plant:
        records = [plant.say() for _ in range(5)]
        plant.harness.run_until_idle()
        for number in range(60):
            plant.wait(1)
            record = records[number % 5]
            plant.harness.publish(EVENTS, record.key, record.value, record.headers)
        plant.wait(1)
        assert plant.events() == ["controller_online", "controller_offline"]


def test_what_is_no_message_is_left_to_the_dead_letters_of_the_site() -> None:
    with Plant() as plant:
        plant.harness.publish(EVENTS, "hq", b"{no message")
        assert plant.tell() == ["controller_online"]
        assert plant.harness.broker.records(f"{EVENTS}.dead") == []


def test_messages_may_overtake_each_other() -> None:
    with Plant() as plant:
        late = plant.make("heartbeat", "c1")
        for _ in range(100):
            plant.say()
        plant.wait(40)
        plant.send(late)
        plant.wait(40)
        assert plant.events() == ["controller_online"]
        plant.send(late)
        plant.wait(6)
        assert plant.events() == ["controller_online", "controller_offline"]


def test_a_lower_boot_is_not_heard_and_a_swapped_controller_begins_afresh() -> None:
    with Plant() as plant:
        plant.boots["c1"] = 7
        plant.tell()
        plant.boots["c1"] = 6
        plant.wait(50)
        assert plant.tell() == []
        plant.put(Device(device_id="c1", site_id="hq", key_version=2))
        plant.boots["c1"] = 1
        assert plant.tell() == ["controller_online"]


def test_the_key_of_a_controller_that_was_swapped_out_is_worth_nothing_ever_again() -> None:
    with Plant() as plant:
        plant.put(Device(device_id="c1", site_id="hq", key_version=2))
        plant.tell()
        plant.put(Device(device_id="c1", site_id="hq", key_version=1))
        plant.boots["c1"] = 9
        plant.beat(60)
        assert plant.events() == ["controller_online", "controller_offline"]
        plant.put(Device(device_id="c1", site_id="hq", status="inactive"))
        plant.wait(100)
        plant.put(Device(device_id="c1", site_id="hq"))
        plant.beat(120)
        assert "controller_online" not in plant.events()[1:]


@pytest.mark.parametrize("change", [{"site_id": "elsewhere"}, {"status": "inactive"}])
def test_nobody_hears_a_device_that_is_not_the_sites_or_out_of_service(change: dict[str, str]) -> None:
    with Plant(devices=0) as plant:
        plant.put(Device.model_validate({"device_id": "c1", "site_id": "hq"} | change))
        plant.beat(120)
        assert plant.events() == []


def test_a_device_that_is_taken_out_of_service_is_no_longer_watched_or_counted() -> None:
    with Plant(devices=2) as plant:
        plant.beat(30, "c1", "c2")
        plant.put(Device(device_id="c1", site_id="hq", status="inactive"))
        plant.beat(120, "c2")
        assert plant.events("c1") == ["controller_online", "monitoring_ended"]
        assert plant.state("c1")["site_devices"] == 1
        plant.put(Device(device_id="c1", site_id="hq"))
        plant.beat(120, "c2")
        assert plant.events("c1")[2:] == ["controller_offline"]
        assert plant.state("c1")["site_devices"] == 2
        assert deadline_of(plant.kept()) == 1_772_424_225_000, "only its recovery is awaited"


def test_a_device_that_is_no_longer_on_file_is_let_go_and_its_numbers_stay_used() -> None:
    with Plant() as plant:
        old = plant.say()
        plant.wait(5)
        plant.remove(Device(device_id="c1", site_id="hq"))
        plant.wait(100)
        assert plant.events() == ["controller_online", "monitoring_ended"]
        plant.put(Device(device_id="c1", site_id="hq"))
        plant.harness.publish(EVENTS, old.key, old.value, old.headers)
        plant.wait(200)
        assert plant.events() == ["controller_online", "monitoring_ended", "controller_offline"]


def test_a_device_that_moves_to_another_site_is_counted_there() -> None:
    with Plant(devices=2) as plant:
        site = json.loads(plant.harness.broker.records("reference.site")[0].value or b"")
        plant.harness.publish("reference.site", "hq2", json.dumps(site | {"site_id": "hq2"}).encode())
        plant.tell("heartbeat", "c1")
        plant.put(Device(device_id="c1", site_id="hq2"))
        plant.wait(200)
        ended, offline = plant.states("c1")[1:]
        assert (ended["event"], ended["site_id"], ended["site_devices"]) == ("monitoring_ended", "hq", 1)
        assert (offline["event"], offline["site_id"], offline["site_devices"]) == ("controller_offline", "hq2", 1)


# -- the machine ------------------------------------------------------------------------------------------------------


def test_twenty_thousand_queued_heartbeats_are_not_an_outage() -> None:
    names = [f"c{number}" for number in range(1, 51)]
    with Plant(devices=50) as plant:
        plant.beat(15, *names)
        plant.harness.worker.paused = True
        plant.beat(6_000, *names)
        plant.harness.worker.paused = False
        plant.harness.run_until_idle()
        assert set(plant.events()) == {"controller_online"}
        plant.wait(50)
        assert plant.events().count("controller_offline") == 50


def test_a_worker_that_takes_over_a_backlog_tells_of_no_outage_and_then_of_the_true_one() -> None:
    with Plant(devices=2) as plant:
        plant.beat(30, "c1", "c2")
        plant.harness.crash()
        for _ in range(100):
            plant.harness.clock.move(15)
            plant.say("heartbeat", "c1")
        plant.harness.start()
        plant.harness.run_until_idle()
        assert plant.events("c1") == ["controller_online"]
        assert plant.events("c2") == ["controller_online", "controller_offline"]
        assert plant.state("c2")["since"] == "2026-03-02T00:01:00Z"


def test_deadlines_survive_a_crash_and_nothing_is_told_twice() -> None:
    with Plant(options=MachineOptions(session_timeout_s=1e9, checkpoint_interval_s=5)) as plant:
        plant.beat(60)
        plant.harness.crash()
        plant.harness.clock.move(20)
        plant.harness.start()
        plant.wait(60)
        plant.harness.restart()
        plant.wait(60)
        assert plant.events() == ["controller_online", "controller_offline"]
        assert plant.watching.drifts == []
        every = plant.harness.outputs(STATES, marked=False)
        assert len({record.header("ce_id") for record in every}) == 2


def test_a_deadline_that_could_not_be_decided_comes_again(monkeypatch: pytest.MonkeyPatch) -> None:
    with Plant(devices=2) as plant:
        plant.beat(30, "c1", "c2")
        decide, failures = plant.processor.decide, iter([True])

        def failing(state: State, cause: Cause, context: Context) -> Sequence[Outcome]:
            if isinstance(cause, Tick) and cause.key == "device/c1" and next(failures, False):
                raise RuntimeError("once")
            return decide(state, cause, context)

        monkeypatch.setattr(plant.processor, "decide", failing)
        while not plant.watching.ticks:
            plant.beat(30, "c2")
        assert plant.events("c1") == ["controller_online"]
        plant.beat(90, "c2")
        assert len(plant.watching.ticks) == 1
        assert plant.events("c1") == ["controller_online", "controller_offline"]


def test_the_key_of_a_device_of_another_name_signs_nothing_for_this_one() -> None:
    with Plant(devices=2) as plant:
        record = plant.say("heartbeat", "c2")
        forged = json.loads(record.value or b"") | {"device_id": "c1"}
        plant.send(json.dumps(forged).encode(), derive_key(MASTER, DEVICE, "c2"))
        plant.wait(1)
        assert plant.events() == ["controller_online"]
        assert plant.state("c2")["event"] == "controller_online"
