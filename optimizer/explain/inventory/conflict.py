"""Why no set of instances works on an inventory: rules that cannot hold together. ``inventory_repair`` has the changes that help."""

from __future__ import annotations

from collections.abc import Callable, Sequence

from optimizer.explain.common.fixed import fixed_words
from optimizer.explain.common.numbers import count
from optimizer.explain.inventory.trial import Trials, TrialStanding, Verdict
from optimizer.facts.inventory import InventoryProblem, level_word
from optimizer.facts.text import starting
from optimizer.results.answer import Conflict, Fixed
from optimizer.results.rule_groups import SHAPE_RULES
from optimizer.search.inventory.power_rules import power_sentences
from optimizer.search.uniform.rules import rules_for

_FOLLOWS = ("min_batch", "tpot_full_batch")
"""Rules that people state by stating another: where either explains, the other one is said."""
_ALWAYS = ("gpu_count", "request_rate", "max_batch")
"""Stated anew over all pools, or what bounds the search."""

Holds = Callable[[Sequence[str]], bool | None]
"""Whether some set of instances keeps these rules; None: not known."""


def inventory_conflict(problem: InventoryProblem, trials: Trials) -> Conflict:
    """A set of rules that cannot hold together; minimal when the removal of each was tried.

    Rules are dropped as long as the rest cannot hold: first among instances within groups, which is quick; what is left of
    them is then tried with pipelines over two groups too.
    """
    sentences = rule_sentences(problem)
    off = set(problem.search.disabled_rules)
    every = [rule for rule in sentences if rule not in off]

    def holds(attempt: Callable[[InventoryProblem], TrialStanding | Verdict]) -> Holds:
        def tried(rules: Sequence[str]) -> bool | None:
            found = attempt(_only(problem, rules, every))
            return found if found is None else bool(found)

        return tried

    active, minimal = _least(every, holds(trials.within_groups))
    # A rule whose removal lets the rest hold within groups lets it hold with pipelines over two as well.
    if holds(trials.any)(active) is not False:
        active, minimal = _least(every, holds(trials.any))
    return Conflict(tuple(active), _said(problem, active, sentences, trials.fixed), minimal)


def _least(rules: Sequence[str], holds: Holds) -> tuple[list[str], bool]:
    """Rules that cannot hold together, and whether each is needed for that."""
    active, minimal = list(rules), True
    shape = [rule for rule in rules if rule in SHAPE_RULES]
    first = [rule for rule in _FOLLOWS if rule in rules]
    rest = [rule for rule in rules if rule not in (*shape, *first)]
    # Rules about shapes rarely matter: together first, then each where that fails.
    for candidate in [tuple(shape), *((rule,) for rule in (*first, *rest, *shape))]:
        left = [rule for rule in active if rule not in candidate]
        if len(left) == len(active):
            continue
        verdict = holds(left)
        if verdict is False:
            active = left
        elif verdict is None:
            minimal = False
    return active, minimal


def rule_sentences(problem: InventoryProblem) -> dict[str, str]:
    """Every rule that may be dropped, with its sentence."""
    demand = problem.workload.requests_per_s
    share = "" if problem.demand_share == 1 else f"{problem.demand_share:.0%} of "
    found: dict[str, str] = {}
    for losses in problem.survive:
        word = level_word(losses.level)
        many = f"any {word}" if losses.count == 1 else f"any {losses.count} {word}s"
        found[f"survive_{losses.level}"] = (
            f"after the loss of {many} the instances left have to carry {share}{demand:g} requests/s"
        )
    found.update(power_sentences(problem))
    alone = problem.instance_problem(problem.groups[0], 1)
    found.update({rule.id: rule.sentence for rule in rules_for(alone) if rule.id not in _ALWAYS})
    return found


def _only(problem: InventoryProblem, rules: Sequence[str], every: Sequence[str]) -> InventoryProblem:
    """The problem with only these of its rules on."""
    off = tuple(dict.fromkeys([*problem.search.disabled_rules, *(rule for rule in every if rule not in rules)]))
    return problem.model_copy(update={"search": problem.search.model_copy(update={"disabled_rules": off})})


def _said(problem: InventoryProblem, active: Sequence[str], sentences: dict[str, str], fixed: Fixed) -> str:
    carries = f"{problem.workload.requests_per_s:g} requests/s"
    such = f" with {fixed_words(fixed)}" if fixed.any else ""
    if not active:
        return (
            f"Whatever the rules, no set of instances{such} on the {count(problem.gpus, 'free GPU')} carries {carries}."
        )
    said = [sentences[rule].rstrip(".") for rule in active]
    these = "This rule alone cannot hold" if len(said) == 1 else "These rules cannot hold together"
    listed = "; ".join(starting(text) for text in said)
    return f"{these}{such} at {carries}: {listed}."
