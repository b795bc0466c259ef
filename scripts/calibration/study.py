"""A whole calibration: the fit, and its repetitions without each model and without each GPU."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from calibration.fitting import Fitted, fit, split
from calibration.folds import Folds, leave_one_out
from calibration.queued_runs import QueuedRuns
from optimizer.costs.corpus import Corpus
from optimizer.costs.measured_runs import MeasuredRun


@dataclass(frozen=True, slots=True)
class Study:
    """Measured runs, the constants fitted to all of them, and what fits that have not seen a run predict of it."""

    corpus: Corpus
    queued: QueuedRuns | None
    fitted: Fitted
    by_model: Folds
    by_gpu: Folds
    others: tuple[MeasuredRun, ...]
    """Runs of kinds that no fit uses."""


def studied(runs: Sequence[MeasuredRun]) -> Study:
    """Fit to all runs, then without each model, then without each GPU."""
    corpus, queued = split(runs)
    fitted = fit(corpus, queued)
    by_model, by_gpu = (leave_one_out(corpus, queued, fitted, by=by) for by in ("model", "gpu"))
    used = {id(run) for run in (*corpus.runs, *(queued.runs if queued else ()))}
    return Study(corpus, queued, fitted, by_model, by_gpu, tuple(run for run in runs if id(run) not in used))
