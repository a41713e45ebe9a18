"""What controllers and operators are promised about numbers, signatures and exits, held on the whole machine."""

from __future__ import annotations

import json
from collections.abc import Iterator
from datetime import UTC, datetime
from typing import Any

import pytest

from bench.world import MASTER, Shape, references
from schemas.keys import DEVICE, OPERATOR, derive_key
from schemas.places import AccessPoint
from schemas.record import Record
from schemas.rules import OperatorRights, Policy
from schemas.signing import NONCE_HEADER, NOT_AFTER_HEADER, sign
from schemas.vocabulary import Direction
from streams.agents.metering import count_outcome
from streams.core.admission import DeviceHeard
from streams.core.alerts import AlertsProcessor
from streams.core.site import SiteProcessor
from streams.engine.harness import Harness
from streams.telemetry import DUPLICATES as TOLD

SHAPE = Shape(sites=1, devices=1, doors=1, people=2)
NUMBERS = 1024


@pytest.fixture
def site() -> Iterator[Harness]:
    """A site with one door, whose operator op-7 may unlock it; the way out is `s0-c0-d0-out`."""
    with Harness(SiteProcessor(MASTER), start=False) as harness:
        for topic, key, message in references(SHAPE):
            if isinstance(message, Policy):
                message = message.model_copy(  # noqa: PLW2901
                    update={"operators": (OperatorRights(operator_id="op-7", rights=("unlock",)),)}
                )
            harness.publish(topic, key, message.to_json())
        way_out = AccessPoint(
            access_point_id="s0-c0-d0-out",
            site_id="s0",
            door_id="s0-c0-d0",
            zone_from="s0-in",
            zone_to="s0-out",
            direction=Direction.EGRESS,
        )
        harness.publish("reference.access-point", way_out.access_point_id, way_out.to_json())
        harness.start()
        yield harness


def ask(harness: Harness, sequence: int, point: str = "s0-c0-d0-in", card: str = "s0-p0-n") -> None:
    """A signed request."""
    fields = {
        "type": "access_requested",
        "site_id": "s0",
        "device_id": "s0-c0",
        "boot": 1,
        "sequence": sequence,
        "access_point_id": point,
        "occurred_at": "2026-03-02T08:59:58.120+08:00",
        "factors": [{"kind": "card", "card_number": card}],
    }
    value = json.dumps(fields).encode()
    mac = sign(derive_key(MASTER, DEVICE, "s0-c0"), 1, "access.requests", b"s0", value)
    harness.publish("access.requests", "s0", value, (mac,))


def unlock(harness: Harness, request_id: str, nonce: bytes, signer: str = "op-7") -> None:
    """A request of op-7, under the key of `signer`."""
    fields = {
        "type": "door_unlock_requested",
        "request_id": request_id,
        "site_id": "s0",
        "operator_id": "op-7",
        "occurred_at": "2026-03-02T08:59:58.120+08:00",
        "door_id": "s0-c0-d0",
    }
    value, topic = json.dumps(fields).encode(), "operator.requests"
    end = harness.clock.now_ms() // 1000 + 20
    headers = ((NOT_AFTER_HEADER, rfc3339(end).encode()), (NONCE_HEADER, nonce))
    mac = sign(derive_key(MASTER, OPERATOR, signer), 1, topic, b"s0", value, headers)
    harness.publish(topic, "s0", value, (*headers, mac))


def rfc3339(seconds: int) -> str:
    """A time with an offset."""
    return datetime.fromtimestamp(seconds, UTC).isoformat()


def messages(records: list[Record], type_: str) -> list[dict[str, Any]]:
    """Those of one type."""
    found = [json.loads(record.value or b"null") for record in records]
    return [message for message in found if message["type"] == type_]


def test_a_whole_window_sent_again_is_decided_once(site: Harness) -> None:
    for sequence in range(1, NUMBERS + 1):
        ask(site, sequence)
    site.run_until_idle()
    decided = len(site.outputs("access.decisions"))
    for sequence in range(1, NUMBERS + 1):
        ask(site, sequence)
    site.run_until_idle()
    assert len(messages(site.outputs("access.decisions"), "access_granted")) == NUMBERS
    assert len(site.outputs("access.decisions")) == decided


