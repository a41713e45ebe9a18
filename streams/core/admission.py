"""Which messages of controllers are listened to: theirs, signed, and not heard before.

The numbers of a boot are tracked in a window (`windows`). The same message again is decided once; the same number with
other content, a number below the window, or a lower boot is a replay. The backlog has numbers of its own (`backlog`).

Topics are read side by side: after an outage one may be read for hours of it before another. What was appended before
the message that makes it look old is none of these; whether it was seen, the numbers of its own topic know.

Every device has a token bucket. Only its own new messages empty it: what a stranger can send in its name, forged or
repeated, has another one, which bounds what is recorded of it. The backlog needs none, since a day of it comes at
once, and each of its messages passes only once.
"""

from __future__ import annotations

from enum import Enum
from hashlib import blake2b
from typing import NamedTuple

import msgspec

from schemas.base import DeviceMessage
from schemas.keys import DEVICE, derive_key
from schemas.partitioning import partition_of
from schemas.places import Device, Site
from schemas.record import Record
from schemas.rules import Policy
from schemas.signing import MAC_HEADER, key_version_of, verify
from schemas.vocabulary import Reason
from streams.core import backlog, reference
from streams.core.entities import DeviceState, TopicNumbers, device_key
from streams.core.processor import Arrival, Context, References, State
from streams.core.windows import Standing, from_bytes, slid, standing, to_bytes

WINDOW = 1024
_DIGEST_BYTES = 2
TOPIC_WINDOW = 60
"""Within a topic messages hardly overtake each other; an integer of that many bits is quick."""
_TOPICS = {"door.events": 0, "access.requests": 1, "command.results": 2, "device.events": 3}
"""Where the numbers of each lie in what is kept of a device."""
_NO_NUMBERS = (TopicNumbers(),) * len(_TOPICS)
_NO_DIGESTS = bytes(WINDOW * _DIGEST_BYTES)
BACKLOG = "access.backlog"
_LOWERED = "the key version on file is lower than one that was used, so what it signed may be a replay"
_APART = "device, site and record key don't belong together"
MISPLACED = "the record lies in another partition than its site's: choose it by murmur2 of the key"


class Verdict(Enum):
    """What becomes of a message."""

    ADMITTED = "admitted"
    DUPLICATE = "duplicate"
    FLOOD = "flood"
    REFUSED = "refused"


_ADMITTED = Verdict.ADMITTED


class Admission(msgspec.Struct, frozen=True, gc=False):
    """The verdict, the device's state after it, and why a refused one is refused."""

    verdict: Verdict
    state: DeviceState | None = None
    device: Device | None = None
    site: Site | None = None
    policy: Policy | None = None
    reason: Reason | None = None
    detail: str = ""


class DeviceHeard(msgspec.Struct, frozen=True, gc=False, tag="device_heard"):
    """A message of a device was taken, or counted against it; `again`: it had been taken before."""

    device_id: str
    state: DeviceState
    again: bool = False


class Keys:
    """Devices' keys, derived when first needed. Holds the master secret; None refuses every signature."""

    def __init__(self, master: bytes | None) -> None:
        self._master = master
        self._derived: dict[tuple[str, str, int], bytes] = {}

    def of(self, role: str, id_: str, key_version: int = 1) -> bytes | None:
        """A key, or None without a master secret."""
        found = self._derived.get((role, id_, key_version))
        if found is None and self._master is not None:
            found = self._derived[role, id_, key_version] = derive_key(self._master, role, id_, key_version)
        return found

    def signed(self, device: Device, record: Record) -> bool:
        """Whether a record carries the right mac of a device under its current key version."""
        header = record.header(MAC_HEADER)
        if header is None or key_version_of(header) != device.key_version:
            return False
        key = self.of(DEVICE, device.device_id, device.key_version)
        return key is not None and verify(key, header, record.topic, record.key, record.value, record.headers)


def admit(message: DeviceMessage, record: Record, state: State, context: Context, keys: Keys) -> Admission:
    """Listen to a message, or say why not. The order is: who it is of, the mac, the device's own flood, the number."""
    sender = sender_of(message, record, context)
    if isinstance(sender, Admission):
        return sender
    device, site, policy = sender
    heard: DeviceState = state.get(device_key(device.device_id)) or DeviceState(
        device.key_version,
        tokens=float(policy.device_burst),
        tokens_at_ms=record.timestamp_ms,
        stranger_tokens=float(policy.device_burst),
    )
    bucket = _refill(heard, policy, record.timestamp_ms)
    if site.message_authentication == "required" and (
        device.key_version < heard.key_version or not keys.signed(device, record)
    ):
        detail = f"no valid {MAC_HEADER} under key version {device.key_version}"
        if device.key_version < heard.key_version:
            detail = f"{_LOWERED}: give the device version {heard.key_version + 1} and its key"
        refused = Admission(Verdict.REFUSED, None, device, site, policy, Reason.INVALID_SIGNATURE, detail)
        return _not_its_own(refused, heard, bucket)
    if bucket.tokens < 1.0 and record.topic != BACKLOG:
        return Admission(
            Verdict.FLOOD,
            None if bucket.flooding else _with(heard, bucket._replace(flooding=True)),
            device=device,
            reason=Reason.OUT_OF_SERVICE,
            detail=f"more than {policy.device_rate_per_s} messages/s",
        )
    spent = bucket if record.topic == BACKLOG else _Bucket(bucket.tokens - 1.0, *bucket[1:])
    verdict, after, detail = _number(message, record, heard, spent, device)
    if verdict is _ADMITTED:
        return Admission(verdict, after, device, site, policy)
    reason = Reason.REPLAYED_REQUEST if verdict is Verdict.REFUSED else None
    return _not_its_own(Admission(verdict, None, device, site, policy, reason, detail), heard, bucket)


