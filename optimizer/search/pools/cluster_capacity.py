"""``capacity`` of pools on an inventory: the largest rate that some pools carry within every limit.

A rate that pools carry is followed to the most that these carry; from there rates are tried that are ever further ahead until one
is proved too large, then those between.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from optimizer.results.answer import Status
from optimizer.search.common.clock import Clock
from optimizer.search.pools.cluster_answer import ChosenPools
from optimizer.search.pools.cluster_columns import ClusterColumns
from optimizer.search.pools.cluster_model import own_masks
from optimizer.search.pools.cluster_picked import Picked
from optimizer.search.pools.cluster_solve import some_pools
from optimizer.search.pools.model import RATE_STEPS

FIRST_STEP = 1 / 32
"""Of a rate that is carried: how much more is tried first."""


@dataclass(frozen=True, slots=True)
class MostRate:
    """What a search for the largest rate ended with."""

    outcome: Status
    """``optimal``: no larger rate is carried; ``feasible``: larger ones are not ruled out."""
    steps: int = 0
    """Thousandths of a request/s that are carried."""


def most_rate(columns: ClusterColumns, rules: Sequence[str], clock: Clock) -> MostRate:
    """The largest rate at which some pools that keep every rule at the demand keep those of the load.

    ``columns`` are left with ``also`` at that rate, so that what is searched among them next carries it.
    """
    low, picked = _carried(columns, rules, clock, 0)
    if picked is None:
        return MostRate("infeasible" if low is False else "unknown")
    best = _most_of(columns, picked)
    ahead, high = max(1, int(best * FIRST_STEP)), 0
    outcome: Status = "optimal"
    while not high or high - best > 1:
        tried = (best + high) // 2 if high else best + ahead
        fits, picked = _carried(columns, rules, clock, tried)
        if fits is None:
            outcome = "feasible"
            break
        if picked is None:
            high = tried
        else:
            best, ahead = max(tried, _most_of(columns, picked)), 2 * ahead
    columns.also = columns_at(columns, best)
    return MostRate(outcome, best)


def columns_at(columns: ClusterColumns, steps: int) -> ClusterColumns:
    """The same options at another rate, in thousandths of a request/s."""
    return ClusterColumns(columns.options.at_rate(steps / RATE_STEPS))


def _carried(
    columns: ClusterColumns, rules: Sequence[str], clock: Clock, steps: int
) -> tuple[bool | None, Picked | None]:
    """Whether some pools carry a rate, and such pools; 0: the demand alone."""
    columns.also = columns_at(columns, steps) if steps else None
    masks = own_masks(columns, rules)
    if not all(mask.any() for mask in masks):
        return False, None
    return some_pools(columns, rules, masks, clock)


def _most_of(columns: ClusterColumns, picked: Picked) -> int:
    """The largest rate that chosen pools carry, in thousandths of a request/s."""
    return round(ChosenPools(columns, picked).max_request_rate() * RATE_STEPS)
