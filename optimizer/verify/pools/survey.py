"""Every pair of pools there is, compared with what is claimed to be best: pools one by one, pairs by what they add up to.

Callers work inside ``arithmetic.sixty_digits``.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, replace
from decimal import Decimal
from fractions import Fraction

import numpy as np
from numpy.typing import NDArray

from optimizer.facts.demand import FEWEST
from optimizer.facts.problem import Problem
from optimizer.results.answer import Fixed
from optimizer.results.pools import FixedPool, FixedPools, PoolStrategy
from optimizer.verify.common.arithmetic import ceil_ratio, decimal, exact
from optimizer.verify.common.candidate import planned
from optimizer.verify.common.groups import Group
from optimizer.verify.common.objective import weights_of
from optimizer.verify.common.space import experts_offered, formats_offered, tensor_offered
from optimizer.verify.pools.pair import PoolsPair, Shapes, joined, legal
from optimizer.verify.pools.pool import Crossing, DecodePool, PrefillPool, sent_times, taken_by, value_of
from optimizer.verify.pools.shape import PoolShape

Floats = NDArray[np.float64]
NEAR = 1e-9
FURTHER_MS = 2e-5
"""Better by less than this is equal: nanoseconds rounded up in the claim, floats here."""
NEVER = 1e30
EVERY_NODE = 8
"""Nodes up to which pools are spread over any number of them; over more, the fewest, doubled and doubled again, and as many as it can."""
MOST_LINES = 20_000
"""Pools of more than so many kinds are not compared one by one."""


@dataclass(frozen=True, slots=True)
class PairsSeen:
    """How many pairs there are, how many of them keep every rule, and one that beats the claim."""

    pairs: int
    compared: int
    better: str | None


@dataclass(frozen=True, slots=True)
class PoolLine:
    """One pool as numbers; a line that breaks a rule of its own is left out."""

    strategy: PoolStrategy
    pool: PrefillPool | DecodePool
    value: float
    times: dict[str, float]
    left: tuple[tuple[bool, dict[str, float]], ...]
    """After 0, 1, 2 lost GPUs, then 0, 1, 2 lost nodes."""
    moved: tuple[float, float, float]
    peak: float


def tier_of(problem: Problem, pair: PoolsPair) -> Decimal:
    """What the preset puts before the objective; lower is better."""
    preset = problem.objective.preset
    if preset in FEWEST:
        return Decimal(pair.gpus)
    if preset == "throughput":
        return -min(pair.peak())
    if preset == "capacity":
        return -decimal(_most(pair))
    return Decimal(0)


def _most(pair: PoolsPair) -> Fraction:
    low, high = 0, 1
    while pair.carried(Fraction(high, 1000)):
        low, high = high, 2 * high
    while high - low > 1:
        middle = (low + high) // 2
        low, high = (middle, high) if pair.carried(Fraction(middle, 1000)) else (low, middle)
    return Fraction(low, 1000)


def offered(problem: Problem, shapes: Shapes, fixed: FixedPool) -> Iterator[PoolShape]:
    """Shapes of one pool."""
    stated = Fixed(
        tensor_parallel=fixed.tensor_parallel,
        expert_parallel=fixed.expert_parallel,
        weight_precision=fixed.weight_precision,
        kv_precision=fixed.kv_precision,
    )
    for t in sorted(set(tensor_offered(problem, stated))):
        for ep in sorted(set(experts_offered(problem, stated, t))):
            for weight, cache in dict.fromkeys(formats_offered(problem, stated)):
                shape = shapes.of(Group(t, ep, weight, cache))
                if legal(problem, shape):
                    yield shape


def slots_of(problem: Problem, shape: PoolShape, fixed: FixedPool) -> int:
    """The most sequences that a decode rank may run."""
    if fixed.max_num_seqs is not None:
        return min(fixed.max_num_seqs, shape.length)
    off, limits = problem.search.disabled_rules, problem.requirements
    most = shape.length if "max_batch" in off else min(problem.max_batch, shape.length)
    if shape.states is not None and "state_blocks" not in off:
        most = max(1, min(most, shape.states))
    if limits.tpot_p99_ms is None or "tpot_full_batch" in off:
        return most
    within = planned(limits, limits.tpot_p99_ms)
    low, high = 0, most + 1
    while high - low > 1:
        middle = (low + high) // 2
        low, high = (middle, high) if shape.round(middle) <= within else (low, middle)
    return max(1, low)


def placements(problem: Problem, shape: PoolShape, fixed: FixedPool) -> Iterator[tuple[int, int]]:
    """(instances, nodes) of a pool, as if the other needed none."""
    hardware = problem.hardware
    for count in range(1, hardware.gpus // shape.gpus + 1):
        if fixed.count not in (None, count):
            continue
        if shape.gpus > hardware.gpus_per_node:
            yield count, count * shape.gpus // hardware.gpus_per_node
            continue
        fewest = ceil_ratio(count, hardware.gpus_per_node // shape.gpus)
        most = min(count, hardware.nodes)
        for nodes in range(fewest, hardware.nodes + 1):
            within = nodes <= most
            if hardware.nodes > EVERY_NODE:
                doubled = nodes % fewest == 0 and (nodes // fewest).bit_count() == 1
                within = within and (doubled or nodes == most)
            if within or nodes == hardware.nodes:
                yield count, nodes


def survey(problem: Problem, shapes: Shapes, fixed: FixedPools, claim: PoolsPair | None) -> PairsSeen | None:
    """Compare a claim with every pair; without one, look for any pair that keeps every rule. None: there are too many."""
    prefill = list(offered(problem, shapes, fixed.prefill))
    decode = list(offered(problem, shapes, fixed.decode))
    bar = None if claim is None else float(sum(claim.terms().values(), Decimal(0)))
    tier = None if claim is None else float(tier_of(problem, claim))
    pairs = compared = 0
    sides = (prefill, fixed.prefill), (decode, fixed.decode)
    lines = sum(1 for some, one in sides for shape in some for _ in placements(problem, shape, one))
    if lines * max(1, len({shape.group.tensor for shape in decode})) > MOST_LINES:
        return None
    for first, second in lines_joined(problem, shapes, fixed, prefill, decode):
        pairs += len(first) * len(second)
        if not first or not second:
            continue
        feasible, values, tiers = judged(problem, shapes.wire.latency, first, second)
        compared += int(feasible.sum())
        rival = _best(problem, shapes, first, second, feasible, values, tiers, bar, tier)
        if rival is not None:
            return PairsSeen(pairs, compared, rival)
    return PairsSeen(pairs, compared, None)


def lines_joined(
    problem: Problem, shapes: Shapes, fixed: FixedPools, prefill: Sequence[PoolShape], decode: Sequence[PoolShape]
) -> Iterator[tuple[list[PoolLine], list[PoolLine]]]:
    """Pools of either side that keep the rules of their own, by what decode shapes receive: any of one with any of the other."""
    receivers: dict[tuple[int, str, str], list[PoolShape]] = {}
    for shape in decode:
        receivers.setdefault((shape.group.tensor, shape.group.weight_format, shape.group.kv_format), []).append(shape)
    for received in receivers.values():
        wire, some = shapes.wire, received[0]
        second = [
            line
            for shape in received
            for line in _decode_lines(problem, shape, fixed.decode, Crossing(wire, shape, Fraction(1)))
        ]
        first = [
            line
            for shape in prefill
            if joined(problem, shape.group, some.group)
            for line in _prefill_lines(
                problem, shape, fixed.prefill, Crossing(wire, some, sent_times(problem, shape, some))
            )
        ]
        yield first, second


def _prefill_lines(problem: Problem, shape: PoolShape, fixed: FixedPool, crossing: Crossing) -> Iterator[PoolLine]:
    mates = shape.together(problem.workload.prompt_tokens)
    if shape.short_of_memory > 0 and "prefill_memory" not in problem.search.disabled_rules:
        return
    for count, nodes in placements(problem, shape, fixed):
        pool = PrefillPool(shape, count, nodes, crossing)
        line = _line(problem, pool, _strategy(shape, count, nodes, mates), crossing)
        if line is not None:
            yield line


def _decode_lines(problem: Problem, shape: PoolShape, fixed: FixedPool, crossing: Crossing) -> Iterator[PoolLine]:
    slots, off = slots_of(problem, shape, fixed), problem.search.disabled_rules
    limits = problem.requirements
    if shape.short_of_memory > 0 and "decode_memory" not in off:
        return
    if slots < limits.min_batch and "min_batch" not in off:
        return
    if shape.states is not None and slots > shape.states and "state_blocks" not in off:
        return
    if limits.tpot_p99_ms is not None and "tpot_full_batch" not in off:
        full, within = shape.round(slots), planned(limits, limits.tpot_p99_ms)
        if full > within:
            return
    for count, nodes in placements(problem, shape, fixed):
        pool = DecodePool(shape, count, nodes, slots, crossing)
        line = _line(problem, pool, _strategy(shape, count, nodes, slots), crossing)
        if line is not None:
            yield line


def _strategy(shape: PoolShape, count: int, nodes: int, slots: int) -> PoolStrategy:
    group = shape.group
    return PoolStrategy(count, group.tensor, group.expert, slots, group.weight_format, group.kv_format, nodes)


def _line(
    problem: Problem, pool: PrefillPool | DecodePool, strategy: PoolStrategy, crossing: Crossing
) -> PoolLine | None:
    rate, limits = exact(problem.workload.requests_per_s), problem.requirements
    load = pool.load(rate)
    if load is None or not pool.carries(load):
        return None
    value = value_of(pool, weights_of(problem.objective), lambda j: pool.load(rate, j))
    share, left = rate * exact(limits.survive.demand_share), []
    for level, most in (("gpu", limits.survive.gpu), ("node", limits.survive.node)):
        for lost in range(3):
            gone = taken_by(pool, level, lost) if lost <= most else pool.count
            after = pool.load(share, gone) if gone < pool.count else None
            fine = after is not None and pool.carries(after)
            left.append((fine, _floats(after.times) if after is not None else {}))
    group = pool.shape.group
    if isinstance(pool, PrefillPool):
        peak = pool.count * group.ranks * pool.shape.prompts_per_s
    elif problem.objective.preset == "throughput":
        peak = pool.count * group.ranks * pool.shape.completes_per_s(pool.slots)
    else:
        peak = Decimal(0)
    moved = tuple(float(ms) for ms in (crossing.mean, crossing.usual, crossing.longest))
    return PoolLine(
        strategy, pool, float(value.served + value.unserved), _floats(load.times), tuple(left),
        (moved[0], moved[1], moved[2]), float(peak),
    )  # fmt: skip


def _floats(times: dict[str, Decimal]) -> dict[str, float]:
    return {name: float(ms) for name, ms in times.items()}


def judged(
    problem: Problem, latency: Decimal, first: Sequence[PoolLine], second: Sequence[PoolLine], spare: float = 1.0
) -> tuple[NDArray[np.bool_], Floats, Floats]:
    """(keeps every rule with room to spare, objective in ms, tier), (P, D) each.

    Args:
        spare: -1: as far as floats can tell instead.
    """
    limits, off, hardware = problem.requirements, problem.search.disabled_rules, problem.hardware
    weights = weights_of(problem.objective)
    gpus = _both(first, second, lambda line: line.strategy.gpus)
    moved = [
        np.maximum.outer([a.moved[k] for a in first], [b.moved[k] for b in second]) + float(latency) for k in range(3)
    ]
    values = _both(first, second, lambda line: line.value)
    values += float(weights.latency) * moved[0] + float(weights.gpu_ms) * gpus
    feasible: NDArray[np.bool_] = np.ones(values.shape, dtype=np.bool_)
    if "gpu_count" not in off:
        feasible &= gpus <= hardware.gpus
    nodes = _both(first, second, lambda line: line.strategy.nodes)
    apart = nodes <= hardware.nodes
    if "placement" not in off:
        feasible &= apart | _beside(problem, first, second)

    def within(times: Sequence[Sequence[dict[str, float]]]) -> NDArray[np.bool_]:
        fine: NDArray[np.bool_] = np.ones(values.shape, dtype=np.bool_)
        for limit in limits.latency_limits:
            if limit.rule in off:
                continue
            sides = [np.array([one.get(limit.rule, 0.0) if one else NEVER for one in side]) for side in times]
            total = np.add.outer(sides[0], sides[1])
            if limit.metric == "ttft":
                total = total + moved[1 if limit.percentile == 50 else 2]
            most = float(planned(limits, limit.limit_ms))
            fine &= total <= most * (1 - spare * NEAR) - spare * FURTHER_MS
        return fine

    feasible &= within([[line.times for line in side] for side in (first, second)])
    for level, at in (("gpu", 0), ("node", 3)):
        losses: int = getattr(limits.survive, level)
        if not losses or f"survive_{level}" in off:
            continue

        def left(a: int, b: int, at: int = at) -> NDArray[np.bool_]:
            chosen = [[line.left[at + lost] for line in side] for side, lost in ((first, a), (second, b))]
            fine = np.logical_and.outer(*[np.array([one[0] for one in side]) for side in chosen])
            found: NDArray[np.bool_] = fine & within([[one[1] for one in side] for side in chosen])
            return found

        every = np.logical_and.reduce([left(a, losses - a) for a in range(losses + 1)])
        feasible &= np.where(apart, every, left(losses, losses)) if level == "node" else every
    tiers = np.zeros(values.shape)
    if problem.objective.preset in FEWEST:
        tiers = gpus
    if problem.objective.preset == "throughput":
        tiers = -np.minimum.outer([line.peak for line in first], [line.peak for line in second])
    return feasible, values, tiers


def _both(first: Sequence[PoolLine], second: Sequence[PoolLine], of: Callable[[PoolLine], float]) -> Floats:
    one, other = ([float(of(line)) for line in side] for side in (first, second))
    total: Floats = np.add.outer(np.array(one), np.array(other))
    return total


def _beside(problem: Problem, first: Sequence[PoolLine], second: Sequence[PoolLine]) -> NDArray[np.bool_]:
    """Whether both pools stand spread over all nodes, by what the fullest node of each kind holds."""
    hardware = problem.hardware
    nodes, size = hardware.nodes, hardware.gpus_per_node

    def columns(side: Sequence[PoolLine]) -> list[Floats]:
        found = []
        for line in side:
            pool = line.strategy
            whole = pool.nodes == nodes and pool.instance_gpus <= size
            each, more = divmod(pool.instances, nodes)
            found.append((each * pool.instance_gpus, pool.instance_gpus if more else 0, more, 0 if whole else 1e9))
        return [np.array(values, dtype=np.float64) for values in zip(*found, strict=True)]

    (a, b, c, d), (e, f, g, h) = columns(first), columns(second)
    base = np.add.outer(a + d, e + h)
    most = base + np.where(np.add.outer(c, g) <= nodes, np.maximum.outer(b, f), np.add.outer(b, f))
    fits: NDArray[np.bool_] = most <= size
    return fits


def _best(
    problem: Problem,
    shapes: Shapes,
    first: Sequence[PoolLine],
    second: Sequence[PoolLine],
    feasible: NDArray[np.bool_],
    values: Floats,
    tiers: Floats,
    bar: float | None,
    tier: float | None,
) -> str | None:
    """A pair that beats the claim, in words."""
    if not feasible.any():
        return None
    if bar is None or tier is None:
        row, column = divmod(int(np.argmax(feasible)), feasible.shape[1])
        return _words(first[row], second[column], float(values[row, column]))
    if problem.objective.preset == "capacity":
        return _larger_rate(problem, shapes, first, second, feasible, values, bar, tier)
    noise = 2e-6 if problem.objective.preset == "throughput" else 0.0
    better = feasible & ((tiers < tier - noise) | ((tiers <= tier) & (values < bar * (1 - NEAR) - FURTHER_MS)))
    if not better.any():
        return None
    row, column = divmod(int(np.argmin(np.where(better, values, np.inf))), better.shape[1])
    return _words(first[row], second[column], float(values[row, column]))


def _larger_rate(
    problem: Problem,
    shapes: Shapes,
    first: Sequence[PoolLine],
    second: Sequence[PoolLine],
    feasible: NDArray[np.bool_],
    values: Floats,
    bar: float,
    tier: float,
) -> str | None:
    """The same where a larger rate comes first: what is carried a step above the claim's."""
    rate, next_rate = exact(-tier), exact(-tier) + Fraction(1, 1000)
    for row, column in np.argwhere(feasible).tolist():
        strategies = replace(first[row].strategy), replace(second[column].strategy)
        pair = PoolsPair(shapes, *strategies)
        if pair.carried(next_rate, Decimal("-0.00001")):
            return _words(first[row], second[column], float(values[row, column])) + f" at {float(next_rate):g}/s"
        cheaper = values[row, column] < bar * (1 - NEAR) - FURTHER_MS
        if cheaper and pair.carried(rate, Decimal("-0.00001")):
            return _words(first[row], second[column], float(values[row, column]))
    return None


def _words(first: PoolLine, second: PoolLine, value: float) -> str:
    return f"prefill {first.strategy.label} + decode {second.strategy.label} is feasible at {value:.9g} ms"
