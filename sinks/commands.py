"""What a controller's answer makes of a command, in the vocabulary's words."""

from __future__ import annotations

from schemas.devices import CommandConfirmed, CommandDelivered, CommandFailed, CommandResult

_BY_REASON = {"expired": "expired", "stale_sequence": "superseded", "stale_epoch": "superseded"}


def state_of(result: CommandResult) -> tuple[str, str]:
    """The state (`delivered`, `confirmed`, `failed`, `expired`, `superseded`) and the reason of a failure, else ``.

    A newer command or mode than this one had reached the controller before: `superseded`, not a fault.
    """
    if isinstance(result, CommandConfirmed):
        return "confirmed", ""
    if isinstance(result, CommandDelivered):
        return "delivered", ""
    reason = result.reason if isinstance(result, CommandFailed) else ""
    return _BY_REASON.get(reason, "failed"), reason
