"""A folder of reference data as one campus, checked as a whole; and the same campus several times."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from schemas.base import Message
from schemas.people import Credential
from schemas.places import Door
from schemas.reference import BY_NAME, id_of
from streams.loading.draft import Draft, PlainPin, Templates
from streams.loading.entries import read_entries
from streams.loading.folder import read_folder
from streams.loading.problems import LoadError, Problem
from streams.loading.secret_entries import read_secrets
from streams.loading.soundness import check

__all__ = ["Campus", "LoadError", "PlainPin", "Problem", "Templates", "copies", "read_campus"]

_MORE_IDS = frozenset({"zone_from", "zone_to", "card_number"})
"""Fields that hold an id and don't end in `_id`; a card number is what a card is known by."""


@dataclass(frozen=True)
class Campus:
    """All reference data of a folder.

    `records`: by entity (`site`, `zone`, `access-point`, ... as in `schemas.reference.BY_NAME`, without `secret`), then
    by id. `pins` and `templates`: by the id of their credential.
    """

    records: Mapping[str, Mapping[str, Message]]
    pins: Mapping[str, PlainPin]
    templates: Mapping[str, Templates]


def read_campus(folder: Path) -> Campus:
    """Read and check a folder.

    Raises:
        LoadError: something is wrong in it; has all problems, each with file and line.
        NotADirectoryError: there is no such folder.
    """
    draft = Draft()
    entries = read_folder(folder, draft.problems)
    read_entries(entries, draft)
    if not entries["site"] and not draft.problems:
        draft.problems.append(Problem(str(folder), 0, "has no site.yaml: a campus is at least one site"))
    read_secrets(entries, draft)
    check(draft)
    if draft.problems:
        raise LoadError(draft.problems)
    return Campus(draft.records, draft.pins, draft.templates)


def copies(campus: Campus, count: int) -> Campus:
    """The same campus `count` times: in the n-th copy every id and card number ends in `-n` (`hq-2`, `hq-d01-in-2`).

    Operators keep their ids: they may act at every copy.

    Raises:
        ValueError: the count is below 1, or an id of a copy is taken.
    """
    if count < 1:
        raise ValueError("a campus is copied at least once")
    records = {name: dict(found) for name, found in campus.records.items()}
    pins, templates = dict(campus.pins), dict(campus.templates)
    for number in range(2, count + 1):
        end = f"-{number}"
        for name, found in campus.records.items():
            entity, taken = BY_NAME[name], records[name]
            for record in found.values():
                copy = _renamed(record, end)
                if id_of(entity, copy) in taken:
                    raise ValueError(f"{name} {id_of(entity, copy)} is there already: its id can't be a copy's, too")
                taken[id_of(entity, copy)] = copy
        pins |= {id_ + end: pin for id_, pin in campus.pins.items()}
        templates |= {id_ + end: found for id_, found in campus.templates.items()}
    numbers = [c.card_number for c in records["credential"].values() if isinstance(c, Credential) and c.card_number]
    if len(numbers) != len(set(numbers)):
        raise ValueError("a card number of a copy is that of another card")
    return Campus(records, pins, templates)


def _renamed(record: Message, end: str) -> Message:
    changed = dict(_renamed_ids(record, end))
    if isinstance(record, Door) and record.interlock is not None:
        changed["interlock"] = record.interlock.model_copy(update={"group": record.interlock.group + end})
    return record.model_copy(update=changed)


def _renamed_ids(record: Message, end: str) -> Iterator[tuple[str, Any]]:
    for field in type(record).model_fields:
        value = getattr(record, field)
        if field.endswith("_ids"):
            yield field, tuple(id_ + end for id_ in value)
        elif value is not None and (field.endswith("_id") or field in _MORE_IDS):
            yield field, value + end
