"""The ways out against real servers on this machine."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest
from aiohttp import web
from aiosmtpd.smtp import SMTP

from deploy.stack.catcher_server import Book, MailHandler, application
from schemas.recipients import Address
from schemas.sending import NotificationDue
from streams.agents import notify
from streams.agents.notify_channels import Attempt, channels, masked
from streams.core.notices import Text
from streams.settings import Settings, SettingsError
from tests.notify.test_payloads import due

TEXT = Text("Door held open", "Go and look: 门长时间未关")
NOWHERE = "127.0.0.1:9"


class Servers:
    """A mail server and a web server."""

    def __init__(self, book: Book, smtp_port: int, port: int) -> None:
        self.book = book
        self.http = f"http://127.0.0.1:{port}"
        self.gateways = {
            "email": f"mailto://127.0.0.1:{smtp_port}?from=doorstream@example.org&to={{to}}",
            "sms": f"json://127.0.0.1:{port}/sms/?:to={{to}}",
            "phone": "",
            "webhook": "",
        }

    async def send(self, channel: str, to: str, *, late_s: float = 0, **gateways: str) -> Attempt:
        """One attempt."""
        ways: dict[str, Any] = dict(channels({**self.gateways, **gateways}))
        begin = datetime.now(UTC) + timedelta(seconds=5 - late_s)
        attempt: NotificationDue = due().model_copy(update={"begin_before_at": begin})
        address = Address.model_construct(channel=channel, to=to)  # type: ignore[arg-type] # some are wrong on purpose
        try:
            found: Attempt = await ways[channel].send(address, attempt, TEXT)
        finally:
            for way in ways.values():
                if hasattr(way, "close"):
                    await way.close()
        return found


@pytest.fixture
async def servers(tmp_path: Path) -> AsyncIterator[Servers]:
    book = Book(tmp_path)
    loop = asyncio.get_running_loop()
    mail = await loop.create_server(lambda: SMTP(MailHandler(book), hostname="localhost", loop=loop), "127.0.0.1", 0)
    runner = web.AppRunner(application(book), shutdown_timeout=0.1)
    await runner.setup()
    await web.TCPSite(runner, "127.0.0.1", 0).start()
    yield Servers(book, mail.sockets[0].getsockname()[1], runner.addresses[0][1])
    mail.close()
    await runner.cleanup()
    book.close()


async def test_a_mail_arrives_as_it_was_written(servers: Servers) -> None:
    assert await servers.send("email", "room@example.org") == Attempt("delivered")
    (mail,) = servers.book.caught
    assert (mail["to"], mail["sender"]) == (["room@example.org"], "doorstream@example.org")
    assert (mail["subject"], mail["text"].strip()) == (TEXT.subject, TEXT.body)


async def test_a_number_reaches_the_gateway_whole(servers: Servers) -> None:
    assert await servers.send("sms", "+86 10 5550 0111") == Attempt("delivered")
    assert servers.book.caught[0]["body"]["to"] == "+86 10 5550 0111"


@pytest.mark.parametrize("channel", ["sms", "webhook", "alertmanager"])
async def test_who_asks_for_patience_is_heard(servers: Servers, channel: str) -> None:
    path = {"sms": "sms", "webhook": "hook", "alertmanager": "api"}[channel]
    servers.book.behaviour[path] = {"status": 429, "retry_after": 7}
    to = servers.http + ("/hook" if channel == "webhook" else "")
    assert await servers.send(channel, to) == Attempt("failed", "answered 429", 7.0)
    assert servers.book.count() == {}


@pytest.mark.parametrize(("status", "verdict"), [(503, "failed"), (500, "failed"), (404, "refused"), (302, "refused")])
async def test_an_answer_says_whether_to_try_again(servers: Servers, status: int, verdict: str) -> None:
    servers.book.behaviour["hook"] = {"status": status}
    assert await servers.send("webhook", f"{servers.http}/hook") == Attempt(verdict, f"answered {status}")


@pytest.mark.parametrize(
    ("channel", "to"), [("webhook", f"http://{NOWHERE}/x"), ("alertmanager", f"http://{NOWHERE}"), ("sms", "+8610")]
)
async def test_a_server_that_is_not_there_can_be_tried_again(servers: Servers, channel: str, to: str) -> None:
    attempt = await servers.send(channel, to, sms=f"json://{NOWHERE}/?:to={{to}}")
    assert attempt.verdict == "failed"


async def test_a_mail_server_that_is_not_there_can_be_tried_again(servers: Servers) -> None:
    attempt = await servers.send("email", "a@example.org", email=f"mailto://{NOWHERE}?from=a@b.example&to={{to}}")
    assert attempt.verdict == "failed"


@pytest.mark.parametrize(("status", "verdict"), [(550, "refused"), (554, "refused"), (451, "failed")])
async def test_a_mail_servers_answer_says_whether_to_try_again(servers: Servers, status: int, verdict: str) -> None:
    servers.book.behaviour["email"] = {"status": status}
    attempt = await servers.send("email", "room@example.org")
    assert attempt == Attempt(verdict, f"the mail server answered {status}")


async def test_of_a_server_that_gives_no_answer_nobody_knows(servers: Servers, monkeypatch: Any) -> None:
    monkeypatch.setattr("streams.agents.notify_channels.READ_WITHIN_S", 0.3)
    monkeypatch.setattr("streams.agents.notify_channels.SEND_WITHIN_S", 0.6)
    for channel, path in (("sms", "sms"), ("webhook", "hook")):
        servers.book.behaviour[path] = {"hang": True}
        assert (await servers.send(channel, f"{servers.http}/hook")).verdict == "unknown"


async def test_a_channel_without_a_gateway_says_which_setting_it_lacks(servers: Servers) -> None:
    assert await servers.send("phone", "+8610") == Attempt("refused", "no gateway is set: set DOORSTREAM_NOTIFY_PHONE")


async def test_an_attempt_that_is_too_late_is_not_begun(servers: Servers) -> None:
    assert (await servers.send("sms", "+8610", late_s=6)).verdict == "expired"
    assert servers.book.caught == []


async def test_a_url_that_is_none_is_refused_and_not_shown(servers: Servers) -> None:
    attempt = await servers.send("webhook", "nonsense://s3cret")
    assert attempt.verdict == "refused"
    assert "s3cret" not in attempt.error


@pytest.mark.parametrize(
    ("channel", "to", "shown"),
    [
        ("email", "wang.wei@example.org", "w***@example.org"),
        ("sms", "+86 10 5550 0199", "***0199"),
        ("phone", "5550", "***"),
        ("webhook", "https://user:pw@hooks.example.org/T0/s3cret?token=1", "https://hooks.example.org/***"),
        ("webhook", "slack://s3cret/a/b", "slack://***"),
        ("webhook", "http://[s3cret", "***"),
    ],
)
def test_an_address_is_shown_masked(channel: Any, to: str, shown: str) -> None:
    assert masked(Address.model_construct(channel=channel, to=to)) == shown


def test_a_gateway_may_lie_in_a_file(tmp_path: Path) -> None:
    path = tmp_path / "email"
    path.write_text("mailtos://u:pw@example.org?to={to}\n")
    found = notify.gateways(Settings(notify_email=f"file:{path}"))
    assert found["email"] == "mailtos://u:pw@example.org?to={to}"


@pytest.mark.parametrize("url", ["file:/nowhere/at/all", "mailtos://u:pw@example.org"])
def test_a_gateway_that_is_none_is_told_without_its_password(url: str) -> None:
    with pytest.raises(SettingsError, match="DOORSTREAM_NOTIFY_EMAIL") as told:
        notify.gateways(Settings(notify_email=url))
    assert "pw" not in str(told.value)
