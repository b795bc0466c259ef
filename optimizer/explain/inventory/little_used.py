"""What groups bring that carry little, and what the GPUs that stay unused would: the GPUs one may do without."""

from __future__ import annotations

from optimizer.explain.common.numbers import count, milliseconds
from optimizer.facts.inventory import InventoryProblem
from optimizer.results.inventory import InventoryAnswer
from optimizer.search.inventory.found import Placed
from optimizer.search.inventory.plan import Plan
from optimizer.search.inventory.solve import InventorySolver

LITTLE = 0.05
"""A group that is sent less than this share of the requests is spoken of."""
PRESETS = ("balanced", "fault-tolerance")


def little_used(problem: InventoryProblem, answer: InventoryAnswer, solver: InventorySolver, best: Placed) -> list[str]:
    """One sentence for each group that carries little, with the objective without it; and one on the GPUs that are not used."""
    if answer.objective is None or problem.objective.preset not in PRESETS:
        return []
    said = [
        sentence for index in range(len(problem.groups)) if (sentence := _group(problem, answer, solver, best, index))
    ]
    # Where power keeps GPUs from working, what they would add is not known.
    if (
        answer.status == "optimal"
        and answer.gpus_used < answer.gpus_free
        and not problem.power_limits
        and answer.least is None
    ):
        idle = answer.gpus_free - answer.gpus_used
        said.append(f"The {count(idle, 'GPU')} that stay unused would better the objective by less than a millisecond.")
    return said


def _group(
    problem: InventoryProblem, answer: InventoryAnswer, solver: InventorySolver, best: Placed, index: int
) -> str | None:
    candidates, group = solver.candidates, problem.groups[index]
    on_it = [e for e in best.plan.entries if index in candidates.places[e.place].groups]
    if not on_it or len(on_it) == len(best.plan.entries) or answer.objective is None:
        return None
    if any(len(candidates.places[e.place].groups) > 1 for e in on_it):
        return None
    numbers = {number for number, entry in enumerate(best.plan.entries) if entry in on_it}
    share = sum(pool.share for number, pool in enumerate(answer.pools) if number in numbers)
    if share >= LITTLE:
        return None
    gpus = sum(candidates.of_place(e.place)[e.candidate].gpus * e.count for e in on_it)
    words = f"The {count(gpus, 'GPU')} of {group.name} carry {share:.1%} of the requests"
    without = solver.value_of(Plan(tuple(entry for entry in best.plan.entries if entry not in on_it)))
    if without is None:
        return f"{words}; the others alone do not keep every rule."
    more = without.value.exact_ms - best.value.exact_ms
    each = max(0.0, more / gpus)
    return (
        f"{words}: without them the objective is {milliseconds(without.value.exact_ms)}, {more / best.value.exact_ms:.2%} more. "
        f"objective.gpu_ms of {each:.3g} or more leaves them out, and so does objective: cheapest where the others are cheaper."
    )
