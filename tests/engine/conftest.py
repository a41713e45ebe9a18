from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import Any

import pytest

from streams.engine.harness import Harness
from tests.engine.toy import Bank
from tests.engine.watching import Watching

MakeHarness = Callable[..., Harness]


@pytest.fixture
def make() -> Iterator[MakeHarness]:
    """Makes harnesses of the toy bank (or of a given processor) and closes them."""
    made: list[Harness] = []

    def build(processor: Any = None, **options: Any) -> Harness:
        harness = Harness(processor or Bank(), observer=options.pop("observer", None) or Watching(), **options)
        made.append(harness)
        return harness

    yield build
    for harness in made:
        harness.close()
