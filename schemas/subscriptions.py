"""Reference data about who is sent which events: a filter, a channel of a recipient, and when (M2)."""

from __future__ import annotations

from typing import Annotated, Literal, Self

from pydantic import BeforeValidator, Field, model_validator

from schemas.base import Frozen, Id, Message, Text
from schemas.event_classes import SubscribedType
from schemas.vocabulary import Classification, Severity

MOST_EVENTS = 500
"""Events of one batch at most."""


def _not_duress(value: object) -> object:
    if isinstance(value, str) and value.startswith("duress"):
        raise ValueError("duress is for monitoring alone: give a recipient `monitoring: yes` instead")
    return value


WantedType = Annotated[SubscribedType, BeforeValidator(_not_duress)]


class EventFilter(Frozen):
    """Which events: those that fit each criterion that is given; of a criterion, one of its values is enough.

    A zone stands for all that lies in it: an event is there when it leads into or out of it, is about it, or happens
    at one of its doors or at a controller of one. An event that lacks what a criterion asks for (a door alarm has no
    severity) does not fit it.
    """

    classes: tuple[Classification, ...] = ()
    types: tuple[WantedType, ...] = ()
    site_ids: tuple[Id, ...] = ()
    zone_ids: tuple[Id, ...] = ()
    door_ids: tuple[Id, ...] = ()
    cardholder_ids: tuple[Id, ...] = ()
    severities: tuple[Severity, ...] = ()

    @model_validator(mode="after")
    def _asks_for_something(self) -> Self:
        if not any(getattr(self, name) for name in EventFilter.model_fields):
            raise ValueError(
                "an empty filter: give a criterion; `classes: [normal, abnormal, security, device]` are all events"
            )
        return self


class Subscription(Message):
    """A recipient is sent the events that it `wants`, by a channel of its own.

    `push`: each at once, one by one, in their order. `batch`: together, `every_s` after the first one that waits, or as
    soon as there are `most_events`. Paused, events are kept until it is active again. Duress is in no subscription.
    """

    type: Literal["subscription"] = "subscription"
    subscription_id: Id
    name: Text = ""
    status: Literal["active", "paused"] = "active"
    recipient_id: Id
    channel: Literal["webhook", "email"]
    wants: EventFilter
    delivery: Literal["push", "batch"]
    every_s: Annotated[int, Field(ge=1, le=86_400)] = 300
    most_events: Annotated[int, Field(ge=1, le=MOST_EVENTS)] = 100

    @model_validator(mode="after")
    def _mails_in_batches(self) -> Self:
        if self.channel == "email" and self.delivery == "push":
            raise ValueError("delivery: e-mail is sent in batches; for somebody to be told at once, raise an alert")
        return self
