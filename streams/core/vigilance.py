"""What the site looks out for among the outcomes of each cause, after it has decided: threats and abnormal passages.

Nothing here changes what was decided, and whoever waits at a door is let in or not before it. A cause without anything
of interest costs a look-up for each of its outcomes.
"""

from __future__ import annotations

from collections.abc import Sequence

from schemas.access import AccessGranted, AccessNotTaken
from schemas.incidents import LockdownEscalated, LockdownReleased, LockdownStarted
from streams.core.abnormal import look_at
from streams.core.processor import Arrival, Cause, Context, Outcome, State
from streams.core.threat_signs import TELLERS, signs_of
from streams.core.threat_state import threats_key
from streams.core.threat_work import ThreatWork
from streams.core.threats import procedure_began, procedure_ended, suspect

_OF_INTEREST = frozenset({*TELLERS, AccessNotTaken, LockdownStarted, LockdownEscalated, LockdownReleased})


def watch(outcomes: Sequence[Outcome], cause: Cause, state: State, context: Context) -> Sequence[Outcome]:
    """The outcomes, and what follows from those that threaten or are abnormal."""
    found = [one for one in outcomes if type(one) in _OF_INTEREST and not _usual(one, state)]
    if not found:
        return outcomes
    work = ThreatWork(state, context, _at_ms(cause, context))
    for one in found:
        # First, so that what begins heightened monitoring is not on its record.
        look_at(one, work)
        if isinstance(one, LockdownStarted | LockdownEscalated):
            procedure_began(one, work)
        elif isinstance(one, LockdownReleased):
            procedure_ended(one, work)
        for sign in signs_of(one):
            suspect(sign, work)
    return [*outcomes, *work.outcomes()]


def _usual(outcome: Outcome, state: State) -> bool:
    """A grant that broke no rule, at a site that nothing threatens: most of all that is decided."""
    if type(outcome) is not AccessGranted or outcome.soft_breaches:
        return False
    return state.get(threats_key(outcome.site_id)) is None


def _at_ms(cause: Cause, context: Context) -> int:
    """When it happened, as far as windows go: by the broker's append time, or the deadline."""
    at_ms = cause.record.timestamp_ms if isinstance(cause, Arrival) else cause.deadline_ms
    return min(at_ms, context.now_ms)
