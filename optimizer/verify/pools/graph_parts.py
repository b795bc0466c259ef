"""A pool, or its part on a group, as a graph must show it: decisions, ground, link, and the bytes of a token and of a second.

Callers work inside ``arithmetic.sixty_digits``.

Other home: ``graph/pools.py``; docs/disaggregated.md, section 3.
"""

from __future__ import annotations

from collections import Counter
from dataclasses import dataclass
from fractions import Fraction

from optimizer.facts.inventory import InventoryProblem
from optimizer.facts.problem import Problem
from optimizer.results.cluster_pools import ClusterPoolsAnswer
from optimizer.results.pools import PoolMetrics, PoolsAnswer, PoolStrategy
from optimizer.verify.common.arithmetic import constant, exact
from optimizer.verify.common.links import exchange_places
from optimizer.verify.common.places import Ground
from optimizer.verify.pools.pair import Shapes, group_of
from optimizer.verify.pools.pool import Crossing, sent_times
from optimizer.verify.pools.shape import Hop, PoolShape
from optimizer.verify.pools.site import PoolsSite

SIDES = ("prefill", "decode")


@dataclass(frozen=True, slots=True)
class WantedPart:
    """A pool on its group, as it must be drawn."""

    side: str
    group: str | None
    pool: PoolStrategy
    share: Fraction
    held: PoolMetrics
    shape: PoolShape
    ground: Ground
    hop: Hop
    demand: Fraction
    """Requests/s in all."""

    @property
    def rate(self) -> Fraction:
        """Requests/s at one instance."""
        return self.demand * self.share / self.pool.instances

    @property
    def tokens(self) -> Fraction:
        """Tokens a second at a rank: of the mean prompt by the law of lengths, or of outputs."""
        problem = self.shape.problem
        each = Fraction(problem.workload.output_tokens)
        if self.side == "prefill":
            often = Counter[int]()
            for prompt, _, weight in problem.requests:
                often[prompt] += weight
            each = Fraction(sum(m * n for m, n in often.items()), sum(often.values()))
        return self.rate / self.shape.group.ranks * each

    @property
    def reduced(self) -> Fraction:
        """Bytes of a token that a GPU sends in all-reduces: two a layer, of a vector in 16 bit, of which 2 (t − 1) / t leave it."""
        model, t = self.shape.problem.model, self.pool.tensor_parallel
        return Fraction(8 * model.layers * model.hidden_size * (t - 1), t)

    @property
    def exchanged(self) -> Fraction:
        """Bytes of a token that leave a GPU in both exchanges of every layer with experts."""
        group, model = self.shape.group, self.shape.problem.model
        if group.ranks == 1:
            return Fraction(0)
        gpus = group.expert_gpus
        places, kinds = exchange_places(self.ground.hardware, gpus), [model.kinds[kind] for kind in model.kind_of_layer]
        copies = sum(min(kind.experts_per_token, places) for kind in kinds if kind.experts)
        return 2 * copies * model.hidden_size * constant("exchange_bytes") * Fraction(gpus - 1, gpus)

    def crossing(self, receiver: PoolShape) -> Crossing:
        """What the busiest GPU of it moves of each prompt that goes to a decode shape."""
        prefill = self.side == "prefill"
        return Crossing(
            self.hop, receiver, sent_times(receiver.problem, self.shape, receiver) if prefill else Fraction(1)
        )


def parts_of(
    problem: Problem | InventoryProblem, answer: PoolsAnswer | ClusterPoolsAnswer, among: Ground | None = None
) -> list[WantedPart]:
    """Every part of both pools of an answer that has them; none on groups that are not there.

    Args:
        among: equal nodes that the pools have some GPUs of; None: all nodes are theirs.
    """
    strategy, metrics, demand = answer.strategy, answer.metrics, exact(problem.workload.requests_per_s)
    found: list[WantedPart] = []
    if isinstance(problem, Problem):
        shapes, ground = Shapes(problem), among or Ground("node", problem.hardware.nodes, problem.hardware)
        for side in SIDES:
            pool, held = getattr(strategy, side), getattr(metrics, side)
            shape = shapes.of(group_of(pool))
            found.append(WantedPart(side, None, pool, Fraction(1), held, shape, ground, shapes.wire, demand))
        return found
    site = PoolsSite(problem)
    several = len({one.group for side in SIDES for one in getattr(strategy, side)}) > 1
    for side in SIDES:
        for one, held in zip(getattr(strategy, side), getattr(metrics, side), strict=True):
            index = site.index(one)
            if index is None:
                continue
            ground = Ground(one.group, problem.groups[index].nodes, site.problems[index].hardware)
            shape, hop = site.shapes[index].of(group_of(one.pool)), site.hop(index, several)
            found.append(WantedPart(side, one.group, one.pool, exact(one.share), held, shape, ground, hop, demand))
    return found
