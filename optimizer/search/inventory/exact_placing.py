"""A placement that survives what is asked, or the proof that a plan has none: instances onto labelled nodes, by CP-SAT.

Only asked where spreading greedily did not do, and for few nodes; counts of instances, not instances, are the variables.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from itertools import combinations, product
from typing import Any

from optimizer.facts.inventory import InventoryProblem
from optimizer.search.common.solver import cp_model, new_solver
from optimizer.search.inventory.candidates import Candidates
from optimizer.search.inventory.placing import NodeBlock, Rooms, blocks_of, domain_within_node, seated
from optimizer.search.inventory.plan import Plan, Stand, candidate_of, parts_of

MOST_NODES = 48
MOST_PAIRS = 2_000


class NotSettledError(Exception):
    """Too large to be settled exactly, or the solver ended without a proof."""


@dataclass(frozen=True, slots=True)
class PlanToPlace:
    """A plan, and the capacity (millionths of a request/s) that has to be left of it after losses of nodes and racks."""

    problem: InventoryProblem
    candidates: Candidates
    plan: Plan
    needed: int


def place_exactly(
    problem: InventoryProblem, candidates: Candidates, plan: Plan, needed: int
) -> tuple[Stand, ...] | None:
    """Stands that keep ``needed`` capacity after the losses of every stated level of nodes and racks; None: there are none.

    Raises:
        NotSettledError: too many nodes, or NVLink domains that counts do not describe.
    """
    found = place_all_exactly([PlanToPlace(problem, candidates, plan, needed)])
    return None if found is None else found[0]


def place_all_exactly(plans: Sequence[PlanToPlace]) -> list[tuple[Stand, ...]] | None:
    """The same for plans of several models on the same nodes: no GPU twice, and each keeps what it needs.

    Raises:
        NotSettledError: too many nodes, or NVLink domains that counts do not describe.
    """
    groups = plans[0].problem.groups
    used = sorted({index for one in plans for e in one.plan.entries for index in one.candidates.places[e.place].groups})
    if sum(groups[index].nodes for index in used) > MOST_NODES:
        raise NotSettledError
    if any(domain_within_node(groups[index]) < groups[index].free_gpus for index in used):
        raise NotSettledError
    model = cp_model.CpModel()
    on_node: dict[tuple[int, int], list[tuple[int, Any]]] = {}
    choices = [_choices(model, one, on_node) for one in plans]
    for (index, _), held in on_node.items():
        model.add(sum(gpus * count for gpus, count in held) <= groups[index].free_gpus)
    solver = new_solver()
    solver.parameters.max_deterministic_time = 5
    status = solver.solve(model)
    if status == cp_model.INFEASIBLE:
        return None
    if status not in (cp_model.OPTIMAL, cp_model.FEASIBLE):
        raise NotSettledError
    rooms: Rooms = {}
    found = []
    for one, mine in zip(plans, choices, strict=True):
        taken = [(position, blocks, int(solver.value(count))) for position, blocks, count in mine]
        stands = seated(one.problem, one.candidates, one.plan, taken, rooms)
        if stands is None:
            raise NotSettledError
        found.append(stands)
    return found


def _choices(
    model: Any, one: PlanToPlace, on_node: dict[tuple[int, int], list[tuple[int, Any]]]
) -> list[tuple[int, tuple[NodeBlock, ...], Any]]:
    """(entry, nodes of each part, instances there) of a plan, which keeps what it needs; GPUs taken are added to ``on_node``."""
    problem, candidates, plan = one.problem, one.candidates, one.plan
    choices: list[tuple[int, tuple[NodeBlock, ...], Any]] = []
    load: dict[tuple[str, str], list[tuple[int, Any]]] = {}
    for position, entry in enumerate(plan.entries):
        candidate = candidate_of(candidates, entry)
        parts = list(parts_of(candidates, entry))
        here = []
        for blocks in product(*(blocks_of(problem, index, part.nodes) for index, part in parts)):
            count = model.new_int_var(0, entry.count, "")
            here.append(count)
            choices.append((position, blocks, count))
            for block, (index, part) in zip(blocks, parts, strict=True):
                for node in block.nodes:
                    on_node.setdefault((index, node), []).append((part.gpus_per_node, count))
                    name = problem.groups[index].node_name(node)
                    load.setdefault(("node", name), []).append((candidate.capacity, count))
            # Both parts of an instance are in one rack.
            if blocks[0].rack is not None:
                load.setdefault(("rack", blocks[0].rack), []).append((candidate.capacity, count))
        model.add(sum(here) == entry.count)
    total = sum(candidate_of(candidates, entry).capacity * entry.count for entry in plan.entries)
    for losses in problem.survive:
        if losses.level not in ("node", "rack") or f"survive_{losses.level}" in problem.search.disabled_rules:
            continue
        domains = [held for (level, _), held in load.items() if level == losses.level]
        keep(model, domains, losses.count, total - one.needed)
    return choices


def keep(model: Any, domains: list[list[tuple[int, Any]]], count: int, spare: Any) -> None:
    """No choice of so many domains takes more than ``spare``. Instances over two lost nodes are counted twice, hence not with them."""
    loads = [sum(capacity * variable for capacity, variable in parts) for parts in domains]
    for one in loads:
        model.add(one <= spare)
    if count == 2:
        if len(loads) * (len(loads) - 1) // 2 > MOST_PAIRS:
            raise NotSettledError
        for (parts, one), (others, other) in combinations(zip(domains, loads, strict=True), 2):
            names = {id(variable) for _, variable in others}
            twice = sum(capacity * variable for capacity, variable in parts if id(variable) in names)
            model.add(one + other - twice <= spare)
