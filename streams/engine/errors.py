"""Why a partition is given up or stops."""

from __future__ import annotations


class LostOwnershipError(Exception):
    """Somebody else may own the partition: it is given up before anything leaves, and recovered if still owned."""


class AnotherLifeError(Exception):
    """The broker lives another life than the one this process was started in: all it remembers is void."""


class HaltedError(Exception):
    """A partition can't go on without a person; the text says what to do."""
