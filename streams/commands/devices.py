"""`doorstream devices`: how controllers fare, as PostgreSQL has it."""

from __future__ import annotations

import json as jsonlib
from collections.abc import Mapping
from datetime import UTC, datetime
from enum import StrEnum
from typing import Annotated, Any

import typer

from sinks.queries import device_states, devices
from streams.commands import repairs
from streams.commands.running import CommandError, Json, print_json, run, say, settings_or_fail
from streams.settings import Settings

app = typer.Typer(help="How controllers fare.", no_args_is_help=True)
app.command("repairs")(repairs.repairs)
app.add_typer(repairs.app, name="repair")

_UNITS = (("d", 86_400), ("h", 3_600), ("m", 60))


class Shown(StrEnum):
    """Which devices are shown."""

    ONLINE = "online"
    OFFLINE = "offline"
    UNKNOWN = "unknown"
    TROUBLE = "trouble"


@app.command("list")
def list_(
    site: Annotated[str | None, typer.Option(help="Only this site.")] = None,
    state: Annotated[
        Shown | None, typer.Option(help="Only these; `trouble`: offline, or something is wrong with them.")
    ] = None,
    json: Json = False,
) -> None:
    """List devices with their state, when they were last heard, and what is wrong with them; troubled ones first."""
    found = [row for row in run(_devices(settings_or_fail(), site)) if _fits(row, state)]
    found.sort(key=lambda row: (not _troubled(row), row["connection"] != "offline", row["site_id"], row["device_id"]))
    if json:
        print_json({"devices": found})
        return
    if not found:
        say("no such devices")
        return
    wide = max(len(row["device_id"]) for row in found)
    say(f"{'device':{wide}} {'site':10} {'state':8} {'since':>6} {'heard':>6}  troubles")
    now = datetime.now(UTC)
    for row in found:
        when = f"{_ago(row['since'], now):>6} {_ago(row['last_seen'], now):>6}"
        troubles = ", ".join(row["troubles"])
        say(f"{row['device_id']:{wide}} {row['site_id']:10} {row['connection']:8} {when}  {troubles}".rstrip())


@app.command()
def show(
    device_id: Annotated[str, typer.Argument(help="As `doorstream devices list` shows it.")],
    json: Json = False,
) -> None:
    """Show one device: its state, its clock, its faults, and its doors."""
    found = run(_device(settings_or_fail(), device_id))
    if json:
        print_json(found)
        return
    for device in found["devices"]:
        for line in _lines(device):
            say(line)
    for door in found["doors"]:
        say(f"{'door':14} {door['door_id']} {door['name'] or ''} {door['last_event'] or ''}".rstrip())


async def _devices(settings: Settings, site: str | None) -> list[dict[str, Any]]:
    settings.need("postgres")
    return await devices(settings.postgres, site)


async def _device(settings: Settings, device_id: str) -> dict[str, Any]:
    settings.need("postgres")
    found = await device_states(settings.postgres, device_id)
    if not found["devices"]:
        raise CommandError(f"there is no device {device_id}: `doorstream devices list` shows all")
    return found


def _troubled(row: Mapping[str, Any]) -> bool:
    return row["connection"] == "offline" or bool(row["troubles"])


def _fits(row: Mapping[str, Any], state: Shown | None) -> bool:
    if state is Shown.TROUBLE:
        return _troubled(row)
    return state is None or row["connection"] == state


def _ago(moment: datetime | None, now: datetime) -> str:
    """A span as people say it."""
    if moment is None:
        return "-"
    seconds = max(0, round((now - moment).total_seconds()))
    for unit, size in _UNITS:
        if seconds >= 2 * size:
            return f"{seconds // size}{unit}"
    return f"{seconds}s"


def _lines(device: Mapping[str, Any]) -> list[str]:
    value: dict[str, Any] = jsonlib.loads(device["value"]) if device["value"] is not None else {}
    offset_ms = device["clock_offset_ms"]
    clock = "not measured" if offset_ms is None else f"{offset_ms / 1000:+.1f} s off the server's"
    rows = [
        ("device", f"{device['device_id']} {device['name'] or ''}"),
        ("site", device["site_id"]),
        ("model", device["model"] or "-"),
        ("state", f"{device['connection']} since {_time(device['since'])}"),
        ("last heard", _time(device["last_seen"])),
        ("network", _network(value)),
        ("snapshot", value.get("snapshot_version") or "it never told of one"),
        ("clock", clock + (" (wrong)" if value.get("clock_wrong") else "")),
        ("troubles", ", ".join(device["troubles"]) or "none"),
        ("last told", f"{device['last_event'] or '-'} {_time(device['told_at'])}"),
    ]
    faults = [("fault", f"{one['code']} since {one['since']}: {one['detail']}") for one in value.get("faults", ())]
    return [f"{name:14} {text}".rstrip() for name, text in [*rows, *faults]]


def _network(value: Mapping[str, Any]) -> str:
    network = str(value.get("network") or "ok")
    doors = value.get("offline_doors") or ()
    return f"{network}: {', '.join(doors)} in offline mode" if doors else network


def _time(moment: datetime | None) -> str:
    return "-" if moment is None else moment.astimezone().strftime("%Y-%m-%d %H:%M:%S")
