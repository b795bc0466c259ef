"""A placement that survives what is asked, or the proof that a plan has none: instances onto labelled nodes, by CP-SAT.

Only asked where spreading greedily did not do, and for few nodes; counts of instances, not instances, are the variables.
"""

from __future__ import annotations

from itertools import combinations
from typing import Any

from optimizer.facts.inventory import FleetProblem
from optimizer.search.fleet.offers import Offers
from optimizer.search.fleet.placing import Block, blocks_of, domain_within_node, seated
from optimizer.search.fleet.plan import Plan, Stand, offer_of
from optimizer.search.solver import cp_model

MOST_NODES = 48
MOST_PAIRS = 2_000


class NotSettledError(Exception):
    """Too large to be settled exactly, or the solver ended without a proof."""


def place_exactly(problem: FleetProblem, offers: Offers, plan: Plan, needed: int) -> tuple[Stand, ...] | None:
    """Stands that keep ``needed`` capacity after the losses of every stated level of nodes and racks; None: there are none.

    Raises:
        NotSettledError: too many nodes, or NVLink domains that counts do not describe.
    """
    used = sorted({entry.group for entry in plan.entries})
    nodes = sum(problem.groups[index].nodes for index in used)
    if nodes > MOST_NODES:
        raise NotSettledError
    if any(domain_within_node(problem.groups[index]) < problem.groups[index].free_gpus for index in used):
        raise NotSettledError
    model = cp_model.CpModel()
    choices: list[tuple[int, Block, Any]] = []
    on_node: dict[tuple[int, int], list[tuple[int, Any]]] = {}
    load: dict[tuple[str, str], list[tuple[int, Any]]] = {}
    for position, entry in enumerate(plan.entries):
        group, offer = problem.groups[entry.group], offer_of(offers, entry)
        here = []
        for block in blocks_of(group, offer.nodes):
            count = model.new_int_var(0, entry.count, "")
            here.append(count)
            choices.append((position, block, count))
            for node in block.nodes:
                on_node.setdefault((entry.group, node), []).append((offer.gpus_per_node, count))
                load.setdefault(("node", group.node_name(node)), []).append((offer.capacity, count))
            if block.rack is not None:
                load.setdefault(("rack", block.rack), []).append((offer.capacity, count))
        model.add(sum(here) == entry.count)
    for (index, _), parts in on_node.items():
        model.add(sum(gpus * count for gpus, count in parts) <= problem.groups[index].free_gpus)
    total = sum(offer_of(offers, entry).capacity * entry.count for entry in plan.entries)
    for losses in problem.survive:
        if losses.level not in ("node", "rack") or f"survive_{losses.level}" in problem.search.disabled_rules:
            continue
        domains = [parts for (level, _), parts in load.items() if level == losses.level]
        _keep(model, domains, losses.count, total - needed)
    solver = cp_model.CpSolver()
    solver.parameters.num_workers = 1
    solver.parameters.max_deterministic_time = 5
    status = solver.solve(model)
    if status == cp_model.INFEASIBLE:
        return None
    if status not in (cp_model.OPTIMAL, cp_model.FEASIBLE):
        raise NotSettledError
    taken = [(position, block, int(solver.value(count))) for position, block, count in choices]
    stands = seated(problem, offers, plan, taken)
    if stands is None:
        raise NotSettledError
    return stands


def _keep(model: Any, domains: list[list[tuple[int, Any]]], count: int, spare: int) -> None:
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
