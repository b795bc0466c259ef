"""The least that a stage of so many layers takes, whatever layers they are: time and memory, before any pipeline is built.

A pipeline over two groups is one of thousands that differ in the layers of its parts. What its stages take depends on the number of layers
alone but for models with several kinds of layers, where the fewest of each kind in any run of so many stand in for them.
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from optimizer.catalog.constants import constants
from optimizer.costs.links import link_costs
from optimizer.costs.memory import memory_budget_bytes, memory_table
from optimizer.costs.parameters import layer_arrays
from optimizer.costs.shapes import Floats, Ints, Shape, ShapeTable
from optimizer.costs.steps import StepModel
from optimizer.facts.model import ModelFacts
from optimizer.facts.problem import Problem

Width = tuple[int, int, str, str]
"""TP, EP, weight format and KV format of the GPUs of one stage."""


class StageBounds:
    """Lower bounds for stages of 0…L layers that are neither first nor last, one row for each width.

    What a stage takes depends on the GPUs of its TP group and their links, not on how many nodes the other stages stand on.

    Args:
        problem: H(group, q) of any q.
        widths: W of them, none of which couples replicas.
        batches: (B,) rising numbers of sequences in a micro-batch, from 1.
    """

    def __init__(self, problem: Problem, widths: Sequence[Width], batches: Ints) -> None:
        table = _table(problem.model, widths)
        known = constants()
        arrays = layer_arrays(problem, known, table)
        steps = StepModel(problem, known, table, arrays, link_costs(problem.hardware, known, table))
        each = np.broadcast_to(batches, (len(widths), len(batches)))
        self.decode_ms: Floats = np.asarray(sum(steps.decode_terms(each).values()))
        """A decode step, (W, L + 1, B)."""
        self.prefill_ms: Floats = np.asarray(sum(steps.prefill_terms(problem.workload.prompt_tokens).values()))
        """The mean prompt, (W, L + 1)."""
        memory = memory_table(problem, known, table, arrays)
        room = memory_budget_bytes(problem) - memory.fixed
        most = np.where(memory.per_sequence > 0, room // np.maximum(memory.per_sequence, 1), np.iinfo(np.int64).max)
        self.slots: Ints = np.where(room < 0, 0, most)
        """Sequences that memory has room for, (W, L + 1)."""


def _table(model: ModelFacts, widths: Sequence[Width]) -> ShapeTable:
    count, classes = len(widths), model.layers + 1
    tp = np.array([width[0] for width in widths], dtype=np.int64)
    ep = np.array([width[1] for width in widths], dtype=np.int64)
    never = np.zeros((count, classes), dtype=np.bool_)
    return ShapeTable(
        shapes=tuple(Shape(tp, 2, ep, weight, cache, ()) for tp, ep, weight, cache in widths),
        tp=tp,
        pp=np.full(count, 2, dtype=np.int64),
        ep=ep,
        ranks=np.ones(count, dtype=np.int64),
        expert_gpus=np.maximum(tp, ep),
        slice_ranks=np.ones(count, dtype=np.int64),
        dcp=np.ones(count, dtype=np.int64),
        kind_counts=np.broadcast_to(fewest_of_each_kind(model), (count, classes, len(model.kinds))),
        multiplicity=np.ones((count, classes), dtype=np.int64),
        is_first=never,
        is_last=never,
        on_part=np.zeros((count, classes), dtype=np.int64),
        class_of_stage=((),) * count,
    )


def fewest_of_each_kind(model: ModelFacts) -> Ints:
    """The fewest layers of each kind in any run of 0…L layers, (L + 1, kinds)."""
    kinds = len(model.kinds)
    prefix = np.zeros((model.layers + 1, kinds), dtype=np.int64)
    np.cumsum(np.eye(kinds, dtype=np.int64)[list(model.kind_of_layer)], axis=0, out=prefix[1:])
    runs = [(prefix[many:] - prefix[: len(prefix) - many]).min(axis=0) for many in range(model.layers + 1)]
    result: Ints = np.stack(runs)
    return result
