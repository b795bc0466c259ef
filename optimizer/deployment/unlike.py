"""Instances whose stages stand on unlike nodes: each node has to run its own stages, in the order of the placement."""

from __future__ import annotations

from collections.abc import Sequence

from optimizer.deployment.options import Options
from optimizer.deployment.parts import Launch, LaunchPart
from optimizer.facts.errors import ProblemError
from optimizer.facts.problem import Problem


def stages_of(launch: Launch, part: LaunchPart) -> range:
    """The stages of which a node holds GPUs."""
    strategy = launch.instance.strategy
    t, stages = strategy.tensor_parallel, strategy.pipeline_parallel
    held = [rank // t % stages for rank in range(part.first, part.first + len(part.indices))]
    return range(min(held), max(held) + 1)


def unlike(problems: Sequence[Problem]) -> bool:
    """Whether nodes differ in GPU or links; how many there are, and their price, does not matter."""
    first = problems[0].hardware
    same = {"nodes": first.nodes, "price_per_gpu_hour": first.price_per_gpu_hour}
    return any(problem.hardware.model_copy(update=same) != first for problem in problems)


def refuse_order(problems: Sequence[Problem], launch: Launch, options: Options) -> None:
    """Both engines put the node that serves first under Ray, and the others in an order of Ray's.

    Raises:
        ProblemError: Ray may put stages on nodes of the other kind.
    """
    others = [problems[stage] for part in launch.parts[1:] for stage in stages_of(launch, part)]
    if options.target == "ray" and others and unlike(others):
        raise ProblemError(
            "--target",
            f"{where(problems, launch)}; under Ray the nodes after the first may come in another order. Use --target shell",
        )


def where(problems: Sequence[Problem], launch: Launch) -> str:
    """Such as ``replica-0 has stage 0 on h100-0 (h100-sxm-80gb) and stage 1 on a100-0 (a100-sxm-80gb)``."""
    places = []
    for part in launch.parts:
        held = stages_of(launch, part)
        places.append(f"{stages_in_words(held)} on {part.node} ({problems[held[0]].hardware.gpu.name})")
    several = ", ".join(places[:-1])
    return f"{launch.instance.name} has {several} and {places[-1]}"


def stages_in_words(held: range) -> str:
    """``stage 0``, or ``stages 0 to 2``."""
    return f"stage {held[0]}" if len(held) == 1 else f"stages {held[0]} to {held[-1]}"
