"""Inventories from inline facts, and answers about them built from the exact code: what these tests start from."""

from __future__ import annotations

import math
from dataclasses import replace
from fractions import Fraction
from typing import Any

from optimizer.facts.inventory import InventoryProblem
from optimizer.reading.inventory_file import inventory_from_dict
from optimizer.results.answer import Metrics, ObjectiveResult, RuleResult, Verification
from optimizer.results.inventory import InventoryAnswer, LossScenario, Pool, PoolPart, Reliability
from optimizer.results.placement import PlacedInstance, Placement
from optimizer.verify.common.arithmetic import decimal, exact, sixty_digits
from optimizer.verify.common.bill import bill_of
from optimizer.verify.common.groups import Group, ReplicaShape, Row
from optimizer.verify.inventory.availability import availability_of
from optimizer.verify.inventory.candidates import MILLION, CheckedInstance
from optimizer.verify.inventory.claims import needed_after_losses
from optimizer.verify.inventory.float_times import TimeCurves
from optimizer.verify.inventory.instance import Instance, Instances
from optimizer.verify.inventory.losses import worst_loss
from optimizer.verify.inventory.restarts import restarts_in_time
from optimizer.verify.inventory.shares import largest_share, least_split, share_costs
from optimizer.verify.inventory.site import CheckedSite
from optimizer.verify.inventory.spread import placements
from optimizer.verify.inventory.states import members_of, rates_of, states_of
from optimizer.verify.inventory.value import HOURS_A_MONTH, InstanceFamily, LoadWeights, Totals, totals
from optimizer.verify.uniform.recompute import metrics_of, nanoseconds_up, thousandths_down
from tests.verify.builders import GPU, SMALL_DENSE

SLOW_GPU: dict[str, Any] = {**GPU, "name": "slow-gpu", "memory_bandwidth_gb_per_s": 2000, "dense_tflops": {"bf16": 312}}


def problem(**changes: Any) -> InventoryProblem:
    """Two racks of two nodes of four GPUs; keywords replace whole sections."""
    values: dict[str, Any] = {
        "name": "test",
        "cluster": [{"name": "a", "gpu": GPU, "nodes": 4, "gpus_per_node": 4, "racks": 2}],
        "model": SMALL_DENSE,
        "workload": {"prompt_tokens": 900, "output_tokens": 128, "requests_per_s": 20.0},
        "requirements": {"max_batch": 32, "tpot_p99_ms": 40, "survive": {"gpu": 1, "node": 1, "rack": 1}},
        "search": {"pipeline_parallel": [1, 2], "layer_imbalance": 0},
        **changes,
    }
    return inventory_from_dict(values)


