"""From the words of files to the models' fields, by rule, with every error at its line.

A record's own id is `id`; `door_id` is written `door` and `zone_ids` `zones`. Where a rule has an `enforcement`, the
word alone will do (`passback: hard`); a method may be written `card` or `card + pin`; days `mon-fri`. A date alone is
the whole day in the time zone of the (first) site: `valid_until` includes it.
"""

from __future__ import annotations

import re
import types
from collections.abc import Iterator, Mapping, Sequence
from datetime import MAXYEAR, datetime, timedelta
from functools import cache
from typing import Annotated, Any, Literal, NamedTuple, Union, get_args, get_origin
from zoneinfo import ZoneInfo

from pydantic import AwareDatetime, BaseModel, ValidationError

from schemas.base import Message
from schemas.reference import Entity
from streams.loading.problems import Problem, nearest
from streams.loading.sources import Node

_DATE = re.compile(r"^\d{4}-\d{2}-\d{2}$")
_DAYS = ("mon", "tue", "wed", "thu", "fri", "sat", "sun")
_LONGEST_SHOWN = 60


def file_name(field: str, own_id: str | None = None) -> str:
    """How a model's field is written in files."""
    if field == own_id:
        return "id"
    if field.endswith("_ids"):
        return field.removesuffix("_ids") + "s"
    return field.removesuffix("_id")


@cache
def names(model: type[BaseModel], own_id: str | None = None) -> Mapping[str, str]:
    """The names that a model's fields have in files, each with the field."""
    return {file_name(field, own_id): field for field in model.model_fields if field != "type"}


class Reader:
    """Makes records of nodes. `zone` is the time zone of moments that give none."""

    def __init__(self, problems: list[Problem], zone: ZoneInfo | None = None) -> None:
        self.problems = problems
        self.zone = zone

    def record(
        self, entity: Entity, node: Node, given: Mapping[str, Any] | None = None, also: tuple[str, ...] = ()
    ) -> Message | None:
        """A record of an entity; None, and problems, where it can't be one.

        `given` are fields that the file need not name; `also` are names that somebody else reads.
        """
        if not isinstance(node.value, dict):
            self.problems.append(node.problem(f"a {entity.name} is a mapping of names to values, such as `id: ...`"))
            return None
        before = len(self.problems)
        values = {**(given or {}), **self._values(entity.model, node, entity.id_field, also)}
        label = f"{entity.name} {values.get(entity.id_field, '')}".strip()
        self.problems[before:] = [p._replace(text=f"{label}: {p.text}") for p in self.problems[before:]]
        return self._validated(entity, label, node, values, quiet=len(self.problems) > before)

    def _validated(
        self, entity: Entity, label: str, node: Node, values: dict[str, Any], *, quiet: bool
    ) -> Message | None:
        try:
            record = entity.model.model_validate(values)
        except ValidationError as error:
            rows = error.errors(include_url=False, include_context=False, include_input=False)
            for row in rows:
                # A list counts as too short where its items are wrong: the items' own errors say it all.
                inside = any(
                    len(r["loc"]) > len(row["loc"]) and r["loc"][: len(row["loc"])] == row["loc"] for r in rows
                )
                if not inside:
                    missing = row["type"] == "missing"
                    self.problems.append(_told(entity, label, node, row["loc"], row["msg"], missing=missing))
            return None
        return None if quiet else record

    def _values(
        self, model: type[BaseModel], node: Node, own_id: str | None = None, also: tuple[str, ...] = ()
    ) -> dict[str, Any]:
        known, shapes = names(model, own_id), _shapes(model)
        values: dict[str, Any] = {}
        for name, child in node.fields.items():
            if name in also:
                continue
            field = known.get(name)
            if field is None:
                self.problems.append(child.problem(f"{name} is not known{nearest(name, {*known, *also})}"))
            elif child.value is not None:
                values[field] = self._value(field, shapes[field], child)
        return values

    def _value(self, field: str, shape: Shape, node: Node) -> Any:
        if node.fields:
            model = _chosen(shape.models, node)
            if model is not None:
                return self._values(model, node)
            return {name: self._value(field, _UNKNOWN, child) for name, child in node.fields.items()}
        if field == "days" and node.text is not None and shape.element is not None and not shape.element.models:
            return _days(node.text)
        if shape.element is not None:
            return [self._value("", shape.element, item) for item in node.items]
        if isinstance(node.value, tuple):
            return [self._value(field, _UNKNOWN, item) for item in node.value]
        if node.text is None:
            return {} if isinstance(node.value, dict) else None
        if shape.models:
            return _short(shape.models, node.text)
        return self._moment(field, node.text) if shape.moment else node.text

    def _moment(self, field: str, text: str) -> str:
        """A moment with an offset; what is none is handed on, for the model to refuse."""
        try:
            moment = datetime.fromisoformat(text)
        except ValueError:
            return text
        if moment.tzinfo is None and self.zone is not None:
            if _DATE.match(text) and field == "valid_until" and moment.year < MAXYEAR:
                moment += timedelta(days=1)
            moment = moment.replace(tzinfo=self.zone)
        return moment.isoformat()


