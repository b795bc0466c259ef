#!/usr/bin/env python3
"""What five runs of a GPU that nobody fitted are worth: one GPU type after the other is taken out of the training data.

Usage: python scripts/own_runs.py SERVING.csv OFFLINE.csv [--runs N] [--gpu NAME] [--json]

Fits the constants to every other GPU's runs. Of each model, engine and weight format that the GPU served, a plan (as in
``optimizer bench-plan``) chooses N runs without looking at what they measured; ``calibrate`` moves the constants with these, and
both sets of constants predict the other runs. Prints the median absolute error of TPOT before and after. Needs scipy.
"""

from __future__ import annotations

import argparse
import json
import sys
from collections.abc import Sequence
from dataclasses import asdict, dataclass
from pathlib import Path

import numpy as np

from calibrate import read_runs
from calibration.fitting import fit, split
from optimizer.costs.corpus import Corpus
from optimizer.costs.measured_runs import MeasuredRun
from optimizer.costs.shapes import Floats
from optimizer.facts.errors import ProblemError
from optimizer.questions.bench_plan import most_telling
from optimizer.questions.calibrate import Near, calibrate

FEWEST_OTHERS = 7
"""Runs of a model beside the planned ones without which nothing is said of it."""


@dataclass(frozen=True, slots=True)
class Worth:
    """Median absolute error of TPOT, percent, of runs that were not measured for the calibration."""

    gpu: str
    group: str
    runs: int
    before: float
    after: float


def worth(runs: Sequence[MeasuredRun], gpu: str, count: int) -> list[Worth]:
    """One row for each model, engine and format that the GPU served, the last for all of them together."""
    rest = [run for run in runs if run.gpu.name != gpu]
    fitted = fit(*split(rest))
    near = fitted.steps, fitted.engines
    groups: dict[str, list[MeasuredRun]] = {}
    for run in split(runs)[0].runs:
        if run.gpu.name == gpu:
            groups.setdefault(f"{run.model.name} {run.row.engine} {run.shape.weight_format}", []).append(run)
    found, both = list[Worth](), list[tuple[Floats, Floats]]()
    for name, mine in sorted(groups.items()):
        if len(mine) < count + FEWEST_OTHERS:
            continue
        taken = most_telling(mine, mine, count, near)
        own = calibrate([mine[i] for i in taken], near)
        steps = fitted.steps.model_copy(update=own.values)
        others = Corpus([run for i, run in enumerate(mine) if i not in taken])
        before, after = _errors(others, near), _errors(others, (steps, {**fitted.engines, **own.engines}))
        both.append((before, after))
        found.append(Worth(gpu, name, len(before), float(np.median(before)), float(np.median(after))))
    if both:
        before, after = (np.concatenate(side) for side in zip(*both, strict=True))
        found.append(Worth(gpu, "all", len(before), float(np.median(before)), float(np.median(after))))
    return found


def _errors(corpus: Corpus, near: Near) -> Floats:
    times = corpus.predict(corpus.step_times(near[0]), near[1])
    result: Floats = 100 * np.abs(times["tpot"] / corpus.measured["tpot"] - 1)
    return result


def main(arguments: list[str] | None = None) -> int:
    """Run the command; 2 if the input cannot be used."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("measurements", type=Path, nargs="+", help="CSV files of measured runs")
    parser.add_argument("--runs", type=int, default=5, help="runs of the new GPU")
    parser.add_argument("--gpu", help="this GPU type alone, by catalog name")
    parser.add_argument("--json", action="store_true", help="print JSON")
    options = parser.parse_args(arguments)
    try:
        runs = read_runs(options.measurements)
    except ProblemError as error:
        print(f"error: {error}", file=sys.stderr)
        return 2
    names = [options.gpu] if options.gpu else sorted({run.gpu.name for run in split(runs)[0].runs})
    found = [row for name in names for row in worth(runs, name, options.runs)]
    if options.json:
        print(json.dumps([asdict(row) for row in found], indent=2))
    else:
        print(f"{'GPU left out':<18}{'model, engine, format':<40}{'runs':>6}{'before %':>10}{'after %':>9}")
        for row in found:
            print(f"{row.gpu:<18}{row.group:<40}{row.runs:>6}{row.before:>10.1f}{row.after:>9.1f}")
    return 0


if __name__ == "__main__":
    sys.exit(main())
