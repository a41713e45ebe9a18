"""Keeps each controller's permission snapshot in step with the reference data, and asks it to take the new one (A5).

A partition's devices are looked through when any reference record has changed, one after the other: to make a snapshot
takes milliseconds in which no door of the worker is answered. What has changed for a device is published; what has
not is made again when half its validity is over.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import NamedTuple

import msgspec

from schemas.base import DeviceMessage, JournalPosition
from schemas.commands import SyncPermissions
from schemas.devices import Heartbeat
from schemas.ids import derive
from schemas.keys import DEVICE
from schemas.permission_snapshots import PermissionSnapshot, card_digest, cards_key
from schemas.places import Device, Site
from schemas.rules import OfflineMode
from schemas.vocabulary import DeviceEvent
from streams.core import reference
from streams.core.admission import Keys, misplaced
from streams.core.device_conditions import Event
from streams.core.device_telling import is_offline
from streams.core.keeping import Kept
from streams.core.network import check
from streams.core.processor import Context, Outcome, References, State
from streams.core.snapshots import Contents, contents_for, snapshot_doors
from streams.core.times import from_ms
from streams.core.watched import SNAPSHOTS, Round, Synced, Watched, synced_key, watched_key

LOOK_S = 15
"""How often it is asked whether any reference record has changed; so often at most a device gets a new snapshot."""

PACE_MS = 200
"""Between the snapshots of two devices of a partition; in between, the worker does everything else."""

MOST_PASSED = 500
"""Devices without a snapshot that one step passes over."""

MOST_TRIES = 3
"""How often a device is asked to take a version."""

SNAPSHOT = "snapshot"
SERVICE = "sync_permissions"
_replace = msgspec.structs.replace


class Step(NamedTuple):
    """A device after its snapshot was seen to, what is told of that, and what else comes of it."""

    device: Watched
    events: tuple[Event, ...] = ()
    outcomes: tuple[Outcome, ...] = ()
    probe: bool = False


def rules_at(references: References, site: Site) -> OfflineMode:
    """How a site handles network faults."""
    policy = reference.policy(references, site.policy_id)
    return OfflineMode() if policy is None else policy.offline_mode


def look(state: State, context: Context, keys: Keys) -> Iterator[Outcome]:
    """The next step of the round through this partition's devices."""
    turn: Round = state.get(SNAPSHOTS) or Round(0)
    version = context.references.version()
    if not turn.after:
        if turn.seen == version:
            yield Kept(SNAPSHOTS, _replace(turn, due_ms=context.now_ms + LOOK_S * 1000))
            return
        turn = _replace(turn, began=version)
    passed = 0
    for site, device in _devices_after(turn.after, context):
        turn = _replace(turn, after=f"{site.site_id}/{device.device_id}")
        synced: Synced | None = state.get(synced_key(device.device_id))
        passed += 1
        if device.status == "active" and (synced is not None or snapshot_doors(context.references, device)):
            yield from _see_to(site, device, synced, state, context, keys)
            passed = MOST_PASSED
        if passed >= MOST_PASSED:
            yield Kept(SNAPSHOTS, _replace(turn, due_ms=context.now_ms + PACE_MS))
            return
    yield Kept(SNAPSHOTS, Round(context.now_ms + LOOK_S * 1000, seen=turn.began))


def _devices_after(after: str, context: Context) -> Iterator[tuple[Site, Device]]:
    of_site, _, of_device = after.partition("/")
    for site in reference.sites(context.references):
        if site.site_id < of_site or misplaced(site.site_id, context):
            continue
        for device in reference.devices_of(context.references, site.site_id):
            if site.site_id > of_site or device.device_id > of_device:
                yield site, device


def _see_to(
    site: Site, device: Device, synced: Synced | None, state: State, context: Context, keys: Keys
) -> Iterator[Outcome]:
    """Publish a device's snapshot where its lists are no longer those of the last."""
    secret = keys.of(DEVICE, device.device_id, device.key_version)
    if secret is None:
        return
    key = cards_key(secret)
    contents = contents_for(context.references, site, device, lambda number: card_digest(key, number), context.now_ms)
    digest = contents.digest() + device.key_version.to_bytes(4, "big")
    if synced is None or synced.digest != digest or synced.site_id != site.site_id:
        yield from _issue(site, device, contents, digest, synced, state, context)


