"""`doorstream`: the one console script. Every command lives in `streams/commands`."""

from __future__ import annotations

import logging

import typer

from streams.commands import db, dead, stack, topics, worker
from streams.commands.doctor import doctor
from streams.commands.explain import explain
from streams.commands.lag import lag
from streams.commands.load import load
from streams.commands.replay import replay
from streams.commands.simulate import simulate
from streams.commands.tail import tail
from streams.commands.unlock import unlock

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
app.command("explain")(explain)
app.command("load")(load)
app.command("simulate")(simulate)
app.command("tail")(tail)
app.command("unlock")(unlock)
app.command("lag")(lag)
app.command("replay")(replay)
app.command("doctor")(doctor)


def main() -> None:
    """Run the command line. Commands say what is wrong in one line; libraries keep quiet."""
    logging.getLogger("aiokafka").setLevel(logging.CRITICAL)
    app()


if __name__ == "__main__":
    main()
