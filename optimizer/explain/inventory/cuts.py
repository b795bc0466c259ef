"""Whether nothing works on an inventory, or only nothing of what was searched: which limits of the search keep every plan out.

A limit of the search is no limit of the hardware: degrees, formats, splits and expert groups that the file leaves out.
"""

from __future__ import annotations

from collections.abc import Sequence

from optimizer.explain.inventory.relaxation import InventoryRelaxation, inventory_relaxations, moved
from optimizer.explain.inventory.trial import Trials, TrialStanding
from optimizer.facts.inventory import InventoryProblem
from optimizer.results.answer import Fixed

SEARCHED = "searched space"
_FORMATS = ("search.weight_precision", "search.kv_precision")


def cut_by(problem: InventoryProblem, fixed: Fixed, trials: Trials) -> tuple[str, ...]:
    """Fields of the search whose opening is enough for some set of instances, as few as were found; empty where none is known.

    Args:
        problem: proved infeasible.
        fixed: decisions that a person fixed.
        trials: where to try.
    """
    limits = [
        one
        for one in inventory_relaxations(problem, fixed)
        if one.field.startswith("search.") and one.field != "search.disabled_rules"
    ]
    # Other formats are other checkpoints: named only where no degree is enough.
    limits.sort(key=lambda one: one.field in _FORMATS)
    for one in limits:
        if _stands(problem, [one], fixed, trials):
            return (one.field,)
    if not _stands(problem, limits, fixed, trials):
        return ()
    kept = list(limits)
    for one in reversed(limits):
        fewer = [other for other in kept if other is not one]
        if _stands(problem, fewer, fixed, trials):
            kept = fewer
    return tuple(one.field for one in kept)


def _stands(problem: InventoryProblem, opened: Sequence[InventoryRelaxation], fixed: Fixed, trials: Trials) -> bool:
    if not opened:
        return False
    settings = {one.field: one.steps for one in opened}
    return isinstance(trials.within_groups(moved(problem, settings, fixed)), TrialStanding)
