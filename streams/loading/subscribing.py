"""Whether every subscription can be served: whom it is for, how, and whether there is what its filter names."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import get_args
from urllib.parse import urlsplit

from schemas.event_classes import AlertType
from schemas.recipients import Recipient
from schemas.subscriptions import EventFilter, Subscription
from streams.loading.draft import Draft
from streams.loading.problems import nearest

_OF_ALERTS: frozenset[str] = frozenset(get_args(AlertType))
_NAMED = (("sites", "site"), ("zones", "zone"), ("doors", "door"), ("cardholders", "cardholder"))


def check_subscribing(draft: Draft) -> None:
    """Find what is wrong between subscriptions and what they name."""
    subscriptions: Mapping[str, Subscription] = draft.records["subscription"]
    for id_, one in subscriptions.items():
        _recipient(draft, id_, one)
        _filter(draft, id_, one.wants)


def _recipient(draft: Draft, id_: str, one: Subscription) -> None:
    recipients: Mapping[str, Recipient] = draft.records["recipient"]
    if not draft.known("recipient", one.recipient_id):
        text = f"recipient: there is no recipient {one.recipient_id}{nearest(one.recipient_id, recipients)}"
        draft.wrong("subscription", id_, ("recipient",), text)
        return
    recipient = recipients.get(one.recipient_id)
    if recipient is None:
        return
    address = recipient.address(one.channel)
    if address is None:
        channels = ", ".join(address.channel for address in recipient.addresses)
        text = f"channel: recipient {one.recipient_id} has no {one.channel} address, only {channels}"
        draft.wrong("subscription", id_, ("channel",), text)
    elif one.channel == "webhook" and urlsplit(address.to).scheme.lower() not in {"http", "https"}:
        text = f"channel: events are posted by HTTP, and the webhook of recipient {one.recipient_id} is no http(s) URL"
        draft.wrong("subscription", id_, ("channel",), text)
    if recipient.status != "active":
        draft.wrong("subscription", id_, ("recipient",), f"recipient: recipient {one.recipient_id} is inactive")


def _filter(draft: Draft, id_: str, wants: EventFilter) -> None:
    for field, index, entity, to in _names(wants):
        if not draft.known(entity, to):
            known = draft.records[entity]
            hint = nearest(to, known) if len(known) < 2_000 else ""  # noqa: PLR2004 - speed
            near = hint if "did you mean" in hint else ""
            draft.wrong("subscription", id_, ("wants", field, index), f"wants.{field}: there is no {entity} {to}{near}")
    if wants.severities and wants.types and not _OF_ALERTS.issuperset(wants.types):
        others = ", ".join(type_ for type_ in wants.types if type_ not in _OF_ALERTS)
        text = f"wants.severities: only alerts have one, so no {others} would ever fit"
        draft.wrong("subscription", id_, ("wants", "severities"), text)
    for index, zone_id in enumerate(wants.zone_ids):
        zone = draft.records["zone"].get(zone_id)
        if zone is not None and wants.site_ids and zone.site_id not in wants.site_ids:
            text = f"wants.zones: zone {zone_id} is of site {zone.site_id}, which is none of the sites"
            draft.wrong("subscription", id_, ("wants", "zones", index), text)


def _names(wants: EventFilter) -> Iterator[tuple[str, int, str, str]]:
    for field, entity in _NAMED:
        ids: tuple[str, ...] = getattr(wants, f"{entity}_ids")
        for index, to in enumerate(ids):
            yield field, index, entity, to
