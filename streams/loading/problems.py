"""What is wrong with a folder: every problem with its file and line, so that all are mended in one go."""

from __future__ import annotations

import difflib
from collections.abc import Iterable
from typing import NamedTuple


class Problem(NamedTuple):
    """Something that a person has to mend. `line` counts from 1; 0 where the problem is the file or the folder."""

    file: str
    line: int
    text: str

    def __str__(self) -> str:
        """`file:line: text`, as compilers write it; what is no printable character is replaced."""
        text = f"{self.file}:{self.line}: {self.text}" if self.line else f"{self.file}: {self.text}"
        return "".join(character if character.isprintable() else "\N{REPLACEMENT CHARACTER}" for character in text)


class LoadError(Exception):
    """A folder can't be used: everything that is wrong with it, in the order of files and lines."""

    def __init__(self, problems: Iterable[Problem]) -> None:
        self.problems = tuple(sorted(set(problems)))
        count = len(self.problems)
        super().__init__(f"{count} problem{'s' if count != 1 else ''}, the first: {self.problems[0]}")


def nearest(name: str, known: Iterable[str]) -> str:
    """` - did you mean ...?` where something is near, else what there is."""
    names = sorted(known)
    near = difflib.get_close_matches(name, names, n=1, cutoff=0.6)
    if near:
        return f" - did you mean {near[0]}?"
    return f" - known are {', '.join(names)}" if names and len(names) <= 20 else ""  # noqa: PLR2004 - fits a line
