"""`doorstream stack`: the local servers."""

from __future__ import annotations

from typing import Annotated, Literal

import typer

from deploy.stack import StackOptions, catcher, down, status, up
from streams.commands.running import FOUND_WRONG, hint, print_json, run, say, settings_or_fail
from streams.settings import PREFIX

app = typer.Typer(help="A local broker, PostgreSQL and ClickHouse, without Docker.", no_args_is_help=True)
Json = Annotated[bool, typer.Option("--json", help="Print JSON.")]


@app.command("up")
def start(
    kafka: Annotated[
        Literal["embedded", "apache"], typer.Option(help="The broker: a wheel, or Apache Kafka on Java 17.")
    ] = "embedded",
    json: Json = False,
) -> None:
    """Start the stack (or find it running) and print the settings to use it."""
    settings = settings_or_fail()
    endpoints = run(up(StackOptions(folder=settings.stack_folder.absolute(), kafka=kafka, with_catcher=True), hint))
    catching = catcher.settings(endpoints.catcher)
    if json:
        print_json(
            {
                "kafka": endpoints.kafka,
                "postgres": endpoints.postgres,
                "clickhouse": endpoints.clickhouse,
                "broker": endpoints.broker,
                "master_secret_file": endpoints.master_secret_file,
                "catcher": endpoints.catcher,
                **catching,
            }
        )
        return
    say(f"export DOORSTREAM_KAFKA={endpoints.kafka}")
    say(f"export DOORSTREAM_POSTGRES='{endpoints.postgres}'")
    say(f"export DOORSTREAM_CLICKHOUSE='{endpoints.clickhouse}'")
    say(f"export DOORSTREAM_MASTER_SECRET_FILE='{endpoints.master_secret_file}'")
    for name, value in catching.items():
        say(f"export {PREFIX}{name.upper()}='{value}'")


@app.command("down")
def stop(json: Json = False) -> None:
    """Stop what `up` started; data stay in the folder."""
    stopped = run(down(settings_or_fail().stack_folder.absolute()))
    if json:
        print_json({"stopped": stopped})
    else:
        say(f"stopped {', '.join(stopped)}" if stopped else "nothing was running")


@app.command("status")
def show(json: Json = False) -> None:
    """Say what runs where. Exit 1 when a part does not run."""
    found = status(settings_or_fail().stack_folder.absolute())
    if json:
        print_json({"parts": [{"name": p.name, "state": p.state, "pid": p.pid, "port": p.port} for p in found.parts]})
    else:
        for part in found.parts:
            say(f"{part.name:12} {part.state:8} pid {part.pid or '-'}  port {part.port or '-'}")
        if not found.parts:
            say("no stack has been started here: `doorstream stack up`")
    if not found.parts or any(part.state != "running" for part in found.parts):
        raise typer.Exit(FOUND_WRONG)
