"""What a run showed, as one page of numbers."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from typing import Any

from streams.simulator.audit import Auditor
from streams.simulator.book import Book
from streams.simulator.judge import Judge
from streams.simulator.watch import LOST, Watch

MOST_SHOWN = 50
"""Differences that a report spells out; the rest are only counted."""

_NEVER = (
    *("undecided", "doubled", "uncommanded", "stale_actuations", "mode_violations", "kept_in"),
    *("oracle_differences", "device_differences", "unsent"),
)


@dataclass(frozen=True)
class Report:
    """What a run showed. Times in milliseconds, from a request published to its command received.

    `recorded` requests were decided by controllers alone; `hostile` records were published by somebody who should not;
    `stale_actuations` are openings that the auditor can't account for; doors were given another mode `modes_set` times,
    and `mode_violations` commands broke a rule; of those who wanted to leave where nobody is asked (`ways_out`),
    `kept_in` were not let out; `unavailable` are denials because something
    could not be looked up or verified in time; `oracle_unsure` decisions had more than one right outcome. Controllers
    were told offline (`devices_lost`) and broken (`faults`) so often. `interrupted`: somebody ended the day early.
    """

    scenario: str
    seed: int
    sites: int
    seconds: float
    requests: int
    recorded: int
    hostile: int
    granted: int
    denied: int
    undecided: int
    doubled: int
    commands: int
    confirmed: int
    repeated: int
    failed_commands: Mapping[str, int]
    uncommanded: int
    openings: int
    stale_actuations: int
    stale: Sequence[str]
    modes_set: int
    mode_violations: int
    ways_out: int
    kept_in: int
    violations: Sequence[str]
    taken: int
    not_taken: int
    duress: int
    late: int
    unavailable: int
    reasons: Mapping[str, int]
    oracle_checked: int
    oracle_unsure: int
    oracle_differences: int
    devices_lost: int
    faults: int
    device_differences: int
    differences: Sequence[str]
    unsent: int
    p50_ms: float | None
    p99_ms: float | None
    interrupted: bool = False

    @property
    def problems(self) -> list[str]:
        """What there is and should not be, each with how often, as `1 undecided`; empty if all was right."""
        counts = ((name, getattr(self, name)) for name in _NEVER)
        return [f"{count} {name.replace('_', ' ')}" for name, count in counts if count]

    @property
    def sound(self) -> bool:
        """Whether nothing was lost, doubled, stale or decided otherwise than expected."""
        return not self.problems

    def as_json(self) -> dict[str, Any]:
        """The fields by name, `sound` and `problems`."""
        return {**asdict(self), "sound": self.sound, "problems": self.problems}


def report_of(
    name: tuple[str, int, int],
    seconds: float,
    book: Book,
    judge: Judge,
    auditor: Auditor,
    kept_in: Sequence[str],
    unsent: int,
    watch: Watch | None = None,
) -> Report:
    """The report of a run; `name` is its scenario, seed and number of sites. `watch` None: nobody watched devices.

    `kept_in` is what the auditor says of those who were not let out.
    """
    otherwise = watch.differences() if watch is not None else []
    counts = book.counts
    stale = [*auditor.stale, *auditor.undecided_releases()]
    scenario, seed, sites = name
    return Report(
        scenario=scenario,
        seed=seed,
        sites=sites,
        seconds=round(seconds, 2),
        requests=counts["requests"],
        recorded=counts["recorded"],
        hostile=counts["hostile"],
        granted=counts["granted"],
        denied=counts["denied"],
        undecided=book.waiting,
        doubled=len(book.doubled),
        commands=counts["commands"],
        confirmed=counts["confirmed"],
        repeated=counts["repeated"],
        failed_commands=dict(book.failed_commands),
        uncommanded=len(book.uncommanded),
        openings=auditor.releases,
        stale_actuations=len(stale),
        stale=stale[:MOST_SHOWN],
        modes_set=auditor.modes.set,
        mode_violations=len(auditor.modes.violations),
        ways_out=auditor.ways_out,
        kept_in=len(kept_in),
        violations=[*auditor.modes.violations, *kept_in][:MOST_SHOWN],
        taken=counts["taken"],
        not_taken=counts["not_taken"],
        duress=judge.duress_events,
        late=counts["late"],
        unavailable=counts["unavailable"],
        reasons=dict(book.reasons.most_common()),
        oracle_checked=judge.checked,
        oracle_unsure=judge.unsure,
        oracle_differences=len(judge.differences),
        devices_lost=watch.count(LOST) if watch is not None else 0,
        faults=watch.count("fault") if watch is not None else 0,
        device_differences=len(otherwise),
        differences=[*judge.differences, *book.doubled, *otherwise][:MOST_SHOWN],
        unsent=unsent,
        p50_ms=book.times.quantile_ms(0.5),
        p99_ms=book.times.quantile_ms(0.99),
    )
