"""The stories of a demo: each from its cause to its end, with who was told of it, and who must not have been."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from datetime import UTC, datetime
from typing import Any, NamedTuple

from schemas.alerts import DURESS
from schemas.recipients import Recipient
from streams.agents.notify_wording import LANGUAGES, Wording
from streams.loading.campus import Campus
from streams.simulator.scene import Cause, Plan, Story, Turn

Fields = Mapping[str, Any]

ESCALATES = Story.FORCED_DOOR
"""Nobody answers the first message of this one, so that it is raised."""

_ALERTED = ("caused", "raised", "told", "acknowledged", "closed")
_LOCKED = ("started", "confirmed", "missing", "alert", "refused", "back", "secured", "all-clear", "released", "report")
_WANTED = {
    Story.LOCKDOWN_DRILL: ("caused", "started", "raised", "all-clear", "released"),
    Story.LOCKDOWN: (*_ALERTED, *_LOCKED),
}
"""The steps that a story needs."""

_EARLIER_S = 1.0
_DISTANT = datetime.max.replace(tzinfo=UTC)


class Step(NamedTuple):
    """Something in a story: `kind` is caused, raised, told, escalated, acknowledged, returned, closed, ..."""

    at: datetime
    kind: str
    text: str


@dataclass
class Told:
    """A story as it goes on. `owed`: messages that the topic says were sent and that have not been caught yet.

    `incident` is the lockdown that it is about, as it stands.
    """

    story: Story
    site_id: str
    missing: str = ""
    cause: Cause | None = None
    alert: Fields | None = None
    incident: dict[str, Any] | None = None
    steps: list[Step] = field(default_factory=list)
    owed: set[tuple[str, str]] = field(default_factory=set)

    def done(self, kind: str) -> bool:
        """Whether a step of a kind was made."""
        return any(step.kind == kind for step in self.steps)

    @property
    def lacks(self) -> list[str]:
        """The steps that it needs and has not had."""
        wanted = list(_WANTED.get(self.story, _ALERTED))
        worst = any(step.kind == "raised" and step.text.startswith("critical") for step in self.steps)
        wanted += ["escalated"] if self.story is ESCALATES and not worst else []
        return [kind for kind in wanted if not self.done(kind)] + (["every message caught"] if self.owed else [])

    def as_json(self) -> dict[str, Any]:
        """Its name, site, cause, alert and steps; `complete`, or else what it lacks, or why it is not on the day."""
        return {
            "story": self.story.value,
            "site_id": self.site_id,
            "complete": not self.missing and not self.lacks,
            "missing": self.missing or None,
            "lacks": [] if self.missing else self.lacks,
            "alert_id": self.alert and self.alert["alert_id"],
            "steps": [{"at": one.at.isoformat(), "step": one.kind, "text": one.text} for one in self.steps],
        }


class People:
    """Who has which address."""

    def __init__(self, campus: Campus) -> None:
        found = [one for one in campus.records.get("recipient", {}).values() if isinstance(one, Recipient)]
        self._by_address = {(a.channel, a.to): one for one in reversed(found) for a in one.addresses}

    def of(self, caught: Fields) -> Recipient | None:
        """Whose address a caught message came to."""
        return self._by_address.get((caught["channel"], address_of(caught)))


def address_of(caught: Fields) -> str:
    """Where a caught message was sent."""
    body = caught.get("body")
    return str(body.get("to") if isinstance(body, dict) else "".join(caught.get("to", ())))


def text_of(caught: Fields) -> str:
    """All that a caught message says."""
    body = caught.get("body")
    said = body.get("message") if isinstance(body, dict) else body
    return f"{caught.get('subject') or ''}\n{caught.get('text') or ''}\n{said or ''}"


def tells_of(caught: Fields, alert: Fields) -> bool:
    """Whether a caught message is about an alert: it has its id, or, read out on the telephone, its summary."""
    text = text_of(caught)
    if caught["channel"] != "phone":
        return alert["alert_id"] in text
    return alert["summary"] in text and _moment(caught["at"]) >= _moment(alert["raised_at"])


class Stories:
    """All stories of a day. What goes to the topics and what is caught is given to it as it comes."""

    def __init__(self, campus: Campus) -> None:
        self.people = People(campus)
        self.told: dict[tuple[str, Story], Told] = {}
        self.leaks: list[str] = []
        self._duress: dict[str, Fields] = {}
        self._caught: list[Fields] = []
        words = [Wording().kind_in(DURESS, language) for language in LANGUAGES]
        self._words = [word.lower() for word in (*words, DURESS)]

    def on_story(self, told: Plan | Cause | Turn) -> None:
        """A story is on the day, or not, or begins, or goes on."""
        if isinstance(told, Plan):
            self.told[told.site_id, told.story] = Told(told.story, told.site_id, told.missing)
            return
        found = self.told[told.site_id, told.story]
        if isinstance(told, Turn):
            found.steps.append(Step(told.at, told.kind, told.what))
        elif found.cause is None:
            found.cause = told
            found.steps.append(Step(told.at, "caused", told.what))

    def on_alert(self, fields: Fields, *, monitoring: bool) -> None:
        """A transition of an alert, on the topic for everybody or that for monitoring."""
        if monitoring:
            self._duress[fields["alert_id"]] = fields
        elif fields.get("kind") == DURESS:
            self.leaks.append("an alert of duress is on the topic that everybody reads")
        found = self._story_of(fields)
        if found is not None:
            first, found.alert = found.alert is None, fields
            found.steps += _steps_of(fields, found)
            for caught in self._caught if first else ():
                # A message may be there before the alert has been read that it tells of.
                self._arrived(found, caught)

    def on_notification(self, fields: Fields, *, monitoring: bool) -> None:
        """What became of a message, on the topic for everybody or that for monitoring."""
        if not monitoring and fields["alert_id"] in self._duress:
            self.leaks.append(f"notifications tell {fields['recipient_id']} of duress")
        found = self._of_alert(fields["alert_id"])
        if found is not None and fields["type"] == "notification_sent" and not fields.get("digest_id"):
            found.owed.add((fields["recipient_id"], fields["channel"]))
            for caught in self._caught:
                self._match(found, caught)

    def on_caught(self, caught: Fields) -> None:
        """A message arrived where it was sent."""
        if not caught["taken"]:
            return
        self._caught.append(caught)
        for found in self.told.values():
            self._arrived(found, caught)

    def conclude(self) -> None:
        """Look once more through everything that was caught, now that every alert of duress is known."""
        for caught in self._caught:
            whom = self.people.of(caught)
            if whom is None or not whom.monitoring:
                self.leaks += [
                    f"{address_of(caught)} was told of duress by {caught['channel']}" for _ in self._marks(caught)
                ][:1]

    @property
    def waiting(self) -> bool:
        """Whether a story that has begun has not come to its end."""
        return any(one.cause is not None and one.lacks for one in self.told.values())

    def _marks(self, caught: Fields) -> Iterator[str]:
        text = text_of(caught)
        yield from (word for word in self._words if word in text.lower())
        for alert in self._duress.values():
            yield from (str(alert[name]) for name in ("alert_id", "summary", "cause_id") if str(alert[name]) in text)

    def _arrived(self, found: Told, caught: Fields) -> None:
        if found.alert is not None and tells_of(caught, found.alert):
            whom = self.people.of(caught)
            name = whom.name or whom.recipient_id if whom is not None else address_of(caught)
            found.steps.append(Step(_moment(caught["at"]), "told", f"{name} by {caught['channel']}"))
            self._match(found, caught)

    def _match(self, found: Told, caught: Fields) -> None:
        whom = self.people.of(caught)
        if whom is not None and found.alert is not None and tells_of(caught, found.alert):
            owed = {(id_, channel) for id_, channel in found.owed if channel == caught["channel"]}
            found.owed -= {one for one in owed if self._same(one[0], whom)}

    def _same(self, recipient_id: str, whom: Recipient) -> bool:
        return recipient_id == whom.recipient_id or recipient_id.startswith(f"{whom.recipient_id}-")

    def _of_alert(self, alert_id: str) -> Told | None:
        return next((one for one in self.told.values() if one.alert and one.alert["alert_id"] == alert_id), None)

    def _story_of(self, fields: Fields) -> Told | None:
        known = self._of_alert(fields["alert_id"])
        if known is not None:
            return known
        for found in self.told.values():
            cause = found.cause
            if cause is None or found.alert is not None:
                continue
            late = (_moment(fields["raised_at"]) - cause.at).total_seconds() >= -_EARLIER_S
            same = (fields["site_id"], fields["kind"]) == (cause.site_id, cause.alert_kind)
            if late and same and all(fields.get(name) == value for name, value in cause.place.items()):
                return found
        return None


def _steps_of(fields: Fields, before: Told) -> Iterator[Step]:
    at, severity = _moment(fields["updated_at"]), str(fields["severity"])
    kind = str(fields["type"]).removeprefix("alert_")
    by = f"by {fields['operator_id']}" if fields.get("operator_id") else "by itself"
    if kind == "raised":
        yield Step(at, kind, f"{severity}: {fields['summary']}")
    elif kind == "escalated":
        yield Step(at, kind, f"to {severity}: nobody had acknowledged")
    elif kind == "acknowledged":
        yield Step(at, kind, by)
    elif kind == "returned_to_normal":
        yield Step(at, "over", "the cause is gone")
    elif kind == "closed" and not before.done("closed"):
        yield Step(at, kind, f'{by}: "{fields["result"]}"')


def _moment(text: Any) -> datetime:
    try:
        return datetime.fromisoformat(str(text))
    except ValueError:
        return _DISTANT
