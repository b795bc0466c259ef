#!/usr/bin/env python3
"""Fit the cost model's constants to measured serving runs, and say how well they carry over to models not fitted.

Usage: python scripts/calibrate.py MEASUREMENTS.csv … [--write | --check]

Prints the constants, their range over the fits that leave one model out, the errors on the models and on the GPUs left
out, and the choices these predictions make. ``--write`` puts constants, intervals and history into optimizer/catalog/data/constants.yaml;
``--check`` ends with 1 where what stands there is not what these files give.
Needs scipy (``pip install -e .[calibrate]``).
"""

from __future__ import annotations

import argparse
import datetime
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np

from calibration import choosing, document, residual_strata, scores
from calibration.constants_file import digest, rounded, with_section, with_values, write
from optimizer.catalog import accuracy
from optimizer.catalog import constants as constants_of
from optimizer.catalog.constants import CONSTANTS_FILE
from optimizer.costs.corpus import Times
from optimizer.costs.measured_runs import MeasuredRun, resolve
from optimizer.facts.errors import ProblemError
from optimizer.reading.measured_names import Models
from optimizer.reading.measurements import CLOSED_LOOP, DISAGGREGATED, UnusableRow, parse, read_table

try:
    from calibration.fitting import FIXED, STEP
    from calibration.study import Study, studied
except ModuleNotFoundError as missing:
    if missing.name != "scipy":
        raise
    sys.exit("calibrate.py needs scipy: pip install -e .[calibrate]")


def read_runs(paths: Sequence[Path]) -> list[MeasuredRun]:
    """Every run of the files that has facts and something measured; says on stderr how many have not.

    Raises:
        ProblemError: a file cannot be used, or there is nothing to leave one model out of.
    """
    models, runs = Models(), []
    for path in paths:
        skipped = 0
        for row in read_table(path).rows:
            try:
                run = resolve(parse(row), models)
            except UnusableRow:
                skipped += 1
                continue
            if run.row.measured or np.isfinite(run.row.output_tok_s):
                runs.append(run)
            else:
                skipped += 1
        if skipped:
            print(f"{skipped} rows of {path} cannot be used", file=sys.stderr)
    if len({run.model.name for run in runs if run.row.kind == CLOSED_LOOP}) < 2:
        raise ProblemError(str(paths[0]), "has fewer than two known models in closed loops; leaving one out needs two")
    return runs


def history(paths: Sequence[Path], study: Study) -> dict[str, Any]:
    """How, when and on what the constants were fitted."""
    flat = list(study.by_model.values.values())
    ranges = {
        name: [rounded(f(v[name] for v in flat if name in v)) for f in (min, max)]
        for name in sorted(set().union(*flat))
    }
    return {
        "date": datetime.datetime.now(datetime.UTC).date().isoformat(),
        "by": "scripts/calibrate.py --write",
        "data": [f"{path.name}, {digest(path)}" for path in paths],
        "runs": len(study.corpus.runs) + (len(study.queued.runs) if study.queued else 0),
        "models": sorted({*study.corpus.model.tolist(), *(study.queued.model.tolist() if study.queued else ())}),
        "method": "two-stage least squares of log times, soft L1 loss, every model weighing the same (calibration/fitting.py)",
        "fixed": list(FIXED),
        "range_leaving_one_model_out": ranges,
        "error_percent_on_models_left_out": _errors(study, study.by_model.times, {"kind", "model"}),
        "error_percent_on_gpus_left_out": _errors(study, study.by_gpu.times, {"kind"}),
        "error_percent_in_sample": _errors(study, study.fitted.predict(study.corpus), {"kind"}),
    }


def _errors(study: Study, times: Times, by: set[str]) -> dict[str, dict[str, Any]]:
    """Median, mean and 90th percentile of TPOT, end to end and TTFT, by kind of model or model."""
    return {
        score.name: {
            "runs": score.runs,
            **{
                metric: [round(value, 1) for value in (error.median, error.mean, error.p90)]
                for metric, error in (("tpot", score.tpot), ("e2e", score.e2e), ("ttft", score.ttft))
            },
        }
        for score in scores.scores(study.corpus, times)
        if score.by in by
    }


