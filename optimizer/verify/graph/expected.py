"""The nodes that a complete graph has, in the order in which data reaches them."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

from optimizer.facts.problem import Problem
from optimizer.results.answer import Strategy


@dataclass(frozen=True, slots=True)
class Step:
    """One step of a stage: on every shard by itself, by each TP group, or by all coupled replicas together."""

    kind: str
    layer: int | None
    by: str
    """``shard``, ``replica`` or ``instance``."""
    counted: bool = True
    """False: the cost model has no time for it."""


def steps_of(problem: Problem, strategy: Strategy, stage: int) -> Iterator[Step]:
    """What a stage does for one micro-batch, first to last, with the send or the token at its end."""
    model, split, s = problem.model, strategy.layers_per_stage, strategy
    several, coupled = s.tensor_parallel > 1, s.expert_parallel > s.tensor_parallel or s.expert_slice_ranks > 1
    if stage == 0:
        yield Step("embedding", None, "shard")
        if several:
            yield Step("all_reduce", None, "replica", counted=False)
    for layer in range(sum(split[:stage]), sum(split[: stage + 1])):
        routed = model.kinds[model.kind_of_layer[layer]].experts > 0
        yield Step("attention", layer, "shard")
        if several:
            yield Step("all_reduce", layer, "replica")
        if routed and coupled:
            yield Step("all_to_all", layer, "instance")
        yield Step("experts" if routed else "ffn", layer, "shard")
        if routed and coupled:
            yield Step("all_to_all", layer, "instance")
        if several:
            yield Step("all_reduce", layer, "replica")
    if stage < len(split) - 1:
        yield Step("send", None, "replica")
        return
    yield Step("head", None, "shard")
    if several:
        yield Step("gather", None, "replica", counted=False)
    yield Step("token", None, "replica")