def shape(t: int, stages: int = 1, ep: int = 1, layers: int = 14) -> ReplicaShape:
    """Even stages, 16 bit."""
    return ReplicaShape(Group(t, ep, "bf16", "bf16"), tuple([layers // stages] * stages))


def split_shape(t: int, ahead: tuple[int, ...], behind: tuple[int, ...], ep: int = 1) -> tuple[ReplicaShape, int]:
    """A pipeline whose first stages have these layers on one group and the others on another, and where it is cut."""
    return ReplicaShape(Group(t, ep, "bf16", "bf16"), (*ahead, *behind)), len(ahead)


Where = int | tuple[int, int]
"""Number of a group, or of two."""
What = ReplicaShape | tuple[ReplicaShape, int]
"""A shape, or one with the number of stages on the first of two groups."""


def candidate(stated: InventoryProblem, instances: Instances, where: Where, what: What) -> CheckedInstance:
    """A shape on a group or over two, its slots and rates exact."""
    numbers = (where,) if isinstance(where, int) else where
    there = [stated.groups[number] for number in numbers]
    one: Instance = (
        instances.of(there[0], what)
        if isinstance(what, ReplicaShape)
        else instances.across(there[0], there[1], what[1], what[0])
    )
    slots = one.most_slots()
    return CheckedInstance(
        numbers,
        one,
        slots,
        int(one.capacity(slots) * MILLION),
        int(one.slots_capacity(slots) * MILLION),
        float(one.completes(slots)),
        float(availability_of(stated, CheckedSite(stated), there, one)),
    )


@sixty_digits()
def answer_for(
    stated: InventoryProblem, chosen: list[tuple[Where, What, int]], status: Any = "optimal"
) -> InventoryAnswer:
    """A true answer: so many instances of each shape on each group (by number), spread out."""
    site, instances, curves = CheckedSite(stated), Instances(stated), TimeCurves()
    demand = exact(stated.workload.requests_per_s)
    candidates = [(candidate(stated, instances, where, what), count) for where, what, count in chosen]
    kinds = list(dict.fromkeys(one.kind for one, _ in candidates))
    sizes = [sum(count for one, count in candidates if one.kind == kind) for kind in kinds]
    first = [next(one for one, _ in candidates if one.kind == kind) for kind in kinds]
    most = [largest_share(demand, n, Fraction(o.capacity, MILLION)) for o, n in zip(first, sizes, strict=True)]
    costs = [share_costs(curves.of(o.instance), demand, n, top) for o, n, top in zip(first, sizes, most, strict=True)]
    split = least_split(costs)
    assert split is not None, "the chosen instances cannot carry the demand"
    rates = [Fraction(part, 1000) * demand / n for part, n in zip(split[1], sizes, strict=True)]
    pools = tuple(_pool(stated, one, count, rates[kinds.index(one.kind)], demand) for one, count in candidates)
    groups = {number: (number,) for one, _ in candidates for number in one.groups}
    placed, stood = next(placements(site, candidates, groups, 10_000))
    number = {id(one): index for index, (one, _) in enumerate(candidates)}
    standing = tuple(
        replace(
            instance,
            pool=number[id(one)],
            strategy=pools[number[id(one)]].strategy,
            share=pools[number[id(one)]].share / pools[number[id(one)]].instances,
        )
        for instance, one in zip(placed, stood, strict=True)
    )
    families = [
        InstanceFamily(curves.of(o.instance), n, float(r), o.slots_capacity / MILLION)
        for o, n, r in zip(first, sizes, rates, strict=True)
    ]
    members = members_of(
        site, standing, [kinds.index(one.kind) for one in stood], rates_of(stated, stated.failing_levels())
    )
    found = totals(families, float(demand), LoadWeights.of(stated.objective), states_of(stated, members, sizes))
    return _answer(stated, site, candidates, pools, standing, stood, found, status)


def _pool(stated: InventoryProblem, one: CheckedInstance, count: int, rate: Fraction, demand: Fraction) -> Pool:
    row = Row(one.instance.shape, one.instance.ranks * count)
    candidate = one.instance.candidate(one.slots, rate)
    sides = zip(one.instance.segments, one.instance.gpus_of_segments, strict=True)
    served = decimal(rate) * candidate.problem.workload.output_tokens * decimal(exact(one.availability))
    costs = bill_of([(segment.problem.hardware, gpus) for segment, gpus in sides], served)
    metrics: Metrics = replace(
        metrics_of(candidate),
        availability=one.availability,
        **{name: None if value is None else float(value) for name, value in costs.items()},
    )
    return Pool(
        parts=tuple(
            PoolPart(stated.groups[number].name, segment.stages, segment.nodes)
            for number, segment in zip(one.groups, one.instance.segments, strict=True)
        ),
        strategy=row.strategy(one.slots),
        instances=count,
        share=float(rate * count / demand),
        planned_rate=float(rate),
        capacity=one.capacity / MILLION,
        slots_capacity=one.slots_capacity / MILLION,
        availability=one.availability,
        metrics=metrics,
    )


def _answer(
    stated: InventoryProblem,
    site: CheckedSite,
    candidates: list[tuple[CheckedInstance, int]],
    pools: tuple[Pool, ...],
    placed: tuple[PlacedInstance, ...],
    stood: list[CheckedInstance],
    found: Totals,
    status: Any,
) -> InventoryAnswer:
    weights, demand = LoadWeights.of(stated.objective), exact(stated.workload.requests_per_s)
    used = sum(one.gpus * count for one, count in candidates)
    capacities = [Fraction(one.capacity, MILLION) for one in stood]
    capacity, output = sum(capacities, Fraction(0)), stated.workload.output_tokens
    needed = needed_after_losses(stated)
    restart = [restarts_in_time(stated, one.instance) for one in stood]
    losses = []
    rules = [
        RuleResult("gpus_free", "", stated.gpus, used, "GPUs", True, stated.gpus - used),
        _rule("demand", demand, capacity),
        RuleResult("pool_share", "", "its capacity", "its planned rate", "requests/s", True, None),
    ]
    for one in stated.survive:
        worst = worst_loss(site, one, placed, capacities, restart)
        left = float(worst.capacity_left)
        losses.append(LossScenario(one.level, one.count, worst.lost, worst.instances_lost, left, float(needed)))
        rules.append(_rule(f"survive_{one.level}", needed, worst.capacity_left))
    terms = {"served": found.served_ms, "unserved": found.unserved_ms, "gpus": weights.gpu_ms * used}
    value = sum(terms.values())
    whole = float(math.ceil(value))
    completed = sum(decimal(Fraction(o.completes)) * n for o, n in candidates) * output
    mean = sum(
        (
            o.instance.load(exact(p.planned_rate)).mean * decimal(exact(p.share))
            for (o, _), p in zip(candidates, pools, strict=True)
        ),
        decimal(0),
    )
    priced = [
        (n * gpus, stated.groups[number].price_per_gpu_hour)
        for o, n in candidates
        for number, gpus in zip(o.groups, o.instance.gpus_of_segments, strict=True)
    ]
    price = None if any(p is None for _, p in priced) else sum(gpus * p for gpus, p in priced if p is not None)
    watts = [
        (gpus, stated.groups[number].gpu.tdp_watts)
        for (gpus, _), number in zip(priced, _numbers(candidates), strict=True)
    ]
    kilowatts = None if any(w is None for _, w in watts) else sum(gpus * w for gpus, w in watts if w is not None) / 1000
    millions = float(decimal(demand) * output) * found.availability * 3600 / 1e6
    monthly = stated.workload.requests_per_s * 3600 * HOURS_A_MONTH
    return InventoryAnswer(
        problem=stated.name,
        status=status,
        pools=pools,
        placement=Placement(placed),
        objective=ObjectiveResult(whole, whole, 0.0, "ms", terms),
        objective_exact_ms=value,
        gpus_used=used,
        gpus_free=stated.gpus,
        request_mean_ms=nanoseconds_up(mean),
        tokens_per_s=thousandths_down(decimal(demand) * output),
        peak_tokens_per_s=thousandths_down(completed),
        price_per_hour=price,
        price_per_million_output_tokens=None if price is None else price / millions,
        kilowatts_at_most=kilowatts,
        kwh_per_million_output_tokens_at_most=None if kilowatts is None else kilowatts / millions,
        rules=tuple(rules),
        losses=tuple(losses),
        reliability=Reliability(
            availability=found.availability,
            carried=found.carried,
            unserved_requests_per_month=(1 - found.availability) * monthly,
            hours_between_outages=found.carried / found.outages_per_hour,
            capacity=tuple(sorted(((c / MILLION, p) for c, p in found.capacity.items()), reverse=True)),
            states=found.states,
        ),
        ranges=(),
        verification=Verification(False, 0, "not claimed", 0, ""),
        explanation=(),
    )


def _numbers(candidates: Any) -> list[int]:
    """Groups of all parts of the candidates, in order."""
    return [number for one, _ in candidates for number in one.groups]


def _rule(name: str, limit: Fraction, actual: Fraction) -> RuleResult:
    return RuleResult(name, "", float(limit), float(actual), "requests/s", actual >= limit, float(actual - limit))


def no_answer(stated: InventoryProblem, status: Any = "infeasible") -> InventoryAnswer:
    """The claim that nothing is feasible."""
    return InventoryAnswer(
        problem=stated.name,
        status=status,
        pools=(),
        placement=None,
        objective=None,
        objective_exact_ms=None,
        gpus_used=0,
        gpus_free=stated.gpus,
        request_mean_ms=None,
        tokens_per_s=None,
        peak_tokens_per_s=None,
        price_per_hour=None,
        rules=(),
        losses=(),
        reliability=None,
        ranges=(),
        verification=Verification(False, 0, "not claimed", 0, ""),
        explanation=(),
    )
