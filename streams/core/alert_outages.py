"""Controllers that fall silent together are one trouble, that of the switch or line which they share (M3).

Where so many controllers behind one part of the network fall silent within so long of each other, as the policy says,
one alert is raised, and theirs wait under it. Who falls silent later, or alone, is told of as ever.
"""

from __future__ import annotations

import msgspec

from schemas.alerts import AlertSuppressed
from streams.core import reference
from streams.core.alert_state import (
    RECHECK_MS,
    Case,
    Outage,
    Outages,
    Pointer,
    outage_key,
    outages_key,
    pointer_key,
)
from streams.core.alert_work import Work
from streams.core.troubles import LONGEST_SUMMARY, NETWORK_OUTAGE, OFFLINE, Trouble, dedup_key

MOST_BEFORE = 4
"""Controllers that the alert of an outage names as what led to it."""
MOST_OUTAGES = 64
"""Of a site, at the same time, that the alert of the whole site suppresses at once; others when they are due."""

_replace = msgspec.structs.replace


def fall_silent(trouble: Trouble, work: Work) -> Trouble | None:
    """Take note that a controller is offline; gives the trouble that it shares with others, if there is one now."""
    if trouble.kind != OFFLINE or trouble.device_id is None:
        return None
    known = _case_of(trouble.dedup_key, work)
    if known is not None and known.active:
        return None
    site_id, device_id, now_ms = trouble.site_id, trouble.device_id, work.now_ms
    rules = work.rules(site_id)
    within_ms = rules.outage_within_s * 1000
    part = part_of(device_id, work)
    key = outage_key(site_id, part)
    outage: Outage = work.get(key) or Outage()
    recent = tuple(one for one in outage.recent if one[0] > now_ms - within_ms and one[1] != device_id)
    recent = (*recent, (now_ms, device_id))[-rules.outage_controllers :]
    if outage.alert_id is not None and now_ms <= outage.joined_ms + within_ms:
        work.put(key, _replace(outage, members=outage.members + 1, joined_ms=now_ms, recent=()))
        root = work.case(outage.alert_id)
        if root is not None:
            work.keep(root, count=root.count + 1)
        return None
    until_ms = now_ms + within_ms if outage.alert_id is None else None
    work.put(key, _replace(outage, recent=recent, until_ms=until_ms))
    if len(recent) < rules.outage_controllers:
        return None
    where = f"{site_id} behind {part}" if part else site_id
    summary = f"Controllers of {where} fell silent together: their network or power"
    others = [_case_of(_key_of(trouble, one), work) for _, one in recent[:-1]]
    before = tuple(led for case in others if case is not None for led in case.led_to[-1:])
    return Trouble(
        site_id=site_id,
        kind=NETWORK_OUTAGE,
        where=f"upstream/{part}" if part else site_id,
        type=trouble.type,
        cause_id=trouble.cause_id,
        summary=summary[:LONGEST_SUMMARY],
        clears=True,
        before=before[-MOST_BEFORE:],
        upstream=part,
    )


def part_of(device_id: str | None, work: Work) -> str:
    """The part of the network that a controller hangs on; empty where nobody has said."""
    device = None if device_id is None else reference.device(work.context.references, device_id)
    return "" if device is None else device.upstream or ""


def begin(root: Case, work: Work) -> None:
    """The alert of an outage is there: those that fell silent together are its members, and wait."""
    rules = work.rules(root.site_id)
    key = outage_key(root.site_id, root.upstream)
    outage: Outage = work.get(key) or Outage()
    inhibits = any(one.by == NETWORK_OUTAGE and OFFLINE in one.only for one in rules.inhibitions)
    members = outage.members if outage.alert_id == root.alert_id else 0
    work.put(
        key,
        Outage(
            alert_id=root.alert_id,
            members=members + len(outage.recent),
            joined_ms=work.now_ms,
            enough=rules.outage_controllers,
            inhibits=inhibits,
        ),
    )
    work.keep(root, count=root.count + len(outage.recent) - 1)
    known: Outages = work.get(outages_key(root.site_id)) or Outages()
    if root.upstream not in known.parts and len(known.parts) < MOST_OUTAGES:
        work.put(outages_key(root.site_id), Outages((*known.parts, root.upstream)))
    for _, device_id in outage.recent:
        case = _case_of(_key_of(root, device_id), work)
        if case is not None and case.active:
            suppress(work.keep(case, outage=root.alert_id), work)


def suppress(case: Case, work: Work) -> None:
    """Have an alert wait for what inhibits it at its site, unless it is quiet or somebody's already."""
    by = work.inhibitor_afar(case)
    if by is not None and not case.quiet and case.acknowledged_ms is None:
        acting = case.acting and case.acting.paused()
        work.tell(AlertSuppressed, case, suppressed_by=by, recheck_ms=work.now_ms + RECHECK_MS, acting=acting)


def joined(case: Case, work: Work) -> Case:
    """An alert that is being raised or has come back, as the member of the outage that its controller has joined."""
    if case.kind != OFFLINE:
        return case
    outage: Outage | None = work.get(outage_key(case.site_id, case.upstream))
    joins = outage is not None and outage.alert_id is not None and not outage.recent
    return _replace(case, outage=outage.alert_id if outage is not None and joins else None)


def leave(case: Case, work: Work) -> Case | None:
    """A controller is offline no longer, or nobody's any more; gives the alert of its outage where that is over now."""
    if case.kind != OFFLINE:
        return None
    key = outage_key(case.site_id, case.upstream)
    outage: Outage | None = work.get(key)
    if outage is None:
        return None
    recent = tuple(one for one in outage.recent if one[1] != case.device_id)
    if outage.alert_id is None:
        work.put(key, _replace(outage, recent=recent) if recent else None)
        return None
    left = outage.members - int(case.outage == outage.alert_id)
    work.put(key, _replace(outage, recent=recent, members=left))
    return work.case(outage.alert_id) if left < outage.enough else None


def end(root: Case, work: Work) -> None:
    """The alert of an outage is over, or its cause is: its members look for themselves, each at its own time."""
    key = outage_key(root.site_id, root.upstream)
    outage: Outage | None = work.get(key)
    if root.kind != NETWORK_OUTAGE or outage is None or outage.alert_id != root.alert_id:
        return
    work.put(key, None)
    known: Outages = work.get(outages_key(root.site_id)) or Outages()
    parts = tuple(one for one in known.parts if one != root.upstream)
    work.put(outages_key(root.site_id), Outages(parts) if parts else None)


def suppress_all(site_id: str, work: Work) -> None:
    """The whole site has a trouble that explains its outages."""
    known: Outages = work.get(outages_key(site_id)) or Outages()
    for part in known.parts:
        outage: Outage | None = work.get(outage_key(site_id, part))
        root = None if outage is None or outage.alert_id is None else work.case(outage.alert_id)
        if root is not None:
            suppress(root, work)


def _case_of(dedup_key: str, work: Work) -> Case | None:
    pointer: Pointer | None = work.get(pointer_key(dedup_key))
    return None if pointer is None else work.case(pointer.alert_id)


def _key_of(beside: Trouble | Case, device_id: str) -> str:
    return dedup_key(beside.site_id, OFFLINE, device_id)
