"""Tokens/s of a chain's node by the layers it holds, from the facts of its GPUs and of the model. Section 10.

Other home: ``verify/chain/nodes.py``; docs/model.md, section 10.
"""

from __future__ import annotations

import math
from dataclasses import dataclass

import numpy as np

from optimizer.costs.analytic import AnalyticCosts
from optimizer.costs.memory import memory_budget_bytes
from optimizer.costs.shapes import Shape
from optimizer.facts.problem import Problem

_THOUSAND = 1000
_ENDLESS = 2**62


@dataclass(frozen=True, slots=True)
class NodeTable:
    """By layers held, from 1 to the most that fit; empty where not one fits."""

    tokens_per_s: dict[int, float]
    """Rounded down to thousandths."""
    time_ms: dict[int, float]
    """One token in the node: a decode step; rounded up to thousandths."""


class NodeCosts:
    """One node, whatever passes it together.

    Args:
        problem: of that node by itself: its hardware is the node, all of whose GPUs are one tensor-parallel group.
    """

    def __init__(self, problem: Problem) -> None:
        self._problem = problem
        places = list(_places(problem))
        costs = AnalyticCosts(problem, [shape for _, shape, _ in places])
        self._steps, self._rows = costs.steps, np.arange(len(places))
        self._column = np.array([costs.table.class_of_stage[row][stage] for row, (_, _, stage) in enumerate(places)])
        at = self._rows, self._column
        memory = costs.memory()
        room, each, block = (
            memory_budget_bytes(problem) - memory.base[at],
            memory.kv_per_sequence[at],
            memory.state_block[at],
        )
        fits = np.where(each > 0, room // np.maximum(1, each), _ENDLESS)
        fits = np.minimum(fits, np.where(block > 0, room // np.maximum(1, block), _ENDLESS))
        self._fits = np.where(room >= 0, fits, 0)
        self._held = np.array([layers for layers, _, _ in places])
        self._prompt = np.asarray(sum(costs.steps.prefill_terms(problem.workload.prompt_tokens).values()))[at]

    def table(self, batch: int, batches: int) -> NodeTable:
        """With so many requests in one step, and the cache of so many such batches held."""
        work = self._problem.workload
        together = np.full((len(self._rows), 1), batch)
        step = np.asarray(sum(self._steps.decode_terms(together).values()))[self._rows, self._column, 0]
        passing = work.prompt_tokens + work.output_tokens - 1
        rate = _THOUSAND * passing / (self._prompt + (work.output_tokens - 1) * step / batch)
        table = NodeTable({}, {})
        for layers in range(1, self._problem.model.layers + 1):
            mine = self._held == layers
            if self._fits[mine].min() < batch * batches:
                break
            table.tokens_per_s[layers] = math.floor(float(rate[mine].min()) * _THOUSAND) / _THOUSAND
            table.time_ms[layers] = math.ceil(float(step[mine].max()) * _THOUSAND) / _THOUSAND
        return table


def _places(problem: Problem) -> list[tuple[int, Shape, int]]:
    """(Layers held, a pipeline with a stage that holds as many of the same kinds, number of that stage), each sort once."""
    model, search = problem.model, problem.search
    weight = (search.weight_precision or (model.native_weight_format,))[0]
    cache = (search.kv_precision or (model.native_kv_format,))[0]
    kinds = np.zeros((model.layers + 1, len(model.kinds)), dtype=np.int64)
    for layer, kind in enumerate(model.kind_of_layer):
        kinds[layer + 1] = kinds[layer]
        kinds[layer + 1, kind] += 1
    found: dict[tuple[object, ...], tuple[int, Shape, int]] = {}
    for held in range(1, model.layers + 1):
        for start in range(model.layers - held + 1):
            end = start + held
            key = (tuple((kinds[end] - kinds[start]).tolist()), start == 0, end == model.layers)
            if key not in found:
                split = tuple(part for part in (start, held, model.layers - end) if part)
                shape = Shape(problem.hardware.gpus, len(split), 1, weight, cache, split)
                found[key] = held, shape, int(start > 0)
    return list(found.values())
