"""Door modes: one lattice over all active causes, whatever their order."""

from __future__ import annotations

from itertools import permutations, product

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, invariant, rule

from schemas.door_modes import CauseKind
from schemas.vocabulary import DoorMode
from streams.core.modes import CALM, Causes, ModeCause, desired, find, ordered, rank_of, with_cause, without

EVACUATION = ModeCause("evacuation", "fire", DoorMode.LOCKED_OPEN)
LOCKDOWN = ModeCause("lockdown", "intruder", DoorMode.LOCKED_DOWN)
OPENING = ModeCause("emergency_opening", "ambulance", DoorMode.LOCKED_OPEN)
BLOCKED = ModeCause("operator", "op-7", DoorMode.BLOCKED)
SCHEDULE = ModeCause("schedule", "office-hours", DoorMode.UNLOCKED)
ALL = (EVACUATION, LOCKDOWN, OPENING, BLOCKED, SCHEDULE)


def build(causes: tuple[ModeCause, ...]) -> Causes:
    built: Causes = ()
    for cause in causes:
        built = with_cause(built, cause)
    return built


def test_a_door_without_causes_is_locked_and_opened_for_each_grant() -> None:
    assert (desired(()), rank_of(())) == (DoorMode.LOCKED, (0, 0))


def test_fire_is_before_lockdown_before_an_opening_before_an_operator_before_the_schedule() -> None:
    causes, seen = build(ALL), []
    while causes:
        seen.append((causes[0].kind, desired(causes)))
        causes = without(causes, causes[0].kind, causes[0].cause_id)
    assert seen == [(one.kind, one.mode) for one in ALL]
    assert desired(causes) is CALM


def test_every_permutation_of_causes_and_releases_gives_the_same_mode() -> None:
    """Five causes start and any of them end, in every order in which an end comes after its start."""
    for ended in product((False, True), repeat=len(ALL)):
        left = [cause for cause, over in zip(ALL, ended, strict=True) if not over]
        expected = desired(ordered(left)), tuple(left)
        for order in permutations(range(len(ALL))):
            starting = build(tuple(ALL[index] for index in order))
            # Ends all together at the end, or each right after its start.
            together, at_once = starting, Causes()
            for index in order:
                at_once = with_cause(at_once, ALL[index])
                if ended[index]:
                    together = without(together, ALL[index].kind, ALL[index].cause_id)
                    at_once = without(at_once, ALL[index].kind, ALL[index].cause_id)
            assert (desired(together), together) == (desired(at_once), at_once) == expected


def test_of_two_lockdowns_the_higher_rank_leads_and_its_end_leaves_the_other() -> None:
    weak, strong = LOCKDOWN, ModeCause("lockdown", "bomb", DoorMode.LOCKED_DOWN, 5)
    for causes in permutations((weak, strong)):
        built = build(causes)
        assert rank_of(built) == (4, 5)
        assert desired(without(built, "lockdown", "bomb")) is DoorMode.LOCKED_DOWN
    assert desired(without(without(build((weak, strong)), "lockdown", "bomb"), "lockdown", "intruder")) is CALM


def test_a_scheduled_unlock_during_a_lockdown_takes_effect_when_the_lockdown_ends() -> None:
    causes = with_cause(build((LOCKDOWN,)), SCHEDULE)
    assert desired(causes) is DoorMode.LOCKED_DOWN
    assert desired(without(causes, "lockdown", "intruder")) is DoorMode.UNLOCKED


def test_of_equal_openings_the_more_open_mode_counts_and_of_equal_locks_the_stricter() -> None:
    unlocked = ModeCause("emergency_opening", "zz", DoorMode.UNLOCKED)
    assert desired(build((unlocked, OPENING))) is desired(build((OPENING, unlocked))) is DoorMode.LOCKED_OPEN
    opened = ModeCause("operator", "op-9", DoorMode.UNLOCKED)
    assert desired(build((opened, BLOCKED))) is desired(build((BLOCKED, opened))) is DoorMode.BLOCKED


def test_a_cause_that_is_not_there_is_not_missed() -> None:
    assert without(build(ALL), "lockdown", "another") == ALL
    assert find(ALL, "lockdown", "another") is None
    assert find(ALL, "lockdown", "intruder") is LOCKDOWN


KINDS: dict[str, list[DoorMode]] = {
    "schedule": [DoorMode.UNLOCKED, DoorMode.LOCKED],
    "operator": [DoorMode.UNLOCKED, DoorMode.LOCKED, DoorMode.BLOCKED],
    "emergency_opening": [DoorMode.LOCKED_OPEN, DoorMode.UNLOCKED],
    "lockdown": [DoorMode.LOCKED_DOWN],
    "evacuation": [DoorMode.LOCKED_OPEN],
}
CAUSES = st.sampled_from(
    [
        ModeCause(kind, cause_id, mode, rank)  # type: ignore[arg-type]
        for kind, modes in KINDS.items()
        for mode in modes
        for cause_id in "abc"
        for rank in range(4)
    ]
)


@given(st.lists(CAUSES, max_size=5, unique_by=lambda one: (one.kind, one.cause_id)), st.randoms())
def test_any_order_of_any_causes_gives_the_same(causes: list[ModeCause], chance: object) -> None:
    shuffled = list(causes)
    chance.shuffle(shuffled)  # type: ignore[attr-defined]
    assert build(tuple(causes)) == build(tuple(shuffled))


def model_mode(active: dict[tuple[str, str], tuple[str, int]]) -> str:
    """The mode by the rules as people tell them: kind by kind, no ordering of causes."""
    for kind, strictest in (
        ("evacuation", ("locked_open",)),
        ("lockdown", ("locked_down",)),
        ("emergency_opening", ("locked_open", "unlocked")),
        ("operator", ("blocked", "locked", "unlocked")),
        ("schedule", ("locked", "unlocked")),
    ):
        of_kind = {value for (one, _), value in active.items() if one == kind}
        if of_kind:
            highest = max(rank for _, rank in of_kind)
            modes = {mode for mode, rank in of_kind if rank == highest}
            return next(mode for mode in strictest if mode in modes)
    return "locked"


class AnyCauses(RuleBasedStateMachine):
    """Causes come and go; the door beside a model of it."""

    def __init__(self) -> None:
        super().__init__()
        self.causes: Causes = ()
        self.model: dict[tuple[str, str], tuple[str, int]] = {}

    @rule(cause=CAUSES)
    def start(self, cause: ModeCause) -> None:
        self.causes = with_cause(self.causes, cause)
        self.model[cause.kind, cause.cause_id] = (cause.mode.value, cause.rank)

    @rule(kind=st.sampled_from(sorted(KINDS)), cause_id=st.sampled_from("abc"))
    def end(self, kind: CauseKind, cause_id: str) -> None:
        self.causes = without(self.causes, kind, cause_id)
        self.model.pop((kind, cause_id), None)

    @invariant()
    def the_mode_is_the_models(self) -> None:
        assert desired(self.causes).value == model_mode(self.model)
        assert {(one.kind, one.cause_id) for one in self.causes} == set(self.model)


TestAnyCauses = pytest.mark.timeout(3600)(pytest.mark.chaos(AnyCauses.TestCase))
TestAnyCauses.settings = settings(stateful_step_count=20)
