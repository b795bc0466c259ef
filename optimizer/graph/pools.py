"""From an answer about prefill and decode pools to its graph: who stands where, and what crosses which link.

``docs/graph.md``, pools.

Other home: ``verify/pools/graph_parts.py``; docs/disaggregated.md, section 3.
"""

from __future__ import annotations

import math
from collections.abc import Iterator
from dataclasses import dataclass
from fractions import Fraction

import numpy as np

from optimizer.catalog.constants import constants
from optimizer.costs.links import exchange_places
from optimizer.costs.pools import PoolCosts, PoolLink, link_across, link_between
from optimizer.costs.shapes import Shape
from optimizer.facts.errors import ProblemError
from optimizer.facts.hardware import HardwareFacts
from optimizer.facts.inventory import InventoryProblem
from optimizer.facts.problem import Problem
from optimizer.graph.links import SLOWEST_LAST, group_link
from optimizer.graph.links import link_between as link_of_two
from optimizer.graph.place import link_place
from optimizer.graph.plan import LinkPlace
from optimizer.results.cluster_pools import ClusterPoolsAnswer
from optimizer.results.graph import LinkKind
from optimizer.results.place_pools import ROLES, place_cluster_pools, place_pools, strategy_of_pool
from optimizer.results.placement import GpuPlace, PlacedInstance, Placement
from optimizer.results.pool_graph import CacheTransfer, PoolGpu, PoolGraph, PoolInstance, TensorTraffic
from optimizer.results.pools import PoolMetrics, PoolsAnswer, PoolStrategy


@dataclass(frozen=True, slots=True)
class _DrawnPart:
    """A pool, or its part on one group: the problem that it is judged in, and what a GPU of it moves over the link."""

    problem: Problem
    group: str | None
    pool: PoolStrategy
    metrics: PoolMetrics
    link: PoolLink
    costs: PoolCosts


def build_pool_graph(
    problem: Problem | InventoryProblem,
    answer: PoolsAnswer | ClusterPoolsAnswer,
    placement: Placement | None = None,
    among: HardwareFacts | None = None,
) -> PoolGraph:
    """The graph of an answer that has pools.

    Args:
        placement: where they stand, if not by themselves.
        among: the nodes that they stand on then.

    Raises:
        ProblemError: the pools have no room where they would stand.
        ValueError: the answer has no pools.
    """
    if answer.strategy is None or answer.metrics is None:
        raise ValueError("an answer without pools has no graph")
    parts = _parts(problem, answer)
    drawn = _Drawing(problem, parts, placement or _placement(problem, answer), among)
    return PoolGraph(
        problem=problem.name,
        label=answer.label,
        requests_per_s=problem.workload.requests_per_s,
        link=answer.link,
        transfer_ms=answer.metrics.transfer_ms,
        transfer_longest_ms=answer.metrics.transfer_longest_ms,
        gpus=tuple(drawn.gpus()),
        instances=tuple(drawn.instance(placed) for placed in drawn.placed),
        tensor=tuple(drawn.tensor()),
        transfers=drawn.transfers,
    )


def _placement(problem: Problem | InventoryProblem, answer: PoolsAnswer | ClusterPoolsAnswer) -> Placement:
    try:
        if isinstance(problem, InventoryProblem):
            return place_cluster_pools(problem, answer.strategy)  # type: ignore[arg-type]
        return place_pools(problem, answer.strategy)  # type: ignore[arg-type]
    except ValueError as error:
        raise ProblemError("serving", f"the pools have no place: {error}") from None


