"""`doorstream unlock`: an operator opens a door."""

from __future__ import annotations

from typing import Annotated

import typer

from schemas.operators import DoorUnlockRequested
from streams.commands.operating import Operator, request_of, send_and_await, show_answer
from streams.commands.running import WRONG_USE, Json, fail, run, say, settings_or_fail


def unlock(
    door: Annotated[str, typer.Argument(help="The door's id, such as hq-d01.")],
    site: Annotated[str, typer.Option(help="The site that the door belongs to.")],
    operator: Operator,
    reason: Annotated[str, typer.Option(help="Why; it is kept with the request.")],
    json: Json = False,
) -> None:
    """Open a door once, now. The controller opens it within ten seconds or not at all."""
    if not reason.strip():
        fail('a reason is required: --reason "visitor, identity checked"', WRONG_USE)
    request = request_of(DoorUnlockRequested, site, operator, reason=reason, door_id=door)
    answer = run(send_and_await(settings_or_fail(), request))
    show_answer(answer, json=json)
    if not json:
        say(f"{door} was told to open (command {answer['command_id']})")
