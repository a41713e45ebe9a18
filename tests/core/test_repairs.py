"""Faults of devices: diagnosed, awaited to recover, and repaired (A5, D3)."""

from __future__ import annotations

from datetime import UTC, datetime
from typing import Any

import msgspec
import pytest

from schemas.keys import OPERATOR, derive_key
from schemas.registry import decode
from schemas.rules import Policy, SingleMethod
from schemas.signing import NONCE_HEADER, NOT_AFTER_HEADER, sign
from schemas.vocabulary import FactorKind
from tests.core.plant import Plant
from tests.core.world import MASTER

RIGHTS = {"op-7": ["repair_devices"], "op-1": ["repair_devices", "force_repairs"], "op-12": ["unlock"]}
TIMES = {"probe_every_s": 0, "recovery_s": 600, "verify_within_s": 60, "observe_s": 120}


class Workshop(Plant):
    """A plant with operators: op-7 repairs, op-1 may force, op-12 has other rights."""

    def __init__(self, **how: Any) -> None:
        self._asked = 0
        super().__init__(**{"monitoring": TIMES, **how})

    def monitor(self, **monitoring: Any) -> None:
        """The policy's `monitoring`, and its operators."""
        rights = [{"operator_id": who, "rights": rights} for who, rights in RIGHTS.items()]
        methods = [SingleMethod(factor=FactorKind.CARD)]
        fields = {"policy_id": "usual", "methods": methods, "monitoring": monitoring, "operators": rights}
        self.put(Policy.model_validate(fields))

    def ask(self, type_: str, case_id: str, *, operator: str = "op-7", device: str = "c1", **fields: Any) -> str | None:
        """An operator's signed request; the code of its refusal, None where it is accepted."""
        self._asked += 1
        now_s = self.harness.clock.now_ms() / 1000
        message = {"type": f"repair_{type_}_requested", "request_id": f"r-{self._asked}", "site_id": "hq"}
        message |= {"operator_id": operator, "occurred_at": datetime.fromtimestamp(now_s, UTC).isoformat()}
        value = msgspec.json.encode({**message, "device_id": device, "case_id": case_id, **fields})
        end = datetime.fromtimestamp(now_s + 60, UTC).isoformat()
        own = ((NOT_AFTER_HEADER, end.encode()), (NONCE_HEADER, f"n-{self._asked}".encode()))
        topic = "operator.requests"
        mac = sign(derive_key(MASTER, OPERATOR, operator), 1, topic, b"hq", value, own)
        self.harness.publish(topic, "hq", value, (*own, mac))
        self.harness.run_until_idle()
        answer = decode("access.decisions", self.harness.outputs("access.decisions")[-1].value)
        return getattr(answer, "code", None)

    def exceptions(self, device: str | None = None) -> list[Any]:
        """All that was told of exceptions."""
        found = [decode("exceptions", record.value) for record in self.harness.outputs("exceptions")]
        return [one for one in found if device in (None, one.device_id)]

    def steps(self, device: str | None = None) -> list[str]:
        """The steps of exceptions."""
        return [one.step for one in self.exceptions(device)]

    def answer(self, device: str = "c1", **fields: Any) -> list[str]:
        """A device's answer to the last probe that it got."""
        return self.tell("heartbeat", device, probe_id=self.probes(device)[-1]["command_id"], **fields)

    def case(self) -> str:
        """The id of the last exception."""
        return str(self.exceptions()[-1].case_id)

    def steps_of(self, code: str) -> list[str]:
        """The steps of the exceptions of one fault."""
        return [one.step for one in self.exceptions() if one.cause == f"fault/{code}"]


@pytest.mark.branch("A5.07", "M2.18")
def test_a_fault_is_a_device_exception_with_a_diagnosis_and_so_is_the_state_that_tells_of_it() -> None:
    with Workshop() as shop:
        shop.tell("fault", code="reader_lost", detail="reader 1")
        (told,) = shop.exceptions()
        assert (told.step, told.cause, told.nature, told.detail) == (
            "diagnosed",
            "fault/reader_lost",
            "transient",
            "reader 1",
        )
        assert (told.recover_by - told.began_at).total_seconds() == 900, "the usual table knows this code"
        diagnosis = shop.state()["diagnosis"]
        assert (diagnosis["case_id"], diagnosis["nature"]) == (told.case_id, "transient")
        assert diagnosis["remedy"] == told.remedy != ""


@pytest.mark.branch("A5.08")
def test_a_transient_fault_that_is_cleared_in_time_ends_without_a_repair_case() -> None:
    with Workshop() as shop:
        shop.tell("fault", code="odd")
        shop.beat(585)
        assert shop.steps() == ["diagnosed"]
        shop.tell("fault_cleared", code="odd")
        shop.beat(600)
        assert shop.steps() == ["diagnosed", "recovered"]
        assert shop.exceptions()[-1].opened_at is None


@pytest.mark.branch("A5.09", "M2.19")
def test_a_fault_that_does_not_recover_in_time_is_permanent_and_opens_a_case_exactly_then() -> None:
    with Workshop() as shop:
        shop.tell("fault", code="odd")
        shop.beat(615)
        assert shop.steps() == ["diagnosed", "opened"]
        opened = shop.exceptions()[-1]
        assert opened.nature == "permanent"
        assert (opened.opened_at - opened.began_at).total_seconds() == 600


@pytest.mark.branch("A5.09", "M2.19")
def test_a_permanent_fault_opens_a_case_at_once_by_the_table_of_its_type() -> None:
    table = [{"code": "odd*", "nature": "permanent", "remedy": "Swap it."}]
    with Workshop(monitoring={**TIMES, "faults": table}) as shop:
        shop.tell("fault", code="odd_one")
        assert shop.steps() == ["diagnosed", "opened"]
        assert shop.exceptions()[-1].remedy == "Swap it."
        shop.tell("fault", code="lock_jammed")
        assert shop.steps()[2:] == ["diagnosed", "opened"], "the usual table stands behind it"


