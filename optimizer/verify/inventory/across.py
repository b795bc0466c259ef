"""Every pipeline over two groups that is considered, with its rates in 64-bit floats. ``docs/inventories.md``, section 2.

Most carry no more than their places carry otherwise, and are left out. What surely does not is left out early: by the memory of
all stages together, and by a bound on the throughput that takes the better of both GPUs for everything.
"""

from __future__ import annotations

from collections.abc import Hashable, Iterator, Sequence
from dataclasses import replace
from itertools import permutations

from optimizer.facts.inventory import NodeGroup
from optimizer.results.answer import Fixed
from optimizer.verify.common.groups import Group, ReplicaShape
from optimizer.verify.common.joined import split_of
from optimizer.verify.common.space import experts_offered, formats_offered, stages_offered, tensor_offered
from optimizer.verify.inventory.availability import availability_of
from optimizer.verify.inventory.budget import Budget
from optimizer.verify.inventory.candidates import CheckedInstance, candidate_of, legal
from optimizer.verify.inventory.ceiling import Ceiling
from optimizer.verify.inventory.instance import Instance, Instances, Segment, likeness, nodes_for, pairable
from optimizer.verify.inventory.left_out import NOTHING, LeftOut
from optimizer.verify.inventory.places import carried_in_place
from optimizer.verify.inventory.rates import MILLION, rated
from optimizer.verify.inventory.site import CheckedSite


def candidates_across(
    site: CheckedSite,
    instances: Instances,
    within: Sequence[Sequence[CheckedInstance]],
    fixed: Fixed = Fixed(),
    budget: Budget | None = None,
    left_out: LeftOut = NOTHING,
) -> list[CheckedInstance]:
    """The candidates over two groups of an inventory, for every two groups that pair.

    Args:
        within: the candidates of each group.
        budget: asked for every few pipelines.
        left_out: what no better choice contains. What places carry otherwise counts ``within`` all the same.
    """
    inventory, known = site.inventory, dict[Hashable, list[CheckedInstance]]()
    found: list[CheckedInstance] = []
    for i, j in permutations(range(len(inventory.groups)), 2):
        one, other = inventory.groups[i], inventory.groups[j]
        if not pairable(one, other):
            continue
        like = likeness(one), one.nodes_together, likeness(other), other.nodes_together
        if like not in known:
            pair = _Pair(instances, (one, other), (within[i], within[j]), fixed, budget, left_out)
            known[like] = list(pair.candidates())
        for candidate in known[like]:
            up = float(availability_of(inventory, site, (one, other), candidate.instance))
            found.append(replace(candidate, groups=(i, j), availability=up))
    return found


class _Pair:
    """Pipelines from one group to another."""

    def __init__(
        self,
        instances: Instances,
        groups: tuple[NodeGroup, NodeGroup],
        within: tuple[Sequence[CheckedInstance], Sequence[CheckedInstance]],
        fixed: Fixed,
        budget: Budget | None,
        left_out: LeftOut,
    ) -> None:
        self._instances, self._inventory, self._groups = instances, instances.inventory, groups
        self._within, self._fixed, self._budget, self._left_out = within, fixed, budget, left_out.across
        self._carried: dict[tuple[int, int, int], int] = {}
        self._ways: dict[tuple[int, int], list[tuple[int, ...]]] = {}

    def candidates(self) -> Iterator[CheckedInstance]:
        """All of them, numbered as on groups 0 and 1, nothing failing."""
        problem = self._instances.problem(self._groups[0], 1)
        for stages in stages_offered(problem, self._fixed):
            for group in self._stage_groups():
                for cut in range(1, stages):
                    if self._budget is not None:
                        self._budget.spend()
                    yield from self._cut(group, (cut, stages - cut))

    def _stage_groups(self) -> Iterator[Group]:
        """TP and EP degrees and formats that both groups may have."""
        problems = [self._instances.problem(group, 1) for group in self._groups]
        tensors = [set(tensor_offered(problem, self._fixed)) for problem in problems]
        for tensor in sorted(tensors[0] & tensors[1]):
            for expert in sorted(set(experts_offered(problems[0], self._fixed, tensor)) & {1, tensor}):
                for weight, kv in formats_offered(problems[0], self._fixed):
                    yield Group(tensor, expert, weight, kv)

    def _cut(self, group: Group, stages: tuple[int, int]) -> Iterator[CheckedInstance]:
        """Every split of the layers."""
        t, inventory, instances = group.tensor, self._inventory, self._instances
        nodes = [nodes_for(there, t * count, count) for there, count in zip(self._groups, stages, strict=True)]
        splits = self._splits(stages)
        if nodes[0] is None or nodes[1] is None or not splits:
            return
        both = nodes[0], nodes[1]
        each = t * stages[0] // both[0], t * stages[1] // both[1]
        if self._left_out is not None and self._left_out(self._groups, t, both, each):
            return
        held = [instances.stages(there, q) for there, q in zip(self._groups, both, strict=True)]
        segments = tuple(Segment(one.problem, count) for one, count in zip(held, stages, strict=True))
        if not legal(ReplicaShape(group, splits[0]), segments, inventory.search.disabled_rules):
            return
        ceiling = Ceiling(inventory, group, (held[0], held[1]), stages)
        if not ceiling.fit():
            return
        least = sum(self._otherwise(side, stages[side], both[side], t) for side in (0, 1))
        if ceiling.rate(ceiling.most) * MILLION <= least:
            return
        members: list[Instance] = []
        for layers in splits:
            slots = ceiling.slots(layers)
            if slots and ceiling.rate(slots) * MILLION > least:
                members.append(instances.across(*self._groups, stages[0], ReplicaShape(group, layers)))
        for one in rated(members, [least] * len(members)):
            yield candidate_of(one, (0, 1), 1.0)

    def _splits(self, stages: tuple[int, int]) -> list[tuple[int, ...]]:
        """Every way to share the layers between so many stages on each side; found once."""
        if stages not in self._ways:
            total = self._inventory.model.layers
            found = (split_of(total, ahead, stages) for ahead in range(stages[0], total - stages[1] + 1))
            wanted = self._fixed.layers_per_stage
            self._ways[stages] = [layers for layers in found if layers is not None and wanted in (None, layers)]
        return self._ways[stages]

    def _otherwise(self, side: int, count: int, nodes: int, tensor: int) -> int:
        """What the place of one part carries, millionths of a request/s."""
        key = side, count, tensor
        if key not in self._carried:
            each = tensor * count // nodes
            self._carried[key] = carried_in_place(self._within[side], self._groups[side], nodes, each, tensor)
        return self._carried[key]
