"""The local stack: a broker, PostgreSQL and ClickHouse on 127.0.0.1, without Docker."""

from deploy.stack.lifecycle import down, status, up
from deploy.stack.model import (
    DEFAULT_FOLDER,
    BrokerKind,
    Endpoints,
    PartStatus,
    StackError,
    StackOptions,
    StackStatus,
)

__all__ = [
    "DEFAULT_FOLDER",
    "BrokerKind",
    "Endpoints",
    "PartStatus",
    "StackError",
    "StackOptions",
    "StackStatus",
    "down",
    "status",
    "up",
]
