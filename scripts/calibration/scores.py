"""How far predictions lie from measurements: absolute percentage errors, residual quantiles, and interval coverage."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import asdict, dataclass

import numpy as np

from optimizer.costs.corpus import METRICS, Corpus, Times
from optimizer.costs.measured_runs import MeasuredRun
from optimizer.costs.shapes import Bools, Floats

TITLES = {"tpot": "TPOT", "e2e": "end-to-end", "ttft": "TTFT"}


@dataclass(frozen=True, slots=True)
class Error:
    """Absolute percentage error over some runs."""

    median: float
    mean: float
    p90: float


@dataclass(frozen=True, slots=True)
class Score:
    """Errors over the runs of one model, system, engine or kind of model."""

    by: str
    name: str
    runs: int
    tpot: Error
    e2e: Error
    ttft: Error


def kind_of(run: MeasuredRun) -> str:
    """Dense, MoE, or a run that states multi-token prediction."""
    return "multi-token prediction" if run.row.guessed else "MoE" if run.model.experts else "dense"


def error(predicted: Floats, measured: Floats) -> Error:
    """Median, mean and 90th percentile of ``|predicted / measured − 1|``, in percent."""
    percent = np.abs(predicted / measured - 1) * 100
    return Error(float(np.median(percent)), float(percent.mean()), float(np.percentile(percent, 90)))


def scores(corpus: Corpus, times: Times) -> list[Score]:
    """Errors of all runs, of dense models, those with experts and runs that guess tokens, and by model, system and engine."""
    labels: dict[str, Sequence[str]] = {
        "all": ["all"] * len(corpus.runs),
        "kind": [kind_of(run) for run in corpus.runs],
        "model": [run.model.name for run in corpus.runs],
        "system": [run.row.system for run in corpus.runs],
        "engine": [run.row.engine for run in corpus.runs],
    }
    found: list[Score] = []
    for by, of_run in labels.items():
        names = np.array(of_run)
        for name in sorted(set(of_run), key=str.lower):
            chosen: Bools = names == name
            errors = {m: error(times[m][chosen], corpus.measured[m][chosen]) for m in METRICS}
            found.append(Score(by, name, int(chosen.sum()), errors["tpot"], errors["e2e"], errors["ttft"]))
    return found


def table(found: Sequence[Score]) -> str:
    """The scores as text."""
    head = f"{'absolute error, %: median / mean / p90':<44}{'runs':>6}" + "".join(f"{TITLES[m]:>24}" for m in METRICS)
    lines = [head]
    for score in found:
        label = score.name if score.by in {"all", "kind"} else f"{score.by} {score.name}"
        cells = "".join(f"  {cell(getattr(score, metric)):>22}" for metric in METRICS)
        lines.append(f"{label[:43]:<44}{score.runs:>6}{cells}")
    return "\n".join(lines)


def as_data(found: Sequence[Score]) -> list[dict[str, object]]:
    """The scores as plain data."""
    return [asdict(score) for score in found]


def cell(value: Error) -> str:
    """Median / mean / 90th percentile as text."""
    return f"{value.median:.1f} / {value.mean:.1f} / {value.p90:.1f}"
