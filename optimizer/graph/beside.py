"""From an answer with joint instances beside pools to its graph: both parts where they stand. ``docs/graph.md``.

Other home: ``verify/pools/graph_beside.py``; docs/model.md, section 3.
"""

from __future__ import annotations

import math
from collections.abc import Iterator
from fractions import Fraction

from optimizer.catalog.constants import constants
from optimizer.costs.links import exchange_places
from optimizer.facts.errors import ProblemError
from optimizer.facts.problem import Problem
from optimizer.facts.side_by_side import joint_part, pools_part
from optimizer.graph.links import link_between
from optimizer.graph.place import link_place
from optimizer.graph.pools import build_pool_graph
from optimizer.results.answer import Strategy
from optimizer.results.beside_graph import BesideGraph, JointGpu, JointInstance, StageTraffic
from optimizer.results.place_beside import joint_place, moved, pools_place
from optimizer.results.place_pools import place_pools
from optimizer.results.placement import PlacedInstance, Placement, place_evenly
from optimizer.results.pool_graph import TensorTraffic
from optimizer.results.side_by_side import SideBySideAnswer


def build_beside_graph(problem: Problem, answer: SideBySideAnswer) -> BesideGraph:
    """The graph of both parts.

    Raises:
        ProblemError: a part has no room where it would stand.
    """
    split = answer.split_of(problem)
    strategy, pooled = answer.joint.strategy, answer.pools.strategy
    assert strategy is not None and pooled is not None
    joint, pools = joint_part(problem, split), pools_part(problem, split)
    try:
        first = moved(place_evenly(joint, strategy), joint_place(problem.hardware, split))
        second = moved(place_pools(pools, pooled), pools_place(problem.hardware, split))
    except ValueError as error:
        raise ProblemError("serving", f"both parts have no place: {error}") from None
    drawn = _JointDrawing(problem, joint, answer, strategy, first)
    return BesideGraph(
        problem=problem.name,
        label=answer.label,
        requests_per_s=problem.workload.requests_per_s,
        share=answer.share,
        gpus=tuple(drawn.gpus()),
        instances=tuple(drawn.instance(one) for one in first.instances),
        tensor=tuple(drawn.tensor()),
        sends=tuple(drawn.sends()),
        pools=build_pool_graph(pools, answer.pools, second, problem.hardware),
    )


class _JointDrawing:
    """Instances, GPUs and traffic of placed joint instances."""

    def __init__(
        self, problem: Problem, part: Problem, answer: SideBySideAnswer, strategy: Strategy, placement: Placement
    ) -> None:
        assert answer.joint.metrics is not None
        self._hardware, self._work, self._model = problem.hardware, part.workload, problem.model
        self._strategy, self._placed = strategy, placement.instances
        self._weights = answer.joint.metrics.weights_bytes_per_stage
        self._places = {gpu.name: link_place(problem.hardware, gpu) for one in self._placed for gpu in one.gpus}
        weighed = [(prompt, weight) for prompt, _, weight in part.requests]
        self._prompt = sum(prompt * weight for prompt, weight in weighed) / sum(weight for _, weight in weighed)

    def gpus(self) -> Iterator[JointGpu]:
        """Every GPU in use."""
        t, stages = self._strategy.tensor_parallel, self._strategy.pipeline_parallel
        for placed in self._placed:
            for number, gpu in enumerate(placed.gpus):
                stands, stage = self._places[gpu.name], number // t % stages
                yield JointGpu(
                    gpu.name, stands.node, stands.domain, self._hardware.gpu.name, placed.name, number // (t * stages),
                    stage, number % t, self._hardware.gpu.memory_bytes, self._weights[stage],
                )  # fmt: skip

    def instance(self, placed: PlacedInstance) -> JointInstance:
        """One instance with its rates."""
        s = self._strategy
        exchanged = None
        if s.expert_slice_ranks == 1:
            exchanged = max(math.ceil(one) for one in self._exchanged())
        return JointInstance(
            placed.name, placed.nodes, s.tensor_parallel, s.pipeline_parallel, s.expert_parallel, placed.replicas,
            placed.share, self._work.requests_per_s * placed.share, self._tokens_per_s(placed), exchanged,
        )  # fmt: skip

    def tensor(self) -> Iterator[TensorTraffic]:
        """A ring through each TP group: two all-reduces in every layer of the stage."""
        t = self._strategy.tensor_parallel
        if t == 1:
            return
        for placed in self._placed:
            for rank in range(placed.replicas):
                for stage, layers in enumerate(self._strategy.layers_per_stage):
                    exact = Fraction(2 * layers * 2 * (t - 1) * 2 * self._model.hidden_size, t)
                    for shard in range(t):
                        here, there = placed.gpu(rank, stage, shard), placed.gpu(rank, stage, (shard + 1) % t)
                        link = link_between(self._places[here.name], self._places[there.name])
                        rate = float(exact) * self._tokens_per_s(placed)
                        yield TensorTraffic(here.name, there.name, link, math.ceil(exact), rate)

    def sends(self) -> Iterator[StageTraffic]:
        """From each TP rank of a stage to that of the next: hidden state and residual, 16 bit each."""
        s, size = self._strategy, 2 * 2 * self._model.hidden_size
        for placed in self._placed:
            for rank in range(placed.replicas):
                for stage in range(s.pipeline_parallel - 1):
                    for shard in range(s.tensor_parallel):
                        here, there = placed.gpu(rank, stage, shard), placed.gpu(rank, stage + 1, shard)
                        link = link_between(self._places[here.name], self._places[there.name])
                        yield StageTraffic(here.name, there.name, link, size, size * self._tokens_per_s(placed))

    def _tokens_per_s(self, placed: PlacedInstance) -> float:
        each = self._prompt + self._work.output_tokens
        return self._work.requests_per_s * placed.share / placed.replicas * each

    def _exchanged(self) -> Iterator[Fraction]:
        """Bytes of a token that a GPU of each stage sends to other ranks, over both exchanges of its layers with experts."""
        s, start = self._strategy, 0
        gpus = s.tensor_parallel * s.engine_ranks
        places, size = exchange_places(self._hardware, gpus), Fraction(str(constants().exchange_bytes))
        for layers in s.layers_per_stage:
            found = Fraction(0)
            for kind in self._model.kind_of_layer[start : start + layers]:
                held = self._model.kinds[kind]
                if held.experts and s.engine_ranks > 1:
                    found += 2 * self._model.hidden_size * min(held.experts_per_token, places) * size
            start += layers
            yield found * (gpus - 1) / gpus
