"""What engines are told of memory, from the memory of the answer. ``docs/deploy.md``, section 4."""

from __future__ import annotations

from collections.abc import Sequence
from fractions import Fraction
from typing import TYPE_CHECKING

from optimizer.facts.problem import Problem
from optimizer.results.answer import Strategy

if TYPE_CHECKING:
    from optimizer.deployment.service import Service

STEPS = 1000
"""The share is stated in thousandths, as the engine rounds its own default."""


def usable_share(problems: Sequence[Problem]) -> float:
    """Share of a GPU's memory that an engine may ask for: as stated, less where other processes leave less, in thousandths.

    What vLLM finds free when it starts has its own CUDA context taken off, and it refuses to start where the share is more.
    """
    from optimizer.costs.memory import memory_budget_bytes

    asked = problems[0].requirements.gpu_memory_utilization
    limited = []
    for one in problems:
        whole, budget = one.hardware.gpu.memory_bytes, memory_budget_bytes(one)
        if budget < int(Fraction(repr(asked)) * whole):
            limited.append(budget * STEPS // whole / STEPS)
    return min([asked, *limited])


def planned_caches(service: Service) -> list[int]:
    """Tokens that the cache of a data-parallel rank holds, for each pool of a service whose answer does not say them."""
    from optimizer.costs.analytic import AnalyticCosts
    from optimizer.costs.memory import memory_budget_bytes
    from optimizer.costs.shapes import Shape

    strategies = {engine.instance.pool: engine.instance.strategy for engine in service.engines}
    found = []
    for pool, strategy in sorted(strategies.items()):
        problem = service.problems[pool][0]
        memory = AnalyticCosts(problem, [Shape.of(strategy)]).memory()
        found.append(int(memory.capacity_tokens(memory_budget_bytes(problem), strategy.max_num_seqs)[0]))
    return found


def held_by_stage(problems: Sequence[Problem], strategy: Strategy) -> list[dict[str, int]]:
    """Bytes of one GPU of each stage by what they hold; the cache is what has to be held.

    Args:
        problems: the homogeneous problem of each stage.
    """
    from optimizer.costs.analytic import AnalyticCosts
    from optimizer.costs.breakdown import breakdown
    from optimizer.costs.shapes import Shape

    shape = Shape.of(strategy)
    # What an engine takes beside weights and cache differs from GPU to GPU.
    on_gpu = {
        problem.hardware.gpu.name: breakdown(problem, shape, strategy.max_num_seqs, 1)["memory_bytes_by_stage"]
        for problem in problems
    }
    stages = [on_gpu[problem.hardware.gpu.name][stage] for stage, problem in enumerate(problems)]
    if problems[0].paged:
        longest = AnalyticCosts(problems[0], [shape])
        held_by = longest.memory().kv_per_sequence[0]
        for stage, column in zip(stages, longest.table.class_of_stage[0], strict=True):
            stage["KV cache"] = int(held_by[column])
    return stages
