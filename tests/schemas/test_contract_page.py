"""The examples on the contract's page, read as they were promised."""

from __future__ import annotations

import json
import re
from pathlib import Path
from typing import Any

import pytest

from schemas.registry import MODELS, decode, topic_of

PAGE = Path(__file__).resolve().parents[2] / "docs" / "contract.md"
TIME = "2026-03-02T08:59:58.120+08:00"


def promised() -> list[dict[str, Any]]:
    """Every example, with `...` filled in, and `as above` replaced by what is above."""
    block = PAGE.read_text(encoding="utf-8").partition("```json")[2].partition("```")[0]
    found: list[dict[str, Any]] = []
    above: dict[str, str] = {"access_recorded": "access_requested", "access_denied": "access_granted"}
    for text in re.split(r"\n\n", block.strip()):
        example = json.loads(text)
        if example.pop("...", None) is not None:
            base = next(one for one in found if one["type"] == above[example["type"]])
            example = {**base, **example}
        found.append(
            {
                name: (TIME if name.endswith("_at") else "x") if value == "..." else value
                for name, value in example.items()
            }
        )
    return found


@pytest.mark.parametrize("example", [one for one in promised() if one["type"] in MODELS], ids=lambda one: one["type"])
def test_a_promised_example_decodes(example: dict[str, Any]) -> None:
    message = decode(topic_of(example["type"]), json.dumps(example).encode())
    written = json.loads(message.to_json())
    assert set(example) <= set(written)


def test_the_page_has_examples_of_what_controllers_send_and_are_sent() -> None:
    assert {"access_requested", "access_granted", "access_door", "command_confirmed"} <= {
        one["type"] for one in promised()
    }
