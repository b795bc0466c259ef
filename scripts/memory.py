#!/usr/bin/env python3
"""Predict what engines printed about memory when they started, and compare.

    scripts/memory.py --logs LOGS.csv --out PREDICTED.csv

The rows of LOGS.csv are figures of start-up logs, several a case: model, GPU, TP, PP, DP, formats, share of memory, longest sequence,
and one printed figure. What a case leaves open (engine version, tokens of a step, sequences at once) is taken from its note where that
says it, else as the engine of its time has it. PREDICTED.csv is the same table with ``predicted value``, ``error`` and ``why not``.
"""

from __future__ import annotations

import argparse
import csv
import statistics
import sys
from collections.abc import Mapping, Sequence
from pathlib import Path

from optimizer.facts.errors import ProblemError

sys.path.insert(0, str(Path(__file__).resolve().parent))

from memory_logs.case import Case, predicted
from memory_logs.left_out import left_out as left_out

MEASURED = "measured quantity"
RELATIVE = {
    "weights": "weights GiB/GPU",
    "KV memory": "KV memory GiB/GPU",
    "tokens that fit": "KV tokens that fit",
    "bytes per token": "KV bytes per token per GPU",
    "one full-length request": "KV GiB one full-length request needs per GPU",
}
ABSOLUTE = {
    "overhead, GiB": "overhead GiB (activation + non-torch)",
    "activation peak, GiB": "peak activation GiB",
    "derived overhead, GiB": "derived overhead GiB (budget - weights - KV)",
}
FITS = "fits (one sequence of max-model-len)"


def rows_of(path: Path) -> list[dict[str, str]]:
    """The rows of a log file.

    Raises:
        SystemExit: it is no such file.
    """
    try:
        with path.open(newline="", encoding="utf-8") as stream:
            rows = list(csv.DictReader(stream))
    except (OSError, UnicodeDecodeError) as error:
        raise SystemExit(f"{path}: cannot be read ({error})") from None
    if not rows or MEASURED not in rows[0]:
        raise SystemExit(f"{path}: has no column '{MEASURED}'")
    return rows


def predict(rows: Sequence[Mapping[str, str]]) -> list[dict[str, str]]:
    """The rows with ``predicted value``, ``error`` (relative; of what is below 5 GiB beside weights and cache in GiB) and ``why not``."""
    out = []
    for row in rows:
        found, why = None, ""
        try:
            found = predicted(Case.of(row), row[MEASURED])
        except ProblemError as error:
            why = str(error)
        measured = row.get("measured value", "")
        out.append(
            {**row, "predicted value": _text(found), "error": _error(row[MEASURED], measured, found), "why not": why}
        )
    return out


def _text(value: float | str | None) -> str:
    return "" if value is None else value if isinstance(value, str) else f"{value:.6g}"


def _error(quantity: str, measured: str, found: float | str | None) -> str:
    if found is None or not measured:
        return ""
    if isinstance(found, str):
        return "" if found.startswith(measured) else "wrong"
    value = float(measured)
    if quantity in ABSOLUTE.values():
        return f"{found - value:+.3f}"
    return f"{found / value - 1:+.4f}" if value > 0 else ""


def summary(rows: Sequence[Mapping[str, str]]) -> list[str]:
    """Errors by quantity in words."""
    lines = [f"{sum(bool(row['predicted value']) for row in rows)} of {len(rows)} rows predicted"]
    for name, quantity in (*RELATIVE.items(), *ABSOLUTE.items()):
        errors = sorted(abs(float(row["error"])) for row in rows if row[MEASURED] == quantity and row["error"])
        if not errors:
            continue
        scale, unit = (100, " %") if name in RELATIVE else (1, "")
        high = errors[min(len(errors) - 1, int(0.9 * len(errors)))]
        lines.append(
            f"{name}: {len(errors)} rows, error median {scale * statistics.median(errors):.2f}{unit}, "
            f"90 % {scale * high:.2f}{unit}, worst {scale * errors[-1]:.2f}{unit}"
        )
    fits = [row for row in rows if row[MEASURED] == FITS and row["predicted value"]]
    if fits:
        lines.append(f"fits or not: {sum(not row['error'] for row in fits)} of {len(fits)} right")
    return lines


def main(arguments: Sequence[str] | None = None) -> int:
    """Run the command."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0] if __doc__ else None)
    parser.add_argument("--logs", type=Path, required=True, help="figures of start-up logs, CSV")
    parser.add_argument("--out", type=Path, help="where the predictions go, CSV")
    parser.add_argument(
        "--leave-one-out", action="store_true", help="errors of what was fitted, each case left out of its fit"
    )
    given = parser.parse_args(arguments)
    rows = predict(rows_of(given.logs))
    if given.out:
        with given.out.open("w", newline="", encoding="utf-8") as stream:
            writer = csv.DictWriter(stream, list(rows[0]), lineterminator="\n")
            writer.writeheader()
            writer.writerows(rows)
    print("\n".join([*summary(rows), *(left_out(rows) if given.leave_one_out else ())]))
    return 0


if __name__ == "__main__":
    sys.exit(main())
