"""Alert handling (M3) written down once more, plainly, to compare the processor with: one controller, `c1`."""

from __future__ import annotations

from dataclasses import dataclass, field

SEVERITY = {
    "door_forced_open": "high",
    "door_held_open": "medium",
    "door_pre_alarm": "low",
    "controller_offline": "medium",
    "fault": "medium",
}
WITHIN_S = {"medium": 600, "high": 300, "critical": 120}
ABOVE = {"medium": "high", "high": "critical"}
REPEATS = {"medium": 0, "high": 0, "critical": 3}
SPARED = {"door_forced_open", "tamper", "duress"}
WINDOW_S, CLOSES_S, VERIFY_S, ATTEMPTS, LIFE_S, SETTLE_S = 300, 600, 30, 3, 30 * 86_400, 20
NEVER = float("inf")

Told = tuple[str, str, int, str, str, int, int]
"""What was told: the transition, trouble, its how manieth alert, severity, state, the step of a demand, the count."""


@dataclass
class One:
    """One alert."""

    trouble: str
    nth: int
    severity: str
    raised: float
    window: float
    active: bool = True
    count: int = 1
    told: int = 1
    step: int = 0
    again: int = 0
    due: float = NEVER
    known: bool = False
    shelf: float = NEVER
    inhibited: bool = False
    handled: float = NEVER
    closed: bool = False
    attempt: int = 0
    check: float = NEVER
    gave_up: bool = False

    @property
    def kind(self) -> str:
        return self.trouble.split("/")[0]

    @property
    def state(self) -> str:
        if self.closed:
            return "closed"
        if self.handled < NEVER:
            return "resolved"
        if self.shelf < NEVER:
            return "shelved"
        if self.inhibited:
            return "suppressed"
        if self.known:
            return "acknowledged"
        return "unacknowledged" if self.active else "returned_to_normal_unacknowledged"

    @property
    def silent(self) -> bool:
        return self.state in {"closed", "resolved", "shelved", "suppressed"}

    def deadline(self) -> float:
        if self.closed:
            return self.window
        counted = self.window if self.count != self.told else NEVER
        closing = self.handled + CLOSES_S
        return min(self.raised + LIFE_S, counted, closing, self.shelf, self.check, self.due)


