"""A folder for a stack of a test's own, and the certainty that nothing of it is left running."""

from __future__ import annotations

import asyncio
from collections.abc import Iterator
from pathlib import Path

import pytest

from deploy.stack import down
from deploy.stack.processes import marked


@pytest.fixture
def folder(tmp_path: Path) -> Iterator[Path]:
    place = tmp_path / "stack"
    yield place
    if place.exists():
        asyncio.run(down(place))
    assert marked(place.resolve()) == []
