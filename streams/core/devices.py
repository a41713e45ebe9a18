"""The `devices` processor: whether each device lives, and what is wrong with it (M1).

Only what a device's mac and number prove counts: a stranger's or a repeated heartbeat keeps no dead controller online.
What is refused here the site's processor tells. A device is watched from when it is on file, not from its first
message: each partition's sites are looked through once a minute.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from typing import Any

import msgspec

from schemas.base import DeviceMessage, Message
from schemas.commands import Command
from schemas.device_states import DeviceState
from schemas.envelope import event_headers, type_of
from schemas.exceptions import DeviceException
from schemas.ids import request_id
from schemas.operators import OperatorRequestAccepted, OperatorRequestRefused
from schemas.permission_snapshots import PermissionSnapshot
from schemas.places import Device, Site
from schemas.record import Output, Record
from schemas.repair_requests import RepairRequest
from schemas.rules import Monitoring
from schemas.vocabulary import DeviceEvent
from streams.core import network, reference, syncing, watched
from streams.core.admission import Admission, Keys, misplaced, sender_of, source_of
from streams.core.decoding import message_in
from streams.core.device_conditions import Event
from streams.core.device_exceptions import RIGHTS, carry_out, exceptions, told_at_site
from streams.core.device_telling import DeviceKept, SiteCounted, Telling, is_offline
from streams.core.hearing import Rules, begin, hear, listen, overdue, rules_for
from streams.core.keeping import Kept
from streams.core.operator_admission import OperatorAnswered, Refused, decide_request, evolve_answered, refuse_operator
from streams.core.processor import Arrival, Cause, Change, Context, Need, Outcome, State, Tick, UndecodableError
from streams.core.publication import with_mac
from streams.core.reference_tables import tables
from streams.core.repairs import Step, abandon, follow, lapse
from streams.core.times import rfc3339
from streams.core.watched import SNAPSHOTS, SWEEP, SiteCount, Sweep, Synced, Watched, count_key, watched_key

VERSION = "devices-7"
REQUESTS = "operator.requests"
SWEEP_S = 60
SWEEP_MOST = 2_000
"""Devices that one tick begins to watch; where there are more, the next tick comes at once."""
COMMANDS = "device.commands"
REFERENCES = (
    "site",
    "zone",
    "door",
    "access-point",
    "device",
    "cardholder",
    "credential",
    "permission",
    "schedule",
    "holiday-calendar",
    "policy",
)
"""What a snapshot is made of; the watch over devices alone needs three of them."""
MOST_OFFLINE = 3
"""Where at least so many controllers are offline, and half of a site's, it is no trouble of a controller."""
_ANSWERED = Event(DeviceEvent.PROBE_ANSWERED)
_SOURCE = "/doorstream/devices"
_replace = msgspec.structs.replace


class SweepPlanned(msgspec.Struct, frozen=True, gc=False, tag="sweep_planned"):
    """When the sites are looked through next."""

    sweep: Sweep


