"""The fit with one model, or one GPU, left out: its step model one Gauss–Newton step away from that of the fit to all runs.

Logarithms of times are close to linear in the logarithms of the step model's constants over the few percent that leaving a
group out moves them, so one Jacobian serves all folds: each solves the reweighted linear problem of the runs it keeps. What
only first tokens depend on moves further where an engine has few models: each fold fits it anew, as the second stage of
``fitting`` does.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np

from calibration.fitting import (
    OTHER,
    STAGE1_SCALE,
    STAGE1_WEIGHTS,
    STEP,
    Fitted,
    Fitting,
    first_token_fit,
    root_weights,
)
from calibration.queued_runs import QueuedRuns
from optimizer.costs.corpus import METRICS, Corpus, Times
from optimizer.costs.shapes import Bools, Floats

TINY_STEP = 1e-3
RIDGE = 1e-3
"""Pull towards the fit to all runs, in residuals for a constant that changes e-fold: decides what no run left tells."""
ROUNDS = 6


@dataclass(frozen=True, slots=True)
class Folds:
    """Each run predicted by constants fitted to all runs but those of its model, or of its GPU."""

    values: dict[str, dict[str, float]]
    """Constants by the group left out."""
    times: Times
    """Of the closed loops, ms."""
    tokens_per_s: Floats
    """Of the queued runs."""


@dataclass(frozen=True, slots=True)
class _Linear:
    """Logarithms of every prediction at the fit, and how they grow with the logarithm of each constant."""

    names: list[str]
    logs: list[Floats]
    """By metric, then tokens per second: (runs,)."""
    slopes: list[Floats]
    """The same, (runs, constants)."""


def leave_one_out(corpus: Corpus, queued: QueuedRuns | None, fitted: Fitted, *, by: str = "model") -> Folds:
    """One fold for each model (``by`` "model") or GPU type ("gpu")."""
    linear = _linear(corpus, queued, fitted)
    measured = [np.log(corpus.measured[metric]) for metric in METRICS]
    groups = [np.array([getattr(run, by).name for run in corpus.runs])] * len(METRICS)
    weights = [root_weights(corpus.model)] * len(METRICS)
    if queued:
        measured.append(np.log(queued.measured))
        groups.append(np.array([getattr(run, by).name for run in queued.runs]))
        weights.append(root_weights(queued.model))
    times: Times = {metric: np.full(len(corpus.runs), np.nan) for metric in METRICS}
    rates = np.full(len(queued.runs) if queued else 0, np.nan)
    values: dict[str, dict[str, float]] = {}
    first = [name in STEP or name.endswith(".bunching") for name in linear.names]
    for name in sorted({group for column in groups for group in column.tolist()}):
        kept = [column != name for column in groups]
        errors = [log - truth for log, truth in zip(linear.logs, measured, strict=True)]
        moved = _solve(linear, errors, weights, kept, np.array(first), STAGE1_WEIGHTS, STAGE1_SCALE)
        flat = fitted.values()
        found = {key: flat[key] * float(np.exp(step)) for key, step in zip(linear.names, moved, strict=True)}
        if queued:
            rates[~kept[-1]] = np.exp(linear.logs[-1] + linear.slopes[-1] @ moved)[~kept[-1]]
        if not kept[0].all():
            found, out = _first_tokens(corpus, kept[0], found, flat)
            for metric in METRICS:
                times[metric][~kept[0]] = out[metric]
        values[name] = found
    return Folds(values, times, rates)


def _first_tokens(
    corpus: Corpus, kept: Bools, found: Mapping[str, float], flat: Mapping[str, float]
) -> tuple[dict[str, float], Times]:
    """Constants of the fold with those of first tokens fitted anew, and the times of the runs that it leaves out."""
    rest = Fitting(corpus.subset(kept), None)
    ours = {run.row.engine for run in rest.corpus.runs}
    wanted = {run.row.engine for run, keep in zip(corpus.runs, kept, strict=True) if not keep}
    shared = {name: value for name, value in flat.items() if name.startswith(f"{OTHER}.")}
    # An engine that only the group left out ran is predicted as one that was not measured.
    known = {name: value for name, value in found.items() if "." not in name or name.split(".")[0] in ours}
    done = first_token_fit(rest, sorted(wanted & ours), known)
    return done, rest.fitted({**done, **shared}).predict(corpus.subset(~kept))


def _linear(corpus: Corpus, queued: QueuedRuns | None, fitted: Fitted) -> _Linear:
    problem, flat = Fitting(corpus, queued), fitted.values()
    names = [name for name in flat if not name.startswith(f"{OTHER}.")]

    def logs(values: dict[str, float]) -> list[Floats]:
        now = problem.fitted(values)
        times = now.predict(corpus)
        found = [np.log(times[metric]) for metric in METRICS]
        return [*found, np.log(queued.predict(now.steps))] if queued else found

    here = logs(flat)
    columns = []
    for name in names:
        there = logs({**flat, name: flat[name] * float(np.exp(TINY_STEP))})
        columns.append([(b - a) / TINY_STEP for a, b in zip(here, there, strict=True)])
    slopes = [np.stack([column[i] for column in columns], axis=1) for i in range(len(here))]
    return _Linear(names, here, slopes)


def _solve(
    linear: _Linear,
    errors: Sequence[Floats],
    weights: Sequence[Floats],
    kept: Sequence[Bools],
    free: Bools,
    by_metric: Sequence[float],
    scale: float,
) -> Floats:
    """The step of the free constants' logarithms that makes the kept runs' errors smallest under a soft L1 loss."""
    step: Floats = np.zeros(len(linear.names))
    parts = [
        (error[keep], slope[keep][:, free], weight[keep] * share)
        for error, slope, weight, keep, share in zip(errors, linear.slopes, weights, kept, by_metric, strict=False)
        if share
    ]
    residual = np.concatenate([error * weight for error, _, weight in parts])
    jacobian = np.concatenate([slope * weight[:, None] for _, slope, weight in parts])
    moved: Floats = np.zeros(int(free.sum()))
    for _ in range(ROUNDS):
        now = residual + jacobian @ moved
        trust = (1 + (now / scale) ** 2) ** -0.25  # square root of the soft L1 weight
        left = np.concatenate([jacobian * trust[:, None], RIDGE * np.eye(len(moved))])
        right = np.concatenate([-residual * trust, np.zeros(len(moved))])
        moved = np.clip(np.linalg.lstsq(left, right, rcond=None)[0], -1.5, 1.5)
    step[free] = moved
    return step
