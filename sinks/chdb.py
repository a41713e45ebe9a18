"""A chDB folder as a ClickHouse server: `DOORSTREAM_CLICKHOUSE=chdb:<folder>`."""

from __future__ import annotations

import asyncio
from pathlib import Path

from sinks.reading import SinkUnavailable

SCHEME = "chdb:"


def served(url: str) -> str:
    """The URL at which a `chdb:<folder>` is served; any other URL as it is.

    Only one process may have the folder open, so a server of its own does, on a port of 127.0.0.1: the first who asks
    starts it, all others find it, and it goes on until `doorstream stack down` with that folder as the stack's. Not to
    be called on an event loop.

    Raises:
        SinkUnavailable: it can't be started; the text says why.
    """
    if not url.startswith(SCHEME):
        return url
    # Imported where it is used: a worker whose ClickHouse is elsewhere needs no local servers.
    from deploy.stack import StackError, StackOptions, status, up  # noqa: PLC0415
    from deploy.stack.model import CLICKHOUSE  # noqa: PLC0415

    if not url.removeprefix(SCHEME):
        raise ValueError("DOORSTREAM_CLICKHOUSE names no folder: write chdb:<folder>")
    folder = Path(url.removeprefix(SCHEME)).expanduser()
    try:
        if folder.is_dir() and (part := status(folder).part(CLICKHOUSE)).state == "running":
            return part.endpoint
        options = StackOptions(folder=folder, with_kafka=False, with_postgres=False)
        return asyncio.run(up(options)).clickhouse
    except StackError as error:
        raise SinkUnavailable(f"{folder} can't be served: {error}") from error
