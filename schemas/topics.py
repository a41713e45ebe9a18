"""The topic registry: `topics.yaml` as data."""

from __future__ import annotations

from functools import cache
from pathlib import Path
from typing import Literal

import yaml
from pydantic import BaseModel, ConfigDict, Field

_HERE = Path(__file__).resolve().parent
_UNITS_MS = {"h": 3_600_000, "d": 86_400_000}
DEAD_RETENTION = "30d"


class Topic(BaseModel):
    """One topic as reviewed; see the head of `topics.yaml` for the fields."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    name: str
    meaning: str
    messages: tuple[str, ...]
    key: str | None
    partitions: Literal["site"] | int
    cleanup: Literal["delete", "compact"]
    retention: str = Field(pattern=r"^(\d+[dh]|forever)$")
    writers: tuple[str, ...]
    readers: tuple[str, ...]
    secret: bool = False
    dead: bool = False
    max_bytes: int | None = None
    same_as: str | None = None

    @property
    def retention_ms(self) -> int:
        """How long records are kept; -1 for ever."""
        if self.retention == "forever":
            return -1
        return int(self.retention[:-1]) * _UNITS_MS[self.retention[-1]]

    @property
    def by_site(self) -> bool:
        """Whether the topic is co-partitioned by site."""
        return self.partitions == "site"

    def dead_letters(self) -> Topic:
        """The topic that takes this one's undecidable messages."""
        return self.model_copy(
            update={
                "name": dead_name(self.name),
                "meaning": f"Messages of {self.name} that could not be decided: the original bytes.",
                "messages": (),
                "retention": DEAD_RETENTION,
                "cleanup": "delete",
                "writers": self.readers,
                "readers": ("monitoring",) if "monitoring" in (*self.readers, *self.writers) else ("operators",),
                "dead": False,
            }
        )


def dead_name(topic: str) -> str:
    """The dead-letter topic of a topic."""
    return f"{topic}.dead"


def topics_file() -> Path:
    """Where `topics.yaml` lies: at the top of a checkout, or inside the installed package."""
    packaged = _HERE / "topics.yaml"
    return packaged if packaged.exists() else _HERE.parent / "topics.yaml"


def parse(text: str) -> dict[str, Topic]:
    """The topics of a registry page, dead-letter topics included, by name.

    Raises:
        ValueError: a field is missing, unknown or malformed (pydantic's error says which).
    """
    topics: dict[str, Topic] = {}
    for name, fields in yaml.safe_load(text).items():
        topic = Topic(name=name, **fields)
        if topic.same_as in topics and not topic.messages:
            topic = topic.model_copy(update={"messages": topics[topic.same_as].messages})
        topics[name] = topic
        if topic.dead:
            dead = topic.dead_letters()
            topics[dead.name] = dead
    return topics


@cache
def registry() -> dict[str, Topic]:
    """The topics of this installation."""
    return parse(topics_file().read_text(encoding="utf-8"))
