"""Memory of one GPU per stage class: what is fixed, and what each further sequence adds. ``docs/model.md``, section 2."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from optimizer.catalog.constants import CostConstants
from optimizer.costs.parameters import KV_BLOCK_TOKENS, LayerArrays, LongFloats
from optimizer.costs.shapes import Floats, Ints, ShapeTable
from optimizer.facts.problem import Problem

ULPS = 32
"""Units in the last place that a sum may be off."""


@dataclass(frozen=True, slots=True)
class MemoryTable:
    """Whole bytes, rounded up, per shape and stage class (S, C); a GPU of the class holds fixed + n x per_sequence."""

    weights: Ints
    activations: Ints
    communication: Ints
    engine: int
    kv_per_sequence: Ints
    logits_per_sequence: Ints

    @property
    def fixed(self) -> Ints:
        """Bytes that do not depend on the number of sequences."""
        total: Ints = self.weights + self.activations + self.communication + self.engine
        return total

    @property
    def per_sequence(self) -> Ints:
        """Bytes that each of max_num_seqs sequences reserves."""
        total: Ints = self.kv_per_sequence + self.logits_per_sequence
        return total


def memory_table(problem: Problem, constants: CostConstants, table: ShapeTable, arrays: LayerArrays) -> MemoryTable:
    """Memory of every shape and stage class."""
    model = problem.model
    counts = table.kind_counts.astype(np.longdouble)
    present = table.multiplicity > 0
    first = (arrays.embedding_bytes + arrays.first_bytes)[:, None]
    head = arrays.head_bytes[:, None]
    one_table = model.tied_embeddings & (table.pp == 1)[:, None]
    weights = np.einsum("sck,sk->sc", counts, arrays.resident_bytes)
    weights = weights + np.where(table.is_first, first, 0) + np.where(table.is_last & ~one_table, head, 0)
    weights = weights + np.where(table.is_last, arrays.last_bytes, 0)

    block = KV_BLOCK_TOKENS
    longest = -(-problem.max_sequence_tokens // block) * block
    windowed = -(-arrays.windows // block) * block + block
    kept = np.where(arrays.windows > 0, np.minimum(longest, windowed), longest)
    per_layer = arrays.kv_bytes_per_token * kept[None, :] + _exactly(arrays.state_bytes, table)
    kv = np.einsum("sck,sk->sc", counts, per_layer)

    batched = problem.search.max_num_batched_tokens
    activations = batched * 2 * (2 * model.hidden_size + _widest(problem, table))
    several = (table.tp * table.pp * table.ranks > 1)[:, None]
    return MemoryTable(
        weights=_up(np.where(present, weights, 0)),
        activations=_up(np.where(present, activations[:, None], 0)),
        communication=np.where(present & several, constants.comm_bytes, 0).astype(np.int64),
        engine=constants.engine_bytes,
        kv_per_sequence=_up(np.where(present, kv, 0)),
        logits_per_sequence=_up(np.where(table.is_last & present, model.vocabulary * constants.logit_bytes, 0)),
    )


def _widest(problem: Problem, table: ShapeTable) -> LongFloats:
    """Values per token of the widest intermediate result on one GPU, (S,)."""
    model = problem.model
    tp, ep = table.tp.astype(np.longdouble), table.ep.astype(np.longdouble)
    widest = (model.attention_heads + 2 * model.kv_heads) * model.head_dim / tp
    for width in model.ffn_widths:
        widest = np.maximum(widest, 2 * width / tp)
    if model.experts:
        per_token = max(k.experts_per_token for k in model.kinds)
        sliced = np.where(ep > 1, 1.0, tp)
        share = np.where(ep > 1, np.minimum(ep, per_token), 1.0)
        widest = np.maximum(widest, per_token * (model.hidden_size + 2 * model.expert_ffn_width / sliced) / share)
    return widest


def _exactly(per_gpu: Floats, table: ShapeTable) -> LongFloats:
    """Values of each GPU that are whole over the TP ranks together, (S, …), as near as the longer floats hold them."""
    tp = table.tp[:, None]
    whole: LongFloats = np.rint(per_gpu * tp).astype(np.longdouble) / tp
    return whole


def _up(values: Floats | LongFloats) -> Ints:
    """Up to whole units; what rounding puts above a whole number by a few units in the last place is that number.

    Sums of hundreds of GB hold less than a byte of what 64 bits can tell apart, hence the longer floats.
    """
    nearest = np.rint(values)
    noise = ULPS * np.finfo(values.dtype).eps * np.maximum(1.0, np.abs(values))
    result: Ints = np.where(np.abs(values - nearest) <= noise, nearest, np.ceil(values)).astype(np.int64)
    return result
