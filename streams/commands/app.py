"""`doorstream` with all its commands, and what becomes of their errors."""

from __future__ import annotations

import logging
import sys

import typer

from streams.commands import (
    alerts,
    db,
    dead,
    devices,
    doors,
    keys,
    lockdown,
    lockouts,
    stack,
    subscriptions,
    threats,
    topics,
    worker,
)
from streams.commands.demo import demo
from streams.commands.doctor import doctor
from streams.commands.explain import explain
from streams.commands.lag import lag
from streams.commands.load import load
from streams.commands.replay import replay
from streams.commands.running import FOUND_WRONG, WRONG_USE, one_line_errors, unexpected
from streams.commands.simulate import simulate
from streams.commands.tail import tail
from streams.commands.unlock import unlock

WrongUse: type[typer.BadParameter] = typer.BadParameter.__mro__[1]
"""What typer raises for arguments that don't fit; it exports only this subclass of it."""

INTERRUPTED = 130
"""What typer makes of a Ctrl-C that no command has taken."""

app = typer.Typer(
    name="doorstream",
    help="An access-control pipeline on Kafka: controllers ask, one machine a site decides, doors obey.",
    no_args_is_help=True,
    pretty_exceptions_enable=False,
    context_settings={"help_option_names": ["-h", "--help"]},
)
app.add_typer(stack.app, name="stack")
app.add_typer(topics.app, name="topics")
app.add_typer(db.app, name="db")
app.add_typer(worker.app, name="worker")
app.add_typer(dead.app, name="dead")
app.add_typer(devices.app, name="devices")
app.add_typer(keys.app, name="keys")
app.add_typer(alerts.app, name="alerts")
app.add_typer(lockouts.app, name="lockouts")
app.add_typer(threats.app, name="threats")
app.add_typer(subscriptions.app, name="subscriptions")
app.add_typer(lockdown.app, name="lockdown")
app.add_typer(doors.app, name="doors")
app.command("demo")(demo)
app.command("explain")(explain)
app.command("load")(load)
app.command("simulate")(simulate)
app.command("tail")(tail)
app.command("unlock")(unlock)
app.command("lag")(lag)
app.command("replay")(replay)
app.command("doctor")(doctor)


def exit_code() -> int:
    """Run the command line; gives its exit code. What is wrong is said in one line; no library talks."""
    for name in ("aiokafka", "clickhouse_connect", "asyncio"):
        logging.getLogger(name).setLevel(logging.CRITICAL)
    code = _run()
    return _told("stopped by Ctrl-C", FOUND_WRONG) if code == INTERRUPTED else code


def _run() -> int:
    try:
        with one_line_errors():
            code = app(prog_name="doorstream", standalone_mode=False)
            return code if isinstance(code, int) else 0
    except typer.Exit as ended:
        return int(ended.exit_code)
    except typer.Abort:
        return _told("aborted: nothing was done", FOUND_WRONG)
    except WrongUse as error:
        context = getattr(error, "ctx", None)
        path = context.command_path if context is not None else "doorstream"
        if not error.args or not error.format_message():
            return WRONG_USE
        said = error.format_message().replace("Value error, ", "").rstrip(".")
        return _told(f"{said}: see `{path} --help`", WRONG_USE)
    except Exception as error:  # noqa: BLE001 - the last resort; no command ends with a traceback
        try:
            unexpected(error)
        except typer.Exit as ended:
            return int(ended.exit_code)


def _told(line: str, code: int) -> int:
    sys.stderr.write(f"doorstream: {' '.join(line.split())}\n")
    return code
