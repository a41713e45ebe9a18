"""What was answered to operators."""

from __future__ import annotations

from schemas.operators import OperatorRequestAccepted, OperatorRequestRefused
from schemas.record import Record
from sinks.postgres_rows.table import Maker, Row, Table
from sinks.reading import within

OPERATOR_REQUESTS = Table(
    "operator_requests",
    {
        "site_id": "text",
        "request_id": "text",
        "operator_id": "text",
        "request_type": "text",
        "answer": "text",
        "code": "text",
        "detail": "text",
        "decided_at": "timestamptz",
    },
    ("site_id", "request_id", "answer", "incarnation"),
)


def _accepted(message: OperatorRequestAccepted, _record: Record) -> Row:
    who = (message.site_id, message.request_id, message.operator_id, message.request_type)
    return (*who, "accepted", None, None, within(message.decided_at))


def _refused(message: OperatorRequestRefused, _record: Record) -> Row:
    who = (message.site_id, message.request_id, message.operator_id, message.request_type)
    return (*who, "refused", message.code, message.detail, within(message.decided_at))


TABLES = (OPERATOR_REQUESTS,)
MAKERS: dict[type, tuple[Maker, ...]] = {
    OperatorRequestAccepted: ((OPERATOR_REQUESTS, _accepted),),
    OperatorRequestRefused: ((OPERATOR_REQUESTS, _refused),),
}
