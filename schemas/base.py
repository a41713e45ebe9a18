"""What all messages share: frozen, unknown fields ignored, no NaN, no control characters in what becomes a key."""

from __future__ import annotations

from typing import Annotated, Any

from pydantic import AwareDatetime, BaseModel, ConfigDict, Field, StringConstraints

Id = Annotated[str, StringConstraints(min_length=1, max_length=128, pattern=r"^[^\x00-\x1f\x7f]+$")]
"""An identifier: 1 to 128 characters, none of them a control character."""

Text = Annotated[str, StringConstraints(max_length=2000, pattern=r"^[^\x00]*$")]
"""Free text for people: at most 2,000 characters, no null character (PostgreSQL stores none)."""

Counter = Annotated[int, Field(strict=True, ge=0, lt=2**53)]
"""A number that only rises and that every JSON reader keeps exactly; a text or a truth value is none."""

Timestamp = AwareDatetime
"""RFC 3339 with an offset."""


class Frozen(BaseModel):
    """A part of a message."""

    model_config = ConfigDict(frozen=True, extra="ignore", allow_inf_nan=False)


class Message(Frozen):
    """A message: `type` (given by each subclass as a literal) tells which one."""

    def to_json(self) -> bytes:
        """The value as it is published: one JSON object, UTF-8."""
        serializer: Any = self.__pydantic_serializer__
        result: bytes = serializer.to_json(self)
        return result


class DeviceMessage(Message):
    """What a controller sends. `(device_id, boot, sequence)` identifies it; `boot` counts the controller's starts.

    `occurred_at` is the device's clock: reported and measured, never decisive.
    """

    site_id: Id
    device_id: Id
    boot: Counter
    sequence: Counter
    occurred_at: Timestamp


class JournalPosition(Frozen):
    """Where the deciding journal entry stands."""

    partition: int
    number: int


class RequestNumber(Frozen):
    """Which pending request of a controller is meant."""

    boot: Counter
    sequence: Counter
