"""The analytic model with the factors of a ``CostTable`` on its times. ``docs/model.md``, section 9.

Other home: ``verify/common/corrections.py``; docs/model.md, section 9.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace

import numpy as np

from optimizer.costs.analytic import AnalyticCosts, Costs
from optimizer.costs.memory import MemoryTable
from optimizer.costs.service import ServiceTable
from optimizer.costs.shapes import Floats, Ints, Shape
from optimizer.facts.cost_table import Correction, CostTable, Curve
from optimizer.facts.problem import Problem


def costs_of(problem: Problem, shapes: Sequence[Shape]) -> Costs:
    """The cost model a problem asks for."""
    return AnalyticCosts(problem, shapes) if problem.costs is None else CorrectedCosts(problem, shapes, problem.costs)


class CorrectedCosts:
    """Memory is the analytic model's; times of corrected layouts are its times, each by its factor."""

    def __init__(self, problem: Problem, shapes: Sequence[Shape], facts: CostTable) -> None:
        self.problem = problem
        self.analytic = AnalyticCosts(problem, shapes)
        self.table = self.analytic.table
        self.source = facts.label
        self.corrections = [correction_of(facts, shape) for shape in shapes]

    def memory(self) -> MemoryTable:
        """Bytes per stage class."""
        return self.analytic.memory()

    def service(self, slots: int) -> ServiceTable:
        """Milliseconds for 1…slots sequences in progress."""
        plain = self.analytic.service(slots)
        rounds = self._apply("round", plain.round_ms)
        tpot = self._apply("token", plain.tpot_ms)
        admission = self._apply("admission", plain.admission_ms)
        prefill = self._apply("prefill", plain.prefill_ms)
        prompt = np.array([1.0 if one is None else one.prompt for one in self.corrections])
        output = self.problem.workload.output_tokens
        return replace(
            plain,
            round_ms=rounds,
            tpot_ms=tpot,
            admission_ms=admission,
            prefill_ms=prefill,
            prefill_long_ms=self._apply("prefill", plain.prefill_long_ms),
            prompt_sum_ms=plain.prompt_sum_ms * prompt,
            prompt_mean_ms=plain.prompt_mean_ms * prompt,
            prompt_each_ms=plain.prompt_each_ms * prompt[:, None],
            prompt_max_ms=plain.prompt_max_ms * prompt,
            residence_ms=admission
            + prefill
            + (prompt * (plain.prompt_sum_ms - plain.prompt_mean_ms))[:, None]
            + (output - 1) * tpot,
        )

    def sequence_bytes(self, shape: int, tokens: Ints) -> Ints:
        """Cache of one sequence of so many tokens (T,) on a GPU of each stage class of a shape, rounded up, (T, C)."""
        return self.analytic.sequence_bytes(shape, tokens)

    def _apply(self, name: str, times: Floats) -> Floats:
        """X'(n): the largest c(m) · X(m) over m ≤ n, so that more sequences never make a step shorter."""
        result = times.copy()
        for row, correction in enumerate(self.corrections):
            if correction is not None:
                factors = _factors(getattr(correction, name), times.shape[1])
                result[row] = np.maximum.accumulate(times[row] * factors)
        return result


def correction_of(facts: CostTable, shape: Shape) -> Correction | None:
    """The correction of a shape's layout: for its KV format, else for any."""
    known = {one.key: one for one in facts.corrections}
    layout = (shape.tp, shape.pp, shape.ep, shape.weight_format)
    return known.get((*layout, shape.kv_format)) or known.get((*layout, None))


def _factors(curve: Curve, slots: int) -> Floats:
    n, factors = zip(*curve, strict=True)
    result: Floats = np.interp(np.arange(1, slots + 1), n, factors)
    return result
