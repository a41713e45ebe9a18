"""YAML and CSV files as nodes: text, lists and mappings that remember where they stand.

Scalars stay text, in YAML too: what type they have is the model's business, so a card number keeps its leading zeros
and `08:00` is no number of seconds.
"""

from __future__ import annotations

import csv
import io
from collections.abc import Iterator
from pathlib import Path
from typing import NamedTuple

import yaml

from streams.loading.problems import Problem

DEEPEST = 32
"""Files nested deeper are refused; so are anchors that hold themselves."""

_NOTHING = frozenset({"", "~", "null", "Null", "NULL"})


class Node(NamedTuple):
    """A value and its line. `value`: text, None where nothing is given, a tuple of nodes or a mapping."""

    file: str
    line: int
    value: str | tuple[Node, ...] | dict[str, Node] | None

    @property
    def text(self) -> str | None:
        """The text of a scalar, None for all else."""
        return self.value if isinstance(self.value, str) else None

    @property
    def fields(self) -> dict[str, Node]:
        """The entries of a mapping, none for all else."""
        return self.value if isinstance(self.value, dict) else {}

    @property
    def items(self) -> tuple[Node, ...]:
        """The items of a list; text is a list of what stands between its semicolons."""
        if isinstance(self.value, tuple):
            return self.value
        if isinstance(self.value, str):
            parts = (part.strip() for part in self.value.split(";"))
            return tuple(Node(self.file, self.line, part) for part in parts if part)
        return ()

    def at(self, *path: str | int) -> Node:
        """The node at a path, or the nearest one above it."""
        here = self
        for part in path:
            if isinstance(part, str) and part in here.fields:
                here = here.fields[part]
            elif isinstance(part, int) and isinstance(here.value, tuple) and part < len(here.value):
                here = here.value[part]
            elif isinstance(part, int) and isinstance(here.value, str):
                continue
            else:
                break
        return here

    def problem(self, text: str) -> Problem:
        """Something wrong here."""
        return Problem(self.file, self.line, text)


def read_text(path: Path, problems: list[Problem]) -> str | None:
    """A file's text; None, and a problem, where it can't be read or is no UTF-8. A byte order mark is skipped."""
    try:
        data = path.read_bytes()
    except OSError as error:
        problems.append(Problem(path.name, 0, f"cannot be read: {error.strerror}"))
        return None
    try:
        return data.decode("utf-8-sig")
    except UnicodeDecodeError as error:
        line = data.count(b"\n", 0, error.start) + 1
        problems.append(Problem(path.name, line, "is not UTF-8: save the file as UTF-8"))
        return None


def read_yaml(path: Path, problems: list[Problem]) -> list[Node]:
    """The entries of a YAML file: the items of its list, or its one mapping."""
    text = read_text(path, problems)
    if text is None:
        return []
    try:
        root = yaml.compose(text, Loader=yaml.SafeLoader)
    except yaml.MarkedYAMLError as error:
        mark = error.problem_mark or error.context_mark
        what = error.problem or error.context or "is no YAML"
        problems.append(Problem(path.name, mark.line + 1 if mark else 0, f"is no valid YAML: {what}"))
        return []
    except yaml.reader.ReaderError as error:
        line = text.count("\n", 0, error.position) + 1
        problems.append(Problem(path.name, line, f"is no valid YAML: {error.reason}"))
        return []
    except RecursionError:
        problems.append(Problem(path.name, 0, "is nested too deeply"))
        return []
    if root is None:
        return []
    node = _node(path.name, root, problems, 0)
    if isinstance(node.value, tuple):
        return list(node.value)
    if isinstance(node.value, dict):
        return [node]
    problems.append(node.problem("a file holds a list of entries, or one entry"))
    return []


def _node(file: str, given: yaml.Node, problems: list[Problem], depth: int) -> Node:
    line = given.start_mark.line + 1
    if depth > DEEPEST:
        problems.append(Problem(file, line, "is nested too deeply"))
        return Node(file, line, None)
    if isinstance(given, yaml.SequenceNode):
        return Node(file, line, tuple(_node(file, item, problems, depth + 1) for item in given.value))
    if isinstance(given, yaml.MappingNode):
        fields: dict[str, Node] = {}
        for key, value in given.value:
            at = key.start_mark.line + 1
            if not isinstance(key, yaml.ScalarNode):
                problems.append(Problem(file, at, "a name must be a word, not a list or mapping"))
            elif key.value in fields:
                problems.append(Problem(file, at, f"{key.value} is given twice"))
            else:
                fields[key.value] = _node(file, value, problems, depth + 1)
        return Node(file, line, fields)
    plain = isinstance(given, yaml.ScalarNode) and given.style is None
    return Node(file, line, None if plain and given.value in _NOTHING else given.value)


class _Lines:
    """The lines of a CSV file for its reader: remarks (`# ...`) between rows are left out, and counted."""

    def __init__(self, text: str) -> None:
        self._lines = io.StringIO(text)
        self._number = 0
        self.row_line = 0
        self.at_row = True

    def __iter__(self) -> Iterator[str]:
        return self

    def __next__(self) -> str:
        for line in self._lines:
            self._number += 1
            if not self.at_row:
                return line
            if not line.startswith("#"):
                self.row_line = self._number
                self.at_row = False
                return line
        raise StopIteration


def read_csv(path: Path, problems: list[Problem]) -> list[Node]:
    """The rows of a CSV file as mappings from column to text; `a.b` columns give a mapping in a mapping.

    Empty cells are not given. Rows may end early; blank lines and lines that begin with `#` are skipped.
    """
    text = read_text(path, problems)
    if text is None:
        return []
    lines = _Lines(text.replace("\r\n", "\n").replace("\r", "\n"))
    reader = csv.reader(lines, strict=True)
    columns: list[str] | None = None
    rows: list[Node] = []
    while True:
        lines.at_row = True
        try:
            cells = [cell.strip() for cell in next(reader)]
        except StopIteration:
            return rows
        except csv.Error as error:
            problems.append(Problem(path.name, lines.row_line, f"is no valid CSV: {error}"))
            return rows
        if not any(cells):
            continue
        if columns is None:
            columns = cells
            _check_columns(path.name, lines.row_line, columns, problems)
        elif len(cells) > len(columns):
            text_ = f"has {len(cells)} cells for {len(columns)} columns: put quotes around text that has commas"
            problems.append(Problem(path.name, lines.row_line, text_))
        else:
            rows.append(_row(path.name, lines.row_line, columns, cells))


def _check_columns(file: str, line: int, columns: list[str], problems: list[Problem]) -> None:
    for index, column in enumerate(columns):
        if not column:
            problems.append(Problem(file, line, f"column {index + 1} has no name"))
        elif column in columns[:index]:
            problems.append(Problem(file, line, f"column {column} is given twice"))
        elif any(other.startswith(f"{column}.") for other in columns):
            problems.append(Problem(file, line, f"column {column} can't stand beside columns {column}.*"))


def _row(file: str, line: int, columns: list[str], cells: list[str]) -> Node:
    fields: dict[str, Node] = {}
    for column, cell in zip(columns, cells, strict=False):
        if not cell:
            continue
        *outer, last = column.split(".")
        inside = fields
        for name in outer:
            inside = inside.setdefault(name, Node(file, line, {})).fields
        inside[last] = Node(file, line, cell)
    return Node(file, line, fields)
