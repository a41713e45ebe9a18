"""`doorstream`: the one console script."""

from __future__ import annotations

import signal
import sys


def main() -> None:
    """Run the command line."""
    # While the modules are read there is nothing to clean up: Ctrl-C just ends it, without a trace on the screen.
    before = signal.signal(signal.SIGINT, signal.SIG_DFL)
    try:
        from streams.commands.app import exit_code  # noqa: PLC0415 - what takes a second is read here
    finally:
        signal.signal(signal.SIGINT, before)
    sys.exit(exit_code())


if __name__ == "__main__":
    main()
