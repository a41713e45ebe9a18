"""`doorstream demo`: the whole thing in one command, from nothing to a summary, and nothing left behind."""

from __future__ import annotations

import asyncio
import json as jsonlib
import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Annotated, Any, Literal

import typer

from sinks.queries import Counts, clickhouse_counts, postgres_counts
from streams.commands.guards import Guards
from streams.commands.hurry import hurried
from streams.commands.live import View
from streams.commands.load import load_campus
from streams.commands.pipeline import servers, workers
from streams.commands.reading import read_topics
from streams.commands.replay import drift_of, replay_all
from streams.commands.running import FOUND_WRONG, WRONG_USE, fail, print_json, run, say, settings_or_fail
from streams.commands.simulate import CAMPUS, campus_or_fail, play
from streams.commands.stories import Stories, Told
from streams.commands.story_lines import TITLES
from streams.commands.story_lines import lines_of as story_lines
from streams.connection import kafka_options
from streams.loading.campus import Campus
from streams.settings import Settings
from streams.simulator.day import SCENARIOS
from streams.simulator.report import Report
from streams.simulator.run import Options
from streams.simulator.scene import Story

STORED_WITHIN_S = 30.0
"""How long the stores may take to hold all that was decided."""

STORIES_WITHIN_S = 60.0
"""How long after the day the last stories may take to come to their ends."""

_POLL_S = 0.25
_BROKERS = {"embedded": "on the embedded broker", "apache": "on Apache Kafka"}


@dataclass(frozen=True)
class Summary:
    """What a demo showed.

    `granted` and `denied` count the decisions that lie in the topic, each once: those of live requests, of what
    controllers recorded while they were alone, and the refusals of what nobody should have sent.
    """

    report: Report
    granted: int
    denied: int
    postgres: Counts
    clickhouse: Counts
    drift: int
    broker: str
    stories: Sequence[Told] = ()
    leaks: Sequence[str] = ()
    lockdowns: Mapping[str, Any] = field(default_factory=dict)

    @property
    def decisions(self) -> int:
        """How many there are."""
        return self.granted + self.denied

    @property
    def problems(self) -> list[str]:
        """What was lost, doubled, stale, stored otherwise, or decided otherwise than expected; empty if nothing."""
        found = list(self.report.problems)
        for name, counts in (("PostgreSQL", self.postgres), ("ClickHouse", self.clickhouse)):
            if counts.decisions != self.decisions:
                found.append(f"{name} holds {counts.decisions} of {self.decisions} decisions")
        found += [f"{self.drift} decided otherwise when decided again"] if self.drift else []
        found += [f"{len(self.leaks)} messages about duress to somebody else"] if self.leaks else []
        found += [f"{TITLES[one.story]} at {one.site_id} has no {', no '.join(one.lacks)}" for one in self.unfinished]
        return found

    @property
    def sound(self) -> bool:
        """Whether there is no problem."""
        return not self.problems

    @property
    def unfinished(self) -> list[Told]:
        """Stories that should have come to their end and have not; none where somebody ended the day early."""
        return [] if self.report.interrupted else [one for one in self.stories if one.lacks and not one.missing]

    def as_json(self) -> dict[str, Any]:
        """The report's fields, those of the stores, `broker`, `drift`, `sound` and `problems`."""
        return {
            **self.report.as_json(),
            "requests": self.decisions + self.report.undecided,
            "granted": self.granted,
            "denied": self.denied,
            "decisions": self.decisions,
            "postgres_rows": self.postgres.decisions,
            "clickhouse_rows": self.clickhouse.decisions,
            "drift": self.drift,
            "broker": self.broker,
            "stories": [one.as_json() for one in self.stories],
            "duress_leaks": list(self.leaks),
            "lockdowns": dict(self.lockdowns),
            "sound": self.sound,
            "problems": self.problems,
        }


def demo(
    seconds: Annotated[float, typer.Option(help="How long the simulated day is.", min=1.0)] = 60.0,
    sites: Annotated[int, typer.Option(help="How many copies of the campus.", min=1)] = 1,
    rate: Annotated[float, typer.Option(help="About how many requests a second, all sites together.", min=0.1)] = 17.0,
    seed: Annotated[int, typer.Option(help="Which day; the same seed gives the same one.")] = 1,
    scenario: Annotated[str, typer.Option(help=f"What happens: {', '.join(SCENARIOS)}.")] = "day",
    kafka: Annotated[
        Literal["embedded", "apache"], typer.Option(help="The broker: a wheel, or Apache Kafka on Java 17.")
    ] = "embedded",
    campus: Annotated[Path, typer.Option(help="The folder of reference data.")] = CAMPUS,
    json: Annotated[bool, typer.Option("--json", help="Print the summary as JSON.")] = False,
) -> None:
    """Start everything, let virtual controllers live a day, show it, stop everything, and say whether all was right.

    Exit 0 only if nothing was lost or doubled, no door opened on a stale command, and both stores hold every decision.
    """
    if scenario not in SCENARIOS:
        fail(f"there is no scenario {scenario}: choose one of {', '.join(SCENARIOS)}", WRONG_USE)
    people = hurried(campus_or_fail(campus, sites))
    folder = settings_or_fail().stack_folder.absolute().with_name("demo")
    options = Options(seconds=seconds, rate=rate, seed=seed, scenario=scenario, devices=True, operators=True)
    with View(f"{scenario}, {sites} site{'s' if sites > 1 else ''}", quiet=json) as view:
        summary = run(_demo(folder, kafka, people, options, view))
    if json:
        print_json(summary.as_json())
    else:
        for line in lines_of(summary):
            say(line)
    if not summary.sound:
        fail(f"not as it should be: {'; '.join(summary.problems)}. The logs are in {folder}", FOUND_WRONG)