@dataclass
class Model:
    """All alerts of the controller, and everything that was told."""

    now: float = 0.0
    alerts: list[One] = field(default_factory=list)
    latest: dict[str, One] = field(default_factory=dict)
    raised: dict[str, int] = field(default_factory=dict)
    log: list[Told] = field(default_factory=list)
    root: One | None = None
    settled: float = NEVER

    def tell(self, one: One, what: str, *, demand: bool = False) -> None:
        if demand:
            one.step += 1
            final = one.severity == "critical" and one.again >= REPEATS["critical"]
            one.due = NEVER if final else self.now + WITHIN_S[one.severity]
        elif one.silent or one.known:
            one.due = NEVER
        one.told = one.count
        self.log.append((what, one.trouble, one.nth, one.severity, one.state, one.step if demand else 0, one.count))

    # -- what happens ---------------------------------------------------------------------------------------------

    def happens(self, trouble: str) -> None:
        one = self.latest.get(trouble)
        if one is not None and self.belongs(one):
            one.count += 1
            if self.now >= one.window:
                one.window = self.now + WINDOW_S
            if not one.active and not one.closed:
                one.active = True
                self.tell(one, "seen_again")
                self.explains(one)
            return
        self.raised[trouble] = self.raised.get(trouble, 0) + 1
        severity = SEVERITY[trouble.split("/", maxsplit=1)[0]]
        one = One(trouble, self.raised[trouble], severity, self.now, self.now + WINDOW_S)
        self.latest[trouble] = one
        self.alerts.append(one)
        if one.severity == "low":
            self.tell(one, "raised")
            one.handled, one.closed = self.now, True
            self.tell(one, "closed")
            return
        one.inhibited = self.root is not None and one.kind not in SPARED and one.kind != "controller_offline"
        self.tell(one, "raised", demand=not one.inhibited)
        self.explains(one)

    def explains(self, one: One) -> None:
        if one.kind != "controller_offline":
            return
        another = self.root is not None and self.root is not one
        self.root, self.settled = one, NEVER
        for other in self.alerts:
            if other.kind in SPARED or other is one:
                continue
            if (other.inhibited and another) or not (other.silent or other.known):
                other.inhibited = True
                self.pause(other)
                self.tell(other, "suppressed")

    def belongs(self, one: One) -> bool:
        if one.severity == "low":
            return self.now < one.window
        return one.handled == NEVER and (self.now < one.window or one.active)

    def ends(self, trouble: str) -> None:
        one = self.latest.get(trouble)
        if one is None or not one.active:
            return
        one.active = False
        if one.handled == NEVER:
            if one.check < NEVER:
                self.verify(one)
            else:
                self.tell(one, "returned_to_normal")
                if one.known:
                    self.resolve(one)
        if one is self.root:
            self.settled = self.now + SETTLE_S

    def settle(self) -> None:
        self.root, self.settled = None, NEVER
        for other in list(self.alerts):
            if not other.inhibited:
                continue
            other.inhibited = False
            if not other.active:
                self.resolve(other)
                self.close(other)
            else:
                self.tell(other, "unsuppressed", demand=other.shelf == NEVER and not other.known)
                self.act(other)

    # -- what is done ---------------------------------------------------------------------------------------------

    def acknowledge(self, one: One) -> None:
        if one.handled < NEVER or one.known:
            return
        one.known, one.shelf = True, NEVER
        self.tell(one, "acknowledged")
        if not one.active:
            self.resolve(one)

    def shelve(self, one: One, seconds: float) -> None:
        if one.handled < NEVER or (not seconds and one.shelf == NEVER):
            return
        if seconds:
            one.shelf = self.now + seconds
            self.pause(one)
            self.tell(one, "shelved")
        else:
            self.unshelve(one)

    def unshelve(self, one: One) -> None:
        one.shelf = NEVER
        self.tell(one, "unshelved", demand=not one.known and not one.inhibited)
        self.act(one)

    def finish(self, one: One) -> None:
        if one.handled == NEVER and not one.active:
            one.known = True
            self.resolve(one)

    def end(self, one: One, *, force: bool) -> None:
        if one.active and not force:
            return
        one.known = True
        self.close(one)

    def resolve(self, one: One) -> None:
        self.pause(one)
        one.shelf, one.inhibited, one.handled = NEVER, False, self.now
        self.tell(one, "resolved")

    def close(self, one: One) -> None:
        one.closed = True
        self.tell(one, "closed")
        if one.active:
            one.active = False
            if one is self.root:
                self.settle()
        self.forget(one)

    def forget(self, one: One) -> None:
        if one.count != one.told:
            self.tell(one, "seen_again")
        self.alerts.remove(one)
        if self.latest.get(one.trouble) is one:
            del self.latest[one.trouble]

    # -- what time does -------------------------------------------------------------------------------------------

    def pause(self, one: One) -> None:
        if one.check < NEVER:
            one.attempt, one.check = one.attempt - 1, NEVER

    def act(self, one: One) -> None:
        wanted = one.kind == "door_held_open" and one.severity in {"high", "critical"}
        if wanted and one.check == NEVER and not one.gave_up and not one.silent:
            one.attempt, one.check = one.attempt + 1, self.now + VERIFY_S
            self.tell(one, "action_taken")

    def verify(self, one: One) -> None:
        one.check = NEVER
        self.tell(one, "action_verified")
        if not one.active:
            one.gave_up = True
            self.resolve(one)
        elif one.attempt < ATTEMPTS:
            self.act(one)
        else:
            one.gave_up = True
            if not one.known:
                self.rise(one)

    def rise(self, one: One) -> None:
        if one.severity in ABOVE:
            one.severity, one.again = ABOVE[one.severity], 0
            self.tell(one, "escalated", demand=not one.silent)
            self.act(one)

    def passes(self, now: float) -> None:
        """All that is due by now, the earliest deadline first, as ticks come."""
        self.now = now
        waiting = sorted((one.deadline(), self.alerts.index(one)) for one in self.alerts if one.deadline() <= now)
        due: list[tuple[float, One | None]] = [(deadline, self.alerts[at]) for deadline, at in waiting]
        if self.settled <= now:
            due.insert(sum(deadline <= self.settled for deadline, _ in due), (self.settled, None))
        for _, one in due:
            if one is None:
                self.settle()
                continue
            while one in self.alerts and one.deadline() <= now:
                self.step(one)

    def step(self, one: One) -> None:
        now = self.now
        if one.closed:
            self.forget(one)
        elif now >= one.raised + LIFE_S:
            if one.handled == NEVER:
                self.resolve(one)
            self.close(one)
        elif now >= one.handled + CLOSES_S:
            self.close(one)
        elif now >= one.shelf:
            self.unshelve(one)
        elif now >= one.check:
            self.verify(one)
        elif now >= one.due:
            if one.again < REPEATS[one.severity]:
                one.again += 1
                self.tell(one, "repeated", demand=True)
            else:
                self.rise(one)
        else:
            self.tell(one, "seen_again")
