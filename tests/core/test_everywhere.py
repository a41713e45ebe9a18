"""Failures at several sites, added up, and the lock that holds at all of them (A4)."""

from __future__ import annotations

import json
import random
from typing import Any

import pytest

from schemas.keys import ADMINISTRATION, derive_key
from schemas.partitioning import partition_of
from schemas.signing import NOT_AFTER_HEADER, sign
from streams.core.lockout_publication import FAILURES
from tests.core.campus import MASTER, PARTITIONS, RIGHT, WRONG, Campus

STARTED, ENDED = "lockout_started", "lockout_ended"
EVERYWHERE = "everywhere/cardholder/ann"
LOCKED, INCORRECT = "credential_lockout", "incorrect_authentication_factor"


def test_the_sites_and_the_cardholder_lie_in_partitions_of_their_own() -> None:
    assert len({partition_of(key, PARTITIONS) for key in ("hq", "branch", "ann")}) == 3


@pytest.mark.branch("A4.03")
def test_a_guesser_is_locked_within_a_site_by_the_third_failure_and_at_the_other_site_within_a_second() -> None:
    chance = random.Random(4)
    with Campus() as campus:
        # Everything is sent before anything is decided: within a site the order alone counts.
        for _ in range(6):
            for site in campus.sites:
                campus.present(WRONG, site, door=chance.randint(1, 2))
        campus.harness.run_until_idle()
        for site in campus.sites:
            assert campus.answers(site) == [INCORRECT] * 3 + [LOCKED] * 3
    with Campus() as campus:
        for number in range(3):
            assert campus.ask(WRONG, "hq", door=1 + number % 2) == INCORRECT
        campus.harness.clock.move(1)
        assert campus.ask(RIGHT, "branch") == LOCKED


def test_failures_at_two_sites_add_up_to_a_lock_at_both_which_is_told_of_where_it_came_about() -> None:
    with Campus() as campus:
        assert [campus.ask(WRONG, site) for site in ("hq", "branch", "hq")] == [INCORRECT] * 3
        assert [campus.ask(RIGHT, site) for site in campus.sites] == [LOCKED] * 2
        assert campus.told("lockouts.global") == [(STARTED, EVERYWHERE)]
        (told,) = campus.messages("lockouts")
        assert (told["lockout_key"], told["site_id"], told["scope"], told["failures"]) == (
            EVERYWHERE, "hq", "everywhere", 3,
        )  # fmt: skip
        (record,) = campus.harness.outputs("lockouts")
        assert record.partition == partition_of("hq", PARTITIONS)
        assert campus.ask(RIGHT, "branch", who="bob") == "granted"


def test_a_lock_everywhere_ends_by_itself_everywhere() -> None:
    with Campus() as campus:
        for site in ("hq", "branch", "hq"):
            campus.ask(WRONG, site)
        campus.harness.advance(299)
        assert campus.ask(RIGHT, "branch") == LOCKED
        campus.harness.advance(1.5)
        assert campus.told("lockouts.global") == [(STARTED, EVERYWHERE), (ENDED, EVERYWHERE)]
        assert [campus.ask(RIGHT, site) for site in campus.sites] == ["granted"] * 2


def test_locks_everywhere_double_as_at_a_site_and_the_sixth_has_no_end() -> None:
    with Campus() as campus:
        lasted = []
        for number in range(6):
            for site in ("hq", "branch", "hq"):
                assert campus.ask(WRONG, site) == INCORRECT
            started = [one for one in campus.messages("lockouts.global") if one["type"] == STARTED][-1]
            assert started["number"] == number + 1
            lasted.append(started["locked_until"] is not None)
            campus.harness.advance(3601, step_s=600)
        assert lasted == [True] * 5 + [False]
        assert campus.ask(RIGHT, "branch") == LOCKED


def test_an_operator_of_one_site_ends_a_lock_at_all_of_them_and_at_that_site_at_once() -> None:
    with Campus() as campus:
        for site in ("hq", "branch", "hq"):
            campus.ask(WRONG, site)
        campus.other_worker.paused = True
        campus.end("branch")
        assert campus.ask(RIGHT, "branch") == "granted"
        assert campus.ask(RIGHT, "hq") == LOCKED
        campus.other_worker.paused = False
        campus.harness.run_until_idle()
        ended = campus.messages("lockouts.global")[-1]
        assert (ended["type"], ended["cause"], ended["operator_id"]) == (ENDED, "operator", "op-7")
        assert [campus.ask(RIGHT, site) for site in campus.sites] == ["granted"] * 2


def test_what_a_site_has_locked_itself_is_open_too_once_an_operator_has_ended_it_elsewhere() -> None:
    with Campus(credential={"failures": 10}) as campus:
        for _ in range(3):
            campus.ask(WRONG, "hq")
        assert campus.ask(RIGHT, "hq") == LOCKED
        campus.end("branch")
        assert [campus.ask(RIGHT, site) for site in campus.sites] == ["granted"] * 2


def test_after_an_operators_end_failures_are_counted_afresh_everywhere() -> None:
    with Campus() as campus:
        for site in ("hq", "branch", "hq"):
            campus.ask(WRONG, site)
        campus.end("hq")
        campus.harness.advance(1)
        assert [campus.ask(WRONG, site) for site in ("branch", "hq")] == [INCORRECT] * 2
        assert campus.ask(RIGHT, "hq") == "granted"
        assert campus.ask(WRONG, "branch") == INCORRECT
        assert campus.ask(RIGHT, "branch") == LOCKED


