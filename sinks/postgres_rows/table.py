"""How each PostgreSQL table is written: its columns, its key, and what happens to a row that is there already."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, NamedTuple

from schemas.canonical import Canonical
from schemas.record import Record

Row = tuple[Any, ...]
Merge = Callable[[Row, Row], Row]


class Table(NamedTuple):
    """A table's columns with their types (`incarnation` comes first in every table and is not listed), and its key.

    `conflict` is what `ON CONFLICT` does. `merge` does the same to two rows of one batch: `DO UPDATE` can't touch a
    row twice in one statement. It is None where a row that is there stays.
    """

    name: str
    columns: dict[str, str]
    key: tuple[str, ...]
    conflict: str = "do nothing"
    merge: Merge | None = None

    @property
    def incoming(self) -> str:
        """The temporary table that a batch's rows are copied into."""
        return f"incoming_{self.name}"

    @property
    def make_incoming(self) -> str:
        """Make that table, once per connection; each transaction leaves it empty."""
        columns = ", ".join(f"{name} {type_}" for name, type_ in self.columns.items())
        return f"create temporary table if not exists {self.incoming} ({columns}) on commit delete rows"

    @property
    def take_incoming(self) -> str:
        """Move a batch's rows into the table; `$1` is the incarnation."""
        columns = ", ".join(self.columns)
        return (
            f"insert into {self.name} (incarnation, {columns}) select $1::bigint, {columns} "  # noqa: S608 - names of ours
            f"from {self.incoming} on conflict ({', '.join(self.key)}) {self.conflict}"
        )


def newest(
    name: str,
    columns: dict[str, str],
    key: tuple[str, ...],
    by: tuple[str, ...] = ("position",),
    earliest: tuple[str, ...] = (),
) -> Table:
    """A table of states, of which the newest counts: of the latest life of the broker, and highest in `by` there.

    Of the columns `earliest` the least value that any state had is kept; null is none.
    """
    names = list(columns)
    at = [names.index(column) for column in by]
    first = [names.index(column) for column in earliest]
    changes = ", ".join(
        f"{column} = least({name}.{column}, excluded.{column})"
        if column in earliest
        else f"{column} = excluded.{column}"
        for column in ("incarnation", *names)
        if column not in key
    )
    order = ("incarnation", *by)
    mine, theirs = (", ".join(f"{whose}.{column}" for column in order) for whose in ("excluded", name))

    def merge(old: Row, new: Row) -> Row:
        last = new if [new[i] for i in at] > [old[i] for i in at] else old
        if not first:
            return last
        least = {i: min((row[i] for row in (old, new) if row[i] is not None), default=None) for i in first}
        return tuple(least.get(i, value) for i, value in enumerate(last))

    return Table(name, columns, key, f"do update set {changes} where ({mine}) > ({theirs})", merge)


Maker = tuple[Table, Callable[[Any, Record], Row | list[Row] | None]]
"""A table that messages of a class go to, and how one becomes a row there, or several; None where it leaves none."""


def json_text(message: Any, record: Record) -> str:
    """A message as it is kept: the fields of its model and no others, without null characters.

    Nothing secret comes along in a field that nobody knows; and `jsonb` takes neither null characters nor NaN.
    """
    if isinstance(message, Canonical) and record.value is not None:
        return record.value.decode()  # these very bytes, and nothing escaped in them
    text: str = message.to_json().decode()
    return text.replace("\\u0000", "\\ufffd")
