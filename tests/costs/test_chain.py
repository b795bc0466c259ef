"""Chains that are cut where nothing shows any more, against the whole sum in exact arithmetic of many digits."""

from __future__ import annotations

from fractions import Fraction

import numpy as np
import pytest

from optimizer.costs.chain import ChainTable
from optimizer.verify.common.float_states import FloatStates


def residences(slots: int) -> np.ndarray[tuple[int, ...], np.dtype[np.float64]]:
    """A server that hardly slows down, one that does, and one that takes steps."""
    n = np.arange(1, slots + 1)
    return np.stack([100 + 0.1 * n, 20 + 3.0 * n, 50 + 40 * np.ceil(n / 8)])


def behind(residence: np.ndarray[tuple[int, ...], np.dtype[np.float64]], rate: float, width: int) -> Fraction:
    """The share of all states behind a width, the geometric tail counted."""
    weight, total, after = Fraction(1), Fraction(1), Fraction(0)
    for n, stay in enumerate(residence.tolist(), start=1):
        weight *= Fraction(rate) * Fraction(stay) / n
        weight = Fraction(weight).limit_denominator(10**60) if weight > Fraction(1, 10**40) else weight
        total += weight
        after += weight if n > width else 0
    ratio = Fraction(rate) * Fraction(residence[-1]) / len(residence)
    rest = weight * ratio / (1 - ratio)
    return (after + rest) / (total + rest)


@pytest.mark.parametrize("load", [0.001, 0.1, 0.5, 0.9])
def test_what_is_cut_off_shows_in_no_sum(load: float) -> None:
    slots = 300
    residence = residences(slots)
    table, states = ChainTable(residence), FloatStates(residence, slots)
    for shape, line in enumerate(residence):
        rate = load * slots / float(line[-1])
        shapes, rates = np.array([shape]), np.array([rate])
        level = int(table.level_of(shapes, rates)[0])
        for width in (table.widths[level], int(states.enough(shapes, rates)[0])):
            assert width == slots or behind(line, rate, width) * slots**3 < Fraction(1, 10**12)
    assert table.widths[int(table.level_of(np.array([0]), np.array([0.01]))[0])] == 64


def test_the_fewest_that_complete_what_arrives() -> None:
    residence = residences(100)
    table = ChainTable(residence)
    n = np.arange(1, 101)
    for shape, line in enumerate(residence):
        for rate in np.linspace(0.001, 1.2 * float((n / line).max()), 17):
            enough = np.flatnonzero(n / line >= rate)
            expected = int(enough[0]) + 1 if len(enough) else 101
            assert table.fewest_completing(100, np.array([shape]), np.array([rate])).tolist() == [expected]
