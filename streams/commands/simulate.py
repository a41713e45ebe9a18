"""`doorstream simulate`: virtual controllers and a campus full of people, against any broker."""

from __future__ import annotations

import asyncio
import signal
from contextlib import suppress
from dataclasses import asdict
from functools import partial
from pathlib import Path
from typing import Annotated, Any

import typer

from streams.commands.live import Frame, View
from streams.commands.running import (
    FOUND_WRONG,
    WRONG_USE,
    CommandError,
    Json,
    fail,
    print_json,
    run,
    say,
    settings_or_fail,
)
from streams.connection import kafka_options
from streams.loading.campus import Campus, LoadError, copies, read_campus
from streams.simulator.broker import KafkaLine, TopicsMissingError
from streams.simulator.day import SCENARIOS
from streams.simulator.knocking import NobodyDecidesError
from streams.simulator.progress import Progress
from streams.simulator.report import Report
from streams.simulator.run import Options, Simulation
from streams.simulator.scene import OnStory

CAMPUS = Path(__file__).resolve().parents[2] / "deploy" / "campus"


def simulate(
    rate: Annotated[float, typer.Option(help="About how many requests a second, all sites together.", min=0.1)] = 17.0,
    seconds: Annotated[float, typer.Option(help="How long the day is.", min=1.0)] = 60.0,
    seed: Annotated[int, typer.Option(help="Which day; the same seed gives the same one.")] = 1,
    scenario: Annotated[str, typer.Option(help=f"What happens: {', '.join(SCENARIOS)}.")] = "day",
    campus: Annotated[Path, typer.Option(help="The folder that `doorstream load` loaded.")] = CAMPUS,
    sites: Annotated[int, typer.Option(help="How many copies of the campus; load as many.", min=1)] = 1,
    json: Json = False,
) -> None:
    """Simulate a day of a campus. Exit 1 if anything was lost, doubled, stale or decided otherwise than expected."""
    if scenario not in SCENARIOS:
        fail(f"there is no scenario {scenario}: choose one of {', '.join(SCENARIOS)}", WRONG_USE)
    settings = settings_or_fail()
    options = Options(seconds=seconds, rate=rate, seed=seed, scenario=scenario, devices=True)
    people = campus_or_fail(campus, sites)
    with View(f"{scenario}, {sites} site{'s' if sites > 1 else ''}", quiet=json) as view:
        report = run(play(kafka_options(settings), settings.master_secret(), people, options, view))
    if json:
        print_json(report.as_json())
    else:
        for line in lines_of(report):
            say(line)
    if not report.sound:
        fail(f"not as it should be: {'; '.join(report.problems)}", FOUND_WRONG)


def campus_or_fail(folder: Path, sites: int) -> Campus:
    """The campus of a folder, so many times; a wrong one ends the command."""
    try:
        return copies(read_campus(folder), sites)
    except LoadError as error:
        fail(f"{error.problems[0]}; `doorstream load {folder} --dry-run` lists all problems", FOUND_WRONG)
    except (NotADirectoryError, ValueError) as error:
        fail(str(error), WRONG_USE)


async def play(
    kafka: dict[str, Any],
    master: bytes,
    campus: Campus,
    options: Options,
    view: View,
    on_story: OnStory = lambda _told: None,
) -> Report:
    """Run a simulation; Ctrl-C ends it early, with the report of what happened.

    Raises:
        CommandError: no worker decides, a topic is missing, or the campus has nobody who may enter.
    """
    simulation = Simulation(partial(KafkaLine.opened, kafka), master, campus, options, on_story=on_story)
    loop = asyncio.get_running_loop()
    with suppress(NotImplementedError):
        loop.add_signal_handler(signal.SIGINT, simulation.stop)
    try:
        return await simulation.run(lambda progress: view.show(frame_of(progress)))
    except (NobodyDecidesError, TopicsMissingError, ValueError) as error:
        raise CommandError(str(error)) from error
    finally:
        with suppress(NotImplementedError):
            loop.remove_signal_handler(signal.SIGINT)


def frame_of(progress: Progress) -> Frame:
    """A moment of the run, as the view draws it."""
    return Frame(**asdict(progress))


def lines_of(report: Report) -> list[str]:
    """A report for people."""
    p50, p99 = (f"{ms:.0f} ms" if ms is not None else "-" for ms in (report.p50_ms, report.p99_ms))
    lines = [
        f"{report.requests:,} requests in {report.seconds:.0f} s: {report.granted:,} granted, {report.denied:,} denied",
        f"{report.commands:,} commands, {report.confirmed:,} confirmed; request to command p50 {p50}, p99 {p99}",
        f"{report.taken:,} passed, {report.not_taken:,} did not; {report.recorded:,} decided by controllers alone",
        f"{report.undecided} undecided, {report.doubled} doubled",
        f"{report.openings:,} openings, {report.stale_actuations} of them stale",
        f"{report.modes_set:,} modes of doors set, {report.mode_violations} commands against the rules",
        f"{report.ways_out:,} wanted to leave where nobody is asked, {report.kept_in} were kept in",
        f"{report.devices_lost} controllers lost, {report.faults} broken; {report.device_differences} told otherwise",
        f"the oracle checked {report.oracle_checked:,} decisions: {report.oracle_differences} differ",
    ]
    return [*lines, *(f"  {line}" for line in (*report.differences, *report.stale, *report.violations))]