def test_what_was_counted_at_other_sites_is_forgotten_with_the_lock_that_an_operator_ended() -> None:
    with Campus() as campus:
        for site in ("hq", "branch", "hq"):
            campus.ask(WRONG, site)
        campus.harness.advance(1)
        campus.end("branch")
        assert [campus.ask(WRONG, "hq", door=2) for _ in range(2)] == [INCORRECT] * 2
        assert campus.ask(RIGHT, "hq", door=2) == "granted"


def test_a_sites_own_lock_that_was_ended_elsewhere_is_told_to_be_over_when_the_cardholder_comes_by() -> None:
    with Campus(credential={"failures": 10}) as campus:
        for _ in range(3):
            campus.ask(WRONG, "hq")
        campus.harness.advance(1)
        campus.end("branch")
        campus.ask(RIGHT, "hq")
        ended = campus.messages("lockouts")[-1]
        assert (ended["type"], ended["lockout_key"], ended["cause"]) == (ENDED, "hq/cardholder/ann", "operator")
        assert ended["operator_id"] == "op-7"
        for _ in range(2):
            campus.ask(WRONG, "hq")
        assert campus.ask(RIGHT, "hq") == "granted"


def test_crashes_of_either_machine_lose_and_double_no_failure() -> None:
    for crash_site in (True, False):
        with Campus() as campus:
            for site in ("hq", "branch"):
                campus.ask(WRONG, site)
            worker = campus.site_worker if crash_site else campus.other_worker
            campus.harness.crash(worker)
            campus.harness.start(processor=None if crash_site else campus.everywhere)
            campus.ask(WRONG, "hq")
            assert campus.ask(RIGHT, "branch") == LOCKED
            assert campus.told("lockouts.global") == [(STARTED, EVERYWHERE)]


def _again(campus: Campus, record: Any, partition: int | None = None) -> None:
    headers = tuple(header for header in record.headers if header[0] != "doorstream-position")
    campus.harness.publish(record.topic, record.key, record.value, headers, partition or record.partition)
    campus.harness.run_until_idle()


def test_failures_that_are_told_again_count_once_wherever_they_are_told() -> None:
    with Campus() as campus:
        campus.ask(WRONG, "hq")
        (record,) = campus.harness.outputs(FAILURES)
        for partition in (*[None] * 5, *range(PARTITIONS)):
            _again(campus, record, partition)
        assert campus.told("lockouts.global") == []


def test_old_failures_that_are_told_again_later_lock_nobody() -> None:
    with Campus() as campus:
        for site in ("hq", "branch", "hq"):
            campus.ask(WRONG, site)
        records = campus.harness.outputs(FAILURES)
        campus.harness.advance(90_000, step_s=3000)
        before = campus.told("lockouts.global")
        for _ in range(10):
            for record in records:
                _again(campus, record)
        assert campus.told("lockouts.global") == before
        assert campus.ask(RIGHT, "hq") == "granted"


def _forged(topic: str, key: str, fields: dict[str, Any], secret: bytes | None) -> tuple[Any, ...]:
    value = json.dumps(fields).encode()
    end = (NOT_AFTER_HEADER, b"2199-01-01T00:00:00+00:00")
    headers = () if secret is None else (end, sign(secret, 1, topic, key.encode(), value, (end,)))
    return topic, key, value, headers


@pytest.mark.parametrize("secret", [None, derive_key(MASTER, ADMINISTRATION, "reference"), bytes(32)])
def test_who_can_write_the_topics_can_neither_lock_nor_unlock(secret: bytes | None) -> None:
    with Campus() as campus:
        campus.ask(WRONG, "hq")
        (record,) = campus.harness.outputs(FAILURES)
        failed = json.loads(record.value or b"")
        for number in range(5):
            again = failed | {"decision_id": f"forged-{number}", "cardholder_id": "bob"}
            campus.harness.publish(*_forged(FAILURES, "bob", again, secret))
        campus.harness.run_until_idle()
        assert campus.told("lockouts.global") == []
        assert len(campus.harness.outputs(f"{FAILURES}.dead")) == 5
        for site in ("branch", "hq"):
            campus.ask(WRONG, site)
        lock = campus.messages("lockouts.global")[0]
        open_ = {**lock, "type": ENDED, "ended_at": lock["started_at"], "cause": "operator"}
        campus.harness.publish(*_forged("lockouts.global", "ann", open_, secret))
        campus.harness.publish("lockouts.global", "ann", None)
        campus.harness.publish(*_forged("lockouts.global", "bob", lock | {"cardholder_id": "bob"}, secret))
        campus.harness.run_until_idle()
        assert campus.ask(RIGHT, "branch") == LOCKED
        assert campus.ask(RIGHT, "branch", who="bob") == "granted"


def test_an_old_lock_that_is_published_again_locks_nobody() -> None:
    with Campus() as campus:
        for site in ("hq", "branch", "hq"):
            campus.ask(WRONG, site)
        (lock,) = campus.harness.outputs("lockouts.global")
        campus.harness.clock.move(1)
        campus.end("hq")
        _again(campus, lock)
        assert [campus.ask(RIGHT, site) for site in campus.sites] == ["granted"] * 2
