"""The texts of messages."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from schemas.alerting import KINDS
from schemas.event_classes import ALERT_CLASSES
from schemas.sending import Notice
from streams.agents.notify_wording import CHANNELS, LANGUAGES, Wording, WordingError
from streams.core.notices import LONGEST_SMS
from tests.notify.test_payloads import due

OTHERS = [{"at": "2026-03-02T01:00:00Z", "text": "high: hq-d02 is forced"}]


def notice(**fields: Any) -> Notice:
    """What there is to tell."""
    return due(**fields).notice


def test_a_mail_says_where_since_when_who_what_led_to_it_what_to_do_and_how_to_acknowledge() -> None:
    subject, body = Wording().text(notice(), "email", "en")
    assert subject == "[HIGH] Door held open: hq-d01 is held open"
    assert "Headquarters, Main entrance (hq-d01)" in body
    assert "2026-03-02 08:59:58 (Asia/Shanghai)" in body
    assert "p0017" in body
    assert "08:59:28  p0017 passed hq-d01" in body
    assert "Ask who is at the door to close it." in body
    assert "doorstream alerts ack 9b2e7c11-3d4f-8a5b-8c6d-1e2f3a4b5c6d" in body


def test_what_is_not_known_leaves_no_empty_line_behind() -> None:
    body = Wording().text(notice(who="", led_to=[], procedure=""), "email", "en").body
    assert "Who" not in body
    assert "What" not in body


def test_a_chinese_recipient_reads_chinese() -> None:
    subject, body = Wording().text(notice(), "email", "zh")
    assert subject == "【高】门长时间未关：hq-d01 is held open"  # noqa: RUF001 - Chinese
    assert "地点：Headquarters，Main entrance (hq-d01)" in body  # noqa: RUF001
    assert "处置办法" in body


@pytest.mark.parametrize("language", LANGUAGES)
@pytest.mark.parametrize("channel", CHANNELS)
def test_one_message_about_many_says_how_many(language: str, channel: str) -> None:
    text = Wording().text(notice(also=OTHERS, more=17), channel, language)
    assert ("17" if channel == "email" else "18") in text.body
    assert "$" not in text.body
    assert "[" not in text.body.replace("[HIGH]", "")


def test_an_sms_stays_short() -> None:
    body = Wording().text(notice(summary="x" * 2000), "sms", "en").body
    assert len(body) == LONGEST_SMS


REFUSED = {"unknown_access_point", "out_of_service"}
"""Why a message is refused is a kind, too."""


@pytest.mark.parametrize("language", LANGUAGES)
@pytest.mark.parametrize("kind", sorted({*ALERT_CLASSES, *REFUSED, *(one.kind for one in KINDS)}))
def test_every_kind_of_alert_has_words_in_every_language(kind: str, language: str) -> None:
    word = Wording().kind_in(kind, language)
    assert word not in {kind, kind.replace("_", " ")}
    assert word.isascii() is (language == "en")
    assert word in Wording().text(notice(kind=kind), "email", language).subject


def test_what_a_message_says_is_never_a_template() -> None:
    body = Wording().text(notice(summary="$who [who] ${alert_id}"), "email", "en").body
    assert "$who [who] ${alert_id}" in body


def test_a_subject_is_one_line() -> None:
    subject = Wording().text(notice(summary="one\r\nBcc: all@example.org"), "email", "en").subject
    assert "\n" not in subject
    assert "\r" not in subject


def test_an_operators_file_wins(tmp_path: Path) -> None:
    (tmp_path / "en").mkdir()
    (tmp_path / "en" / "sms.txt").write_text("Look at $where")
    wording = Wording(tmp_path)
    assert wording.text(notice(), "sms", "en").body == "Look at Main entrance (hq-d01)"
    assert wording.text(notice(), "email", "en").subject.startswith("[HIGH]")


@pytest.mark.parametrize(
    ("name", "text", "problem"),
    [
        ("en/sms.txt", "$were", "names 'were'"),
        ("en/sms.txt", "costs 5$", "Invalid placeholder"),
        ("en/email.txt", "Hello", "must begin with a line `Subject: ...`"),
        ("zh/words.yaml", "severity: [", "not valid YAML"),
        ("zh/words.yaml", "- high", "words by field"),
    ],
)
def test_a_wrong_template_is_told_when_the_worker_starts(tmp_path: Path, name: str, text: str, problem: str) -> None:
    (tmp_path / name).parent.mkdir()
    (tmp_path / name).write_text(text)
    with pytest.raises(WordingError, match=problem):
        Wording(tmp_path)
