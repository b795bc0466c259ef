"""Ranges of replica counts find every rival that the enumeration finds, and rule out only what cannot be one."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
import pytest

from optimizer.facts.problem import Problem
from optimizer.results.answer import Fixed
from optimizer.verify.common.arithmetic import sixty_digits
from optimizer.verify.common.candidate import Candidate, RowFacts
from optimizer.verify.common.rules import clearly_holds, findings
from optimizer.verify.common.space import rows
from optimizer.verify.common.stage import Stages
from optimizer.verify.uniform.float_candidate import FloatBar, survey
from optimizer.verify.uniform.ranges import RangeSurvey, _Ends, _Table
from tests.search.test_replica_counts import large

PRESETS = ("balanced", "latency", "fault-tolerance", "throughput", "fewest-gpus")


def _best(found) -> list[tuple[float, float]]:  # type: ignore[no-untyped-def]
    return sorted((rival[0], rival[1]) for rival in found.rivals)[:1]


@pytest.mark.parametrize("seed", range(24))
def test_the_best_rival_is_that_of_the_enumeration(seed: int, met: Callable[[str], None]) -> None:
    problem = large(seed + 300)
    stages = Stages(problem)
    offered = list(rows(problem, Fixed()))
    whole = survey(problem, Fixed(), offered, stages, None, most_rivals=10**6)
    ranged = RangeSurvey(problem, stages)
    found = ranged.survey(None)
    assert found.candidates == whole.candidates
    assert found.candidates == found.compared + sum(found.ruled_out.values())
    # With nothing claimed, whether there is a rival at all is what counts.
    assert bool(found.rivals) == bool(whole.rivals)
    surely = [rival for rival in whole.rivals if rival[2]]
    if not surely:
        met("nothing to compare")
        return
    best = min(surely, key=lambda rival: rival[:2])
    # Whoever claims something a little worse than the best is refuted, by the best itself or by what is as good.
    tier, value, _, row, slots = best
    worse = FloatBar(tier, value * (1 + 1e-4) + 1e-3, 0.002, 1e-5, row, slots)
    rivals = ranged.survey(worse).rivals
    assert rivals and rivals[0][1] == pytest.approx(value, rel=1e-9)
    # Whoever claims the best is not, but for what rounding leaves open.
    fair = FloatBar(tier, value, 0.002, max(2e-5, value * 1e-9), row, slots)
    with sixty_digits():
        for other_tier, other, _, rival, n in ranged.survey(fair).rivals:
            candidate = Candidate(RowFacts(problem, rival, stages), n)
            holds = all(clearly_holds(candidate, rule) for rule in findings(candidate))
            assert not holds or (other_tier, other) >= (tier - 0.002, value * (1 - 1e-8))
    met("compared")


def _range_of(problem: Problem, seed: int):  # type: ignore[no-untyped-def]
    ranged, pick = RangeSurvey(problem, Stages(problem)), np.random.default_rng(seed)
    first = ranged._first()
    low = pick.integers(first.low, first.high + 1)
    high = pick.integers(low, first.high + 1)
    return ranged, _Ends(first.shape, low, high), pick


@pytest.mark.parametrize("seed", range(30))
def test_no_count_of_a_range_is_better_than_its_bounds(seed: int, met: Callable[[str], None]) -> None:
    problem = large(seed + 700)
    ranged, ends, pick = _range_of(problem, seed)
    if not len(ends.shape):
        met("nothing to compare")
        return
    bound = _Table(ranged, problem.workload.requests_per_s, ends)
    exact = _Table(ranged, problem.workload.requests_per_s, None)
    inside = pick.integers(ends.low, ends.high + 1)
    for down in range(3):
        low, real = bound.at(ends.shape, ends.high - down), exact.at(ends.shape, inside - down)
        sure = ~low.unsure & ~real.unsure & (inside > down)
        assert not (sure & low.overloaded & ~real.overloaded).any()
        both = sure & ~low.overloaded & ~real.overloaded
        assert (low.n99 <= real.n99)[both].all()
        assert (low.mean <= real.mean * (1 + 1e-9))[both].all()
        for rule, values in low.latency.items():
            assert (values <= real.latency[rule] * (1 + 1e-9))[both].all(), rule
    met("compared")
