"""Section 9: the times of a replica with the factors of another source of costs on them, exact and in floats.

Callers of the exact part work inside ``arithmetic.sixty_digits``.

Other home: ``costs/corrected.py``; docs/model.md, section 9.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import replace
from decimal import Decimal
from fractions import Fraction

import numpy as np

from optimizer.facts.cost_table import Correction, Curve
from optimizer.facts.problem import Problem
from optimizer.verify.common.arithmetic import decimal, exact
from optimizer.verify.common.float_times import Floats, ShapeTimes, shape_times
from optimizer.verify.common.groups import ReplicaShape
from optimizer.verify.common.mixed import of_prompts
from optimizer.verify.common.stage import Stages
from optimizer.verify.common.times import ReplicaTimes


def stated_for(problem: Problem, shape: ReplicaShape) -> Correction | None:
    """What the source says about a shape: for its KV format if it tells them apart, else for any."""
    found = None
    for one in problem.costs.corrections if problem.costs is not None else ():
        layout = one.tensor_parallel, one.pipeline_parallel, one.expert_parallel, one.weight_precision
        if layout != (shape.group.tensor, shape.stages, shape.group.expert, shape.group.weight_format):
            continue
        if one.kv_precision == shape.group.kv_format:
            return one
        if one.kv_precision is None:
            found = one
    return found


def factor(curve: Curve, n: int) -> Fraction:
    """The factor at n sequences in progress: straight between knots, constant beyond the ends."""
    before = [(at, value) for at, value in curve if at <= n]
    after = [(at, value) for at, value in curve if at > n]
    if not before:
        return exact(after[0][1])
    if not after or before[-1][0] == n:
        return exact(before[-1][1])
    (left, low), (right, high) = before[-1], after[0]
    return exact(low) + (exact(high) - exact(low)) * Fraction(n - left, right - left)


class CorrectedTimes(ReplicaTimes):
    """``ReplicaTimes`` of the analytic model, each time by its factor and never less than with fewer sequences."""

    def __init__(self, problem: Problem, shape: ReplicaShape, stages: Stages, stated: Correction) -> None:
        super().__init__(problem, shape, stages)
        self._plain, self._stated = ReplicaTimes(problem, shape, stages), stated
        self._prompt = decimal(exact(stated.prompt))
        self.prompt_sum *= self._prompt
        self.prompt_mean *= self._prompt
        self.prompts = [ms * self._prompt for ms in self.prompts]
        self.prompt, self.prompt_moments, self.overlap = of_prompts(self.prompts, self.law)
        self.prompt_max *= self._prompt
        self._grown: dict[tuple[str, int], list[Decimal]] = {}

    def _largest(self, curve: Curve, name: str, tokens: int, n: int, plain: Callable[[int], Decimal]) -> Decimal:
        """The largest factor · time over all m up to n."""
        known = self._grown.setdefault((name, tokens), [])
        for m in range(len(known) + 1, n + 1):
            time = decimal(factor(curve, m)) * plain(m)
            known.append(max(time, known[-1]) if known else time)
        return known[n - 1]

    def round(self, n: int) -> Decimal:
        """One token for each of n sequences."""
        return self._largest(self._stated.round, "round", 0, n, self._plain.round)

    def tpot(self, n: int) -> Decimal:
        """Time per output token."""
        return self._largest(self._stated.token, "tpot", 0, n, self._plain.tpot)

    def admission(self, n: int) -> Decimal:
        """From arrival to the first step, no prompt ahead."""
        return self._largest(self._stated.admission, "admission", 0, n, self._plain.admission)

    def prefill(self, tokens: int, n: int) -> Decimal:
        """From a prompt's first step to its last, n sequences in progress."""
        return self._largest(self._stated.prefill, "prefill", tokens, n, lambda m: self._plain.prefill(tokens, m))

    def occupancy(self, rate: Decimal) -> Decimal:
        """O with O_sum and O_max each by the factor of a prompt."""
        return self._prompt * self._plain.occupancy(rate * self._prompt)


def replica_times(problem: Problem, shape: ReplicaShape, stages: Stages) -> ReplicaTimes:
    """The times of a replica as the problem's source of costs has them."""
    stated = stated_for(problem, shape)
    if stated is None:
        return ReplicaTimes(problem, shape, stages)
    return CorrectedTimes(problem, shape, stages, stated)


def float_times(problem: Problem, shapes: Sequence[ReplicaShape], stages: Stages, upto: int) -> ShapeTimes:
    """``shape_times`` as the problem's source of costs has them."""
    plain = shape_times(problem, shapes, stages, upto)
    stated = [stated_for(problem, shape) for shape in shapes]
    if not any(stated):
        return plain

    def grown(name: str, times: Floats) -> Floats:
        result = times.copy()
        for i, one in enumerate(stated):
            if one is not None:
                curve = np.array(getattr(one, name), dtype=np.float64)
                by = np.interp(np.arange(1, upto + 1), curve[:, 0], curve[:, 1])
                result[i] = np.maximum.accumulate(times[i] * by)
        return result

    prompt = np.array([one.prompt if one is not None else 1.0 for one in stated])
    admission, prefill, tpot = (
        grown("admission", plain.admission),
        grown("prefill", plain.prefill),
        grown("token", plain.tpot),
    )
    return replace(
        plain,
        round=grown("round", plain.round),
        tpot=tpot,
        admission=admission,
        prefill=prefill,
        prefill_longest=grown("prefill", plain.prefill_longest),
        residence=admission
        + prefill
        + (prompt * (plain.prompt_sum - plain.prompt_mean))[:, None]
        + (problem.workload.output_tokens - 1) * tpot,
        prompt_sum=plain.prompt_sum * prompt,
        prompt_mean=plain.prompt_mean * prompt,
        prompts=plain.prompts * prompt[:, None],
        prompt_max=plain.prompt_max * prompt,
    )
