"""What operators ask for about the repair of devices (D3)."""

from __future__ import annotations

from typing import Annotated, Literal

from pydantic import Field

from schemas.base import Id, Text
from schemas.operators import OperatorRequest


class RepairRequest(OperatorRequest):
    """A request about one repair case of a device; `reason` is kept with it as the comment."""

    device_id: Id
    case_id: Id


class RepairAssignRequested(RepairRequest):
    """Somebody is to repair it; null: nobody in particular any longer."""

    type: Literal["repair_assign_requested"] = "repair_assign_requested"
    assigned_to: Id | None


class RepairDoneRequested(RepairRequest):
    """It is repaired, with this result: the device is asked for its state, which verifies it."""

    type: Literal["repair_done_requested"] = "repair_done_requested"
    result: Annotated[Text, Field(min_length=1)]


class RepairCloseRequested(RepairRequest):
    """Close the case; with a result unless it has one. Refused while the fault is there, unless forced by who may."""

    type: Literal["repair_close_requested"] = "repair_close_requested"
    result: Text = ""
    force: bool = False
