"""The templates and words of each language: doorstream's own files, or those of an operator's folder."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path

import yaml

from schemas.sending import Notice
from streams.core.notices import LONGEST_SMS, SUBJECT, Text, Words, fill

OWN = Path(__file__).resolve().parents[1] / "notices"
LANGUAGES = ("en", "zh")
CHANNELS = ("email", "sms", "phone")
LONG = "email"
"""What programs get the text of, too."""


class WordingError(Exception):
    """A template can't be used; the text is one line with the fix."""


class Wording:
    """Makes messages. A file of `folder` (`<language>/<channel>.txt`, `<language>/words.yaml`) wins over our own.

    Raises:
        WordingError: a file of the folder can't be read or is malformed.
    """

    def __init__(self, folder: Path | None = None) -> None:
        self._folder = folder
        self._templates = {
            (language, channel): self._template(language, channel) for language in LANGUAGES for channel in CHANNELS
        }
        self._words: Mapping[str, Words] = {language: self._read_words(language) for language in LANGUAGES}

    def text(self, notice: Notice, channel: str, language: str) -> Text:
        """The message of a notice for a channel in a language."""
        language = language if language in LANGUAGES else LANGUAGES[0]
        channel = channel if channel in CHANNELS else LONG
        text = fill(self._templates[language, channel], self._words[language], notice)
        if channel == "sms" and len(text.body) > LONGEST_SMS:
            return text._replace(body=text.body[: LONGEST_SMS - 1] + "…")
        return text

    def kind_in(self, kind: str, language: str) -> str:
        """A kind of alert in the words of a language."""
        return self._words[language].get("kind", {}).get(kind, kind)

    def _read(self, name: str) -> tuple[Path, str]:
        own = None if self._folder is None else self._folder / name
        path = own if own is not None and own.exists() else OWN / name
        try:
            return path, path.read_text(encoding="utf-8")
        except (OSError, UnicodeDecodeError) as error:
            raise WordingError(f"{path} can't be read ({error}): it is a text file in UTF-8") from None

    def _template(self, language: str, channel: str) -> str:
        path, text = self._read(f"{language}/{channel}.txt")
        if channel == LONG and not text.startswith(SUBJECT):
            raise WordingError(f"{path} must begin with a line `{SUBJECT}...`")
        try:
            fill(text, {}, _SAMPLE)
        except ValueError as error:
            raise WordingError(f"{path}: {error}") from None
        return text

    def _read_words(self, language: str) -> Words:
        path, text = self._read(f"{language}/words.yaml")
        try:
            found = yaml.safe_load(text) or {}
        except yaml.YAMLError as error:
            raise WordingError(f"{path} is not valid YAML: {' '.join(str(error).split())}") from None
        if not isinstance(found, dict) or not all(isinstance(words, dict) for words in found.values()):
            raise WordingError(f"{path} must have words by field, such as `severity: {{high: HIGH}}`")
        return {field: {str(id_): str(word) for id_, word in words.items()} for field, words in found.items()}


_SAMPLE = Notice.model_validate(
    {
        "alert_id": "a",
        "site_id": "s",
        "site_name": "s",
        "time_zone": "UTC",
        "kind": "k",
        "severity": "high",
        "state": "unacknowledged",
        "count": 2,
        "summary": "s",
        "where": "w",
        "who": "w",
        "device_id": "d",
        "raised_at": "2026-03-02T00:00:00Z",
        "updated_at": "2026-03-02T00:00:00Z",
        "procedure": "p",
        "led_to": [{"at": "2026-03-02T00:00:00Z", "text": "t"}],
        "also": [{"at": "2026-03-02T00:00:00Z", "text": "t"}],
        "more": 1,
    }
)
