#!/usr/bin/env python3
"""How accurate are the predictions? Compares them with measured serving runs.

Usage: python scripts/accuracy.py --measurements FILE.csv [--out predictions.csv] [--models-dir DIR] [--leave-one-out] [--table] [--json]

Predicts every run of FILE with the constants that ship with the product and prints the absolute percentage error of
TPOT, TTFT and end-to-end time, by model, system and engine, how many runs fall into the stated interval, and how well
the predictions choose among measured layouts. Nothing is fitted to FILE, unless ``--leave-one-out`` asks for it: then each
of its models is predicted by constants fitted to the file's other models.

--out repeats the rows of FILE with predicted_tpot_ms and predicted_ttft_ms, their 5-95 % intervals and a note where a row
cannot be predicted or scored. Exit status: 0; 2 if FILE cannot be used; 3 if no row of it can be predicted.
"""

from __future__ import annotations

import argparse
import csv
import io
import json
import os
import sys
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import numpy as np

from calibration import choosing, scores, table_scores
from calibration.constants_file import fitted_to
from calibration.corpus import Corpus, Times
from optimizer.catalog.constants import closed_loop_constants, constants
from optimizer.cli.files import write_whole
from optimizer.costs.intervals import prediction_interval
from optimizer.costs.measured_runs import Run, resolve
from optimizer.facts.errors import ProblemError
from optimizer.facts.measurements import Table, UnusableRow, parse, read_table
from optimizer.reading.measured_names import Models

PREDICTED = ("predicted_tpot_ms", "predicted_ttft_ms")
INTERVAL = ("tpot_ms_p5", "tpot_ms_p95", "ttft_ms_p5", "ttft_ms_p95")
NOT_SCORED = "predicted, not scored: ttft_ms or tpot_ms is not a positive number"


@dataclass(frozen=True, slots=True)
class Evaluation:
    """A file's rows, those that can be predicted, and their predictions."""

    table: Table
    corpus: Corpus
    rows: tuple[int, ...]
    """Which row of the table each run of the corpus is."""
    times: Times
    notes: dict[int, str]

    def scored(self) -> tuple[Corpus, Times]:
        """Runs with both times measured, and their predictions."""
        keep = np.array([run.row.measured for run in self.corpus.runs], dtype=np.bool_)
        return self.corpus.subset(keep), {metric: values[keep] for metric, values in self.times.items()}


def evaluate(path: Path, models: Models, leave_one_out: bool) -> Evaluation:
    """Predict a measurement file.

    Raises:
        ProblemError: the file cannot be used, or leaving one model out is impossible.
    """
    table = read_table(path)
    runs: list[Run] = []
    rows: list[int] = []
    notes: dict[int, str] = {}
    for index, row in enumerate(table.rows):
        try:
            run = resolve(parse(row), models)
        except UnusableRow as reason:
            notes[index] = str(reason)
            continue
        if not run.row.measured:
            if leave_one_out:
                notes[index] = "not predicted: a fit needs both measured times"
                continue
            notes[index] = NOT_SCORED
        runs.append(run)
        rows.append(index)
    corpus = Corpus(runs)
    fit = corpus.weights_fit(constants())
    for index, run, fits in zip(rows, runs, fit, strict=True):
        if not fits:
            notes[index] = (
                f"the {run.shape.weight_format} weights of {run.model.name} do not fit {run.row.gpus} x {run.gpu.name} at TP {run.row.tp}"
            )
    corpus, rows = corpus.subset(fit), [index for index, fits in zip(rows, fit, strict=True) if fits]
    times = _leave_one_out(path, corpus) if leave_one_out else _as_shipped(corpus)
    return Evaluation(table, corpus, tuple(rows), times, notes)


def _as_shipped(corpus: Corpus) -> Times:
    return corpus.predict(corpus.step_times(constants()), closed_loop_constants())


