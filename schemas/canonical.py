"""Messages of ours, read back in a fifth of the time: exactly where they are byte for byte what we write.

A model's mirror is a `msgspec` struct with the same fields, types and limits. What it reads and writes back as the very
same bytes has no other reading: no unknown or repeated field, no number or time in another form. Everything else is
left to the model, so what is a message and what is none stays the model's to say.
"""

from __future__ import annotations

import contextlib
import enum
import types
from collections.abc import Callable, Mapping, Sequence
from dataclasses import asdict
from datetime import datetime
from functools import cache
from typing import Annotated, Any, ClassVar, Literal, Union, get_args, get_origin, get_type_hints

import annotated_types
import msgspec
from pydantic import AwareDatetime, BaseModel, StringConstraints
from pydantic.fields import FieldInfo
from pydantic.types import Strict

from schemas.base import Id, Message, Text, TimeForm

_PATTERNS = {get_args(kind)[1].pattern for kind in (Id, Text)}
"""They forbid control characters only, and those are screened in the bytes."""

_VALIDATORS = ("validators", "field_validators", "root_validators", "model_validators")

_encode = msgspec.json.Encoder().encode
_ESCAPE, _DELETE = b"\\", b"\x7f"


class Canonical(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True, gc=False):
    """A message, or a part of one, with the fields of its model."""

    model: ClassVar[type[BaseModel]]

    def to_json(self) -> bytes:
        """The value as it is published."""
        return _encode(self)


def _limits(notes: tuple[Any, ...]) -> dict[str, Any]:
    """What `msgspec.Meta` says of pydantic's constraints.

    Raises:
        TypeError: one is not known here.
    """
    limits: dict[str, Any] = {}
    for note in notes:
        match note:
            case FieldInfo():
                limits |= _limits(tuple(note.metadata))
            case StringConstraints() if {note.strip_whitespace, note.to_lower, note.to_upper} == {None}:
                if note.pattern is not None and note.pattern not in _PATTERNS:
                    raise TypeError(f"a pattern that the screen does not stand for: {note.pattern!r}")
                limits |= {"min_length": note.min_length, "max_length": note.max_length}
            case (
                annotated_types.Ge()
                | annotated_types.Le()
                | annotated_types.Lt()
                | annotated_types.MinLen()
                | annotated_types.MaxLen()
            ):
                limits |= asdict(note)
            case Strict() | TimeForm(every_year=True):
                pass  # a number or a time in another form is not written back the same
            case _:
                raise TypeError(f"a constraint that has no mirror: {note!r}")
    return limits


def _mirrored(hint: Any) -> Any:
    """The type that stands for a field's type.

    Raises:
        TypeError: none does.
    """
    origin, arguments = get_origin(hint), get_args(hint)
    if origin is Annotated:
        return Annotated[_mirrored(arguments[0]), msgspec.Meta(**_limits(arguments[1:]))]
    if origin in {Union, types.UnionType}:
        return Union[tuple(_mirrored(one) for one in arguments)]  # noqa: UP007 - built from a tuple
    if origin is tuple:
        return tuple[tuple(one if one is ... else _mirrored(one) for one in arguments)]  # type: ignore[misc]
    if origin is Literal:
        # Of some words of an enumeration: they are texts, too.
        return Literal[tuple(one.value if isinstance(one, enum.StrEnum) else one for one in arguments)]
    if hint in {str, int, float, bool, types.NoneType}:
        return hint
    if hint is AwareDatetime:
        return Annotated[datetime, msgspec.Meta(tz=True)]
    if isinstance(hint, type) and issubclass(hint, enum.StrEnum):
        return hint
    if isinstance(hint, type) and issubclass(hint, BaseModel):
        return mirror(hint)
    raise TypeError(f"a type that has no mirror: {hint!r}")


@cache
def mirror(model: type[BaseModel]) -> type[Canonical]:
    """The struct with a model's fields, in its order.

    Raises:
        TypeError: a field's type or constraint has no mirror.
    """
    hints = get_type_hints(model, include_extras=True)
    if any(getattr(model.__pydantic_decorators__, kind) for kind in _VALIDATORS):
        raise TypeError(f"{model.__name__} has a validator of its own, which has no mirror")
    fields: list[tuple[str, Any] | tuple[str, Any, Any]] = []
    for name, field in model.model_fields.items():
        kind = _mirrored(hints[name])
        if field.alias is not None or field.validation_alias is not None:
            raise TypeError(f"{model.__name__}.{name} has another name in messages")
        if FieldInfo.from_annotation(hints[name]).metadata != field.metadata:
            raise TypeError(f"{model.__name__}.{name} has a constraint beside its type, which has no mirror")
        # Where a type of its own does not say so, a message has to name it.
        wanted = field.is_required() or name == "type"
        fields.append((name, kind) if wanted else (name, kind, field.get_default(call_default_factory=False)))
    made: Any = msgspec.defstruct(
        model.__name__,
        fields,
        bases=(Canonical,),
        namespace={"model": model},
        module=__name__,
        frozen=True,
        kw_only=True,
        gc=False,
    )
    mirrored: type[Canonical] = made
    return mirrored


def model_of(kind: type) -> type:
    """The model of a message's class, be it a mirror or the model itself."""
    return kind.model if issubclass(kind, Canonical) else kind


class Reader:
    """Reads the messages of some types; those of a model without a mirror are left to it.

    `unkept` names lists that are checked like all else and then let go: they are empty in what is given.
    """

    def __init__(self, models: Mapping[str, type[Message]], unkept: Sequence[str] = ()) -> None:
        self._decoders: dict[bytes, tuple[Callable[[bytes], Any], tuple[str, ...]]] = {}
        for type_, model in models.items():
            with contextlib.suppress(TypeError):
                decode = msgspec.json.Decoder(mirror(model)).decode
                self._decoders[type_.encode()] = decode, tuple(name for name in unkept if name in model.model_fields)

    def read(self, type_: bytes | None, value: bytes) -> Any:
        """The message in its mirror; None where the model has to be asked."""
        found = self._decoders.get(type_) if type_ is not None else None
        if found is None or _ESCAPE in value or _DELETE in value:
            return None
        decode, unkept = found
        try:
            message = decode(value)
            if _encode(message) != value:
                return None
        except ValueError:  # what msgspec raises for wrong values, too
            return None
        for name in unkept:
            msgspec.structs.force_setattr(message, name, ())
        return message