@pytest.mark.parametrize("sequence", [1, NUMBERS // 2, NUMBERS])
def test_any_number_in_the_window_with_other_content_is_a_replay(site: Harness, sequence: int) -> None:
    for number in range(1, NUMBERS + 1):
        ask(site, number)
    ask(site, sequence, card="s0-p1-n")
    site.run_until_idle()
    denied = messages(site.outputs("access.decisions"), "access_denied")
    assert [(d["sequence"], d["reason"]) for d in denied] == [(sequence, "replayed_request")]


def test_what_comes_again_is_counted(site: Harness) -> None:
    heard: list[DeviceHeard] = []
    publish = site.processor.publish

    def watched(outcome: Any, cause: Any, context: Any) -> Any:
        heard.extend([outcome] if isinstance(outcome, DeviceHeard) else [])
        before = TOLD.labels("site")._value.get()
        count_outcome(outcome)
        assert TOLD.labels("site")._value.get() - before == (isinstance(outcome, DeviceHeard) and outcome.again)
        return publish(outcome, cause, context)

    site.processor.publish = watched  # type: ignore[method-assign]
    for sequence in (1, 2, 1, 2, 3):
        ask(site, sequence)
    site.run_until_idle()
    assert [one.again for one in heard] == [False, False, True, True, False]


def test_a_number_used_once_is_used_once(site: Harness) -> None:
    unlock(site, "r1", b"drawn once")
    unlock(site, "r2", b"drawn once")
    unlock(site, "r3", b"another")
    site.run_until_idle()
    decisions = site.outputs("access.decisions")
    assert [m["request_id"] for m in messages(decisions, "operator_request_accepted")] == ["r1", "r3"]
    refused = messages(decisions, "operator_request_refused")
    assert [(m["request_id"], m["code"]) for m in refused] == [("r2", "repeated")]
    assert len(site.outputs("device.commands")) == 2


def test_a_number_used_once_is_forgotten_when_its_request_has_long_ended(site: Harness) -> None:
    unlock(site, "r1", b"drawn once")
    site.run_until_idle()
    site.advance(3700, step_s=600)
    unlock(site, "r2", b"drawn once")
    site.run_until_idle()
    assert len(messages(site.outputs("access.decisions"), "operator_request_accepted")) == 2


def test_a_forged_request_of_an_operator_raises_an_alert_and_no_other_refusal_does(site: Harness) -> None:
    unlock(site, "r1", b"1", signer="op-8")
    unlock(site, "r2", b"2")
    unlock(site, "r2", b"3")
    site.run_until_idle()
    with Harness(AlertsProcessor()) as alerts:
        for record in site.outputs("access.decisions"):
            alerts.publish(record.topic, record.key, record.value, record.headers)
        alerts.run_until_idle()
        raised = messages(alerts.outputs("alerts"), "alert_raised")
    assert [(alert["kind"], alert["summary"]) for alert in raised] == [
        ("invalid_signature", "Request door_unlock_requested in the name of op-7 refused: invalid_signature")
    ]


def test_who_may_be_in_a_zone_leaves_it_without_a_remark(site: Harness) -> None:
    ask(site, 1, point="s0-c0-d0-out")
    site.run_until_idle()
    (granted,) = messages(site.outputs("access.decisions"), "access_granted")
    assert (granted["direction"], granted["failed_checks"], granted["soft_breaches"]) == ("egress", [], [])


def test_who_is_not_known_leaves_with_a_remark(site: Harness) -> None:
    ask(site, 1, point="s0-c0-d0-out", card="unheard of")
    site.run_until_idle()
    (granted,) = messages(site.outputs("access.decisions"), "access_granted")
    assert granted["failed_checks"] == granted["soft_breaches"] == ["authentication_unavailable"]


@pytest.mark.parametrize(
    ("value", "said"),
    [
        (b'{"type": "access_requested", "boot": "4711"}', "site_id: Field required"),
        (b'{"type": "4711"}', "type: Input should be 'access_requested'"),
        (b'{"type": "access_requested", "factors": [{"kind": "4711"}]}', "factors.0: 'kind' is none of 'card', 'pin'"),
        (b"4711, not JSON", "value: Invalid JSON"),
    ],
)
def test_a_dead_letter_says_what_is_wrong_and_repeats_nothing(site: Harness, value: bytes, said: str) -> None:
    site.publish("access.requests", "s0", value)
    site.run_until_idle()
    (dead,) = site.outputs("access.requests.dead")
    text = (dead.header("__connect.errors.exception.message") or b"").decode()
    assert said in text
    assert "4711" not in text
