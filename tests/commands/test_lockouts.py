"""`doorstream lockouts`: which lock is meant, and which are in force."""

from __future__ import annotations

from datetime import UTC, datetime
from typing import Any

import pytest

from streams.commands.lockouts import _concerns, _holds, _the_lock
from streams.commands.running import CommandError

NOW = datetime(2026, 3, 2, 9, 0, tzinfo=UTC)


def lock(subject: str, id_: str, site: str = "hq", scope: str = "site") -> dict[str, Any]:
    return {"subject": subject, "subject_id": id_, "site_id": site, "scope": scope}


FOUND = [
    lock("credential", "c17"),
    lock("cardholder", "p17"),
    lock("cardholder", "p17", scope="everywhere"),
    lock("cardholder", "x"),
    lock("access-point", "x"),
    lock("cardholder", "p18", "hq"),
    lock("cardholder", "p18", "lab"),
]


def test_a_lock_is_named_by_its_id_or_by_its_subject_and_id() -> None:
    assert _the_lock(FOUND, "c17") is _the_lock(FOUND, "credential/c17") is FOUND[0]
    assert _the_lock(FOUND, "p17") is FOUND[1]
    assert _the_lock(FOUND[2:3], "cardholder/p17") is FOUND[2]
    assert _the_lock(FOUND, "access-point/x") is FOUND[4]


@pytest.mark.parametrize(
    ("subject", "says"),
    [("nobody", "lockouts list"), ("x", "access-point/x or cardholder/x"), ("p18", "hq, lab: give --site")],
)
def test_what_names_none_or_several_says_what_to_do(subject: str, says: str) -> None:
    with pytest.raises(CommandError, match=says):
        _the_lock(FOUND, subject)


def test_what_holds_everywhere_concerns_every_site() -> None:
    assert [_concerns(one, "lab") for one in FOUND] == [False, False, True, False, False, False, True]


@pytest.mark.parametrize(
    ("until", "held"),
    [(None, True), ("2026-03-02T09:00:01+00:00", True), ("2026-03-02T09:00:00+00:00", False), ("soon", False)],
)
def test_a_lock_holds_until_its_end(until: str | None, held: bool) -> None:
    assert _holds({"locked_until": until}, NOW) is held
