"""How well ``--costs table`` predicts a run from the other runs of a file: leave-one-out errors of interpolated residuals."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass

import numpy as np

from calibration.scores import Error
from optimizer.costs.measured_runs import MeasuredRun
from optimizer.costs.residuals import Sample, leave_one_out
from optimizer.costs.table import layout_of, samples_of

METRICS = {"tpot": "TPOT", "ttft": "TTFT"}


@dataclass(frozen=True, slots=True)
class TableScore:
    """Errors in percent over the runs that others surround, interpolated and by the analytic model alone."""

    metric: str
    runs: int
    interpolated: Error
    analytic: Error


def table_scores(runs: Iterable[MeasuredRun]) -> list[TableScore]:
    """One score a metric.

    A run is predicted from runs of its model, GPU, engine, version, format and layout, without any at its own load and
    lengths; only runs with fewer and with more sequences at the same lengths on both sides count.
    """
    groups: dict[tuple[str, str, str, str], list[MeasuredRun]] = {}
    for run in runs:
        if run.row.measured:
            groups.setdefault((run.model.name, run.gpu.name, run.row.engine, run.row.version), []).append(run)
    found: dict[str, list[tuple[Sample, float]]] = {metric: [] for metric in METRICS}
    for group in groups.values():
        layouts: dict[object, list[Sample]] = {}
        for run, sample in zip(group, samples_of(group), strict=True):
            layouts.setdefault(layout_of(run), []).append(sample)
        for samples in layouts.values():
            for metric in METRICS:
                found[metric] += leave_one_out(samples, metric)
    return [
        TableScore(
            metric,
            len(errors),
            _error([e for _, e in errors]),
            _error([getattr(sample, metric) for sample, _ in errors]),
        )
        for metric, errors in found.items()
        if errors
    ]


def _error(logs: list[float]) -> Error:
    percent = 100 * np.abs(np.expm1(-np.array(logs)))
    return Error(float(np.median(percent)), float(percent.mean()), float(np.percentile(percent, 90)))


def text(found: Iterable[TableScore]) -> str:
    """The scores as text."""
    lines = [
        f"{'--costs table, each run left out, %: median / mean / p90':<58}{'runs':>6}{'interpolated':>24}{'analytic alone':>24}"
    ]
    for score in found:
        cells = "".join(f"{e.median:>12.1f} / {e.mean:.1f} / {e.p90:.1f}" for e in (score.interpolated, score.analytic))
        lines.append(f"{METRICS[score.metric]:<58}{score.runs:>6}{cells}")
    return "\n".join(lines)
