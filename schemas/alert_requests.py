"""What operators ask for about alerts. A request is named like the transition that it asks for on `alerts`."""

from __future__ import annotations

from typing import Annotated, Literal

from pydantic import Field

from schemas.base import Id, Text
from schemas.operators import OperatorRequest


class AlertRequest(OperatorRequest):
    """A request about one alert; `reason` is kept with it as the comment."""

    alert_id: Id


class AcknowledgeAlert(AlertRequest):
    """I know of it: no further escalation."""

    type: Literal["alert_acknowledged"] = "alert_acknowledged"


class CommentAlert(AlertRequest):
    """Write the `reason` down."""

    type: Literal["alert_commented"] = "alert_commented"


class AssignAlert(AlertRequest):
    """Somebody is to handle it; null: nobody in particular any longer."""

    type: Literal["alert_assigned"] = "alert_assigned"
    assigned_to: Id | None


class ShelveAlert(AlertRequest):
    """Put it aside for so long, at most as long as the policy allows; 0 ends the shelving now."""

    type: Literal["alert_shelved"] = "alert_shelved"
    shelve_s: Annotated[int, Field(ge=0, le=604_800)]


class ResolveAlert(AlertRequest):
    """It is handled, with this result. Refused while the cause is active."""

    type: Literal["alert_resolved"] = "alert_resolved"
    result: Annotated[Text, Field(min_length=1)]


class CloseAlert(AlertRequest):
    """Close it; with a result unless it has one. Refused while the cause is active, unless forced by who may."""

    type: Literal["alert_closed"] = "alert_closed"
    result: Text = ""
    force: bool = False
