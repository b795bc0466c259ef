"""Claims about each pool: that it is one, its slots, rates, share and metrics. Callers work inside ``sixty_digits``."""

from __future__ import annotations

from collections.abc import Hashable
from dataclasses import dataclass
from decimal import Decimal
from fractions import Fraction

from optimizer.facts.inventory import NodeGroup
from optimizer.results.answer import Fixed
from optimizer.results.inventory import Pool
from optimizer.verify.common.arithmetic import decimal, exact
from optimizer.verify.common.claims import check_metrics, check_strategy
from optimizer.verify.common.groups import ReplicaShape
from optimizer.verify.common.joined import split_of
from optimizer.verify.common.ledger import RELATIVE, TWO_NANOSECONDS, CheckLedger, near, number
from optimizer.verify.common.objective import Value
from optimizer.verify.common.rules import barely_holds
from optimizer.verify.common.space import stages_offered
from optimizer.verify.inventory.availability import availability_of
from optimizer.verify.inventory.instance import (
    RATE_STEP,
    Instance,
    Instances,
    likeness,
    nodes_for,
    nodes_needed,
    pairable,
    shape_of,
)
from optimizer.verify.inventory.places import carried_otherwise
from optimizer.verify.inventory.site import CheckedSite

_TIGHT = Decimal("1e-11")


@dataclass(frozen=True, slots=True)
class Known:
    """A pool whose claims can be computed with. Rates are requests/s of one instance."""

    pool: Pool
    groups: tuple[NodeGroup, ...]
    """One for each part of the pool."""
    instance: Instance
    capacity: Fraction
    slots_capacity: Fraction

    @property
    def kind(self) -> tuple[Hashable, ReplicaShape]:
        """Equal for pools of one family."""
        stages = tuple(segment.stages for segment in self.instance.segments)
        return (tuple(map(likeness, self.groups)), stages), self.instance.shape


def know_pools(
    ledger: CheckLedger, site: CheckedSite, instances: Instances, pools: tuple[Pool, ...], fixed: Fixed
) -> list[Known] | None:
    """Every pool with what later checks need; None when one of them cannot be judged."""
    known = []
    for index, pool in enumerate(pools):
        with ledger.about(f"pools.{index}"):
            found = _know(ledger, site, instances, pool, fixed)
            if found is None:
                return None
            known.append(found)
    kinds = [(tuple((part.group, part.stages) for part in one.pool.parts), one.instance.shape) for one in known]
    ledger.that("pools", len(set(kinds)) == len(kinds), "one pool for each place and shape", "one twice")
    return known


def _know(ledger: CheckLedger, site: CheckedSite, instances: Instances, pool: Pool, fixed: Fixed) -> Known | None:
    groups = _groups(ledger, site, pool)
    if groups is None or not check_strategy(ledger, instances.problem(groups[0], 1), pool.strategy, Fixed()):
        return None
    whole = type(pool.instances) is int and pool.instances >= 1
    if not ledger.that("instances", whole, "a whole number from 1", pool.instances):
        return None
    shape = shape_of(pool.strategy)
    ledger.same("strategy.data_parallel", pool.instances * shape.group.ranks, pool.strategy.data_parallel)
    instance = _instance(ledger, instances, groups, pool, shape, fixed)
    if instance is None:
        return None
    ledger.same("parts.nodes", instance.nodes, tuple(part.nodes for part in pool.parts))
    slots = pool.strategy.max_num_seqs
    capacity = _rate(ledger, "capacity", pool.capacity)
    most = _rate(ledger, "slots_capacity", pool.slots_capacity)
    if capacity is None or most is None:
        return None
    ledger.that("slots", instance.allows(slots, RELATIVE), "as many sequences as are allowed", slots)
    more = instance.allows(slots + 1, -TWO_NANOSECONDS)
    ledger.that("slots", not more, "the most sequences; one more is allowed too", slots)
    holds = instance.limits_hold(slots, capacity, RELATIVE)
    ledger.that("capacity", holds, "a rate within every limit", pool.capacity)
    over = instance.limits_hold(slots, capacity + RATE_STEP, -TWO_NANOSECONDS)
    ledger.that("capacity", not over, "the largest such rate; one step more is within every limit too", pool.capacity)
    ledger.that("slots_capacity", instance.slots_hold(slots, most), "a rate within the slots", pool.slots_capacity)
    over = instance.slots_hold(slots, most + RATE_STEP)
    ledger.that("slots_capacity", not over, "the largest such rate; one step more fits too", pool.slots_capacity)
    up = availability_of(site.inventory, site, groups, instance)
    ledger.that("availability", near(decimal(up), pool.availability, _TIGHT), float(up), pool.availability)
    if len(groups) == 2:
        otherwise = carried_otherwise(site.inventory, instances, groups, instance, fixed, capacity)
        wanted = f"more than the {float(otherwise)} requests/s that its places carry otherwise"
        ledger.that("capacity", capacity > otherwise, wanted, pool.capacity)
    return Known(pool, groups, instance, capacity, most)


