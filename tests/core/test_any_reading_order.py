"""However far apart topics are read: every message of a controller counts once, and its doors are as it said last."""

from __future__ import annotations

from collections import defaultdict
from typing import Any

from hypothesis import given
from hypothesis import strategies as st

from schemas.registry import topic_of
from streams.core.admission import DeviceHeard
from tests.core.world import World, event, of_type, request

_OPENED, _CLOSED, _HEARTBEAT, _ASKED, _TAMPERED = "door_opened", "door_closed", "heartbeat", "ask", "tamper"
_SENT = st.lists(
    st.tuples(
        st.sampled_from([_OPENED, _CLOSED, _HEARTBEAT, _ASKED, _TAMPERED]),
        st.sampled_from([1, 1, 1, 700]),
        st.sampled_from([False, False, False, True]),
    ),
    min_size=1,
    max_size=25,
)
"""Each message: what it is, how much higher its number is than the one before, and whether it follows a restart."""


def messages(sent: list[tuple[str, int, bool]]) -> tuple[dict[str, list[dict[str, Any]]], bool | None]:
    """What a controller sends, by topic, each with the second of its appending; and whether its door is open then."""
    lanes: dict[str, list[dict[str, Any]]] = defaultdict(list)
    boot, sequence, is_open, told = 1, 0, False, None
    for second, (what, step, restarts) in enumerate(sent):
        boot, sequence = (boot + 1, 1) if restarts else (boot, sequence + step)
        number = {"boot": boot, "sequence": sequence}
        if what in {_OPENED, _CLOSED}:
            told = is_open = what == _OPENED
            fields = event(what, **number)
        elif what == _HEARTBEAT:
            told = is_open
            doors = [{"door_id": "front", "mode": "locked", "mode_epoch": 0, "open": is_open}]
            fields = event(what, doors=doors, **number)
        else:
            fields = request(at="lab-in", **number) if what == _ASKED else event(what, **number)
        lanes[topic_of(fields["type"])].append({"second": second, **fields})
    return lanes, told


@given(_SENT, st.data())
def test_topics_that_are_read_in_any_order_lose_and_double_nothing(
    sent: list[tuple[str, int, bool]], data: st.DataObject
) -> None:
    lanes, told = messages(sent)
    world = World()
    admitted = 0
    while lanes:
        topic = data.draw(st.sampled_from(sorted(lanes)))
        again = data.draw(st.booleans())
        fields = lanes[topic].pop(0)
        if not lanes[topic]:
            del lanes[topic]
        age_s = len(sent) - fields.pop("second")
        for repeat in (False, True)[: 1 + again]:
            heard = len(world.heard)
            found = world.send(fields, age_s=age_s)
            assert of_type(found, "message_refused") == []
            assert [one for one in found if getattr(one, "reason", None) == "replayed_request"] == []
            (one,) = world.heard[heard:]
            assert isinstance(one, DeviceHeard)
            assert one.again is repeat
            admitted += not one.again
    assert admitted == len(sent)
    door = world.state.get("door/front")
    assert (door.open if door is not None else None) == told
