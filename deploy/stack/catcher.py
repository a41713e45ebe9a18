"""A catcher of notifications: a real SMTP server and a web server on 127.0.0.1 that keep whatever arrives."""

from __future__ import annotations

import asyncio
import contextlib
import importlib.util
from collections.abc import Mapping
from functools import partial
from pathlib import Path
from typing import Any
from urllib.parse import parse_qs, urlsplit

import aiohttp

from deploy.stack.launch import Launch, Progress
from deploy.stack.model import HOST, StackError
from deploy.stack.processes import Command, free_port, module_command, until_listening

SENDER = "doorstream@example.org"
_SMTP = "smtp"


def prepare(folder: Path, port: int, _say: Progress) -> Launch:
    """How to start the catcher on this port of 127.0.0.1; mail arrives at another free one.

    Raises:
        StackError: the SMTP server is not installed.
    """
    if importlib.util.find_spec("aiosmtpd") is None:
        raise StackError("aiosmtpd is not installed; run `pip install doorstream[embedded]`")
    data = folder / "catcher"
    data.mkdir(mode=0o700, exist_ok=True)
    smtp_port = free_port()
    while smtp_port == port:
        smtp_port = free_port()
    arguments = module_command(
        "deploy.stack.catcher_server", "--path", str(data), "--port", str(port), "--smtp-port", str(smtp_port)
    )
    return Launch(
        command=Command(arguments, folder / "catcher.log", folder),
        port=port,
        endpoint=f"http://{HOST}:{port}?{_SMTP}={smtp_port}",
        ready=partial(_ready, port, smtp_port),
    )


async def _ready(port: int, smtp_port: int) -> None:
    await asyncio.gather(until_listening(port), until_listening(smtp_port))


def settings(endpoint: str) -> dict[str, str]:
    """The settings by which notifications come to a catcher, without their prefix."""
    smtp_port = parse_qs(urlsplit(endpoint).query)[_SMTP][0]
    address = urlsplit(endpoint).netloc
    return {
        "notify_email": f"mailto://{HOST}:{smtp_port}?from={SENDER}&to={{to}}",
        "notify_sms": f"json://{address}/sms/?:to={{to}}",
        "notify_phone": f"json://{address}/phone/?:to={{to}}",
    }


class Catcher:
    """A running catcher, asked over HTTP."""

    def __init__(self, endpoint: str) -> None:
        self.url = f"http://{urlsplit(endpoint).netloc}"

    async def caught(self) -> list[dict[str, Any]]:
        """Everything that has arrived, in order; what was refused has `answered` other than 200 or 250."""
        return list(await self._ask("GET", "/caught"))

    async def count(self) -> Mapping[str, int]:
        """How much was taken, by channel: `email`, or the first part of the path (`sms`, `phone`, ...)."""
        return dict(await self._ask("GET", "/count"))

    async def behave(self, channel: str, **how: Any) -> None:
        """Make a channel misbehave from now on: `status` (HTTP or SMTP), `retry_after`, `delay_s`, `hang`."""
        await self._ask("PUT", f"/behaviour/{channel}", json=how)

    async def _ask(self, method: str, path: str, **more: Any) -> Any:
        async with aiohttp.ClientSession() as session, session.request(method, self.url + path, **more) as answer:
            answer.raise_for_status()
            return await answer.json()


def caught_in(folder: Path) -> int:
    """How many notifications a stopped stack's catcher had taken."""
    with contextlib.suppress(FileNotFoundError), (folder / "catcher" / "caught.jsonl").open("rb") as file:
        return sum(b'"taken": true' in line for line in file)
    return 0
