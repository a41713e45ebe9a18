"""How often each controller is to be heard, by the policy of its site."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from schemas.rules import DeviceTiming
from streams.loading.campus import Campus


def timings(campus: Campus) -> dict[str, DeviceTiming]:
    """Of each device: that of its model, or that of its site's policy."""
    records: Mapping[str, Mapping[str, Any]] = campus.records
    found: dict[str, DeviceTiming] = {}
    for device_id, device in records["device"].items():
        monitoring = records["policy"][records["site"][device.site_id].policy_id].monitoring
        own = next((kind for kind in monitoring.types if kind.model == device.model), None)
        found[device_id] = own or monitoring
    return found
