"""Points of a front that differ in availability by less than anybody knows failure rates are one point."""

from __future__ import annotations

from optimizer.results.front import RESOLUTION, apart


def test_points_that_are_not_better_by_more_than_the_resolution_go() -> None:
    values = [(1.0, 0.5), (2.0, 0.5 - 1e-12), (3.0, 0.5 - 0.9e-9), (4.0, 0.4), (5.0, 0.4 - 2e-9)]
    assert apart(values, ("latency", "availability")) == [0, 3, 4]
    assert apart([pair[::-1] for pair in reversed(values)], ("availability", "latency")) == [0, 1, 4]


def test_steps_below_the_resolution_do_not_add_up() -> None:
    values = [(float(i), 0.5 - i * 0.4 * RESOLUTION) for i in range(10)]
    assert apart(values, ("latency", "availability")) == [0, 3, 6, 9]


def test_other_axes_keep_a_point() -> None:
    assert apart([(1, 0.5, 4), (2, 0.5, 3)], ("latency", "availability", "gpus")) == [0, 1]
    assert apart([(1, 4), (2, 3)], ("latency", "gpus")) == [0, 1]
