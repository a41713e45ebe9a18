"""What programs are sent, held against the forms that they expect."""

from __future__ import annotations

import json
from datetime import timedelta
from pathlib import Path
from typing import Any

import jsonschema
import pytest

from schemas.registry import decode
from schemas.sending import NotificationDue
from streams.agents import notify_payloads
from streams.core.notices import Text
from tests.notify.alertmanager import WEBHOOK, Alertmanager

EXAMPLE = Path(__file__).parents[1] / "examples" / "doorstream.notify.sends" / "v1" / "notification_due.json"
TEXT = Text("Door held open", "The main entrance is held open.\nGo and look.")


def due(step: int = 1, **notice: Any) -> NotificationDue:
    """An attempt."""
    given = json.loads(EXAMPLE.read_text(encoding="utf-8"))
    changed = {**given, "step": step, "notice": {**given["notice"], **notice}}
    found: NotificationDue = decode("doorstream.notify.sends", json.dumps(changed).encode())
    return found


@pytest.mark.parametrize("over", [False, True])
def test_the_webhook_form_is_alertmanagers(over: bool) -> None:
    body = json.loads(json.dumps(notify_payloads.alertmanager_webhook(due(over=over), TEXT)))
    jsonschema.Draft202012Validator(WEBHOOK).validate(body)
    assert body["status"] == ("resolved" if over else "firing")


def test_an_alert_that_is_raised_is_one_alert_there_and_gone_when_it_is_over() -> None:
    target = Alertmanager()
    for step, severity in enumerate(("medium", "high", "critical"), start=1):
        told = due(step, severity=severity)
        target.post(json.loads(json.dumps(notify_payloads.alertmanager(told, TEXT))))
        (active,) = target.active(told.notice.updated_at + timedelta(hours=1))
        assert active["severity"] == severity
        assert active["alertname"] == "door_held_open"
    ended = due(0, severity="critical", over=True)
    target.post(json.loads(json.dumps(notify_payloads.alertmanager(ended, TEXT))))
    assert target.active(ended.notice.updated_at) == []


def test_empty_labels_are_left_out() -> None:
    body = notify_payloads.alertmanager(due(device_id=None, where=""), TEXT)
    Alertmanager().post(body)
    assert "device" not in body[0]["labels"]


def test_our_own_form_has_the_alert_and_its_text() -> None:
    told = due(2)
    body = json.loads(json.dumps(notify_payloads.own(told, TEXT)))
    assert (body["step"], body["subject"], body["text"]) == (2, TEXT.subject, TEXT.body)
    assert body["alert"]["alert_id"] == told.notice.alert_id