def _leave_one_out(path: Path, corpus: Corpus) -> Times:
    if len(set(corpus.model)) < 2:
        raise ProblemError(str(path), "has fewer than two known models; --leave-one-out needs two")
    try:
        from calibration.fitting import leave_one_out
    except ModuleNotFoundError:
        raise ProblemError("--leave-one-out", "needs scipy: pip install -e .[calibrate]") from None
    return leave_one_out(corpus)[1]


def write_predictions(path: Path, found: Evaluation) -> None:
    """The file's rows with predictions, intervals and notes.

    Raises:
        ProblemError: the file cannot be written.
    """
    added = (*PREDICTED, *INTERVAL, "note")
    columns = [name for name in found.table.columns if name not in added]
    filled: dict[int, dict[str, str]] = {}
    for index, run, tpot, ttft in zip(
        found.rows, found.corpus.runs, found.times["tpot"], found.times["ttft"], strict=True
    ):
        tpot_range = prediction_interval("tpot", float(tpot), run.model)
        ttft_range = prediction_interval("ttft", float(ttft), run.model)
        values = (tpot, ttft, tpot_range.p5, tpot_range.p95, ttft_range.p5, ttft_range.p95)
        filled[index] = {name: f"{value:.4f}" for name, value in zip((*PREDICTED, *INTERVAL), values, strict=True)}
    stream = io.StringIO(newline="")
    writer = csv.DictWriter(stream, [*columns, *added], extrasaction="ignore", restval="")
    writer.writeheader()
    for index, row in enumerate(found.table.rows):
        kept = {name: row[name] for name in columns}
        writer.writerow({**kept, **filled.get(index, {}), "note": found.notes.get(index, "")})
    write_whole(path, stream.getvalue(), "--out")


def _origin(path: Path, leave_one_out: bool) -> str:
    """Where the constants come from, in words."""
    if leave_one_out:
        return "fitted to the file's other models"
    return "as shipped, fitted to this very file: in-sample errors" if fitted_to(path) else "as shipped"


def report(found: Evaluation, origin: str) -> dict[str, Any]:
    """Everything the command says, as plain data."""
    corpus, times = found.scored()
    notes: dict[str, int] = {}
    for note in found.notes.values():
        notes[note] = notes.get(note, 0) + 1
    result: dict[str, Any] = {
        "rows": len(found.table.rows),
        "predicted": len(found.corpus.runs),
        "scored": len(corpus.runs),
        "constants": origin,
        "notes": notes,
        "errors_percent": [],
        "inside_interval_percent": {},
        "choosing": [],
    }
    if corpus.runs:
        result["errors_percent"] = scores.as_data(scores.scores(corpus, times))
        result["inside_interval_percent"] = scores.coverage(corpus, times)
        result["choosing"] = [{"case": name, **asdict(c)} for name, c in choosing.table(corpus, times) if c.cases]
    return result


def as_text(found: Evaluation, data: dict[str, Any]) -> str:
    """The report for people."""
    lines = [
        f"{data['rows']} rows, {data['predicted']} predicted, {data['scored']} scored; constants {data['constants']}"
    ]
    lines += [f"  {count} x {note}" for note, count in sorted(data["notes"].items())]
    corpus, times = found.scored()
    if corpus.runs:
        inside = ", ".join(f"{scores.TITLES[m]} {v:.0f} %" for m, v in data["inside_interval_percent"].items())
        lines += ["", scores.table(scores.scores(corpus, times)), "", f"inside the 5-95 % interval: {inside}"]
        chosen = [(name, c) for name, c in choosing.table(corpus, times) if c.cases]
        if chosen:
            lines += ["", choosing.text(chosen)]
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
    between = table_scores.table_scores(found.corpus.runs) if options.table else []
    if options.table:
        data["table_leave_one_out"] = [asdict(score) for score in between]
    print(json.dumps(data, indent=2) if options.json else as_text(found, data))
    if options.table and not options.json:
        print("", table_scores.text(between), sep="\n")
    return 0 if found.corpus.runs else 3


if __name__ == "__main__":
    try:
        status = main()
        sys.stdout.flush()
    except BrokenPipeError:
        # The reader of the output is gone (``| head``); --out was written before anything was printed.
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        status = 0
    sys.exit(status)
