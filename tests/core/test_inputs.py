"""The processors together: what each reads of what."""

from __future__ import annotations

from collections import Counter

from schemas.topics import registry
from streams.core.alerts import AlertsProcessor
from streams.core.devices import DevicesProcessor
from streams.core.everywhere import LockoutsProcessor
from streams.core.notifications import NotifyProcessor
from streams.core.site import SiteProcessor

PROCESSORS = (SiteProcessor, DevicesProcessor, AlertsProcessor, LockoutsProcessor, NotifyProcessor)


def test_what_nobody_can_decode_becomes_one_dead_letter() -> None:
    kept = Counter(
        topic
        for processor in PROCESSORS
        for topic in processor.inputs
        if topic not in getattr(processor, "overhears", frozenset())
    )
    assert set(kept.values()) == {1}, "more than one processor makes dead letters of the same topic"
    read = {topic for processor in PROCESSORS for topic in processor.inputs}
    assert read == set(kept), "nobody keeps what can't be decoded"
    assert {topic for topic in read if f"{topic}.dead" not in registry()} == set()
