"""Which models an inventory cannot serve together, and which rules keep them from it: a minimal set, by leaving one out at a time."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from optimizer.explain.common.numbers import count, listing
from optimizer.explain.inventory.conflict import rule_sentences
from optimizer.facts.cluster_models import ClusterModelsProblem
from optimizer.results.answer import Conflict
from optimizer.search.common.clock import Clock
from optimizer.search.several.cluster_solve import SharedSolver, TablesOfModels

PLACEMENT = "placement"
"""The room that the nodes have, which all models share."""


def fits(
    problem: ClusterModelsProblem, known: TablesOfModels | None, clock: Clock, *, pairs: bool = False
) -> bool | None:
    """Whether some split keeps every rule; None: not known in the time there is."""
    if clock.over:
        return None
    found = SharedSolver(problem, known, deadline=clock.deadline, ctrl_c=clock.ctrl_c, pairs=pairs).any()
    return True if found.best is not None else False if found.status == "infeasible" else None


def alone(problem: ClusterModelsProblem, number: int) -> ClusterModelsProblem:
    """One of the models with the whole inventory to itself."""
    return problem.among([number])


def part_of(known: TablesOfModels, numbers: Sequence[int]) -> TablesOfModels:
    """What is known of some of the models."""
    return TablesOfModels(tuple(known.tables[number] for number in numbers))


def cluster_conflict(
    problem: ClusterModelsProblem, known: TablesOfModels, clock: Clock, *, pairs: bool = False
) -> Conflict:
    """A minimal set of models and of their rules that the inventory does not hold together; each model fits alone."""
    together, minimal = list(range(len(problem.models))), True
    for number in list(together):
        rest = [one for one in together if one != number]
        verdict = fits(problem.among(rest), part_of(known, rest), clock, pairs=pairs) if rest else True
        if verdict is False:
            together = rest
        elif verdict is None:
            minimal = False
    kept = {number: _rules(problem, number) for number in together}
    for number in together:
        for rule in list(kept[number]):
            tried = {n: [r for r in rules if (n, r) != (number, rule)] for n, rules in kept.items()}
            verdict = fits(_with_rules(problem, tried), part_of(known, together), clock, pairs=pairs)
            if verdict is False:
                kept = tried
            elif verdict is None:
                minimal = False
    rules = [f"{problem.models[n].name}: {rule}" for n in together for rule in kept[n]]
    return Conflict((PLACEMENT, *rules), _sentence(problem, kept), minimal)


def _rules(problem: ClusterModelsProblem, number: int) -> list[str]:
    one = problem.models[number].problem
    return [rule for rule in rule_sentences(one) if rule not in one.search.disabled_rules]


def _with_rules(problem: ClusterModelsProblem, kept: Mapping[int, Sequence[str]]) -> ClusterModelsProblem:
    """The models that are named with only these of their rules on."""
    found = problem
    for number, rules in kept.items():
        one = problem.models[number].problem
        off = tuple(
            dict.fromkeys([*one.search.disabled_rules, *(r for r in _rules(problem, number) if r not in rules)])
        )
        search = one.search.model_copy(update={"disabled_rules": off})
        found = found.with_model(number, one.model_copy(update={"search": search}))
    return found.among(sorted(kept))


def _sentence(problem: ClusterModelsProblem, kept: Mapping[int, Sequence[str]]) -> str:
    there = f"the {count(problem.gpus, 'free GPU')} of {listing([group.name for group in problem.groups[:4]])}"
    there += f" and {len(problem.groups) - 4} more groups" if problem.groups[4:] else ""
    each = []
    for number, rules in kept.items():
        served = problem.models[number]
        said = rule_sentences(served.problem)
        words = listing([f"{rule}: {said[rule].rstrip('.')}" for rule in rules]) or "its weights and caches"
        each.append(f"{served.name} at {served.problem.workload.requests_per_s:g} requests/s ({words})")
    if len(each) == 1:
        return f"{each[0]} finds no room on {there}."
    return f"{listing(each)} do not fit onto {there} together, though each does alone."
