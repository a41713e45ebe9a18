"""The text of a message: a template filled with what there is to tell, in the recipient's language and site's time.

Templates are `string.Template`. A line that begins with `[name]` is there if `name` has a value; so is what stands
between `[name]` and `[/name]` inside a line. The first line of one that has a subject is `Subject: ...`.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping
from datetime import datetime
from string import Template
from typing import NamedTuple
from zoneinfo import ZoneInfo

from schemas.sending import Line, Notice

SUBJECT = "Subject: "
LONGEST_SMS = 480
"""Characters; three long messages."""
_SPAN = re.compile(r"\[(\w+)\](.*?)\[/\1\]")
_BEGIN = re.compile(r"^\[(\w+)\]")

Words = Mapping[str, Mapping[str, str]]
"""What ids are called, by field (`severity`, `kind`) and id."""


class Text(NamedTuple):
    """A message; a short one has no subject of its own."""

    subject: str
    body: str


def fill(template: str, words: Words, notice: Notice) -> Text:
    """The message that a template makes of a notice.

    Raises:
        ValueError: the template is malformed, or names what there is not; the text says what.
    """
    values = _values(words, notice)
    lines = [_BEGIN.sub("", line, count=1) for line in template.splitlines() if _stays(line, values)]
    try:
        found = [Template(_SPAN.sub(lambda span: _span(span, values), line)).substitute(values) for line in lines]
    except KeyError as error:
        raise ValueError(f"a template names {error}: there is {', '.join(sorted(values))}") from None
    subject = ""
    if found and found[0].startswith(SUBJECT):
        subject = " ".join(found.pop(0).removeprefix(SUBJECT).split())
    return Text(subject, "\n".join(found).strip())


def _stays(line: str, values: Mapping[str, str]) -> bool:
    begin = _BEGIN.match(line)
    # `[name]` ... `[/name]` from the line's first character on is a span, not the line's condition.
    return begin is None or f"[/{begin[1]}]" in line or bool(values.get(begin[1]))


def _span(span: re.Match[str], values: Mapping[str, str]) -> str:
    return span[2] if values.get(span[1]) else ""


def _values(words: Words, notice: Notice) -> dict[str, str]:
    zone = ZoneInfo(notice.time_zone)
    others = len(notice.also) + notice.more
    return {
        "alert_id": notice.alert_id,
        "site_id": notice.site_id,
        "site_name": notice.site_name or notice.site_id,
        "time_zone": notice.time_zone,
        "kind": _word(words, "kind", notice.kind),
        "severity": _word(words, "severity", notice.severity.value),
        "summary": notice.summary,
        "where": notice.where,
        "who": notice.who,
        "device_id": notice.device_id or "",
        "raised": _local(notice.raised_at, zone, "%Y-%m-%d %H:%M:%S"),
        "time": _local(notice.raised_at, zone, "%H:%M"),
        "count": str(notice.count),
        "many": str(notice.count) if notice.count > 1 else "",
        "procedure": notice.procedure,
        "led_to": "\n".join(_lines(notice.led_to, zone)),
        "also": "\n".join(_lines(notice.also, zone)),
        "more": str(notice.more) if notice.more else "",
        "others": str(others) if others else "",
    }


def _word(words: Words, field: str, id_: str) -> str:
    return words.get(field, {}).get(id_) or id_.replace("_", " ")


def _local(moment: datetime, zone: ZoneInfo, form: str) -> str:
    return moment.astimezone(zone).strftime(form)


def _lines(found: Iterable[Line], zone: ZoneInfo) -> list[str]:
    return [f"  {_local(line.at, zone, '%H:%M:%S')}  {line.text}" for line in found]
