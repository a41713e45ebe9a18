"""PIN strength: checked when a PIN is set, never when it is entered (A1)."""

from __future__ import annotations

import itertools

SHORTEST = 4
LONGEST = 12


def weakness(pin: str) -> str | None:
    """The rule that a PIN breaks, as a sentence with the fix; None for a good one."""
    if not pin.isascii() or not pin.isdigit():
        return "a PIN has digits only"
    if not SHORTEST <= len(pin) <= LONGEST:
        return f"a PIN has {SHORTEST} to {LONGEST} digits"
    steps = {int(b) - int(a) for a, b in itertools.pairwise(pin)}
    if steps in ({1}, {-1}):
        return "a PIN must not be a sequence such as 1234 or 4321"
    for size in range(1, len(pin) // 2 + 1):
        if len(pin) % size == 0 and pin[:size] * (len(pin) // size) == pin:
            return "a PIN must not repeat itself such as 1111 or 1212"
    return None
