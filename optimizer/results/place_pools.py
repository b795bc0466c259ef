"""Where the instances of prefill and decode pools stand: ``docs/disaggregated.md``, sections 7 and 13."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace

from optimizer.facts.inventory import InventoryProblem
from optimizer.facts.problem import Problem
from optimizer.results.answer import Strategy
from optimizer.results.cluster_pools import ClusterPoolsStrategy
from optimizer.results.placement import GpuPlace, PlacedInstance, Placement
from optimizer.results.pools import PoolsStrategy, PoolStrategy

ROLES = ("prefill", "decode")
"""Names of the pools, in the order in which placements and services number them."""


def strategy_of_pool(pool: PoolStrategy, layers: int) -> Strategy:
    """The decisions of a pool as those of joint instances: one stage, all its data-parallel ranks counted.

    Args:
        layers: of the model.
    """
    return Strategy(
        tensor_parallel=pool.tensor_parallel,
        pipeline_parallel=1,
        data_parallel=pool.engine_ranks * pool.instances,
        expert_parallel=pool.expert_parallel,
        max_num_seqs=pool.max_num_seqs,
        layers_per_stage=(layers,),
        weight_precision=pool.weight_precision,
        kv_precision=pool.kv_precision,
    )


def place_pools(problem: Problem, strategy: PoolsStrategy) -> Placement:
    """Every instance of both pools, prefill first: apart where the nodes allow it, else spread over the same ones.

    Raises:
        ValueError: they find no room so.
    """
    hardware = problem.hardware
    names = [f"node-{number}" for number in range(hardware.nodes)]
    site = _Site([names], hardware.gpus_per_node, 1 < hardware.nvlink_domain_gpus < hardware.gpus_per_node)
    return Placement(tuple(_stand(site, ((0, strategy.prefill), (1, strategy.decode)), problem.model.layers)))


def place_cluster_pools(problem: InventoryProblem, strategy: ClusterPoolsStrategy) -> Placement:
    """The same on an inventory: each part of a pool on its group, dealt evenly over the group's racks.

    Raises:
        ValueError: they find no room so.
    """
    found: list[PlacedInstance] = []
    parts = [*((0, part) for part in strategy.prefill), *((1, part) for part in strategy.decode)]
    for group in problem.groups:
        own = [(side, part.pool) for side, part in parts if part.group == group.name]
        racks: dict[str | None, list[str]] = {}
        for node in range(group.nodes):
            racks.setdefault(group.rack_of(node), []).append(group.node_name(node))
        several = 1 < group.nvlink_domain_gpus < group.free_gpus
        found += _stand(_Site(list(racks.values()), group.free_gpus, several), own, problem.model.layers)
    shares = {(side, part.group): part.share for side, part in parts}
    numbered: list[PlacedInstance] = []
    for side, role in enumerate(ROLES):
        own_side = [one for one in found if one.pool == side]
        for index, one in enumerate(own_side):
            share = shares[side, one.gpus[0].node.rpartition("-")[0]]
            numbered.append(replace(one, name=f"{role}-{index}", share=one.share * share))
    return Placement(tuple(numbered))


@dataclass(slots=True)
class _Site:
    """Equal nodes by rack, and how many of their GPUs are there for us."""

    racks: list[list[str]]
    """Names of the nodes that are left, of each rack."""
    per_node: int
    """GPUs of a node."""
    several_domains: bool
    """Whether GPUs of a node are in several NVLink domains."""

    def take(self, units: int, whole: int) -> list[list[str]]:
        """So many sets of nodes of one rack, from one rack after the other.

        Raises:
            ValueError: there are not so many.
        """
        found: list[list[str]] = []
        while len(found) < units:
            fitting = [rack for rack in self.racks if len(rack) >= whole]
            if not fitting:
                raise ValueError(f"{units} × {whole} nodes are needed, and the racks have no room for them")
            for rack in fitting[: units - len(found)]:
                found.append([rack.pop(0) for _ in range(whole)])
        return found

    @property
    def nodes(self) -> int:
        """Nodes that are left."""
        return sum(len(rack) for rack in self.racks)


def _stand(site: _Site, pools: Sequence[tuple[int, PoolStrategy]], layers: int) -> list[PlacedInstance]:
    """The instances of pools that share a site."""
    whole = [max(1, pool.instance_gpus // site.per_node) for _, pool in pools]
    apart = sum(pool.nodes for _, pool in pools) <= site.nodes
    if not apart and max(whole) > 1:
        raise ValueError(f"instances over whole nodes share none, and {site.nodes} nodes are too few")
    shared = [] if apart else site.take(site.nodes, 1)
    units = [
        _dealt(pool.instances, site.take(pool.nodes // each, each) if apart else shared, place > 0 and not apart)
        for place, ((_, pool), each) in enumerate(zip(pools, whole, strict=True))
    ]
    # Where a node has several NVLink domains, larger instances take its first GPUs: none lies across two that fits one.
    order = sorted(range(len(pools)), key=lambda place: -pools[place][1].instance_gpus * site.several_domains)
    used: dict[str, int] = {}
    found: dict[int, list[PlacedInstance]] = {}
    for place in order:
        side, pool = pools[place]
        held = strategy_of_pool(pool, layers)
        found[place] = []
        for index, unit in enumerate(units[place]):
            gpus = []
            for node in unit:
                count, before = min(pool.instance_gpus, site.per_node), used.get(node, 0)
                if before + count > site.per_node:
                    raise ValueError(f"{pool.label} has no room on nodes of {site.per_node} GPUs")
                gpus += [GpuPlace(node, before + gpu) for gpu in range(count)]
                used[node] = before + count
            name = f"{ROLES[side]}-{index}"
            found[place].append(PlacedInstance(name, side, held, pool.engine_ranks, 1 / pool.instances, tuple(gpus)))
    return [one for place in range(len(pools)) for one in found[place]]


def _dealt(instances: int, units: list[list[str]], last: bool) -> list[list[str]]:
    """The nodes of each instance: as many on each set of nodes, those over on the first, or on the last where others hold the first."""
    every, more = divmod(instances, len(units))
    counts = [every + (n >= len(units) - more if last else n < more) for n in range(len(units))]
    return [unit for unit, count in zip(units, counts, strict=True) for _ in range(count)]
