"""Apache Kafka in KRaft mode."""

from __future__ import annotations

from pathlib import Path

from deploy.stack.launch import Launch
from deploy.stack.model import StackError


def prepare(folder: Path, port: int) -> Launch:
    raise StackError(f"not built {folder} {port}")