def _groups(ledger: CheckLedger, site: CheckedSite, pool: Pool) -> tuple[NodeGroup, ...] | None:
    """The groups on which the stages stand; None when there are none, or too many, or unknown ones."""
    parts = pool.parts
    if not ledger.that("parts", len(parts) in (1, 2), "stages on one group, or on two", len(parts)):
        return None
    found = tuple(group for group in (site.group(part.group) for part in parts) if group is not None)
    names = [part.group for part in parts]
    if not ledger.that("parts.group", len(found) == len(parts), "groups of the inventory", names):
        return None
    if len(found) == 2 and not ledger.that(
        "parts.group", pairable(*found), "two groups that state the same rack, or none", names
    ):
        return None
    return found


def _instance(
    ledger: CheckLedger,
    instances: Instances,
    groups: tuple[NodeGroup, ...],
    pool: Pool,
    shape: ReplicaShape,
    fixed: Fixed,
) -> Instance | None:
    """The instance that the pool is of; None when there is none such."""
    t, ep, stages = shape.group.tensor, shape.group.expert, tuple(part.stages for part in pool.parts)
    counted = all(type(count) is int and count >= 1 for count in stages) and sum(stages) == shape.stages
    if not ledger.that("parts.stages", counted, f"whole numbers from 1 that add up to {shape.stages}", stages):
        return None
    if len(groups) == 1:
        ledger.that("strategy.expert_parallel", ep in (1, t) or ep % t == 0, f"1, {t}, or a multiple of {t}", ep)
        if not ledger.that("parts", nodes_needed(groups[0], shape) is not None, "a shape that fits the nodes", "none"):
            return None
        return instances.of(groups[0], shape)
    problem = instances.problem(groups[0], 1)
    offered = stages_offered(problem, fixed)
    ledger.that("strategy.pipeline_parallel", shape.stages in offered, f"one of {offered}", shape.stages)
    if not ledger.that("strategy.expert_parallel", ep in (1, t), f"1 or {t}", ep):
        return None
    split = split_of(problem.model.layers, sum(shape.layers[: stages[0]]), (stages[0], stages[1]))
    what = "strategy.layers_per_stage"
    if not ledger.that(what, shape.layers == split, split or "a split over two groups", shape.layers):
        return None
    room = [nodes_for(group, t * count, count) for group, count in zip(groups, stages, strict=True)]
    if not ledger.that("parts", None not in room, "stages that fit the nodes of each group", room):
        return None
    return instances.across(groups[0], groups[1], stages[0], shape)


def _rate(ledger: CheckLedger, what: str, claimed: float) -> Fraction | None:
    """A claimed rate as an exact multiple of the step, above 0; None when it is none."""
    found = number(claimed)
    rate = exact(claimed) if found is not None and found > 0 else None
    good = rate is not None and rate % RATE_STEP == 0
    ledger.that(what, good, "a multiple of 0.000001 above 0", claimed)
    return rate if good else None


def check_shares(
    ledger: CheckLedger, known: list[Known], demand: Fraction, *, proposed: bool = False
) -> dict[int, Fraction] | None:
    """Shares and planned rates; pool number → exact planned rate of one instance, None when they make no sense.

    ``proposed`` shares may send an instance more than it carries; a rule says so then.
    """
    families: dict[tuple[Hashable, ReplicaShape], list[int]] = {}
    for index, one in enumerate(known):
        families.setdefault(one.kind, []).append(index)
    planned: dict[int, Fraction] = {}
    total = 0
    for members in families.values():
        shares = [number(known[i].pool.share) for i in members]
        with ledger.about(f"pools.{members[0]}.share"):
            if not ledger.that("number", None not in shares, "numbers", shares):
                return None
            share = sum((s for s in shares if s is not None), Decimal(0)) * 1000
            part = int(share.to_integral_value())
            exact_enough = abs(share - part) <= Decimal("1e-9") and part >= 1
            if not ledger.that("family", exact_enough, "whole thousandths, at least one", share / 1000):
                return None
        total += part
        count = sum(known[i].pool.instances for i in members)
        rate = Fraction(part, 1000) * demand / count
        for i in members:
            planned[i], pool = rate, known[i].pool
            with ledger.about(f"pools.{i}"):
                mine = decimal(Fraction(part * pool.instances, 1000 * count))
                ledger.that("share", near(mine, pool.share, _TIGHT), mine, pool.share)
                ledger.that("planned_rate", near(decimal(rate), pool.planned_rate, Decimal(0)), rate, pool.planned_rate)
                if not proposed:
                    within = rate <= known[i].capacity
                    ledger.that("planned_rate", within, f"at most {pool.capacity}", pool.planned_rate)
    ledger.same("pools.share in thousandths, all families", 1000, total)
    return planned


def check_instance_rules(ledger: CheckLedger, one: Known, rate: Fraction) -> None:
    """Shape rules, memory and latencies of one instance at its planned rate, and the metrics claimed for it."""
    slots = one.pool.strategy.max_num_seqs
    candidate = one.instance.candidate(slots, rate)
    for rule in one.instance.rules(slots, rate):
        if not one.instance.off(rule.id):
            ledger.that(f"rule {rule.id}", barely_holds(candidate, rule), f"holds, limit {rule.limit}", rule.actual)
    zero, up = Decimal(0), Decimal(repr(one.pool.availability))
    # Groups that an instance cannot tell apart may differ in price: the instance is that of one of them.
    used = list(zip(one.groups, one.instance.gpus_of_segments, strict=True))
    check_metrics(ledger, candidate, Value(zero, zero, zero, up), one.pool.metrics, used)
