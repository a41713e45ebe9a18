"""Outputs on their way: per output topic partition, a batch leaves only after the one before it is acknowledged."""

from __future__ import annotations

import asyncio
from collections import deque
from collections.abc import Callable, Sequence

from schemas.record import Output
from streams.engine.deadletters import CUT_HEADER, dead_topic
from streams.engine.observer import Observer
from streams.engine.ports import TopicPartition, TransientError, Writer
from streams.engine.pulse import Pulse

BATCH_OUTPUTS = 2_000
FIRST_BACKOFF_S = 0.05
LAST_BACKOFF_S = 2.0
_KEPT_OF_HEADER = 1024

Batch = list[tuple[int, list[Output]]]
"""Outputs by journal entry number, in order."""


class _Lane:
    __slots__ = ("backoff_s", "in_flight", "queue", "single")

    def __init__(self) -> None:
        self.queue: deque[tuple[int, list[Output]]] = deque()
        self.in_flight: Batch | None = None
        self.backoff_s = FIRST_BACKOFF_S
        self.single = 0


class OutputLanes:
    """The outputs of one owned partition. `failed` is called once, with the reason, at a final failure.

    `settled` is called at each acknowledgement while it is awaited.
    """

    def __init__(
        self,
        writer: Writer,
        observer: Observer,
        pulse: Pulse,
        failed: Callable[[str], None],
        settled: Callable[[], None],
    ) -> None:
        self._writer = writer
        self._observer = observer
        self._pulse = pulse
        self._failed = failed
        self._settled = settled
        self._lanes: dict[TopicPartition, _Lane] = {}
        self._pending: dict[int, int] = {}
        self._since: dict[int, int] = {}
        self._closed = False
        self.unsent = 0
        """Outputs that are not yet acknowledged."""
        self.awaited = False
        """Whether the partition can't go on without an acknowledgement: only then is it `settled`'s business."""

    def put(self, number: int, outputs: Sequence[Output], since_ms: int | None = None) -> None:
        """Queue the outputs of a journalled entry; what can leave does.

        `since_ms` is when the entry's oldest message was appended, where how long it took is worth telling.
        """
        if self._closed or not outputs:
            return
        groups: dict[TopicPartition, list[Output]] = {}
        for output in outputs:
            groups.setdefault((output.topic, output.partition or 0), []).append(output)
        self._pending[number] = len(groups)
        if since_ms is not None:
            self._since[number] = since_ms
        self.unsent += len(outputs)
        for place, group in groups.items():
            lane = self._lanes.get(place)
            if lane is None:
                lane = self._lanes[place] = _Lane()
            lane.queue.append((number, group))
            if lane.in_flight is None:
                self._send(place, lane)
                if self._closed:
                    return

    def acknowledged(self, number: int) -> bool:
        """Whether all outputs of entries up to `number` are acknowledged."""
        return next(iter(self._pending), number + 1) > number

    def close(self) -> None:
        """Send nothing more; queued outputs are forgotten (a recovery sends them again)."""
        self._closed = True
        self._lanes.clear()
        self._pending.clear()
        self._since.clear()

    def _send(self, place: TopicPartition, lane: _Lane) -> None:
        if self._pulse.beat():
            # Somebody else may own it by now; what waits here is sent again by whoever recovers it.
            self._fail("the event loop stood still for longer than the session time-out")
            return
        batch: Batch = []
        outputs: list[Output] = []
        while lane.queue and len(outputs) < BATCH_OUTPUTS:
            if lane.single:
                batch = [self._pop_single(lane)]
                outputs = batch[0][1]
                break
            item = lane.queue.popleft()
            batch.append(item)
            outputs = item[1] if len(batch) == 1 else outputs + item[1]
        if batch:
            lane.in_flight = batch
            self._hand_over(place, lane, outputs)

    @staticmethod
    def _pop_single(lane: _Lane) -> tuple[int, list[Output]]:
        """The next output alone; what stays of its entry's group goes back."""
        lane.single -= 1
        number, group = lane.queue.popleft()
        if len(group) > 1:
            lane.queue.appendleft((number, group[1:]))
        return number, group[:1]

    def _hand_over(self, place: TopicPartition, lane: _Lane, outputs: list[Output]) -> None:
        future = asyncio.ensure_future(self._writer.append(place[0], place[1], outputs))
        future.add_done_callback(lambda done: self._acknowledge(place, lane, outputs, done))

    def _acknowledge(
        self, place: TopicPartition, lane: _Lane, outputs: list[Output], done: asyncio.Future[int]
    ) -> None:
        if self._closed or done.cancelled():
            if not done.cancelled():
                done.exception()
            return
        error = done.exception()
        if error is None:
            lane.backoff_s = FIRST_BACKOFF_S
            self._finish(place, lane)
        elif isinstance(error, TransientError):
            self._observer.retried("outputs", str(error))
            loop = asyncio.get_running_loop()
            loop.call_later(lane.backoff_s, self._again, place, lane, outputs)
            lane.backoff_s = min(lane.backoff_s * 2, LAST_BACKOFF_S)
        elif isinstance(error, ValueError):
            self._refused(place, lane, outputs, error)
        else:
            self._fail(f"outputs to {place[0]}/{place[1]}: {type(error).__name__}: {error}")

    def _fail(self, reason: str) -> None:
        self._closed = True
        self._failed(reason)

    def _again(self, place: TopicPartition, lane: _Lane, outputs: list[Output]) -> None:
        if not self._closed:
            self._hand_over(place, lane, outputs)

    def _finish(self, place: TopicPartition, lane: _Lane) -> None:
        batch, lane.in_flight = lane.in_flight or [], None
        for number, group in batch:
            self.unsent -= len(group)
            # A group that was split counts once, when its last part is through.
            if lane.queue and lane.queue[0][0] == number:
                continue
            since_ms = self._since.get(number)
            if since_ms is not None:
                self._observer.acknowledged(place[0], since_ms)
            self._count_down(number)
        if lane.queue:
            self._send(place, lane)
        if self.awaited:
            self._settled()

    def _count_down(self, number: int) -> None:
        left = self._pending.get(number, 0) - 1
        if left > 0:
            self._pending[number] = left
        else:
            self._pending.pop(number, None)
            self._since.pop(number, None)

    def _refused(self, place: TopicPartition, lane: _Lane, outputs: list[Output], error: ValueError) -> None:
        """The broker takes this batch never: find the record that is to blame and let a cut form stand for it."""
        batch = lane.in_flight or []
        if len(outputs) > 1:
            lane.in_flight = None
            lane.queue.extendleft(reversed(batch))
            lane.single = len(outputs)
            self._send(place, lane)
            return
        output = outputs[0]
        cut = cut_output(output, error)
        if cut is None:
            self._fail(f"{place[0]}/{place[1]} takes not even the cut form of a record: {error}")
            return
        self._observer.dead_letter(output.topic, place[1], -1, "publish", type(error).__name__)
        if (cut.topic, cut.partition) == place:
            lane.in_flight = [(batch[0][0], [cut])]
            self._hand_over(place, lane, [cut])
            return
        number = batch[0][0]
        self._pending[number] = self._pending.get(number, 0) + 1
        self.unsent += 1
        other = self._lanes.setdefault((cut.topic, cut.partition or 0), _Lane())
        other.queue.append((number, [cut]))
        if other.in_flight is None:
            self._send((cut.topic, cut.partition or 0), other)
        self._finish(place, lane)


def cut_output(output: Output, error: ValueError) -> Output | None:
    """What stands for a record that the broker never takes: its dead letter without the value; None if cut already.

    The whole of it can be had by deciding its journal entry again, which its position header names.
    """
    if any(name == CUT_HEADER and data.endswith(b" all") for name, data in output.headers):
        return None
    size = len(output.value or b"")
    kept = tuple(
        (name, data)
        for name, data in output.headers
        if name.startswith(("__connect.", "doorstream-")) and len(data) <= _KEPT_OF_HEADER
    )
    topic = output.topic if output.topic.endswith(dead_topic("")) else dead_topic(output.topic)
    why = (
        (CUT_HEADER, f"{size} all".encode()),
        ("__connect.errors.stage", b"publish"),
        ("__connect.errors.exception.class.name", type(error).__name__.encode()),
    )
    key = None if output.key is None else output.key[:_KEPT_OF_HEADER]
    return Output(topic, key, None, (*kept, *why), output.partition, output.timestamp_ms)
