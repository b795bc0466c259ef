#!/usr/bin/env python3
"""Fit the cost model's constants to measured serving runs, and say how well they carry over to models not fitted.

Usage: python scripts/calibrate.py MEASUREMENTS.csv [--write]

Prints the constants, their range over the fits that leave one model out, the errors on the models left out, and the
choices these predictions make. ``--write`` puts constants, intervals and history into optimizer/catalog/data/constants.yaml.
Needs scipy (``pip install -e .[calibrate]``).
"""

from __future__ import annotations

import argparse
import datetime
import sys
from pathlib import Path
from typing import Any

import numpy as np

from calibration import choosing, scores
from calibration.constants_file import digest, plain_errors, rounded, with_section, with_values, write
from calibration.corpus import Corpus, Times
from optimizer.catalog.constants import CONSTANTS_FILE
from optimizer.costs.measured_runs import resolve
from optimizer.facts.errors import ProblemError
from optimizer.facts.measurements import UnusableRow, parse, read_table
from optimizer.reading.measured_names import Models

try:
    from calibration.fitting import FIXED, STEP, Fitted, fit, leave_one_out, odd_runs
except ModuleNotFoundError as missing:
    if missing.name != "scipy":
        raise
    sys.exit("calibrate.py needs scipy: pip install -e .[calibrate]")


def read_corpus(path: Path) -> Corpus:
    """Every run of the file that has facts and both times; says on stderr how many have not.

    Raises:
        ProblemError: the file cannot be used.
    """
    models, runs, skipped = Models(), [], 0
    for row in read_table(path).rows:
        try:
            run = resolve(parse(row), models)
        except UnusableRow:
            skipped += 1
            continue
        if run.row.measured:
            runs.append(run)
        else:
            skipped += 1
    if skipped:
        print(f"{skipped} rows of {path} cannot be used", file=sys.stderr)
    if len({run.model.name for run in runs}) < 2:
        raise ProblemError(str(path), "has fewer than two known models; leaving one out needs two")
    return Corpus(runs)


def history(path: Path, corpus: Corpus, fits: dict[str, Fitted], found: list[scores.Score]) -> dict[str, Any]:
    """How, when and on what the constants were fitted."""
    flat = [other.values() for other in fits.values()]
    ranges = {
        name: [rounded(f(v[name] for v in flat if name in v)) for f in (min, max)]
        for name in sorted(set().union(*flat))
    }
    return {
        "date": datetime.datetime.now(datetime.UTC).date().isoformat(),
        "by": "scripts/calibrate.py --write",
        "data": f"{path.name}, {digest(path)}",
        "runs": len(corpus.runs),
        "runs_scored_but_not_fitted": int(odd_runs(corpus).sum()),
        "models": sorted({run.model.name for run in corpus.runs}),
        "method": "two-stage least squares of log times, soft L1 loss, every model weighing the same (calibration/fitting.py)",
        "fixed": list(FIXED),
        "range_leaving_one_model_out": ranges,
        "error_percent_on_models_left_out": {
            score.name: {
                m: [round(v, 1) for v in (e.median, e.mean, e.p90)]
                for m, e in (("tpot", score.tpot), ("e2e", score.e2e), ("ttft", score.ttft))
            }
            for score in found
            if score.by in {"kind", "model"}
        },
    }


def save(path: Path, corpus: Corpus, fitted: Fitted, fits: dict[str, Fitted], times: Times) -> None:
    """Put everything into constants.yaml."""
    text = CONSTANTS_FILE.read_text(encoding="utf-8")
    text = with_values(text, {name: getattr(fitted.steps, name) for name in STEP})
    engines = {
        name: {k: rounded(v) for k, v in values.model_dump().items()} for name, values in sorted(fitted.engines.items())
    }
    text = with_section(text, "closed_loop", engines)
    text = with_section(text, "intervals", plain_errors(scores.log_errors(corpus, times)))
    text = with_section(text, "fitted", history(path, corpus, fits, scores.scores(corpus, times)))
    write(CONSTANTS_FILE, text)


def main() -> int:
    """Run the command; 2 if the input cannot be used."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("measurements", type=Path, help="CSV file of measured runs to fit on")
    parser.add_argument("--write", action="store_true", help="put the result into constants.yaml")
    options = parser.parse_args()
    try:
        corpus = read_corpus(options.measurements)
    except ProblemError as error:
        print(f"error: {error}", file=sys.stderr)
        return 2
    fitted = fit(corpus)
    fits, times = leave_one_out(corpus)
    print(f"{'constant':<28}{'fitted':>12}   leaving one model out")
    for name, value in fitted.values().items():
        others = [v[name] for v in (other.values() for other in fits.values()) if name in v]
        print(f"{name:<28}{value:>12.4g}   {min(others):.4g} … {max(others):.4g}")
    print("\nModels left out of the fit\n" + scores.table(scores.scores(corpus, times)))
    print("\nIn sample\n" + scores.table(scores.scores(corpus, fitted.predict(corpus))[:3]))
    print("\nModels left out of the fit, " + choosing.text(choosing.table(corpus, times)))
    if options.write:
        save(options.measurements, corpus, fitted, fits, times)
        print(f"\nwritten to {CONSTANTS_FILE}")
    return 0


if __name__ == "__main__":
    np.seterr(all="raise", under="ignore")
    sys.exit(main())
