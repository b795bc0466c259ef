"""A person's own measurements as a source of costs: measured runs in, ``CostTable`` facts out. ``docs/model.md``, section 9.

Runs of the problem's model, GPU and engine are compared with ``closed_loop``'s predictions for the same runs; what is
left over is interpolated to the problem's lengths and loads and written down as factors with four decimals.
"""

from __future__ import annotations

import re
from collections.abc import Sequence
from pathlib import Path

import numpy as np

from optimizer.catalog.constants import closed_loop_constants, constants
from optimizer.costs.closed_loop import ClosedLoop
from optimizer.costs.measured_runs import MeasuredRun, run_of
from optimizer.costs.residuals import FADE_LENGTHS, FADE_LOAD, Residuals, Sample
from optimizer.costs.shapes import Floats, Ints
from optimizer.facts.cost_table import Correction, CostTable
from optimizer.facts.errors import ProblemError
from optimizer.facts.problem import Problem
from optimizer.reading.measured_names import Models, find_gpu, plain
from optimizer.reading.measurements import Measurement, UnusableRow, parse, read_table

Layout = tuple[int, int, int, str]
"""(TP, PP, EP, weight format)."""
DECIMALS = 4
LEAST_FACTOR, MOST_FACTOR = 0.1, 10.0
_GRID = tuple(sorted({round(2 ** (i / 4)) for i in range(4 * 13 + 1)}))


def table_costs(problem: Problem, path: Path) -> CostTable:
    """The facts that a measurement file states about a problem.

    Raises:
        ProblemError: the file cannot be used, or no row of it is about this model, GPU and engine.
    """
    file = read_table(path)
    matches = _Matches(problem)
    runs: list[MeasuredRun] = []
    refused: dict[str, int] = {}
    for text in file.rows:
        try:
            row = parse(text)
            if matches(row):
                runs.append(run_of(row, problem.model, problem.hardware.gpu))
                if not row.measured:
                    runs.pop()
                    raise UnusableRow("ttft_ms or tpot_ms is not a positive number")
        except UnusableRow as reason:
            refused[str(reason)] = refused.get(str(reason), 0) + 1
    if not runs:
        raise ProblemError(
            str(path),
            f"has no usable run of {problem.model.name} on {problem.hardware.gpu.name} with {problem.engine} "
            f"among its {len(file.rows)} rows",
        )
    by_layout: dict[Layout, list[Sample]] = {}
    for layout, sample in newest(runs, samples_of(runs)):
        by_layout.setdefault(layout, []).append(sample)
    notes = [f"Rows of {path.name} that could not be used: {count} ({reason})." for reason, count in refused.items()]
    notes.append(
        f"Layouts with measured runs: {', '.join(_words(key) for key in sorted(by_layout))}. All others, and loads more than "
        f"{FADE_LOAD:g} times or lengths more than {FADE_LENGTHS:g} times outside the measured range, have the analytic model alone."
    )
    return CostTable(
        source="table",
        origin=f"{path.name}, {len(runs)} of {len(file.rows)} runs",
        corrections=tuple(_correction(problem, key, by_layout[key]) for key in sorted(by_layout)),
        notes=tuple(notes),
    )


class _Matches:
    """Whether a row is about the problem's model, GPU and engine."""

    def __init__(self, problem: Problem) -> None:
        self.problem, self.catalog = problem, Models()
        self.names = {plain(name) for name in (problem.model.name, problem.model.huggingface_id) if name}

    def __call__(self, row: Measurement) -> bool:
        return row.engine == self.problem.engine and self._gpu(row.system) and self._model(row.model)

    def _gpu(self, system: str) -> bool:
        wanted = self.problem.hardware.gpu.name
        if plain(system) == plain(wanted):
            return True
        try:
            return find_gpu(system).name == wanted
        except UnusableRow:
            return False

    def _model(self, name: str) -> bool:
        if plain(name) in self.names:
            return True
        try:
            return self.catalog.find(name).name == self.problem.model.name
        except UnusableRow:
            return False


def layout_of(run: MeasuredRun) -> Layout:
    """What a correction is for."""
    return run.shape.tp, run.shape.pp, run.shape.ep, run.shape.weight_format


