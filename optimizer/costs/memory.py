"""Memory of one GPU per stage class: what is fixed, and what is left for the KV cache. ``docs/model.md``, section 2.

Other homes: ``verify/common/stage.py``, ``verify/common/beside.py``, ``verify/common/budget.py``,
``verify/common/weights.py``; docs/model.md, section 2.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from fractions import Fraction

import numpy as np

from optimizer.catalog.constants import CostConstants
from optimizer.costs.load import chain_length
from optimizer.costs.occupancy import Held, held, in_flight, sequence_bytes
from optimizer.costs.parameters import LayerArrays, LongFloats
from optimizer.costs.shapes import Floats, Ints, ShapeTable
from optimizer.costs.states import state_block_bytes
from optimizer.engines.memory import overhead_on
from optimizer.facts.base import LARGEST_COUNT
from optimizer.facts.hardware import MIB
from optimizer.facts.model import TowerRun
from optimizer.facts.problem import Problem
from optimizer.facts.workload import KV_BLOCK_TOKENS

EXPERT_CHUNK = 32_768
"""Tokens that routed experts work on at a time (VLLM_FUSED_MOE_CHUNK_SIZE of vLLM 0.8 to 0.16)."""
WIDE = frozenset({"fp16", "bf16", "fp8", "int8"})
"""Formats of experts whose kernels keep copies of the tokens that these work on."""
ULPS = 32
"""Units in the last place that a sum may be off."""


@dataclass(frozen=True, slots=True)
class MemoryTable:
    """Whole bytes, rounded up, per shape and stage class (S, C); a GPU of the class must hold fixed + n x per_sequence.

    Paged, that is one sequence of the longest length beside everything but the cache (``base``), whatever the number of
    sequences; what the budget leaves beside ``base`` is cache, taken block by block. ``full``: every sequence is reserved.
    """

    weights: Ints
    activations: Ints
    communication: Ints
    engine: Ints
    kv_per_sequence: Ints
    logits_per_sequence: Ints
    """Logits that each sequence reserves where cache is reserved in full; 0 where it is paged."""
    sampling: Ints
    """What sampling for the most sequences allowed takes beyond ``activations`` where cache is paged; else 0."""
    kv_per_token: Ints
    """Bytes that one more token takes in layers that keep every token, and in windows while they fill."""
    state_block: Ints
    """Bytes of a block of states, of which each sequence needs one; 0: none."""
    held: Held | None
    """What one request in progress holds; None where every slot reserves the longest sequence."""

    @property
    def base(self) -> Ints:
        """Bytes beside the cache that do not depend on the number of sequences."""
        return self.beside_cache(0)

    def beside_cache(self, slots: int) -> Ints:
        """Bytes of everything but the cache when a replica runs so many sequences at most."""
        total: Ints = self.weights + self.activations + self.communication + self.engine
        return total + self.logits(slots)

    def logits(self, slots: int) -> Ints:
        """Bytes of sampling and its logits beyond the activations, (S, C)."""
        return self.sampling + slots * self.logits_per_sequence

    @property
    def fixed(self) -> Ints:
        """Bytes that are needed whatever the number of sequences."""
        total: Ints = self.base if self.held is None else self.base + self.kv_per_sequence
        return total

    @property
    def per_sequence(self) -> Ints:
        """Bytes that each of max_num_seqs sequences reserves."""
        total: Ints = self.kv_per_sequence + self.logits_per_sequence
        return total if self.held is None else np.zeros_like(total)

    def state_sequences(self, room: Ints, most: int) -> Ints:
        """Sequences for whose states there are blocks at every stage, up to a number, (S,).

        Args:
            room: bytes that the budget leaves for the cache, (S, C).
        """
        blocks = np.maximum(0, room) // np.maximum(1, self.state_block)
        found: Ints = np.where(self.state_block > 0, np.minimum(blocks, most), most).min(axis=1)
        return found

    def capacity_tokens(self, budget: int | Ints, slots: int) -> Ints:
        """Tokens that the cache of one replica holds, in whole blocks, (S,); 0 where there is no room.

        Args:
            budget: bytes of one GPU that may be used, for all stages or for each, (S, C).
            slots: max_num_seqs.
        """
        block = KV_BLOCK_TOKENS * self.kv_per_token
        room = np.maximum(0, budget - self.beside_cache(slots)) // np.maximum(1, block)
        # Stages without a growing cache, and columns that only pad, set no limit.
        endless = np.iinfo(np.int64).max
        least = np.where(block > 0, room, endless).min(axis=1)
        found: Ints = np.where(least == endless, LARGEST_COUNT, least) * KV_BLOCK_TOKENS
        return found


PER_GPU = ("weights", "activations", "communication", "engine", "logits_per_sequence", "sampling")
"""Parts of a table that differ from GPU to GPU."""


def memory_table(
    problem: Problem, constants: CostConstants, table: ShapeTable, arrays: LayerArrays, sampled: int | None = None
) -> MemoryTable:
    """Memory of every shape and stage class.

    Args:
        sampled: sequences that the engine samples in its profiling run; None: as many as the problem's GPU has it run.
    """
    model = problem.model
    counts = table.kind_counts.astype(np.longdouble)
    present = table.multiplicity > 0
    first = (arrays.embedding_bytes + arrays.first_bytes)[:, None]
    head = arrays.head_bytes[:, None]
    one_table = model.tied_embeddings & (table.pp == 1)[:, None]
    weights = np.einsum("sck,sk->sc", counts, arrays.resident_bytes)
    weights = (
        weights
        + np.where(table.is_first, first, arrays.tower_bytes[:, None])
        + np.where(table.is_last & ~one_table, head, 0)
    )
    weights = weights + np.where(table.is_last, arrays.last_bytes, 0)

    kv = sequence_bytes(np.array([problem.max_sequence_tokens]), table, arrays, in_flight=in_flight(problem))[0]
    per_token = np.einsum("sck,sk->sc", counts, arrays.kv_bytes_per_token)

    known = overhead_on(problem)
    batched = problem.search.max_num_batched_tokens
    stated = known.activations_mib
    hidden = 2 * batched * model.hidden_size
    activations = 3 * hidden + 2 * batched * _widest(problem, table)
    kept: LongFloats | int = 0
    if known.profiles_towers and model.tower_run is not None:
        tower, kept = _tower_bytes(model.tower_run, batched, table)
        activations = np.maximum(activations, tower) + kept
    if stated is not None:
        activations = np.full_like(activations, stated * MIB)
    activations_up = _up(np.where(present, activations[:, None], 0))
    logits = np.where(table.is_last & present, model.vocabulary * known.sampling_bytes, 0)
    sampling = np.zeros_like(activations_up)
    # Older versions sample nothing where the prompts of the run are cut into chunks.
    samples = known.samples_chunks or problem.max_sequence_tokens <= batched
    if problem.paged and stated is None and samples:
        # One run of the engine measures both: the forward pass, and sampling beside the hidden states that it left.
        left = hidden + kept + (_expert_copies(problem, table) if known.keeps_expert_copies else 0)
        peak = np.where(logits > 0, min(sampled or most_sequences(problem), batched) * logits + left, 0)
        sampling = np.maximum(0, _up(peak) - activations_up)
    together = table.tp * table.ranks * (table.pp if known.stages_communicate else 1)
    several = (together > 1)[:, None]
    shared = known.communication.value * MIB if "communication" in known.counts else 0
    return MemoryTable(
        weights=_up(np.where(present, weights, 0)),
        activations=activations_up,
        communication=np.where(present & several, shared, 0).astype(np.int64),
        engine=np.full(present.shape, engine_bytes(problem), dtype=np.int64),
        kv_per_sequence=_up(np.where(present, kv, 0)),
        logits_per_sequence=np.zeros_like(sampling) if problem.paged else _up(logits),
        sampling=sampling,
        kv_per_token=_up(np.where(present, per_token, 0)),
        state_block=state_block_bytes(problem, table, arrays),
        held=held(problem, table, arrays) if problem.paged else None,
    )


def engine_bytes(problem: Problem) -> int:
    """What an engine counts on every GPU beside weights, activations and cache: its own parts, and tables of rotary positions."""
    return sum(part.value for part in overhead_on(problem).counted) * MIB + rotary_bytes(problem)


def rotary_bytes(problem: Problem) -> int:
    """Tables of rotary positions, which an engine builds on every GPU when it loads a model."""
    each = problem.model.rotary_value_bytes or overhead_on(problem).rotary_bytes
    return each * problem.model.rotary_values


def bytes_of_sequences(problem: Problem, tokens: Ints, table: ShapeTable, arrays: LayerArrays, shape: int) -> Ints:
    """Cache that one sequence of so many tokens (T,) needs on a GPU of each stage class of one shape, rounded up, (T, C)."""
    return _up(sequence_bytes(tokens, table, arrays, slice(shape, shape + 1), in_flight(problem))[:, 0])


def memory_budget_bytes(problem: Problem) -> int:
    """Bytes of one GPU that may be used, rounded down: the share asked for, and no more than other processes leave."""
    share = Fraction(repr(problem.requirements.gpu_memory_utilization))
    known = overhead_on(problem)
    beside = known.context.value * MIB if known.refuses_above_free else 0
    return max(0, min(int(share * problem.hardware.gpu.memory_bytes), problem.hardware.free_bytes - beside))


def cache_by_stage(memory: MemoryTable, table: ShapeTable, budgets: Sequence[int], slots: int) -> list[int]:
    """Bytes of KV cache on a GPU of each stage of the only shape of a table.

    Paged, every stage holds as many tokens as the one with the least room; else what the slots reserve.

    Args:
        budgets: bytes of one GPU that may be used, by stage.
    """
    columns = list(table.class_of_stage[0])
    if memory.held is None:
        return [slots * int(memory.kv_per_sequence[0, column]) for column in columns]
    by_class = np.full((1, table.multiplicity.shape[1]), max(budgets), dtype=np.int64)
    for column, budget in zip(columns, budgets, strict=True):
        by_class[0, column] = min(budget, by_class[0, column])
    tokens = int(memory.capacity_tokens(by_class, slots)[0])
    return [tokens * int(memory.kv_per_token[0, column]) for column in columns]


def most_sequences(problem: Problem) -> int:
    """Sequences whose logits an engine reserves: the most that max_num_seqs may be."""
    return chain_length(problem) if "max_batch" in problem.search.disabled_rules else problem.max_batch


def _tower_bytes(run: TowerRun, batched: int, table: ShapeTable) -> tuple[LongFloats, int]:
    """(bytes that a vision tower takes at its peak (S,), bytes of its results), for as many items as a step has tokens for."""
    items = max(1, batched // run.item_tokens)
    each = run.patch_values + run.patch_values_cut / table.tp.astype(np.longdouble)
    return 2 * items * run.item_patches * each, 2 * items * run.item_tokens * run.token_values


def _widest(problem: Problem, table: ShapeTable) -> LongFloats:
    """Values per token of the widest intermediate result on one GPU, (S,)."""
    model = problem.model
    tp, ep = table.tp.astype(np.longdouble), table.ep.astype(np.longdouble)
    widest = (model.attention_heads + 2 * (0 if model.mla else model.kv_heads)) * model.head_dim / tp
    for width in (*(3 * ffn for ffn in model.ffn_widths), *(kind.worked_values_per_token for kind in model.kinds)):
        widest = np.maximum(widest, width / tp)
    if model.experts:
        per_token = max(k.experts_per_token for k in model.kinds)
        own = model.expert_ffn_width / (np.where(ep > 1, 1.0, tp) * table.slice_ranks)
        batched = problem.search.max_num_batched_tokens
        gathered = batched * table.ranks
        # Copies of each token for its experts, and what these make of them, of no more tokens at a time than a chunk.
        copies = np.minimum(gathered, EXPERT_CHUNK) * per_token * (np.maximum(model.hidden_size, 2 * own) + own)
        # Ranks that attend apart gather each other's tokens: as they arrive, and what the experts return.
        arrived = np.where(table.ranks > 1, 2 * gathered * model.hidden_size, 0)
        widest = np.maximum(widest, (copies + arrived) / batched)
    return widest


def _expert_copies(problem: Problem, table: ShapeTable) -> LongFloats:
    """Bytes of what experts of 8 or 16 bits work on and of their results on one GPU, each as large as its largest use, (S, 1)."""
    model = problem.model
    if model.expert_format not in WIDE or not model.experts:
        return np.zeros((len(table.tp), 1), dtype=np.longdouble)
    split = np.where(table.ep > 1, 1.0, table.tp.astype(np.longdouble)) * table.slice_ranks
    own = model.expert_ffn_width / split
    tokens = np.minimum(problem.search.max_num_batched_tokens * table.ranks, EXPERT_CHUNK)
    chosen = max(kind.experts_per_token for kind in model.kinds)
    widths = np.maximum(model.hidden_size, 2 * own) + np.maximum(model.hidden_size, own)
    found: LongFloats = (2 * tokens * chosen * widths)[:, None]
    return found


def _up(values: Floats | LongFloats) -> Ints:
    """Up to whole units; what rounding puts above a whole number by a few units in the last place is that number.

    Sums of hundreds of GB hold less than a byte of what 64 bits can tell apart, hence the longer floats.
    """
    nearest = np.rint(values)
    noise = ULPS * np.finfo(values.dtype).eps * np.maximum(1.0, np.abs(values))
    result: Ints = np.where(np.abs(values - nearest) <= noise, nearest, np.ceil(values)).astype(np.int64)
    return result
