"""The catcher's process: `python -m deploy.stack.catcher_server --path FOLDER --port HTTP --smtp-port SMTP`.

Whatever is posted, to any path, and whatever is mailed, to anybody, is a line of JSON in `caught.jsonl`. `GET /caught`
lists it, `GET /count` counts it by channel: `email`, or the first part of the path. `PUT /behaviour/<channel>` with
`{"status": 429, "retry_after": 3, "delay_s": 0.5, "hang": false}` makes a channel refuse, be slow, or not answer.
"""

from __future__ import annotations

import argparse
import asyncio
import json
import signal
import sys
from collections import Counter
from datetime import UTC, datetime
from email import message_from_bytes, policy
from email.message import EmailMessage
from pathlib import Path
from typing import Any

from aiohttp import web
from aiosmtpd.smtp import SMTP, Envelope, Session

from deploy.stack.model import HOST

EMAIL = "email"
LARGEST_BYTES = 4 * 1024 * 1024
_HTTP_OK, _SMTP_OK = 200, 250
_HANG_S = 3600.0


class Book:
    """What was caught, and how channels behave."""

    def __init__(self, folder: Path) -> None:
        self._file = (folder / "caught.jsonl").open("a", encoding="utf-8")
        self.caught: list[dict[str, Any]] = []
        self.behaviour: dict[str, dict[str, Any]] = {}

    async def answer(self, channel: str, usual: int, **what: Any) -> tuple[int, dict[str, Any]]:
        """Write down what arrived, and give the status to answer it with; waits where the channel is to be slow."""
        how = self.behaviour.get(channel, {})
        status = int(how.get("status", usual))
        taken = status // 100 == usual // 100 and not how.get("hang")
        line = {"at": datetime.now(UTC).isoformat(), "channel": channel, "answered": status, "taken": taken, **what}
        self.caught.append(line)
        self._file.write(json.dumps(line, ensure_ascii=False) + "\n")
        self._file.flush()
        await asyncio.sleep(_HANG_S if how.get("hang") else float(how.get("delay_s", 0)))
        return status, how

    def close(self) -> None:
        """Write no more."""
        self._file.close()

    def count(self) -> Counter[str]:
        """How much was taken, by channel."""
        return Counter(line["channel"] for line in self.caught if line["taken"])


class MailHandler:
    """Takes every mail."""

    def __init__(self, book: Book) -> None:
        self._book = book

    async def handle_DATA(self, _server: SMTP, _session: Session, envelope: Envelope) -> str:  # noqa: N802 - aiosmtpd's
        """Write a mail down."""
        content = envelope.original_content or b""
        mail: EmailMessage = message_from_bytes(content, EmailMessage, policy=policy.default)
        body = mail.get_body(("plain", "html"))
        status, _ = await self._book.answer(
            EMAIL,
            _SMTP_OK,
            sender=envelope.mail_from,
            to=list(envelope.rcpt_tos),
            subject=str(mail["Subject"] or ""),
            text="" if body is None else str(body.get_content()),
        )
        return "250 taken" if status == _SMTP_OK else f"{status} not taken"


def application(book: Book) -> web.Application:
    """The web server."""

    async def caught(_request: web.Request) -> web.Response:
        return web.json_response(book.caught)

    async def count(_request: web.Request) -> web.Response:
        return web.json_response(book.count())

    async def behave(request: web.Request) -> web.Response:
        book.behaviour[request.match_info["channel"]] = await request.json()
        return web.json_response(book.behaviour)

    async def take(request: web.Request) -> web.Response:
        text = (await request.read()).decode("utf-8", "replace")
        try:
            body = json.loads(text)
        except ValueError:
            body = text
        status, how = await book.answer(
            request.path.strip("/").partition("/")[0] or "webhook",
            _HTTP_OK,
            path=request.path,
            query=dict(request.query),
            headers=dict(request.headers),
            body=body,
        )
        headers = {"Retry-After": str(how["retry_after"])} if "retry_after" in how else {}
        return web.json_response({"taken": status == _HTTP_OK}, status=status, headers=headers)

    app = web.Application(client_max_size=LARGEST_BYTES)
    app.router.add_get("/caught", caught)
    app.router.add_get("/count", count)
    app.router.add_put("/behaviour/{channel}", behave)
    app.router.add_post("/{path:.*}", take)
    return app


async def serve(folder: Path, port: int, smtp_port: int) -> None:
    """Catch until SIGTERM."""
    book = Book(folder)
    loop = asyncio.get_running_loop()
    ended = asyncio.Event()
    for number in (signal.SIGTERM, signal.SIGINT):
        loop.add_signal_handler(number, ended.set)
    handler = MailHandler(book)
    smtp = await loop.create_server(
        lambda: SMTP(handler, hostname="localhost", loop=loop, data_size_limit=LARGEST_BYTES), HOST, smtp_port
    )
    runner = web.AppRunner(application(book), access_log=None, shutdown_timeout=0.5)
    await runner.setup()
    await web.TCPSite(runner, HOST, port).start()
    await ended.wait()
    smtp.close()
    await runner.cleanup()


def main(arguments: list[str] | None = None) -> int:
    """Run as a process."""
    parser = argparse.ArgumentParser(description="Catches notifications.")
    parser.add_argument("--path", type=Path, required=True)
    parser.add_argument("--port", type=int, required=True)
    parser.add_argument("--smtp-port", type=int, required=True)
    given = parser.parse_args(arguments)
    asyncio.run(serve(given.path, given.port, given.smtp_port))
    return 0


if __name__ == "__main__":
    sys.exit(main())
