"""Shapes that an instance of either pool may have: without stages, and legal whatever the load."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from optimizer.costs.shapes import Shape
from optimizer.engines.transfer import transfer_of
from optimizer.facts.problem import Problem
from optimizer.results.pools import FixedPool
from optimizer.search.uniform.quantities import Quantities
from optimizer.search.uniform.rule import Choice
from optimizer.search.uniform.rules import rules_for
from optimizer.search.uniform.space import Space, expert_degrees, tensor_degrees

LEGALITY = frozenset(
    {
        "attention_heads", "kv_heads", "ffn_width", "vocabulary", "experts", "expert_groups", "layer_split", "nvlink_locality",
        "weight_format", "kv_format", "quant_blocks", "quant_groups", "quant_expert_groups",
    }
)  # fmt: skip
"""Rules of the joint model that speak of one instance's shape alone."""


@dataclass(frozen=True, slots=True)
class CacheKind:
    """What decode shapes have in common for whoever feeds them."""

    tp: int
    weight_format: str
    kv_format: str


def cache_of(shape: Shape) -> CacheKind:
    """What a shape receives."""
    return CacheKind(shape.tp, shape.weight_format, shape.kv_format)


def shapes_for(problem: Problem, fixed: FixedPool) -> tuple[Shape, ...]:
    """Shapes of one pool, in the order of TP, EP and formats.

    Args:
        fixed: decisions of the pool that a person made.
    """
    hardware, model, search = problem.hardware, problem.model, problem.search
    weights = (fixed.weight_precision,) if fixed.weight_precision else search.weight_precision
    caches = (fixed.kv_precision,) if fixed.kv_precision else search.kv_precision
    formats = dict.fromkeys(
        (str(w), str(k)) for w in weights or (model.native_weight_format,) for k in caches or (model.native_kv_format,)
    )
    offered = [
        Shape(tp, 1, ep, w, k, (model.layers,))
        for tp in ((fixed.tensor_parallel,) if fixed.tensor_parallel else tensor_degrees(problem))
        for ep in ((fixed.expert_parallel,) if fixed.expert_parallel else expert_degrees(problem, tp))
        for w, k in formats
    ]
    placed = [
        s for s in offered if s.instance_gpus <= hardware.gpus and _stands(hardware.gpus_per_node, s.instance_gpus)
    ]
    legal = _legal(problem, placed)
    return tuple(shape for shape, fine in zip(placed, legal, strict=True) if fine)


def _stands(per_node: int, gpus: int) -> bool:
    """Whether instances of so many GPUs share nodes or take whole ones."""
    return gpus <= per_node or gpus % per_node == 0


def _legal(problem: Problem, shapes: list[Shape]) -> list[bool]:
    """Whether one instance of each shape keeps every rule of ``LEGALITY``."""
    if not shapes:
        return []
    count = len(shapes)
    ranks = np.array([shape.engine_ranks for shape in shapes], dtype=np.int64)
    quantities = Quantities(problem, Space(tuple(shapes), np.arange(count, dtype=np.int64), ranks, 1))
    off = set(problem.search.disabled_rules)
    rules = [rule for rule in rules_for(problem) if rule.id in LEGALITY and rule.id not in off]
    return [all(rule.judge(quantities, Choice(row, 1)).holds for rule in rules) for row in range(count)]


def joined(problem: Problem, prefill: Shape, cache: CacheKind) -> bool:
    """Whether the engine sends what a prefill shape holds to decode shapes of this kind."""
    same = (prefill.weight_format, prefill.kv_format) == (cache.weight_format, cache.kv_format)
    return same and transfer_of(problem.engine).joins(problem.model, prefill.tp, cache.tp)
