"""The system behind `doorstream lockdown` in memory: a site answers what is asked, and what it told is read."""

from __future__ import annotations

import json
from collections.abc import AsyncIterator, Sequence
from types import SimpleNamespace
from typing import Any

import pytest

from schemas.operators import OperatorRequest
from schemas.record import Record
from schemas.reference import ENTITIES
from streams import cli
from streams.commands import doors, finding_lockdowns, lockdown
from tests.core.emergency import Site

_ANSWERS = {"operator_request_accepted", "operator_request_refused"}
_TOPICS = {entity.name: entity.topic for entity in ENTITIES}


class LockdownDesk:
    """`run` is the command line; `site` stands behind it. Nobody is at the terminal to be asked."""

    def __init__(
        self, site: Site, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str], dsn: str = ""
    ) -> None:
        self.site = site
        self._patch, self._capsys = monkeypatch, capsys
        monkeypatch.setenv("DOORSTREAM_KAFKA", "127.0.0.1:9")
        monkeypatch.setenv("DOORSTREAM_POSTGRES", dsn)
        monkeypatch.setattr(finding_lockdowns, "read_topics", self._read)
        monkeypatch.setattr(doors, "read_topics", self._read)
        for module in (lockdown, doors):
            monkeypatch.setattr(module, "send_and_await", self._ask)

    def run(self, *args: str, group: str = "lockdown") -> tuple[object, str, str]:
        """Run `doorstream lockdown ...`, or commands of another group: the exit code, stdout and stderr."""
        self._patch.setattr("sys.argv", ["doorstream", group, *args])
        with pytest.raises(SystemExit) as ended:
            cli.main()
        said = self._capsys.readouterr()
        return ended.value.code, said.out, said.err

    async def _ask(self, _settings: Any, request: OperatorRequest) -> dict[str, Any]:
        found = self.site.operator(json.loads(request.to_json()), nonce=request.request_id, signer=request.operator_id)
        answer = next(one for one in found if one.type in _ANSWERS)
        fields: dict[str, Any] = json.loads(answer.to_json())
        return fields

    async def _read(self, _options: Any, topics: Sequence[str], **_how: Any) -> AsyncIterator[Any]:
        for record in records_of(self.site):
            if record.topic in topics:
                yield SimpleNamespace(topic=record.topic, key=record.key, value=record.value)


def records_of(site: Site) -> list[Record]:
    """What is on the topics: the reference data as they are now, and everything that the site has published."""
    found: list[tuple[str, bytes | None, bytes | None]] = [
        (_TOPICS[entity], id_.encode(), message.to_json())
        for entity, rows in site.references.rows.items()
        if entity in _TOPICS
        for id_, (_, message) in rows.items()
    ]
    found += [(one.topic, one.key, one.value) for one in site.sent]
    at_ms = site.now_ms
    return [Record(topic, 0, number, key, value, (), at_ms) for number, (topic, key, value) in enumerate(found)]