def stale(study: Study) -> list[str]:
    """Shipped constants that are not those of this fit, each with both values."""
    closed = constants_of.closed_loop_constants()
    shipped = {name: float(getattr(constants_of.constants(), name)) for name in STEP}
    shipped |= {f"{e}.{n}": float(v) for e, values in closed.items() for n, v in values.model_dump().items()}
    return [
        f"{name}: {shipped.get(name, float('nan')):.4g} is shipped, {value:.4g} is fitted"
        for name, value in study.fitted.values().items()
        if not np.isclose(shipped.get(name, np.nan), value, rtol=STALE)
    ]


STALE = 0.02
"""Relative change of a constant above which a file is not of this fit: what is known of an engine's memory moves them by up to a
percent, leaving a model out by ten."""


def save(paths: Sequence[Path], study: Study) -> None:
    """Put everything into constants.yaml."""
    text = CONSTANTS_FILE.read_text(encoding="utf-8")
    text = with_values(text, {name: getattr(study.fitted.steps, name) for name in STEP})
    engines = {
        name: {k: rounded(v) for k, v in values.model_dump().items()}
        for name, values in sorted(study.fitted.engines.items())
    }
    text = with_section(text, "closed_loop", engines)
    text = with_section(text, "fitted", history(paths, study))
    write(CONSTANTS_FILE, text)
    for cached in (accuracy.strata, constants_of._file, constants_of.constants, constants_of.closed_loop_constants):
        cached.cache_clear()
    unseen = [run for run in study.others if run.row.kind == DISAGGREGATED and run.row.measured]
    entries = residual_strata.summary(residual_strata.residuals(study, unseen))
    origin = [f"{path.name}, {digest(path)}" for path in paths]
    write(accuracy.ACCURACY_FILE, residual_strata.text(entries, origin))
    accuracy.strata.cache_clear()
    write(document.DOCUMENT, document.filled(document.DOCUMENT.read_text(encoding="utf-8")))


def report(study: Study) -> str:
    """Constants, errors on what was left out, and the choices."""
    lines = [f"{'constant':<28}{'fitted':>12}   leaving one model out"]
    for name, value in study.fitted.values().items():
        others = [v[name] for v in study.by_model.values.values() if name in v]
        spread = f"   {min(others):.4g} … {max(others):.4g}" if others else ""
        lines.append(f"{name:<28}{value:>12.4g}{spread}")
    for title, folds in (("Models", study.by_model), ("GPUs", study.by_gpu)):
        lines.append(f"\n{title} left out of the fit\n" + scores.table(scores.scores(study.corpus, folds.times)))
        if study.queued:
            found = scores.error(folds.tokens_per_s, study.queued.measured)
            lines.append(f"queued, tokens/s{'':<28}{len(study.queued.runs):>6}  {scores.cell(found):>22}")
    lines.append("\nIn sample\n" + scores.table(scores.scores(study.corpus, study.fitted.predict(study.corpus))[:3]))
    chosen = choosing.text(choosing.table(study.corpus, study.by_model.times))
    lines.append("\nModels left out of the fit, " + chosen)
    return "\n".join(lines)


def main() -> int:
    """Run the command; 2 if the input cannot be used."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("measurements", type=Path, nargs="+", help="CSV files of measured runs to fit on")
    parser.add_argument("--write", action="store_true", help="put the result into constants.yaml")
    parser.add_argument("--check", action="store_true", help="exit with 1 where constants.yaml is not of this fit")
    options = parser.parse_args()
    try:
        runs = read_runs(options.measurements)
    except ProblemError as error:
        print(f"error: {error}", file=sys.stderr)
        return 2
    study = studied(runs)
    print(report(study))
    if options.write:
        save(options.measurements, study)
    old = stale(study) if options.check else []
    print(*old, sep="\n", end="\n" if old else "", file=sys.stderr)
    return 1 if old else 0


if __name__ == "__main__":
    sys.exit(main())
