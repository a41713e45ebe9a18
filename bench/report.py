"""The table at the end, and the file beside it."""

from __future__ import annotations

import json
import os
import platform
from collections.abc import Sequence
from datetime import UTC, datetime
from importlib.metadata import version
from pathlib import Path
from typing import Any, NamedTuple

RESULTS = Path(__file__).parent / "results.json"
_LIBRARIES = ("aiokafka", "faust-streaming", "msgspec", "pydantic", "uvloop", "asyncpg", "clickhouse-connect")


class Figure(NamedTuple):
    """One line: what was measured, beside what, what was aimed at; `met` None = nothing was aimed at."""

    name: str
    value: float
    unit: str
    target: str = ""
    met: bool | None = None
    note: str = ""


def machine() -> dict[str, Any]:
    """What it was measured on."""
    name = platform.processor() or platform.machine()
    cpuinfo = Path("/proc/cpuinfo")
    if cpuinfo.exists():
        lines = cpuinfo.read_text(encoding="utf-8").splitlines()
        name = next((line.partition(":")[2].strip() for line in lines if line.startswith("model name")), name)
    load = os.getloadavg()[0] if hasattr(os, "getloadavg") else 0.0
    return {
        "cpu": name,
        "cores": os.cpu_count(),
        "system": f"{platform.system()} {platform.release()}",
        "python": platform.python_version(),
        "load_before": round(load, 2),
        "versions": {library: version(library) for library in _LIBRARIES},
    }


def table(figures: Sequence[Figure]) -> str:
    """Name, figure, target, whether it was met."""
    rows = [("measured", "figure", "target", "met", "")]
    for one in figures:
        met = {True: "yes", False: "NO", None: ""}[one.met]
        rows.append((one.name, f"{_number(one.value)} {one.unit}".strip(), one.target, met, one.note))
    widths = [max(len(row[column]) for row in rows) for column in range(len(rows[0]))]
    return "\n".join(
        "  ".join(cell.ljust(width) for cell, width in zip(row, widths, strict=True)).rstrip() for row in rows
    )


def _number(value: float) -> str:
    return f"{value:,.0f}" if abs(value) >= 100 else f"{value:.3g}"  # noqa: PLR2004 - three digits are enough


def write(figures: Sequence[Figure], about: dict[str, Any], raw: dict[str, Any], path: Path = RESULTS) -> None:
    """All of it, as JSON."""
    document = {
        "at": datetime.now(UTC).isoformat(timespec="seconds"),
        **about,
        "figures": [one._asdict() for one in figures],
        "measured": raw,
    }
    path.write_text(json.dumps(document, indent=1, default=str) + "\n", encoding="utf-8")