class DevicesProcessor:
    """Watches the devices of all sites of a partition; see `SiteProcessor` for the parameters."""

    name = "devices"
    version = VERSION
    inputs: tuple[str, ...] = (REQUESTS, "device.events")
    overhears = frozenset(inputs)
    """The site's, too."""

    def __init__(self, master: bytes | None, *, signed_references: bool = False) -> None:
        self.references = tables(master if signed_references else None, REFERENCES)
        self.standing: tuple[str, ...] = (SWEEP, SNAPSHOTS) if master is not None else (SWEEP,)
        self._keys = Keys(master)

    def decode(self, record: Record) -> Any:
        """The message in a record; None for what is none, of which the site's processor makes a dead letter."""
        try:
            message = message_in(record)
        except UndecodableError:
            return None
        return None if record.topic == REQUESTS and message.type not in RIGHTS else message

    def needs(self, state: State, arrival: Arrival, context: Context) -> Sequence[Need]:  # noqa: ARG002
        """Nothing."""
        return ()

    def decide(self, state: State, cause: Cause, context: Context) -> Sequence[Outcome]:
        """What a message or a deadline tells of a device."""
        if isinstance(cause, Arrival):
            if cause.message is None:
                return ()
            if isinstance(cause.message, RepairRequest):
                return list(decide_request(cause, state, context, self._keys, RIGHTS, _carry_out))
            return self._heard(cause.message, cause.record, state, context)
        if cause.key == SWEEP:
            return list(_sweep(state, context))
        if cause.key == SNAPSHOTS:
            return list(syncing.look(state, context, self._keys))
        if cause.key.startswith("synced/"):
            return self._unsynced(cause, state, context)
        if cause.key.startswith("device/"):
            return _overdue(cause, state, context)
        return (Kept(cause.key, None),)

    def _unsynced(self, cause: Tick, state: State, context: Context) -> Sequence[Outcome]:
        """A snapshot is to be renewed, or was not taken in time."""
        device_id = cause.key.partition("/")[2]
        synced: Synced | None = state.get(cause.key)
        before: Watched | None = state.get(watched_key(device_id))
        device = reference.device(context.references, device_id)
        site = reference.site(context.references, device.site_id) if device is not None else None
        if synced is None or before is None or device is None or site is None or device.status != "active":
            return (Kept(cause.key, None),)
        step = syncing.overdue(synced, before, device, site, cause.deadline_ms, state, context, self._keys)
        told = Telling(device_id, context, None)
        told.place = (cause.deadline_ms,)
        told.outcomes += step.outcomes
        after = told.probed(step.device) if step.probe else step.device
        if step.events:
            told.changed(state, before, after, step.events)
        return told.outcomes

    def _heard(self, message: DeviceMessage, record: Record, state: State, context: Context) -> Sequence[Outcome]:
        sender = sender_of(message, record, context)
        if isinstance(sender, Admission):
            return ()
        device, site, policy = sender
        if site.message_authentication == "required" and not self._keys.signed(device, record):
            return ()
        if device.status != "active":
            return ()
        rules = rules_for(policy.monitoring, device.model)
        old: Watched | None = state.get(watched_key(device.device_id))
        known = old is not None and old.monitored and old.site_id == site.site_id
        before = old if old is not None and known else _begun(device, old, context.now_ms, rules)
        numbered = listen(before, message, device.key_version)
        if numbered is None:
            return ()
        at_ms = record.timestamp_ms
        steps: list[Step] = []
        if numbered.repairs:
            numbered, steps = lapse(numbered, at_ms, rules, excused=_silent_together(site.site_id, state))
        after, events = hear(numbered, message, at_ms, rules)
        looked = network.heard(before, after, events)
        step = syncing.heard(device.device_id, before, looked.device, message, events, site, state, context)
        after, events = step.device, [*events, *looked.events, *step.events]
        if after.repairs or after.conditions is not numbered.conditions:
            after, more = follow(after, device.device_id, at_ms, rules, answered=_ANSWERED in events)
            steps += more
        if known and not events and not steps and not step.outcomes and is_offline(before) == is_offline(after):
            return (DeviceKept(device.device_id, after),)
        told = Telling(device.device_id, context, request_id(device.device_id, message.boot, message.sequence))
        told.place = (record.topic, record.partition, record.offset)
        told.occurred_at = message.occurred_at
        if not known:
            told.moved(state, old)
            if old is not None and old.monitored:
                gone = abandon(old, "the device is watched no longer")
                told.outcomes += exceptions(device.device_id, old.site_id, gone, context)
        told.changed(state, before if known else None, after, events)
        told.outcomes += step.outcomes
        return [*told.outcomes, *exceptions(device.device_id, site.site_id, steps, context)]

    def evolve(self, state: State, outcome: Outcome) -> Iterable[Change]:  # noqa: ARG002
        """What an outcome changes."""
        if isinstance(outcome, DeviceKept):
            return ((watched_key(outcome.device_id), outcome.state),)
        if isinstance(outcome, Kept):
            return ((outcome.key, outcome.value),)
        if isinstance(outcome, SiteCounted):
            return ((count_key(outcome.site_id), outcome.count),)
        if isinstance(outcome, OperatorAnswered):
            return evolve_answered(outcome)
        return ((SWEEP, outcome.sweep),) if isinstance(outcome, SweepPlanned) else ()

    def source(self, arrival: Arrival, context: Context) -> str | None:
        """The controller that a message is provably of."""
        return source_of(arrival, context, self._keys)

    def refuse(self, cause: Cause, context: Context, error: str) -> Sequence[Outcome]:
        """An answer where a request failed; of anything else, a dead letter tells."""
        if isinstance(cause, Arrival) and isinstance(cause.message, RepairRequest):
            return [refuse_operator(cause.message, context, "failed", f"it could not be decided: {error}"[:500])]
        return ()

    def publish(self, outcome: Outcome, cause: Cause, context: Context) -> Output | None:  # noqa: ARG002
        """The record of a device's state, of an exception, of a command, or of an answer to an operator."""
        if isinstance(outcome, DeviceException | OperatorRequestAccepted | OperatorRequestRefused):
            return told_at_site(outcome, _SOURCE, context)
        if not isinstance(outcome, DeviceState | Command | PermissionSnapshot):
            return None
        key, value = outcome.device_id.encode(), outcome.to_json()
        if not isinstance(outcome, DeviceState):
            topic, id_ = COMMANDS, getattr(outcome, "command_id", "")
            if isinstance(outcome, PermissionSnapshot):
                topic, id_, key = "device.snapshots", outcome.snapshot_id, outcome.snapshot_key.encode()
            headers = _headers(outcome, id_, rfc3339(outcome.issued_at))
            headers = with_mac(topic, key, value, headers, outcome.device_id, context, self._keys)
            return Output(topic, key, value, headers, context.partition)
        headers = _headers(outcome, outcome.event_id, rfc3339(outcome.decided_at))
        return Output("device.states", key, value, headers, context.partition)

    def scrub(self, record: Record) -> tuple[bytes | None, str | None]:
        """Nothing that is read here holds a secret."""
        return record.value, None

    def deadline(self, key: str, entity: Any) -> int | None:  # noqa: ARG002 - the engine's signature
        """When a device counts as offline, is to be asked or has settled; when the sites are looked through."""
        return watched.deadline_of(entity)

    def encode_entity(self, entity: Any) -> bytes:
        """An entity's bytes."""
        return watched.encode(entity)

    def decode_entity(self, key: str, data: bytes) -> Any:  # noqa: ARG002
        """The entity in bytes."""
        return watched.decode(data)


