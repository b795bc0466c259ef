#!/usr/bin/env python3
"""How accurate are the predictions? Compares them with measured serving runs.

Usage: python scripts/accuracy.py --measurements FILE.csv [--out predictions.csv] [--models-dir DIR] [--leave-one-out] [--table] [--json]

Predicts every run of FILE with the constants that ship with the product and prints the absolute percentage error of
TPOT, TTFT and end-to-end time, by model, system and engine, how many runs fall into the stated interval, and how well
the predictions choose among measured layouts and rank measured pools of prefill and decode workers. Nothing is fitted to
FILE, unless ``--leave-one-out`` asks for it: then each
of its models is predicted by constants fitted to the file's other models.

A row's ``kind`` says how the run was loaded (closed_loop when left out, open_loop, all_at_once, offline_max, static_batch,
disagg_open); a row with columns of prefill and decode workers is a disaggregated closed loop. --out repeats the rows of FILE
with predicted_ttft_ms, predicted_ttft_p50_ms, predicted_ttft_p99_ms, the same for tpot, predicted_output_tok_s, 5-95 %
intervals and a note where a row cannot be predicted or scored; what a kind has no figure for stays empty.
Exit status: 0; 2 if FILE cannot be used; 3 if no row of it can be predicted.
"""

from __future__ import annotations

import argparse
import csv
import io
import json
import math
import os
import sys
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import numpy as np

from calibration import choosing, pool_ratios, scores, strata, table_scores
from calibration.constants_file import fitted_to
from calibration.kinds import Predicted, predict
from calibration.ranges import NOTHING_LIKE, Ranges, held, held_text, ranges
from calibration.strata import measured_of
from optimizer.catalog.constants import closed_loop_constants, constants
from optimizer.costs.corpus import Corpus, Times
from optimizer.costs.measured_runs import MeasuredRun, resolve
from optimizer.facts.errors import ProblemError
from optimizer.reading.measured_names import Models
from optimizer.reading.measurements import CLOSED_LOOP, DISAGGREGATED, MeasurementTable, UnusableRow, parse, read_table
from optimizer.writing.files import write_file

METRICS = ("tpot", "ttft", "ttft_p50", "ttft_p99", "tpot_p50", "tpot_p99")
PREDICTED = (*(f"predicted_{metric}_ms" for metric in METRICS), "predicted_output_tok_s")
INTERVAL = ("tpot_ms_p5", "tpot_ms_p95", "ttft_ms_p5", "ttft_ms_p95", "output_tok_s_p5", "output_tok_s_p95")
NOT_SCORED = "predicted, not scored: ttft_ms or tpot_ms is not a positive number"
OUT_OF_ORDER = "predicted, not scored: a P99 is below its P50"


@dataclass(frozen=True, slots=True)
class Evaluation:
    """A file's rows, those that can be predicted, and their predictions."""

    table: MeasurementTable
    runs: tuple[MeasuredRun, ...]
    rows: tuple[int, ...]
    """Which row of the table each run is."""
    found: tuple[Predicted, ...]
    ranges: tuple[Ranges, ...]
    notes: dict[int, str]

    def closed_loop(self) -> tuple[Corpus, Times]:
        """Closed-loop runs with both times measured, and their predictions."""
        pairs = [
            (run, one)
            for run, one in zip(self.runs, self.found, strict=True)
            if run.row.kind == CLOSED_LOOP and run.row.measured
        ]
        corpus = Corpus([run for run, _ in pairs])
        tpot, ttft = (np.array([getattr(one, name) for _, one in pairs]) for name in ("tpot", "ttft"))
        output = np.array([run.row.output_tokens for run, _ in pairs])
        return corpus, {"tpot": tpot, "ttft": ttft, "e2e": ttft + (output - 1) * tpot}

    def scored(self) -> tuple[list[MeasuredRun], list[Predicted]]:
        """Runs of any kind with something measured that can be believed, and their predictions."""
        pairs = [(run, one) for run, one in zip(self.runs, self.found, strict=True) if _scorable(run)]
        return [run for run, _ in pairs], [one for _, one in pairs]


def _scorable(run: MeasuredRun) -> bool:
    if run.row.kind in {CLOSED_LOOP, DISAGGREGATED}:
        return run.row.measured
    return _in_order(run) and any(math.isfinite(value) for value in measured_of(run).values())


