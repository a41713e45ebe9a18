"""Compares what was decided with what the oracle expects, in the order of the decisions."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Mapping
from datetime import datetime, timedelta
from typing import Any

from schemas.vocabulary import Direction, Reason, Timeliness
from streams.simulator.book import Asked, Book, RequestKey
from streams.simulator.lockdowns import Claim, Shut
from streams.simulator.lockouts import COUNTED, Attempt
from streams.simulator.oracle import Expected, Oracle
from streams.simulator.people import People, Proof
from streams.simulator.places import Places

REFUSALS = (Reason.INVALID_SIGNATURE, Reason.REPLAYED_REQUEST)
_LOCKS = {Reason.CREDENTIAL_LOCKOUT, Reason.ACCESS_POINT_LOCKOUT}
_ACTING = (Timeliness.ONLINE, Timeliness.GRACE)
Decision = Mapping[str, Any]


class Judge:
    """Reads `access.decisions` and `duress.events`; `differences` has a sentence for each that was not expected."""

    def __init__(self, oracle: Oracle, people: People, places: Places, book: Book) -> None:
        self.differences: list[str] = []
        self.checked = self.unsure = 0
        self._oracle, self._people, self._places, self._book = oracle, people, places, book
        self._decisions: dict[str, RequestKey | None] = {}
        self._refusals: Counter[tuple[str, int, int, str]] = Counter()
        self._duress: dict[str, str] = {}
        self._seen_duress: set[str] = set()
        self._perhaps_duress: set[str] = set()
        self._passages: dict[str, str] = {}
        self._awaited: dict[str, RequestKey] = {}
        self.on_passage: Callable[[RequestKey, str], None] = lambda _key, _type: None

    def expect_refusal(self, key: RequestKey, reason: Reason) -> None:
        """Somebody plays foul with that number: it must be refused for that reason."""
        self._refusals[key.device_id, key.boot, key.sequence, reason.value] += 1

    def read(self, decision: Decision, *, before: bool = False) -> RequestKey | None:
        """One message of `access.decisions`, in order; gives the request of ours that it decides.

        `before`: it was made before this run, so it only tells who is where.
        """
        match decision["type"]:
            case "access_granted" | "access_denied":
                return self._decided(decision, before=before)
            case "access_taken" | "access_not_taken":
                self._passage(decision)
            case "operator_request_accepted" if decision["request_type"] == "passback_forgiven":
                self._forgiven(decision["site_id"], decision.get("cardholder_id"), _time(decision["decided_at"]))
            case "operator_request_accepted" if decision["request_type"] == "lockout_end_requested":
                self._oracle.lockouts.ended(decision["site_id"], decision["subject"], decision["subject_id"])
        return None

    def duress(self, event: Decision) -> None:
        """A message of `duress.events`."""
        self._seen_duress.add(event["decision_id"])

    @property
    def open_ends(self) -> int:
        """Passages, refusals and duress events that are still to come."""
        refusals = sum(count for count in self._refusals.values() if count > 0)
        return len(self._awaited) + refusals + len(self._duress.keys() - self._seen_duress)

    @property
    def duress_events(self) -> int:
        """Duress events of this run's requests."""
        return len(self._seen_duress & self._decisions.keys())

    def conclude(self) -> None:
        """At the end: what was expected and never came, and what came unexpected."""
        for (device, boot, sequence, reason), count in self._refusals.items():
            if count > 0:
                self.differences.append(f"{device} {boot}/{sequence}: {reason} was expected and never came")
        for decision_id in self._duress.keys() - self._seen_duress:
            self.differences.append(f"{self._duress[decision_id]}: a duress PIN, and no duress event")
        known = self._duress.keys() | self._perhaps_duress
        for decision_id in self._seen_duress & self._decisions.keys() - known:
            self.differences.append(f"{decision_id}: a duress event without a duress PIN")
        for key in self._awaited.values():
            self.differences.append(f"{_name(key, self._book.asked[key])}: granted, neither taken nor not taken")
        self.differences += self._oracle.lockdowns.differences()

    def _forgiven(self, site_id: str, holder_id: str | None, at: datetime) -> None:
        happenings, holder = self._oracle.happenings, self._people.holders.get(holder_id or "")
        if holder is not None:
            happenings.lost(site_id, holder, at)
        elif holder_id is None:
            happenings.forgiven(site_id, at)

    def _decided(self, decision: Decision, *, before: bool) -> RequestKey | None:
        reason = decision.get("reason")
        key = RequestKey(
            decision["device_id"],
            decision["boot"],
            decision["sequence"],
            backlog=decision["timeliness"] == Timeliness.OFFLINE,
        )
        if reason in REFUSALS:
            self._refused(key, reason, before=before)
            return None
        asked = None if before else self._book.asked.get(key)
        if asked is not None:
            if asked.decided or decision["decision_id"] in self._decisions:
                self._book.doubled.append(f"{_name(key, asked)}: decided twice")
                return None
            self._compare(key, asked, decision)
        elif before:
            self._recall(decision)
        self._decisions[decision["decision_id"]] = key if asked is not None else None
        if asked is not None and asked.actuated:
            self._awaited[decision["decision_id"]] = key
        self._apply(decision)
        return key if asked is not None else None

    def _refused(self, key: RequestKey, reason: str, *, before: bool) -> None:
        foul = (key.device_id, key.boot, key.sequence, reason)
        if self._refusals[foul] > 0:
            self._refusals[foul] -= 1
        elif not before and key in self._book.asked:
            self.differences.append(f"{_name(key, self._book.asked[key])}: refused as {reason}")

    def _compare(self, key: RequestKey, asked: Asked, decision: Decision) -> None:
        failed = {Reason(one) for one in decision["failed_checks"]}
        expected = self._expected(key, asked, decision, failed)
        self._claim(key, asked, decision, failed, expected)
        asked.decided = True
        asked.granted = decision["type"] == "access_granted"
        asked.actuated = bool(decision["actuated"])
        got = None if asked.granted else Reason(decision["reason"])
        self.checked += 1
        self.unsure += len(expected.outcomes) > 1
        counts = self._book.counts
        counts["late"] += decision["timeliness"] == Timeliness.LATE
        if got is not None:
            self._book.reasons[got.value] += 1
        if Reason.AUTHENTICATION_UNAVAILABLE in failed:
            counts["unavailable"] += 1  # unknown means denied: right whenever a lookup or a verification had no answer
            return
        self._oracle.lockouts.attempted(expected.attempt, asked.shown, got)
        problem = self._alone(asked) or _problem(expected, asked, got, decision)
        if problem is not None:
            self.differences.append(f"{_name(key, asked)}: {problem} ({decision['decision_id']})")
        if expected.duress:
            self._duress[decision["decision_id"]] = _name(key, asked)
        elif expected.duress is None:
            self._perhaps_duress.add(decision["decision_id"])

    def _claim(
        self, key: RequestKey, asked: Asked, decision: Decision, failed: set[Reason], expected: Expected
    ) -> None:
        # A decision's word on what is shut is looked into when all that is told of lockdowns and modes has been read.
        proof = expected.attempt.proof if expected.attempt is not None else None
        proved = proof is not None and proof.failure is None and Reason.AUTHENTICATION_UNAVAILABLE not in failed
        holder = proof.holder if proof is not None and proved else None
        claim = Claim(
            what=_name(key, asked),
            point=asked.point,
            clearance=holder.clearance if holder is not None else None,
            number=decision["journal"]["number"],
            lockdown=Reason.LOCKDOWN in failed,
            blocked=None if self._oracle.in_service(asked.point) else Reason.OUT_OF_SERVICE in failed,
            sure=not any(one & _LOCKS for one in expected.failed),
            at=asked.occurred_at if key.backlog else None,
        )
        self._oracle.lockdowns.claimed(claim)

    def _alone(self, asked: Asked) -> str | None:
        """What of a controller's own decision was not to be expected of one that has the snapshot of now."""
        if asked.mode != "snapshot":
            return None
        reason = self._oracle.snapshot(asked.point, asked.shown, asked.occurred_at, shut=asked.shut)
        right = "granted" if reason is None else "denied"
        return None if asked.recorded == right else f"the controller alone {asked.recorded}, expected {right}"

    def _recall(self, decision: Decision) -> None:
        """Count what failed before this run: who is locked since then is locked now."""
        point = self._places.points.get(decision["access_point_id"])
        if point is None:
            return
        holder = self._people.holders.get(decision.get("cardholder_id") or "")
        credential = self._people.credentials.get(decision.get("credential_id") or "")
        reason = Reason(decision["reason"]) if decision["reason"] else None
        failure, several = reason if reason in COUNTED else None, "+" in (decision.get("method") or "")
        decided_at, live = _time(decision["decided_at"]), decision["timeliness"] != Timeliness.OFFLINE
        asked_at = decided_at - timedelta(milliseconds=decision.get("age_ms", 0))
        asked_at = asked_at if live else min(asked_at, _time(decision["occurred_at"]))
        attempt = Attempt(point, Proof(holder, failure, False, credential, several), asked_at, decided_at, live)
        self._oracle.lockouts.attempted(attempt, (), reason)

    def _expected(self, key: RequestKey, asked: Asked, decision: Decision, failed: set[Reason]) -> Expected:
        decided_at = _time(decision["decided_at"])
        # The broker got it so long before it was decided.
        asked_at = decided_at - timedelta(milliseconds=decision.get("age_ms", 0))
        shut = Shut(Reason.LOCKDOWN in failed, Reason.OUT_OF_SERVICE in failed)
        at, live = (asked.occurred_at, False) if key.backlog else (decided_at, True)
        asked_at = min(asked_at, at)
        return self._oracle.expect(asked.point, asked.shown, decided_at, at, asked_at, live=live, shut=shut)

    def _apply(self, decision: Decision) -> None:
        point = self._places.points.get(decision["access_point_id"])
        if point is None or decision.get("door_id") is None:
            return
        at, happenings = _time(decision["decided_at"]), self._oracle.happenings
        holder = self._people.holders.get(decision.get("cardholder_id") or "")
        acts, recorded = decision["timeliness"] in _ACTING, decision.get("recorded_outcome")
        if decision["type"] == "access_granted":
            if acts and self._places.doors[point.door_id].has_dps:
                holder_id = holder.cardholder_id if holder is not None else None
                happenings.granted(decision["decision_id"], point, holder_id, at, self._single_use(decision))
            if acts and holder is not None and point.direction is Direction.ENTRY:
                happenings.accompanies(point.zone_to, holder, at, let_in=True)
            if not acts and recorded is None and holder is not None:
                happenings.lost(point.site_id, holder, at)
        elif acts:
            if holder is not None and set(decision["failed_checks"]) == {Reason.NO_ACCOMPANIMENT.value}:
                happenings.accompanies(point.zone_to, holder, at, let_in=False)
        elif recorded == "granted" and holder is not None:
            happenings.lost(point.site_id, holder, at)

    def _passage(self, passage: Decision) -> None:
        decision_id, type_ = passage["decision_id"], passage["type"]
        happenings, taken = self._oracle.happenings, type_ == "access_taken"
        holder = self._people.holders.get(passage.get("cardholder_id") or "")
        if taken:
            happenings.taken(decision_id, self._single_use(passage))
            if holder is not None and passage["zone_to"] in self._places.paths:
                at = _time(passage["decided_at"])
                if passage.get("evidence") == "recorded":
                    at = min(at, _time(passage["occurred_at"]))
                entry = passage["direction"] == Direction.ENTRY
                happenings.moved(passage["site_id"], holder, passage["zone_to"], at, entry=entry)
        else:
            happenings.not_taken(decision_id)
        if decision_id in self._passages:
            self._book.doubled.append(f"{decision_id}: {type_} after {self._passages[decision_id]}")
        self._passages[decision_id] = type_
        self._awaited.pop(decision_id, None)
        key = self._decisions.get(decision_id)
        asked = self._book.asked.get(key) if key is not None else None
        if key is None or asked is None:
            return
        self._book.counts["taken" if taken else "not_taken"] += 1
        if passage.get("evidence") == "door_opened" and asked.passed is False:
            self.differences.append(f"{_name(key, asked)}: taken, and nobody opened the door")
        if not taken and asked.passed:
            self.differences.append(f"{_name(key, asked)}: not taken, and somebody passed")
        self.on_passage(key, type_)

    def _single_use(self, message: Decision) -> str | None:
        """The single-use permission that an entry uses up; leaving uses up nothing."""
        permission_id: str | None = message.get("permission_id")
        return permission_id if permission_id in self._people.single_use and message["direction"] == "entry" else None


