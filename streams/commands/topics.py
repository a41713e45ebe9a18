"""`doorstream topics`: the registry page against itself, against a cluster, and made so."""

from __future__ import annotations

import typer

from schemas.consistency import problems
from schemas.topics import registry
from streams.agents.cluster import Cluster, Difference
from streams.commands.running import FOUND_WRONG, Json, print_json, run, say, settings_or_fail
from streams.connection import kafka_options
from streams.settings import Settings

app = typer.Typer(help="The topics: checked, compared with a cluster, and made.", no_args_is_help=True)


@app.command()
def check(json: Json = False) -> None:
    """Hold topics.yaml against itself and the models. Needs no cluster."""
    settings_or_fail()
    found = problems(registry())
    if json:
        print_json({"topics": len(registry()), "problems": found})
    else:
        for line in found:
            say(line)
        if not found:
            say(f"{len(registry())} topics, all sound")
    if found:
        raise typer.Exit(FOUND_WRONG)


@app.command()
def plan(json: Json = False) -> None:
    """Say what `apply` would create or change. Exit 1 when something would."""
    settings = settings_or_fail()

    async def work() -> list[Difference]:
        async with Cluster(kafka_options(settings)) as cluster:
            return await cluster.plan(registry(), settings.partitions)

    found = run(work())
    _show(found, settings, json=json, done=False)
    if found:
        raise typer.Exit(FOUND_WRONG)


@app.command()
def apply(json: Json = False) -> None:
    """Create what is missing and set what differs; nothing is ever deleted."""
    settings = settings_or_fail()

    async def work() -> list[Difference]:
        async with Cluster(kafka_options(settings)) as cluster:
            return await cluster.apply(registry(), settings.partitions, settings.replication)

    found = run(work())
    _show(found, settings, json=json, done=True)
    if any(difference.action == "conflict" for difference in found):
        raise typer.Exit(FOUND_WRONG)


def _show(found: list[Difference], settings: Settings, *, json: bool, done: bool) -> None:
    if json:
        print_json({"done": done, "differences": [difference._asdict() for difference in found]})
        return
    words = {"create": "created" if done else "create", "configure": "set", "conflict": "CONFLICT"}
    for difference in found:
        say(f"{words[difference.action]:9} {difference.topic:32} {difference.detail}")
    if not found:
        say(f"the cluster at {settings.kafka} has all {len(registry())} topics as topics.yaml wants them")
