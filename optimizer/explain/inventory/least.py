"""The first setting of a relaxation at which an inventory has any set of instances.

It is looked for among instances within groups, which are quick to list. Pipelines over two groups may do with less: they are tried at
the setting before.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

from optimizer.explain.inventory.relaxation import InventoryRelaxation
from optimizer.explain.inventory.trial import Trials, TrialStanding, Verdict
from optimizer.facts.inventory import InventoryProblem

Attempt = Callable[[InventoryProblem], TrialStanding | Verdict]


@dataclass(frozen=True, slots=True)
class LeastSetting:
    """A setting with instances that keep every rule, none before it having any."""

    setting: int
    standing: TrialStanding
    sure: bool = True
    """False where the time was over before pipelines over two groups were tried at the setting before."""


def least_setting(relaxation: InventoryRelaxation, trials: Trials, *, across: bool) -> LeastSetting | None:
    """The first setting with any instances, and those; None where there is none, or none was found in the time.

    Args:
        relaxation: what to move.
        trials: where to try.
        across: such pipelines may be what helps: the model does not fit otherwise.
    """
    return least_across(relaxation, trials, least_within(relaxation, trials), across=across)


def least_within(relaxation: InventoryRelaxation, trials: Trials) -> LeastSetting | None:
    """The first setting at which instances that each stand on one group keep every rule; None as above."""
    low, high, standing = _far(relaxation, trials)
    if standing is None:
        return None
    return _between(relaxation, low, high, standing, trials.within_groups)


def least_across(
    relaxation: InventoryRelaxation, trials: Trials, within: LeastSetting | None, *, across: bool
) -> LeastSetting | None:
    """The same with pipelines over two groups, given what those within groups need."""
    if within is None:
        found = trials.any(relaxation.at(relaxation.steps)) if across else None
        if not isinstance(found, TrialStanding):
            return None
        return _between(relaxation, 0, relaxation.steps, found, trials.any)
    if within.setting == 1:
        return within
    before = trials.any(relaxation.at(within.setting - 1))
    if isinstance(before, TrialStanding):
        return _between(relaxation, 0, within.setting - 1, before, trials.any)
    return within if before is False else LeastSetting(within.setting, within.standing, sure=False)


def _between(
    relaxation: InventoryRelaxation, low: int, high: int, standing: TrialStanding, attempt: Attempt
) -> LeastSetting | None:
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
    return LeastSetting(high, standing)


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
