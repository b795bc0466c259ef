"""Residuals of runs that a fit has not seen, summarised by stratum: ``optimizer/catalog/data/accuracy.yaml``."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import yaml

from calibration.folds import Folds
from calibration.kinds import predict
from calibration.study import Study
from optimizer.catalog.accuracy import FEWEST_RUNS, SOFT, Features
from optimizer.catalog.constants import closed_loop_constants, constants
from optimizer.costs.closed_loop import ClosedLoop
from optimizer.costs.features import features_of
from optimizer.costs.measured_runs import MeasuredRun
from optimizer.costs.shapes import Floats

QUANTILES = (5, 10, 50, 90, 95)
MOST_WIDENING = 4.0
TRUSTED = 85
"""Percent of coverage below which a stratum gives way to a coarser one."""
ALONE = 1.75
"""Widening of strata with one model, which no other checks. Where there are several, the interval that one alone gives holds 83 % of the
others' runs with 1.3, 88 with 1.6 and 93 with 2 (mean of ten strata, closed loops and full load)."""


@dataclass(frozen=True, slots=True)
class Residual:
    """log(measured / predicted) of one run, NaN where it says nothing; without its model and without its GPU."""

    features: Features
    model: str
    tpot: tuple[float, float]
    ttft: tuple[float, float]
    throughput_only: bool = False


