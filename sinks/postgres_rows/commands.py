"""Each command with its state."""

from __future__ import annotations

from schemas.commands import Command, Probe
from schemas.devices import CommandResult
from schemas.record import Record
from sinks.commands import state_of
from sinks.postgres_rows.table import Maker, Row, Table
from sinks.reading import appended_at, is_uuid, within

RANKS = {"sent": 0, "delivered": 1, "expired": 2, "superseded": 2, "failed": 2, "confirmed": 3}
"""A command's state only moves to one of a higher rank."""
_COMMAND_FACTS = {
    "command_id": "uuid",
    "device_id": "text",
    "site_id": "text",
    "type": "text",
    "door_id": "text",
    "decision_id": "uuid",
    "operator_request_id": "text",
    "sequence": "bigint",
    "issued_at": "timestamptz",
}
_COMMAND_STATE = {"state": "text", "state_rank": "smallint", "state_at": "timestamptz", "failure": "text"}
_FACTS = len(_COMMAND_FACTS)
_TYPE, _RANK = 3, _FACTS + 1


def _merge_commands(old: Row, new: Row) -> Row:
    facts = new if old[_TYPE] is None and new[_TYPE] is not None else old
    state = new if new[_RANK] > old[_RANK] else old
    return facts if facts is state else facts[:_FACTS] + state[_FACTS:]


COMMANDS = Table(
    "commands",
    _COMMAND_FACTS | _COMMAND_STATE,
    ("command_id", "device_id", "incarnation"),
    # A result may be read before its command: the command brings the facts, and the state only moves forward.
    "do update set "
    + ", ".join(
        f"{fact} = coalesce(commands.{fact}, excluded.{fact})"
        for fact in _COMMAND_FACTS
        if fact not in {"command_id", "device_id", "site_id"}
    )
    + "".join(
        f", {column} = case when excluded.state_rank > commands.state_rank then excluded.{column} "
        f"else commands.{column} end"
        for column in _COMMAND_STATE
    )
    + " where excluded.state_rank > commands.state_rank or (commands.type is null and excluded.type is not null)",
    _merge_commands,
)


def _command(message: Command, _record: Record) -> Row:
    # Commands of different types have different fields: those of a door's mode follow no request.
    return (
        message.command_id,
        message.device_id,
        message.site_id,
        getattr(message, "type", None),
        getattr(message, "door_id", None),
        getattr(message, "decision_id", None),
        getattr(message, "operator_request_id", None),
        getattr(message, "sequence", None),
        within(message.issued_at),
        "sent",
        RANKS["sent"],
        within(message.issued_at),
        None,
    )


def result_row(message: CommandResult, record: Record) -> Row | None:
    """What a result moves: the state alone, for its command brings the facts."""
    if not is_uuid(message.command_id):
        return None
    state, failure = state_of(message)
    facts = (message.command_id.lower(), message.device_id, message.site_id, None, None, None, None, None, None)
    return (*facts, state, RANKS[state], appended_at(record), failure or None)


TABLES = (COMMANDS,)
MAKERS: dict[type, tuple[Maker, ...]] = {
    Command: ((COMMANDS, _command),),
    # Its answer is a heartbeat, which the device's state tells of: as a command it would be open for ever.
    Probe: (),
}
