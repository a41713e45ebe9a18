"""Any order of guesses, successes, pauses, crashes and operators' ends, decided as a plain model of A4 has it."""

from __future__ import annotations

import json
from datetime import datetime
from typing import Any

import pytest
from hypothesis import HealthCheck, settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, initialize, invariant, rule

from tests.conftest import examples
from tests.core.campus import RIGHT, WRONG, Campus
from tests.core.lockout_model import (
    FAILURES,
    FOREVER,
    LOCK_S,
    LONGEST_S,
    PERMANENT_AFTER,
    READER_FAILURES,
    READER_LOCK_S,
    READER_NUMBERS,
    READER_WINDOW_S,
    WINDOW_S,
    Model,
)

LIMITS = {
    "failures": FAILURES, "window_s": WINDOW_S, "lock_s": LOCK_S, "longest_lock_s": LONGEST_S,
    "permanent_after": PERMANENT_AFTER,
}  # fmt: skip
READER = {
    "failures": READER_FAILURES, "numbers": READER_NUMBERS, "window_s": READER_WINDOW_S, "lock_s": READER_LOCK_S,
}  # fmt: skip
SITES, PEOPLE, DOORS = st.sampled_from(["hq", "branch"]), st.sampled_from(["ann", "bob"]), st.sampled_from([1, 2])
KINDS = ["right", "wrong", "wrong", "wrong", "card", "stranger"]
ATTEMPTS = st.lists(
    st.tuples(
        PEOPLE, DOORS, st.sampled_from(["right", "wrong", "wrong", "wrong", "card", "stranger"]), st.integers(1, 4)
    ),
    min_size=1,
    max_size=8,
)
PAUSES = st.sampled_from([1, 30, 59, 60, 100, 150, 299, 300, 301, 600, 3600, 86_400])


class Guesses(RuleBasedStateMachine):
    """The campus and the model, side by side."""

    @initialize()
    def begin(self) -> None:
        self.campus = Campus(credential=LIMITS, cardholder=LIMITS, access_point=READER)
        self.model = Model()
        self.expected: dict[str, list[str]] = {"hq": [], "branch": []}

    def teardown(self) -> None:
        if hasattr(self, "campus"):
            self.campus.harness.close()

    @property
    def now(self) -> float:
        return self.campus.harness.clock.now_ms() / 1000

    @rule(site=SITES, attempts=ATTEMPTS)
    def several_ask_at_once(self, site: str, attempts: list[Any]) -> None:
        """All of it is there before anything is decided: within a site the order alone counts."""
        for who, door, how, number in attempts:
            reader = f"{site}-d{door}-in"
            if how == "stranger":
                self.campus.swipe(f"none-{number}", site, door)
                answer = self.model.stranger(site, reader, f"none-{number}", self.now)
            elif how == "card":
                self.campus.swipe(f"{who}-no", site, door)
                answer = self.model.ask(site, reader, who, self.now, pin=None)
            else:
                self.campus.present(RIGHT if how == "right" else WRONG, site, door, who)
                answer = self.model.ask(site, reader, who, self.now, pin=how == "right")
            self.expected[site].append(answer)
        self.campus.harness.run_until_idle()
        self.model.add_up(self.now)

    @rule(seconds=PAUSES)
    def time_passes(self, seconds: int) -> None:
        self.campus.harness.advance(seconds, step_s=max(5, seconds / 4))

    @rule(site=SITES, who=PEOPLE, subject=st.sampled_from(["cardholder", "credential", "access-point"]), door=DOORS)
    def an_operator_ends_a_lock(self, site: str, who: str, subject: str, door: int) -> None:
        id_ = {"cardholder": who, "credential": f"{who}-card", "access-point": f"{site}-d{door}-in"}[subject]
        answer = self.campus.end(site, subject, id_)
        held = self.model.end(site, subject, id_, self.now)
        assert answer == f"operator_request_{'accepted' if held else 'refused'}"
        # What follows in the same millisecond could not be told from what came before.
        self.campus.harness.advance(1)

    @rule()
    def the_site_crashes(self) -> None:
        self.campus.crash_site()

    @rule()
    def the_adding_up_crashes(self) -> None:
        self.campus.crash_everywhere()

    @invariant()
    def every_answer_is_the_models(self) -> None:
        if hasattr(self, "campus"):
            for site, answers in self.expected.items():
                assert self.campus.answers(site) == answers

    @invariant()
    def every_lock_is_the_models(self) -> None:
        if not hasattr(self, "campus"):
            return
        told = {
            (one["lockout_key"], one["number"], _end(one), one["started_at"])
            for topic in ("lockouts", "lockouts.global")
            for one in self.campus.messages(topic)
            if one["type"] == "lockout_started"
        }
        assert sorted(one[:3] for one in told) == sorted(self.model.told)


def _end(one: dict[str, Any]) -> float:
    return FOREVER if one["locked_until"] is None else datetime.fromisoformat(one["locked_until"]).timestamp()


TestAnyGuesses = pytest.mark.timeout(3600)(pytest.mark.chaos(Guesses.TestCase))
TestAnyGuesses.settings = settings(
    max_examples=examples(12), stateful_step_count=20, deadline=None, derandomize=True,
    suppress_health_check=[HealthCheck.too_slow, HealthCheck.data_too_large],
)  # fmt: skip


def test_the_model_is_not_asked_in_vain() -> None:
    """The messages that it is held against are there."""
    with Campus(credential=LIMITS, cardholder=LIMITS, access_point=READER) as campus:
        for _ in range(3):
            campus.ask(WRONG, "hq")
        assert {json.dumps(one["lockout_key"]) for one in campus.messages("lockouts")}
