"""The least changes of an infeasible inventory's file that help, with instances that keep every rule then.

Each lever by itself; where none is enough alone, few of them together, each at its least with the others as they are.
"""

from __future__ import annotations

from collections.abc import Sequence

from optimizer.explain.common.numbers import listing
from optimizer.explain.inventory.least import least_setting
from optimizer.explain.inventory.lever import FleetLever, fleet_levers, lever_of, moved
from optimizer.explain.inventory.trial import Standing, Trials
from optimizer.facts.inventory import FleetProblem
from optimizer.results.answer import Conflict, Fixed
from optimizer.results.inventory import FleetRepair
from optimizer.search.inventory.answer import with_plan

Moves = dict[str, tuple[FleetLever, int]]
"""Levers of the problem with the others moved, and their settings."""


def fleet_repairs(problem: FleetProblem, fixed: Fixed, conflict: Conflict, trials: Trials) -> tuple[FleetRepair, ...]:
    """Verified repairs; what was not reached in the time is left out.

    Args:
        problem: infeasible.
        fixed: decisions that a person fixed.
        conflict: rules of it that cannot hold together: what relaxes none of them does not help by itself.
        trials: where to try changes.
    """
    levers = fleet_levers(problem, fixed)
    across = not {"memory", "kv_cache"}.isdisjoint(conflict.rules)
    found: list[FleetRepair | None] = []
    for lever in levers:
        if lever.rules and not set(lever.rules) & set(conflict.rules):
            continue
        least = least_setting(lever, trials, across=across)
        if least is not None:
            found.append(_verified({lever.field: (lever, least[0])}, least[1], fixed))
    if not found:
        bought = [lever.field for lever in levers if lever.field.startswith("cluster.")]
        asked = [lever.field for lever in levers if lever.field not in bought]
        # Once with as little more hardware as can be, once with as much as is asked now as can be.
        for order in ([*bought, *asked], [*asked, *bought]):
            together = _together(problem, fixed, order, trials)
            if together is not None:
                found.append(_verified(*together, fixed))
    kept = {repair.sentence: repair for repair in found if repair is not None}
    return tuple(kept.values())


def _together(
    problem: FleetProblem, fixed: Fixed, order: Sequence[str], trials: Trials
) -> tuple[Moves, Standing] | None:
    """Levers that are enough together, none of which can stay, each at the first setting that is enough with the others.

    Args:
        problem: infeasible.
        fixed: decisions that a person fixed.
        order: fields of the levers; the first ones stay where that is possible.
        trials: where to try changes.
    """
    settings = {lever.field: lever.steps for lever in fleet_levers(problem, fixed) if lever.field in order}
    if not isinstance(trials.within_groups(moved(problem, settings, fixed)), Standing):
        return None
    for field in order:
        fewer = {name: setting for name, setting in settings.items() if name != field}
        if isinstance(trials.within_groups(moved(problem, fewer, fixed)), Standing):
            settings = fewer
    moves: Moves = {}
    standing: Standing | None = None
    for field in settings:
        others = {name: setting for name, setting in settings.items() if name != field}
        lever = lever_of(moved(problem, others, fixed), field, fixed)
        least = None if lever is None else least_setting(lever, trials, across=False)
        if lever is None or least is None:
            return None
        settings[field], standing = least
        moves[field] = lever, least[0]
    return None if standing is None else (moves, standing)


def _verified(moves: Moves, standing: Standing, fixed: Fixed) -> FleetRepair | None:
    """The repair, where the verifier agrees that its instances keep every rule."""
    from optimizer.verify.inventory import verify_fleet

    answer = with_plan(standing.problem, standing.offers, standing.solver, standing.placed)
    if not verify_fleet(standing.problem, answer, fixed, exhaustive=False).passed:
        return None
    said = listing([lever.say(setting) for lever, setting in moves.values()])
    keep = "keeps" if sum(pool.instances for pool in answer.pools) == 1 else "keep"
    sentence = f"{said[0].upper()}{said[1:]}; {answer.label} then {keep} every rule."
    changes = tuple(change for lever, setting in moves.values() for change in lever.changes(setting))
    return FleetRepair(changes, sentence, answer.label)
