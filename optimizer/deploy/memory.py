"""SGLang's ``--mem-fraction-static`` from the memory of the answer. ``docs/deploy.md``, section 4."""

from __future__ import annotations

from collections.abc import Sequence
from fractions import Fraction
from math import ceil, floor

from optimizer.answer import Strategy
from optimizer.facts.problem import Problem

STEPS = 1000
"""The share is stated in thousandths, as the engine rounds its own default."""


def static_share(problems: Sequence[Problem], strategy: Strategy) -> tuple[str, str | None]:
    """The share of each GPU for weights and KV cache, and a sentence where it cannot keep everything the answer promises.

    SGLang keeps ``1 - share`` of the memory free of weights and KV cache; activations, logits, communication buffers, CUDA
    graphs and the context live there. So the share is gpu_memory_utilization minus those of the fullest stage, rounded
    down, and no GPU uses more than gpu_memory_utilization. The weights and the cache of max_num_seqs sequences of
    full length need a share of their own, rounded up; where stages differ so much that it is the larger, it is taken.

    Args:
        problems: the homogeneous problem of each stage.
    """
    from optimizer.costs.breakdown import breakdown
    from optimizer.costs.shapes import Shape

    shape = Shape(
        strategy.tensor_parallel,
        strategy.pipeline_parallel,
        strategy.expert_parallel,
        strategy.weight_precision,
        strategy.kv_precision,
        strategy.layers_per_stage,
    )
    problem = problems[0]
    stages = breakdown(problem, shape, strategy.max_num_seqs, 1)["memory_bytes_by_stage"]
    total = [one.hardware.gpu.memory_bytes for one in problems]
    static = [stage["weights"] + stage["KV cache"] for stage in stages]
    other = [sum(stage.values()) - held for stage, held in zip(stages, static, strict=True)]
    allowed = Fraction(str(problem.requirements.gpu_memory_utilization)) - max(map(Fraction, other, total))
    most, least = floor(allowed * STEPS), ceil(max(map(Fraction, static, total)) * STEPS)
    share = max(most, least)
    if most >= least:
        return f"{share / STEPS:g}", None
    return f"{share / STEPS:g}", (
        f"Weights and KV cache of the fullest stage need {least / STEPS:g} of the GPU's memory; with that share, other stages may use "
        f"more than gpu_memory_utilization = {problem.requirements.gpu_memory_utilization:g} allows."
    )
