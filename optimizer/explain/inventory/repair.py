"""The least changes of an infeasible inventory's file that help, with instances that keep every rule then.

Each relaxation by itself; where none is enough alone, few of them together, each at its least with the others as they are.
"""

from __future__ import annotations

from collections.abc import Sequence

from optimizer.explain.common.numbers import listing
from optimizer.explain.inventory.least import least_across, least_setting, least_within
from optimizer.explain.inventory.relaxation import InventoryRelaxation, inventory_relaxations, moved, relaxation_of
from optimizer.explain.inventory.trial import Trials, TrialStanding
from optimizer.facts.inventory import InventoryProblem
from optimizer.results.answer import Conflict, Fixed
from optimizer.results.inventory import InventoryRepair
from optimizer.search.inventory.answer import with_plan

_TRIED_FIRST = ("workload.", "cluster.", "power_limits_watts.")
Moves = dict[str, tuple[InventoryRelaxation, int]]
"""Relaxations of the problem with the others moved, and their settings."""


def inventory_repairs(
    problem: InventoryProblem, fixed: Fixed, conflict: Conflict, trials: Trials
) -> tuple[InventoryRepair, ...]:
    """Verified repairs; what was not reached in the time is left out.

    Args:
        problem: infeasible.
        fixed: decisions that a person fixed.
        conflict: rules of it that cannot hold together: what relaxes none of them does not help by itself.
        trials: where to try changes.
    """
    relaxations = inventory_relaxations(problem, fixed)
    across = not {"memory", "kv_cache"}.isdisjoint(conflict.rules)
    found: list[InventoryRepair | None] = []
    open_to = [one for one in relaxations if not one.rules or set(one.rules) & set(conflict.rules)]
    # Each within groups first, which is quick: what pipelines over two groups could do with less comes after all of them.
    # What people ask for first is tried first: less load, and another node of which group helps.
    first = sorted(open_to, key=lambda one: not one.field.startswith(_TRIED_FIRST))
    within = {one.field: least_within(one, trials) for one in first}
    for relaxation in open_to:
        least = least_across(relaxation, trials, within[relaxation.field], across=across)
        if least is not None:
            moves = {relaxation.field: (relaxation, least.setting)}
            found.append(verified(moves, least.standing, fixed, sure=least.sure))
    if not found:
        bought = [relaxation.field for relaxation in relaxations if relaxation.field.startswith("cluster.")]
        asked = [relaxation.field for relaxation in relaxations if relaxation.field not in bought]
        # Once with as little more hardware as can be, once with as much as is asked now as can be.
        for order in ([*bought, *asked], [*asked, *bought]):
            together = _together(problem, fixed, order, trials)
            if together is not None:
                found.append(verified(*together, fixed))
    kept = {repair.sentence: repair for repair in found if repair is not None}
    return tuple(kept.values())


def _together(
    problem: InventoryProblem, fixed: Fixed, order: Sequence[str], trials: Trials
) -> tuple[Moves, TrialStanding] | None:
    """Relaxations that are enough together, none of which can stay, each at the first setting that is enough with the others.

    Args:
        problem: infeasible.
        fixed: decisions that a person fixed.
        order: fields of the relaxations; the first ones stay where that is possible.
        trials: where to try changes.
    """
    settings = {
        relaxation.field: relaxation.steps
        for relaxation in inventory_relaxations(problem, fixed)
        if relaxation.field in order
    }
    if not isinstance(trials.within_groups(moved(problem, settings, fixed)), TrialStanding):
        return None
    for field in order:
        fewer = {name: setting for name, setting in settings.items() if name != field}
        if isinstance(trials.within_groups(moved(problem, fewer, fixed)), TrialStanding):
            settings = fewer
    moves: Moves = {}
    standing: TrialStanding | None = None
    for field in settings:
        others = {name: setting for name, setting in settings.items() if name != field}
        relaxation = relaxation_of(moved(problem, others, fixed), field, fixed)
        least = None if relaxation is None else least_setting(relaxation, trials, across=False)
        if relaxation is None or least is None:
            return None
        settings[field], standing = least.setting, least.standing
        moves[field] = relaxation, least.setting
    return None if standing is None else (moves, standing)


def verified(moves: Moves, standing: TrialStanding, fixed: Fixed, *, sure: bool = True) -> InventoryRepair | None:
    """The repair, where the verifier agrees that its instances keep every rule; not ``sure``: less may be enough."""
    from optimizer.verify.inventory import verify_inventory

    answer = with_plan(standing.problem, standing.candidates, standing.solver, standing.placed)
    if not verify_inventory(standing.problem, answer, fixed, exhaustive=False).passed:
        return None
    said = listing([relaxation.say(setting) for relaxation, setting in moves.values()])
    keep = "keeps" if sum(pool.instances for pool in answer.pools) == 1 else "keep"
    less = (
        "" if sure else " Less may be enough with instances over two groups: the time was over before these were tried."
    )
    sentence = f"{said[0].upper()}{said[1:]}; {answer.label} then {keep} every rule.{less}"
    changes = tuple(change for relaxation, setting in moves.values() for change in relaxation.changes(setting))
    return InventoryRepair(changes, sentence, answer.label)
