"""What an answer says of memory that its figures alone do not: where they are measured, and where they may not be enough."""

from __future__ import annotations

from optimizer.costs.shapes import Shape
from optimizer.costs.startup import start_up
from optimizer.engines.registry import engine_of
from optimizer.facts.hardware import GpuFacts
from optimizer.facts.overhead import StatedOverhead
from optimizer.facts.problem import Problem
from optimizer.results.answer import Strategy

GIB = 1 << 30


def memory_sentences(problem: Problem, strategy: Strategy | None) -> list[str]:
    """Sentences on the memory of a strategy; without one, on what is known of the machine."""
    said = machine_sentences(problem.engine_overhead, [problem.hardware.gpu])
    if strategy is None or "memory" in problem.search.disabled_rules:
        return said
    shape = Shape.of(strategy)
    found = start_up(problem, shape)
    # The others are told of memory what leaves room for one such sequence.
    if engine_of(problem.engine).share == "whole" and found.may_not_start:
        said.append(
            f"May not start: beside one sequence of {problem.max_sequence_tokens:,} tokens {found.spare / GIB:.2f} GiB are left on the "
            f"fullest GPU, and what {problem.engine} takes beside weights and cache may be {found.uncertain / GIB:.2f} GiB more than "
            "planned; engine_overhead states what its log prints (optimizer import log)."
        )
    return said


def machine_sentences(stated: StatedOverhead, gpus: list[GpuFacts]) -> list[str]:
    """What is measured of the machine, and what is read from another card."""
    said = []
    if stated.anything:
        source = stated.measured or "engine_overhead"
        said.append(f"What the engine takes beside weights and cache was measured here: {source}.")
    for gpu in gpus:
        if gpu.reserved_as is not None:
            said.append(
                f"The memory that {gpu.name} gives a process, {gpu.process_mib:,} MiB, was not read on such a card but as on "
                f"{gpu.reserved_as}."
            )
    return list(dict.fromkeys(said))
