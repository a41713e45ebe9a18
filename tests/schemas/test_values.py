from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from schemas.access import AccessGranted
from schemas.base import JournalPosition, trusted
from schemas.registry import MODELS, decode

EXAMPLES = Path(__file__).parents[1] / "examples"


def messages() -> list[Any]:
    return [
        pytest.param(decode(path.parts[-3], path.read_bytes()), id="/".join(path.parts[-3:]))
        for path in sorted(EXAMPLES.glob("*/v*/*.json"))
    ]


@pytest.mark.parametrize("message", messages())
def test_a_message_is_written_byte_for_byte_as_pydantic_writes_it(message: Any) -> None:
    assert message.to_json() == message.model_dump_json().encode()


@pytest.mark.parametrize("message", messages())
def test_a_trusted_message_is_the_one_that_validation_gives(message: Any) -> None:
    make: Any = trusted(type(message))
    assert make(dict(message)) == message
    required = {name: value for name, value in message if type(message).model_fields[name].is_required()}
    assert make(required).to_json() == type(message)(**required).to_json()


def test_fields_of_a_trusted_message_are_written_in_the_models_order() -> None:
    message = decode("access.decisions", (EXAMPLES / "access.decisions/v1/access_granted.json").read_bytes())
    backwards = dict(reversed(list(message)))
    make: Any = trusted(AccessGranted)
    assert make(backwards).to_json() == message.to_json()


def test_a_trusted_message_takes_no_field_that_the_model_lacks() -> None:
    make: Any = trusted(JournalPosition)
    with pytest.raises(TypeError, match="JournalPosition has no field nmuber"):
        make({"partition": 1, "nmuber": 2})


def test_a_trusted_message_without_a_required_field_cannot_be_written() -> None:
    make: Any = trusted(MODELS["access_door"])
    with pytest.raises(TypeError, match="no JSON form"):
        make({"command_id": "c"}).to_json()