def _silent_together(site_id: str, state: State) -> bool:
    """Whether most of a site's controllers are offline: then it is no trouble of one of them."""
    count: SiteCount = state.get(count_key(site_id)) or SiteCount()
    return count.offline >= MOST_OFFLINE and 2 * count.offline >= count.devices


def _carry_out(request: RepairRequest, state: State, context: Context) -> Sequence[Outcome]:
    device = reference.device(context.references, request.device_id)
    site = reference.site(context.references, request.site_id)
    if device is None or site is None:
        raise Refused("unknown_repair", f"device {request.device_id} is not on file")
    return carry_out(request, state, context, rules_for(_monitoring(site, context), device.model))


def _headers(message: Message, id_: str, time: str) -> Any:
    return event_headers(id_, _SOURCE, type_of(message), time)


def _begun(device: Device, old: Watched | None, at_ms: int, rules: Rules) -> Watched:
    """A device as it begins to be watched; the numbers that it has used stay used."""
    new = begin(device.site_id, device.key_version, device.device_id, at_ms, rules)
    if old is None or old.key_version < device.key_version:
        return new
    return _replace(new, key_version=old.key_version, boot=old.boot, highest=old.highest, window=old.window)


def _sweep(state: State, context: Context) -> Iterator[Outcome]:
    begun = 0
    for site in reference.sites(context.references):
        if misplaced(site.site_id, context):
            continue
        monitoring = _monitoring(site, context)
        count: SiteCount = state.get(count_key(site.site_id)) or SiteCount()
        here = 0
        for device in reference.devices_of(context.references, site.site_id):
            old: Watched | None = state.get(watched_key(device.device_id))
            if old is not None and old.monitored:
                continue
            if device.status != "active":
                continue
            if begun == SWEEP_MOST:
                break
            rules = rules_for(monitoring, device.model)
            yield DeviceKept(device.device_id, _begun(device, old, context.now_ms, rules))
            begun += 1
            here += 1
        if here:
            yield SiteCounted(site.site_id, _replace(count, devices=count.devices + here))
    wait_ms = 1 if begun == SWEEP_MOST else SWEEP_S * 1000
    yield SweepPlanned(Sweep(context.now_ms + wait_ms))


def _monitoring(site: Site, context: Context) -> Monitoring:
    policy = reference.policy(context.references, site.policy_id)
    return Monitoring() if policy is None else policy.monitoring


def _overdue(cause: Tick, state: State, context: Context) -> Sequence[Outcome]:
    before: Watched | None = state.get(cause.key)
    if before is None or not before.monitored:
        return ()
    device_id = cause.key.partition("/")[2]
    told = Telling(device_id, context, None)
    told.place = (cause.deadline_ms,)
    device = reference.device(context.references, device_id)
    site = reference.site(context.references, before.site_id)
    if device is None or site is None or device.status != "active" or device.site_id != before.site_id:
        told.moved(state, before)
        steps = abandon(before, "the device is watched no longer")
        return [*told.outcomes, *exceptions(device_id, before.site_id, steps, context)]
    rules = rules_for(_monitoring(site, context), device.model)
    at_ms = cause.deadline_ms
    lapsed, steps = lapse(before, at_ms, rules, excused=_silent_together(before.site_id, state))
    after, events = overdue(lapsed, device_id, at_ms, context.now_ms, rules)
    within_s = syncing.rules_at(context.references, site).answer_within_s
    looked = network.overdue(lapsed, after, at_ms, context.now_ms, rules, within_s)
    after, events = looked.device, [*events, *looked.events]
    if looked.probe or (after.probe_at_ms != lapsed.probe_at_ms and lapsed.probe_at_ms <= at_ms):
        after = told.probed(after)
    after, more = follow(after, device_id, at_ms, rules)
    told.changed(state, before, after, events)
    return [*told.outcomes, *exceptions(device_id, before.site_id, [*steps, *more], context)]
