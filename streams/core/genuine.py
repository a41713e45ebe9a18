"""Whether a controller's message is its own, for those who keep no state: what was heard before is for the site."""

from __future__ import annotations

from collections.abc import Callable
from functools import lru_cache

from schemas.base import DeviceMessage
from schemas.doors import DoorEvent
from schemas.keys import DEVICE, derive_key
from schemas.record import Record
from schemas.signing import KEYS_KEPT, MAC_HEADER, key_version_of, verify
from streams.core import reference
from streams.core.processor import References, ReferenceTable

_ENTITIES = ("site", "device", "door")


class Genuine:
    """Tells the messages that controllers sent from those that others sent in their name.

    A mac is judged under the key version that it names, whatever holds now: what is recorded again after a controller
    was swapped is what was recorded then. `tables` are the references that are asked; nothing is known before `follow`.
    """

    def __init__(self, master: bytes, tables: tuple[ReferenceTable, ...]) -> None:
        self.tables = tuple(table for table in tables if table.entity in _ENTITIES)
        self._references: References | None = None
        # A stranger may name any device: only so many keys are kept.
        self._key: Callable[[str, int], bytes] = lru_cache(KEYS_KEPT)(
            lambda device_id, version: derive_key(master, DEVICE, device_id, version)
        )

    def follow(self, references: References) -> None:
        """Ask these from now on."""
        self._references = references

    def __call__(self, message: DeviceMessage, record: Record) -> bool:
        """Whether a message is of the controller that it names, and about what belongs to it."""
        if record.key != message.site_id.encode():
            return False
        return self._belongs(message) and (self._signed(message, record) or self._may_be_unsigned(message.site_id))

    def _signed(self, message: DeviceMessage, record: Record) -> bool:
        header = record.header(MAC_HEADER)
        version = key_version_of(header)
        if header is None or version is None:
            return False
        key = self._key(message.device_id, version)
        return verify(key, header, record.topic, record.key, record.value, record.headers)

    def _may_be_unsigned(self, site_id: str) -> bool:
        site = reference.site(self._references, site_id) if self._references is not None else None
        return site is not None and site.message_authentication == "off"

    def _belongs(self, message: DeviceMessage) -> bool:
        """Nothing on file says that the device is another site's, or the door another controller's."""
        if self._references is None:
            return True
        device = reference.device(self._references, message.device_id)
        if device is not None and device.site_id != message.site_id:
            return False
        door = reference.door(self._references, message.door_id) if isinstance(message, DoorEvent) else None
        return door is None or door.device_id == message.device_id
