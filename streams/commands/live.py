"""The demo's view: doors, decisions, rates and latency on a terminal; plain lines elsewhere."""

from __future__ import annotations

import sys
import time
from collections import deque
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Self

from rich.columns import Columns
from rich.console import Console, Group
from rich.live import Live
from rich.panel import Panel
from rich.table import Table
from rich.text import Text

from streams.commands.stories import Stories, Told
from streams.commands.story_lines import TITLES, together
from streams.simulator.scene import Story

_BLOCKS = "▁▂▃▄▅▆▇█"
_PLAIN_EVERY_S = 5.0
_DOOR_STYLES = {
    "open": "bold green",
    "granted": "green",
    "denied": "red",
    "offline": "dim",
    "locked": "bold magenta",
    "shut": "bright_black",
}
_DOOR_SIGNS = {"open": "□", "granted": "▣", "denied": "▨", "offline": "·", "locked": "◆", "shut": "■"}


@dataclass(frozen=True)
class Frame:
    """What is shown at one moment. Rates are per second, latencies in milliseconds."""

    elapsed_s: float
    seconds: float
    requests: int
    granted: int
    denied: int
    commands: int
    confirmed: int
    waiting: int
    rate: float
    p50_ms: float
    p99_ms: float
    doors: Mapping[str, str] = field(default_factory=dict)
    last: Sequence[str] = ()


class View:
    """Shows frames: `with View(title) as view: view.show(frame)`. Draws on a terminal, prints a line elsewhere."""

    def __init__(self, title: str, *, quiet: bool = False, console: Console | None = None) -> None:
        self._title = title
        self._console = console or Console(stderr=True)
        self._quiet = quiet
        self._rates: deque[float] = deque(maxlen=60)
        self._printed_at = 0.0
        self._told: dict[tuple[str, Story], int] = {}
        self._stories: list[Told] = []
        self._live = Live(console=self._console, refresh_per_second=8, transient=True)
        self._drawing = self._console.is_terminal and not quiet

    def __enter__(self) -> Self:
        if self._drawing:
            self._live.start()
        return self

    def __exit__(self, *_exc: object) -> None:
        if self._drawing:
            self._live.stop()

    def note(self, line: str) -> None:
        """One line of progress."""
        if self._drawing:
            self._console.print(line)
        elif not self._quiet:
            sys.stderr.write(line + "\n")
            sys.stderr.flush()

    def tell(self, stories: Stories) -> None:
        """Show how the stories go on; where nothing can be drawn, a line for each new step."""
        for one in stories.told.values():
            key = (one.site_id, one.story)
            for step in one.steps[self._told.get(key, 0) :] if not self._drawing else ():
                self.note(f"{step.at.astimezone():%H:%M:%S}  {TITLES[one.story]}: {step.kind} {step.text}")
            self._told[key] = len(one.steps)
        self._stories = [one for one in stories.told.values() if one.steps]

    def show(self, frame: Frame) -> None:
        """Show a frame; where nothing can be drawn, a line every five seconds."""
        self._rates.append(frame.rate)
        if self._drawing:
            self._live.update(self.draw(frame))
        elif not self._quiet and time.monotonic() - self._printed_at >= _PLAIN_EVERY_S:
            self._printed_at = time.monotonic()
            self.note(plain(frame))

    def draw(self, frame: Frame) -> Group:
        """A frame as rich draws it."""
        numbers = Table.grid(padding=(0, 3))
        numbers.add_row("requests", f"{frame.requests:,}", "granted", f"[green]{frame.granted:,}[/]")
        numbers.add_row("waiting", f"{frame.waiting:,}", "denied", f"[red]{frame.denied:,}[/]")
        numbers.add_row("commands", f"{frame.commands:,}", "confirmed", f"{frame.confirmed:,}")
        numbers.add_row("p50", f"{frame.p50_ms:.0f} ms", "p99", f"{frame.p99_ms:.0f} ms")
        numbers.add_row("rate", f"{frame.rate:.0f}/s", "", sparkline(self._rates))
        doors = Text()
        for _name, state in sorted(frame.doors.items()):
            doors.append(_DOOR_SIGNS.get(state, "?"), style=_DOOR_STYLES.get(state, ""))
            doors.append("" if len(frame.doors) > 200 else " ")  # noqa: PLR2004 - small campuses get air
        last = "\n".join(frame.last[-12:]) or "nothing yet"
        legend = "■ shut  □ open  ▣ granted  ▨ denied  ◆ locked down  · offline"
        left = f"{frame.elapsed_s:.0f} of {frame.seconds:.0f} s"
        told = Text(no_wrap=True, overflow="ellipsis")
        for one in self._stories[-8:]:
            last_step = together(one.steps)[-1]
            style = "green" if last_step.kind == "closed" else "bold red"
            told.append(f"{TITLES[one.story]:24} {last_step.kind:13} {last_step.text}\n", style=style)
        return Group(
            Columns([Panel(numbers, title=self._title, subtitle=left), Panel(doors, title="doors", subtitle=legend)]),
            Panel(Text(last, no_wrap=True, overflow="ellipsis"), title="last decisions"),
            Panel(told, title="alerts, from cause to acknowledgement"),
        )


def sparkline(values: Sequence[float] | deque[float]) -> str:
    """The values as a row of blocks, scaled to the largest."""
    top = max(values, default=0.0) or 1.0
    return "".join(_BLOCKS[min(7, int(value / top * 7.99))] for value in values)


def plain(frame: Frame) -> str:
    """A frame as one line."""
    return (
        f"{frame.elapsed_s:5.0f} s  {frame.rate:6.0f}/s  requests {frame.requests:,}  granted {frame.granted:,}  "
        f"denied {frame.denied:,}  waiting {frame.waiting:,}  p50 {frame.p50_ms:.0f} ms  p99 {frame.p99_ms:.0f} ms"
    )
