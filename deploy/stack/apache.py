"""Apache Kafka on this machine: one node in KRaft mode on Java 17, its jars fetched by Maven."""

from __future__ import annotations

import hashlib
import os
import re
import shutil
import subprocess
from functools import partial
from pathlib import Path

import deploy
from deploy.stack.kafka_ready import broker_ready
from deploy.stack.launch import Launch, Progress
from deploy.stack.model import HOST, StackError
from deploy.stack.processes import Command, environment, free_port

MINIMUM_JAVA = 17
JVM_OPTIONS = ("-Xms384m", "-Xmx768m", "-Xmn256m", "-XX:+UseSerialGC")
"""One collecting thread is enough for so small a heap, and leaves the other cores to those who share the machine. When
what is new has filled its part of the heap, all wait for 10 to 20 ms: 256 MiB make that a third as frequent."""
LARGEST_MESSAGE_BYTES = 12 * 1024 * 1024
"""What a topic may set `max.message.bytes` to without the broker's own limits being in its way."""

_REQUEST_BYTES = 104857600
_POM = Path(deploy.__file__).parent / "kafka" / "pom.xml"
_ROOT = Path(deploy.__file__).parents[1]
_CLUSTER_ID = "ZG9vcnN0cmVhbS1sb2NhbA"  # 16 bytes in URL-safe base64, as Kafka wants them
_NEEDED = ("kafka_2.13-", "kafka-tools-", "kafka-server-", "slf4j-simple-")


def java() -> str:
    """The Java to run with: that of JAVA_HOME, or the one on the path.

    Raises:
        StackError: there is none, or it is older than 17.
    """
    home = os.environ.get("JAVA_HOME", "")
    found = shutil.which("java", path=str(Path(home) / "bin")) if home else None
    found = found or shutil.which("java")
    if found is None:
        raise StackError("Apache Kafka needs Java 17; install a JRE (`apt install openjdk-17-jre-headless`)")
    if java_version(found) < MINIMUM_JAVA:
        raise StackError(f"{found} is older than Java {MINIMUM_JAVA}; install one and set JAVA_HOME to it")
    return found


def java_version(runtime: str) -> int:
    """The feature release of a Java, such as 17; 0 when it doesn't say."""
    said = subprocess.run([runtime, "-version"], capture_output=True, text=True, check=False).stderr  # noqa: S603
    found = re.search(r'version "(?:1\.)?(\d+)', said)
    return int(found[1]) if found else 0


def kafka_version() -> str:
    """The version that `deploy/kafka/pom.xml` asks for."""
    found = re.search(r"<kafka\.version>([^<]+)</kafka\.version>", _POM.read_text(encoding="utf-8"))
    if found is None:
        raise StackError(f"{_POM} names no kafka.version; restore the file")
    return found[1]


def jar_cache() -> Path:
    """Where the jars are kept: in the checkout, or under the current folder when there is no checkout."""
    base = _ROOT if (_ROOT / "pyproject.toml").exists() else Path.cwd()
    return base / ".doorstream" / "kafka-jars"


def have_jars(cache: Path | None = None) -> bool:
    """Whether the jars are there already, so that neither Maven nor a network is needed."""
    return _jar_folder(cache or jar_cache()).is_dir()


def _jar_folder(cache: Path) -> Path:
    return cache / f"{kafka_version()}-{hashlib.sha256(_POM.read_bytes()).hexdigest()[:8]}"


def fetch_jars(folder: Path, say: Progress, cache: Path | None = None) -> Path:
    """The folder with the broker's jars, fetched once. Half a download is never taken for a whole one.

    Raises:
        StackError: Maven is missing or could not fetch them.
    """
    cache = cache or jar_cache()
    target = _jar_folder(cache)
    if target.is_dir():
        return target
    maven = shutil.which("mvn")
    if maven is None:
        raise StackError("fetching Apache Kafka needs Maven; install it (`apt install maven`) and run this again")
    say(f"fetching Apache Kafka {kafka_version()} (54 MB, once)")
    cache.mkdir(parents=True, exist_ok=True)
    arriving = cache / f".arriving.{os.getpid()}"
    arguments = [maven, "-q", "-B", "-f", str(_POM), "dependency:copy-dependencies"]
    arguments += ["-DincludeScope=runtime", f"-DoutputDirectory={arriving}"]
    try:
        _run(folder, arguments, "Maven could not fetch Apache Kafka; check the network and ~/.m2/settings.xml")
        missing = [name for name in _NEEDED if not any(arriving.glob(f"{name}*.jar"))]
        if missing:
            raise StackError(f"Maven fetched no {missing[0]}*.jar; remove ~/.m2/repository and run this again")
        if not target.is_dir():
            arriving.rename(target)
    finally:
        shutil.rmtree(arriving, ignore_errors=True)
    return target