def samples_of(runs: Sequence[MeasuredRun]) -> list[Sample]:
    """Log ratios of measured to predicted times for runs of one model on one GPU, in their order.

    A run that waits for KV memory says nothing of the time to first token: the wait is most of it.
    """
    rows = [run.row for run in runs]
    ranks, prompt, output = (
        np.array([getattr(row, name) for row in rows], dtype=np.int64)
        for name in ("ranks", "prompt_tokens", "output_tokens")
    )
    concurrency = np.array([[row.concurrency] for row in rows], dtype=np.int64)
    loop = ClosedLoop(
        runs[0].model,
        runs[0].gpu,
        [run.shape for run in runs],
        ranks,
        prompt,
        output,
        waves=np.array([row.waves for row in rows]),
        together=np.array([row.together for row in rows], dtype=np.bool_),
    )
    times = loop.step_times(constants(), concurrency)
    engines = closed_loop_constants()
    found = loop.predict(times, concurrency, [engines.get(row.engine) or engines["other"] for row in rows])
    waits = times.running[:, 0] < concurrency[:, 0]
    tpot = np.log(np.array([row.tpot_ms for row in rows]) / found.tpot_ms[:, 0])
    ttft = np.where(waits, np.nan, np.log(np.array([row.ttft_ms for row in rows]) / found.ttft_ms[:, 0]))
    each = np.maximum(1.0, times.running[:, 0] / ranks)
    return [
        Sample(float(each[i]), row.prompt_tokens, row.output_tokens, float(tpot[i]), float(ttft[i]))
        for i, row in enumerate(rows)
    ]


def newest(runs: Sequence[MeasuredRun], samples: Sequence[Sample]) -> list[tuple[Layout, Sample]]:
    """Of each layout and pair of lengths, the samples of the newest engine version."""
    curves: dict[tuple[Layout, int, int], dict[tuple[int, ...], list[Sample]]] = {}
    for run, sample in zip(runs, samples, strict=True):
        version = tuple(int(part) for part in re.findall(r"\d+", run.row.version))
        key = layout_of(run), sample.prompt_tokens, sample.output_tokens
        curves.setdefault(key, {}).setdefault(version, []).append(sample)
    return [(key[0], sample) for key, versions in curves.items() for sample in versions[max(versions)]]


def _correction(problem: Problem, layout: Layout, samples: Sequence[Sample]) -> Correction:
    work = problem.workload
    loads = [sample.sequences for sample in samples]
    most = max(loads)
    n = np.array([*(g for g in _GRID if g <= FADE_LOAD * most), int(FADE_LOAD * most) + 1])
    inside = [round(load) for load in loads]
    n = np.unique(np.concatenate([n, np.array(inside, dtype=np.int64)]))
    n = n[n >= 1]
    tpot, ttft = (
        Residuals(samples, metric, work.prompt_tokens, work.output_tokens).at(n.astype(np.float64))
        for metric in ("tpot", "ttft")
    )
    token, first = curve(n, tpot), curve(n, ttft)
    tp, pp, ep, weights = layout
    return Correction.model_validate(
        {
            "tensor_parallel": tp,
            "pipeline_parallel": pp,
            "expert_parallel": ep,
            "weight_precision": weights,
            "kv_precision": None,
            "round": token,
            "token": token,
            "admission": first,
            "prefill": first,
            "prompt": dict(token)[max(inside)],
            "least": min(loads),
            "most": most,
            "samples": len(samples),
        }
    )


def curve(n: Ints, logs: Floats) -> tuple[tuple[int, float], ...]:
    """Knots of factors, with four decimals and within sane bounds, from log ratios."""
    factors = np.clip(np.exp(logs), LEAST_FACTOR, MOST_FACTOR)
    return tuple((int(at), round(float(f), DECIMALS)) for at, f in zip(n, factors, strict=True))


def _words(layout: Layout) -> str:
    tp, pp, ep, weights = layout
    return f"TP{tp}·PP{pp}{f'·EP{ep}' if ep > 1 else ''} {weights}"
