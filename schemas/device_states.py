"""How each device fares (M1): one message for each change, with the whole state after it."""

from __future__ import annotations

from typing import Literal

from schemas.base import Frozen, Id, JournalPosition, Message, Text, Timestamp
from schemas.devices import DeviceFault
from schemas.diagnosis import Nature, Remedy
from schemas.vocabulary import Connection, DeviceEvent


class ActiveFault(DeviceFault):
    """A fault that has not been cleared, and since when the broker has known of it."""

    since: Timestamp


class DeviceDiagnosis(Frozen):
    """What a fault most likely is (A5); `case_id` names it on `exceptions`, until `recover_by` it may recover."""

    case_id: Id
    nature: Nature
    recover_by: Timestamp | None = None
    remedy: Remedy = ""


class DeviceState(Message):
    """What happened to a device (`event`), and how it stands after it.

    `condition` is what the event is about: `connection`, `tamper`, `power`, `battery`, `clock` or `fault`; for
    `flapping` and `settled` it tells what flapped. `code` and `detail` are those of the fault meant,
    `diagnosis` is of the fault or condition. `cause_id` is the
    id of the device's message (None: a deadline). `last_seen` and `since` (of the connection) are the broker's times.

    `clock_offset_ms` is how far the device's clock is ahead of the broker's (below 0: behind); measured, and never
    decisive. `flapping` are the conditions whose changes are not told one by one for now. `network` is `checking` while
    a probe is out because the device is silent or left a command unanswered, and `down` when that was not answered
    either: then `offline_doors` are in offline mode, their controller decides alone. `snapshot_version` is the version
    of the permission snapshot that it holds (`none`: not any; null: it never told). `site_offline` of the site's
    `site_devices` are offline: where nearly all are, it is the network and not the controllers.
    """

    type: Literal["device_state"] = "device_state"
    event_id: Id
    event: DeviceEvent
    condition: Id | None = None
    code: Id | None = None
    detail: Text = ""
    site_id: Id
    device_id: Id
    cause_id: Id | None = None
    connection: Connection
    since: Timestamp
    last_seen: Timestamp | None = None
    tamper: bool = False
    power_failure: bool = False
    battery_low: bool = False
    faults: tuple[ActiveFault, ...] = ()
    clock_wrong: bool = False
    clock_offset_ms: int | None = None
    flapping: tuple[Id, ...] = ()
    diagnosis: DeviceDiagnosis | None = None
    network: Literal["ok", "checking", "down"] = "ok"
    offline_doors: tuple[Id, ...] = ()
    snapshot_version: Id | None = None
    site_offline: int
    site_devices: int
    occurred_at: Timestamp | None = None
    decided_at: Timestamp
    journal: JournalPosition
