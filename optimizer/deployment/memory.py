"""What engines are told of memory, from the memory of the answer. ``docs/deploy.md``, section 4."""

from __future__ import annotations

from collections.abc import Sequence
from fractions import Fraction
from math import ceil, floor
from typing import TYPE_CHECKING

from optimizer.facts.errors import ProblemError
from optimizer.facts.hardware import GIB
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


def static_share(problems: Sequence[Problem], strategy: Strategy) -> tuple[str, str | None]:
    """The share of the GPUs' memory for weights and KV cache, and a sentence where it cannot keep everything the answer promises.

    SGLang gives the cache of every stage the same memory: what the GPU with the least free memory has left after loading,
    less ``1 - share`` of the smallest GPU. All stages then hold as many tokens as the one with the largest cache per token. The
    share is the largest, in thousandths, with which no GPU uses more than gpu_memory_utilization; where that would not hold
    what has to be held (one sequence of the longest length; without paging max_num_seqs of them), the smallest that does.

    Args:
        problems: the homogeneous problem of each stage.

    Raises:
        ProblemError: every stage fits its GPU, yet no share leaves each the cache that it needs.
    """
    limit, stages = usable_share(problems), _stages(problems, strategy)
    total = [problem.hardware.gpu.memory_bytes for problem in problems]
    cache = [stage["KV cache"] for stage in stages]
    smallest, needed = min(total), max(cache)
    free = min(memory - stage["weights"] for memory, stage in zip(total, stages, strict=True))
    # What a stage leaves under the limit, as memory of the stage with the largest cache.
    room = min(
        (Fraction(str(limit)) * memory - sum(stage.values()) + held) * needed / held
        for memory, stage, held in zip(total, stages, cache, strict=True)
        if held
    )
    most = floor((1 - (free - room) / smallest) * STEPS)
    least = ceil((1 - Fraction(free - needed, smallest)) * STEPS)
    fits = all(sum(stage.values()) <= memory for memory, stage in zip(total, stages, strict=True))
    if least >= STEPS and fits:
        raise ProblemError(
            "--engine",
            f"sglang gives every stage the same memory for its KV cache, at most the {free / GIB:.2f} GiB that the GPU with the least free "
            f"memory has left after loading, and stage {cache.index(needed)} needs {needed / GIB:.2f} GiB; use --engine vllm, "
            "or fix other --layers",
        )
    share = min(max(most, least), STEPS - 1)
    if most >= least:
        return f"{share / STEPS:g}", None
    return f"{share / STEPS:g}", (
        f"Weights and KV cache of the stages need {least / STEPS:g} of the GPU's memory; with that share, GPUs may use "
        f"more than gpu_memory_utilization = {limit:g} allows."
    )


def cache_share(problems: Sequence[Problem], strategy: Strategy) -> float:
    """TensorRT-LLM's ``free_gpu_memory_fraction``: of what weights, buffers and a profiling run leave, the cache's share.

    The largest, in thousandths, with which no GPU uses more than gpu_memory_utilization by the answer's count of what lies
    beside the cache.

    Raises:
        ProblemError: nothing is left for the cache under that limit.
    """
    limit, found = Fraction(str(usable_share(problems))), []
    for problem, stage in zip(problems, _stages(problems, strategy), strict=True):
        memory = problem.hardware.gpu.memory_bytes
        beside = sum(stage.values()) - stage["KV cache"]
        found.append((limit * memory - beside) / (memory - beside) if beside < memory else Fraction(0))
    share = floor(min(found) * STEPS)
    if share < 1:
        raise ProblemError(
            "requirements.gpu_memory_utilization",
            f"{float(limit):g} leaves nothing for the KV cache on one of the GPUs",
        )
    return share / STEPS


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


def _stages(problems: Sequence[Problem], strategy: Strategy) -> list[dict[str, int]]:
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
