"""What is asked at a door, and what the checks of it found."""

from __future__ import annotations

from datetime import datetime

import msgspec

from schemas.access import Check
from schemas.people import Permission
from schemas.places import AccessPoint, Device, Door, Site
from schemas.rules import Policy
from schemas.vocabulary import CheckOutcome, Enforcement, Reason
from streams.core.authentication import Authentication
from streams.core.lockouts import Locks
from streams.core.permission_exceptions import Checked
from streams.core.places import Place
from streams.core.processor import Context, State

PASSED, FAILED, SOFT, SKIPPED = CheckOutcome.PASSED, CheckOutcome.FAILED, CheckOutcome.SOFT, CheckOutcome.SKIPPED
_HARD, _SOFT = Enforcement.HARD, Enforcement.SOFT


class Question(msgspec.Struct, frozen=True, gc=False):
    """May this person pass here, now? `at_ms` is the time that schedules and validity are judged at.

    `event_ms` is when it was asked, as far as locks and the windows of failures go; `locks` are those in force then.

    `live` is false for what happened earlier, so that the state of now says little about it. `policy` is the access
    point's own or, where that is not on file, the site's.
    """

    site: Site
    policy: Policy
    device: Device
    door: Door
    point: AccessPoint
    authentication: Authentication
    at_ms: int
    event_ms: int
    locks: Locks
    local: datetime
    place: Place
    state: State
    context: Context
    live: bool


class Findings:
    """What the checks found, in their order."""

    __slots__ = ("checked", "checks", "denied", "drill", "failed", "override", "permission", "reserves", "soft")

    def __init__(self) -> None:
        self.checked: Checked | None = None
        self.checks: list[Check] = []
        self.failed: list[Reason] = []
        self.soft: list[Reason] = []
        self.permission: Permission | None = None
        self.override = False
        self.drill = False
        self.reserves: tuple[str, ...] = ()
        self.denied = False

    def note(self, name: str, reason: Reason | None, inputs: str, enforcement: Enforcement = _HARD) -> None:
        """Record a check: passed without a reason, else failed, or soft where it is not enforced."""
        if reason is None:
            self.checks.append((name, PASSED, inputs))
        elif enforcement is _SOFT:
            self.checks.append((name, SOFT, inputs))
            self.soft.append(reason)
        else:
            self.checks.append((name, FAILED, inputs))
            self.failed.append(reason)
            self.denied = True

    def soften(self) -> None:
        """Deny nothing: what failed stays listed, and is on record as broken too (A2: egress is always granted)."""
        self.soft = [*self.failed, *self.soft]
        self.denied = False

    def skip(self, name: str, inputs: str = "") -> None:
        """Record a check that had no subject."""
        self.checks.append((name, SKIPPED, inputs))
