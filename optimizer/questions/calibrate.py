"""A person's own runs: the few constants that they can tell something of, fitted with shrinkage towards the shipped ones.

Maximum a posteriori: the squared errors of log times, each over what runs scatter by, plus the squared change of each
log constant over what it is known to (``SPREAD``); solved by Gauss–Newton. With few runs the constants stay near the shipped
ones, with many they follow the runs. How much better they predict is judged on each run left out in turn.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np

from optimizer.catalog.constants import ClosedLoopConstants, CostConstants, closed_loop_constants, constants
from optimizer.costs.corpus import Corpus
from optimizer.costs.measured_runs import MeasuredRun
from optimizer.costs.shapes import Floats

SPREAD: Mapping[str, float] = {
    "t_layer": 0.4,
    "t_tp": 0.4,
    "t_touched": 0.5,
    "eta_bw": 0.15,
    "eta_expert_bw": 0.2,
    "eta_kv": 0.2,
    "eta_prefill_flops": 0.25,
    "eta_prefill_expert_flops": 0.35,
    "ar_factor": 0.4,
    "t_sequence": 0.5,
}
"""Standard deviation of the logarithm of each constant over GPUs, engines and versions (plausible ranges, constants.yaml)."""
ENGINE_SPREAD: Mapping[str, float] = {"bunching": 0.3, "start_ms": 0.7, "steps": 0.6}
SCATTER: Mapping[str, float] = {"tpot": 0.03, "ttft": 0.25}
"""What runs of one model on one system scatter by around the best constants, log. Repeats of a run differ by a median of 2 % in TPOT,
which is 0.02 for each; of 0.02 to 0.08, 0.03 predicts the other runs of a GPU best from five (``scripts/own_runs.py``)."""
Near = tuple[CostConstants, Mapping[str, ClosedLoopConstants]]
"""Constants of the step model and of each engine."""
ROUNDS, TINY = 6, 1e-3
MOST_CHANGE = 1.5


@dataclass(frozen=True, slots=True)
class Calibrated:
    """Constants for these runs' systems, and median absolute errors in percent."""

    runs: int
    values: dict[str, float]
    shipped: dict[str, float]
    engines: dict[str, ClosedLoopConstants]
    shipped_error: dict[str, float]
    """By metric: with the shipped constants."""
    left_out_error: dict[str, float]
    """By metric: each run predicted by constants fitted to the others."""


def calibrate(runs: Sequence[MeasuredRun], near: Near | None = None) -> Calibrated:
    """Constants fitted to measured closed-loop runs.

    Args:
        runs: at least one, with both times measured.
        near: constants near which to stay; left out, the shipped ones.

    Raises:
        ValueError: there is no run.
    """
    if not runs:
        raise ValueError("no run with both times measured")
    problem = RunErrors(runs, near)
    step: Floats = np.zeros(len(problem.names))
    errors, slopes = problem.linear(step)
    for _ in range(ROUNDS):
        moved = problem.solve(errors - slopes @ step, slopes)
        if np.abs(moved - step).max() < TINY:
            break
        step = moved
        errors, slopes = problem.linear(step)
    base = errors - slopes @ step
    left = np.empty_like(errors)
    for index in range(len(runs)):
        out = problem.of_run == index
        left[out] = base[out] + slopes[out] @ problem.solve(base[~out], slopes[~out], ~out)
    shipped, _ = problem.linear(np.zeros(len(problem.names)), with_slopes=False)
    steps, engines = problem.constants(step)
    return Calibrated(
        runs=len(runs),
        values={name: float(getattr(steps, name)) for name in SPREAD},
        shipped={name: float(getattr(problem.base, name)) for name in SPREAD},
        engines={name: engines[name] for name in problem.engines},
        shipped_error=problem.medians(shipped),
        left_out_error=problem.medians(left),
    )


class RunErrors:
    """Log errors of all runs as a function of the changes of the log constants."""

    def __init__(self, runs: Sequence[MeasuredRun], near: Near | None = None) -> None:
        self.corpus = Corpus(runs)
        self.base, self._closed = near or (constants(), closed_loop_constants())
        self.engines = sorted({run.row.engine for run in runs})
        engine_names = [(engine, part) for engine in self.engines for part in ENGINE_SPREAD]
        self.names: list[tuple[str, str]] = [("", name) for name in SPREAD] + engine_names
        self.spread = np.array([SPREAD[name] if not engine else ENGINE_SPREAD[name] for engine, name in self.names])
        count = len(runs)
        self.of_run = np.concatenate([np.arange(count)] * len(SCATTER))
        self._metric = np.repeat(list(SCATTER), count)
        self._weight = np.array([1 / SCATTER[metric] for metric in self._metric])
        self._measured = np.concatenate([np.log(self.corpus.measured[metric]) for metric in SCATTER])

    def constants(self, step: Floats) -> tuple[CostConstants, dict[str, ClosedLoopConstants]]:
        """The constants after a change of their logarithms."""
        factor = np.exp(step)
        changed = {
            name: getattr(self.base, name) * float(f)
            for (engine, name), f in zip(self.names, factor, strict=True)
            if not engine
        }
        engines = dict(self._closed)
        for engine in self.engines:
            shipped = self._closed.get(engine) or self._closed["other"]
            parts = {
                name: getattr(shipped, name) * float(f)
                for (of, name), f in zip(self.names, factor, strict=True)
                if of == engine
            }
            engines[engine] = shipped.model_copy(update=parts)
        return self.base.model_copy(update=changed), engines

    def linear(self, step: Floats, *, with_slopes: bool = True) -> tuple[Floats, Floats]:
        """log(predicted / measured) of every run and metric, and its slopes."""
        here = self._errors(step)
        slopes: Floats = np.zeros((len(here), len(step)))
        if with_slopes:
            for index in range(len(step)):
                there = step.copy()
                there[index] += TINY
                slopes[:, index] = (self._errors(there) - here) / TINY
        return here, slopes

    def _errors(self, step: Floats) -> Floats:
        steps, engines = self.constants(step)
        times = self.corpus.predict(self.corpus.step_times(steps), engines)
        result: Floats = np.concatenate([np.log(times[metric]) for metric in SCATTER]) - self._measured
        return result

    def solve(self, errors: Floats, slopes: Floats, kept: Floats | None = None) -> Floats:
        """The most probable change, given errors at no change and their slopes; a soft L1 loss trusts outliers less."""
        weight = self._weight if kept is None else self._weight[kept]
        step: Floats = np.zeros(slopes.shape[1])
        for _ in range(4):
            now = (errors + slopes @ step) * weight
            trust = (1 + (now / 2) ** 2) ** -0.25
            left = np.concatenate([slopes * (weight * trust)[:, None], np.diag(1 / self.spread)])
            right = np.concatenate([-errors * weight * trust, np.zeros(len(step))])
            step = np.clip(np.linalg.lstsq(left, right, rcond=None)[0], -MOST_CHANGE, MOST_CHANGE)
        return step

    def medians(self, errors: Floats) -> dict[str, float]:
        """Median absolute error by metric, percent."""
        return {metric: float(np.median(100 * np.abs(np.expm1(errors[self._metric == metric])))) for metric in SCATTER}
