"""How many messages a recipient gets."""

from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st

from streams.core.rates import MINUTE_MS, Rate


@given(
    burst=st.integers(1, 50),
    per_minute=st.integers(1, 600),
    pauses=st.lists(st.integers(0, 120_000), min_size=1, max_size=200),
)
def test_no_window_lets_more_pass_than_the_burst_and_its_minutes(
    burst: int, per_minute: int, pauses: list[int]
) -> None:
    rate = Rate(burst, per_minute)
    tokens, at_ms, now_ms = float(burst), 0, 0
    passed: list[int] = []
    for pause in pauses:
        now_ms += pause
        tokens, at_ms = rate.refilled(tokens, at_ms, now_ms), now_ms
        if tokens >= 1:
            tokens -= 1
            passed.append(now_ms)
    for index, begin in enumerate(passed):
        for count, end in enumerate(passed[index:], start=1):
            assert count <= burst + (end - begin) * per_minute / MINUTE_MS + 1e-6


@given(burst=st.integers(1, 50), per_minute=st.integers(1, 600), tokens=st.floats(0, 1, exclude_max=True))
def test_there_is_a_token_when_it_is_said_to_be_there(burst: int, per_minute: int, tokens: float) -> None:
    rate = Rate(burst, per_minute)
    assert rate.refilled(tokens, 0, rate.next_ms(tokens, 0)) >= 1 - 1e-9
    assert rate.refilled(tokens, 0, rate.full_ms(tokens, 0)) >= burst - 1e-9
