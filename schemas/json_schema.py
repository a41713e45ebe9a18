"""JSON Schema snapshots, for those who don't read Python; `python -m schemas.json_schema` rewrites them."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

from schemas.registry import carried

FOLDER = Path(__file__).resolve().parent / "snapshots"


def schema_of(topic: str, type_: str) -> dict[str, Any]:
    """The JSON Schema (2020-12) of a message type in the topic that it was made for, which is its `x-topic`."""
    schema = carried()[topic, type_].model_json_schema(mode="validation")
    return {"$schema": "https://json-schema.org/draft/2020-12/schema", "x-topic": topic, **schema}


def path_of(topic: str, type_: str) -> Path:
    """Where the snapshot of a message type lies."""
    return FOLDER / topic / f"{type_}.json"


def text_of(topic: str, type_: str) -> str:
    """A snapshot's text."""
    return json.dumps(schema_of(topic, type_), indent=1, ensure_ascii=False, sort_keys=True) + "\n"


def write_all() -> list[Path]:
    """Write what differs; gives the files written."""
    written = []
    for topic, type_ in carried():
        path = path_of(topic, type_)
        text = text_of(topic, type_)
        if not path.exists() or path.read_text(encoding="utf-8") != text:
            path.parent.mkdir(parents=True, exist_ok=True)
            path.write_text(text, encoding="utf-8")
            written.append(path)
    return written


if __name__ == "__main__":
    write_all()
