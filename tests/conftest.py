"""One set of servers for the whole run; its first lines say which."""

from __future__ import annotations

import asyncio
import signal
import warnings
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest
from hypothesis import settings

from deploy.stack.choice import Servers, choose
from deploy.stack.model import Endpoints

# What holds the tests' own evidence says what it found, too.
pytest.register_assert_rewrite("tests.e2e", "tests.engine.contract", "tests.engine.watching")

# Started in a shell's background, the run's processes would ignore what the tests interrupt them with.
if signal.getsignal(signal.SIGINT) is signal.SIG_IGN:
    signal.signal(signal.SIGINT, signal.default_int_handler)

# How long an example takes says more of the machine than of the code.
settings.register_profile("anywhere", deadline=None)
# What `make chaos` runs: as many examples as a night has time for.
THOROUGH = "thorough"
settings.register_profile(THOROUGH, deadline=None, max_examples=10_000)
settings.load_profile("anywhere")

LONGEST_FIRST = ("demo", "e2e", "notify", "docs", "sinks", "stack", "engine")
"""Folders whose files take long. What is short fills up the end, so that no process waits for another's last file."""

_CHOSEN: list[Servers] = []


def chosen() -> Servers:
    """The servers of this run."""
    if not _CHOSEN:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")  # asking for Docker opens sockets that its client never closes
            _CHOSEN.append(choose())
    return _CHOSEN[0]


def is_thorough() -> bool:
    """Whether this is `make chaos`, which has time for what proves the same at length."""
    return settings.get_current_profile_name() == THOROUGH


def examples(short: int) -> int:
    """With how many examples a property is tried: so many, and fifty times as many where there is time."""
    return short * 50 if is_thorough() else short


@pytest.fixture(scope="session")
def thorough() -> bool:
    """The same."""
    return is_thorough()


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Begin with the folders that take longest."""
    folders = dict.fromkeys((*LONGEST_FIRST, *sorted({_folder(item) for item in items})))
    rank = {folder: number for number, folder in enumerate(folders)}
    items.sort(key=lambda item: rank[_folder(item)])


def _folder(item: pytest.Item) -> str:
    return item.path.relative_to(Path(__file__).parent).parts[0]


def pytest_report_header() -> list[str]:
    """Say which broker, PostgreSQL and ClickHouse are in use."""
    return list(chosen().descriptions)


@pytest.fixture(scope="session")
def endpoints(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Endpoints]:
    """The running servers: started when the first test asks, stopped at the end."""
    folder: Path = tmp_path_factory.mktemp("servers")
    servers = chosen()
    # In a thread of its own: the test that asks first may have a loop running. The thread lives on with the servers,
    # which die with whoever started them.
    with ThreadPoolExecutor(1) as thread:
        yield thread.submit(asyncio.run, servers.start(folder)).result()
        thread.submit(asyncio.run, servers.stop()).result()
