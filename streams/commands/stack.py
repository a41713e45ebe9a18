"""`doorstream stack`: the local servers."""

from __future__ import annotations

import shlex
from typing import Annotated, Literal

import typer

from deploy.stack import Endpoints, StackOptions, catcher, down, status, up
from streams.commands.running import FOUND_WRONG, Json, hint, print_json, run, say, settings_or_fail
from streams.settings import PREFIX

app = typer.Typer(help="A local broker, PostgreSQL and ClickHouse, without Docker.", no_args_is_help=True)


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
    if json:
        print_json(_shown(endpoints))
    else:
        _say_settings(endpoints)


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
    """Say what runs where, and print the settings to use what runs. Exit 1 when a part does not run."""
    found = status(settings_or_fail().stack_folder.absolute())
    endpoints = found.endpoints
    if json:
        parts = [{"name": p.name, "state": p.state, "pid": p.pid, "port": p.port} for p in found.parts]
        print_json({"parts": parts, **(_shown(endpoints) if endpoints else {})})
    else:
        for part in found.parts:
            say(f"{part.name:12} {part.state:8} pid {part.pid or '-'}  port {part.port or '-'}")
        if not found.parts:
            say("no stack has been started here: `doorstream stack up`")
        if endpoints:
            _say_settings(endpoints)
    if not found.parts or any(part.state != "running" for part in found.parts):
        raise typer.Exit(FOUND_WRONG)


def _settings(endpoints: Endpoints) -> dict[str, str]:
    """The settings, without their prefix, by which the parts that run are used."""
    reached = {"kafka": endpoints.kafka, "postgres": endpoints.postgres, "clickhouse": endpoints.clickhouse}
    catching = catcher.settings(endpoints.catcher) if endpoints.catcher else {}
    running = {name: value for name, value in reached.items() if value}
    return {**running, "master_secret_file": endpoints.master_secret_file, **catching}


def _shown(endpoints: Endpoints) -> dict[str, str]:
    return {**_settings(endpoints), "broker": endpoints.broker, "catcher": endpoints.catcher}


def _say_settings(endpoints: Endpoints) -> None:
    for name, value in _settings(endpoints).items():
        say(f"export {PREFIX}{name.upper()}={shlex.quote(value)}")