class Sender(NamedTuple):
    """Who a message says that it is of, as the references know it."""

    device: Device
    site: Site
    policy: Policy


def sender_of(message: DeviceMessage, record: Record, context: Context) -> Sender | Admission:
    """Who a message claims to be of, or the refusal where that is nobody, or the message lies elsewhere."""
    key = ("sender", message.device_id, message.site_id)
    known: Sender | None = context.references.derived.get(key)
    found = known or _on_file(message, context.references)
    if isinstance(found, str):
        return Admission(Verdict.REFUSED, reason=Reason.UNKNOWN_ACCESS_POINT, detail=found)
    if found is not known:
        reference.remember(context.references, key, found)
    if record.key != message.site_id.encode():
        return Admission(Verdict.REFUSED, reason=Reason.UNKNOWN_ACCESS_POINT, detail=_APART)
    if misplaced(message.site_id, context):
        return Admission(Verdict.REFUSED, reason=Reason.UNKNOWN_ACCESS_POINT, detail=MISPLACED)
    return found


def _on_file(message: DeviceMessage, references: References) -> Sender | str:
    """Who a message claims to be of, or why that is nobody."""
    device = reference.device(references, message.device_id)
    if device is None:
        return "the device is not on file"
    site = reference.site(references, message.site_id)
    if site is None:
        return "the site is not on file"
    policy = reference.policy(references, site.policy_id)
    if policy is None:
        return "the site's policy is not on file"
    return Sender(device, site, policy) if device.site_id == site.site_id else _APART


def source_of(arrival: Arrival, context: Context, keys: Keys) -> str | None:
    """The controller that a message is provably of: known, at its site, and signed where the site asks for that."""
    message, record = arrival.message, arrival.record
    sender = sender_of(message, record, context) if isinstance(message, DeviceMessage) else None
    if not isinstance(sender, Sender):
        return None
    if sender.site.message_authentication == "required" and not keys.signed(sender.device, record):
        return None
    return sender.device.device_id


def _not_its_own(admission: Admission, heard: DeviceState, bucket: _Bucket) -> Admission:
    """What anybody could have sent: recorded while the strangers' bucket lasts, then told once more and no longer.

    A repeat leaves nothing but a count.
    """
    if bucket.strangers >= 1.0:
        after = _with(heard, bucket._replace(strangers=bucket.strangers - 1.0))
        return msgspec.structs.replace(admission, state=after)
    if admission.verdict is Verdict.DUPLICATE:
        return msgspec.structs.replace(admission, state=heard)
    told = None if bucket.strangers_flooding else _with(heard, bucket._replace(strangers_flooding=True))
    return msgspec.structs.replace(admission, verdict=Verdict.FLOOD, state=told)


def misplaced(site_id: str, context: Context) -> bool:
    """Whether a record lies where its site's order is not kept.

    There nobody would know what was decided before, so a copy would be decided anew: refused, whoever signed it.
    """
    return context.partitions > 0 and partition_of(site_id, context.partitions) != context.partition


class _Bucket(NamedTuple):
    """What a device, and what others in its name, may still send, as of when, and whether too much was told of."""

    tokens: float
    at_ms: int
    flooding: bool
    strangers: float
    strangers_flooding: bool


def _refill(heard: DeviceState, policy: Policy, sent_ms: int) -> _Bucket:
    """By the broker's append time: what queued up while nobody decided is no flood."""
    at_ms = max(sent_ms, heard.tokens_at_ms)
    passed = (at_ms - heard.tokens_at_ms) / 1000
    burst, more = float(policy.device_burst), passed * policy.device_rate_per_s
    tokens, strangers = min(burst, heard.tokens + more), min(burst, heard.stranger_tokens + more)
    half = burst / 2
    return _Bucket(
        tokens, at_ms, heard.flooding and tokens < half, strangers, heard.strangers_flooding and strangers < half
    )


def _with(heard: DeviceState, bucket: _Bucket) -> DeviceState:
    return msgspec.structs.replace(
        heard,
        tokens=bucket.tokens,
        tokens_at_ms=bucket.at_ms,
        flooding=bucket.flooding,
        stranger_tokens=bucket.strangers,
        strangers_flooding=bucket.strangers_flooding,
    )


