"""The limits of the machine; every one has a default that fits, and a reason."""

from __future__ import annotations

import msgspec


class MachineOptions(msgspec.Struct, frozen=True, kw_only=True):
    """Times in seconds unless the name says milliseconds.

    `session_timeout_s` must be the group's: an event loop that stood still for longer may have lost its partitions
    without being told.
    """

    session_timeout_s: float = 10.0
    checkpoint_interval_s: float = 1.0
    checkpoint_entries: int = 2_000
    full_turn_s: float = 600.0
    reopen_entries: int = 5_000
    """Entries after which the owner appends a fresh `opened`; bounds how much journal a recovery reads."""
    cycle_records: int = 1_024
    """Records that one cycle decides at most; shared among the partitions that have some."""
    smallest_share: int = 20
    """Records per input topic partition that a cycle takes at least, where there are that many; and at most, while
    somebody who has just come would wait for the cycle's end: some 3 ms (`Pace`)."""
    queue_records: int = 512
    """Records per input topic partition that wait in memory, a few cycles' worth: `Machine.feed` awaits above it. What
    waits decoded is looked through by the garbage collector, and has left the processor's caches when its turn comes.
    """
    most_unsent: int = 20_000
    """Outputs of a partition that wait to be acknowledged; above it the partition takes no input, so that neither
    memory nor what a recovery would send again grows without bound."""
    gather_ms: float = 1.0
    """How long an idle machine waits for more chunks after the first one arrived."""
    resolve_timeout_ms: float = 50.0
    resolve_wait_s: float = 2.0
    """After that a message no longer waits for an answer (a lookup, a verification) and is decided without it."""
    absence_cached_s: float = 2.0
    breaker_failures: int = 5
    breaker_open_s: float = 5.0
    verifier_threads: int = 2
    verify_timeout_s: float = 5.0
    """After that a verification hangs: it is no answer, its access point goes on, and its thread is given up."""
    most_hung_verifiers: int = 8
    """Hung threads that are replaced; with more, fewer are left to verify, and at last nothing is."""
    lane_attempts: int = 16
    """Verifications of one access point that wait for the one in flight; those beyond get no answer."""
    dead_letter_consecutive: int = 1_000
    dead_letter_ratio: float = 0.5
    dead_letter_window: int = 4_000
    """Messages over which the ratio is taken; nothing is stopped before that many were seen."""
    dead_letter_sources: int = 5
    """Failures stop a partition only where messages of so many sources (devices, or keys) are among them."""
    clock_skew_limit_ms: int = 5_000
    stop_timeout_s: float = 8.0
    """How long a revocation may take to drain, checkpoint and commit before it lets go anyway."""
