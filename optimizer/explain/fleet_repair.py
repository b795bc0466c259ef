"""The least changes of an infeasible inventory's file that help, each by itself, with instances that keep every rule then."""

from __future__ import annotations

from collections.abc import Callable

from optimizer.answer import Conflict, Fixed
from optimizer.explain.fleet_lever import FleetLever, fleet_levers
from optimizer.explain.fleet_trial import Standing, Trials, Verdict
from optimizer.facts.inventory import FleetProblem
from optimizer.fleet_answer import FleetRepair
from optimizer.search.fleet.answer import with_plan

Attempt = Callable[[FleetProblem], Standing | Verdict]


def fleet_repairs(problem: FleetProblem, fixed: Fixed, conflict: Conflict, trials: Trials) -> tuple[FleetRepair, ...]:
    """One repair for each lever that helps by itself, verified; levers that were not reached in the time are left out.

    Args:
        problem: infeasible.
        fixed: decisions that a person fixed.
        conflict: rules of it that cannot hold together: what relaxes none of them does not help.
        trials: where to try changes.
    """
    found: list[FleetRepair] = []
    for lever in fleet_levers(problem, fixed):
        if lever.rules and not set(lever.rules) & set(conflict.rules):
            continue
        least = _least(lever, trials, across="memory" in conflict.rules)
        if least is not None:
            repair = _verified(lever, *least, fixed)
            if repair is not None:
                found.append(repair)
    return tuple(found)


def _least(lever: FleetLever, trials: Trials, *, across: bool) -> tuple[int, Standing] | None:
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


def _verified(lever: FleetLever, setting: int, standing: Standing, fixed: Fixed) -> FleetRepair | None:
    """The repair, where the verifier agrees that its instances keep every rule."""
    from optimizer.verify.fleet import verify_fleet

    answer = with_plan(standing.problem, standing.offers, standing.solver, standing.placed)
    if not verify_fleet(standing.problem, answer, fixed, exhaustive=False).passed:
        return None
    said = lever.say(setting)
    keep = "keeps" if sum(pool.instances for pool in answer.pools) == 1 else "keep"
    sentence = f"{said[0].upper()}{said[1:]}; {answer.label} then {keep} every rule."
    return FleetRepair(lever.changes(setting), sentence, answer.label)
