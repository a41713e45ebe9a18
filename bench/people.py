"""People who ask at their doors all the while, in a process of their own.

What else is measured, and who measures it, is not to hold up their answers. Run as a program with the bootstrap
servers, the size of the world and the controllers' boot, it asks until it is stopped (SIGTERM) and prints what it saw,
as JSON.
"""

from __future__ import annotations

import json
import signal
import sys
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path

import uvloop

from bench.latency import DRAIN_S, Answered, Expected, name_of_command, timed
from bench.programs import Program
from bench.stage import COMMANDS, PARTITIONS
from bench.world import Shape, requests, site_names
from schemas.partitioning import partition_of

RATE = 200
"""Requests a second."""

MOST_S = 600.0
READY = "ready"


@asynccontextmanager
async def people(kafka: str, shape: Shape, boot: int, folder: Path) -> AsyncIterator[Program]:
    """They ask, until their `answers` are wanted."""
    async with Program("bench.people", [kafka, json.dumps(shape), str(boot)], folder, {}) as program:
        await program.says(READY)
        yield program


async def answers(program: Program) -> tuple[list[Answered], int]:
    """What they saw, request by request (`perf_counter` is the machine's); and how many never got an answer."""
    said = await program.finish(DRAIN_S + 10)
    found = json.loads(said.splitlines()[-1])
    return [Answered(*one) for one in found["answered"]], found["unanswered"]


async def _ask(kafka: str, shape: Shape, boot: int) -> None:
    stopped: list[int] = []
    signal.signal(signal.SIGTERM, lambda number, _frame: stopped.append(number))
    messages = requests(shape, int(RATE * MOST_S), boot=boot)
    # A controller reads what is of its own site.
    homes = {partition_of(site.encode(), PARTITIONS) for site in site_names(shape)}
    took, unanswered = await timed(
        {"bootstrap_servers": kafka},
        messages,
        rate=RATE,
        seconds=MOST_S,
        expected=Expected(COMMANDS, name_of_command, homes),
        begun=lambda: _say(READY),
        enough=lambda: bool(stopped),
    )
    _say(json.dumps({"answered": took, "unanswered": unanswered}))


def _say(text: str) -> None:
    sys.stdout.write(f"{text}\n")
    sys.stdout.flush()


if __name__ == "__main__":
    uvloop.run(_ask(sys.argv[1], Shape(*json.loads(sys.argv[2])), int(sys.argv[3])))
