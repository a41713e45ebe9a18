"""The `site` processor: everything at a site that must see each other's effects at once, in one order."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from schemas.access import AccessDenied, AccessRecorded, AccessRequested, MessageRefused
from schemas.base import DeviceMessage, JournalPosition
from schemas.devices import Announced, CommandConfirmed, CommandFailed, ControllerOnline, Heartbeat
from schemas.doors import DoorEvent
from schemas.envelope import type_of
from schemas.ids import derive
from schemas.operators import OperatorRequest
from schemas.record import Output, Record
from schemas.sealing import Sealer
from schemas.vocabulary import Reason
from streams.core import entities, reference, threats, verifying
from streams.core.access import decide_access
from streams.core.admission import DeviceHeard, Keys, Verdict, admit, source_of
from streams.core.convergence import (
    converging_deadline,
    decide_back,
    decide_confirmed,
    decide_heard,
    decide_late,
    decide_refused,
    decide_reported,
)
from streams.core.decoding import message_in
from streams.core.denials import refusal
from streams.core.door_alarms import decide_alarms_of_heartbeat, decide_door_alarm
from streams.core.entities import DoorState, OperatorAsked
from streams.core.evolution import Forgotten, evolve_site
from streams.core.lockdown_course import go_on, lockdown_deadline
from streams.core.lockdown_state import Lockdown
from streams.core.lockout_publication import lockout_table
from streams.core.lockout_state import Failures, Guesses, Lockout, LockoutLet
from streams.core.mode_state import TIMETABLE, Converging, Timetable
from streams.core.operator_admission import refuse_operator
from streams.core.operators import decide_operator
from streams.core.passage import decide_command_failed, decide_door_event, decide_heartbeat, decide_overdue
from streams.core.processor import Arrival, Cause, Context, Need, Outcome, State, Tick
from streams.core.publication import publish_site, scrub
from streams.core.reference_tables import FOR_DECISIONS, tables
from streams.core.threat_state import Lately, Monitored, ZoneThreat
from streams.core.times import from_ms
from streams.core.timetables import look
from streams.core.unexplained import notice_opening, tampered
from streams.core.unlocking import run_out
from streams.core.vigilance import watch

VERSION = "site-45"
"""Change it with every change of what is decided: a journal of another version is not decided again."""

INPUTS = (
    "operator.requests",
    "door.events",
    "access.requests",
    "command.results",
    "device.events",
    "access.backlog",
)


_FORGOTTEN = frozenset({OperatorAsked, Failures, Guesses, LockoutLet, Lately, Monitored})
"""What has an end in `until_ms`."""


class SiteProcessor:
    """Decides requests for access, passages and operators' requests of all sites of a partition.

    `master` is the master secret; without one no signature can be checked, so only sites with
    `message_authentication: off` work. `signed_references`: reference records count only with the administration's
    signature.
    """

    name = "site"
    version = VERSION
    inputs: tuple[str, ...] = INPUTS
    standing: tuple[str, ...] = (TIMETABLE,)

    def __init__(self, master: bytes | None, *, signed_references: bool = False) -> None:
        self.references = (
            *tables(master if signed_references else None, FOR_DECISIONS),
            lockout_table(master),
        )
        self._keys = Keys(master)
        self._sealer = Sealer.of_master(master) if master is not None else None

    def decode(self, record: Record) -> Any:
        """The message in a record."""
        return message_in(record)

    def needs(self, state: State, arrival: Arrival, context: Context) -> Sequence[Need]:
        """Missing records and secrets to be verified, of requests that would be listened to."""
        message = arrival.message
        if not isinstance(message, AccessRequested | AccessRecorded) or not verifying.may_need(message, context):
            return ()
        site = reference.site(context.references, message.site_id)
        point = reference.access_point(context.references, message.access_point_id)
        if site is None or point is None or point.site_id != site.site_id:
            return ()
        if admit(message, arrival.record, state, context, self._keys).verdict is not Verdict.ADMITTED:
            return ()
        return verifying.needs(message, arrival.record, point, site, state, context)

    def decide(self, state: State, cause: Cause, context: Context) -> Sequence[Outcome]:
        """The outcomes of a message or a deadline, and what follows for the security of the site."""
        return watch(self._decide(state, cause, context), cause, state, context)

    def _decide(self, state: State, cause: Cause, context: Context) -> Sequence[Outcome]:
        if isinstance(cause, Tick):
            if cause.key.startswith(("threat/", "monitored/")):
                return threats.run_out(cause.key, cause.deadline_ms, state, context)
            if cause.key.startswith("door/"):
                return list(decide_overdue(cause.key, max(cause.deadline_ms, context.now_ms), state, context))
            if cause.key.startswith("lockout/"):
                return list(run_out(cause.key, state, context))
            if cause.key.startswith("lockdown/"):
                return go_on(cause.key, state, context)
            if cause.key.startswith("converging/"):
                return decide_late(cause.key, max(cause.deadline_ms, context.now_ms), state, context)
            if cause.key == TIMETABLE:
                return look(cause.deadline_ms, state, context)
            return [Forgotten(cause.key)]
        message = cause.message
        if isinstance(message, AccessRequested | AccessRecorded):
            return decide_access(cause, state, context, self._keys)
        if isinstance(message, OperatorRequest):
            return list(decide_operator(cause, state, context, self._keys))
        return self._device_message(message, cause, state, context)

    def _device_message(
        self, message: DeviceMessage, cause: Arrival, state: State, context: Context
    ) -> Sequence[Outcome]:
        admission = admit(message, cause.record, state, context, self._keys)
        outcomes: list[Outcome] = []
        if admission.state is not None:
            outcomes.append(DeviceHeard(message.device_id, admission.state, admission.verdict is Verdict.DUPLICATE))
        if admission.verdict is Verdict.ADMITTED:
            outcomes += tampered(message)
            if isinstance(message, DoorEvent):
                door = reference.door(context.references, message.door_id)
                if door is None or door.device_id != message.device_id:
                    detail = f"this controller has no door {message.door_id}"
                    outcomes.append(_refused(cause, context, Reason.UNKNOWN_ACCESS_POINT, detail))
                else:
                    outcomes += notice_opening(message, door, state, cause, context)
                    outcomes += decide_door_event(message, door, state, context)
                    outcomes += decide_door_alarm(message, state, context)
            elif isinstance(message, Heartbeat):
                outcomes += decide_heartbeat(message, context)
                outcomes += decide_alarms_of_heartbeat(message, state, context)
                outcomes += decide_reported(message, state, context)
            elif isinstance(message, CommandConfirmed):
                outcomes += decide_confirmed(message, state, context)
            elif isinstance(message, CommandFailed):
                outcomes += decide_command_failed(message, state, context)
                outcomes += decide_refused(message, state, context)
            elif isinstance(message, Announced | ControllerOnline):
                outcomes += decide_back(message, state, context)
            outcomes += decide_heard(message, state, context)
        elif admission.verdict is Verdict.REFUSED or (admission.verdict is Verdict.FLOOD and outcomes):
            reason = admission.reason or Reason.OUT_OF_SERVICE
            outcomes.append(_refused(cause, context, reason, admission.detail))
        return outcomes

    evolve = staticmethod(evolve_site)

    def source(self, arrival: Arrival, context: Context) -> str | None:
        """The controller that a message is provably of."""
        return source_of(arrival, context, self._keys)

    def refuse(self, cause: Cause, context: Context, error: str) -> Sequence[Outcome]:
        """A denial where a decision failed; nothing changes."""
        if isinstance(cause, Tick):
            return []
        message = cause.message
        detail = f"the decision failed: {error}"[:500]
        if isinstance(message, AccessRequested | AccessRecorded):
            decision: AccessDenied = refusal(cause, context, Reason.OUT_OF_SERVICE, detail)
            return [decision]
        if isinstance(message, OperatorRequest):
            return [refuse_operator(message, context, "failed", detail)]
        return [_refused(cause, context, Reason.OUT_OF_SERVICE, detail)]

    def publish(self, outcome: Outcome, cause: Cause, context: Context) -> Output | None:  # noqa: ARG002
        """The record that an outcome becomes; state-only ones become none."""
        return publish_site(outcome, context, self._keys)

    def scrub(self, record: Record) -> tuple[bytes | None, str | None]:
        """A dead letter's value, sealed where it may hold a secret."""
        return scrub(record, self._sealer)

    def deadline(self, key: str, entity: Any) -> int | None:  # noqa: ARG002 - the engine's signature
        """When a door's oldest grant or a lock runs out, or what is remembered may be forgotten."""
        kind = type(entity)
        if kind is DoorState:
            return min([pending.until_ms for pending in entity.pending]) if entity.pending else None
        if kind is Lockout:
            end: int | None = entity.until_ms if entity.cause is not None else entity.forget_ms
            return end
        if kind is Lockdown:
            return lockdown_deadline(entity)
        if kind is Converging:
            return converging_deadline(entity)
        if kind is ZoneThreat or kind is Timetable:
            due: int | None = entity.due_ms
            return due
        return entity.until_ms if kind in _FORGOTTEN else None

    def encode_entity(self, entity: Any) -> bytes:
        """An entity's bytes."""
        return entities.encode(entity)

    def decode_entity(self, key: str, data: bytes) -> Any:  # noqa: ARG002
        """The entity in bytes."""
        return entities.decode(data)


def _refused(cause: Arrival, context: Context, reason: Reason, detail: str) -> MessageRefused:
    message, record = cause.message, cause.record
    return MessageRefused(
        refusal_id=derive("refusal", record.topic, record.partition, record.offset),
        site_id=message.site_id,
        device_id=message.device_id,
        message_type=type_of(message),
        topic=record.topic,
        partition=record.partition,
        offset=record.offset,
        reason=reason,
        detail=detail,
        decided_at=from_ms(context.now_ms),
        journal=JournalPosition(partition=context.partition, number=context.number),
    )
