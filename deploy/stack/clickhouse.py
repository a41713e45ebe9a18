"""ClickHouse without a server: chDB behind the HTTP front of `clickhouse_http`, in a process of its own."""

from __future__ import annotations

import asyncio
import contextlib
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


async def answers(url: str) -> None:
    """Wait until the server of this URL answers a query."""
    async with aiohttp.ClientSession() as session:
        while True:
            with contextlib.suppress(aiohttp.ClientError, OSError):
                async with session.get(url, params={"query": "SELECT 1"}) as answer:
                    if (await answer.text()).strip() == "1":
                        return
            await asyncio.sleep(_POLL_S)


async def _ready(port: int) -> None:
    await until_listening(port)
    await answers(f"http://{HOST}:{port}/")
