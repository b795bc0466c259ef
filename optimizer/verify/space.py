"""Section 8: every row of degrees, formats and layers that the search may choose from."""

from __future__ import annotations

from collections.abc import Iterable, Iterator

from optimizer.answer import Fixed
from optimizer.facts.problem import Problem
from optimizer.verify.groups import Group, Row, Shape
from optimizer.verify.load import chain_length

MOST_REPLICAS = 1024
_DEFAULT_STAGES = (*range(1, 9), 10, 12, 16)


def most_slots(problem: Problem, fixed: Fixed) -> int:
    """N of section 8: the largest max_num_seqs considered."""
    return max(chain_length(problem), fixed.max_num_seqs or 0)


def rows(problem: Problem, fixed: Fixed) -> Iterator[Row]:
    """Every row once, fewest stages first."""
    found: set[Row] = set()
    for layers in _splits_offered(problem, fixed):
        for tensor in tensor_offered(problem, fixed):
            for replicas in _replicas_offered(problem, fixed, tensor, len(layers)):
                for expert in experts_offered(problem, fixed, tensor, replicas):
                    for weight, kv in formats_offered(problem, fixed):
                        row = Row(Shape(Group(tensor, expert, weight, kv), layers), replicas)
                        if row not in found:
                            found.add(row)
                            yield row


def splits(layers: int, stages: int, imbalance: int) -> Iterator[tuple[int, ...]]:
    """The layer splits of section 1."""
    each, over = divmod(layers, stages)
    if stages == 1:
        yield (layers,)
        return
    if stages > layers or (imbalance == 0 and over):
        yield tuple(each + (s < over) for s in range(stages))
        return
    low, high = max(1, each - imbalance), each + (over > 0) + imbalance
    for first in range(low, high + 1):
        for last in range(low, high + 1):
            rest, middle = layers - first - last, stages - 2
            if middle == 0:
                if rest == 0 and first >= last:
                    yield first, last
                continue
            share, more = divmod(rest, middle)
            if low <= share and max(first, last) <= share + (more > 0) <= high:
                yield (first, *(share + (s < more) for s in range(middle)), last)


def _splits_offered(problem: Problem, fixed: Fixed) -> Iterator[tuple[int, ...]]:
    layers = problem.model.layers
    if fixed.layers_per_stage is not None:
        if fixed.pipeline_parallel in (None, len(fixed.layers_per_stage)):
            yield fixed.layers_per_stage
        return
    for stages in stages_offered(problem, fixed):
        yield from splits(layers, stages, problem.search.layer_imbalance)


def stages_offered(problem: Problem, fixed: Fixed) -> list[int]:
    """PP degrees, fewest first."""
    offered: Iterable[int] = problem.search.pipeline_parallel or [
        p for p in _DEFAULT_STAGES if p <= problem.model.layers
    ]
    if fixed.layers_per_stage is not None:
        offered = (len(fixed.layers_per_stage),)
    if fixed.pipeline_parallel is not None:
        offered = (fixed.pipeline_parallel,)
    return sorted(set(offered))


def tensor_offered(problem: Problem, fixed: Fixed) -> Iterable[int]:
    """TP degrees."""
    if fixed.tensor_parallel is not None:
        return (fixed.tensor_parallel,)
    if problem.search.tensor_parallel is not None:
        return problem.search.tensor_parallel
    heads = problem.model.attention_heads
    largest = max(8, problem.hardware.nvlink_domain_gpus)
    return [t for t in range(1, min(heads, largest) + 1) if heads % t == 0]


def _replicas_offered(problem: Problem, fixed: Fixed, tensor: int, stages: int) -> Iterable[int]:
    if fixed.data_parallel is not None:
        return (fixed.data_parallel,)
    most = problem.hardware.gpus // (tensor * stages)
    offered = problem.search.data_parallel
    fitting = range(1, min(most, MOST_REPLICAS) + 1) if offered is None else [d for d in offered if d <= most]
    bound = fixed.tensor_parallel or fixed.pipeline_parallel or fixed.layers_per_stage
    return fitting if fitting or not bound else (1,)


def experts_offered(problem: Problem, fixed: Fixed, tensor: int, replicas: int) -> Iterable[int]:
    """EP degrees at a TP degree."""
    if fixed.expert_parallel is not None:
        return (fixed.expert_parallel,)
    if not problem.model.experts or problem.search.expert_parallel == "off":
        return (1,)
    return (1, tensor) if problem.search.expert_parallel == "replica" else (1, tensor, tensor * replicas)


def formats_offered(problem: Problem, fixed: Fixed) -> Iterator[tuple[str, str]]:
    """(weight format, KV format)."""
    weights: tuple[str, ...] = problem.search.weight_precision or (problem.model.native_weight_format,)
    caches: tuple[str, ...] = problem.search.kv_precision or (problem.model.native_dtype,)
    if fixed.weight_precision is not None:
        weights = (fixed.weight_precision,)
    if fixed.kv_precision is not None:
        caches = (fixed.kv_precision,)
    for weight in weights:
        for cache in caches:
            yield weight, cache
