"""Templates against templates."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from streams.core.matching import normalised, scores

numbers = st.floats(allow_nan=False, allow_infinity=False)
vectors = st.lists(numbers, min_size=3, max_size=3)


@pytest.mark.parametrize(
    ("presented", "score"), [([2.0, 0.0], 1.0), ([1.0, 1.0], 0.5**0.5), ([0.0, 1.0], 0.0), ([-1.0, 0.0], 0.0)]
)
def test_a_score_is_the_cosine_and_never_below_nothing(presented: list[float], score: float) -> None:
    assert scores(presented, normalised([[1.0, 0.0]]))[0] == pytest.approx(score)


def test_a_template_of_zeros_is_like_nothing() -> None:
    assert list(scores([0.0, 0.0], normalised([[1.0, 0.0], [0.0, 0.0]]))) == [0.0, 0.0]


@given(vectors, st.lists(vectors, min_size=1, max_size=4))
def test_any_templates_have_a_score_between_nothing_and_one(
    presented: list[float], enrolled: list[list[float]]
) -> None:
    found = scores(presented, normalised(enrolled))
    assert ((found >= 0) & (found <= 1)).all()


@given(st.lists(st.floats(0.01, 100), min_size=2, max_size=4), st.sampled_from([1.0, 1e300, 1e-300]))
def test_a_template_is_like_itself_however_it_is_scaled(template: list[float], scale: float) -> None:
    assert scores([one * scale for one in template], normalised([template]))[0] == pytest.approx(1.0)