def _in_order(run: MeasuredRun) -> bool:
    ttft50, ttft99, tpot50, tpot99 = run.row.percentiles
    return not (ttft99 < ttft50 or tpot99 < tpot50)


def evaluate(path: Path, models: Models, leave_one_out: bool) -> Evaluation:
    """Predict a measurement file.

    Raises:
        ProblemError: the file cannot be used, or leaving one model out is impossible.
    """
    table = read_table(path)
    runs: list[MeasuredRun] = []
    rows: list[int] = []
    notes: dict[int, str] = {}
    for index, row in enumerate(table.rows):
        try:
            run = resolve(parse(row), models)
        except UnusableRow as reason:
            notes[index] = str(reason)
            continue
        if leave_one_out and (run.row.kind != CLOSED_LOOP or not run.row.measured):
            notes[index] = "not predicted: a fit needs a closed loop with both measured times"
            continue
        if run.row.reading:
            notes[index] = run.row.reading
        if not _scorable(run):
            notes[index] = NOT_SCORED if _in_order(run) else OUT_OF_ORDER
        runs.append(run)
        rows.append(index)
    fit = Corpus(runs).weights_fit(constants())
    for index, run, fits in zip(rows, runs, fit, strict=True):
        if not fits:
            notes[index] = (
                f"the {run.shape.weight_format} weights of {run.model.name} do not fit {run.row.gpus} x {run.gpu.name} at TP {run.row.tp}"
            )
    kept = [run for run, fits in zip(runs, fit, strict=True) if fits]
    rows = [index for index, fits in zip(rows, fit, strict=True) if fits]
    found = _leave_one_out(path, kept) if leave_one_out else predict(kept, constants(), closed_loop_constants())
    ends = ranges(kept, found, closed_loop_constants())
    for index, one in zip(rows, ends, strict=True):
        if not one.like:
            notes[index] = "; ".join(filter(None, (notes.get(index), NOTHING_LIKE)))
    return Evaluation(table, tuple(kept), tuple(rows), tuple(found), tuple(ends), notes)


def _leave_one_out(path: Path, runs: list[MeasuredRun]) -> list[Predicted]:
    if len({run.model.name for run in runs}) < 2:
        raise ProblemError(str(path), "has fewer than two known models; --leave-one-out needs two")
    try:
        from calibration.fitting import fit
        from calibration.folds import leave_one_out
    except ModuleNotFoundError:
        raise ProblemError("--leave-one-out", "needs scipy: pip install -e .[calibrate]") from None
    corpus = Corpus(runs)
    times = leave_one_out(corpus, None, fit(corpus)).times
    return [Predicted(ttft=float(f), tpot=float(t)) for f, t in zip(times["ttft"], times["tpot"], strict=True)]


def write_predictions(path: Path, found: Evaluation) -> None:
    """The file's rows with predictions, intervals and notes.

    Raises:
        ProblemError: the file cannot be written.
    """
    added = (*PREDICTED, *INTERVAL, "note")
    columns = [name for name in found.table.columns if name not in added]
    filled: dict[int, dict[str, str]] = {}
    for index, one, ends in zip(found.rows, found.found, found.ranges, strict=True):
        values = (*(getattr(one, m) for m in METRICS), one.output_tok_s, *ends.tpot, *ends.ttft, *ends.output_tok_s)
        filled[index] = {
            name: f"{value:.4f}" if math.isfinite(value) else ""
            for name, value in zip((*PREDICTED, *INTERVAL), values, strict=True)
        }
    stream = io.StringIO(newline="")
    writer = csv.DictWriter(stream, [*columns, *added], extrasaction="ignore", restval="")
    writer.writeheader()
    for index, row in enumerate(found.table.rows):
        kept = {name: row[name] for name in columns}
        writer.writerow({**kept, **filled.get(index, {}), "note": found.notes.get(index, "")})
    write_file(path, [stream.getvalue()], "--out")


def _origin(path: Path, leave_one_out: bool) -> str:
    """Where the constants come from, in words."""
    if leave_one_out:
        return "fitted to the file's other models"
    return "as shipped, fitted to this very file: in-sample errors" if fitted_to(path) else "as shipped"


