"""Servers in Docker for the tests, through testcontainers; nothing here is imported unless a daemon answers."""

from __future__ import annotations

import importlib
import importlib.util
import os
import secrets
import socket
from collections.abc import Callable
from typing import Any
from urllib.parse import urlsplit

from deploy.stack.model import CLICKHOUSE, HOST, KAFKA, POSTGRES
from deploy.stack.processes import free_port

IMAGES = {KAFKA: "apache/kafka:4.4.0", POSTGRES: "postgres:18", CLICKHOUSE: "clickhouse/clickhouse-server:25.8"}
"""What to run. testcontainers' own Kafka class boots an image of before KRaft."""

_SOCKET = "/var/run/docker.sock"
_PING_S = 3.0
_CONTROLLER_PORT = 9093
_POSTGRES_PORT = 5432
_CLICKHOUSE_PORT = 8123
_PASSWORD_BYTES = 16


def docker_answers() -> bool:
    """Whether there is a Docker daemon that this user may talk to, and testcontainers to ask it with.

    Asked by hand: docker's own client leaves a socket open when there is no daemon, which fails a strict test run.
    """
    if importlib.util.find_spec("testcontainers") is None:
        return False
    host = urlsplit(os.environ.get("DOCKER_HOST", "") or f"unix://{_SOCKET}")
    family, address = (
        (socket.AF_UNIX, host.path) if host.scheme == "unix" else (socket.AF_INET, (host.hostname, host.port or 2375))
    )
    try:
        with socket.socket(family) as connection:
            connection.settimeout(_PING_S)
            connection.connect(address)
            connection.sendall(b"GET /_ping HTTP/1.0\r\nHost: docker\r\n\r\n")
            return b" 200 " in connection.recv(64)
    except OSError:
        return False


def container(part: str, image: Callable[[str], Any] | None = None) -> tuple[Any, str, int]:
    """A container that is not started yet, how it will be reached, and its port on 127.0.0.1.

    Args:
        part: Which server.
        image: Makes a container of an image's name; testcontainers' `DockerContainer` unless given.
    """
    make = image or importlib.import_module("testcontainers.core.container").DockerContainer
    port = free_port()
    made = make(IMAGES[part])
    if part == KAFKA:
        for name, value in _kafka_environment(port).items():
            made = made.with_env(name, value)
        return made.with_bind_ports(port, (HOST, port)), f"{HOST}:{port}", port
    password = secrets.token_hex(_PASSWORD_BYTES)
    if part == POSTGRES:
        made = made.with_env("POSTGRES_USER", "doorstream").with_env("POSTGRES_PASSWORD", password)
        made = made.with_env("POSTGRES_DB", "doorstream").with_bind_ports(_POSTGRES_PORT, (HOST, port))
        return made, f"postgresql://doorstream:{password}@{HOST}:{port}/doorstream", port
    # Without a user of its own the image lets `default` in from inside the container only.
    made = made.with_env("CLICKHOUSE_SKIP_USER_SETUP", "1").with_bind_ports(_CLICKHOUSE_PORT, (HOST, port))
    return made, f"http://{HOST}:{port}", port


def _kafka_environment(port: int) -> dict[str, str]:
    """One KRaft node whose advertised address is the one that the tests use."""
    return {
        "KAFKA_NODE_ID": "1",
        "KAFKA_PROCESS_ROLES": "broker,controller",
        "KAFKA_CONTROLLER_QUORUM_VOTERS": f"1@localhost:{_CONTROLLER_PORT}",
        "KAFKA_LISTENERS": f"PLAINTEXT://:{port},CONTROLLER://:{_CONTROLLER_PORT}",
        "KAFKA_ADVERTISED_LISTENERS": f"PLAINTEXT://{HOST}:{port}",
        "KAFKA_LISTENER_SECURITY_PROTOCOL_MAP": "PLAINTEXT:PLAINTEXT,CONTROLLER:PLAINTEXT",
        "KAFKA_CONTROLLER_LISTENER_NAMES": "CONTROLLER",
        "KAFKA_OFFSETS_TOPIC_REPLICATION_FACTOR": "1",
        "KAFKA_OFFSETS_TOPIC_NUM_PARTITIONS": "4",
        "KAFKA_TRANSACTION_STATE_LOG_REPLICATION_FACTOR": "1",
        "KAFKA_TRANSACTION_STATE_LOG_MIN_ISR": "1",
        "KAFKA_GROUP_INITIAL_REBALANCE_DELAY_MS": "0",
        "KAFKA_GROUP_MIN_SESSION_TIMEOUT_MS": "500",
        "KAFKA_AUTO_CREATE_TOPICS_ENABLE": "false",
        "KAFKA_MESSAGE_MAX_BYTES": str(12 * 1024 * 1024),
        "KAFKA_REPLICA_FETCH_MAX_BYTES": str(12 * 1024 * 1024),
    }
