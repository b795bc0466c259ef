"""The analytic cost model behind the narrow interface that search uses: shapes × facts → tables.

Another source of costs (measured tables, a user's own figures) is another class with these three methods.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Protocol

from optimizer.catalog.constants import CostConstants, constants
from optimizer.costs.drafts import with_draft
from optimizer.costs.links import link_costs
from optimizer.costs.memory import MemoryTable, bytes_of_sequences, memory_table
from optimizer.costs.parameters import layer_arrays
from optimizer.costs.service import ServiceTable
from optimizer.costs.shapes import Ints, Shape, ShapeTable, tabulate
from optimizer.costs.steps import StepModel
from optimizer.facts.problem import Problem


class Costs(Protocol):
    """What search needs to know of replica shapes."""

    source: str
    table: ShapeTable

    def memory(self) -> MemoryTable:
        """Bytes per stage class."""
        ...

    def service(self, slots: int) -> ServiceTable:
        """Milliseconds for 1…slots sequences in progress."""
        ...

    def sequence_bytes(self, shape: int, tokens: Ints) -> Ints:
        """Cache of one sequence of so many tokens (T,) on a GPU of each stage class of a shape, rounded up, (T, C)."""
        ...


class AnalyticCosts:
    """Roofline plus overheads with the constants in ``catalog/data/constants.yaml``."""

    source = "analytic"

    def __init__(self, problem: Problem, shapes: Sequence[Shape], values: CostConstants | None = None) -> None:
        self.problem = problem
        self.constants = values or constants()
        self.table = tabulate(problem.model, shapes)
        self.arrays = layer_arrays(problem, self.constants, self.table)
        links = link_costs(problem.hardware, self.constants, self.table)
        self.steps = StepModel(problem, self.constants, self.table, self.arrays, links)

    def memory(self) -> MemoryTable:
        """Bytes per stage class."""
        return memory_table(self.problem, self.constants, *with_draft(self.problem, self.table, self.arrays))

    def service(self, slots: int) -> ServiceTable:
        """Milliseconds for 1…slots sequences in progress."""
        return self.steps.service(slots)

    def sequence_bytes(self, shape: int, tokens: Ints) -> Ints:
        """Cache of one sequence of so many tokens (T,) on a GPU of each stage class of a shape, rounded up, (T, C)."""
        return bytes_of_sequences(self.problem, tokens, *with_draft(self.problem, self.table, self.arrays), shape)
