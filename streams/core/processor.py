"""What a processor is: pure `decide` and `evolve` over small entities, and what the engine tells it.

The engine (`streams.engine`) gives order, durability and time; a processor gives meaning. Nothing here does I/O, reads
a clock or draws a random number: the same causes in the same order always give the same outcomes.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence
from typing import Any, Protocol, runtime_checkable

import msgspec

from schemas.record import Output, Record


class UndecodableError(ValueError):
    """A message that can never be decoded, for a reason whose text repeats nothing of the message's content."""


class Arrival(msgspec.Struct, frozen=True, gc=False):
    """A message that arrived: the record, and its value decoded by the topic's models."""

    record: Record
    message: Any


class Tick(msgspec.Struct, frozen=True, gc=False):
    """A deadline that came due: the entity that set it, and when it was to be (Unix, milliseconds)."""

    key: str
    deadline_ms: int


Cause = Arrival | Tick


class Lookup(msgspec.Struct, frozen=True, gc=False):
    """A reference record that the local view lacks, to be asked of the database once.

    `index` is `id` or one of the reference table's index names. The answer arrives in `Context.resolved` under
    `name` as a list of `Found`; an empty list is a confirmed absence; no entry means that nobody could answer.
    """

    name: str
    entity: str
    index: str
    value: str


class Found(msgspec.Struct, frozen=True, gc=False):
    """A reference record that a lookup found: its id, the reference position it was written at, and its JSON value."""

    id: str
    position: int
    value: bytes


class Verification(msgspec.Struct, frozen=True, gc=False):
    """A secret to be verified off the event loop: slow, never journalled; only its answer is.

    `lane` names what may have one attempt in flight (an access point). The answer arrives in `Context.resolved`
    under `name` as the JSON-able value that the verifier returned.
    """

    name: str
    lane: str
    kind: str
    payload: Any


Need = Lookup | Verification


class References(Protocol):
    """Reference data as of one position per reference topic."""

    @property
    def derived(self) -> dict[Any, Any]:
        """What a processor has worked out of these records, by a key of its own; emptied when any of them changes."""

    def get(self, entity: str, id_: str) -> Any | None:
        """The decoded record with that id, or None."""

    def find(self, entity: str, index: str, value: str) -> Sequence[Any]:
        """The decoded records whose `index` holds `value`, in the order of their ids."""

    def position(self, entity: str, id_: str) -> int:
        """The offset of the version in force, or -1."""

    def version(self) -> int:
        """A number that rises with every record of any of these topics; the same when an entry is decided again."""


class ReferenceTable(msgspec.Struct, frozen=True):
    """How one reference topic is read.

    `decode` turns a value into what `References.get` gives (it may be a compiled form); it runs when a record is first
    used. `indexes` maps an index name to a cheap function from the value's bytes to the indexed strings.
    `authenticate` gives None for a record that nobody entitled wrote, else until when (Unix, milliseconds) it was meant
    to be published. The first kind counts as never written; so does what was appended later than that, or ends before
    the version in force does: an old version published again.
    """

    entity: str
    topic: str
    decode: Any
    indexes: Mapping[str, Any] = {}
    authenticate: Callable[[Record], int | None] | None = None


class State(Protocol):
    """The entities of one partition, by key."""

    def get(self, key: str) -> Any | None:
        """The entity, or None."""


class Context(msgspec.Struct, frozen=True, gc=False):
    """What a decision may know besides its state.

    `now_ms` never goes back within a partition. `incarnation` (Unix, seconds) ranks the broker's lives: what counts
    upwards for the outside starts above it. `partition` and `number` are the journal entry's; `partitions` is how many
    there are (0: nobody says, so that where a record lies can't be checked).
    """

    now_ms: int
    references: References
    resolved: Mapping[str, Any]
    partition: int
    number: int
    incarnation: int
    partitions: int = 0


Outcome = Any
"""A message to be published, or a state-only `msgspec.Struct`; both frozen."""

Change = tuple[str, Any | None]
"""An entity's key and its new value; None removes it."""


class Attributing(Protocol):
    """A processor that knows better than by a record's key who sent a message at which it failed."""

    def source(self, arrival: Arrival, context: Context) -> str | None:
        """Who it provably is of; None for a message that anybody may have sent, which counts for nothing."""


class Overhearing(Protocol):
    """A processor that reads topics of another's, which keeps what nobody can decode in the dead letters."""

    overhears: frozenset[str]


class Processor(Protocol):
    """One ordered, deterministic machine over the messages of a partition.

    `inputs` is in order of priority: within a cycle the first topic's messages are decided first. `version` names the
    code: a journal written by another version is not decided again. It may be `Attributing` or `Overhearing`, too.
    """

    name: str
    version: str
    inputs: tuple[str, ...]
    references: tuple[ReferenceTable, ...]

    def decode(self, record: Record) -> Any:
        """The message in a record; None where it means nothing to this processor, which is then not asked about it.

        Raises:
            UndecodableError: it can never be decoded; the record goes to the dead letters, with this error's text.
            ValueError: the same, but the text may quote the message and is not shown.
        """

    def needs(self, state: State, arrival: Arrival, context: Context) -> Sequence[Need]:
        """What must be asked of the outside before this message can be decided; usually nothing."""

    def decide(self, state: State, cause: Cause, context: Context) -> Sequence[Outcome]:
        """The outcomes of a cause, in order. A refusal is an outcome, not an exception."""

    def evolve(self, state: State, outcome: Outcome) -> Iterable[Change]:
        """What an outcome changes; applied in order, each outcome seeing what the ones before it changed."""

    def refuse(self, cause: Cause, context: Context, error: str) -> Sequence[Outcome]:
        """The outcomes where `decide` or `evolve` raised: a denial, without any change of state."""

    def publish(self, outcome: Outcome, cause: Cause, context: Context) -> Output | None:
        """The record that an outcome becomes; None for one that concerns the state alone."""

    def scrub(self, record: Record) -> tuple[bytes | None, str | None]:
        """A dead letter's value: the original bytes, or a sealed form and the word that says so (`sealed`)."""

    def deadline(self, key: str, entity: Any) -> int | None:
        """When an entity wants a tick (Unix, milliseconds), or None."""

    def encode_entity(self, entity: Any) -> bytes:
        """An entity as it is kept in the state log; some KB at most, and far less for most."""

    def decode_entity(self, key: str, data: bytes) -> Any:
        """The reverse of `encode_entity`."""


@runtime_checkable
class SelfStarting(Protocol):
    """A processor that has something to do in a partition before any message came."""

    standing: tuple[str, ...]
    """Keys that get a tick with deadline 0 where no entity of that key has had a say; what it leaves goes on."""
