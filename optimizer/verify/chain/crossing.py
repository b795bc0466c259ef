"""Independent check of a bound that counts what slow links cost (``docs/chains.md``, bound).

A placement of a total F, rule ``exact``: where all of F passes one node in some layer, and next in another that no link of F
joins to it, the layers between need two nodes or more side by side, none of which holds more layers than lie between. The
least weight of all layers is recomputed here: covers depth first with the cost of the rest bounded by the best cost per
token, sites by flooding, all in whole numbers.
"""

from __future__ import annotations

from collections import Counter
from enum import Enum
from fractions import Fraction
from math import floor, lcm

from optimizer.facts.chain import ChainProblem
from optimizer.results.chain import BoundProof

THOUSAND = 1000
MOST_STEPS = 400_000


class BoundCheck(Enum):
    """Confirmed, refuted, or too much work to decide."""

    CONFIRMED = "confirmed"
    REFUTED = "refuted"
    UNDECIDED = "undecided"


class _TooMuchWork(Exception):
    """A cover was not settled within ``MOST_STEPS``."""


def check_crossing(problem: ChainProblem, proof: BoundProof, total: int) -> BoundCheck:
    """Whether the proof's weights exclude a total, thousandths of a token/s."""
    limits = problem.requirements
    if problem.connection != "exact" or limits.max_stages is not None or limits.max_ms_per_token is not None:
        return BoundCheck.REFUTED
    counts = Counter(node.type for node in problem.cluster.nodes)
    longest = max(problem.max_layers(name) for name in counts)
    common = lcm(*range(1, longest + 1))
    weight = {name: proof.weight_per_node.get(name, 0) * common for name in counts}
    alone = {
        name: max([n for n in range(1, problem.max_layers(name) + 1) if _rate(problem, name, n) >= total], default=0)
        for name in counts
    }
    held = sorted(filter(None, _held(problem, alone, total)), reverse=True)
    layers = problem.model.layers
    if not held or held[0] >= layers:
        return BoundCheck.REFUTED
    single = min(Fraction(weight[name], most) for name, most in alone.items() if most)
    try:
        runs = [(m, _by_several(problem, weight, total, m)) for m in range(1, longest + 1)]
    except _TooMuchWork:
        return BoundCheck.UNDECIDED
    several = [(m, cost) for m, cost in runs if cost is not None]
    per_layer = min(Fraction(cost) for _, cost in several)
    if per_layer <= single:
        return BoundCheck.REFUTED
    extra = min(m * (cost - single) for m, cost in several)
    # Sites used, the largest first: more layers with several nodes only cost more.
    least = per_layer * layers
    for used in range(1, len(held) + 1):
        room = min(layers, sum(held[:used]))
        rest = layers - room
        least = min(least, single * room + max(per_layer * rest, single * rest + extra * (used - 1)))
    budget = sum(weight[name] * count for name, count in counts.items())
    return BoundCheck.CONFIRMED if least > budget else BoundCheck.REFUTED


def _rate(problem: ChainProblem, name: str, layers: int) -> int:
    return floor(problem.rate(name, layers) * THOUSAND)


def _held(problem: ChainProblem, alone: dict[str, int], total: int) -> list[int]:
    """Layers that the nodes of each site can hold one by one; sites are joined by links of at least the total."""
    site = {node.name: number for number, node in enumerate(problem.cluster.nodes)}
    for a in problem.cluster.nodes:
        for b in problem.cluster.nodes:
            capacity = problem.capacity(a.name, b.name) if a is not b else None
            joined = a is not b and (capacity is None or capacity * THOUSAND >= total)
            if joined and site[a.name] != site[b.name]:
                old, new = site[a.name], site[b.name]
                site = {name: new if number == old else number for name, number in site.items()}
    sums: Counter[int] = Counter()
    for node in problem.cluster.nodes:
        sums[site[node.name]] += alone[node.type]
    return list(sums.values())


def _by_several(problem: ChainProblem, weight: dict[str, int], total: int, most: int) -> int | None:
    """Least cost of a layer carried by two or more nodes of at most so many layers each; None when none can."""
    shapes = [
        (weight[name] // n, min(total, _rate(problem, name, n)))
        for name in weight
        for n in range(1, min(most, problem.max_layers(name)) + 1)
        if _rate(problem, name, n) > 0
    ]
    return min((cost + _least(shapes, max(1, total - carries)) for cost, carries in shapes), default=None)


def _least(shapes: list[tuple[int, int]], need: int) -> int:
    """Least cost of nodes that carry at least this much, depth first."""
    order = sorted((Fraction(cost, min(need, carries)), cost, carries) for cost, carries in shapes)
    best = min(cost * -(-need // carries) for _, cost, carries in order)
    steps = 0
    stack = [(0, need, 0)]
    while stack:
        steps += 1
        if steps > MOST_STEPS:
            raise _TooMuchWork
        first, left, spent = stack.pop()
        for number in range(len(order) - 1, first - 1, -1):
            ratio, cost, carries = order[number]
            if spent + ratio * left >= best or spent + cost >= best:
                continue
            if carries >= left:
                best = spent + cost
            else:
                stack.append((number, left - carries, spent + cost))
    return best
