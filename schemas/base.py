"""What all messages share: frozen, unknown fields ignored, no NaN, no control characters in what becomes a key."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Annotated, Any, TypeVar

import msgspec
from pydantic import (
    AwareDatetime,
    BaseModel,
    ConfigDict,
    Field,
    GetCoreSchemaHandler,
    GetJsonSchemaHandler,
    StringConstraints,
)
from pydantic_core import CoreSchema, core_schema

Id = Annotated[str, StringConstraints(min_length=1, max_length=128, pattern=r"^[^\x00-\x1f\x7f]+$")]
"""An identifier: 1 to 128 characters, none of them a control character."""

Text = Annotated[str, StringConstraints(max_length=2000, pattern=r"^[^\x00]*$")]
"""Free text for people: at most 2,000 characters, no null character (PostgreSQL stores none)."""

Counter = Annotated[int, Field(strict=True, ge=0, lt=2**53)]
"""A number that only rises and that every JSON reader keeps exactly; a text or a truth value is none."""


class TimeForm:
    """How a time is written in JSON; without this, pydantic takes numbers and parts of times, too.

    `years`: a regular expression of the years that there are, and in words; None = all (`every_year`).
    """

    def __init__(self, years: tuple[str, str] | None = None) -> None:
        self.every_year = years is None
        year, words = years or (r"\d{4}", "")
        self._form = rf"^{year}-\d\d-\d\d[Tt ]\d\d:\d\d:\d\d(\.\d+)?([Zz]|[+-]\d\d:\d\d)$"
        self._meant = f"a time is RFC 3339 with an offset{words}, such as 2026-03-02T08:59:58.120+08:00"
        self._pattern = {"pattern": rf"^{year}-"} if years else {}

    def __get_pydantic_core_schema__(self, source: Any, handler: GetCoreSchemaHandler) -> CoreSchema:
        moment, text = handler(source), core_schema.str_schema(pattern=self._form)
        said = core_schema.custom_error_schema(text, "time_form", custom_error_message=self._meant)
        return core_schema.json_or_python_schema(core_schema.chain_schema([said, moment]), moment)

    def __get_pydantic_json_schema__(self, _: CoreSchema, __: GetJsonSchemaHandler) -> dict[str, Any]:
        return {"type": "string", "format": "date-time", **self._pattern}


Timestamp = Annotated[AwareDatetime, TimeForm()]
"""RFC 3339 with an offset."""

ClockReading = Annotated[AwareDatetime, TimeForm((r"(19\d\d|2[01]\d\d)", " and a year from 1900 to 2199"))]
"""A sender's clock, as a `Timestamp`. One that was reset shows 1970 or 2000; what shows year 1 or 9999 is none."""


class Frozen(BaseModel):
    """A part of a message."""

    model_config = ConfigDict(frozen=True, extra="ignore", allow_inf_nan=False)


def _fields(part: Any) -> Any:
    if isinstance(part, BaseModel):
        return part.__dict__
    raise TypeError(f"no JSON form of {type(part).__name__}: give the field a type that msgspec writes")


# Byte for byte what pydantic writes (tests/schemas/test_values.py), in a third of the time.
_encode = msgspec.json.Encoder(enc_hook=_fields).encode


def part_to_json(part: Any) -> bytes:
    """A part of a message as it stands in the message."""
    return _encode(part)


class Message(Frozen):
    """A message: `type` (given by each subclass as a literal) tells which one."""

    def to_json(self) -> bytes:
        """The value as it is published: one JSON object, UTF-8."""
        return _encode(self.__dict__)


M = TypeVar("M")


def trusted(model: type[M]) -> Callable[[Mapping[str, Any]], M]:
    """What makes a model of fields that have their final types already: nothing is checked or converted.

    For what this process makes of decoded messages, many times a second. A field that is left out without having a
    default is noticed when the message is written.
    """
    cls: Any = model
    template = {name: field.get_default(call_default_factory=False) for name, field in cls.model_fields.items()}
    names = set(template)
    count = len(template)
    new, put = object.__new__, object.__setattr__

    def make(fields: Mapping[str, Any]) -> M:
        values = {**template, **fields}
        if len(values) != count:
            raise TypeError(f"{cls.__name__} has no field {', '.join(sorted(fields.keys() - names))}")
        made: M = new(cls)
        put(made, "__dict__", values)
        put(made, "__pydantic_fields_set__", names)
        put(made, "__pydantic_extra__", None)
        put(made, "__pydantic_private__", None)
        return made

    return make


class DeviceMessage(Message):
    """What a controller sends. `(device_id, boot, sequence)` identifies it; `boot` counts the controller's starts.

    `occurred_at` is the device's clock: reported and measured, never decisive.
    """

    site_id: Id
    device_id: Id
    boot: Counter
    sequence: Counter
    occurred_at: ClockReading


class JournalPosition(Frozen):
    """Where the deciding journal entry stands."""

    partition: int
    number: int


class RequestNumber(Frozen):
    """Which pending request of a controller is meant."""

    boot: Counter
    sequence: Counter
