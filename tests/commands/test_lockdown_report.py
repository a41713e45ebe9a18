"""The report of a lockdown."""

from __future__ import annotations

import json
from typing import Any

from streams.commands.lockdown import page
from streams.commands.lockdown_report import html_report, seconds_until
from tests.core.emergency import Site, incident_id


def a_lockdown(**fields: Any) -> list[Any]:
    """All that is told of one, from its start to its end."""
    site = Site()
    site.shut("front", "lab")
    found = site.lock_down("lab", "high", **fields)
    told = [*found, *site.obey(found), *site.wait(2)]
    released = site.release(incident_id(found))
    told += [*released, *site.obey(released), *site.wait(2)]
    return [json.loads(one.to_json()) for one in told if one.type.startswith("lockdown_")]


def test_it_tells_when_all_doors_had_confirmed_and_who_gave_the_all_clear() -> None:
    steps = a_lockdown()
    last = steps[-1]
    assert last["type"] == "lockdown_released"
    assert seconds_until(last, "confirmed_at") == 0
    assert seconds_until(last, "released_at") == 2.25
    report = html_report(last, steps)
    for wanted in ("Lockdown of hall", "after 2.25 s", "op-7: an intruder", "lockdown_confirmed", "2/2"):
        assert wanted in report
    assert any("2/2 confirmed" in line for line in page(last))


def test_what_somebody_wrote_is_text_and_no_markup() -> None:
    steps = a_lockdown(reason="<script>alert(1)</script>")
    report = html_report(steps[0], steps)
    assert "<script" not in report
    assert "&lt;script&gt;" in report
    assert "Doors that were not" not in report
