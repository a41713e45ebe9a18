"""Why a partition is given up or stops."""

from __future__ import annotations


class LostOwnershipError(Exception):
    """Somebody else may own the partition: it is given up before anything leaves, and recovered if still owned."""


class HaltedError(Exception):
    """A partition can't go on without a person; the text says what to do."""
