"""What a terminal shows: times of day and ages, colours, and nothing that it would obey."""

from __future__ import annotations

import os
import sys
from collections.abc import Mapping
from datetime import datetime
from typing import Any

import typer

_COLOURS = {"critical": "bright_red", "high": "red", "medium": "yellow"}
_QUIET = frozenset({"closed", "resolved", "suppressed", "shelved"})
SPANS_S = {"d": 86_400, "h": 3600, "m": 60, "s": 1}
"""Units of spans, the longest first."""


def printable(line: str) -> str:
    """The line without what would move a terminal's cursor, or worse."""
    return "".join(c if c.isprintable() else "\N{REPLACEMENT CHARACTER}" for c in line)


def coloured(line: str, fields: Mapping[str, Any]) -> str:
    """A line in the colour of its alert's severity, and dim where nobody need look any more; others as they are."""
    if "severity" not in fields or "alert_id" not in fields or not sys.stdout.isatty() or os.environ.get("NO_COLOR"):
        return line
    quiet = fields.get("state") in _QUIET or fields.get("severity") == "low"
    colour = "green" if fields.get("type") == "alert_acknowledged" else _COLOURS.get(str(fields["severity"]))
    return typer.style(line, dim=True) if quiet else typer.style(line, fg=colour)


def clock(text: Any) -> str:
    """A time of day here, to the millisecond; dashes for what is no time."""
    try:
        return datetime.fromisoformat(str(text)).astimezone().strftime("%H:%M:%S.%f")[:-3]
    except ValueError:
        return "--:--:--.---"


def age(since: Any, now: datetime) -> str:
    """How long ago in the largest unit that fits: `3d`, `5h`, `12m`, `7s`; a question mark for what is no time."""
    try:
        seconds = max(0, int((now - datetime.fromisoformat(str(since))).total_seconds()))
    except (TypeError, ValueError):
        return "?"
    unit = next((unit for unit, size in SPANS_S.items() if seconds >= size), "s")
    return f"{seconds // SPANS_S[unit]}{unit}"
