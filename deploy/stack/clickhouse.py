"""ClickHouse without a server: chDB behind the HTTP front of `clickhouse_http`, in a process of its own."""

from __future__ import annotations

import asyncio
import importlib.util
from functools import partial
from pathlib import Path

import aiohttp

from deploy.stack.launch import Launch, Progress
from deploy.stack.model import HOST, StackError
from deploy.stack.processes import Command, module_command, until_listening

_POLL_S = 0.05


def prepare(folder: Path, port: int, _say: Progress) -> Launch:
    """How to start the front on this port of 127.0.0.1.

    Raises:
        StackError: chDB is not installed.
    """
    if importlib.util.find_spec("chdb") is None:
        raise StackError("chDB is not installed; run `pip install doorstream[embedded]`")
    data = folder / "clickhouse"
    data.mkdir(mode=0o700, exist_ok=True)
    arguments = module_command("deploy.stack.clickhouse_http", "--path", str(data), "--port", str(port))
    return Launch(
        command=Command(arguments, folder / "clickhouse.log", folder),
        port=port,
        endpoint=f"http://{HOST}:{port}",
        ready=partial(_ready, port),
    )


async def _ready(port: int) -> None:
    """Wait until a query is answered, as the front listens before chDB has opened its folder."""
    await until_listening(port)
    async with aiohttp.ClientSession() as session:
        while True:
            async with session.get(f"http://{HOST}:{port}/", params={"query": "SELECT 1"}) as answer:
                if (await answer.text()).strip() == "1":
                    return
            await asyncio.sleep(_POLL_S)
