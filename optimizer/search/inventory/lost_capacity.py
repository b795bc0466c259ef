"""What losses take at least, whatever the placement, as constraints of the model over counts. ``docs/inventories.md``, section 4.

These are lower bounds: a plan that passes them is placed and looked at exactly, and excluded by itself where it fails.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from optimizer.search.inventory.counts import CountsModel, Item

MOST_PAIRED = 64
"""Losses of two parts are bounded over pairs of so many groups and racks; those beyond are looked at after placing."""
MOST_KINDS_PAIRED = 200
LARGEST = 10**15


def survive(master: CountsModel, level: str, count: int) -> None:
    """The capacity left after the losses carries its share of the demand; the losses are at least what any placement loses."""
    problem = master.problem
    needed = math.ceil(master.demand * problem.demand_share - 1e-6)
    lost = master.model.new_int_var(0, LARGEST, f"lost {level}")
    master.model.add(master.capacity - lost >= needed)
    if level == "gpu":
        _instances(master, lost, count, restarts=problem.within_s is not None)
        return
    groups = problem.groups
    if level in ("node", "rack"):
        racked = [bool(group.rack or group.racks) for group in groups]
        _instances(master, lost, 1, touched=racked if level == "rack" else None)
        _equal_parts(master, lost, level, count)
        return
    names = {group.name: index for index, group in enumerate(groups)}
    domains = problem.wide_domains(level).values()
    _whole_groups(master, lost, [tuple(names[name] for name in members) for members in domains], count)


def _instances(
    master: CountsModel, lost: Any, count: int, *, restarts: bool = False, touched: Sequence[bool] | None = None
) -> None:
    """Losses take at least the largest instances there are that cannot start again, on groups that the level touches."""
    model = master.model
    for number, item in enumerate(master.items):
        if touched is not None and not any(touched[index] for index in item.groups):
            continue
        present = master.at_least(number, 1)
        if restarts and item.candidate.restart_s <= (master.problem.within_s or 0.0):
            safe = _spared(master, item)
            if safe is not None:
                model.add(lost >= item.candidate.capacity).only_enforce_if([present, ~safe])
                continue
        model.add(lost >= item.candidate.capacity).only_enforce_if(present)
        if count == 2:
            if item.most >= 2 and not restarts:
                model.add(lost >= 2 * item.candidate.capacity).only_enforce_if(master.at_least(number, 2))
            # Two of different kinds together: left to the placing where there are very many kinds.
            for other in range(0 if restarts or len(master.items) > MOST_KINDS_PAIRED else number):
                both = [present, master.at_least(other, 1)]
                total = item.candidate.capacity + master.items[other].candidate.capacity
                model.add(lost >= total).only_enforce_if(both)


def _spared(master: CountsModel, item: Item) -> Any:
    """A literal that needs an unused GPU in every node the item stands on; None where some node has none to spare."""
    safe = master.model.new_bool_var("")
    for index, part in item.parts:
        group = master.problem.groups[index]
        most = (group.free_gpus - 1) // part.gpus_per_node
        if most == 0:
            return None
        used = master.total(
            sum(theirs.gpus * other.count for other in master.items for on, theirs in other.parts if on == index)
        )
        master.model.add((group.gpus - used) * most >= part.nodes * item.count).only_enforce_if(safe)
    return safe


def _equal_parts(master: CountsModel, lost: Any, level: str, count: int) -> None:
    """Nodes, or racks: the worst part of each group holds at least the average, and of each candidate the average rounded up."""
    model = master.model
    single: list[Any] = []
    labelled: dict[str, list[int]] = {}
    for index, group in enumerate(master.problem.groups):
        if level == "rack" and group.rack is not None:
            labelled.setdefault(group.rack, []).append(index)
            continue
        parts = group.nodes if level == "node" else group.racks
        here = [item for item in master.items if index in item.groups]
        if not parts or not here:
            continue
        fullest = _fullest(master, here, index, parts)
        model.add(lost >= fullest)
        alone = [item for item in here if len(item.groups) == 1]
        if count == 2:
            # An instance over several nodes is lost whole with each of them, which only adds to the average.
            model.add(lost * parts >= min(count, parts) * _capacity(alone))
            # Two losses in different groups may take the same pipeline: only the others are added up.
            single.append(fullest if len(alone) == len(here) else _fullest(master, alone, index, parts))
    sums = [[item for item in master.items if set(item.groups) & set(members)] for members in labelled.values()]
    for there in sums:
        model.add(lost >= _capacity(there))
    if count == 2:
        # Pipelines over two groups stand in one rack.
        worst = [*single, *(_capacity(there) for there in sums)][:MOST_PAIRED]
        for number, one in enumerate(worst):
            for other in worst[:number]:
                model.add(lost >= one + other)


def _capacity(items: Sequence[Item]) -> Any:
    return sum(item.candidate.capacity * item.count for item in items)


def _fullest(master: CountsModel, items: Sequence[Item], group: int, parts: int) -> Any:
    """A variable below which the capacity on the fullest of so many equal parts of a group never is."""
    one = master.model.new_int_var(0, LARGEST, "")
    # An instance over several nodes is lost whole with each of them, which only adds to the average.
    master.model.add(one * parts >= _capacity(items))
    for item in items:
        if item.most > parts:
            each = master.model.new_int_var(0, -(-item.most // parts), "")
            master.model.add(each * parts >= item.count)
            master.model.add(one >= item.candidate.capacity * each)
    return one


def _whole_groups(master: CountsModel, lost: Any, domains: list[tuple[int, ...]], count: int) -> None:
    """Domains that hold whole groups lose exactly what stands there."""
    held = [
        [number for number, item in enumerate(master.items) if set(item.groups) & set(members)] for members in domains
    ]
    for number, mine in enumerate(held):
        master.model.add(lost >= _capacity([master.items[i] for i in mine]))
        if count == 2:
            for other in held[:number]:
                both = sorted({*mine, *other})
                master.model.add(lost >= _capacity([master.items[i] for i in both]))
