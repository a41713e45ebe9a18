"""What has been read so far: records, secrets, and where each of them stands in the files."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

from schemas.base import Message
from schemas.reference import BY_NAME, ENTITIES, id_of
from streams.loading.fields import Reader
from streams.loading.problems import Problem
from streams.loading.sources import Node

ENTITY_NAMES = tuple(entity.name for entity in ENTITIES if entity.name != "secret")


@dataclass(frozen=True)
class PlainPin:
    """A PIN as its file has it, and the one that opens under duress."""

    pin: str = field(repr=False)
    duress_pin: str | None = field(default=None, repr=False)


@dataclass(frozen=True)
class Templates:
    """What was enrolled of a face or finger: vectors of one length, and the model that made them."""

    templates: tuple[tuple[float, ...], ...] = field(repr=False)
    model: str


class Draft:
    """Records by entity and id, with the nodes that they come from; and all problems found on the way."""

    def __init__(self) -> None:
        self.problems: list[Problem] = []
        self.reader = Reader(self.problems)
        self.records: dict[str, dict[str, Any]] = {name: {} for name in ENTITY_NAMES}
        self.origins: dict[str, dict[str, Node]] = {name: {} for name in ENTITY_NAMES}
        self.pins: dict[str, PlainPin] = {}
        self.templates: dict[str, Templates] = {}
        self.broken: set[tuple[str, str]] = set()
        """Entity and id of what is in the files and could not be read: no second problem for who refers to it."""

    def add(self, name: str, record: Message, node: Node) -> bool:
        """Take a record; False, and a problem, where its id is taken."""
        id_ = id_of(BY_NAME[name], record)
        first = self.origins[name].get(id_)
        if first is not None:
            self.problems.append(node.problem(f"{name} {id_} is there already ({first.file}:{first.line})"))
            return False
        self.records[name][id_] = record
        self.origins[name][id_] = node
        return True

    def read(
        self, name: str, node: Node, given: Mapping[str, Any] | None = None, also: tuple[str, ...] = ()
    ) -> Any | None:
        """Make a record of a node and take it; None, and problems, where it can't be one."""
        record = self.reader.record(BY_NAME[name], node, given, also)
        if record is None:
            self.broken.add((name, node.at("id").text or str((given or {}).get(BY_NAME[name].id_field, ""))))
            return None
        return record if self.add(name, record, node) else None

    def known(self, name: str, id_: str) -> bool:
        """Whether a reference to a record is right, as far as one can tell."""
        return id_ in self.records[name] or (name, id_) in self.broken

    def wrong(self, name: str, id_: str, at: tuple[str | int, ...], text: str) -> None:
        """Something is wrong with a record; `at` is the path to the place in its entry."""
        self.problems.append(self.origins[name][id_].at(*at).problem(f"{name} {id_}: {text}"))
