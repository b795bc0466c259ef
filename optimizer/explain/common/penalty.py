"""Where a request that is served counts more than one that is not: said, because a failure then looks like a gain."""

from __future__ import annotations

from optimizer.explain.common.numbers import milliseconds
from optimizer.search.uniform.quantities import ObjectiveWeights


def cheaper_lost(weights: ObjectiveWeights, served_ms: float) -> list[str]:
    """One sentence where an unserved request counts less than a served one takes; none elsewhere.

    Args:
        served_ms: what a served request counts in the mean, milliseconds, its weight included.
    """
    lost_ms = weights.unserved * weights.penalty_ms
    if not 0 < lost_ms < served_ms:
        return []
    return [
        f"A request that is served counts {milliseconds(served_ms)}, more than one that is not: after a failure, leaving requests "
        f"unserved counts as the better choice. Set objective.unserved_penalty_ms above {milliseconds(served_ms)} if it is not."
    ]
