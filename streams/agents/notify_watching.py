"""What servers answered to apprise, which only says whether it worked: seen where its libraries hear it."""

from __future__ import annotations

import logging
import smtplib
import threading
import warnings
from collections.abc import Callable
from typing import Any

import apprise
from requests.adapters import HTTPAdapter
from requests.exceptions import ConnectionError, ConnectTimeout, RequestException  # noqa: A004 - theirs


class _Seen(threading.local):
    """What became of the last HTTP request or mail in this thread: apprise only says whether it worked.

    `arrived`: None where there was none; False where it can't have arrived. `reply` is a mail server's refusal.
    """

    arrived: bool | None = None
    status: int | None = None
    retry_after: str | None = None
    reply: int | None = None

    def forget(self) -> None:
        """Nothing was seen."""
        self.arrived = self.status = self.retry_after = self.reply = None


seen = _Seen()
_plain_send: Callable[..., Any] = HTTPAdapter.send
_plain_sendmail: Callable[..., Any] = smtplib.SMTP.sendmail
_plain_login: Callable[..., Any] = smtplib.SMTP.login


def _watched_send(self: HTTPAdapter, *args: Any, **kwargs: Any) -> Any:
    seen.forget()
    try:
        answer = _plain_send(self, *args, **kwargs)
    except ConnectionError as error:
        seen.arrived = not (isinstance(error, ConnectTimeout) or "NewConnectionError" in str(error))
        raise
    except RequestException:
        seen.arrived = True
        raise
    seen.arrived = True
    seen.status, seen.retry_after = answer.status_code, answer.headers.get("Retry-After")
    return answer


def _watched_mail(plain: Callable[..., Any]) -> Callable[..., Any]:
    def watched(*args: Any, **kwargs: Any) -> Any:
        try:
            return plain(*args, **kwargs)
        except smtplib.SMTPRecipientsRefused as error:
            # One mail has one recipient.
            seen.reply = max(code for code, _ in error.recipients.values())
            raise
        except smtplib.SMTPResponseException as error:
            seen.reply = error.smtp_code
            raise

    return watched


def watch_answers() -> None:
    """Have answers to apprise's requests and mails seen, in this process, and its log silent.

    It logs whom it tells; what became of an attempt is ours to say.
    """
    logging.getLogger("apprise").setLevel(logging.CRITICAL + 1)
    with warnings.catch_warnings():
        # It loads its hundred plugins when it is first used, which the first alert need not wait for; one of them
        # imports what Python is about to drop.
        warnings.simplefilter("ignore", DeprecationWarning)
        apprise.Apprise.instantiate("json://127.0.0.1")
    HTTPAdapter.send = _watched_send  # type: ignore[method-assign]
    smtplib.SMTP.sendmail = _watched_mail(_plain_sendmail)  # type: ignore[method-assign]
    smtplib.SMTP.login = _watched_mail(_plain_login)  # type: ignore[method-assign]
