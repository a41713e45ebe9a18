"""Ends a stack when its owner is gone, however that died: `python -m deploy.stack.watcher --folder ... --pid ...`."""

from __future__ import annotations

import argparse
import asyncio
import contextlib
import os
import select
import sys
import time
from pathlib import Path

from deploy.stack.lifecycle import down
from deploy.stack.processes import Process, is_alive

_POLL_S = 0.5


def wait_for_end(owner: Process) -> None:
    """Block until exactly this process has ended; the kernel says so where it can."""
    with contextlib.suppress(OSError, AttributeError):
        descriptor = os.pidfd_open(owner.pid)
        if is_alive(owner):
            select.select([descriptor], [], [])
        os.close(descriptor)
    while is_alive(owner):
        time.sleep(_POLL_S)


def main(arguments: list[str] | None = None) -> int:
    """Watch one process, then take its stack down."""
    parser = argparse.ArgumentParser(description="Ends a stack when its owner is gone.")
    parser.add_argument("--folder", type=Path, required=True)
    parser.add_argument("--pid", type=int, required=True)
    parser.add_argument("--started", required=True)
    given = parser.parse_args(arguments)
    wait_for_end(Process(given.pid, given.started))
    asyncio.run(down(given.folder))
    return 0


if __name__ == "__main__":
    sys.exit(main())
