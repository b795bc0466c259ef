"""Independent check of the cross-section bound from its weights.

A total F is impossible when ``layers * (cheapest cover of F) > sum of weights * nodes`` (docs/chains.md). Here the
opposite is searched for: a cover of F = bound + 0.001 tokens/s that is cheap enough. Depth first over the shapes in
order of cost per token, with the cost of the rest bounded from below by the best cost per token: no part of the search's
own method (best first over costs) is used.
"""

from __future__ import annotations

from collections import Counter
from fractions import Fraction
from math import ceil, floor, lcm

from optimizer.facts.chain import SINK, SOURCE, ChainProblem, exact
from optimizer.results.chain import BoundProof
from optimizer.verify.chain.crossing import BoundCheck, check_crossing

THOUSAND = 1000
MOST_STEPS = 400_000


def check_bound(problem: ChainProblem, proof: BoundProof) -> BoundCheck:
    """Whether no total above the proof's bound passes the cross-section test."""
    bound = floor(exact(proof.cross_section_tokens_per_s) * THOUSAND)
    if proof.entry:
        return BoundCheck.CONFIRMED if _entry(problem) <= bound else BoundCheck.REFUTED
    if any(weight < 0 for weight in (*proof.weight_per_node.values(), proof.weight_per_stage, proof.weight_per_us)):
        return BoundCheck.REFUTED
    if proof.crossing:
        return check_crossing(problem, proof, bound + 1)
    return _no_cheap_cover(problem, proof, bound + 1)


def _entry(problem: ChainProblem) -> int:
    """The most that all nodes could take from the source, give to the sink, or compute, in thousandths."""
    best = {
        name: max(floor(problem.rate(name, n) * THOUSAND) for n in range(1, problem.max_layers(name) + 1))
        for name in problem.cluster.types
    }
    source = sink = compute = 0
    for node in problem.cluster.nodes:
        most = best[node.type]
        into, out = problem.capacity(SOURCE, node.name), problem.capacity(node.name, SINK)
        source += most if into is None else min(most, floor(into * THOUSAND))
        sink += most if out is None else min(most, floor(out * THOUSAND))
        compute += most
    return min(source, sink, compute)


def _no_cheap_cover(problem: ChainProblem, proof: BoundProof, total: int) -> BoundCheck:
    counts = Counter(node.type for node in problem.cluster.nodes)
    limits = problem.requirements
    budget = sum(proof.weight_per_node.get(name, 0) * count for name, count in counts.items())
    if limits.max_stages is not None:
        budget += proof.weight_per_stage * limits.max_stages
    elif proof.weight_per_stage:
        return BoundCheck.REFUTED
    if limits.max_ms_per_token is not None:
        budget += proof.weight_per_us * floor(exact(limits.max_ms_per_token) * THOUSAND)
    elif proof.weight_per_us:
        return BoundCheck.REFUTED
    # Whole numbers: every cost is multiplied by the common multiple of the layer counts and by the total.
    common = lcm(*range(1, max(problem.max_layers(name) for name in counts) + 1))
    shapes = []
    for name in counts:
        for layers in range(1, problem.max_layers(name) + 1):
            carries = min(total, floor(problem.rate(name, layers) * THOUSAND))
            if carries <= 0:
                continue
            micros = ceil((problem.stage_ms(name, layers) or Fraction(0)) * THOUSAND)
            fixed = proof.weight_per_node.get(name, 0) * total * common // layers
            toll = (proof.weight_per_stage + proof.weight_per_us * micros) * common // layers
            shapes.append((Fraction(fixed, carries) + toll, carries, fixed, toll))
    allowed = budget * total * common // problem.model.layers
    return _search(_best_of_each(shapes), total, allowed)


_Shape = tuple[Fraction, int, int, int]


def _best_of_each(shapes: list[_Shape]) -> list[_Shape]:
    """By cost per token; without those that another replaces at no more cost."""
    kept: list[_Shape] = []
    for ratio, carries, fixed, toll in sorted(shapes, key=lambda s: (s[2], s[3], -s[1])):
        if not any(other[1] >= carries and other[3] <= toll for other in kept):
            kept.append((ratio, carries, fixed, toll))
    return sorted(kept)


def _search(shapes: list[_Shape], total: int, allowed: int) -> BoundCheck:
    """Whether some cover costs no more than allowed. Shapes are taken in order, each any number of times."""
    if not shapes:
        return BoundCheck.CONFIRMED
    steps = 0
    stack = [(0, total, 0)]
    while stack:
        steps += 1
        if steps > MOST_STEPS:
            return BoundCheck.UNDECIDED
        first, need, cost = stack.pop()
        for number in range(len(shapes) - 1, first - 1, -1):
            ratio, carries, fixed, toll = shapes[number]
            if cost + ratio * need > allowed:
                continue
            flow = min(need, carries)
            spent = cost + fixed + toll * flow
            if spent > allowed:
                continue
            if flow == need:
                return BoundCheck.REFUTED
            stack.append((number, need - flow, spent))
    return BoundCheck.CONFIRMED