def properties(data: Path, port: int, controller_port: int) -> str:
    """The broker's configuration: one small node that forgets nothing it needs and makes no topic by itself."""
    settings: dict[str, str | int] = {
        "process.roles": "broker,controller",
        "node.id": 1,
        "controller.quorum.bootstrap.servers": f"{HOST}:{controller_port}",
        "listeners": f"PLAINTEXT://{HOST}:{port},CONTROLLER://{HOST}:{controller_port}",
        "advertised.listeners": f"PLAINTEXT://{HOST}:{port},CONTROLLER://{HOST}:{controller_port}",
        "controller.listener.names": "CONTROLLER",
        "listener.security.protocol.map": "PLAINTEXT:PLAINTEXT,CONTROLLER:PLAINTEXT",
        "log.dirs": str(data),
        "auto.create.topics.enable": "false",
        "num.partitions": 1,
        "offsets.topic.num.partitions": 4,
        "offsets.topic.replication.factor": 1,
        "transaction.state.log.num.partitions": 4,
        "transaction.state.log.replication.factor": 1,
        "transaction.state.log.min.isr": 1,
        "share.coordinator.state.topic.num.partitions": 4,
        "share.coordinator.state.topic.replication.factor": 1,
        "share.coordinator.state.topic.min.isr": 1,
        "group.initial.rebalance.delay.ms": 0,
        "group.min.session.timeout.ms": 500,
        "log.cleaner.dedupe.buffer.size": 8388608,
        "message.max.bytes": LARGEST_MESSAGE_BYTES,
        "replica.fetch.max.bytes": LARGEST_MESSAGE_BYTES,
        "socket.request.max.bytes": _REQUEST_BYTES,
    }
    return "".join(f"{name}={value}\n" for name, value in settings.items())


def prepare(folder: Path, port: int, say: Progress) -> Launch:
    """Fetch the jars and format the storage where that is still to be done, and say how to start the broker.

    Raises:
        StackError: Java or Maven is missing, the jars can't be fetched, or the storage can't be formatted.
    """
    runtime = java()
    jars = fetch_jars(folder, say)
    data = folder / "kafka"
    configuration = folder / "server.properties"
    configuration.write_text(properties(data, port, _controller_port(configuration)), encoding="utf-8")
    quiet = ["-Djava.awt.headless=true", "-Dorg.slf4j.simpleLogger.defaultLogLevel=warn"]
    command = [runtime, *JVM_OPTIONS, *quiet, "-cp", f"{jars}/*"]
    if not (data / "meta.properties").exists():
        shutil.rmtree(data, ignore_errors=True)
        data.mkdir(mode=0o700)
        tool = [*command, "kafka.tools.StorageTool", "format", "--standalone", "--cluster-id", _CLUSTER_ID]
        _run(folder, [*tool, "--config", str(configuration)], f"Kafka could not format {data}; remove that folder")
    return Launch(
        command=Command([*command, "kafka.Kafka", str(configuration)], folder / "kafka.log", folder),
        port=port,
        endpoint=f"{HOST}:{port}",
        ready=partial(broker_ready, port),
        grace_s=10.0,
    )


def _controller_port(configuration: Path) -> int:
    """The port of the last start where it is free: a quorum that finds itself moved takes 10 s longer to form."""
    said = configuration.read_text(encoding="utf-8") if configuration.exists() else ""
    before = re.search(rf"^listeners=.*CONTROLLER://{re.escape(HOST)}:(\d+)", said, re.MULTILINE)
    return free_port(int(before[1]) if before else None)


def _run(folder: Path, arguments: list[str], failure: str) -> None:
    """Run a program to its end; its output goes to `prepare.log` and, in short, into the error."""
    done = subprocess.run(  # noqa: S603 - the arguments are this module's own
        arguments,
        stdin=subprocess.DEVNULL,
        capture_output=True,
        text=True,
        check=False,
        env=environment(folder, {}),
    )
    (folder / "prepare.log").write_text(done.stdout + done.stderr, encoding="utf-8")
    if done.returncode != 0:
        raise StackError(f"{failure} (its output is in {folder / 'prepare.log'})")
