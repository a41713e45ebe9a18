"""What is worth an alert of controllers: their silence, their faults, and what becomes of both (M1, A5)."""

from __future__ import annotations

from collections.abc import Iterator

from schemas.device_states import DeviceState
from schemas.exceptions import DeviceException
from schemas.vocabulary import Connection
from streams.core.troubles import LONGEST_SUMMARY, DeviceGone, Ended, Event, Rediagnosed, Tellers, Trouble, at

MOST_OFFLINE = 3
"""Where at least so many controllers are offline, and half of a site's, it is no trouble of a controller."""


_DEVICE_TROUBLES = {
    "controller_offline": "is offline",
    "tamper": "was tampered with",
    "power_failure": "has no mains",
    "battery_low": "has a low battery",
    "clock_wrong": "has a wrong clock",
    "fault": "has a fault",
    "flapping": "is flapping",
}
_DEVICE_ENDS = {
    "controller_online": "controller_offline",
    "tamper_restored": "tamper",
    "power_restored": "power_failure",
    "battery_restored": "battery_low",
    "clock_right": "clock_wrong",
    "fault_cleared": "fault",
    "settled": "flapping",
    "offline_mode_ended": "offline_mode",
}


def _device_state(message: DeviceState) -> Iterator[Event]:
    event, device = message.event.value, message.device_id
    of = {"fault": message.code, "flapping": message.condition}.get(_DEVICE_ENDS.get(event, event))
    where = device if of is None else f"{device}/{of}"
    if event == "monitoring_ended":
        yield DeviceGone(message.site_id, device)
    elif event in _DEVICE_ENDS:
        if event == "controller_online" and not _most_are_offline(message):
            yield Ended(message.site_id, "site_offline", message.site_id)
        yield Ended(message.site_id, _DEVICE_ENDS[event], where)
        if event == "settled":
            # While it flapped, its ends were not told one by one.
            for kind in _over(message):
                yield Ended(message.site_id, kind, device)
    elif event == "offline_mode_started" and message.connection is Connection.ONLINE:
        # Of one that is offline, that is known already.
        doors = ", ".join(message.offline_doors) or "none of its doors"
        summary = f"{device} speaks and hears nothing; offline mode: {doors}"[:LONGEST_SUMMARY]
        kind = "offline_mode"
        yield Trouble(kind=kind, where=device, cause_id=message.event_id, summary=summary, clears=True, **at(message))
    elif event in _DEVICE_TROUBLES:
        if event == "controller_offline" and _most_are_offline(message):
            yield Trouble(
                site_id=message.site_id,
                kind="site_offline",
                where=message.site_id,
                type=message.type,
                cause_id=message.event_id,
                summary=f"Most controllers of {message.site_id} are offline: its network or power",
                clears=True,
            )
        summary = f"{device} {_DEVICE_TROUBLES[event]}" + (f": {of} {message.detail}".rstrip() if of else "")
        summary += _diagnosed(message)
        yield Trouble(
            kind=event, where=where, cause_id=message.event_id, summary=summary[:LONGEST_SUMMARY], clears=True,
            **at(message),
        )  # fmt: skip


def _diagnosed(message: DeviceState) -> str:
    """What it most likely is, and what usually helps."""
    found = message.diagnosis
    if found is None:
        return ""
    until = f", may recover until {found.recover_by:%H:%M:%S} UTC" if found.recover_by is not None else ""
    return f" ({found.nature}{until}). {found.remedy}".rstrip()


def _device_exception(message: DeviceException) -> Iterator[Event]:
    """A fault that was transient is permanent now."""
    if message.step != "opened" or message.recover_by is None:
        return
    device, (kind, _, code) = message.device_id, message.cause.partition("/")
    where = f"{device}/{code}" if code else device
    trouble = f"{device} {_DEVICE_TROUBLES[kind]}" + (f": {code} {message.detail}".rstrip() if code else "")
    found = f"permanent: not recovered by {message.recover_by:%H:%M:%S} UTC, a repair case is open"
    summary = f"{trouble} ({found}). {message.remedy}".rstrip()[:LONGEST_SUMMARY]
    yield Rediagnosed(message.site_id, kind, where, summary)


def _most_are_offline(message: DeviceState) -> bool:
    return message.site_offline >= MOST_OFFLINE and 2 * message.site_offline >= message.site_devices


def _over(message: DeviceState) -> Iterator[str]:
    """The kinds of trouble that a device does not have."""
    if message.connection is Connection.ONLINE:
        yield "controller_offline"
    for kind in ("tamper", "power_failure", "battery_low", "clock_wrong"):
        if not getattr(message, kind):
            yield kind


TELLERS: Tellers = {DeviceState: _device_state, DeviceException: _device_exception}
"""What is told of controllers."""
