"""The reference entities: one topic, one model and one id field each."""

from __future__ import annotations

from typing import NamedTuple

from schemas.base import Message
from schemas.people import Cardholder, Credential, Permission, Secret
from schemas.places import AccessPoint, Device, Door, Site, Zone
from schemas.recipients import OnCall, Recipient
from schemas.rules import HolidayCalendar, Policy, Schedule
from schemas.subscriptions import Subscription


class Entity(NamedTuple):
    """A kind of reference record: its word in topics and files, its model, and the field that is its key."""

    name: str
    model: type[Message]
    id_field: str

    @property
    def topic(self) -> str:
        """`reference.<entity>`."""
        return f"reference.{self.name}"


ENTITIES: tuple[Entity, ...] = (
    Entity("site", Site, "site_id"),
    Entity("zone", Zone, "zone_id"),
    Entity("door", Door, "door_id"),
    Entity("access-point", AccessPoint, "access_point_id"),
    Entity("device", Device, "device_id"),
    Entity("cardholder", Cardholder, "cardholder_id"),
    Entity("credential", Credential, "credential_id"),
    Entity("permission", Permission, "permission_id"),
    Entity("schedule", Schedule, "schedule_id"),
    Entity("holiday-calendar", HolidayCalendar, "holiday_calendar_id"),
    Entity("policy", Policy, "policy_id"),
    Entity("recipient", Recipient, "recipient_id"),
    Entity("on-call", OnCall, "on_call_id"),
    Entity("subscription", Subscription, "subscription_id"),
    Entity("secret", Secret, "credential_id"),
)

BY_NAME: dict[str, Entity] = {entity.name: entity for entity in ENTITIES}


def id_of(entity: Entity, record: Message) -> str:
    """The id of a reference record."""
    return str(getattr(record, entity.id_field))
