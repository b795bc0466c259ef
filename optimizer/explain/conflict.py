"""Why nothing works: a minimal set of rules that cannot hold together, and the strategy that breaks the fewest.

Deletion-based MUS extraction (Marques-Silva, Minimal Unsatisfiability, ISMVL 2010): a rule whose removal leaves the rest
unsatisfiable is not needed. The oracle looks at every candidate, so each answer is exact and minimality is proved.
"""

from __future__ import annotations

import numpy as np

from optimizer.answer import Conflict, Fixed
from optimizer.costs.shapes import Ints
from optimizer.search.build import Model
from optimizer.search.quantities import Quantities
from optimizer.search.rules import Choice, rules_for
from optimizer.search.screen import Screen, objective_at_most_slots
from optimizer.search.solve import Solver

# The fewest rules are broken first; among equally many, one that says how well the service performs rather than one that
# says what fits or what the person allowed: a person who left max_num_seqs out did not ask to exceed max_batch.
MOST_ROWS = 400
HARD, SOFT = 101, 100
HARD_RULES = frozenset({"gpu_count", "memory", "max_batch", "min_batch", "context"})


def satisfiable(q: Quantities, fixed: Fixed | None, active: set[str]) -> bool:
    """Whether some candidate keeps every active rule: the oracle of the conflict search."""
    return bool(Screen(q, fixed, active).viable.any())


def minimal_conflict(q: Quantities, fixed: Fixed | None) -> Conflict | None:
    """One minimal conflict of an infeasible problem; None if the problem turns out feasible."""
    disabled = set(q.problem.search.disabled_rules)
    rules = rules_for(q.problem)
    core = [rule.id for rule in rules if rule.id not in disabled]
    if satisfiable(q, fixed, set(core)):
        return None
    # Requirements first: what is dropped early leaves the conflict to the rules that say most about the facts.
    for candidate in list(reversed(core)):
        rest = set(core) - {candidate}
        if not satisfiable(q, fixed, rest):
            core = [rule for rule in core if rule in rest]
    sentences = {rule.id: rule.sentence for rule in rules}
    said = " ".join(sentences[rule] for rule in core)
    if not core:
        sentence = "No candidate exists at all: the search was given no strategy to consider."
    elif len(core) == 1:
        sentence = f"No strategy that was considered keeps this rule: {said}"
    else:
        sentence = f"These rules cannot hold together for any strategy that was considered: {said}"
    return Conflict(tuple(core), sentence, minimal=True)


def least_broken(q: Quantities, fixed: Fixed | None, solver: Solver) -> Choice | None:
    """A candidate that breaks few rules, best by objective and tie-break among those; None if none was found in time.

    Among the ``MOST_ROWS`` rows that break the fewest rules on their own it is the one that breaks the fewest.
    """
    rows = _least_broken_rows(q, fixed)
    built = Model(q, fixed, rows=rows, free=True)
    broken = sum((HARD if rule in HARD_RULES else SOFT) * (1 - switch) for rule, switch in built.switch.items())
    built.model.minimize(broken)
    run, outcome = solver.run(built.model)
    if outcome not in ("optimal", "feasible"):
        return None
    built.model.add(broken <= int(run.value(broken)))
    found = solver.lexicographic(built)
    return found.choice


def _least_broken_rows(q: Quantities, fixed: Fixed | None) -> Ints:
    """Rows that may break the fewest rules: those whose own minimum is not above what another row reaches."""
    rules = [rule.id for rule in rules_for(q.problem)]
    alone = np.zeros(q.space.rows, dtype=np.int64)
    for rule in rules:
        alone += ~Screen(q, fixed, {rule}).viable
    order = np.lexsort((objective_at_most_slots(q, np.full(q.space.rows, q.space.slots)), alone))
    return order[:MOST_ROWS]
