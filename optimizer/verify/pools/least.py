"""The least objective of pools with stated decisions. Callers work inside ``arithmetic.sixty_digits``."""

from __future__ import annotations

import numpy as np

from optimizer.facts.problem import Problem
from optimizer.results.pools import FixedPools
from optimizer.verify.pools.pair import Shapes, joined
from optimizer.verify.pools.survey import judged, lines_joined, offered, placements


def least_of(problem: Problem, shapes: Shapes, fixed: FixedPools) -> tuple[float, float] | None:
    """ms of the best pair, (as far as floats can tell, for certain); infinite: a rule is broken by all; None: there are none."""
    prefill, decode = (
        [shape for shape in offered(problem, shapes, one) if any(True for _ in placements(problem, shape, one))]
        for one in (fixed.prefill, fixed.decode)
    )
    if not any(joined(problem, first.group, second.group) for first in prefill for second in decode):
        return None
    least = [np.inf, np.inf]
    for lines in lines_joined(problem, shapes, fixed, prefill, decode):
        if not all(lines):
            continue
        for at, spare in enumerate((-1.0, 1.0)):
            feasible, values, _ = judged(problem, shapes.wire.latency, *lines, spare)
            least[at] = min(least[at], float(np.where(feasible, values, np.inf).min()))
    return least[0], least[1]
