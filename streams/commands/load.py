"""`doorstream load`: a folder of reference data to the reference topics."""

from __future__ import annotations

import asyncio
import sys
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import Annotated, Any

import typer
from rich.console import Console
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeRemainingColumn

from streams.commands.reading import read_topics
from streams.commands.running import (
    FOUND_WRONG,
    WRONG_USE,
    CommandError,
    Json,
    fail,
    hint,
    print_json,
    run,
    say,
    settings_or_fail,
)
from streams.connection import kafka_options
from streams.hashing import PinHashing
from streams.loading.campus import Campus, LoadError, read_campus
from streams.loading.plan import Counts, Differences, Ownership, compare, steps
from streams.loading.present import PresentState
from streams.loading.publishing import Publisher
from streams.loading.secret_boxes import SecretBoxes
from streams.settings import Settings

Bar = Callable[[int], None]
_SHOWN_CONFLICTS = 20


def load(
    folder: Annotated[Path, typer.Argument(help="The folder, such as deploy/campus.", show_default=False)],
    dry_run: Annotated[
        bool, typer.Option("--dry-run", help="Check, and say what would change; write nothing.")
    ] = False,
    whole: Annotated[
        bool, typer.Option("--whole", help="The folder is all there is: remove what others have loaded, too.")
    ] = False,
    json: Json = False,
) -> None:
    """Bring the reference topics to what a folder says; what is gone from the folder is removed.

    The folder is checked as a whole first; all that is wrong in it is told at once. Loading it twice changes nothing.
    """
    campus = read_or_fail(folder, json=json)
    settings = settings_or_fail()
    if dry_run and not settings.kafka:
        hint("DOORSTREAM_KAFKA is not set: the folder is checked, and compared with nothing")
        found = {name: Counts(new=len(records)) for name, records in campus.records.items()}
        return _show({**found, "secret": Counts(new=len(campus.pins) + len(campus.templates))}, json=json, done=False)
    counts = run(load_campus(settings, campus, whole=whole, dry_run=dry_run))
    return _show(counts, json=json, done=not dry_run)


def read_or_fail(folder: Path, *, json: bool = False) -> Campus:
    """The campus of a folder; what is wrong with it ends the command, one line each."""
    try:
        return read_campus(folder)
    except NotADirectoryError:
        fail(f"{folder}: there is no such folder: give one such as deploy/campus", WRONG_USE)
    except LoadError as error:
        if json:
            print_json({"problems": [problem._asdict() for problem in error.problems]})
        for problem in error.problems:
            hint(str(problem) if problem.file == str(folder) else f"{folder}/{problem}")
        count = len(error.problems)
        fail(f"{folder}: {count} problem{'s' if count != 1 else ''} to mend; nothing was published", FOUND_WRONG)


async def load_campus(
    settings: Settings,
    campus: Campus,
    *,
    whole: bool = False,
    dry_run: bool = False,
    prefix: str = "",
    pins: PinHashing | None = None,
) -> dict[str, Counts]:
    """Bring the reference topics to a campus; gives what was (or, on a dry run, would be) done, by entity.

    `prefix` goes before the topics' names; `pins` hashes PINs.

    Raises:
        SettingsError: Kafka or the master secret is not set.
        CommandError: a topic is missing, or ids are another folder's; nothing is written then.
    """
    options, master = kafka_options(settings), settings.master_secret()
    found = await differences(options, master, campus, whole=whole, prefix=prefix, pins=pins)
    if found.foreign:
        for name, id_, home in sorted(found.foreign)[:_SHOWN_CONFLICTS]:
            hint(f"{name} {id_} was loaded with site {home} from another folder")
        count = len(found.foreign)
        one = "1 id belongs to another folder: choose another"
        what = one if count == 1 else f"{count} ids belong to other folders: choose others"
        raise CommandError(f"{what}, or say --whole to take all over")
    if found.any and not dry_run:
        home = next(iter(campus.records["site"]))
        with _bar("publishing", sum(len(step.records) for step in steps(found))) as bar:
            publisher = Publisher(options, master, home, latest_end_ms=found.latest_end_ms, prefix=prefix)
            await publisher.publish(steps(found), bar)
    return found.counts()


async def differences(
    options: Mapping[str, Any],
    master: bytes,
    campus: Campus,
    *,
    whole: bool = False,
    prefix: str = "",
    pins: PinHashing | None = None,
) -> Differences:
    """What differs between a campus and the topics."""
    state = PresentState(master, prefix)
    async for record in read_topics(options, state.topics, start_ms=None, follow=False):
        state.take(record)
    owner, found = Ownership(campus, whole=whole), Differences()
    found.latest_end_ms = state.latest_end_ms
    for name, records in campus.records.items():
        compare(name, records, state.of(name), owner, found)
    with _bar("PINs and templates", len(campus.pins) + len(campus.templates)) as bar:
        boxes = SecretBoxes(master, pins)
        await asyncio.to_thread(boxes.compare, campus, state.of("secret"), owner, found, lambda: bar(1))
    return found


@contextmanager
def _bar(title: str, total: int) -> Iterator[Bar]:
    """A progress bar on stderr where that is a terminal."""
    if not sys.stderr.isatty() or not total:
        yield lambda _count: None
        return
    columns = (TextColumn("{task.description}"), BarColumn(), MofNCompleteColumn(), TimeRemainingColumn())
    with Progress(*columns, console=Console(stderr=True), transient=True) as progress:
        task = progress.add_task(title, total=total)
        yield lambda count: progress.advance(task, count)


def _show(counts: Mapping[str, Counts], *, json: bool, done: bool) -> None:
    total = Counts(*(sum(numbers) for numbers in zip(*counts.values(), strict=True)))
    if json:
        entities = {name: found._asdict() for name, found in counts.items()}
        print_json({"done": done, "entities": entities, "total": total._asdict()})
        return
    say(f"{'':18}{'new':>9}{'changed':>9}{'removed':>9}{'unchanged':>11}")
    for name, found in [*counts.items(), ("together", total)]:
        say(f"{name:18}{found.new:>9,}{found.changed:>9,}{found.removed:>9,}{found.unchanged:>11,}")
    if not done:
        say("nothing was written: this was a dry run")
