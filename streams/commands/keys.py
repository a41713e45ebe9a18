"""`doorstream keys`: what controllers and operators are given, derived from the master secret."""

from __future__ import annotations

from typing import Annotated

import typer

from schemas.keys import DEVICE, OPERATOR, derive_key
from schemas.sealing import Sealer
from streams.commands.running import WRONG_USE, Json, fail, one_line_errors, print_json, say, settings_or_fail

app = typer.Typer(help="Keys for controllers and operators, from the master secret.", no_args_is_help=True)


@app.command()
def device(
    device_id: Annotated[str, typer.Argument(help="The controller, such as hq-c01.")],
    key_version: Annotated[int, typer.Option(help="As in the device's record; higher after a swap.", min=1)] = 1,
    json: Json = False,
) -> None:
    """Print a controller's key, hexadecimal: to be written to it once, over a way that nobody listens to."""
    _show(DEVICE, device_id, key_version, json=json)


@app.command()
def operator(
    operator_id: Annotated[str, typer.Argument(help="The operator, such as op-7.")],
    json: Json = False,
) -> None:
    """Print an operator's key, hexadecimal, for another program that asks in that operator's name."""
    _show(OPERATOR, operator_id, 1, json=json)


@app.command()
def sealing(json: Json = False) -> None:
    """Print the public key that PINs and templates are sealed with, hexadecimal (X25519). It is no secret."""
    with one_line_errors():
        key = Sealer.of_master(settings_or_fail().master_secret()).public_key.hex()
    if json:
        print_json({"role": "sealing", "public_key": key})
    else:
        say(key)


def _show(role: str, id_: str, key_version: int, *, json: bool) -> None:
    if not id_:
        fail(f"the {role}'s id is empty: give one as in its record", WRONG_USE)
    with one_line_errors():
        key = derive_key(settings_or_fail().master_secret(), role, id_, key_version).hex()
    if json:
        print_json({"role": role, "id": id_, "key_version": key_version, "key": key})
    else:
        say(key)
