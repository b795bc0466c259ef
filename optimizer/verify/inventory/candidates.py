"""Every shape that an instance may have on each group, with its rates in 64-bit floats: what the enumeration chooses from.

Floats only select; what seems to beat an answer is computed again in exact arithmetic.
"""

from __future__ import annotations

from collections.abc import Hashable, Iterator
from dataclasses import dataclass, replace

from optimizer.facts.inventory import InventoryProblem, NodeGroup
from optimizer.results.answer import Fixed
from optimizer.verify.common.groups import Group, ReplicaShape
from optimizer.verify.common.rules import evenly_split
from optimizer.verify.common.space import shapes_offered
from optimizer.verify.inventory.availability import availability_of
from optimizer.verify.inventory.budget import Budget
from optimizer.verify.inventory.instance import Instance, Instances, Segment, likeness, nodes_needed, shape_rules
from optimizer.verify.inventory.left_out import NOTHING, LeftOut
from optimizer.verify.inventory.rates import MILLION, Rated, rated
from optimizer.verify.inventory.site import CheckedSite

__all__ = [
    "MILLION",
    "CheckedInstance",
    "Legal",
    "candidate_of",
    "candidates_of",
    "candidates_on",
    "legal",
    "shapes_on",
]


@dataclass(frozen=True, slots=True)
class CheckedInstance:
    """A shape on a group, or over two. Rates are millionths of a request/s of one instance."""

    groups: tuple[int, ...]
    """Numbers of the groups, one for each segment of the instance."""
    instance: Instance
    slots: int
    capacity: int
    slots_capacity: int
    completes: float
    """d · X(n), requests/s."""
    availability: float

    @property
    def group(self) -> int:
        """The group of the first stages."""
        return self.groups[0]

    @property
    def nodes(self) -> int:
        """Nodes in all."""
        return sum(self.instance.nodes)

    @property
    def gpus(self) -> int:
        """S."""
        return self.instance.gpus

    @property
    def kind(self) -> tuple[int, ReplicaShape]:
        """Equal for candidates of one family: groups that are alike share their instances."""
        return id(self.instance), self.instance.shape


def shapes_on(
    inventory: InventoryProblem, group: NodeGroup, fixed: Fixed, most: int
) -> Iterator[tuple[ReplicaShape, int]]:
    """(shape, nodes of an instance) for every shape of the space searched that has a place on the group and at most so many GPUs."""
    # Shapes that slice experts go as far as the GPUs that an instance may stand on.
    problem = inventory.instance_problem(group, group.nodes_together)
    most = min(most, group.nodes_together * group.free_gpus)
    widest = most if inventory.model.experts and inventory.search.expert_parallel == "any" else 1
    # An instance is one engine: it has as many replicas as its shape joins, no more.
    for shape in shapes_offered(problem, fixed):
        if shape.group.ranks <= widest and shape.instance_gpus <= most:
            nodes = nodes_needed(group, shape)
            if nodes is not None:
                yield shape, nodes


def legal(shape: ReplicaShape, segments: tuple[Segment, ...], off: tuple[str, ...]) -> bool:
    """The rules that neither load nor slots decide."""
    return all(rule.holds or rule.id in off for rule in shape_rules(shape, segments))


class Legal:
    """``legal`` for many shapes on one group: of the rules only that about the split asks how layers are shared."""

    def __init__(self, inventory: InventoryProblem, instances: Instances, group: NodeGroup) -> None:
        self._instances, self._group, self._off = instances, group, inventory.search.disabled_rules
        self._known: dict[tuple[Group, int, int], bool] = {}

    def __call__(self, shape: ReplicaShape, nodes: int) -> bool:
        """Whether so many nodes of the group may hold an instance of the shape."""
        problem = self._instances.problem(self._group, nodes)
        key = shape.group, shape.stages, nodes
        if key not in self._known:
            off = (*self._off, "layer_split")
            self._known[key] = legal(shape, (Segment(problem, shape.stages),), off)
        return self._known[key] and ("layer_split" in self._off or evenly_split(problem, shape.layers))


def candidates_of(
    site: CheckedSite,
    instances: Instances,
    fixed: Fixed = Fixed(),
    left_out: LeftOut = NOTHING,
    budget: Budget | None = None,
) -> list[list[CheckedInstance]]:
    """For each group its candidates; shapes that can carry nothing within the limits are left out too."""
    inventory, known = site.inventory, dict[Hashable, list[CheckedInstance]]()
    found: list[list[CheckedInstance]] = []
    for number, group in enumerate(inventory.groups):
        like = likeness(group), group.nodes_together
        if like not in known:
            known[like] = list(candidates_on(inventory, instances, group, fixed, left_out=left_out, budget=budget))
        found.append(
            [
                replace(
                    candidate,
                    groups=(number,),
                    availability=float(availability_of(inventory, site, (group,), candidate.instance)),
                )
                for candidate in known[like]
            ]
        )
    return found


def candidates_on(
    inventory: InventoryProblem,
    instances: Instances,
    group: NodeGroup,
    fixed: Fixed,
    most: int | None = None,
    left_out: LeftOut = NOTHING,
    budget: Budget | None = None,
) -> Iterator[CheckedInstance]:
    """Candidates of at most so many GPUs on a group whose number and failures do not matter.

    Raises:
        OutOfTime: the budget is used up.
    """
    by_nodes: dict[int, list[Instance]] = {}
    may_stand, kind = Legal(inventory, instances, group), likeness(group)
    for shape, nodes in shapes_on(inventory, group, fixed, group.gpus if most is None else most):
        if budget is not None:
            budget.spend()
        if (kind, shape) not in left_out.shapes and may_stand(shape, nodes):
            by_nodes.setdefault(nodes, []).append(instances.of(group, shape))
    for members in by_nodes.values():
        if budget is not None:
            budget.spend()
        for one in rated(members, [0] * len(members)):
            yield candidate_of(one, (0,), 1.0)


def candidate_of(one: Rated, groups: tuple[int, ...], availability: float) -> CheckedInstance:
    """The candidate of an instance that was rated."""
    return CheckedInstance(
        groups, one.instance, one.slots, one.capacity, one.slots_capacity, one.completes, availability
    )