def _issue(
    site: Site,
    device: Device,
    contents: Contents,
    digest: bytes,
    synced: Synced | None,
    state: State,
    context: Context,
) -> Iterator[Outcome]:
    device_id, rules = device.device_id, rules_at(context.references, site)
    version = max(context.now_ms, synced.version + 1 if synced is not None else 0)
    parts = contents.parts()
    for number, part in enumerate(parts, start=1):
        yield PermissionSnapshot(
            snapshot_id=derive("snapshot", device_id, version, number),
            snapshot_key=device_id if number == 1 else f"{device_id}/{number}",
            site_id=site.site_id,
            device_id=device_id,
            version=version,
            part=number,
            parts=len(parts),
            issued_at=from_ms(context.now_ms),
            valid_until=from_ms(context.now_ms + rules.snapshot_valid_s * 1000),
            time_zone=site.time_zone,
            journal=JournalPosition(partition=context.partition, number=context.number),
            **part._asdict(),
        )
    new = Synced(site.site_id, version, digest, context.now_ms + rules.snapshot_valid_s * 500)
    watched: Watched | None = state.get(watched_key(device_id))
    if watched is not None and _may_be_asked(watched):
        call, new = _call(new, device_id, rules, context)
        yield call
    yield Kept(synced_key(device_id), new)


def _may_be_asked(device: Watched) -> bool:
    """Whether a device takes snapshots, as it has told, and can be reached."""
    return device.snapshot_version != "" and device.monitored and not device.network and not is_offline(device)


def _call(synced: Synced, device_id: str, rules: OfflineMode, context: Context) -> tuple[SyncPermissions, Synced]:
    call = SyncPermissions(
        command_id=derive(SERVICE, device_id, synced.version),
        site_id=synced.site_id,
        device_id=device_id,
        issued_at=from_ms(context.now_ms),
        version=synced.version,
    )
    answer_by_ms = context.now_ms + rules.answer_within_s * 1000
    return call, _replace(synced, call_id=call.command_id, answer_by_ms=answer_by_ms, tries=synced.tries + 1)


def heard(
    device_id: str,
    before: Watched,
    after: Watched,
    message: DeviceMessage,
    events: list[Event],
    site: Site,
    state: State,
    context: Context,
) -> Step:
    """What a message says of a device's snapshot; a call without an answer is made again once the network is well."""
    told: list[Event] = []
    synced: Synced | None = state.get(synced_key(device_id))
    version = message.snapshot_version if isinstance(message, Heartbeat) else None
    if version is not None and version != after.snapshot_version:
        after = _replace(after, snapshot_version=version)
        if synced is not None and version == str(synced.version):
            told.append(Event(DeviceEvent.SNAPSHOT_TAKEN, SNAPSHOT, version))
    if synced is None or not after.snapshot_version:
        return Step(after, tuple(told))
    if _holds(after, synced):
        if synced.call_id:
            synced = _replace(synced, call_id="", answer_by_ms=0, tries=0)
            return Step(after, tuple(told), (Kept(synced_key(device_id), synced),))
        return Step(after, tuple(told))
    if synced.answer_by_ms or not _may_be_asked(after):
        return Step(after, tuple(told))
    if is_offline(before) or message.boot > before.boot:
        synced = _replace(synced, call_id="", tries=0)
    answered = any(one.event is DeviceEvent.PROBE_ANSWERED for one in events)
    if synced.call_id and (not answered or synced.tries >= MOST_TRIES):
        return Step(after, tuple(told))
    if synced.call_id:
        told.append(Event(DeviceEvent.SERVICE_RETRIED, SNAPSHOT, SERVICE, f"version {synced.version}"))
    call, synced = _call(synced, device_id, rules_at(context.references, site), context)
    return Step(after, tuple(told), (call, Kept(synced_key(device_id), synced)))


def _holds(device: Watched, synced: Synced) -> bool:
    return device.snapshot_version.isdigit() and int(device.snapshot_version) >= synced.version


def overdue(
    synced: Synced,
    watched: Watched,
    device: Device,
    site: Site,
    due_ms: int,
    state: State,
    context: Context,
    keys: Keys,
) -> Step:
    """A snapshot is to be renewed, or a device has not taken the one that it was asked to take."""
    if synced.renew_ms <= due_ms:
        outcomes = tuple(_see_to(site, device, _replace(synced, digest=b""), state, context, keys))
        return Step(watched, (), outcomes or (Kept(synced_key(device.device_id), None),))
    after = _replace(synced, answer_by_ms=0)
    kept = (Kept(synced_key(device.device_id), after),)
    if synced.tries >= MOST_TRIES:
        detail = f"version {synced.version} not taken after {synced.tries} calls"
        return Step(watched, (Event(DeviceEvent.SERVICE_FAILED, SNAPSHOT, SERVICE, detail),), kept)
    rules = rules_at(context.references, site)
    detail = f"version {synced.version} not taken within {rules.answer_within_s} s"
    looked = check(watched, detail, context.now_ms, rules.answer_within_s, SERVICE)
    return Step(looked.device, looked.events, kept, looked.probe)
