"""What the pages say is so: their commands run, their links lead somewhere, their names exist."""

from __future__ import annotations

import os
import re
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
import typer

from streams.commands.app import app
from tests.docs.pages import PAGES, ROOT, Command, commands, links

CLI = typer.main.get_command(app)
EXECUTED = sorted({command.words for command in commands() if command.runs and command.words[0] == "doorstream"})
ALL = sorted({command.words for command in commands() if command.words[0] == "doorstream"})
MADE = sorted({command.words for command in commands() if command.words[0] == "make"})
_OPTION = re.compile(r"^--[a-z-]+")


def leaf(words: tuple[str, ...]) -> tuple[Any, tuple[str, ...]]:
    """The command that the words name, and what they give it."""
    command: Any = CLI
    rest = words[1:]
    while hasattr(command, "commands"):
        command = command.commands.get(rest[0]) if rest else None
        assert command is not None, f"there is no command `{' '.join(words)}`"
        rest = rest[1:]
    return command, rest


@pytest.mark.parametrize("words", ALL, ids=" ".join)
def test_a_command_and_its_options_exist(words: tuple[str, ...]) -> None:
    command, rest = leaf(words)
    known = {name for parameter in command.params for name in parameter.opts}
    assert [word for word in rest if (match := _OPTION.match(word)) and match[0] not in known] == []


@pytest.mark.parametrize("words", MADE, ids=" ".join)
def test_a_make_target_exists(words: tuple[str, ...]) -> None:
    done = subprocess.run(["make", "-n", *words[1:]], cwd=ROOT, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr


@pytest.mark.parametrize("words", EXECUTED, ids=" ".join)
def test_a_command_runs_as_the_page_says(words: tuple[str, ...], site: dict[str, str]) -> None:
    done = subprocess.run(
        [sys.executable, "-m", "streams.cli", *words[1:]],
        cwd=ROOT,
        env={**os.environ, **site},
        capture_output=True,
        text=True,
        check=False,
        timeout=60,
    )
    assert done.returncode == 0, done.stderr
    assert done.stdout.strip(), "a reader sees something"


@pytest.mark.parametrize("page", PAGES, ids=lambda page: page.name)
def test_links_lead_somewhere(page: Path) -> None:
    assert [link for link in links(page) if not (page.parent / link).exists()] == []


def test_the_readme_names_every_page_for_users() -> None:
    named = set(links(ROOT / "README.md"))
    for_developers = {"contract.md", "facts.md", "processes.md", "vocabulary.md"}
    assert {f"docs/{page.name}" for page in PAGES[1:] if page.name not in for_developers} <= named


def test_the_two_commands_of_the_readme_are_its_first() -> None:
    found = [command for command in commands() if command.page == "README.md" and command.runs]
    assert found[:2] == [Command("README.md", True, ("make", "demo")), Command("README.md", True, ("make", "test"))]