@pytest.mark.branch("A5.10", "A5.11", "M2.20", "D3.10")
def test_a_case_is_assigned_repaired_resynced_verified_and_closed_and_the_state_follows() -> None:
    with Workshop() as shop:
        shop.tell("fault", code="lock_jammed")
        case = shop.case()
        assert shop.ask("assign", case, assigned_to="fitter-2", reason="part in store") is None
        assert shop.state()["faults"][0]["code"] == "lock_jammed"
        shop.tell("fault_cleared", code="lock_jammed")
        assert shop.state()["faults"] == []
        shop.wait(1)
        assert shop.answer() == ["probe_answered"]
        shop.beat(135)
        steps = ["diagnosed", "opened", "assigned", "repaired", "resynced", "verified", "closed"]
        assert shop.steps() == steps
        assert {one.case_id for one in shop.exceptions()} == {case}
        assigned = shop.exceptions()[2]
        assert (assigned.assigned_to, assigned.operator_id, assigned.comment) == ("fitter-2", "op-7", "part in store")
        closed = shop.exceptions()[-1]
        assert (closed.state, closed.active) == ("closed", False)
        assert shop.kept().repairs == {}


def test_who_reports_a_repair_while_the_device_still_has_the_fault_gets_the_case_back() -> None:
    with Workshop() as shop:
        shop.tell("fault", code="lock_jammed")
        case = shop.case()
        shop.ask("assign", case, assigned_to="fitter-2")
        assert shop.ask("done", case, result="oiled") is None
        shop.wait(1)
        shop.answer(faults=[{"code": "lock_jammed"}])
        last = shop.exceptions()[-1]
        assert (last.step, last.state, last.assigned_to, last.active) == ("reopened", "assigned", "fitter-2", True)


def test_a_fault_that_comes_back_while_it_is_watched_goes_on_with_the_same_case() -> None:
    with Workshop() as shop:
        shop.tell("fault", code="lock_jammed")
        shop.tell("fault_cleared", code="lock_jammed")
        shop.wait(1)
        shop.answer()
        shop.tell("fault", code="lock_jammed")
        assert shop.steps()[2:] == ["repaired", "resynced", "verified", "reopened"]
        assert len({one.case_id for one in shop.exceptions()}) == 1


def test_a_repaired_device_that_does_not_answer_is_asked_again_until_it_does() -> None:
    with Workshop() as shop:
        shop.tell("fault", code="lock_jammed")
        shop.tell("fault_cleared", code="lock_jammed")
        shop.beat(195)
        assert len(shop.probes()) == 4
        assert shop.steps() == ["diagnosed", "opened", "repaired"]
        shop.answer()
        assert shop.steps()[3:] == ["resynced", "verified"]


@pytest.mark.parametrize(
    ("type_", "fields", "code"),
    [
        ("assign", {"operator": "op-12", "assigned_to": "me"}, "no_right"),
        ("close", {"result": "junk"}, "still_active"),
        ("close", {"result": "junk", "force": True}, "no_right"),
        ("done", {"result": "junk", "device": "c9"}, "unknown_repair"),
        ("close", {"operator": "op-1", "force": True}, "not_possible"),
    ],
)
def test_what_an_operator_may_not_do_is_refused_and_changes_nothing(
    type_: str, fields: dict[str, Any], code: str
) -> None:
    with Workshop() as shop:
        shop.tell("fault", code="lock_jammed")
        assert shop.ask(type_, shop.case(), **fields) == code
        assert shop.ask("assign", "no such case", assigned_to="me") == "unknown_repair"
        assert shop.steps() == ["diagnosed", "opened"]


def test_a_case_that_was_closed_by_force_opens_no_other_until_the_fault_was_gone() -> None:
    with Workshop() as shop:
        shop.tell("fault", code="lock_jammed")
        assert shop.ask("close", shop.case(), operator="op-1", force=True, result="door walled up") is None
        assert shop.exceptions()[-1].forced
        shop.beat(30, faults=[{"code": "lock_jammed"}])
        shop.harness.restart()
        shop.beat(30)
        assert shop.steps() == ["diagnosed", "opened", "closed"]
        shop.tell("fault_cleared", code="lock_jammed")
        shop.tell("fault", code="lock_jammed")
        assert shop.steps()[3:] == ["diagnosed", "opened"]


def test_the_silence_of_most_controllers_of_a_site_opens_no_case_of_each() -> None:
    table = [{"code": "controller_offline", "nature": "transient", "recovery_s": 300}]
    with Workshop(devices=4, monitoring={**TIMES, "faults": table}) as shop:
        shop.beat(30, "c1", "c2", "c3", "c4")
        shop.beat(900, "c4")
        assert shop.steps() == ["diagnosed"] * 3
        shop.beat(600, "c2", "c3", "c4")
        assert shop.steps("c1") == ["diagnosed", "opened"]
        assert shop.steps("c2") == ["diagnosed", "recovered"]


def test_a_device_that_is_taken_out_of_service_leaves_no_open_case() -> None:
    with Workshop() as shop:
        shop.tell("fault", code="lock_jammed")
        device = next(one for one in shop.harness.broker.records("reference.device"))
        value = msgspec.json.decode(device.value or b"") | {"status": "inactive"}
        shop.harness.publish("reference.device", "c1", msgspec.json.encode(value))
        shop.wait(120)
        last = shop.exceptions()[-1]
        assert (last.step, last.result) == ("closed", "the device is watched no longer")
