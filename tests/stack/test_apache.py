"""Apache Kafka from Maven's jars: started, found again with its data, and small enough for a laptop."""

from __future__ import annotations

import asyncio
import shutil
from pathlib import Path

import pytest
from aiokafka import AIOKafkaConsumer, AIOKafkaProducer
from aiokafka.admin import AIOKafkaAdminClient, NewTopic
from aiokafka.errors import UnknownTopicOrPartitionError

from deploy.stack import StackError, StackOptions, apache, down, status, up
from deploy.stack.apache import LARGEST_MESSAGE_BYTES
from deploy.stack.choice import apache_lacks

PATIENCE_S = 30.0
LARGE_BYTES = 10 * 1024 * 1024


def options(folder: Path) -> StackOptions:
    return StackOptions(folder, "apache", with_postgres=False, with_clickhouse=False)


async def read_one(bootstrap: str, topic: str) -> bytes:
    consumer = AIOKafkaConsumer(
        topic,
        bootstrap_servers=bootstrap,
        group_id="readers",
        auto_offset_reset="earliest",
        enable_auto_commit=False,
        max_partition_fetch_bytes=LARGEST_MESSAGE_BYTES,
    )
    await consumer.start()
    try:
        async with asyncio.timeout(PATIENCE_S):
            return bytes((await consumer.getone()).value or b"")
    finally:
        await consumer.stop()


@pytest.mark.kafka
@pytest.mark.skipif(bool(apache_lacks()), reason=apache_lacks() or "nothing is missing")
async def test_a_real_broker_takes_large_idempotent_messages_and_keeps_them(folder: Path) -> None:
    bootstrap = (await up(options(folder))).kafka
    admin = AIOKafkaAdminClient(bootstrap_servers=bootstrap)
    await admin.start()
    limit = {"max.message.bytes": str(LARGEST_MESSAGE_BYTES)}
    await admin.create_topics([NewTopic("large", 1, 1, topic_configs=limit)])
    with pytest.raises(UnknownTopicOrPartitionError):
        raise_first(await admin.describe_topics(["made-by-asking"]))
    await admin.close()
    producer = AIOKafkaProducer(
        bootstrap_servers=bootstrap, enable_idempotence=True, max_request_size=LARGEST_MESSAGE_BYTES
    )
    await producer.start()
    assert (await producer.send_and_wait("large", b"x" * LARGE_BYTES)).offset == 0
    await producer.stop()
    assert len(await read_one(bootstrap, "large")) == LARGE_BYTES

    assert await down(folder) == ["kafka"]
    bootstrap = (await up(options(folder))).kafka
    assert status(folder).broker == "apache"
    assert len(await read_one(bootstrap, "large")) == LARGE_BYTES


def raise_first(described: list[dict[str, int]]) -> None:
    if described[0]["error_code"] == UnknownTopicOrPartitionError.errno:
        raise UnknownTopicOrPartitionError


def test_without_java_the_error_names_the_fix(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setenv("PATH", str(tmp_path))
    monkeypatch.delenv("JAVA_HOME", raising=False)
    with pytest.raises(StackError, match="needs Java 17; install"):
        apache.java()
    assert "install" in apache_lacks()


def test_an_old_java_is_refused(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    old = tmp_path / "java"
    old.write_text("#!/bin/sh\necho 'openjdk version \"1.8.0_312\"' >&2\n")
    old.chmod(0o755)
    monkeypatch.setenv("PATH", f"{tmp_path}:/bin")
    monkeypatch.delenv("JAVA_HOME", raising=False)
    assert apache.java_version(str(old)) == 8
    with pytest.raises(StackError, match="older than Java 17"):
        apache.java()


def test_without_maven_the_error_names_the_fix(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setenv("PATH", str(tmp_path))
    with pytest.raises(StackError, match="needs Maven; install"):
        apache.fetch_jars(tmp_path, print, tmp_path / "jars")


@pytest.mark.parametrize(
    ("script", "complaint"), [("exit 1", "check the network"), ("exit 0", "fetched no kafka_2.13")]
)
def test_half_a_download_is_never_taken_for_a_whole_one(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path, script: str, complaint: str
) -> None:
    """A Maven that stops after one jar, once with an error and once without."""
    maven = tmp_path / "mvn"
    maven.write_text(
        '#!/bin/sh\nfor word in "$@"; do case "$word" in -DoutputDirectory=*) folder="${word#*=}";; esac; done\n'
        f'mkdir -p "$folder"; echo half > "$folder/kafka-clients-4.4.0.jar"\n{script}\n'
    )
    maven.chmod(0o755)
    monkeypatch.setenv("PATH", f"{tmp_path}:/bin:/usr/bin")
    cache = tmp_path / "jars"
    with pytest.raises(StackError, match=complaint):
        apache.fetch_jars(tmp_path, print, cache)
    assert not apache.have_jars(cache)
    assert list(cache.iterdir()) == []


def test_jars_that_are_there_need_no_maven(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setattr(shutil, "which", lambda _name: None)
    cache = tmp_path / "jars"
    jars = apache._jar_folder(cache)
    jars.mkdir(parents=True)
    assert apache.fetch_jars(tmp_path, print, cache) == jars


def test_every_listener_is_on_this_machine(tmp_path: Path) -> None:
    text = apache.properties(tmp_path, 19092, 19093)
    settings = dict(line.split("=", 1) for line in text.splitlines())
    assert settings["listeners"] == "PLAINTEXT://127.0.0.1:19092,CONTROLLER://127.0.0.1:19093"
    assert settings["auto.create.topics.enable"] == "false"
    assert int(settings["message.max.bytes"]) == LARGEST_MESSAGE_BYTES
    assert int(settings["replica.fetch.max.bytes"]) >= LARGEST_MESSAGE_BYTES
