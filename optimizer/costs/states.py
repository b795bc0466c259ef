"""Blocks in which vLLM keeps the states of recurrent layers, one for each sequence that it may run at once. ``docs/model.md``,
section 2: layers stand in groups of equal size, and a block holds the cache of some tokens, or one state, for every layer of a group.

Other home: ``verify/common/states.py``; docs/model.md, section 2.
"""

from __future__ import annotations

import numpy as np

from optimizer.costs.parameters import LayerArrays
from optimizer.costs.shapes import Bools, Ints, ShapeTable
from optimizer.engines.memory import StateBlocks, state_blocks_of
from optimizer.facts.problem import Problem

EVEN_ENOUGH = 1.5
"""Below this ratio of the most to the fewest layers of a kind, groups are as large as the larger of them."""
STATES_OF_A_SEQUENCE = 2
"""Blocks of states that a sequence may hold with prefix caching, vLLM's default: the current one and the last that was kept
(``MambaSpec.max_memory_usage_bytes``, mode ``align``)."""


def state_block_bytes(problem: Problem, table: ShapeTable, arrays: LayerArrays) -> Ints:
    """Bytes of one block on a GPU of each shape and stage class, (S, C); 0: states set no limit there.

    Args:
        table: with the draft's layer as a kind of its own, as ``arrays`` (``drafts.with_draft``).
    """
    known = state_blocks_of(problem)
    if known is None:
        return np.zeros(table.multiplicity.shape, dtype=np.int64)
    kinds, speculation = problem.model.kinds, problem.workload.speculation
    # A module for several tokens is one more layer of the model; other drafts are models of their own.
    with_module = speculation is not None and bool(problem.workload.guessed) and speculation.method == "mtp"
    columns = len(kinds) + with_module
    recurrent = np.zeros(columns, dtype=np.bool_)
    recurrent[: len(kinds)] = [kind.state_values_per_sequence > 0 for kind in kinds]
    layers = _layers(table.kind_counts[:, :, :columns], arrays, recurrent)
    block: Ints = _page(known, problem, arrays, len(kinds))[:, None] * layers
    return np.where(table.multiplicity > 0, block, 0)


def blocks_of_sequence(problem: Problem, table: ShapeTable, arrays: LayerArrays, tokens: int) -> Ints:
    """Blocks that a sequence of so many tokens takes of those of ``state_block_bytes``, (S, C); 0 where these set no limit."""
    known = state_blocks_of(problem)
    if known is None:
        return np.zeros(table.multiplicity.shape, dtype=np.int64)
    columns = len(problem.model.kinds)
    recurrent = np.array([kind.state_values_per_sequence > 0 for kind in problem.model.kinds])
    layers = np.maximum(1, _layers(table.kind_counts[:, :, :columns], arrays, recurrent))
    each = arrays.kv_bytes_per_token[:, :columns].max(axis=1).astype(np.int64)
    held = np.maximum(1, _page(known, problem, arrays, columns) // np.maximum(1, each))[:, None]
    counts = table.kind_counts[:, :, :columns]
    taken = -(-(counts * recurrent).sum(axis=2) // layers) * STATES_OF_A_SEQUENCE
    for kind, window in enumerate(arrays.windows[:columns].tolist()):
        if arrays.kv_bytes_per_token[:, kind].max() > 0:
            kept = min(tokens, window + problem.search.max_num_batched_tokens) if window else tokens
            taken = taken + -(-counts[:, :, kind] // layers) * -(-kept // held)
    found: Ints = np.where(table.multiplicity > 0, taken, 0)
    return found


def _page(known: StateBlocks, problem: Problem, arrays: LayerArrays, kinds: int) -> Ints:
    """Bytes of a block in one layer, (S,): the cache of the fewest tokens that a state fits in."""
    recurrent = [kind.state_values_per_sequence > 0 for kind in problem.model.kinds]
    state = np.ceil(arrays.state_bytes[:, :kinds][:, recurrent].max(axis=1)).astype(np.int64)
    tokens = known.tokens_latent if problem.model.mla else known.tokens
    unit = tokens * arrays.kv_bytes_per_token[:, :kinds].max(axis=1).astype(np.int64)
    page: Ints = np.where(unit > 0, -(-state // np.maximum(unit, 1)) * unit, state)
    return page


def _layers(counts: Ints, arrays: LayerArrays, recurrent: Bools) -> Ints:
    """Layers of a group, (S, C); 0 where a stage has no recurrent layer."""
    columns = len(recurrent)
    cached, windows = arrays.kv_bytes_per_token[:, :columns].max(axis=0) > 0, arrays.windows[:columns]
    sorts = [recurrent, *(cached & (windows == window) for window in np.unique(windows[cached]))]
    of_sort = np.stack([(counts * of).sum(axis=2) for of in sorts])
    most = of_sort.max(axis=0)
    fewest = np.where(of_sort > 0, of_sort, most).min(axis=0)
    layers: Ints = np.where(most < EVEN_ENOUGH * fewest, most, fewest)
    return np.where(of_sort[0] > 0, layers, 0)
