"""Whether policies make sense: who may do what, and what is named in them."""

from __future__ import annotations

from collections import Counter

from schemas.lockdown_plans import USUAL_PLAN
from schemas.places import Site, Zone
from schemas.rules import Policy
from streams.loading.draft import Draft
from streams.loading.referring import refer


def check_policies(draft: Draft) -> None:
    """Find operators without rights or given twice, and what policies name that is not there."""
    policies: dict[str, Policy] = draft.records["policy"]
    for id_, policy in policies.items():
        if policy.threats.working_hours is not None:
            refer(draft, "policy", id_, "threats", "schedule", policy.threats.working_hours)
        operators = Counter(operator.operator_id for operator in policy.operators)
        for operator, count in operators.items():
            if count > 1:
                draft.wrong("policy", id_, ("operators",), f"operators: {operator} is given {count} times")
        for index, rights in enumerate(policy.operators):
            if not rights.rights:
                draft.wrong("policy", id_, ("operators", index), f"operators: {rights.operator_id} has no rights")
    _plans(draft, policies)


def _plans(draft: Draft, policies: dict[str, Policy]) -> None:
    """What is proposed against a threat in a zone is started as a plan of its site's policy."""
    sites: dict[str, Site] = draft.records["site"]
    zones: dict[str, Zone] = draft.records["zone"]
    used = [(site.policy_id, site.policy_id) for site in sites.values()]
    used += [(zone.policy_id, sites[zone.site_id].policy_id) for zone in zones.values()
             if zone.policy_id is not None and zone.site_id in sites]  # fmt: skip
    for id_, of_site in dict.fromkeys(used):
        policy, own = policies.get(id_), policies.get(of_site)
        if policy is None or own is None or policy.threats.plan is None:
            continue
        known = [plan.plan_id for plan in own.lockdowns or (USUAL_PLAN,)]
        if policy.threats.plan not in known:
            text = f"threats: plan {policy.threats.plan} is none of policy {of_site}: {', '.join(known)}"
            draft.wrong("policy", id_, ("threats", "plan"), text)
