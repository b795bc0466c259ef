"""What an engine prints about memory when it starts, predicted for one layout. ``docs/model.md``, section 2; compared with logs by
``scripts/memory.py``."""

from __future__ import annotations

from dataclasses import dataclass
from fractions import Fraction

import numpy as np

from optimizer.costs.analytic import AnalyticCosts
from optimizer.costs.memory import MemoryTable, memory_budget_bytes, rotary_bytes
from optimizer.costs.shapes import Ints, Shape
from optimizer.costs.states import blocks_of_sequence
from optimizer.engines.memory import OverheadPart, overhead_on
from optimizer.engines.registry import engine_of
from optimizer.facts.base import LARGEST_COUNT
from optimizer.facts.hardware import MIB
from optimizer.facts.problem import Problem


@dataclass(frozen=True, slots=True)
class StartUp:
    """Bytes of one GPU of the stage with the least room for its cache."""

    weights: int
    """With what the engine has loaded beside them: tables of rotary positions."""
    activation_peak: int
    overhead: int
    """``activation_peak`` and everything else that counts against the engine's share beside weights and cache."""
    kv_memory: int
    """What is left for the cache; negative where nothing is."""
    kv_per_token: int
    longest_sequence: int
    """Cache that one sequence of the longest length needs."""
    kv_tokens: int
    """Tokens that the cache holds, as the engine prints it: its memory over what a token of the longest sequence takes."""
    uncertain: int
    """By how much the parts of ``overhead`` may be larger than planned."""
    sequences_of_states: int | None = None
    """Sequences for whose states there are blocks; None where states set no limit."""
    sequences_of_states_at_least: int | None = None
    """The same with the parts of ``overhead`` at their upper ends."""
    runs_out: bool = False
    """What the engine never counts is more than its share leaves: it runs out of memory after it has set its cache aside."""

    @property
    def spare(self) -> int:
        """What is left beside one sequence of the longest length; negative: it does not start."""
        left = self.kv_memory - self.longest_sequence
        return min(left, -1) if self.runs_out else left

    @property
    def may_not_start(self) -> bool:
        """Whether it starts as planned, and would not with the overheads at their upper ends."""
        return 0 <= self.spare < self.uncertain


def start_up(problem: Problem, shape: Shape) -> StartUp:
    """The figures for one layout.

    A share that holds weights and cache alone (SGLang's ``--mem-fraction-static``, ``gpu_memory_utilization`` here) is of what is
    free once the engine's processes have started.
    """
    costs = AnalyticCosts(problem, [shape])
    memory, table, slots = costs.memory(), costs.table, problem.max_batch
    known = overhead_on(problem)
    columns = table.multiplicity[0] > 0
    several = shape.tp * shape.engine_ranks * (shape.pp if known.stages_communicate else 1) > 1
    peak = (memory.activations + memory.logits(slots))[0]
    tables = rotary_bytes(problem)
    holds, runs_out = engine_of(problem.engine).share, False
    if holds == "weights_and_cache":
        share = Fraction(repr(problem.requirements.gpu_memory_utilization))
        begun = known.context.value + (known.communication.value if several else 0)
        beside = np.full_like(
            peak, problem.hardware.gpu.memory_bytes - int(share * (problem.hardware.gpu.process_mib - begun) * MIB)
        )
        left = problem.hardware.gpu.memory_bytes - beside - memory.weights[0] - tables
        parts: tuple[OverheadPart, ...] = (known.context, *((known.communication,) if several else ()))
    else:
        beside = (memory.activations + memory.logits(slots) + memory.communication + memory.engine)[0] - tables
        left = memory_budget_bytes(problem) - memory.weights[0] - tables - beside
        parts = (*known.counted, *((known.communication,) if several and "communication" in known.counts else ()))
        # Where the engine does not ask what is free, it runs out of memory when what it never counted is more than the rest.
        low = {"context": known.context.low, "communication": known.communication.low if several else 0}
        low["cuda_graphs"] = known.cuda_graphs.low
        uncounted = sum(mib for name, mib in low.items() if name not in known.counts)
        runs_out = (
            holds == "whole" and memory_budget_bytes(problem) + uncounted * MIB > problem.hardware.gpu.memory_bytes
        )
    needed, per_token = memory.kv_per_sequence[0], memory.kv_per_token[0]
    blocks = blocks_of_sequence(problem, table, costs.arrays, problem.max_sequence_tokens)[0] * memory.state_block[0]
    needed = np.where(blocks > 0, blocks, needed)
    if known.asks_whole_model:
        needed = np.where(columns, (needed * table.multiplicity[0]).sum(), needed)
    spare = np.where(columns, left - needed, np.iinfo(np.int64).max)
    at = int(spare.argmin())
    tokens = problem.max_sequence_tokens
    held = Fraction(max(0, int(left[at])) * tokens, max(1, int(needed[at])))
    uncertain = sum(part.high - part.value for part in parts) * MIB
    return StartUp(
        weights=int(memory.weights[0, at]) + tables,
        activation_peak=int(peak[at]),
        overhead=int(beside[at]),
        kv_memory=int(left[at]),
        kv_per_token=int(per_token[at]),
        longest_sequence=int(needed[at]),
        kv_tokens=int(held) // 16 * 16,
        uncertain=uncertain,
        sequences_of_states=_states(memory, left),
        sequences_of_states_at_least=_states(memory, left - uncertain),
        runs_out=runs_out,
    )


def _states(memory: MemoryTable, left: Ints) -> int | None:
    """Sequences for whose states there are blocks; None where states set no limit."""
    if not memory.state_block.any():
        return None
    return int(memory.state_sequences(left[None, :], LARGEST_COUNT)[0])
