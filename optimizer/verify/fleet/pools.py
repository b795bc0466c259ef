"""Claims about each pool: that it is one, its slots, rates, share and metrics. Callers work inside ``sixty_digits``."""

from __future__ import annotations

from collections.abc import Hashable
from dataclasses import dataclass
from decimal import Decimal
from fractions import Fraction

from optimizer.answer import Fixed
from optimizer.facts.inventory import FleetProblem, NodeGroup
from optimizer.fleet_answer import Pool
from optimizer.verify.arithmetic import decimal, exact
from optimizer.verify.claims import check_metrics, check_strategy
from optimizer.verify.fleet.instance import RATE_STEP, Instance, Instances, likeness, nodes_needed, shape_of
from optimizer.verify.fleet.site import Site
from optimizer.verify.groups import Shape
from optimizer.verify.ledger import RELATIVE, TWO_NANOSECONDS, Ledger, near, number
from optimizer.verify.objective import Value
from optimizer.verify.rules import barely_holds, findings

_TIGHT = Decimal("1e-11")
ON_THEIR_OWN = ("gpu_count", "concurrency", "request_rate", "memory", "max_batch", "tpot_full_batch")
"""Rules of one pool that sections 2 and 4 state anew."""


@dataclass(frozen=True, slots=True)
class Known:
    """A pool whose claims can be computed with. Rates are requests/s of one instance."""

    pool: Pool
    group: NodeGroup
    instance: Instance
    capacity: Fraction
    slots_capacity: Fraction

    @property
    def kind(self) -> tuple[Hashable, Shape]:
        """Equal for pools of one family."""
        return likeness(self.group), self.instance.shape


def know_pools(ledger: Ledger, site: Site, instances: Instances, pools: tuple[Pool, ...]) -> list[Known] | None:
    """Every pool with what later checks need; None when one of them cannot be judged."""
    known = []
    for index, pool in enumerate(pools):
        with ledger.about(f"pools.{index}"):
            found = _know(ledger, site, instances, pool)
            if found is None:
                return None
            known.append(found)
    kinds = [(one.group.name, one.instance.shape) for one in known]
    ledger.that("pools", len(set(kinds)) == len(kinds), "one pool for each group and shape", "one twice")
    return known


def _know(ledger: Ledger, site: Site, instances: Instances, pool: Pool) -> Known | None:
    fleet, group = site.fleet, site.group(pool.parts[0].group)
    if not ledger.that("group", group is not None, "a group of the inventory", pool.parts[0].group) or group is None:
        return None
    if not check_strategy(ledger, fleet.instance_problem(group, 1), pool.strategy, Fixed()):
        return None
    whole = type(pool.instances) is int and pool.instances >= 1
    if not ledger.that("instances", whole, "a whole number from 1", pool.instances):
        return None
    shape = shape_of(pool.strategy)
    t, ep = shape.group.tensor, shape.group.expert
    ledger.that("strategy.expert_parallel", ep in (1, t) or ep % t == 0, f"1, {t}, or a multiple of {t}", ep)
    ledger.same("strategy.data_parallel", pool.instances * shape.group.ranks, pool.strategy.data_parallel)
    nodes = nodes_needed(group, shape)
    if not ledger.that("nodes", nodes is not None, "a shape that fits the group's nodes", "none fits"):
        return None
    ledger.same("nodes", nodes, pool.parts[0].nodes)
    instance = instances.of(group, shape)
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
    up = availability_of(fleet, site, group, instance, nodes or 1)
    ledger.that("availability", near(decimal(up), pool.availability, _TIGHT), float(up), pool.availability)
    return Known(pool, group, instance, capacity, most)


def _rate(ledger: Ledger, what: str, claimed: float) -> Fraction | None:
    """A claimed rate as an exact multiple of the step, above 0; None when it is none."""
    found = number(claimed)
    rate = exact(claimed) if found is not None and found > 0 else None
    good = rate is not None and rate % RATE_STEP == 0
    ledger.that(what, good, "a multiple of 0.000001 above 0", claimed)
    return rate if good else None


def availability_of(fleet: FleetProblem, site: Site, group: NodeGroup, instance: Instance, nodes: int) -> Fraction:
    """A(τ): every part that the instance touches is up."""
    parts = {"gpu": instance.gpus, "node": nodes, "rack": int(group.rack_of(0) is not None)}
    for level, _ in site.wide(group):
        parts[level] = parts.get(level, 0) + 1
    up = Fraction(1)
    repair = exact(fleet.failures.repair_hours.value)
    for level, count in parts.items():
        rate = fleet.failures.mtbf(level)
        if rate is not None:
            up *= (exact(rate.value) / (exact(rate.value) + repair)) ** count
    return up


def check_shares(ledger: Ledger, known: list[Known], demand: Fraction) -> dict[int, Fraction] | None:
    """Shares and planned rates; pool number → exact planned rate of one instance, None when they make no sense."""
    families: dict[tuple[Hashable, Shape], list[int]] = {}
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
                ledger.that("planned_rate", rate <= known[i].capacity, f"at most {pool.capacity}", pool.planned_rate)
    ledger.same("pools.share in thousandths, all families", 1000, total)
    return planned


def check_instance_rules(ledger: Ledger, one: Known, rate: Fraction) -> None:
    """Shape rules, memory and latencies of one instance at its planned rate, and the metrics claimed for it."""
    slots = one.pool.strategy.max_num_seqs
    candidate = one.instance.candidate(slots, rate)
    for rule in findings(candidate):
        if rule.id in ON_THEIR_OWN or one.instance.off(rule.id):
            continue
        ledger.that(f"rule {rule.id}", barely_holds(candidate, rule), f"holds, limit {rule.limit}", rule.actual)
    zero, up = Decimal(0), Decimal(repr(one.pool.availability))
    check_metrics(ledger, candidate, Value(zero, zero, zero, up), one.pool.metrics)
