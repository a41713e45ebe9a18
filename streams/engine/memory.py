"""A broker in memory: the same logs, writers and feeds as Kafka gives, with faults to order. For tests and replays."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Awaitable, Callable, Mapping, Sequence

from schemas.partitioning import partition_of
from schemas.record import Headers, Output, Record
from streams.engine.ports import Bounds, Clock, TopicPartition, UnknownOutcome

READ_RECORDS = 500
LARGEST_RECORD = 1_000_000

Matches = Callable[[str, int], bool]


class ManualClock:
    """Stands still until it is moved. Starts at 2026-03-02T00:00:00Z."""

    def __init__(self, now_ms: int = 1_772_409_600_000) -> None:
        self._now_ms = now_ms
        self._monotonic_s = 1_000.0

    def now_ms(self) -> int:
        """Unix time in milliseconds."""
        return self._now_ms

    def monotonic_s(self) -> float:
        """Seconds that never go back."""
        return self._monotonic_s

    def move(self, seconds: float) -> None:
        """Go forward."""
        self._now_ms += round(seconds * 1000)
        self._monotonic_s += seconds


class Log:
    """One topic partition."""

    def __init__(self) -> None:
        self.start = 0
        self.records: list[Record] = []

    @property
    def end(self) -> int:
        """The offset that the next record will get."""
        return self.start + len(self.records)

    def slice(self, start: int, stop: int) -> list[Record]:
        """The records that are still there with start <= offset < stop."""
        return self.records[max(0, start - self.start) : max(0, stop - self.start)]

    def delete_before(self, offset: int) -> None:
        """Forget older records."""
        cut = min(max(0, offset - self.start), len(self.records))
        del self.records[:cut]
        self.start += cut


class Fault:
    """What befalls matching appends: `times` of them fail with `error` (None: they are held until released).

    `written` says whether the records get into the log at once all the same.
    """

    def __init__(self, matches: Matches, error: Exception | None, *, written: bool, times: int) -> None:
        self.matches = matches
        self.error = error
        self.written = written
        self.times = times
        self.held: list[Callable[[], None]] = []

    def release(self) -> None:
        """Let held appends happen (if they haven't) and be acknowledged, in order; catch no more."""
        self.times = 0
        held, self.held = self.held, []
        for happen in held:
            happen()


class MemoryBroker:
    """The logs. Workers use it through a `MemoryClient` each. `partitions`: of every topic but the single ones."""

    def __init__(self, clock: Clock, *, partitions: int = 1, stamps: bool = True, single: Sequence[str] = ()) -> None:
        self.clock = clock
        self.partitions = partitions
        self.stamps = stamps
        self.single = set(single)
        self.logs: dict[TopicPartition, Log] = {}
        self.faults: list[Fault] = []
        self.committed: dict[TopicPartition, int] = {}
        self.incarnation: int | None = None

    def log(self, topic: str, partition: int) -> Log:
        """A topic partition; it comes to be when first named."""
        log = self.logs.get((topic, partition))
        if log is None:
            log = self.logs[topic, partition] = Log()
        return log

    def count(self, topic: str) -> int:
        """How many partitions a topic has."""
        return 1 if topic in self.single else self.partitions

    def publish(
        self,
        topic: str,
        key: str | bytes | None,
        value: bytes | None,
        headers: Headers = (),
        partition: int | None = None,
    ) -> Record:
        """Write one record from outside, to the key's partition unless another is given."""
        data = key.encode() if isinstance(key, str) else key
        if partition is None:
            partition = partition_of(data or b"", self.count(topic))
        return self.write(Output(topic, data, value, headers, partition))

    def write(self, output: Output) -> Record:
        """Append one record."""
        log = self.log(output.topic, output.partition or 0)
        time_ms = self.clock.now_ms() if output.timestamp_ms is None else output.timestamp_ms
        record = Record(output.topic, output.partition or 0, log.end, output.key, output.value, output.headers, time_ms)
        log.records.append(record)
        return record

    def records(self, topic: str) -> list[Record]:
        """All records of a topic that are still there, by partition and offset."""
        return [record for at in range(self.count(topic)) for record in self.log(topic, at).records]

    def fault(
        self, matches: str | Matches, error: Exception | None = None, *, written: bool = True, times: int = 1_000_000
    ) -> Fault:
        """Order a fault for appends to a topic (or those that a function matches); see `Fault`."""
        if isinstance(matches, str):
            topic = matches
            found = Fault(lambda name, _: name == topic, error, written=written, times=times)
        else:
            found = Fault(matches, error, written=written, times=times)
        self.faults.append(found)
        return found

    def fault_for(self, topic: str, partition: int) -> Fault | None:
        """The fault that befalls an append, if any."""
        for fault in self.faults:
            if fault.times > 0 and fault.matches(topic, partition):
                fault.times -= 1
                return fault
        return None


class MemoryWriter:
    """Acknowledges in the next turn of the event loop, unless a fault says otherwise."""

    def __init__(self, client: MemoryClient) -> None:
        self._client = client
        self._pending: set[asyncio.Future[int]] = set()
        self._closed = False

    def append(self, topic: str, partition: int, outputs: Sequence[Output]) -> Awaitable[int]:
        """Hand over outputs; awaiting gives the offset of the first one."""
        loop = asyncio.get_running_loop()
        future: asyncio.Future[int] = loop.create_future()
        if self._closed or self._client.dead:
            future.set_exception(UnknownOutcome("the writer is closed"))
            return future
        if any(_size(output) > LARGEST_RECORD for output in outputs):
            future.set_exception(ValueError("a record is larger than the broker takes"))
            return future
        self._pending.add(future)
        future.add_done_callback(self._pending.discard)
        broker = self._client.broker
        fault = broker.fault_for(topic, partition)

        def write() -> int:
            offset = broker.log(topic, partition).end
            for output in outputs:
                broker.write(output)
            return offset

        if fault is None:
            loop.call_soon(self._happen, future, write)
        elif fault.error is not None:
            if fault.written:
                write()
            loop.call_soon(_fail, future, fault.error)
        else:
            offset = write() if fault.written else None
            fault.held.append(lambda: _later(future, write() if offset is None else offset))
        return future

    def _happen(self, future: asyncio.Future[int], write: Callable[[], int]) -> None:
        # Not before the loop goes on: a process that dies in this turn of it has sent nothing.
        if not self._client.dead and not future.done():
            _resolve(future, write())

    async def close(self) -> None:
        """Stop; appends not yet acknowledged fail."""
        self._closed = True
        for future in list(self._pending):
            _fail(future, UnknownOutcome("the writer was closed"))


class MemoryClient:
    """One worker's view of the broker: its writers, and the positions of its feeds."""

    def __init__(self, broker: MemoryBroker) -> None:
        self.broker = broker
        self.dead = False
        self.positions: dict[TopicPartition, int] = {}

    @property
    def stamps(self) -> bool:
        """Whether records carry the broker's append time."""
        return self.broker.stamps

    @property
    def stamps_journal(self) -> bool:
        """The same of the journal."""
        return self.broker.stamps

    async def incarnation(self) -> int | None:
        """Which life of the broker this is."""
        return self.broker.incarnation

    async def writer(self) -> MemoryWriter:
        """A fresh writer."""
        return MemoryWriter(self)

    async def bounds(self, topic: str, partition: int) -> Bounds:
        """Where a partition begins and ends now."""
        log = self.broker.log(topic, partition)
        return Bounds(log.start, log.end)

    async def ends(self, partitions: Sequence[TopicPartition]) -> Mapping[TopicPartition, int]:
        """Where many partitions end now."""
        return {place: self.broker.log(*place).end for place in partitions}

    async def read(self, topic: str, partition: int, start: int, stop: int) -> AsyncIterator[Sequence[Record]]:
        """The records with start <= offset < stop, in order, in batches."""
        log = self.broker.log(topic, partition)
        for at in range(start, min(stop, log.end), READ_RECORDS):
            records = self._dated(log.slice(at, min(at + READ_RECORDS, stop)))
            if records:
                yield records

    async def delete_before(self, topic: str, partition: int, offset: int) -> None:
        """Forget older records."""
        self.broker.log(topic, partition).delete_before(offset)

    async def commit(self, positions: Mapping[TopicPartition, int]) -> None:
        """Tell lag tools the next offset to be read."""
        if not self.dead:
            self.broker.committed.update(positions)

    async def seek(self, topic: str, partition: int, offset: int) -> None:
        """Make the feed go on at that offset."""
        self.positions[topic, partition] = offset

    def fetch(self, place: TopicPartition, limit: int = READ_RECORDS) -> Sequence[Record]:
        """The next records of a sought feed; its position moves on."""
        position = self.positions.get(place)
        if position is None:
            return ()
        log = self.broker.log(*place)
        position = max(position, log.start)
        records = self._dated(log.slice(position, position + limit))
        self.positions[place] = position + len(records)
        return records

    def _dated(self, records: list[Record]) -> list[Record]:
        if self.broker.stamps:
            return records
        now_ms = self.broker.clock.now_ms()
        return [
            Record(one.topic, one.partition, one.offset, one.key, one.value, one.headers, now_ms) for one in records
        ]


def _size(output: Output) -> int:
    headers = sum(len(name) + len(data) for name, data in output.headers)
    return len(output.key or b"") + len(output.value or b"") + headers


def _resolve(future: asyncio.Future[int], offset: int) -> None:
    if not future.done():
        future.set_result(offset)


def _fail(future: asyncio.Future[int], error: Exception) -> None:
    if not future.done():
        future.set_exception(error)


def _later(future: asyncio.Future[int], offset: int) -> None:
    loop = future.get_loop()
    if not loop.is_closed():
        loop.call_soon(_resolve, future, offset)