def _parts(
    problem: Problem | InventoryProblem, answer: PoolsAnswer | ClusterPoolsAnswer
) -> dict[tuple[int, str | None], _DrawnPart]:
    """By side and group."""
    found: dict[tuple[int, str | None], _DrawnPart] = {}
    if isinstance(problem, InventoryProblem):
        assert isinstance(answer, ClusterPoolsAnswer) and answer.strategy is not None and answer.metrics is not None
        groups = {group.name: group for group in problem.groups}
        slowest = max(group.internode_latency_us for group in problem.groups)
        standing = {part.group for role in ROLES for part in getattr(answer.strategy, role)}
        for side, role in enumerate(ROLES):
            for part, held in zip(getattr(answer.strategy, role), getattr(answer.metrics, role), strict=True):
                one = problem.instance_problem(groups[part.group], groups[part.group].nodes)
                alone = len(standing) == 1
                link = link_between(one.hardware) if alone else link_across(one.hardware, slowest)
                found[side, part.group] = _DrawnPart(one, part.group, part.pool, held, link, _costs(one, part.pool))
        return found
    for side, role in enumerate(ROLES):
        pool = getattr(answer.strategy, role)
        costs, held = _costs(problem, pool), getattr(answer.metrics, role)
        found[side, None] = _DrawnPart(problem, None, pool, held, link_between(problem.hardware), costs)
    return found


def _costs(problem: Problem, pool: PoolStrategy) -> PoolCosts:
    return PoolCosts(problem, [Shape.of(strategy_of_pool(pool, problem.model.layers))])


