"""The first setting of a lever at which an inventory has any set of instances."""

from __future__ import annotations

from collections.abc import Callable

from optimizer.explain.inventory.lever import FleetLever
from optimizer.explain.inventory.trial import Standing, Trials, Verdict
from optimizer.facts.inventory import FleetProblem

Attempt = Callable[[FleetProblem], Standing | Verdict]


def least_setting(lever: FleetLever, trials: Trials, *, across: bool) -> tuple[int, Standing] | None:
    """The first setting with any instances, and those; None where there is none, or it was not proved in the time.

    It is looked for among instances within groups, and pipelines over two groups are tried at the setting before.

    Args:
        lever: what to move.
        trials: where to try.
        across: such pipelines may be what helps: the model does not fit otherwise.
    """
    low, high, standing = _far(lever, trials)
    if standing is None:
        found = trials.any(lever.at(high)) if across else None
        return _between(lever, 0, high, found, trials.any) if isinstance(found, Standing) else None
    least = _between(lever, low, high, standing, trials.within_groups)
    if least is None or least[0] == 1:
        return least
    before = trials.any(lever.at(least[0] - 1))
    if isinstance(before, Standing):
        return _between(lever, 0, least[0] - 1, before, trials.any)
    return least if before is False else None


def _between(
    lever: FleetLever, low: int, high: int, standing: Standing, attempt: Attempt
) -> tuple[int, Standing] | None:
    """The first setting above ``low`` at which there are instances, by halving; they are known at ``high``."""
    while high - low > 1:
        middle = (low + high) // 2
        there = attempt(lever.at(middle))
        if there is None:
            return None
        if isinstance(there, Standing):
            high, standing = middle, there
        else:
            low = middle
    return high, standing


def _far(lever: FleetLever, trials: Trials) -> tuple[int, int, Standing | None]:
    """(a setting without instances within groups, one with them or the last, these)."""
    low, high = 0, 1 if lever.doubling else lever.steps
    while True:
        standing = trials.within_groups(lever.at(high))
        if isinstance(standing, Standing):
            return low, high, standing
        if high == lever.steps or standing is None:
            return low, high, None
        low, high = high, min(lever.steps, 2 * high)
