"""Errors by kind of run and by stratum: what a run was like, in the terms that decide how well it can be predicted."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass

import numpy as np

from calibration.kinds import Predicted
from calibration.scores import Error, error, kind_of
from optimizer.costs.measured_runs import MeasuredRun

METRICS = ("tpot", "ttft", "e2e", "tpot_p50", "tpot_p99", "ttft_p50", "ttft_p99", "output_tok_s")


@dataclass(frozen=True, slots=True)
class StratumScore:
    """Errors in percent of the runs of one stratum; a metric without measured runs is left out."""

    kind: str
    by: str
    name: str
    runs: int
    errors: dict[str, Error]


def strata_of(run: MeasuredRun) -> dict[str, str]:
    """What a run was like."""
    gpu, row = run.gpu, run.row
    inside = row.tp * row.pp <= gpu.nvlink_domain_gpus and gpu.nvlink_gb_per_s > 0
    link = "one GPU" if row.tp * row.pp == 1 else "NVLink" if inside else "nodes" if row.nodes > 1 else "PCIe"
    return {
        "all": "all",
        "model kind": kind_of(run),
        "system": run.gpu.name,
        "model": run.model.name,
        "link": link,
        "stages": f"PP{row.pp}",
        "format": run.shape.weight_format,
    }


def measured_of(run: MeasuredRun) -> dict[str, float]:
    """Measured figures by metric, NaN where there is none."""
    row = run.row
    return dict(
        zip(
            METRICS,
            (row.tpot_ms, row.ttft_ms, row.end_to_end_ms, row.percentiles[2], row.percentiles[3], *row.percentiles[:2],
             row.output_tok_s),
            strict=True,
        )
    )  # fmt: skip


def predicted_of(run: MeasuredRun, found: Predicted) -> dict[str, float]:
    """Predicted figures by metric."""
    whole = found.ttft + (run.row.output_tokens - 1) * found.tpot
    return dict(
        zip(
            METRICS,
            (found.tpot, found.ttft, whole, found.tpot_p50, found.tpot_p99, found.ttft_p50, found.ttft_p99,
             found.output_tok_s),
            strict=True,
        )
    )  # fmt: skip


def stratum_scores(runs: Sequence[MeasuredRun], found: Sequence[Predicted]) -> list[StratumScore]:
    """Errors of every stratum of every kind of run."""
    measured = [measured_of(run) for run in runs]
    predicted = [predicted_of(run, one) for run, one in zip(runs, found, strict=True)]
    groups: dict[tuple[str, str, str], list[int]] = {}
    for index, run in enumerate(runs):
        for by, name in strata_of(run).items():
            groups.setdefault((run.row.kind, by, name), []).append(index)
    return [
        StratumScore(kind, by, name, len(rows), _errors([measured[i] for i in rows], [predicted[i] for i in rows]))
        for (kind, by, name), rows in groups.items()
    ]


def _errors(measured: Sequence[dict[str, float]], predicted: Sequence[dict[str, float]]) -> dict[str, Error]:
    found = {}
    for metric in METRICS:
        pair = np.array([(p[metric], m[metric]) for p, m in zip(predicted, measured, strict=True)])
        pair = pair[np.isfinite(pair).all(axis=1)]
        if len(pair):
            found[metric] = error(pair[:, 0], pair[:, 1])
    return found


def text(found: Iterable[StratumScore], by: Sequence[str] = ("all", "model kind", "link", "stages")) -> str:
    """The scores as text."""
    lines = ["absolute error by kind of run, %: median / mean / p90"]
    for score in sorted(found, key=lambda s: (s.kind, s.by, s.name)):
        if score.by in by and score.errors:
            cells = ", ".join(f"{m} {e.median:.1f} / {e.mean:.1f} / {e.p90:.1f}" for m, e in score.errors.items())
            lines.append(f"{score.kind} {score.by} {score.name} ({score.runs}): {cells}")
    return "\n".join(lines)
