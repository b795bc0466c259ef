"""A minimal conflict among the rules of an infeasible problem as it is stated, for callers that ask for thousands.

``conflict`` also looks beyond the stated GPUs and search limits, which makes plainer words and takes ten times as long.
"""

from __future__ import annotations

import numpy as np

from optimizer.explain.common.numbers import count
from optimizer.explain.common.sets import hitting_sets
from optimizer.explain.uniform.conflict import plainness
from optimizer.explain.uniform.conflict_words import conflict_sentence
from optimizer.results.answer import Conflict
from optimizer.search.uniform.quantities import Quantities
from optimizer.search.uniform.rules import rule_ids
from optimizer.search.uniform.violations import violation_masks

MOST_COMPARED = 50


def stated_conflict(quantities: Quantities | None) -> Conflict:
    """The plainest set of rules of which no candidate keeps all; without any one of them some candidate keeps the rest.

    Args:
        q: quantities over everything that was considered; None: there is no candidate.
    """
    if quantities is None:
        return Conflict((), "No candidate exists at all: the search was given no strategy to consider.", minimal=True)
    off = set(quantities.problem.search.disabled_rules)
    rules = [rule for rule in rule_ids(quantities.problem) if rule not in off]
    bits = {rule: 1 << i for i, rule in enumerate(rules)}
    masks = violation_masks(quantities, bits, np.zeros(quantities.space.rows, dtype=np.int64)).tolist()
    kept = [mask for mask in masks if not any(other != mask and other & mask == other for other in masks)]
    found, _ = hitting_sets(kept, MOST_COMPARED)
    sets = [tuple(rule for rule, bit in bits.items() if one & bit) for one in found]
    names = min(sets, key=lambda names: (plainness(names, rules), [rules.index(name) for name in names]))
    ending = f"no strategy on {count(quantities.problem.hardware.gpus, 'GPU')} exists"
    return Conflict(names, conflict_sentence(quantities, None, names, ending), minimal=True)