class Shape(NamedTuple):
    """What a field may hold: models, a list of `element`, or a moment; else a plain value."""

    models: tuple[type[BaseModel], ...] = ()
    element: Shape | None = None
    moment: bool = False


_UNKNOWN = Shape()


@cache
def _shapes(model: type[BaseModel]) -> dict[str, Shape]:
    return {name: _shape(field.annotation) for name, field in model.model_fields.items()}


def _shape(annotation: Any) -> Shape:
    parts = list(_parts(annotation))
    models = tuple(part for part in parts if isinstance(part, type) and issubclass(part, BaseModel))
    elements = [get_args(part)[0] for part in parts if get_origin(part) is tuple]
    return Shape(models, _shape(elements[0]) if elements else None, AwareDatetime in parts)


def _parts(annotation: Any) -> Iterator[Any]:
    """The plain types in an annotation of one value: what unions and `Annotated` hold."""
    origin = get_origin(annotation)
    if origin is Annotated:
        yield from _parts(get_args(annotation)[0])
    elif origin in {Union, types.UnionType}:
        for part in get_args(annotation):
            yield from _parts(part)
    else:
        yield annotation


def _chosen(models: Sequence[type[BaseModel]], node: Node) -> type[BaseModel] | None:
    """The one model, or of several the one whose `kind` is given, if any."""
    if len(models) <= 1:
        return models[0] if models else None
    kind = node.at("kind").text
    for model in models:
        kinds = model.model_fields.get("kind")
        if kinds is not None and get_origin(kinds.annotation) is Literal and kind in get_args(kinds.annotation):
            return model
    return None


def _short(models: Sequence[type[BaseModel]], text: str) -> Any:
    if len(models) == 1:
        return {"enforcement": text} if "enforcement" in models[0].model_fields else text
    factors = [part.strip() for part in text.split("+")]
    if len(factors) == 1:
        return {"kind": "single", "factor": factors[0]}
    return {"kind": "all_required", "factors": factors}


def _days(text: str) -> list[str]:
    """`mon-fri`, `daily`, `sat, sun`; what is none of these is handed on, for the model to refuse."""
    found: list[str] = []
    for part in (p.strip() for p in re.split(r"[;,\s]+", text)):
        first, dash, last = part.partition("-")
        if part == "daily":
            found.extend(_DAYS)
        elif dash and first in _DAYS and last in _DAYS:
            start, end = _DAYS.index(first), _DAYS.index(last)
            found.extend(_DAYS[(start + n) % 7] for n in range((end - start) % 7 + 1))
        else:
            found.append(part)
    return found


def _told(
    entity: Entity, label: str, node: Node, loc: tuple[int | str, ...], message: str, *, missing: bool
) -> Problem:
    path: list[str | int] = []
    here = node
    for index, part in enumerate(loc):
        name = file_name(part, entity.id_field if index == 0 else None) if isinstance(part, str) else part
        below = here.at(name)
        # The tag of a union is no place in the file.
        if below is not here or isinstance(name, int) or index == 0 or (missing and index == len(loc) - 1):
            path.append(name)
        here = below
    shown = "".join(f"[{part + 1}]" if isinstance(part, int) else f".{part}" for part in path).lstrip(".")
    text = message.removeprefix("Value error, ")
    text = text[:1].lower() + text[1:]
    given = repr(here.text[:_LONGEST_SHOWN]) if here.text is not None and not missing else ""
    if given and given not in text:
        text += f", not {given}"
    return here.problem(f"{label}: {shown}: {text}" if shown else f"{label}: {text}")
