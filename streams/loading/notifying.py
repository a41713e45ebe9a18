"""Whether somebody is told of every alert: recipients, rotas, and the names that policies ask for."""

from __future__ import annotations

from collections.abc import Iterator, Mapping

from schemas.places import Site
from schemas.recipients import OnCall, Recipient
from schemas.rules import Policy
from streams.loading.draft import Draft
from streams.loading.problems import nearest


def check_notifying(draft: Draft) -> None:
    """Find who is named and can't be told. A folder that says nothing of recipients leaves that to another one."""
    recipients: Mapping[str, Recipient] = draft.records["recipient"]
    rotas: Mapping[str, OnCall] = draft.records["on-call"]
    _sites(draft, recipients, rotas)
    _rotas(draft, recipients, rotas)
    if any(name in {"recipient", "on-call"} for name, _ in draft.broken):
        return
    told = bool(recipients or rotas)
    sites: Mapping[str, Site] = draft.records["site"]
    for site in sites.values():
        policy: Policy | None = draft.records["policy"].get(site.policy_id)
        if policy is not None and (told or "alerts" in draft.origins["policy"][site.policy_id].fields):
            _policy(draft, policy, site.site_id, recipients, rotas)
        if told and not any(one.monitoring and _told_at(one, site.site_id) for one in recipients.values()):
            text = "nobody is told of duress here: give a recipient that is told of its alerts `monitoring: yes`"
            draft.wrong("site", site.site_id, (), text)


def _told_at(one: Recipient | OnCall, site_id: str) -> bool:
    active = isinstance(one, OnCall) or one.status == "active"
    return active and (not one.site_ids or site_id in one.site_ids)


def _sites(draft: Draft, recipients: Mapping[str, Recipient], rotas: Mapping[str, OnCall]) -> None:
    found: list[tuple[str, str, Recipient | OnCall]] = [("recipient", id_, one) for id_, one in recipients.items()]
    found += [("on-call", id_, one) for id_, one in rotas.items()]
    for name, id_, one in found:
        for index, site_id in enumerate(one.site_ids):
            if not draft.known("site", site_id):
                draft.wrong(name, id_, ("sites", index), f"sites: there is no site {site_id}")


def _rotas(draft: Draft, recipients: Mapping[str, Recipient], rotas: Mapping[str, OnCall]) -> None:
    for id_, rota in rotas.items():
        if id_ in recipients:
            draft.wrong("on-call", id_, ("id",), "is a recipient's id already: whoever names it can mean one only")
        for at, member in _named(rota):
            if not draft.known("recipient", member):
                what = "a rota: its members are recipients" if member in rotas else "no recipient"
                near = "" if member in rotas else nearest(member, recipients)
                draft.wrong("on-call", id_, at, f"{at[0]}: {member} is {what}{near}")
            elif member in recipients and recipients[member].status != "active":
                draft.wrong("on-call", id_, at, f"{at[0]}: recipient {member} is inactive")


def _named(rota: OnCall) -> Iterator[tuple[tuple[str | int, ...], str]]:
    for index, member in enumerate(rota.members):
        yield ("members", index), member
    for index, stand_in in enumerate(rota.stand_ins):
        yield ("stand_ins", index, "recipient"), stand_in.recipient_id


def _policy(
    draft: Draft, policy: Policy, site_id: str, recipients: Mapping[str, Recipient], rotas: Mapping[str, OnCall]
) -> None:
    names = {id_ for id_, one in recipients.items() if _told_at(one, site_id)}
    names |= {id_ for id_, rota in rotas.items() if _told_at(rota, site_id)}
    names |= {group for one in recipients.values() if _told_at(one, site_id) for group in one.groups}
    for index, level in enumerate(policy.alerts.levels):
        for number, asked in enumerate(level.recipients):
            if asked not in names:
                at = ("alerts", "levels", index, "recipients", number)
                who = f"{asked}, and nobody is{_hint(asked, names)}"
                text = f"alerts: {level.severity} alerts of site {site_id} are for {who}"
                draft.wrong("policy", policy.policy_id, at, text)


def _hint(asked: str, names: set[str]) -> str:
    return nearest(asked, names) or ": name it in recipients.yaml (an id or a group) or on-call.yaml"
