"""Reference data about who is told of alerts: recipients with their addresses, and who is on call when."""

from __future__ import annotations

import re
from datetime import date as Date  # noqa: N812 - as in schemas.rules
from typing import Annotated, Literal, Self

from pydantic import Field, StringConstraints, model_validator

from schemas.base import Frozen, Id, Message, Text, Timestamp
from schemas.places import TimeZone

AddressChannel = Literal["email", "sms", "phone", "webhook", "alertmanager-webhook", "alertmanager"]
"""What an alert asks for as `webhook` may be any of the last three: one's own program, one that takes what
Alertmanager's webhooks send (version 4), or Alertmanager itself (its API v2)."""

KEEPING = ("alertmanager-webhook", "alertmanager")
"""What keeps alerts itself, and is told when one is over."""

WEBHOOKS = ("webhook", "alertmanager-webhook", "alertmanager")

_EMAIL = re.compile(r"[^\s@,;<>\"]+@[^\s@,;<>\"]+")
_NUMBER = re.compile(r"\+?[0-9][0-9 ().-]{2,30}")
_HTTP = re.compile(r"https?://[^\s/]+\S*")
_URL = re.compile(r"[A-Za-z][A-Za-z0-9+.-]*://\S+")

HandOver = Annotated[str, StringConstraints(pattern=r"^([01]\d|2[0-3]):[0-5]\d$")]
"""Local wall time `HH:MM`."""


class Address(Frozen):
    """Where a recipient is reached.

    `to` is an e-mail address, a telephone number, or a URL: for `webhook` `http(s)://` or any other that apprise knows.
    It may hold a token: outside of this record only a masked form is shown.
    """

    channel: AddressChannel
    to: Annotated[str, StringConstraints(min_length=3, max_length=1000, pattern=r"^[^\x00-\x1f\x7f]+$")] = Field(
        repr=False
    )

    @model_validator(mode="after")
    def _fits_its_channel(self) -> Self:
        wanted, said = _FORMS[self.channel]
        if wanted.fullmatch(self.to) is None:
            # The address may hold a token, so it is not repeated.
            raise ValueError(f"to: what is given for {self.channel} is no {said}")
        return self


_FORMS = {
    "email": (_EMAIL, "e-mail address, such as duty@example.org"),
    "sms": (_NUMBER, "telephone number, such as +86 10 5550 0199"),
    "phone": (_NUMBER, "telephone number, such as +86 10 5550 0199"),
    "webhook": (_URL, "URL, such as https://example.org/hook"),
    "alertmanager-webhook": (_HTTP, "URL of a web server, such as https://example.org/hook"),
    "alertmanager": (_HTTP, "URL of an Alertmanager, such as http://alertmanager:9093"),
}


class Recipient(Message):
    """Somebody, or some program, that is told of alerts.

    `addresses` in order of preference, one of each channel: where the asked one fails, the others take its place in
    that order. `groups` are the roles that policies name. Without `site_ids` it is told of alerts of every site.
    `monitoring`: is told of duress, which nobody else is. At most `burst` messages about alerts of a site that are not
    critical at once, then `most_per_minute`; what is above waits and is told in one message.
    """

    type: Literal["recipient"] = "recipient"
    recipient_id: Id
    name: Text = ""
    status: Literal["active", "inactive"] = "active"
    language: Literal["en", "zh"] = "en"
    addresses: Annotated[tuple[Address, ...], Field(min_length=1, max_length=6)]
    groups: tuple[Id, ...] = ()
    site_ids: tuple[Id, ...] = ()
    monitoring: bool = False
    burst: Annotated[int, Field(ge=1, le=1000)] = 10
    most_per_minute: Annotated[int, Field(ge=1, le=600)] = 6

    @model_validator(mode="after")
    def _has_one_address_of_each_channel(self) -> Self:
        channels = [address.channel for address in self.addresses]
        twice = sorted({channel for channel in channels if channels.count(channel) > 1})
        if twice:
            raise ValueError(f"addresses: {', '.join(twice)} is given twice: make two recipients of one group")
        return self

    def address(self, channel: str) -> Address | None:
        """Where it is reached by a channel."""
        return next((one for one in self.addresses if one.channel == channel), None)


class StandIn(Frozen):
    """Somebody else is on call from one moment (included) to another (excluded)."""

    recipient_id: Id
    from_at: Timestamp
    until_at: Timestamp

    @model_validator(mode="after")
    def _ends_after_it_begins(self) -> Self:
        if self.until_at <= self.from_at:
            raise ValueError("until_at is not after from_at")
        return self


class OnCall(Message):
    """Who is on call when: `members` take turns, each for `turn` hand-overs, the first from `first_day` on.

    Hand-over is at `handover_at` of each day, in the time zone. `["08:00"]` with a turn of 7 is a week each;
    `["08:00", "20:00"]` with a turn of 1 are shifts of twelve hours. The last stand-in that fits counts. Policies name
    it like a recipient; the alert goes to who is on call when the step is sent.
    """

    type: Literal["on_call"] = "on_call"
    on_call_id: Id
    name: Text = ""
    site_ids: tuple[Id, ...] = ()
    time_zone: TimeZone
    first_day: Date
    handover_at: Annotated[tuple[HandOver, ...], Field(min_length=1, max_length=24)] = ("08:00",)
    turn: Annotated[int, Field(ge=1, le=1000)] = 7
    members: Annotated[tuple[Id, ...], Field(min_length=1, max_length=200)]
    stand_ins: tuple[StandIn, ...] = ()

    @model_validator(mode="after")
    def _hands_over_in_order(self) -> Self:
        if list(self.handover_at) != sorted(set(self.handover_at)):
            raise ValueError("handover_at: give the times of a day in their order, each once")
        return self
