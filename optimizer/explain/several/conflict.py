"""Which models cannot be served together, and which of their rules keep them from it: a minimal set, by leaving one out at a time."""

from __future__ import annotations

from optimizer.explain.common.numbers import count, listing
from optimizer.facts.problem import Problem
from optimizer.facts.several import SeveralProblem
from optimizer.results.answer import Conflict
from optimizer.search.common.clock import Clock
from optimizer.search.several.solve import SeveralSearch
from optimizer.search.uniform.rules import rules_for

PLACEMENT = "placement"
"""The room that the nodes have, which all models share."""


def unserved_alone(search: SeveralSearch) -> list[int]:
    """Models that no strategy serves even with all nodes to themselves."""
    nodes = search.problem.hardware.nodes
    return [one.number for one in search.models if not one.within(nodes)]


def conflict_of(search: SeveralSearch, clock: Clock) -> Conflict:
    """A minimal set of models and of their rules that do not fit onto the nodes together; each model fits alone."""
    problem = search.problem
    together, minimal = list(range(len(search.models))), True
    for number in list(together):
        rest = [one for one in together if one != number]
        fits = search.fits(clock, among=rest) if rest else True
        if fits is False:
            together = rest
        elif fits is None:
            minimal = False
    kept: dict[int, list[str]] = {number: list(search.models[number].rules) for number in together}
    for number in together:
        for rule in search.models[number].rules:
            left_out = {
                n: [r for r in search.models[n].rules if r not in kept[n] or (n, r) == (number, rule)] for n in together
            }
            fits = search.fits(clock, without=left_out, among=together)
            if fits is False:
                kept[number].remove(rule)
            elif fits is None:
                minimal = False
    rules = [f"{problem.models[n].name}: {rule}" for n in together for rule in kept[n]]
    return Conflict((PLACEMENT, *rules), _sentence(problem, kept), minimal)


def _sentence(problem: SeveralProblem, kept: dict[int, list[str]]) -> str:
    hardware = problem.hardware
    there = f"{count(hardware.nodes, 'node')} of {count(hardware.gpus_per_node, 'GPU')}"
    each = []
    for number, rules in kept.items():
        served = problem.models[number]
        words = listing([said_of(served.problem, rule) for rule in rules]) or "its weights and caches"
        each.append(f"{served.name} ({words})")
    if len(each) == 1:
        return f"{each[0]} finds no room on {there} beside nothing else."
    return f"{listing(each)} do not fit onto {there} together, though each does alone."


def said_of(problem: Problem, rule: str) -> str:
    """A rule as a clause with its id."""
    found = next((one for one in rules_for(problem) if one.id == rule), None)
    return rule if found is None else f"{rule}: {found.clause}"