class _Drawing:
    """Instances, GPUs and traffic of placed pools."""

    def __init__(
        self,
        problem: Problem | InventoryProblem,
        parts: dict[tuple[int, str | None], _DrawnPart],
        placement: Placement,
        among: HardwareFacts | None,
    ) -> None:
        self._parts, self.placed = parts, placement.instances
        self._work, self._model = problem.workload, problem.model
        self._receiver = next(part for (side, _), part in parts.items() if side == 1)
        self._law = self._receiver.costs
        self._places = {
            gpu.name: link_place(among or self._part(one).problem.hardware, gpu)
            for one in self.placed
            for gpu in one.gpus
        }

    def _part(self, placed: PlacedInstance) -> _DrawnPart:
        if (placed.pool, None) in self._parts:
            return self._parts[placed.pool, None]
        return self._parts[placed.pool, placed.gpus[0].node.rpartition("-")[0]]

    def gpus(self) -> Iterator[PoolGpu]:
        """Every GPU in use."""
        for placed in self.placed:
            part = self._part(placed)
            facts, t = part.problem.hardware.gpu, part.pool.tensor_parallel
            for number, gpu in enumerate(placed.gpus):
                stands = self._places[gpu.name]
                yield PoolGpu(
                    gpu.name, stands.node, stands.domain, facts.name, ROLES[placed.pool], placed.name,
                    number // t, number % t, facts.memory_bytes, part.metrics.weights_bytes_per_gpu,
                    part.metrics.cache_room_bytes_per_gpu,
                )  # fmt: skip

    def instance(self, placed: PlacedInstance) -> PoolInstance:
        """One instance with its rates."""
        part = self._part(placed)
        pool, rate = part.pool, self._work.requests_per_s * placed.share
        groups = [tuple(gpu.name for gpu in rank) for rank in self._ranks(placed)]
        links = [link for link in (group_link(group, self._places) for group in groups) if link is not None]
        exchanged = _exchanged_per_token(part)
        tokens = self._tokens_per_s(placed)
        every = tuple(gpu.name for gpu in placed.gpus)
        sent = self._times(part) if placed.pool == 0 else 1.0
        return PoolInstance(
            name=placed.name,
            pool=ROLES[placed.pool],
            group=part.group,
            nodes=placed.nodes,
            tensor_parallel=pool.tensor_parallel,
            expert_parallel=pool.expert_parallel,
            ranks=pool.engine_ranks,
            share=placed.share,
            requests_per_s=rate,
            tokens_per_s_per_rank=tokens,
            all_reduce_link=max(links, key=SLOWEST_LAST.index) if links else None,
            exchange_link=group_link(every, self._places) if exchanged else None,
            exchange_bytes_per_token=math.ceil(exchanged),
            exchange_bytes_per_s=float(exchanged) * tokens,
            cache_bytes_per_s_per_gpu=rate / pool.engine_ranks * sent * self._mean_bytes(),
            cache_link_gb_per_s=part.link.bytes_per_ms / 1e6,
            cache_link_busy=part.metrics.link_busy,
        )

    def tensor(self) -> Iterator[TensorTraffic]:
        """A ring through each TP group: all-reduce sends 2 · (t − 1)/t of a vector from each GPU to the next, twice a layer."""
        for placed in self.placed:
            t = self._part(placed).pool.tensor_parallel
            if t == 1:
                continue
            exact = Fraction(2 * self._model.layers * 2 * (t - 1) * 2 * self._model.hidden_size, t)
            tokens = self._tokens_per_s(placed)
            for rank in self._ranks(placed):
                for here, there in zip(rank, [*rank[1:], rank[0]], strict=True):
                    link = link_of_two(self._places[here.name], self._places[there.name])
                    yield TensorTraffic(here.name, there.name, link, math.ceil(exact), float(exact) * tokens)

    def transfers(self) -> Iterator[CacheTransfer]:
        """Every prefill instance to every decode instance: routers of both sides choose apart from each other."""
        t, work = self._receiver.pool.tensor_parallel, self._work
        usual, longest = (self._bytes(tokens) for tokens in (work.prompt_tokens, work.longest_prompt_tokens))
        mean = self._mean_bytes() * t
        sides = [[placed for placed in self.placed if placed.pool == side] for side in (0, 1)]
        stands = {placed.name: tuple({self._places[gpu.name] for gpu in placed.gpus}) for placed in self.placed}
        for source in sides[0]:
            for target in sides[1]:
                rate = work.requests_per_s * source.share * target.share
                link = _slowest(stands[source.name], stands[target.name])
                yield CacheTransfer(
                    source.name, target.name, link, rate, math.ceil(usual * t), math.ceil(longest * t), rate * mean
                )

    def _ranks(self, placed: PlacedInstance) -> Iterator[list[GpuPlace]]:
        t = self._part(placed).pool.tensor_parallel
        for start in range(0, len(placed.gpus), t):
            yield list(placed.gpus[start : start + t])

    def _tokens_per_s(self, placed: PlacedInstance) -> float:
        ranks = self._part(placed).pool.engine_ranks
        each = float(self._law.share @ self._law.prompts) if placed.pool == 0 else self._work.output_tokens
        return self._work.requests_per_s * placed.share / ranks * each

    def _times(self, part: _DrawnPart) -> float:
        """f: caches of a decode GPU that the busiest GPU of a prefill part sends."""
        times = self._receiver.pool.tensor_parallel / part.pool.tensor_parallel
        return max(1.0, times) if self._model.mla else times

    def _bytes(self, tokens: int) -> float:
        """h of a decode GPU."""
        return float(self._law.cache_bytes(np.array([tokens]))[0, 0])

    def _mean_bytes(self) -> float:
        return float(self._law.share @ self._law.cache_bytes(self._law.prompts)[:, 0])


def _slowest(senders: tuple[LinkPlace, ...], receivers: tuple[LinkPlace, ...]) -> LinkKind:
    return max((link_of_two(a, b) for a in senders for b in receivers), key=SLOWEST_LAST.index)


def _exchanged_per_token(part: _DrawnPart) -> Fraction:
    """Bytes that a GPU of coupled ranks sends of each token, over both exchanges of every layer with experts."""
    pool, model = part.pool, part.problem.model
    if pool.engine_ranks == 1:
        return Fraction(0)
    gpus = pool.instance_gpus
    places, size = exchange_places(part.problem.hardware, gpus), Fraction(str(constants().exchange_bytes))
    found = Fraction(0)
    for kind in model.kind_of_layer:
        if model.kinds[kind].experts:
            found += 2 * model.hidden_size * min(model.kinds[kind].experts_per_token, places) * size
    return found * (gpus - 1) / gpus
