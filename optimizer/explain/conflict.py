"""Why nothing works: a minimal set of rules that cannot hold together, and the strategy that breaks the fewest.

Deletion-based MUS extraction over a yes/no/unknown oracle (Marques-Silva, Minimal Unsatisfiability, ISMVL 2010): a rule
whose removal leaves the rest unsatisfiable is not needed. Kept on "unknown", in which case minimality is not claimed.
"""

from __future__ import annotations

from optimizer.answer import Conflict, Fixed
from optimizer.search.build import Model
from optimizer.search.quantities import Quantities
from optimizer.search.rules import Choice, rules_for
from optimizer.search.solve import Outcome, Solver

# The fewest rules are broken first; among equally many, one that says how well the service performs rather than one that
# says what fits or what the person allowed: a person who left max_num_seqs out did not ask to exceed max_batch.
HARD, SOFT = 101, 100
HARD_RULES = frozenset({"gpu_count", "memory", "max_batch", "min_batch", "context"})


def feasibility(q: Quantities, fixed: Fixed | None, active: set[str], solver: Solver) -> Outcome:
    """Whether some candidate keeps every active rule: optimal (yes), infeasible (no) or unknown."""
    built = Model(q, fixed, free=True)
    for rule in built.rules:
        built.model.add(built.switch[rule.id] == (1 if rule.id in active else 0))
    return solver.run(built.model)[1]


def minimal_conflict(q: Quantities, fixed: Fixed | None, solver: Solver) -> Conflict | None:
    """One minimal conflict of an infeasible problem; None if the problem turns out feasible."""
    disabled = set(q.problem.search.disabled_rules)
    rules = rules_for(q.problem)
    core = [rule.id for rule in rules if rule.id not in disabled]
    if feasibility(q, fixed, set(core), solver) != "infeasible":
        return None
    minimal = True
    # Requirements first: what is dropped early leaves the conflict to the rules that say most about the facts.
    for candidate in list(reversed(core)):
        rest = set(core) - {candidate}
        outcome = feasibility(q, fixed, rest, solver)
        if outcome == "infeasible":
            core = [rule for rule in core if rule in rest]
        elif outcome == "unknown":
            minimal = False
    sentences = {rule.id: rule.sentence for rule in rules}
    said = " ".join(sentences[rule] for rule in core)
    if not core:
        sentence = "No candidate exists at all: the search was given no strategy to consider."
    elif len(core) == 1:
        sentence = f"No strategy that was considered keeps this rule: {said}"
    else:
        sentence = f"These rules cannot hold together for any strategy that was considered: {said}"
    return Conflict(tuple(core), sentence, minimal)


def least_broken(q: Quantities, fixed: Fixed | None, solver: Solver) -> Choice | None:
    """The candidate that breaks the fewest rules, best by objective and tie-break among those; None if none was found."""
    built = Model(q, fixed, free=True)
    broken = sum((HARD if rule in HARD_RULES else SOFT) * (1 - switch) for rule, switch in built.switch.items())
    built.model.minimize(broken)
    run, outcome = solver.run(built.model)
    if outcome not in ("optimal", "feasible"):
        return None
    built.model.add(broken <= int(run.value(broken)))
    found = solver.lexicographic(built)
    return found.choice
