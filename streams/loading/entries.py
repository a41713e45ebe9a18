"""From entries to records: the zone tree, doors with their readers, holidays of a country, permissions of many."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import date
from typing import Any
from zoneinfo import ZoneInfo

import holidays

from schemas.people import Permission
from schemas.places import Door, Site
from schemas.reference import BY_NAME
from streams.loading.draft import Draft
from streams.loading.problems import nearest
from streams.loading.sources import Node

PLAIN = {
    "devices": "device",
    "access-points": "access-point",
    "policies": "policy",
    "schedules": "schedule",
    "cardholders": "cardholder",
    "credentials": "credential",
    "recipients": "recipient",
    "on-call": "on-call",
    "subscriptions": "subscription",
}
"""Files whose entries are records just so."""

AT_A_SITE = frozenset({"zone", "device", "door", "access-point", "permission"})
_DOOR_WORDS = ("from", "to", "policy", "exit_reader")
_HOLIDAY_WORDS = ("country", "subdivision", "years", "working_days")
_PERMISSION_WORDS = ("departments", "cardholders", "everyone")
_YES_NO = {"yes": True, "true": True, "no": False, "false": False}
_LONGEST_ID = 128
_NAMELESS = "nameless"
_MOST_YEARS = 30


def _sites(nodes: Sequence[Node], draft: Draft) -> dict[str, str]:
    """Make records of the sites; gives the only one, for the entries that name none.

    What is wrong with a site is no other entry's mistake: they are read as if it were right.
    """
    for node in nodes:
        draft.read("site", node)
    sites: dict[str, Site] = draft.records["site"]
    draft.reader.zone = ZoneInfo(next((one.time_zone for one in sites.values()), "UTC")) if nodes else None
    named = {node.at("id").text or _NAMELESS for node in nodes}
    draft.broken.update(("site", id_) for id_ in named - sites.keys())
    return {"site_id": named.pop()} if len(named) == 1 else {}


def read_entries(entries: dict[str, list[Node]], draft: Draft) -> None:
    """Make records of all entries but those with secrets."""
    given = _sites(entries["site"], draft)
    for node in entries["zones"]:
        _zone(node, None, given, draft)
    for file, name in PLAIN.items():
        for node in entries[file]:
            draft.read(name, node, given if name in AT_A_SITE else None)
    for node in entries["doors"]:
        _door(node, given, draft)
    for node in entries["holidays"]:
        _calendar(node, draft)
    departments: dict[str, list[str]] = {}
    for cardholder in draft.records["cardholder"].values():
        departments.setdefault(cardholder.department, []).append(cardholder.cardholder_id)
    for node in entries["permissions"]:
        _permission(node, given, departments, draft)


def _zone(node: Node, parent: str | None, given: dict[str, Any], draft: Draft) -> None:
    own = dict(given)
    if parent is not None:
        own["parent_id"] = parent
    if parent is not None and "parent" in node.fields:
        draft.problems.append(node.at("parent").problem("a zone inside another one needs no parent: leave it out"))
    draft.read("zone", node, own, ("zones",))
    site: str | None = node.at("site").text if "site" in node.fields else given.get("site_id")
    below = node.fields.get("zones")
    if below is None:
        return
    if not isinstance(below.value, tuple):
        draft.problems.append(below.problem("zones is a list of zones"))
        return
    for child in below.value:
        _zone(child, node.at("id").text or "", {"site_id": site} if site else {}, draft)


def _door(node: Node, given: dict[str, Any], draft: Draft) -> None:
    """A door; with `from` and `to`, also its readers: `<id>-in`, and `<id>-out` unless `exit_reader: no`."""
    if any(name in node.fields for name in ("from", "to")):
        for name in ("from", "to"):
            if node.fields.get(name) is None or node.fields[name].text is None:
                id_ = node.at("id").text or ""
                draft.problems.append(node.problem(f"door {id_}: {name}: a door leads from one zone to another"))
    door: Door | None = draft.read("door", node, given, _DOOR_WORDS)
    exit_reader = _yes(node, "exit_reader", draft, default=True)
    if door is None:
        own_id = node.at("id").text
        draft.broken |= {("access-point", f"{own_id}-in"), ("access-point", f"{own_id}-out")}
        return
    zone_from, zone_to = node.fields.get("from"), node.fields.get("to")
    if zone_from is None or zone_to is None or zone_from.text is None or zone_to.text is None:
        return
    entry: dict[str, Node] = {
        "id": Node(node.file, node.line, f"{door.door_id}-in"),
        "direction": Node(node.file, node.line, "entry"),
        "door": node.at("id"),
        "zone_from": zone_from,
        "zone_to": zone_to,
    }
    if "policy" in node.fields:
        entry["policy"] = node.fields["policy"]
    draft.read("access-point", Node(node.file, node.line, entry), {"site_id": door.site_id})
    if exit_reader:
        way_out = entry | {
            "id": Node(node.file, node.line, f"{door.door_id}-out"),
            "direction": Node(node.file, node.line, "egress"),
            "zone_from": zone_to,
            "zone_to": zone_from,
        }
        way_out.pop("policy", None)
        draft.read("access-point", Node(node.file, node.line, way_out), {"site_id": door.site_id})


def _yes(node: Node, name: str, draft: Draft, *, default: bool) -> bool:
    given = node.fields.get(name)
    if given is None or given.value is None:
        return default
    answer = _YES_NO.get((given.text or "").lower())
    if answer is None:
        draft.problems.append(given.problem(f"{name}: yes or no, not {given.text!r}"))
        return default
    return answer


def _calendar(node: Node, draft: Draft) -> None:
    """A calendar; with `country` and `years`, that country's public holidays less `working_days`, plus its own days."""
    own = node.fields.get("days")
    days: dict[str, Node] = {}
    if "country" in node.fields:
        days = {day.isoformat(): _day(node.at("country"), day, name) for day, name in _public(node, draft)}
    for day in node.at("working_days").items if "working_days" in node.fields else ():
        if days.pop(day.text or "", None) is None:
            draft.problems.append(day.problem(f"working_days: {day.text} is no holiday of that country in these years"))
    for given in own.items if own is not None else ():
        days[given.at("date").text or f"?{len(days)}"] = given
    listed = Node(node.file, own.line if own is not None else node.line, tuple(days[key] for key in sorted(days)))
    draft.read("holiday-calendar", Node(node.file, node.line, {**node.fields, "days": listed}), None, _HOLIDAY_WORDS)


