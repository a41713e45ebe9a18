"""Which servers a test run gets, and in which order they are preferred."""

# ruff: noqa: ASYNC240 - a test's event loop may wait for a local disk

from __future__ import annotations

import stat
from pathlib import Path

import asyncpg
import pytest

from deploy.stack import apache, choice
from deploy.stack.choice import choose
from deploy.stack.containers import container, docker_answers
from deploy.stack.processes import marked

GIVEN = {
    "DOORSTREAM_TEST_KAFKA": "kafka.example:9092",
    "DOORSTREAM_TEST_POSTGRES": "postgresql://me:hunter2@db.example/doorstream",
    "DOORSTREAM_TEST_CLICKHOUSE": "http://me:hunter2@stats.example:8123",
}


async def test_given_servers_come_first_and_are_left_alone(tmp_path: Path) -> None:
    servers = choose(GIVEN, docker=True)
    endpoints = await servers.start(tmp_path)
    assert (endpoints.kafka, endpoints.postgres, endpoints.clickhouse) == tuple(GIVEN.values())
    assert servers.descriptions[0] == "broker: kafka.example:9092 (given by DOORSTREAM_TEST_KAFKA)"
    assert "hunter2" not in "".join(servers.descriptions)
    await servers.stop()


def test_docker_comes_before_what_is_installed() -> None:
    servers = choose({}, docker=True)
    assert {servers.kafka.kind, servers.postgres.kind, servers.clickhouse.kind} == {"docker"}
    assert servers.descriptions[0].startswith("broker: apache/kafka:4.")


def test_apache_kafka_comes_before_the_embedded_broker(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(choice, "apache_lacks", lambda: "")
    monkeypatch.setattr(apache, "java", lambda: "java")
    monkeypatch.setattr(apache, "java_version", lambda _runtime: 17)
    servers = choose({}, docker=False)
    assert servers.kafka.kind == "apache"
    assert servers.descriptions[0] == f"broker: Apache Kafka {apache.kafka_version()} (local, Java 17)"
    assert servers.postgres.kind == servers.clickhouse.kind == "embedded"


def test_without_java_the_embedded_broker_is_taken(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(choice, "apache_lacks", lambda: "no Java")
    servers = choose({}, docker=False)
    assert servers.kafka.kind == "embedded"
    assert servers.descriptions[0].startswith("broker: Tansu (embedded, in memory)")


async def test_chosen_servers_start_together_and_stop(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(choice, "apache_lacks", lambda: "no Java")
    servers = choose({}, docker=False)
    folder.mkdir()
    endpoints = await servers.start(folder)
    assert endpoints.broker == "embedded"
    assert stat.S_IMODE(Path(endpoints.master_secret_file).stat().st_mode) == 0o600
    connection = await asyncpg.connect(endpoints.postgres)
    await connection.close()
    await servers.stop()
    assert [marked((folder / part).resolve()) for part in ("kafka", "postgres", "clickhouse")] == [[], [], []]


class Described:
    """What is asked of a container; Docker isn't needed to look at it."""

    def __init__(self, image: str) -> None:
        self.image = image
        self.environment: dict[str, str] = {}
        self.ports: dict[int, tuple[str, int]] = {}

    def with_env(self, name: str, value: str) -> Described:
        self.environment[name] = value
        return self

    def with_bind_ports(self, inside: int, outside: tuple[str, int]) -> Described:
        self.ports[inside] = outside
        return self


@pytest.mark.parametrize("part", ["kafka", "postgres", "clickhouse"])
def test_a_container_is_published_on_this_machine_alone(part: str) -> None:
    made, endpoint, port = container(part, Described)
    assert f"127.0.0.1:{port}" in endpoint
    assert list(made.ports.values()) == [("127.0.0.1", port)]
    if part == "kafka":
        assert made.environment["KAFKA_ADVERTISED_LISTENERS"] == f"PLAINTEXT://127.0.0.1:{port}"


@pytest.mark.kafka
@pytest.mark.skipif(not docker_answers(), reason="no Docker daemon answers")
async def test_servers_in_docker_start_and_stop(tmp_path: Path) -> None:
    servers = choose({})
    try:
        assert (await servers.start(tmp_path)).kafka
    finally:
        await servers.stop()


def test_a_daemon_that_is_not_there_is_no_docker(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setenv("DOCKER_HOST", f"unix://{tmp_path}/docker.sock")
    assert not docker_answers()
