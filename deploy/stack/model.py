"""What a local stack is made of, as its callers see it."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Literal

BrokerKind = Literal["embedded", "apache"]
PartState = Literal["running", "stopped", "stale"]

DEFAULT_FOLDER = Path(".doorstream/stack")
"""Where a stack lives unless told: under the current folder."""

KAFKA = "kafka"
POSTGRES = "postgres"
CLICKHOUSE = "clickhouse"
PARTS = (KAFKA, POSTGRES, CLICKHOUSE)
CATCHER = "catcher"
"""A part that is started only where it is asked for."""

HOST = "127.0.0.1"
"""Every part listens here and nowhere else."""


class StackError(Exception):
    """A local stack can't do what was asked. The text is one line that ends with the fix."""


@dataclass(frozen=True)
class Endpoints:
    """How to reach a running stack.

    `kafka` is a list of bootstrap servers, `postgres` a DSN with its password, `clickhouse` an `http://` URL, `catcher`
    what `deploy.stack.catcher` understands; a part that was not asked for is an empty string. `master_secret_file`
    holds hexadecimal text.
    """

    kafka: str
    postgres: str
    clickhouse: str
    broker: BrokerKind
    master_secret_file: str
    catcher: str = ""


@dataclass(frozen=True)
class StackOptions:
    """What to start. With `owner_pid` the stack dies with that process, however it dies."""

    folder: Path = DEFAULT_FOLDER
    kafka: BrokerKind = "embedded"
    with_postgres: bool = True
    with_clickhouse: bool = True
    owner_pid: int | None = None
    with_kafka: bool = True
    with_catcher: bool = False

    @property
    def wanted(self) -> tuple[str, ...]:
        """The names of the parts that are to run."""
        asked = {
            KAFKA: self.with_kafka,
            POSTGRES: self.with_postgres,
            CLICKHOUSE: self.with_clickhouse,
            CATCHER: self.with_catcher,
        }
        return tuple(part for part, wanted in asked.items() if wanted)


@dataclass(frozen=True)
class PartStatus:
    """One part: `stale` means that it was started and is gone without having been stopped."""

    name: str
    state: PartState
    pid: int | None = None
    port: int | None = None
    endpoint: str = ""
    log: str = ""


@dataclass(frozen=True)
class StackStatus:
    """The parts of the stack in a folder, and who owns it. `endpoints`: of the parts that run; None where none does."""

    folder: Path
    parts: tuple[PartStatus, ...]
    broker: BrokerKind | None = None
    owner_pid: int | None = None
    endpoints: Endpoints | None = None

    @property
    def running(self) -> bool:
        """Something runs, and nothing that was started has died."""
        states = {part.state for part in self.parts}
        return "running" in states and "stale" not in states

    def part(self, name: str) -> PartStatus:
        """The status of one part.

        Raises:
            KeyError: there is no part of that name.
        """
        for part in self.parts:
            if part.name == name:
                return part
        raise KeyError(name)
