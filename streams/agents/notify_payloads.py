"""What programs are sent: doorstream's own JSON, and what Alertmanager sends and takes."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from hashlib import blake2b
from typing import Any

from schemas.sending import Notice, NotificationDue
from schemas.vocabulary import Severity
from streams.core.notices import Text

ACTIVE_FOR = timedelta(days=1)
"""Alertmanager takes an alert for resolved five minutes after it was last told, unless it is given an end."""
_NEVER = "0001-01-01T00:00:00Z"


def own(due: NotificationDue, text: Text) -> dict[str, Any]:
    """The JSON of channel `webhook`: the notice as it is, and its text. The same notification has the same id."""
    return {
        "version": "1",
        "notification_id": due.notification_id,
        "recipient_id": due.recipient_id,
        "step": due.step,
        "subject": text.subject,
        "text": text.body,
        "alert": due.notice.model_dump(mode="json"),
    }


def alertmanager_webhook(due: NotificationDue, text: Text) -> dict[str, Any]:
    """The JSON that Alertmanager's webhook receivers are sent, version 4."""
    notice = due.notice
    labels, annotations = _labels(notice, notice.severity), _annotations(notice, text)
    status = "resolved" if notice.over else "firing"
    return {
        "version": "4",
        "groupKey": f'{{}}:{{alert_id="{notice.alert_id}"}}',
        "truncatedAlerts": 0,
        "status": status,
        "receiver": due.recipient_id,
        "groupLabels": {"alert_id": notice.alert_id},
        "commonLabels": labels,
        "commonAnnotations": annotations,
        "externalURL": "",
        "alerts": [
            {
                "status": status,
                "labels": labels,
                "annotations": annotations,
                "startsAt": _time(notice.raised_at),
                "endsAt": _time(notice.updated_at) if notice.over else _NEVER,
                "generatorURL": "",
                "fingerprint": blake2b(notice.alert_id.encode(), digest_size=8).hexdigest(),
            }
        ],
    }


def alertmanager(due: NotificationDue, text: Text) -> list[dict[str, Any]]:
    """The JSON of `POST /api/v2/alerts`."""
    notice = due.notice
    levels = list(Severity)
    below = [level for level in levels[: levels.index(notice.severity)] if due.step != 1 and level is not Severity.LOW]
    ends: list[tuple[Severity, datetime]] = [(level, notice.updated_at) for level in below]
    ends.append((notice.severity, notice.updated_at if notice.over else notice.updated_at + ACTIVE_FOR))
    return [
        {
            "labels": _labels(notice, level),
            "annotations": _annotations(notice, text),
            "startsAt": _time(notice.raised_at),
            "endsAt": _time(end),
        }
        for level, end in ends
    ]


def _labels(notice: Notice, severity: Severity) -> dict[str, str]:
    """What identifies an alert. A raised one is another one there, so the one of the severity before is ended."""
    found = {
        "alertname": notice.kind,
        "alert_id": notice.alert_id,
        "site": notice.site_id,
        "device": notice.device_id or "",
        "severity": severity.value,
        "source": "doorstream",
    }
    return {name: value for name, value in found.items() if value}


def _annotations(notice: Notice, text: Text) -> dict[str, str]:
    found = {
        "summary": notice.summary,
        "description": text.body,
        "where": notice.where,
        "procedure": notice.procedure,
    }
    return {name: value for name, value in found.items() if value}


def _time(moment: datetime) -> str:
    return moment.astimezone(UTC).isoformat(timespec="milliseconds").replace("+00:00", "Z")