def report(found: Evaluation, origin: str) -> dict[str, Any]:
    """Everything the command says, as plain data."""
    corpus, times = found.closed_loop()
    scored = found.scored()
    notes: dict[str, int] = {}
    for note in found.notes.values():
        notes[note] = notes.get(note, 0) + 1
    result: dict[str, Any] = {
        "rows": len(found.table.rows),
        "predicted": len(found.runs),
        "scored": len(scored[0]),
        "constants": origin,
        "notes": notes,
        "errors_percent": [],
        "by_kind": [asdict(score) for score in strata.stratum_scores(*scored)],
        "inside_interval_percent": {},
        "inside_interval_percent_by_stratum": [asdict(one) for one in held(found.runs, found.ranges)],
        "choosing": [],
        "ranking_pools": [asdict(score) for score in pool_ratios.ratio_scores(*scored)],
    }
    if corpus.runs:
        result["errors_percent"] = scores.as_data(scores.scores(corpus, times))
        result["inside_interval_percent"] = _inside(found)
        result["choosing"] = [{"case": name, **asdict(c)} for name, c in choosing.table(corpus, times) if c.cases]
    return result


def _inside(found: Evaluation) -> dict[str, float]:
    """Percent of the closed loops inside their intervals, by metric."""
    loops = [i for i, run in enumerate(found.runs) if run.row.kind == CLOSED_LOOP]
    whole = held([found.runs[i] for i in loops], [found.ranges[i] for i in loops])[0]
    return {name: value for name, value in (("tpot", whole.tpot), ("ttft", whole.ttft)) if value is not None}


def as_text(found: Evaluation, data: dict[str, Any]) -> str:
    """The report for people."""
    lines = [
        f"{data['rows']} rows, {data['predicted']} predicted, {data['scored']} scored; constants {data['constants']}"
    ]
    lines += [f"  {count} x {note}" for note, count in sorted(data["notes"].items())]
    corpus, times = found.closed_loop()
    if corpus.runs:
        inside = ", ".join(f"{scores.TITLES[m]} {v:.0f} %" for m, v in data["inside_interval_percent"].items())
        lines += ["", scores.table(scores.scores(corpus, times)), "", f"inside the 5-95 % interval: {inside}"]
        chosen = [(name, c) for name, c in choosing.table(corpus, times) if c.cases]
        if chosen:
            lines += ["", choosing.text(chosen)]
    others = [score for score in strata.stratum_scores(*found.scored()) if score.kind != CLOSED_LOOP]
    if others:
        lines += ["", strata.text(others)]
    if found.runs:
        lines += ["", held_text(held(found.runs, found.ranges))]
    ranked = pool_ratios.ratio_scores(*found.scored())
    if ranked:
        lines += ["", pool_ratios.text(ranked)]
    return "\n".join(lines)


def main(arguments: list[str] | None = None) -> int:
    """Run the command."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--measurements", type=Path, required=True, metavar="FILE.csv", help="measured runs")
    parser.add_argument("--out", type=Path, metavar="FILE.csv", help="where to write the rows with their predictions")
    parser.add_argument("--models-dir", type=Path, metavar="DIR", help="folder of org--model_config.json files")
    parser.add_argument("--leave-one-out", action="store_true", help="refit without each model before predicting it")
    parser.add_argument(
        "--table", action="store_true", help="also score --costs table: predict each run from the others"
    )
    parser.add_argument("--json", action="store_true", help="print the report as JSON")
    options = parser.parse_args(arguments)
    try:
        found = evaluate(options.measurements, Models(options.models_dir), options.leave_one_out)
        if options.out:
            write_predictions(options.out, found)
    except ProblemError as error:
        print(f"error: {error}", file=sys.stderr)
        return 2
    data = report(found, _origin(options.measurements, options.leave_one_out))
    between = (
        table_scores.table_scores([run for run in found.runs if run.row.kind == CLOSED_LOOP]) if options.table else []
    )
    if options.table:
        data["table_leave_one_out"] = [asdict(score) for score in between]
    print(json.dumps(data, indent=2) if options.json else as_text(found, data))
    if options.table and not options.json:
        print("", table_scores.text(between), sep="\n")
    return 0 if found.runs else 3


if __name__ == "__main__":
    try:
        status = main()
        sys.stdout.flush()
    except BrokenPipeError:
        # The reader of the output is gone (``| head``); --out was written before anything was printed.
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        status = 0
    sys.exit(status)
