"""A pipeline whose first stages stand on one kind of node and the others on another. ``docs/inventories.md``, section 2.

Each stage is that of the analytic model on its own hardware; what is made of the stages is as for any replica.

Other home: ``verify/common/joined.py``; docs/inventories.md, section 2.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from functools import cached_property

import numpy as np

from optimizer.catalog.constants import CostConstants, constants
from optimizer.costs.links import LinkCosts, link_costs
from optimizer.costs.memory import PER_GPU, MemoryTable, bytes_of_sequences, memory_table, most_sequences
from optimizer.costs.parameters import layer_arrays
from optimizer.costs.service import ServiceTable
from optimizer.costs.shapes import Floats, Ints, Shape, ShapeTable, tabulate
from optimizer.costs.steps import StepModel
from optimizer.facts.problem import Problem


class TwoGroupCosts:
    """``Costs`` of pipelines over two groups; ``problems`` are H(a, q₁) and H(b, q₂)."""

    source = "analytic"

    def __init__(self, problems: tuple[Problem, Problem], shapes: Sequence[Shape]) -> None:
        self.problems = problems
        self.constants = constants()
        self.table = tabulate(problems[0].model, shapes)
        self._arrays = [layer_arrays(problem, self.constants, self.table) for problem in problems]

    def memory(self) -> MemoryTable:
        """Bytes per stage class, each on the GPU of its part; the engine has one limit on sequences, that of the first part."""
        limit = most_sequences(self.problems[0])
        first, second = (
            memory_table(problem, self.constants, self.table, arrays, limit)
            for problem, arrays in zip(self.problems, self._arrays, strict=True)
        )
        ahead = self.table.on_part == 0
        parts = {name: np.where(ahead, getattr(first, name), getattr(second, name)) for name in PER_GPU}
        return replace(first, **parts)

    def service(self, slots: int) -> ServiceTable:
        """Milliseconds for 1…slots sequences in progress."""
        return self.steps.service(slots)

    def sequence_bytes(self, shape: int, tokens: Ints) -> Ints:
        """Cache of one sequence of so many tokens (T,) on a GPU of each stage class of a shape, rounded up, (T, C)."""
        return bytes_of_sequences(self.problems[0], tokens, self.table, self._arrays[0], shape)

    def completes_at_most(self, slots: Ints) -> Floats:
        """Requests/s that a replica of each shape never passes with so many sequences, (S,)."""
        return self.steps.completes_at_most(slots)

    @cached_property
    def steps(self) -> TwoGroupSteps:
        """Section 3 for the shapes."""
        stages = np.array([shape.part_stages for shape in self.table.shapes], dtype=np.int64).reshape(-1, 2)
        models, links = [], []
        for number, (problem, arrays) in enumerate(zip(self.problems, self._arrays, strict=True)):
            part = replace(self.table, pp=stages[:, number])
            links.append(link_costs(problem.hardware, self.constants, part))
            models.append(StepModel(problem, self.constants, self.table, arrays, links[-1]))
        return TwoGroupSteps(models, _joined(self.problems, links), self.constants, self.table)


class TwoGroupSteps(StepModel):
    """Section 3 with every stage on its own hardware. ``links`` are of use for the sends only."""

    def __init__(
        self, models: Sequence[StepModel], links: LinkCosts, constants: CostConstants, table: ShapeTable
    ) -> None:
        super().__init__(models[0].problem, constants, table, models[0].arrays, links)
        self.models = tuple(models)

    def _decode(self, batch: Ints | Floats, context: Floats | None = None) -> dict[str, Floats]:
        first, second = (model._decode(batch, context) for model in self.models)
        on_first = (self.table.on_part == 0)[:, :, None]
        return {name: np.where(on_first, first[name], second[name]) for name in first}

    def prefill_terms(self, tokens: int | Floats) -> dict[str, Floats]:
        """Terms of prefilling one prompt of the given tokens, (S, C) in ms, each stage on its own hardware."""
        first, second = (model.prefill_terms(tokens) for model in self.models)
        return {name: np.where(self.table.on_part == 0, first[name], second[name]) for name in first}

    def _part(self, rows: Ints) -> TwoGroupSteps:
        models = [model._part(rows) for model in self.models]
        return TwoGroupSteps(models, self.links.part(rows), self.constants, models[0].table)


def _joined(problems: tuple[Problem, Problem], links: Sequence[LinkCosts]) -> LinkCosts:
    """Sends inside both parts, and one between them over the slower of the two networks."""
    first, second = links
    hardware = [problem.hardware for problem in problems]
    network = min(one.internode_gbit_per_s for one in hardware) / 8 * 1e6  # bytes per ms
    latency_ms = max(one.internode_latency_us for one in hardware) / 1e3
    return replace(
        first,
        send_ms_per_byte=first.send_ms_per_byte + second.send_ms_per_byte + 1 / network,
        send_ms=first.send_ms + second.send_ms + latency_ms,
    )
