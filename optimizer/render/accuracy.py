"""Residuals of measured runs by stratum, as data and as a table."""

from __future__ import annotations

import math
from dataclasses import asdict
from typing import Any

from rich.box import SIMPLE_HEAD
from rich.table import Table

from optimizer.catalog.accuracy import Stratum, strata, words_of
from optimizer.catalog.constants import LogErrors
from optimizer.render.text import console


def accuracy_data() -> list[dict[str, Any]]:
    """Every stratum: what its runs have in common, errors in percent, 90 % interval as factors, and its coverage."""
    return [
        {
            "like": {name: value for name, value in asdict(stratum.features).items() if value},
            "runs": stratum.runs,
            "models": list(stratum.models),
            "measured": "throughput" if stratum.throughput_only else "latency",
            **{f"{metric}_error_percent": values for metric, values in _percent(stratum).items()},
            **{f"{metric}_interval": _factors(errors) for metric, errors in _errors(stratum).items()},
            "coverage_percent": {"tpot": stratum.coverage[0], "ttft": stratum.coverage[1]},
        }
        for stratum in strata()
    ]


def print_accuracy() -> None:
    """The table for people."""
    table = Table(box=SIMPLE_HEAD, pad_edge=False)
    for title in (
        "Runs like",
        "runs",
        "models",
        "TPOT error %",
        "90 % interval",
        "TTFT error %",
        "90 % interval",
        "held %",
    ):
        table.add_column(title, justify="left" if title in {"Runs like"} else "right")
    for stratum in strata():
        cells = []
        percent, errors = _percent(stratum), _errors(stratum)
        for metric in ("tpot", "ttft"):
            found, interval = percent.get(metric), errors.get(metric)
            cells.append(" / ".join(f"{value:.0f}" for value in found) if found else "–")
            cells.append("{:.2f} – {:.2f}".format(*_factors(interval)) if interval else "–")
        held = " / ".join("–" if share is None else f"{share:.0f}" for share in stratum.coverage)
        kind = ", throughput only" if stratum.throughput_only else ""
        table.add_row(words_of(stratum.features) + kind, f"{stratum.runs}", f"{len(stratum.models)}", *cells, held)
    out = console(width=170)
    out.print(table)
    out.print(
        "Errors: median / mean / 90th percentile of runs whose model the fit had not seen. Interval: measured over predicted. "
        "Held: runs inside the interval that the stratum's other models give, TPOT / TTFT.\n"
        "An answer takes the finest stratum that it belongs to; where there is none, it says that nothing like it was measured.",
        style="dim",
    )


def _percent(stratum: Stratum) -> dict[str, tuple[float, float, float]]:
    found = {"tpot": stratum.tpot_percent, "ttft": stratum.ttft_percent}
    return {metric: values for metric, values in found.items() if values is not None}


def _errors(stratum: Stratum) -> dict[str, LogErrors]:
    found = {"tpot": stratum.tpot, "ttft": stratum.ttft}
    return {metric: errors for metric, errors in found.items() if errors is not None}


def _factors(errors: LogErrors) -> tuple[float, float]:
    return round(math.exp(errors.p5), 3), round(math.exp(errors.p95), 3)
