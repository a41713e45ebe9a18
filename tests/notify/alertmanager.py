"""What Alertmanager's documents say of its forms, checked strictly: its OpenAPI (v2) and its webhooks (version 4)."""

from __future__ import annotations

import re
from datetime import datetime
from typing import Any

import jsonschema

_LABELS = {
    "type": "object",
    "minProperties": 1,
    "propertyNames": {"pattern": "^[a-zA-Z_][a-zA-Z0-9_]*$"},
    "additionalProperties": {"type": "string", "minLength": 1},
    "required": ["alertname"],
}
_ANNOTATIONS = {
    "type": "object",
    "propertyNames": {"pattern": "^[a-zA-Z_][a-zA-Z0-9_]*$"},
    "additionalProperties": {"type": "string"},
}
_TIME = {"type": "string", "pattern": r"^\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d(\.\d+)?(Z|[+-]\d\d:\d\d)$"}
POSTABLE = {
    "type": "array",
    "minItems": 1,
    "items": {
        "type": "object",
        "additionalProperties": False,
        "required": ["labels"],
        "properties": {
            "labels": _LABELS,
            "annotations": _ANNOTATIONS,
            "startsAt": _TIME,
            "endsAt": _TIME,
            "generatorURL": {"type": "string", "format": "uri"},
        },
    },
}
"""`postableAlerts` of the API v2."""

_STATUS = {"enum": ["firing", "resolved"]}
_PLAIN = {"type": "object", "additionalProperties": {"type": "string"}}
WEBHOOK = {
    "type": "object",
    "additionalProperties": False,
    "required": [
        "version",
        "groupKey",
        "truncatedAlerts",
        "status",
        "receiver",
        "groupLabels",
        "commonLabels",
        "commonAnnotations",
        "externalURL",
        "alerts",
    ],
    "properties": {
        "version": {"const": "4"},
        "groupKey": {"type": "string", "minLength": 1},
        "truncatedAlerts": {"type": "integer", "minimum": 0},
        "status": _STATUS,
        "receiver": {"type": "string", "minLength": 1},
        "groupLabels": _PLAIN,
        "commonLabels": _PLAIN,
        "commonAnnotations": _PLAIN,
        "externalURL": {"type": "string"},
        "alerts": {
            "type": "array",
            "minItems": 1,
            "items": {
                "type": "object",
                "additionalProperties": False,
                "required": [
                    "status",
                    "labels",
                    "annotations",
                    "startsAt",
                    "endsAt",
                    "generatorURL",
                    "fingerprint",
                ],
                "properties": {
                    "status": _STATUS,
                    "labels": _LABELS,
                    "annotations": _ANNOTATIONS,
                    "startsAt": _TIME,
                    "endsAt": _TIME,
                    "generatorURL": {"type": "string"},
                    "fingerprint": {"type": "string", "pattern": "^[0-9a-f]{16}$"},
                },
            },
        },
    },
}
"""What webhook receivers are sent."""


class Alertmanager:
    """Keeps alerts as Alertmanager does: by their labels, until they end."""

    def __init__(self) -> None:
        self.ends: dict[frozenset[tuple[str, str]], datetime] = {}

    def post(self, body: Any) -> None:
        """`POST /api/v2/alerts`; fails as the API answers 400."""
        jsonschema.Draft202012Validator(POSTABLE).validate(body)
        for alert in body:
            starts, ends = (datetime.fromisoformat(alert[name]) for name in ("startsAt", "endsAt"))
            assert starts <= ends, "start time must be before end time"
            assert not any(re.search(r"[\x00-\x08]", value) for value in alert["labels"].values())
            self.ends[frozenset(alert["labels"].items())] = ends

    def active(self, at: datetime) -> list[dict[str, str]]:
        """The labels of what is active at a time."""
        return [dict(labels) for labels, end in self.ends.items() if end > at]
