"""A change of a schema names whom it breaks, and no committed change breaks anybody."""

from __future__ import annotations

import json
import subprocess
from pathlib import Path
from typing import Annotated, Any, Literal

import pytest
from pydantic import BaseModel, Field

from schemas.compatibility import breaks
from schemas.json_schema import FOLDER, path_of, text_of
from schemas.registry import carried

ROOT = Path(__file__).parents[2]


class Part(BaseModel):
    size: int


class Old(BaseModel):
    type: Literal["t"] = "t"
    name: str
    colour: Literal["red", "blue"] = "red"
    size: Annotated[int, Field(ge=0)] = 0
    parts: tuple[Part, ...] = ()
    note: str | None = None


def _changes(**fields: object) -> list[tuple[str, str]]:
    annotations = {name: value for name, value in fields.items() if value is not None}
    base = {k: v for k, v in Old.__annotations__.items() if k not in fields or fields[k] is not None}
    new: Any = type(
        "New",
        (BaseModel,),
        {
            "__annotations__": base | {k: v[0] if isinstance(v, tuple) else v for k, v in annotations.items()},
            "__module__": __name__,
            "type": "t",
            **{k: v[1] for k, v in annotations.items() if isinstance(v, tuple)},
        },
    )
    found = breaks(Old.model_json_schema(), new.model_json_schema())
    return [(found_one.path, found_one.who) for found_one in found]


def test_nothing_changed_breaks_nobody() -> None:
    schema = Old.model_json_schema()
    assert breaks(schema, schema) == []


def test_a_new_optional_field_breaks_nobody() -> None:
    class New(Old):
        more: int = 0

    assert breaks(Old.model_json_schema(), New.model_json_schema()) == []


def test_a_new_required_field_breaks_old_writers() -> None:
    class New(Old):
        more: int

    assert [(b.path, b.who) for b in breaks(Old.model_json_schema(), New.model_json_schema())] == [("more", "writers")]


def test_a_required_field_that_goes_breaks_old_readers() -> None:
    class New(BaseModel):
        type: Literal["t"] = "t"
        colour: Literal["red", "blue"] = "red"
        size: Annotated[int, Field(ge=0)] = 0
        parts: tuple[Part, ...] = ()
        note: str | None = None

    assert [(b.path, b.who) for b in breaks(Old.model_json_schema(), New.model_json_schema())] == [("name", "readers")]


@pytest.mark.parametrize(
    ("field", "annotation", "who"),
    [
        ("colour", Literal["red"], "writers"),
        ("colour", Literal["red", "blue", "green"], "readers"),
        ("size", Annotated[int, Field(ge=5)], "writers"),
        ("note", str, "writers"),
        ("name", str | None, "readers"),
        ("name", int, "writers"),
    ],
)
def test_a_change_of_a_field_names_who_breaks(field: str, annotation: object, who: str) -> None:
    assert (field, who) in _changes(**{field: annotation})


def test_a_change_inside_a_list_is_found() -> None:
    class BigPart(BaseModel):
        size: int
        weight: int

    assert ("parts[].weight", "writers") in _changes(parts=tuple[BigPart, ...])


@pytest.mark.parametrize(("topic", "type_"), sorted(carried()))
def test_the_snapshot_is_the_model(topic: str, type_: str) -> None:
    wanted = text_of(topic, type_)
    assert path_of(topic, type_).read_text(encoding="utf-8") == wanted, "run: python -m schemas.json_schema"


def test_there_is_no_snapshot_without_a_model() -> None:
    assert {(path.parent.name, path.stem) for path in FOLDER.rglob("*.json")} == set(carried())


def test_what_is_committed_is_still_readable() -> None:
    """Against the newest tagged release where there is one: no old message stops decoding, no old controller breaks."""
    tag = subprocess.run(
        ["git", "describe", "--tags", "--abbrev=0"], cwd=ROOT, capture_output=True, text=True, check=False
    ).stdout.strip()
    if not tag:
        pytest.skip("no release has been tagged yet, so nobody holds an older schema")
    for path in FOLDER.rglob("*.json"):
        name = path.relative_to(ROOT)
        shown = subprocess.run(["git", "show", f"{tag}:{name}"], cwd=ROOT, capture_output=True, check=False)
        if shown.returncode == 0:
            found = breaks(json.loads(shown.stdout), json.loads(path.read_text(encoding="utf-8")))
            assert [b for b in found if b.who == "writers" or path.parent.name == "device.commands"] == []
