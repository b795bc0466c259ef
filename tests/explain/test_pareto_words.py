"""Shares served that two points of a front differ in are told apart in words."""

from __future__ import annotations

import pytest

from optimizer.explain.common.pareto import served


@pytest.mark.parametrize(
    ("first", "second", "words"),
    [
        (4.52e-5, 1.74e-5, ("99.99548%", "99.99826%")),
        (4.5203e-5, 4.5199e-5, ("99.9954797%", "99.9954801%")),
        (0.1, 0.05, ("90.00%", "95.00%")),
        (0.1, 0.1, ("90.00%", "90.00%")),
        (1e-9, 0.0, ("99.999999900%", "more than 99.9999999999%")),
    ],
)
def test_different_shares_have_different_words(first: float, second: float, words: tuple[str, str]) -> None:
    assert (served(first, second), served(second, first)) == words
