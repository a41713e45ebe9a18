"""The stories of a demo for people: a heading, and a line for each step, with what many are told alike as one."""

from __future__ import annotations

from collections.abc import Sequence

from streams.commands.stories import Step, Told
from streams.simulator.scene import Story

TITLES = {
    Story.HELD_DOOR: "a door held open",
    Story.DYING_CONTROLLER: "a controller that dies",
    Story.PIN_GUESSER: "a PIN guesser",
    Story.DURESS_PIN: "a duress PIN",
    Story.FORCED_DOOR: "a door forced open",
    Story.LOCKDOWN_DRILL: "a lockdown drill",
    Story.LOCKDOWN: "a lockdown",
}
_MANY, _AND = ("refused", "let out", "let in alone", "alert"), ", and "


def lines_of(told: Sequence[Told]) -> list[str]:
    """Stories for people: a heading for each, and its steps with the seconds since its cause."""
    lines: list[str] = []
    for one in told:
        lines += [
            "",
            f"{TITLES[one.story]}, {one.site_id}" + (f": not on this day, {one.missing}" if one.missing else ""),
        ]
        lines += [line_of(step, one) for step in together(one.steps)]
        if one.lacks and not one.missing:
            lines.append(f"   it did not come to its end: there is no {', no '.join(one.lacks)}")
    return lines


def together(steps: Sequence[Step]) -> list[Step]:
    """The steps in order; messages that follow each other as one, and so the progress and what many are told alike."""
    found: list[Step] = []
    for step in sorted(steps, key=lambda step: step.at):
        same = next((number for number, one in enumerate(found) if one.kind == step.kind), None)
        if found and found[-1].kind == step.kind == "told":
            found[-1] = found[-1]._replace(text=_joined(found[-1].text, step.text))
        elif found and found[-1].kind == step.kind == "confirmed":
            found[-1] = step
        elif same is not None and step.kind in _MANY:
            found[same] = found[same]._replace(text=_one_more(found[same].text))
        else:
            found.append(step)
    return found


def _one_more(text: str) -> str:
    """`A and 2 more` of `A and 1 more`."""
    first, _, more = text.partition(_AND)
    return f"{first}{_AND}{int(more.removesuffix(' more') or 0) + 1} more"


def _joined(text: str, more: str) -> str:
    """`A by sms` and `A by phone` as `A by sms and phone`."""
    name, _, channel = more.rpartition(" by ")
    parts = text.split(", ")
    for number, part in enumerate(parts):
        if part.startswith(f"{name} by "):
            if channel not in part.removeprefix(f"{name} by ").split(" and "):
                parts[number] = f"{part} and {channel}"
            return ", ".join(parts)
    return f"{text}, {more}"


def line_of(step: Step, told: Told) -> str:
    """A step in one line."""
    since_s = (step.at - (told.cause.at if told.cause is not None else step.at)).total_seconds()
    return f"{max(0.0, since_s):7.1f} s  {step.kind:13} {step.text}"