async def _demo(
    folder: Path, broker: Literal["embedded", "apache"], campus: Campus, options: Options, view: View
) -> Summary:
    async with servers(folder, broker, view.note, with_catcher=True) as settings:
        loaded = await load_campus(settings, campus)
        view.note(f"loaded {sum(counts.new for counts in loaded.values()):,} reference records")
        stories = Stories(campus)
        guards = Guards(settings, stories, campus, folder, lambda: view.tell(stories))
        async with workers(settings, folder, ["decide", "record", "notify"], view.note):
            view.note("the workers are ready; the day begins")
            async with guards.on_duty():
                report = await play(
                    kafka_options(settings), settings.master_secret(), campus, options, view, stories.on_story
                )
                if not report.interrupted:
                    view.note("the day is over; waiting until the last story is, too")
                    await guards.until_over(STORIES_WITHIN_S)
            view.note("waiting for the stores, then deciding it all again")
            replayed = await replay_all(settings)
            granted, denied = await _decided(settings)
            postgres, clickhouse = await _stored(settings, granted + denied)
    told = [stories.told[key] for key in sorted(stories.told, key=lambda key: (key[0], list(Story).index(key[1])))]
    lockdowns = {one.site_id: guards.lockdowns.report(one) for one in told if one.story is Story.LOCKDOWN}
    drift, leaks = drift_of(replayed), stories.leaks
    return Summary(report, granted, denied, postgres, clickhouse, drift, broker, told, leaks, lockdowns)


async def _decided(settings: Settings) -> tuple[int, int]:
    """How many decisions, each counted once, lie in the topic: granted and denied."""
    ids: dict[str, set[str]] = {"access_granted": set(), "access_denied": set()}
    async for record in read_topics(kafka_options(settings), ["access.decisions"], start_ms=None, follow=False):
        fields = jsonlib.loads(record.value)
        if fields["type"] in ids:
            ids[fields["type"]].add(fields["decision_id"])
    return len(ids["access_granted"]), len(ids["access_denied"])


async def _stored(settings: Settings, decisions: int) -> tuple[Counts, Counts]:
    """What the stores hold, once they hold so many decisions or their time is over."""
    deadline = time.monotonic() + STORED_WITHIN_S
    while True:
        postgres, clickhouse = await asyncio.gather(
            postgres_counts(settings.postgres), clickhouse_counts(settings.clickhouse)
        )
        if postgres.decisions == clickhouse.decisions == decisions or time.monotonic() > deadline:
            return postgres, clickhouse
        await asyncio.sleep(_POLL_S)


def lines_of(summary: Summary) -> list[str]:
    """A summary for people."""
    report = summary.report
    p50, p99 = (f"{ms:.0f} ms" if ms is not None else "-" for ms in (report.p50_ms, report.p99_ms))
    rows = [
        ("requests", f"{summary.decisions + report.undecided:,} in {report.seconds:.0f} s, {_BROKERS[summary.broker]}"),
        ("granted / denied", f"{summary.granted:,} / {summary.denied:,}"),
        ("commands", f"{report.commands:,}, confirmed {report.confirmed:,}"),
        ("request to command", f"p50 {p50}, p99 {p99}"),
        ("passages", f"{report.taken:,} passed, {report.not_taken:,} did not"),
        ("undecided", f"{report.undecided}"),
        ("doubled", f"{report.doubled}"),
        ("stale actuations", f"{report.stale_actuations} of {report.openings:,} openings"),
        ("door modes", f"{report.modes_set:,} set, {report.mode_violations} commands against the rules"),
        ("kept in", f"{report.kept_in} of {report.ways_out:,} who wanted to leave"),
        ("oracle differences", f"{report.oracle_differences} of {report.oracle_checked:,} decisions"),
        (
            "controllers",
            f"{report.devices_lost} lost, {report.faults} broken, {report.device_differences} told otherwise",
        ),
        ("decided again", f"drift {summary.drift}"),
        ("PostgreSQL", f"{summary.postgres.decisions:,} of {summary.decisions:,} decisions"),
        ("ClickHouse", f"{summary.clickhouse.decisions:,} of {summary.decisions:,} decisions"),
    ]
    begun = [one for one in summary.stories if not one.missing]
    duress = [step for one in begun if one.story is Story.DURESS_PIN for step in one.steps if step.kind == "told"]
    rows += [
        ("stories", f"{sum(not one.lacks for one in begun)} of {len(begun)} came to their end, as told above"),
        ("duress", f"{len(duress)} messages to monitoring, {len(summary.leaks)} to anybody else"),
    ]
    lines = [*story_lines(summary.stories), "", *(f"{name:20} {text}" for name, text in rows)]
    return [
        *lines,
        *(f"  {line}" for line in summary.leaks),
        *(f"  {line}" for line in (*report.differences, *report.stale, *report.violations)),
    ]
