"""The ways out: e-mail, SMS and telephone through apprise, programs by HTTP."""

from __future__ import annotations

import asyncio
import json
import time
from collections.abc import Callable, Mapping
from concurrent.futures import ThreadPoolExecutor
from datetime import UTC, datetime
from email.utils import parsedate_to_datetime
from typing import Any, NamedTuple, Protocol
from urllib.parse import quote, urlsplit

import aiohttp
import apprise

from schemas.recipients import Address
from schemas.sending import NotificationDue
from streams.agents import notify_payloads
from streams.agents.notify_watching import seen, watch_answers
from streams.core.notices import Text
from streams.core.notify_course import SEND_WITHIN_S

CONNECT_WITHIN_S = 4.0
READ_WITHIN_S = 5.5
"""With connecting, less than an attempt's time."""
SLOW_S = 3.5
"""Of an attempt by another protocol than HTTP that fails after this time, nobody knows what became of it."""
THREADS = 8
"""Of each channel that apprise sends by: a slow mail server takes no thread of the SMS gateway's."""
PLACE = "{to}"
LONGEST_RETRY_S = 86_400.0
_OK = range(200, 300)
_TRY_AGAIN = frozenset({408, 425, 429})
_SERVER_ERROR = 500


class Attempt(NamedTuple):
    """How an attempt ended; see `schemas.sending.NotificationAttempted`. No secret is in `error`."""

    verdict: str
    error: str = ""
    retry_after_s: float | None = None


class Channel(Protocol):
    """A way out."""

    async def send(self, address: Address, due: NotificationDue, text: Text) -> Attempt:
        """Make one attempt; gives up in time by itself, and never raises."""


class NotSet:
    """A channel whose gateway is not set."""

    def __init__(self, variable: str) -> None:
        self._variable = variable

    async def send(self, address: Address, due: NotificationDue, text: Text) -> Attempt:  # noqa: ARG002
        """Refuse, so that the recipient's next channel is taken at once."""
        return Attempt("refused", f"no gateway is set: set {self._variable}")


class ByApprise:
    """A gateway by its apprise URL, with `{to}` where the address belongs; or `{to}` alone: the address is the URL."""

    def __init__(self, name: str, template: str) -> None:
        self._template = template
        self._threads = ThreadPoolExecutor(THREADS, thread_name_prefix=f"notify-{name}")
        watch_answers()

    async def send(self, address: Address, due: NotificationDue, text: Text) -> Attempt:
        """Make one attempt in a thread, which has its own time-outs."""
        return await self.tell(address.to, due.begin_before_at.timestamp(), text)

    async def tell(self, to: str, begin_before_s: float, text: Text) -> Attempt:
        """Make one attempt to tell whoever is at an address, of anything."""
        loop = asyncio.get_running_loop()
        work = loop.run_in_executor(self._threads, self._send, to, begin_before_s, text)
        try:
            return await asyncio.wait_for(asyncio.shield(work), SEND_WITHIN_S)
        except TimeoutError:
            if work.cancel():
                return Attempt("expired", "the channel is busy")
            return Attempt("unknown", f"no answer within {SEND_WITHIN_S:g} s")

    def _send(self, to: str, begin_before_s: float, text: Text) -> Attempt:
        if time.time() > begin_before_s:
            return Attempt("expired", "the channel is busy")
        url = to if self._template == PLACE else self._template.replace(PLACE, quote(to, safe=""))
        try:
            plugin = apprise.Apprise.instantiate(url)
        except Exception:  # noqa: BLE001 - plugins check their URLs in their own ways
            plugin = None
        if plugin is None:
            return Attempt("refused", "apprise makes nothing of the URL: check the gateway's setting or the address")
        plugin.socket_connect_timeout, plugin.socket_read_timeout = CONNECT_WITHIN_S, READ_WITHIN_S
        seen.forget()
        begun_s = time.monotonic()
        try:
            if plugin.notify(body=text.body, title=text.subject):
                return Attempt("delivered")
        except Exception as error:  # noqa: BLE001 - as above; the text may quote the URL
            return Attempt("failed", f"{type(error).__name__} in apprise")
        found = _judged(seen.status, seen.retry_after) or _replied(seen.reply)
        if found is not None:
            return found
        slow = time.monotonic() - begun_s > SLOW_S
        if seen.arrived or (seen.arrived is None and slow):
            return Attempt("unknown", "no answer")
        return Attempt("failed", "the server does not answer or refused")


