"""What the tables of ClickHouse have in common: how a row and its columns are written.

UUIDs are written as numbers and times as Unix milliseconds: what the driver takes without looking at each value.
"""

from __future__ import annotations

from collections.abc import Callable
from datetime import datetime
from typing import Any

from schemas.record import Record
from sinks.reading import within

Row = tuple[Any, ...]
Columns = dict[str, str]
"""The columns of a table with their types, in the order of its rows; `incarnation` comes before them."""
Maker = tuple[str, Callable[[Any, Record], Row | None]]
"""The table that messages of a class go to, and how one becomes a row there; None where it leaves none."""
WORD = "LowCardinality(String)"
TIME = "DateTime64(3, 'UTC')"
WORDS = f"Array({WORD})"


def number(uuid: str) -> int:
    """A UUID of the text form of RFC 9562.

    Raises:
        ValueError: it is none.
    """
    digits = uuid.replace("-", "")
    if len(digits) != 32 or len(uuid) != 36:  # noqa: PLR2004 - the text form of RFC 9562
        raise ValueError("an id that is no UUID")
    return int(digits, 16)


def ms(moment: datetime) -> int:
    """Unix milliseconds; what lies outside the years that the store can tell is moved to their edge."""
    return round(within(moment).timestamp() * 1000)
