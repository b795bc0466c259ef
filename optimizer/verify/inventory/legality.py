"""Whether the instances of an answer may stand where it says: each GPU once, free, together, TP groups on NVLink."""

from __future__ import annotations

from itertools import pairwise

from optimizer.facts.inventory import NodeGroup
from optimizer.results.inventory import Pool, PoolPart
from optimizer.results.placement import GpuPlace, PlacedInstance, Placement
from optimizer.verify.common.groups import ReplicaShape
from optimizer.verify.common.ledger import CheckLedger
from optimizer.verify.inventory.instance import nodes_for, shape_of
from optimizer.verify.inventory.site import CheckedSite, SiteNode


def check_placement(ledger: CheckLedger, site: CheckedSite, pools: tuple[Pool, ...], placement: Placement) -> bool:
    """Every placed instance; False when something cannot be judged from here on."""
    taken: dict[GpuPlace, str] = {}
    placed = [0] * len(pools)
    good = True
    names = [instance.name for instance in placement.instances]
    ledger.that("placement", len(set(names)) == len(names), "a name of its own for each instance", "one twice")
    for instance in placement.instances:
        known = type(instance.pool) is int and 0 <= instance.pool < len(pools)
        with ledger.about(f"placement.{instance.name}"):
            if not ledger.that("pool", known, f"a pool from 0 to {len(pools) - 1}", instance.pool):
                return False
            placed[instance.pool] += 1
            good &= _check_instance(ledger, site, pools[instance.pool], instance)
            for place in instance.gpus:
                other = taken.setdefault(place, instance.name)
                good &= ledger.that("gpus", other == instance.name, f"{place.name} used once", f"also by {other}")
            once = len(set(instance.gpus)) == len(instance.gpus)
            good &= ledger.that("gpus", once, "each GPU once", "one twice")
    for number, pool in enumerate(pools):
        good &= ledger.same(f"pools.{number}.instances as placed", placed[number], pool.instances)
    return good


def _check_instance(ledger: CheckLedger, site: CheckedSite, pool: Pool, instance: PlacedInstance) -> bool:
    """One instance against its pool, for GPUs that are there; each part stands together, and both in one rack."""
    shape = shape_of(pool.strategy)
    ledger.same("strategy", pool.strategy, instance.strategy)
    ledger.same("replicas", shape.group.ranks, instance.replicas)
    good = ledger.same("gpus", shape.instance_gpus, len(instance.gpus))
    for place in instance.gpus:
        good &= ledger.that("gpus", site.free(place), "a GPU that exists and is free", place.name)
    if not good:
        return False
    start, racks = 0, set[str | None]()
    for part in pool.parts:
        size = shape.group.tensor * part.stages * shape.group.ranks
        good &= _check_part(ledger, site, part, shape, instance.gpus[start : start + size])
        racks |= {node.rack for node in _nodes(site, instance.gpus[start : start + size])}
        start += size
    if len(pool.parts) > 1:
        good &= ledger.that("nodes", len(racks) == 1, "nodes of one rack, or of groups without racks", instance.nodes)
    return good


def _nodes(site: CheckedSite, places: tuple[GpuPlace, ...]) -> list[SiteNode]:
    """The nodes of some GPUs, each once."""
    found = (site.node(name) for name in dict.fromkeys(place.node for place in places))
    return [node for node in found if node is not None]


def _check_part(
    ledger: CheckLedger, site: CheckedSite, part: PoolPart, shape: ReplicaShape, gpus: tuple[GpuPlace, ...]
) -> bool:
    """GPUs in rank order that stand on one group."""
    group = site.group(part.group)
    if group is None:
        return False  # the pool itself is refused for that
    touched = _nodes(site, gpus)
    names = [node.name for node in touched]
    good = ledger.that("gpus", all(node.group is group for node in touched), f"nodes of {group.name}", names)
    t, d = shape.group.tensor, shape.group.ranks
    good &= ledger.same("nodes", nodes_for(group, t * part.stages * d, part.stages * d), len(touched))
    each = [sum(place.node == name for place in gpus) for name in names]
    good &= ledger.that("gpus of each node", len(set(each)) == 1, "equally many", each)
    good &= ledger.that(
        "nodes", len({node.together for node in touched}) == 1, "nodes of one rack and NVLink domain", names
    )
    runs = 1 + sum(a.node != b.node for a, b in pairwise(gpus))
    good &= ledger.that("gpus", runs == len(touched), "the GPUs of a node next to each other in rank order", runs)
    if "nvlink_locality" not in site.inventory.search.disabled_rules:
        for start in range(0, len(gpus), t):
            ranks = gpus[start : start + t]
            inside = _joined(group, ranks)
            named = [place.name for place in ranks]
            good &= ledger.that("tensor-parallel group", inside, "GPUs of one NVLink domain", named)
    return good


def _joined(group: NodeGroup, ranks: tuple[GpuPlace, ...]) -> bool:
    """One NVLink domain holds the GPUs, or one node where they are more than its domains hold or there is no NVLink.

    Domains that span nodes are checked for the instance.
    """
    if group.nvlink_gb_per_s > 0 and group.nvlink_domain_gpus > group.gpus_per_node:
        return True
    if len({place.node for place in ranks}) > 1:
        return False
    width = min(group.nvlink_domain_gpus, group.free_gpus) if group.nvlink_gb_per_s > 0 else group.free_gpus
    return len(ranks) > width or len({place.index // width for place in ranks}) == 1