def _problem(expected: Expected, asked: Asked, got: Reason | None, decision: Decision) -> str | None:
    """What of a decision was not to be expected."""
    failed = [Reason(one) for one in decision["failed_checks"]]
    if got not in expected.outcomes:
        right = " or ".join(sorted(one.value if one else "granted" for one in expected.outcomes))
        return f"expected {right}, got {got.value if got else 'granted'}"
    if asked.granted and asked.actuated is not (decision["timeliness"] in _ACTING):
        return f"{decision['timeliness']}, and actuated is {asked.actuated}"
    if asked.granted and (expected.holder.cardholder_id if expected.holder else None) != decision["cardholder_id"]:
        return f"granted to {decision['cardholder_id']}, who is not the one who asked"
    if got is not None and failed[:1] != [got]:
        return f"the reason {got.value} is not the first failed check"
    if not expected.accounts_for(failed):
        right = ", ".join(" or ".join(sorted(one or "nothing" for one in some)) for some in expected.failed)
        return f"expected {right or 'nothing'} to fail, got {', '.join(failed) or 'nothing'}"
    return None


def _time(text: str) -> datetime:
    return datetime.fromisoformat(text)


def _name(key: RequestKey | None, asked: Asked) -> str:
    if key is None:
        return asked.point.access_point_id
    what = "+".join(one.kind.value for one in asked.shown)
    return f"{asked.point.access_point_id} {key.boot}/{key.sequence}{' (backlog)' if key.backlog else ''} {what}"
