"""The worst that k losses at a level do to a placed plan. ``docs/inventories.md``, section 4."""

from __future__ import annotations

from collections import defaultdict
from dataclasses import dataclass

from optimizer.facts.inventory import InventoryProblem
from optimizer.search.inventory.candidates import Candidates
from optimizer.search.inventory.placing import domain_within_node
from optimizer.search.inventory.plan import Plan, Stand, candidate_of


@dataclass(frozen=True, slots=True)
class Worst:
    """Domains lost, instances they take, and the capacity of those, millionths of a request/s."""

    lost: tuple[str, ...]
    instances: int
    capacity: int


def worst_losses(
    problem: InventoryProblem, candidates: Candidates, plan: Plan, stands: tuple[Stand, ...], level: str, count: int
) -> Worst:
    """The losses of ``count`` domains of a level that take the most capacity.

    Raises:
        ValueError: more than two losses.
    """
    if count not in (1, 2):
        raise ValueError(f"{count} losses at once are not modelled")
    capacity = [candidate_of(candidates, plan.entries[stand.entry]).capacity for stand in stands]
    if level == "gpu" and problem.within_s is not None:
        return _after_restarts(problem, candidates, plan, stands, count, problem.within_s)
    touched = _domains(problem, stands, level)
    loads = sorted(((sum(capacity[i] for i in members), name) for name, members in touched.items()), key=_order)
    if not loads:
        return Worst((), 0, 0)
    if count == 1 or len(loads) == 1:
        load, name = loads[0]
        return Worst((name,), len(touched[name]), load)
    best: Worst | None = None
    for first, (load, name) in enumerate(loads):
        if best is not None and 2 * load <= best.capacity:
            break
        for other_load, other in loads[first + 1 :]:
            if best is not None and load + other_load <= best.capacity:
                break
            union = touched[name] | touched[other]
            total = sum(capacity[i] for i in union)
            if best is None or total > best.capacity:
                best = Worst((name, other), len(union), total)
    if best is None:
        raise RuntimeError("two domains and no pair of them")
    return best


def _after_restarts(
    problem: InventoryProblem,
    candidates: Candidates,
    plan: Plan,
    stands: tuple[Stand, ...],
    count: int,
    within_s: float,
) -> Worst:
    """The worst losses of GPUs once instances have started again on unused GPUs of the NVLink domain of the GPU they lost.

    Taking an instance for good takes one loss where it cannot start again in time or has no unused GPU beside it, else as many as use the
    unused ones up, and one more.
    """
    unused = _unused(problem, stands)
    price: list[tuple[int, int, str]] = []
    for stand in stands:
        candidate = candidate_of(candidates, plan.entries[stand.entry])
        least = min(
            (
                unused[index, node, gpu // domain_within_node(problem.groups[index])],
                f"{problem.groups[index].node_name(node)}/gpu-{gpu}",
            )
            for (index, node), gpus in zip(stand.nodes, stand.gpus, strict=True)
            for gpu in gpus
        )
        spares = least[0] if candidate.restart_s <= within_s else 0
        price.append((candidate.capacity, spares + 1, least[1]))
    price.sort(key=lambda item: (-item[0], item[2]))
    cheap = [item for item in price if item[1] == 1][:count]
    best = Worst(tuple(item[2] for item in cheap), len(cheap), sum(item[0] for item in cheap))
    if count == 2:
        for capacity, losses, name in price:
            if losses == 2 and capacity > best.capacity:
                best = Worst((name, "the unused GPU beside it"), 1, capacity)
    return best


def _unused(problem: InventoryProblem, stands: tuple[Stand, ...]) -> dict[tuple[int, int, int], int]:
    """Unused free GPUs of every NVLink domain: (group, node, domain) → GPUs, for the nodes in use."""
    found: dict[tuple[int, int, int], int] = {}
    for stand in stands:
        for (index, node), gpus in zip(stand.nodes, stand.gpus, strict=True):
            group = problem.groups[index]
            width = domain_within_node(group)
            for start in range(0, group.free_gpus, width):
                size = min(width, group.free_gpus - start)
                found.setdefault((index, node, start // width), size)
            for gpu in gpus:
                found[index, node, gpu // width] -= 1
    return found


def _order(item: tuple[int, str]) -> tuple[int, str]:
    return (-item[0], item[1])


def _domains(problem: InventoryProblem, stands: tuple[Stand, ...], level: str) -> dict[str, frozenset[int]]:
    """Instances that touch each domain of a level, by its name; domains that touch none are left out."""
    found: dict[str, set[int]] = defaultdict(set)
    wide = {} if level in ("gpu", "node", "rack") else problem.wide_domains(level)
    of_group: dict[str, list[str]] = defaultdict(list)
    for name, groups in wide.items():
        for group_name in groups:
            of_group[group_name].append(name)
    for number, stand in enumerate(stands):
        nodes = [(problem.groups[index], node) for index, node in stand.nodes]
        if level == "gpu":
            # Any one GPU takes its instance; one of each instance stands for the rest.
            group, node = nodes[0]
            found[f"{group.node_name(node)}/gpu-{stand.gpus[0][0]}"].add(number)
            continue
        for group, node in nodes:
            if level == "node":
                found[group.node_name(node)].add(number)
            elif level == "rack":
                rack = group.rack_of(node)
                if rack is not None:
                    found[rack].add(number)
            else:
                for name in of_group[group.name]:
                    found[name].add(number)
    return {name: frozenset(members) for name, members in found.items()}
