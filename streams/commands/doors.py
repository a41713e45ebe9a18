"""`doorstream doors`: the modes of doors, and giving a door one (E)."""

from __future__ import annotations

from typing import Annotated, Any

import typer

from schemas.incidents import DoorModeRequested
from schemas.operators import OperatorRequest, PassbackForgiven
from schemas.vocabulary import DoorMode
from streams.commands.operating import Operator, request_of, send_and_await, show_answer
from streams.commands.reading import fields_in, read_topics
from streams.commands.running import FOUND_WRONG, WRONG_USE, Json, fail, print_json, run, say, settings_or_fail
from streams.commands.terminal import clock, printable
from streams.connection import kafka_options
from streams.settings import Settings

app = typer.Typer(help="Doors: their modes, and giving one a mode.", no_args_is_help=True)

Fields = dict[str, Any]
Door = Annotated[str, typer.Argument(help="The door's id, such as hq-d01.")]
Site = Annotated[str, typer.Option(help="The site that the door belongs to.")]
Reason = Annotated[str, typer.Option(help="Why; it is kept with the request.")]


@app.command("list")
def list_(
    site: Annotated[str | None, typer.Option(help="Only this site.")] = None,
    unconfirmed: Annotated[bool, typer.Option("--unconfirmed", help="Only those that have not confirmed.")] = False,
    json: Json = False,
) -> None:
    """Show the doors that have ever been given a mode, with their modes and what asks for them."""
    found = [one for one in run(_modes(settings_or_fail())) if site in {None, one["site_id"]}]
    found = [one for one in found if not (unconfirmed and _confirmed(one))]
    if json:
        print_json(found)
        return
    for one in found:
        say(_line(one))
    if not found:
        say("no such doors: all others are locked, and opened for each grant")


@app.command()
def show(door: Door, json: Json = False) -> None:
    """Show a door's mode, everything that asks for one, and whether its controller has confirmed it."""
    settings = settings_or_fail()
    found = next((one for one in run(_modes(settings)) if one["door_id"] == door), None)
    if found is None:
        if not run(_on_file(settings, door)):
            fail(f"there is no door {door}: see the doors of the loaded folder", FOUND_WRONG)
        found = {"door_id": door, "mode": DoorMode.LOCKED, "causes": [], "unconfirmed": "was never given another mode"}
    if json:
        print_json(found)
        return
    say(_line(found))
    for cause in found["causes"]:
        kind = f"{cause['kind']} (drill)" if cause.get("drill") else cause["kind"]
        say(f"  {kind} {cause['cause_id']}: {cause['mode']} since {clock(cause['since'])[:8]}")


@app.command()
def lock(
    door: Door,
    site: Site,
    operator: Operator,
    reason: Reason,
    block: Annotated[bool, typer.Option("--block", help="Let nobody in, whoever it is.")] = False,
    json: Json = False,
) -> None:
    """Keep a door locked against its schedule until `doors release`; free to leave."""
    mode = DoorMode.BLOCKED if block else DoorMode.LOCKED
    _ask(DoorModeRequested, site, operator, reason, {"door_id": door, "mode": mode}, f"{door}: {mode}", json=json)


@app.command()
def unlock(door: Door, site: Site, operator: Operator, reason: Reason, json: Json = False) -> None:
    """Let everybody through a door until `doors release`; `doorstream unlock` opens it once."""
    fields = {"door_id": door, "mode": DoorMode.UNLOCKED}
    _ask(DoorModeRequested, site, operator, reason, fields, f"{door}: unlocked", json=json)


@app.command()
def release(door: Door, site: Site, operator: Operator, reason: Reason, json: Json = False) -> None:
    """Take back what an operator gave a door; what else concerns it decides again."""
    _ask(DoorModeRequested, site, operator, reason, {"door_id": door, "mode": None}, f"{door}: as usual", json=json)


@app.command("reset-passback")
def reset_passback(
    site: Site,
    operator: Operator,
    reason: Reason,
    cardholder: Annotated[str | None, typer.Option(help="Only this cardholder; everybody unless given.")] = None,
    json: Json = False,
) -> None:
    """Forget where a cardholder, or everybody, was last seen."""
    who = cardholder or "everybody"
    _ask(PassbackForgiven, site, operator, reason, {"cardholder_id": cardholder}, f"{who}: forgiven", json=json)


def _ask(
    model: type[OperatorRequest], site: str, operator: str, reason: str, fields: Fields, done: str, *, json: bool
) -> None:
    if not reason.strip():
        fail('a reason is required: --reason "delivery"', WRONG_USE)
    request = request_of(model, site, operator, reason=reason, **fields)
    answer = run(send_and_await(settings_or_fail(), request))
    show_answer(answer, json=json)
    if not json:
        say(done)
        # What was asked for is kept; until nothing stronger is left the door has another mode.
        asked, mode = fields.get("mode") or DoorMode.LOCKED, answer.get("mode")
        if mode is not None and mode != asked:
            say(f"  but it is {mode} for now: `doorstream doors show {fields['door_id']}` says what asks for that")


def _confirmed(one: Fields) -> bool:
    return one.get("confirmed_at") is not None or one.get("mode_epoch") == 0


def _line(one: Fields) -> str:
    state = "confirmed" if _confirmed(one) else one.get("unconfirmed") or "on its way"
    return printable(f"{one['door_id']:12} {one['mode']:12} {state}")


async def _on_file(settings: Settings, door_id: str) -> bool:
    known = False
    async for record in read_topics(kafka_options(settings), ("reference.door",), start_ms=None, follow=False):
        if record.key == door_id.encode():
            known = record.value is not None
    return known


async def _modes(settings: Settings) -> list[Fields]:
    settings.need("kafka")
    latest: dict[str, Fields] = {}
    async for record in read_topics(kafka_options(settings), ("door.modes",), start_ms=None, follow=False):
        fields = fields_in(record)
        if fields.get("type") == "door_mode_desired":
            latest[str(fields["door_id"])] = fields
    return [latest[door_id] for door_id in sorted(latest)]