def features_of_run(run: MeasuredRun) -> Features:
    """The stratum of a measured run."""
    one = np.array([1])
    lengths = np.array([run.row.prompt_tokens]), np.array([run.row.output_tokens])
    per_node = -(-run.row.gpus // run.row.nodes) if run.row.nodes > 1 else None
    hardware = ClosedLoop(run.model, run.gpu, [run.shape], one, *lengths, gpus_per_node=per_node).problem.hardware
    entry = constants().formats[run.shape.weight_format]
    width = entry.expert if run.model.experts else entry.linear
    return features_of(run.model, hardware, run.shape, run.row.engine, width)


def residuals(study: Study, others: Sequence[MeasuredRun]) -> list[Residual]:
    """Every run that may say something of an answer's latencies.

    Args:
        study: closed loops and queued runs, with their folds.
        others: runs that no fit has used (decode sides of disaggregated ones).
    """
    found = []
    for index, run in enumerate(study.corpus.runs):
        if mislabelled(run):
            continue
        pair = [
            tuple(
                float(np.log(study.corpus.measured[metric][index] / folds.times[metric][index]))
                for folds in _both(study)
            )
            for metric in ("tpot", "ttft")
        ]
        found.append(Residual(features_of_run(run), run.model.name, (pair[0][0], pair[0][1]), (pair[1][0], pair[1][1])))
    if study.queued:
        for index, run in enumerate(study.queued.runs):
            rates = [float(np.log(folds.tokens_per_s[index] / study.queued.measured[index])) for folds in _both(study)]
            found.append(Residual(features_of_run(run), run.model.name, (rates[0], rates[1]), (np.nan, np.nan), True))
    for run, one in zip(others, predict(others, constants(), closed_loop_constants()), strict=True):
        off = float(np.log(run.row.tpot_ms / one.tpot))
        found.append(Residual(features_of_run(run), run.model.name, (off, off), (np.nan, np.nan)))
    return found


def mislabelled(run: MeasuredRun) -> bool:
    """Whether a run labelled as N attention ranks of one GPU was of TP N with its experts over the N GPUs, and so tells nothing of ranks.

    InferenceMAX serves MiniMax-M2.5 with vLLM's --tensor-parallel-size N --enable-expert-parallel (its minimaxm2.5_* scripts). Of 57 such
    runs 25 stand in the corpus a second time as TP N: TPOT differs by a median of 0.4 %, less than repeats do, and where both waited for
    KV memory they waited 20.07 and 20.03 s.
    """
    row = run.row
    return run.model.name == "minimax-m2.5" and row.engine == "vllm" and row.tp == 1 and row.ranks == row.ep > 1


def _both(study: Study) -> tuple[Folds, Folds]:
    return study.by_model, study.by_gpu


def summary(found: Iterable[Residual]) -> list[dict[str, Any]]:
    """One entry a stratum and level of detail, the coarsest first; those with too few runs are left out."""
    groups: dict[Features, list[Residual]] = {}
    for one in found:
        for soft in range(len(SOFT) + 1):
            groups.setdefault(one.features.kept(soft), []).append(one)
    entries: list[dict[str, Any]] = []
    counted: set[tuple[Features, int]] = set()
    whole: dict[Features, dict[str, Any]] = {}
    for features, members in sorted(groups.items(), key=lambda item: _order(item[0])):
        latencies = [one for one in members if not one.throughput_only]
        only = len(latencies) < FEWEST_RUNS
        kept = members if only else latencies
        # A finer stratum with the very runs of the coarser one says nothing more.
        coarser = {(features.kept(soft), len(kept)) for soft in range(len(SOFT) + 1)} - {(features, len(kept))}
        if len(kept) >= FEWEST_RUNS and not coarser & counted:
            counted.add((features, len(kept)))
            entry = _entry(features, kept, throughput_only=only and not latencies)
            if not only:
                entry |= _full_load([one for one in members if one.throughput_only])
            if features == features.kept(0):
                whole[features] = entry
                entries.append(entry)
            elif _trusted(entry) and _narrower(entry, whole.get(features.kept(0))):
                entries.append(entry)
    return entries


def _order(features: Features) -> tuple[str, ...]:
    """Coarser strata before the finer ones that they hold."""
    return tuple(getattr(features, name) for name in Features.__dataclass_fields__)


def _trusted(entry: dict[str, Any]) -> bool:
    """Whether other models than its own were held by the intervals of a stratum, in each metric that it has."""
    shares = [entry.get(f"{metric}_coverage", 0) for metric in ("tpot", "ttft") if metric in entry]
    return all(share >= TRUSTED for share in shares)


def _narrower(entry: dict[str, Any], whole: dict[str, Any] | None) -> bool:
    """Whether a finer stratum narrows the interval of the coarsest one that it is part of, in every metric of both."""
    shared = [metric for metric in ("tpot", "ttft") if whole and metric in entry and metric in whole]
    return all(
        entry[metric][-1] - entry[metric][0] <= whole[metric][-1] - whole[metric][0] for metric in shared if whole
    )


def _entry(features: Features, members: Sequence[Residual], *, throughput_only: bool) -> dict[str, Any]:
    shared = {name: value for name in Features.__dataclass_fields__ if (value := getattr(features, name))}
    entry: dict[str, Any] = {"like": shared, "runs": len(members), "models": sorted({one.model for one in members})}
    if throughput_only:
        entry["throughput_only"] = True
    models = np.array([one.model for one in members])
    for metric in ("tpot", "ttft"):
        both = np.array([getattr(one, metric) for one in members], dtype=np.float64)
        usable = np.isfinite(both).all(axis=1)
        if usable.sum() < FEWEST_RUNS:
            continue
        without_model, named = both[usable, 0], models[usable]
        widening, coverage = _widening(without_model, named)
        pooled = both[usable].ravel()
        middle = np.median(pooled)
        quantiles = [middle + widening * (q - middle) for q in np.percentile(pooled, QUANTILES)]
        entry[metric] = [round(float(q), 3) for q in quantiles]
        percent = 100 * np.abs(np.expm1(-without_model))
        entry[f"{metric}_percent"] = [
            round(float(v), 1) for v in (np.median(percent), percent.mean(), np.percentile(percent, 90))
        ]
        if coverage is not None:
            entry[f"{metric}_coverage"] = round(100 * coverage)
    return entry


def _full_load(members: Sequence[Residual]) -> dict[str, list[float]]:
    """Quantiles of time per token at full load, beside those of latencies; nothing where they are few or hold too little."""
    if len(members) < FEWEST_RUNS:
        return {}
    both = np.array([one.tpot for one in members])
    widening, coverage = _widening(both[:, 0], np.array([one.model for one in members]))
    if coverage is not None and 100 * coverage < TRUSTED:
        return {}
    middle = np.median(both)
    quantiles = np.percentile(both.ravel(), QUANTILES)
    return {"full_load": [round(float(middle + widening * (q - middle)), 3) for q in quantiles]}


def _widening(residual: Floats, models: Floats) -> tuple[float, float | None]:
    """How much wider than its quantiles an interval has to be to hold 90 % of a model's runs that did not make it."""
    names = sorted(set(models.tolist()))
    if len(names) < 2:
        return ALONE, None

    def inside(widening: float) -> float:
        held = 0
        for name in names:
            rest, mine = residual[models != name], residual[models == name]
            middle, low, high = np.percentile(rest, (50, 5, 95))
            low, high = middle + widening * (low - middle), middle + widening * (high - middle)
            held += int(((mine >= low) & (mine <= high)).sum())
        return held / len(residual)

    for step in range(21):
        widening = 1 + (MOST_WIDENING - 1) * step / 20
        if inside(widening) >= 0.9:
            break
    return widening, inside(widening)


def text(entries: Sequence[dict[str, Any]], origin: Sequence[str]) -> str:
    """The file."""
    head = (
        "# Where the model was measured and how well, by stratum. Quantiles (5, 10, 50, 90, 95 %) are of log(measured /\n"
        "# predicted), each run predicted by constants fitted without its model and by constants fitted without its GPU,\n"
        "# widened until they hold 90 % of the runs of a model that did not make them. Made by scripts/calibrate.py --write;\n"
        "# what the strata mean: optimizer/catalog/accuracy.py. percent: median, mean, 90th percentile, models left out.\n"
    )
    data = {"data": list(origin), "strata": list(entries)}
    return head + yaml.safe_dump(data, sort_keys=False, width=118, default_flow_style=None, allow_unicode=True)
