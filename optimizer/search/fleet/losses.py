"""The worst that k losses at a level do to a placed plan. ``docs/inventories.md``, section 4."""

from __future__ import annotations

from collections import defaultdict
from dataclasses import dataclass

from optimizer.facts.inventory import FleetProblem
from optimizer.search.fleet.offers import Offers
from optimizer.search.fleet.plan import Plan, Stand, offer_of


@dataclass(frozen=True, slots=True)
class Worst:
    """Domains lost, instances they take, and the capacity of those, millionths of a request/s."""

    lost: tuple[str, ...]
    instances: int
    capacity: int


def worst_losses(
    problem: FleetProblem, offers: Offers, plan: Plan, stands: tuple[Stand, ...], level: str, count: int
) -> Worst:
    """The losses of ``count`` domains of a level that take the most capacity.

    Raises:
        ValueError: more than two losses.
    """
    if count not in (1, 2):
        raise ValueError(f"{count} losses at once are not modelled")
    capacity = [offer_of(offers, plan.entries[stand.entry]).capacity for stand in stands]
    touched = _domains(problem, plan, stands, level)
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


def _order(item: tuple[int, str]) -> tuple[int, str]:
    return (-item[0], item[1])


def _domains(problem: FleetProblem, plan: Plan, stands: tuple[Stand, ...], level: str) -> dict[str, frozenset[int]]:
    """Instances that touch each domain of a level, by its name; domains that touch none are left out."""
    found: dict[str, set[int]] = defaultdict(set)
    wide = {} if level in ("gpu", "node", "rack") else problem.wide_domains(level)
    of_group: dict[str, list[str]] = defaultdict(list)
    for name, groups in wide.items():
        for group_name in groups:
            of_group[group_name].append(name)
    for number, stand in enumerate(stands):
        group = problem.groups[plan.entries[stand.entry].group]
        if level == "gpu":
            # Any one GPU takes its instance; one of each instance stands for the rest.
            found[f"{group.node_name(stand.nodes[0])}/gpu-{stand.gpus[0][0]}"].add(number)
        elif level == "node":
            for node in stand.nodes:
                found[group.node_name(node)].add(number)
        elif level == "rack":
            rack = group.rack_of(stand.nodes[0])
            if rack is not None:
                found[rack].add(number)
        else:
            for name in of_group[group.name]:
                found[name].add(number)
    return {name: frozenset(members) for name, members in found.items()}
