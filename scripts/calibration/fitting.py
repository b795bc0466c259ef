"""The fit: a robust least-squares fit of log times in two stages.

Stage 1 fits the step model and the prompt bunching to closed loops (TPOT, end to end, a little of TTFT) and to the output
tokens per second of runs whose requests were all queued; stage 2 fits what only TTFT depends on, with the step model
frozen; bursts, whose first tokens are their queue, say nothing of it. Every model weighs the same however many rows it has.
Constants that kernel tables give, or that the data cannot tell apart, stay at the values in ``constants.yaml`` (``FIXED``);
docs/accuracy.md says how they were chosen.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np
from scipy.optimize import least_squares

from calibration.queued_runs import QueuedRuns
from optimizer.catalog.constants import ClosedLoopConstants, CostConstants, constants
from optimizer.costs.closed_loop import StepTimes
from optimizer.costs.corpus import METRICS, Corpus, Times
from optimizer.costs.measured_runs import MeasuredRun
from optimizer.costs.shapes import Bools, Floats
from optimizer.reading.measurements import CLOSED_LOOP, OFFLINE_MAX, STATIC_BATCH

OTHER = "other"


@dataclass(frozen=True, slots=True)
class Free:
    """A fitted constant: where the search starts and how far it may go."""

    start: float
    low: float
    high: float


STEP = {
    "t_layer": Free(0.04, 0.001, 0.2),
    "t_tp": Free(0.03, 1e-4, 0.1),
    "t_touched": Free(1e-4, 1e-7, 1e-3),
}
FIXED = (
    "t_expert",
    "speedup_8bit",
    "eta_kv",
    "eta_expert_bw",
    "eta_prefill_expert_flops",
    "expert_width_half",
    "eta_bw",
    "bandwidth_8bit",
    "bandwidth_4bit",
    "generations",
    "eta_decode_flops",
    "eta_expert_flops",
    "eta_prefill_flops",
    "eta_prefill_attention",
    "overlap",
    "imbalance",
    "ar_factor",
    "exchange_bytes",
    "exchange_latency_us",
    "network_reduce_steps",
    "stage_wait",
    "experts_half",
    "speedup_4bit",
    "t_step",
    "t_sequence",
    "t_latent",
    "t_indexer",
)
BUNCHING = Free(0.09, 0.003, 1.0)
START_MS = Free(30.0, 0.01, 300.0)
STEPS = Free(3.0, 0.2, 40.0)
_ENGINE = {"bunching": BUNCHING, "start_ms": START_MS, "steps": STEPS}

# (TPOT, end to end, TTFT, tokens per second) weights and the residual beyond which a run counts as an outlier, per stage.
STAGE1_WEIGHTS, STAGE1_SCALE = (1.0, 0.7, 0.15, 0.4), 0.05
STAGE2_WEIGHTS, STAGE2_SCALE = (0.0, 0.1, 1.0, 0.0), 0.2
EVALUATIONS = 25


@dataclass(frozen=True, slots=True)
class Fitted:
    """Constants of a fit: the step model's and each engine's."""

    steps: CostConstants
    engines: Mapping[str, ClosedLoopConstants]

    def predict(self, corpus: Corpus) -> Times:
        """TPOT, end-to-end and TTFT of every run, ms."""
        return corpus.predict(corpus.step_times(self.steps), self.engines)

    def values(self) -> dict[str, float]:
        """Every fitted constant by a flat name, e.g. ``t_layer`` and ``vllm.bunching``."""
        flat = {name: float(getattr(self.steps, name)) for name in STEP}
        return flat | {f"{e}.{n}": float(getattr(c, n)) for e, c in sorted(self.engines.items()) for n in _ENGINE}


def fit(corpus: Corpus, queued: QueuedRuns | None = None, start: Fitted | None = None) -> Fitted:
    """Constants that fit the measured runs best, those of the engine ``other`` from all runs together.

    Args:
        corpus: closed loops.
        queued: runs whose requests were all queued; none when left out.
        start: constants near which to search.
    """
    usable = np.array([run.row.measured for run in corpus.runs], dtype=np.bool_)
    problem = Fitting(corpus.subset(usable), queued)
    engines = sorted({run.row.engine for run in problem.corpus.runs})
    names = [*STEP, *(f"{e}.bunching" for e in engines), *(f"{e}.start_ms" for e in engines)]
    found = problem.solve(names, start.values() if start else {}, STAGE1_WEIGHTS, STAGE1_SCALE)
    found = first_token_fit(problem, engines, found)

    frozen = {name: found[name] for name in STEP}
    shared = problem.solve([f"{OTHER}.bunching", f"{OTHER}.start_ms"], frozen, (*STAGE1_WEIGHTS[:3], 0.0), STAGE1_SCALE)
    return problem.fitted(found | first_token_fit(problem, [OTHER], shared))


def first_token_fit(problem: Fitting, engines: Sequence[str], known: Mapping[str, float]) -> dict[str, float]:
    """``known`` with what only first tokens depend on fitted anew for some engines: the second stage."""
    names = [f"{engine}.{part}" for engine in engines for part in ("start_ms", "steps")]
    return problem.solve(names, known, STAGE2_WEIGHTS, STAGE2_SCALE, bursts=False)


def split(runs: Sequence[MeasuredRun]) -> tuple[Corpus, QueuedRuns | None]:
    """Closed loops, and runs whose requests were all queued; other kinds are not fitted."""
    loops = [run for run in runs if run.row.kind == CLOSED_LOOP and run.row.measured]
    queued = [run for run in runs if run.row.kind in {OFFLINE_MAX, STATIC_BATCH} and np.isfinite(run.row.output_tok_s)]
    return Corpus(loops), QueuedRuns(queued) if queued else None


class Fitting:
    """Least squares over named constants; step times are kept while only engine constants move."""

    def __init__(self, corpus: Corpus, queued: QueuedRuns | None) -> None:
        self.corpus, self.queued = corpus, queued
        self.base = constants()
        self.root_weights = root_weights(corpus.model)
        self.queued_weights = root_weights(queued.model) if queued else np.array([])
        self._recent: dict[tuple[float, ...], list[StepTimes]] = {}

    def fitted(self, values: Mapping[str, float]) -> Fitted:
        """Constants from flat names; what is missing has its start value, an engine without runs is ``other``."""
        steps = self.base.model_copy(update={name: values.get(name, free.start) for name, free in STEP.items()})
        engines = {name.split(".")[0] for name in values if "." in name} | {OTHER}
        found = {
            engine: ClosedLoopConstants(**{n: values.get(f"{engine}.{n}", free.start) for n, free in _ENGINE.items()})
            for engine in engines
        }
        return Fitted(steps, found)

    def solve(
        self,
        names: Sequence[str],
        known: Mapping[str, float],
        weights: tuple[float, ...],
        scale: float,
        *,
        bursts: bool = True,
    ) -> dict[str, float]:
        """``known`` with the named constants replaced by their best values, for all runs or for those that are no bursts."""
        by_run = self.root_weights if bursts else self.root_weights * ~in_bursts(self.corpus)
        free = [STEP.get(name) or _ENGINE[name.split(".")[1]] for name in names]
        start = np.log(
            [np.clip(known.get(n, f.start), f.low * 1.001, f.high / 1.001) for n, f in zip(names, free, strict=True)]
        )

        def named(x: Floats) -> dict[str, float]:
            return {**known, **{n: float(v) for n, v in zip(names, np.exp(x), strict=True)}}

        def residuals(x: Floats) -> Floats:
            fitted = self.fitted(named(x))
            times = self._predict(fitted)
            parts = [
                by_run * weight * np.log(times[metric] / self.corpus.measured[metric])
                for metric, weight in zip(METRICS, weights, strict=False)
            ]
            if self.queued and weights[3]:
                off = np.log(self.queued.predict(fitted.steps) / self.queued.measured)
                parts.append(self.queued_weights * weights[3] * off)
            return np.concatenate(parts)

        bounds = (np.log([f.low for f in free]), np.log([f.high for f in free]))
        solution = least_squares(
            residuals, start, bounds=bounds, loss="soft_l1", f_scale=scale, max_nfev=EVALUATIONS, xtol=1e-4, ftol=1e-5
        )
        return named(solution.x)

    def _predict(self, fitted: Fitted) -> Times:
        key = tuple(getattr(fitted.steps, name) for name in STEP)
        if key not in self._recent:
            if len(self._recent) > 64:
                self._recent.clear()
            self._recent[key] = self.corpus.step_times(fitted.steps)
        return self.corpus.predict(self._recent[key], fitted.engines)


def in_bursts(corpus: Corpus) -> Bools:
    """Runs whose requests begin and end together."""
    return np.array([run.row.together for run in corpus.runs], dtype=np.bool_)


def root_weights(models: Floats) -> Floats:
    """Square roots of weights with which every model counts the same."""
    _, index, counts = np.unique(models, return_inverse=True, return_counts=True)
    weights = 1 / counts[index]
    result: Floats = np.sqrt(weights / weights.mean())
    return result