class Poster:
    """Posts to web servers, and judges their answers."""

    def __init__(self) -> None:
        self._session: aiohttp.ClientSession | None = None

    async def post(self, url: str, body: bytes, headers: Mapping[str, str]) -> Attempt:
        """Make one attempt; gives up in time by itself, and never raises."""
        if self._session is None:
            # Connections are not kept: a server that was restarted would cost an attempt.
            self._session = aiohttp.ClientSession(
                timeout=aiohttp.ClientTimeout(total=SEND_WITHIN_S, connect=CONNECT_WITHIN_S),
                connector=aiohttp.TCPConnector(limit=0, force_close=True),
            )
        try:
            async with self._session.post(url, data=body, headers=headers, allow_redirects=False) as answer:
                return _judged(answer.status, answer.headers.get("Retry-After")) or Attempt("delivered")
        except (aiohttp.ClientConnectorError, aiohttp.ConnectionTimeoutError):
            return Attempt("failed", "the server does not answer")
        except (aiohttp.InvalidURL, aiohttp.NonHttpUrlClientError, ValueError):
            return Attempt("refused", "the address is no URL of a web server")
        except (TimeoutError, aiohttp.ClientError, OSError) as error:
            # The request may have arrived.
            return Attempt("unknown", f"no answer ({type(error).__name__})")

    async def close(self) -> None:
        """Disconnect."""
        if self._session is not None:
            await self._session.close()


class ByHttp:
    """JSON to a program, by POST. `path` is added to the address's."""

    def __init__(self, payload: Callable[[NotificationDue, Text], Any], path: str = "") -> None:
        self._payload = payload
        self._path = path
        self._poster = Poster()

    async def send(self, address: Address, due: NotificationDue, text: Text) -> Attempt:
        """Make one attempt."""
        body = json.dumps(self._payload(due, text), ensure_ascii=False).encode()
        headers = {"Content-Type": "application/json", "Idempotency-Key": due.notification_id}
        url = address.to.rstrip("/") + self._path if self._path else address.to
        return await self._poster.post(url, body, headers)

    async def close(self) -> None:
        """Disconnect."""
        await self._poster.close()


class Webhook:
    """A program's own URL by HTTP; any other URL by apprise."""

    def __init__(self) -> None:
        self._http = ByHttp(notify_payloads.own)
        self._apprise = ByApprise("webhook", PLACE)

    async def send(self, address: Address, due: NotificationDue, text: Text) -> Attempt:
        """Make one attempt."""
        plain = urlsplit(address.to).scheme.lower() in {"http", "https"}
        return await (self._http if plain else self._apprise).send(address, due, text)

    async def close(self) -> None:
        """Disconnect."""
        await self._http.close()


def _judged(status: int | None, retry_after: str | None) -> Attempt | None:
    """What an HTTP answer means; None where all is well or there was none."""
    if status is None or status in _OK:
        return None
    error = f"answered {status}"
    if status in _TRY_AGAIN or status >= _SERVER_ERROR:
        return Attempt("failed", error, _seconds(retry_after))
    return Attempt("refused", error)


def _replied(code: int | None) -> Attempt | None:
    """What a mail server's refusal means: 4yz may pass, 5yz stays (RFC 5321, 4.2.1). None where there was none."""
    if code is None:
        return None
    return Attempt("refused" if code >= _SERVER_ERROR else "failed", f"the mail server answered {code}")


def _seconds(retry_after: str | None) -> float | None:
    """The seconds of a `Retry-After` header: a number or a date (RFC 9110, 10.2.3)."""
    if retry_after is None:
        return None
    try:
        found = float(retry_after)
    except ValueError:
        try:
            found = (parsedate_to_datetime(retry_after) - datetime.now(UTC)).total_seconds()
        except (ValueError, TypeError):
            return None
    return min(max(found, 0.0), LONGEST_RETRY_S) if found == found else None  # noqa: PLR0124 - not a number


def masked(address: Address) -> str:
    """An address as others may see it: enough to recognise it by, and no token."""
    to = address.to
    if address.channel == "email":
        name, _, domain = to.rpartition("@")
        return f"{name[:1]}***@{domain}"
    if address.channel in {"sms", "phone"}:
        digits = [character for character in to if character.isdigit()]
        return f"***{''.join(digits[-4:])}" if len(digits) > 6 else "***"  # noqa: PLR2004 - else it shows most of it
    try:
        parts = urlsplit(to)
    except ValueError:
        return "***"
    # Of other URLs nobody knows which part is the token.
    known = parts.scheme in {"http", "https"} and parts.hostname
    return f"{parts.scheme}://{parts.hostname}/***" if known else f"{parts.scheme}://***"


def channels(gateways: Mapping[str, str]) -> dict[str, Channel]:
    """Every channel; `gateways` are apprise URLs of `email`, `sms`, `phone` and `webhook`, empty where not set."""
    found: dict[str, Channel] = {
        "webhook": Webhook() if not gateways["webhook"] else ByApprise("webhook", gateways["webhook"]),
        "alertmanager-webhook": ByHttp(notify_payloads.alertmanager_webhook),
        "alertmanager": ByHttp(notify_payloads.alertmanager, "/api/v2/alerts"),
    }
    for name in ("email", "sms", "phone"):
        url = gateways[name]
        found[name] = ByApprise(name, url) if url else NotSet(f"DOORSTREAM_NOTIFY_{name.upper()}")
    return found
