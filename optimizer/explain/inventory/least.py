"""The first setting of a relaxation at which an inventory has any set of instances."""

from __future__ import annotations

from collections.abc import Callable

from optimizer.explain.inventory.relaxation import InventoryRelaxation
from optimizer.explain.inventory.trial import Trials, TrialStanding, Verdict
from optimizer.facts.inventory import InventoryProblem

Attempt = Callable[[InventoryProblem], TrialStanding | Verdict]


def least_setting(relaxation: InventoryRelaxation, trials: Trials, *, across: bool) -> tuple[int, TrialStanding] | None:
    """The first setting with any instances, and those; None where there is none, or it was not proved in the time.

    It is looked for among instances within groups, and pipelines over two groups are tried at the setting before.

    Args:
        relaxation: what to move.
        trials: where to try.
        across: such pipelines may be what helps: the model does not fit otherwise.
    """
    low, high, standing = _far(relaxation, trials)
    if standing is None:
        found = trials.any(relaxation.at(high)) if across else None
        return _between(relaxation, 0, high, found, trials.any) if isinstance(found, TrialStanding) else None
    least = _between(relaxation, low, high, standing, trials.within_groups)
    if least is None or least[0] == 1:
        return least
    before = trials.any(relaxation.at(least[0] - 1))
    if isinstance(before, TrialStanding):
        return _between(relaxation, 0, least[0] - 1, before, trials.any)
    return least if before is False else None


def _between(
    relaxation: InventoryRelaxation, low: int, high: int, standing: TrialStanding, attempt: Attempt
) -> tuple[int, TrialStanding] | None:
    """The first setting above ``low`` at which there are instances, by halving; they are known at ``high``."""
    while high - low > 1:
        middle = (low + high) // 2
        there = attempt(relaxation.at(middle))
        if there is None:
            return None
        if isinstance(there, TrialStanding):
            high, standing = middle, there
        else:
            low = middle
    return high, standing


def _far(relaxation: InventoryRelaxation, trials: Trials) -> tuple[int, int, TrialStanding | None]:
    """(a setting without instances within groups, one with them or the last, these)."""
    low, high = 0, 1 if relaxation.doubling else relaxation.steps
    while True:
        standing = trials.within_groups(relaxation.at(high))
        if isinstance(standing, TrialStanding):
            return low, high, standing
        if high == relaxation.steps or standing is None:
            return low, high, None
        low, high = high, min(relaxation.steps, 2 * high)
