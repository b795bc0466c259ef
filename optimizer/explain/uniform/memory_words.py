"""What an answer says of memory that its figures alone do not: where they are measured, and where they may not be enough."""

from __future__ import annotations

from typing import TYPE_CHECKING

from optimizer.costs.shapes import Shape
from optimizer.costs.startup import start_up
from optimizer.engines.memory import overhead_on
from optimizer.engines.registry import engine_of
from optimizer.facts.hardware import GIB, GpuFacts
from optimizer.facts.overhead import StatedOverhead
from optimizer.facts.problem import Problem
from optimizer.results.answer import Strategy

if TYPE_CHECKING:
    from optimizer.results.pools import PoolStrategy

SURE_OF_STATES = 0.75
"""Share of the planned blocks of states that logs had at least: 1.00 (two RX 7900 XT, vllm issue 49064), 0.86 (FP8) and 0.75 (BF16; both
on one RTX PRO 6000 with 1,024 sequences, vllm-project/recipes pull request 831, of a build between versions)."""


def memory_sentences(problem: Problem, strategy: Strategy | None) -> list[str]:
    """Sentences on the memory of a strategy; without one, on what is known of the machine."""
    said = machine_sentences(problem.engine_overhead, [problem.hardware.gpu])
    if strategy is None or "memory" in problem.search.disabled_rules:
        return said
    said += start_sentences(problem, Shape.of(strategy), strategy.max_num_seqs)
    return said


def pool_sentences(problem: Problem, name: str, pool: PoolStrategy) -> list[str]:
    """Sentences on the memory of a pool's instances, which have no stages.

    Args:
        problem: with the nodes that the pool stands on.
        name: of the pool.
    """
    degrees = pool.tensor_parallel, 1, pool.expert_parallel
    shape = Shape(*degrees, pool.weight_precision, pool.kv_precision, (problem.model.layers,))
    return [f"{name}: {one}" for one in start_sentences(problem, shape, pool.max_num_seqs)]


def start_sentences(problem: Problem, shape: Shape, slots: int) -> list[str]:
    """Why an engine may not start, or does not.

    Args:
        slots: max_num_seqs.
    """
    if "memory" in problem.search.disabled_rules:
        return []
    found, said = start_up(problem, shape), []
    engine = engine_of(problem.engine)
    # The others are told of memory what leaves room for one such sequence.
    if engine.share == "whole" and found.may_not_start:
        said.append(
            f"May not start: beside one sequence of {problem.max_sequence_tokens:,} tokens {found.spare / GIB:.2f} GiB are left on the "
            f"fullest GPU, and what {problem.engine} takes beside weights and cache may be {found.uncertain / GIB:.2f} GiB more than "
            "planned; engine_overhead states what its log prints (optimizer import log)."
        )
    asks_whole = overhead_on(problem).asks_whole_model
    if asks_whole and shape.pp > 1 and found.spare < 0:
        said.append(
            f"Does not start in {engine.title} {problem.engine_version}: its check asks each stage for the cache of all layers, "
            f"{found.longest_sequence / GIB:.2f} GiB for {problem.max_sequence_tokens:,} tokens; {found.kv_memory / GIB:.2f} GiB are left."
        )
    most, least = found.sequences_of_states, found.sequences_of_states_at_least
    if most is not None and least is not None:
        sure = max(1, min(least, int(SURE_OF_STATES * most)))
        if sure < slots <= most:
            said.append(
                f"May not start: {engine.title} wants a block of states for each of {slots:,} sequences of a replica "
                f"and has {most:,} as planned, but logs had down to {SURE_OF_STATES:.0%} of that; requirements.max_batch: {sure:,} is safe."
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
