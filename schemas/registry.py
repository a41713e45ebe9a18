"""Which model reads which message: every topic's discriminated union, and every type's topic."""

from __future__ import annotations

from collections.abc import Mapping
from functools import cache
from types import ModuleType
from typing import Annotated, Any, Union

from pydantic import Field, TypeAdapter

from schemas import (
    access,
    alert_requests,
    alerts,
    commands,
    deliveries,
    delivering,
    device_states,
    devices,
    door_alarms,
    door_modes,
    doors,
    exceptions,
    incidents,
    lockouts,
    notifications,
    operators,
    permission_snapshots,
    repair_requests,
    sending,
    threats,
)
from schemas.base import Message
from schemas.reference import ENTITIES
from schemas.topics import registry

LARGEST_VALUE = 262_144
"""A value above this many bytes is refused unread: no message of a person at a door is that large."""


def _models(*modules: ModuleType) -> dict[str, type[Message]]:
    found: dict[str, type[Message]] = {}
    for module in modules:
        for model in vars(module).values():
            if isinstance(model, type) and issubclass(model, Message) and "type" in model.model_fields:
                found[str(model.model_fields["type"].default)] = model
    return found


def _types() -> dict[str, type[Message]]:
    found = _models(
        access,
        alerts,
        commands,
        deliveries,
        delivering,
        device_states,
        devices,
        door_alarms,
        door_modes,
        doors,
        exceptions,
        incidents,
        lockouts,
        notifications,
        operators,
        permission_snapshots,
        repair_requests,
        sending,
        threats,
    )
    for entity in ENTITIES:
        found[str(entity.model.model_fields["type"].default)] = entity.model
    return found


MODELS: dict[str, type[Message]] = _types()
"""The model of each message type, requests that are named like what they ask for excepted."""

ASKED: dict[str, type[Message]] = _models(alert_requests)
"""The models of those requests."""

ASKED_ON = ("operator.requests", "duress.requests")
"""The topics where a name means a request."""


def model_of(topic: str, type_: str) -> type[Message] | None:
    """The model of a message type in a topic; None where there is none."""
    asked = ASKED.get(type_) if topic in ASKED_ON else None
    return asked or MODELS.get(type_)


@cache
def carried() -> dict[tuple[str, str], type[Message]]:
    """Every model, by the topic that it was made for and its type."""
    made = {(topic_of(type_), type_): model for type_, model in MODELS.items()}
    return made | {(ASKED_ON[0], type_): model for type_, model in ASKED.items()}


@cache
def topic_of(type_: str) -> str:
    """The topic that carries a message type; not one that is the same for other readers.

    Raises:
        KeyError: no topic does.
    """
    for topic in registry().values():
        if type_ in topic.messages and topic.same_as is None and model_of(topic.name, type_) is MODELS.get(type_):
            return topic.name
    raise KeyError(type_)


@cache
def reader(topic: str) -> TypeAdapter[Any]:
    """What reads a topic's values.

    Raises:
        KeyError: no such topic.
        LookupError: the topic carries no messages of ours.
    """
    models = tuple(model for name in registry()[topic].messages if (model := model_of(topic, name)) is not None)
    if not models:
        raise LookupError(f"{topic} carries no messages")
    if len(models) == 1:
        return TypeAdapter(models[0])
    union: Any = Annotated[Union[models], Field(discriminator="type")]  # noqa: UP007 - built from a tuple
    return TypeAdapter(union)


def decode(topic: str, value: bytes | None) -> Any:
    """The message in a record's value.

    Raises:
        ValueError: no value, too large, not JSON, of an unknown type or with wrong fields. The text names the fields
            and never repeats the input, which may hold a secret.
    """
    if value is None:
        raise ValueError("no value (a tombstone)")
    if len(value) > LARGEST_VALUE:
        raise ValueError(f"{len(value)} bytes, more than the {LARGEST_VALUE} that a message may have")
    adapter = reader(topic)
    try:
        message = adapter.validator.validate_json(value)
    except ValueError as error:
        raise ValueError(describe(error)) from None
    # Where a topic carries one type only, nothing else would ask for it.
    if "type" not in message.__pydantic_fields_set__:
        raise ValueError("type: Field required")
    return message


def describe(error: ValueError) -> str:
    """A validation error in one line, without its input."""
    problems = getattr(error, "errors", None)
    if problems is None:
        return str(error)
    # What is there and wrong says more than what is missing because of it.
    rows = sorted(problems(include_url=False, include_input=False), key=lambda row: row["type"] == "missing")
    return "; ".join(f"{'.'.join(map(str, row['loc'])) or 'value'}: {_said(row)}" for row in rows[:5])


def _said(problem: Mapping[str, Any]) -> str:
    """What is wrong, without the tag that the library's own text quotes."""
    if problem["type"] == "union_tag_invalid":
        context = problem["ctx"]
        return f"{context['discriminator']} is none of {context['expected_tags']}"
    return str(problem["msg"])
