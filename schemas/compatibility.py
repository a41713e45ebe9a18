"""Who breaks when a message changes: compares two JSON Schemas of one message type and names the victims.

Old messages must decode for ever, so what an old writer sends must still be readable (`writers`); and old readers (a
controller in a wall) must still understand what is sent now (`readers`).
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any, Literal, NamedTuple

Schema = dict[str, Any]
_BOUNDS_UP = ("minimum", "exclusiveMinimum", "minLength", "minItems")
_BOUNDS_DOWN = ("maximum", "exclusiveMaximum", "maxLength", "maxItems")


class Break(NamedTuple):
    """One incompatible change: where, who breaks (`writers` of old messages or old `readers`), and what it is."""

    path: str
    who: Literal["writers", "readers"]
    change: str


def breaks(old: Schema, new: Schema) -> list[Break]:
    """The incompatible changes from `old` to `new`, in the order of their paths."""
    return sorted(_compare(_Node(old, old), _Node(new, new), ""))


class _Node(NamedTuple):
    schema: Schema
    root: Schema

    def resolved(self) -> _Node:
        schema = self.schema
        while "$ref" in schema:
            target = self.root
            for part in schema["$ref"].removeprefix("#/").split("/"):
                target = target[part]
            schema = {**target, **{key: value for key, value in schema.items() if key != "$ref"}}
        return _Node(schema, self.root)

    def variants(self) -> dict[str, _Node]:
        """The alternatives, each under a name that stays the same from version to version."""
        node = self.resolved()
        options = node.schema.get("anyOf") or node.schema.get("oneOf")
        if not options:
            return {_label(node): node}
        found: dict[str, _Node] = {}
        for option in options:
            found.update(_Node(option, self.root).variants())
        return found


def _label(node: _Node) -> str:
    schema = node.schema
    properties = schema.get("properties", {})
    for tag in ("type", "kind"):
        if "const" in properties.get(tag, {}):
            return str(properties[tag]["const"])
    return str(schema.get("type", "any"))


def _compare(old: _Node, new: _Node, path: str) -> Iterator[Break]:
    olds, news = old.variants(), new.variants()
    for label in olds.keys() - news.keys():
        yield Break(path or "value", "writers", f"{label} is no longer accepted")
    for label in news.keys() - olds.keys():
        yield Break(path or "value", "readers", f"{label} is new to old readers")
    for label in olds.keys() & news.keys():
        yield from _compare_one(olds[label], news[label], path)


def _compare_one(old: _Node, new: _Node, path: str) -> Iterator[Break]:
    yield from _compare_values(old.schema, new.schema, path or "value")
    before, after = old.schema.get("properties", {}), new.schema.get("properties", {})
    needed_before, needed_after = set(old.schema.get("required", ())), set(new.schema.get("required", ()))
    for name in sorted(before.keys() | after.keys()):
        where = f"{path}.{name}".lstrip(".")
        if name not in after:
            if name in needed_before:
                yield Break(where, "readers", "a required field is gone")
        elif name not in before:
            if name in needed_after:
                yield Break(where, "writers", "a new field is required")
        else:
            if name in needed_after - needed_before:
                yield Break(where, "writers", "an optional field became required")
            if name in needed_before - needed_after:
                yield Break(where, "readers", "a required field became optional")
            yield from _compare(_Node(before[name], old.root), _Node(after[name], new.root), where)
    if "items" in old.schema and "items" in new.schema:
        yield from _compare(_Node(old.schema["items"], old.root), _Node(new.schema["items"], new.root), f"{path}[]")


def _compare_values(old: Schema, new: Schema, path: str) -> Iterator[Break]:
    words_before, words_after = _words(old), _words(new)
    if words_before is not None and words_after is not None:
        for word in sorted(words_before - words_after):
            yield Break(path, "writers", f"{word!r} is no longer accepted")
        for word in sorted(words_after - words_before):
            yield Break(path, "readers", f"{word!r} is new to old readers")
    if old.get("pattern") != new.get("pattern") and new.get("pattern") is not None:
        yield Break(path, "writers", "the pattern changed")
    for bound in _BOUNDS_UP:
        if new.get(bound, float("-inf")) > old.get(bound, float("-inf")):
            yield Break(path, "writers", f"{bound} rose to {new[bound]}")
    for bound in _BOUNDS_DOWN:
        if new.get(bound, float("inf")) < old.get(bound, float("inf")):
            yield Break(path, "writers", f"{bound} fell to {new[bound]}")


def _words(schema: Schema) -> set[str] | None:
    if "const" in schema:
        return {str(schema["const"])}
    return {str(word) for word in schema["enum"]} if "enum" in schema else None
