"""The pages as a test reads them: their code blocks, the commands in these, and their links."""

from __future__ import annotations

import re
import shlex
from collections.abc import Iterator
from pathlib import Path
from typing import NamedTuple

ROOT = Path(__file__).resolve().parents[2]
PAGES = (ROOT / "README.md", *sorted((ROOT / "docs").glob("*.md")))
RUN = "sh"
"""Blocks of this language are executed; the commands of all others are only held against the command line."""

_FENCE = re.compile(r"^```([^\n`]*)\n(.*?)^```", re.MULTILINE | re.DOTALL)
_SPAN = re.compile(r"`(doorstream [^`]+)`")
_LINK = re.compile(r"\]\(([^)#\s]+)(?:#[^)]*)?\)")


class Command(NamedTuple):
    """One command of a page: whether the page's reader may run it as it stands, and its words."""

    page: str
    runs: bool
    words: tuple[str, ...]

    def __str__(self) -> str:
        return f"{self.page}: {shlex.join(self.words)}"


def commands() -> list[Command]:
    """Every `doorstream` and `make` command of every page."""
    return [command for page in PAGES for command in _commands_of(page)]


def _commands_of(page: Path) -> Iterator[Command]:
    text = page.read_text(encoding="utf-8")
    for language, block in _FENCE.findall(text):
        for line in block.splitlines():
            words = shlex.split(line, comments=True) if line.startswith(("doorstream ", "make ")) else []
            if words:
                yield Command(page.name, language.strip() == RUN, tuple(words))
    for span in _SPAN.findall(_FENCE.sub("", text)):
        yield Command(page.name, runs=False, words=tuple(shlex.split(span)))


def links(page: Path) -> list[str]:
    """The files that a page points at."""
    text = _FENCE.sub("", page.read_text(encoding="utf-8"))
    return [link for link in _LINK.findall(text) if "://" not in link]