def _day(at: Node, day: date, name: str) -> Node:
    fields = {"date": Node(at.file, at.line, day.isoformat()), "name": Node(at.file, at.line, name)}
    return Node(at.file, at.line, fields)


def _public(node: Node, draft: Draft) -> Sequence[tuple[date, str]]:
    country, years = node.at("country"), node.at("years")
    first, _, last = (years.text or "").partition("-")
    if "years" not in node.fields or not first.isdecimal() or not (last or first).isdecimal():
        draft.problems.append(node.at("years").problem("years: give a span such as 2026-2028"))
        return ()
    span = range(int(first), int(last or first) + 1)
    if not 1 <= len(span) <= _MOST_YEARS or span[0] < 1 or span[-1] > date.max.year:
        draft.problems.append(years.problem(f"years: a span of 1 to {_MOST_YEARS} years, not {years.text!r}"))
        return ()
    part = node.at("subdivision").text if "subdivision" in node.fields else None
    known = holidays.list_supported_countries()
    if country.text not in known:
        draft.problems.append(country.problem(f"country {country.text!r} is not known: give a code such as CN or DE"))
        return ()
    if part is not None and part not in known[country.text]:
        text = f"subdivision {part!r} is not known{nearest(part, known[country.text])}"
        draft.problems.append(node.at("subdivision").problem(text))
        return ()
    found: Sequence[tuple[date, str]] = sorted(
        holidays.country_holidays(country.text, subdiv=part, years=span, language="en_US").items()
    )
    return found


def _permission(node: Node, given: dict[str, Any], departments: dict[str, list[str]], draft: Draft) -> None:
    """A permission of one cardholder; or one for each of `cardholders`, `departments` or `everyone`: `<id>/<who>`."""
    many = [name for name in _PERMISSION_WORDS if name in node.fields]
    if not many:
        draft.read("permission", node, given)
        return
    if "cardholder" in node.fields:
        draft.problems.append(node.at("cardholder").problem(f"give either cardholder or {many[0]}"))
        return
    people = _people(node, departments, draft)
    if not people:
        if many == ["everyone"]:
            draft.problems.append(node.problem(f"permission {node.at('id').text} is for nobody"))
        return
    id_ = node.at("id").text or ""
    first = draft.reader.record(
        BY_NAME["permission"], node, {**given, "cardholder_id": next(iter(people))}, _PERMISSION_WORDS
    )
    if not isinstance(first, Permission):
        return
    for who in people:
        if len(f"{id_}/{who}") > _LONGEST_ID:
            draft.problems.append(node.problem(f"permission {id_}/{who}: the id is longer than {_LONGEST_ID}"))
            continue
        one = first.model_copy(update={"permission_id": f"{id_}/{who}", "cardholder_id": who})
        draft.add("permission", one, node)


def _people(node: Node, departments: dict[str, list[str]], draft: Draft) -> dict[str, Node]:
    """Who is meant by an entry for many, each with the node that says so."""
    people: dict[str, Node] = {}
    if _yes(node, "everyone", draft, default=False):
        people = dict.fromkeys(draft.records["cardholder"], node)
    for item in node.at("cardholders").items if "cardholders" in node.fields else ():
        people[item.text or ""] = item
    for item in node.at("departments").items if "departments" in node.fields else ():
        found = departments.get(item.text or "")
        if found is None:
            text = f"department {item.text} has nobody{nearest(item.text or '', departments)}"
            draft.problems.append(item.problem(text))
        people.update(dict.fromkeys(found or (), item))
    return people
