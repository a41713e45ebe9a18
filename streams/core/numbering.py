"""Which of two messages of a controller it sent later, whatever came first.

Topics are read side by side, so that a heartbeat may come after a door event that was sent later.
"""

from __future__ import annotations

import msgspec

from schemas.base import DeviceMessage
from streams.core import reference
from streams.core.processor import Context


class MessageNumber(msgspec.Struct, frozen=True, gc=False, array_like=True):
    """Which message of which controller a door's state was told by; of one controller the highest is the newest."""

    device_id: str = ""
    key_version: int = -1
    boot: int = -1
    sequence: int = -1

    def follows(self, other: MessageNumber) -> bool:
        """Whether it was sent after another one; what a door's controller before this one said is always older."""
        if self.device_id != other.device_id:
            return True
        mine = (self.key_version, self.boot, self.sequence)
        return mine > (other.key_version, other.boot, other.sequence)


NO_MESSAGE = MessageNumber()


def number_of(message: DeviceMessage, context: Context) -> MessageNumber:
    """Which message it is; a swapped controller begins anew under a key of its own."""
    device = reference.device(context.references, message.device_id)
    key_version = device.key_version if device is not None else 0
    return MessageNumber(message.device_id, key_version, message.boot, message.sequence)
