"""The catcher of the local stack keeps what arrives, and misbehaves when it is asked to."""

from __future__ import annotations

import asyncio
import os
import smtplib
from email.message import EmailMessage
from pathlib import Path
from urllib.parse import parse_qs, urlsplit

import aiohttp
import pytest

from deploy.stack import StackOptions, catcher, down, status, up
from deploy.stack.catcher import Catcher


def mail(port: int) -> None:
    """Send one mail."""
    message = EmailMessage()
    message["From"], message["To"], message["Subject"] = "a@example.org", "b@example.org", "门"
    message.set_content("Held open")
    with smtplib.SMTP("127.0.0.1", port, timeout=10) as server:
        server.send_message(message)


async def post(url: str) -> tuple[int, str | None]:
    """Post some JSON; gives the status and Retry-After."""
    async with aiohttp.ClientSession() as session, session.post(url, json={"to": "1"}) as answer:
        return answer.status, answer.headers.get("Retry-After")


async def test_mail_and_posts_are_kept_and_counted_and_refusals_are_not(tmp_path: Path) -> None:
    options = StackOptions(
        tmp_path,
        with_kafka=False,
        with_postgres=False,
        with_clickhouse=False,
        with_catcher=True,
        owner_pid=os.getpid(),
    )
    try:
        endpoint = (await up(options)).catcher
        asked = Catcher(endpoint)
        await asyncio.to_thread(mail, int(parse_qs(urlsplit(endpoint).query)["smtp"][0]))
        assert await post(f"{asked.url}/sms/") == (200, None)
        await asked.behave("sms", status=429, retry_after=3)
        assert await post(f"{asked.url}/sms/") == (429, "3")
        await asked.behave("email", status=451)
        with pytest.raises(smtplib.SMTPDataError):
            await asyncio.to_thread(mail, int(parse_qs(urlsplit(endpoint).query)["smtp"][0]))
        first, *_ = await asked.caught()
        assert (first["to"], first["subject"], first["text"].strip()) == (["b@example.org"], "门", "Held open")
        assert await asked.count() == {"email": 1, "sms": 1}
        assert status(tmp_path).part("catcher").state == "running"
        assert set(catcher.settings(endpoint)) == {"notify_email", "notify_sms", "notify_phone"}
    finally:
        await down(tmp_path)
    assert catcher.caught_in(tmp_path) == 2
