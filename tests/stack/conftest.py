"""A folder for a stack of a test's own, and the certainty that nothing of it is left running."""

from __future__ import annotations

import asyncio
import shutil
import tempfile
from collections.abc import Iterator
from pathlib import Path

import pytest

from deploy.stack import down
from deploy.stack.processes import marked


@pytest.fixture
def folder() -> Iterator[Path]:
    """A place that every user can come to, as PostgreSQL needs it when root runs the tests."""
    base = Path(tempfile.mkdtemp(prefix="doorstream-test-"))
    base.chmod(0o755)
    place = base / "stack"
    yield place
    if place.exists():
        asyncio.run(down(place))
    left = marked(place.resolve())
    shutil.rmtree(base)
    assert left == []
