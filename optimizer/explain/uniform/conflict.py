"""Why nothing works: minimal sets of rules that cannot hold together.

Conflicts are read from the masks of the extended question (``wide``, ``sets``), so that the GPU count and search limits
can be members: each member's removal leaves a mask that the rest does not hit, which is a candidate that keeps the rest.
That the set itself cannot hold is checked again over everything that was considered.
"""

from __future__ import annotations

from collections.abc import Collection, Sequence
from dataclasses import replace

from optimizer.explain.common.fixed import fixed_words
from optimizer.explain.common.sets import hitting_sets
from optimizer.explain.uniform.conflict_words import conflict_sentence
from optimizer.explain.uniform.wide import WideSearch, smallest
from optimizer.results.answer import Conflict, Fixed, Repair
from optimizer.search.uniform.quantities import Quantities
from optimizer.search.uniform.rules import rules_of
from optimizer.search.uniform.screen import Screen

NONE_EXISTS = "no strategy exists"

# What a conflict should be made of, where there is a choice: what fits, then what was allowed, then how well it performs.
PLAIN = {
    "gpu_count": 1,
    "memory": 1,
    "context": 2,
    "max_batch": 3,
    "concurrency": 7,
    "kv_cache": 8,
    "request_rate": 6,
    "tpot_full_batch": 5,
}
SEARCH_LIMIT, OTHER = 2, 4
MOST_LISTED, MOST_COMPARED = 20, 200


def find_conflicts(
    quantities: Quantities,
    fixed: Fixed | None,
    wide: WideSearch,
    *,
    every: bool = False,
    repairs: Sequence[Repair] = (),
    none: str = NONE_EXISTS,
) -> tuple[Conflict, ...]:
    """Minimal conflicts of an infeasible problem, the plainest first; one, or all of them up to ``MOST_LISTED``.

    Args:
        q: quantities over everything that was considered.
        wide: the extended question, whose masks prove minimality.
        none: what follows from a conflict where nothing is fixed.
        every: list them all, disjoint and overlapping ones.
        repairs: known already; what each gives up is one more mask, so that no conflict says that it cannot help.
    """
    bits = wide.member_bits
    masks = smallest([*wide.member_masks, *(mask for repair in repairs if (mask := wide.given_up(repair)))])
    sets, complete = hitting_sets(masks, MOST_COMPARED) if masks else ([], True)
    named = [tuple(name for name, bit in bits.items() if found & bit) for found in sets]
    real = [names for names in named if names and not satisfiable(quantities, fixed, set(names))]
    if not real:
        # Rows were left out of the extended question, or there are none: the stated one decides alone.
        core = _deletion(quantities, fixed)
        return (_conflict(quantities, fixed, core, none),) if core is not None else ()
    real.sort(key=lambda names: (plainness(names, wide.rules), [list(bits).index(n) for n in names]))
    chosen = real[: MOST_LISTED if every else 1]
    found = [_conflict(quantities, fixed, names, none) for names in chosen]
    if every and (not complete or len(real) > len(chosen)):
        more = f" (There are more conflicts; the {len(chosen)} plainest are listed.)"
        found[-1] = replace(found[-1], sentence=found[-1].sentence + more)
    nodes = wide.relaxation("nodes")
    if every and nodes is not None and nodes.full is not None:
        most = nodes.full["hardware.nodes"] * quantities.problem.hardware.gpus_per_node
        free = f" (Free in all of them: up to {most:,} of these GPUs, and every degree and format that a conflict does not name.)"
        found[-1] = replace(found[-1], sentence=found[-1].sentence + free)
    return tuple(found)


def satisfiable(quantities: Quantities, fixed: Fixed | None, active: set[str]) -> bool:
    """Whether some candidate that was considered keeps every active rule; search limits always hold here."""
    return bool(quantities.space.rows) and bool(Screen(quantities, fixed, active).viable.any())


def plainness(names: Collection[str], rules: Collection[str]) -> int:
    """How far a set of rules and search limits is from what one would say first; smaller is plainer."""
    return sum(PLAIN.get(name, OTHER) if name in rules else SEARCH_LIMIT for name in names)


def _conflict(quantities: Quantities, fixed: Fixed | None, names: Sequence[str], none: str) -> Conflict:
    subject = fixed_words(fixed)
    ending = f"{subject} cannot keep every rule" if subject else none
    if not names:
        return Conflict((), "No candidate exists at all: the search was given no strategy to consider.", minimal=True)
    return Conflict(tuple(names), conflict_sentence(quantities, fixed, names, ending), minimal=True)


def _deletion(quantities: Quantities, fixed: Fixed | None) -> tuple[str, ...] | None:
    """One minimal conflict over what was considered only; None if the problem turns out feasible."""
    disabled = set(quantities.problem.search.disabled_rules)
    core = [rule.id for rule in rules_of(quantities) if rule.id not in disabled]
    if satisfiable(quantities, fixed, set(core)):
        return None
    for candidate in list(reversed(core)):
        rest = set(core) - {candidate}
        if not satisfiable(quantities, fixed, rest):
            core = [rule for rule in core if rule in rest]
    return tuple(core)