def _number(
    message: DeviceMessage, record: Record, heard: DeviceState, bucket: _Bucket, device: Device
) -> tuple[Verdict, DeviceState, str]:
    digest = blake2b(record.value or b"", digest_size=_DIGEST_BYTES).digest()
    if heard.key_version < device.key_version:
        # A swapped controller: its boots and numbers start afresh under its own key.
        heard, bucket = DeviceState(device.key_version), bucket._replace(flooding=False)
    if record.topic == BACKLOG:
        return _backlog_number(message, record, _with(heard, bucket), digest)
    appended_ms, boot_ms, highest_ms = record.timestamp_ms, heard.boot_ms, heard.highest_ms
    if message.boot < heard.boot:
        return _overtaken(
            message, record, heard, bucket, f"boot {message.boot} is below {heard.boot}", later=appended_ms >= boot_ms
        )
    sequence, window, highest, digests = message.sequence, 1, message.sequence, _NO_DIGESTS
    if message.boot > heard.boot:
        boot_ms = highest_ms = appended_ms
    else:
        window, digests = from_bytes(heard.window), heard.digests
        stands = standing(heard.highest, window, sequence, WINDOW)
        if stands is Standing.BELOW:
            detail = f"number {sequence} is below the window"
            return _overtaken(message, record, heard, bucket, detail, later=appended_ms >= highest_ms)
        if stands is Standing.SEEN:
            return _seen(sequence, _with(heard, bucket), digest)
        highest, window = slid(heard.highest, window, sequence, WINDOW)
        highest_ms = appended_ms if highest > heard.highest else highest_ms
    at = sequence % WINDOW * _DIGEST_BYTES
    digests = digests[:at] + digest + digests[at + _DIGEST_BYTES :]
    after = DeviceState(
        heard.key_version,
        message.boot,
        highest,
        to_bytes(window, WINDOW),
        digests,
        heard.backlog_boot,
        heard.backlog_highest,
        heard.backlog_digests,
        *bucket,
        heard.backlog_first,
        heard.backlog_earlier,
        max(heard.heard_ms, appended_ms),
        boot_ms,
        highest_ms,
        _with_number(heard.by_topic, _TOPICS[record.topic], message),
    )
    return _ADMITTED, after, ""


def _overtaken(
    message: DeviceMessage, record: Record, heard: DeviceState, bucket: _Bucket, why: str, *, later: bool
) -> tuple[Verdict, DeviceState, str]:
    """A number that looks old, for a reason; `later`: it was not appended before what makes it so."""
    after = _with(heard, bucket)
    at = _TOPICS[record.topic]
    stands = _stands((heard.by_topic or _NO_NUMBERS)[at], message)
    if later or stands is Standing.BELOW:
        return Verdict.REFUSED, after, why
    if stands is Standing.SEEN:
        return Verdict.DUPLICATE, after, ""
    return _ADMITTED, msgspec.structs.replace(after, by_topic=_with_number(heard.by_topic, at, message)), ""


def _stands(known: TopicNumbers, message: DeviceMessage) -> Standing:
    """How a message's number stands to those of its topic."""
    if message.boot == known.boot:
        return standing(known.highest, known.window, message.sequence, TOPIC_WINDOW)
    return Standing.NEW if message.boot > known.boot else Standing.BELOW


def _with_number(by_topic: tuple[TopicNumbers, ...], at: int, message: DeviceMessage) -> tuple[TopicNumbers, ...]:
    """The numbers of all topics with one more of one; what is below that topic's window leaves nothing."""
    by_topic = by_topic or _NO_NUMBERS
    known = by_topic[at]
    if _stands(known, message) is Standing.BELOW:
        return by_topic
    highest, window = message.sequence, 1
    if message.boot == known.boot:
        highest, window = slid(known.highest, known.window, message.sequence, TOPIC_WINDOW)
    return (*by_topic[:at], TopicNumbers(message.boot, highest, window), *by_topic[at + 1 :])


def _seen(sequence: int, heard: DeviceState, digest: bytes) -> tuple[Verdict, DeviceState, str]:
    at = sequence % WINDOW * _DIGEST_BYTES
    if heard.digests[at : at + _DIGEST_BYTES] == digest:
        return Verdict.DUPLICATE, heard, ""
    return Verdict.REFUSED, heard, f"number {sequence} was used before"


def _backlog_number(
    message: DeviceMessage, record: Record, heard: DeviceState, digest: bytes
) -> tuple[Verdict, DeviceState, str]:
    taken = backlog.take(heard, message.boot, message.sequence, digest)
    if isinstance(taken, str):
        return Verdict.REFUSED, heard, taken
    if taken is None:
        return Verdict.DUPLICATE, heard, ""
    return Verdict.ADMITTED, msgspec.structs.replace(taken, heard_ms=max(heard.heard_ms, record.timestamp_ms)), ""
