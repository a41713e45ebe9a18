"""PINs are judged when they are set, and never shown."""

from __future__ import annotations

from pathlib import Path

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from schemas.pins import weakness
from tests.loading.folders import problems_of, written


@pytest.mark.branch("A1.15")
@pytest.mark.parametrize(
    ("pin", "rule"),
    [
        ("1234", "sequence"),
        ("98765", "sequence"),
        ("1111", "repeat itself"),
        ("121212", "repeat itself"),
        ("471", "4 to 12 digits"),
        ("4711471147110", "4 to 12 digits"),
        ("47a1", "digits only"),
    ],
)
def test_a_weak_pin_being_set_is_refused_with_the_rule_that_it_breaks(pin: str, rule: str, tmp_path: Path) -> None:
    set_as_pin = problems_of(written(tmp_path / "pin", pins_csv=f"credential,pin,duress_pin\nn0017,{pin},9823\n"))
    set_as_duress = problems_of(written(tmp_path / "duress", pins_csv=f"credential,pin,duress_pin\nn0017,9823,{pin}\n"))
    assert [line.startswith("pins.csv:2: the PIN of n0017 is refused: ") for line in set_as_pin] == [True]
    assert [line.startswith("pins.csv:2: the duress PIN of n0017 is refused: ") for line in set_as_duress] == [True]
    assert rule in set_as_pin[0]
    assert rule in set_as_duress[0]


def test_a_duress_pin_that_is_the_pin_is_refused(tmp_path: Path) -> None:
    (line,) = problems_of(written(tmp_path, pins_csv="credential,pin,duress_pin\nn0017,4711,4711\n"))
    assert line == "pins.csv:2: the duress PIN of n0017 is refused: the duress PIN must differ from the PIN"


def test_a_pin_credential_without_a_pin_is_refused(tmp_path: Path) -> None:
    (line,) = problems_of(written(tmp_path, pins_csv=None))
    assert line == "credentials.csv:4: credential n0017: is a PIN, and no file of pins has it: add it to pins.csv"


@settings(max_examples=60, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(pin=st.from_regex(r"[0-9]{3,13}", fullmatch=True))
def test_a_pin_is_taken_or_refused_as_its_strength_says_and_never_shown(pin: str, tmp_path: Path) -> None:
    found = problems_of(written(tmp_path, pins_csv=f"credential,pin\nn0017,{pin}\n"))
    assert len(found) == (weakness(pin) is not None)
    rule = weakness(pin) or ""
    assert all(pin not in line.replace(rule, "").replace("n0017", "") for line in found)
