"""The tables of docs/accuracy.md that a fit gives: errors on what was left out, and what ``optimizer accuracy`` prints."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any

import yaml

from optimizer.catalog.accuracy import strata, words_of
from optimizer.catalog.constants import CONSTANTS_FILE
from optimizer.render.accuracy import accuracy_data

DOCUMENT = Path(__file__).resolve().parents[2] / "docs" / "accuracy.md"
HEAD = (
    "| runs like | runs | models | TPOT error % | 90 % interval | TTFT error % | 90 % interval | held % |\n"
    "|---|---|---|---|---|---|---|---|\n"
)
ERRORS_HEAD = "| left out | runs | TPOT | end to end | TTFT |\n|---|---|---|---|---|\n"
KINDS = ("dense", "MoE")


def stratum_table() -> str:
    """Every stratum: errors as median / mean / 90th percentile, intervals as factors, coverage of TPOT and TTFT."""
    rows = []
    for stratum, data in zip(strata(), accuracy_data(), strict=True):
        cells = [words_of(stratum.features) + (", throughput only" if stratum.throughput_only else "")]
        cells += [str(data["runs"]), str(len(data["models"]))]
        for metric in ("tpot", "ttft"):
            found, interval = data.get(f"{metric}_error_percent"), data.get(f"{metric}_interval")
            cells.append(" / ".join(f"{value:.0f}" for value in found) if found else "–")
            cells.append("{:.2f} – {:.2f}".format(*interval) if interval else "–")
        held = [data["coverage_percent"][metric] for metric in ("tpot", "ttft")]
        cells.append(" / ".join("–" if share is None else f"{share:.0f}" for share in held))
        rows.append(f"| {' | '.join(cells)} |\n")
    return HEAD + "".join(rows)


def error_table() -> str:
    """Errors on each model left out, of all of them, with a GPU type left out, and in sample; from constants.yaml."""
    fitted = yaml.safe_load(CONSTANTS_FILE.read_text(encoding="utf-8"))["fitted"]
    models = fitted["error_percent_on_models_left_out"]
    rows = [_errors(name, models[name]) for name in sorted(models) if name not in KINDS]
    rows += [_errors(f"**{name}**", models[name]) for name in KINDS]
    for title, key in (
        ("one GPU type left out", "error_percent_on_gpus_left_out"),
        ("nothing left out", "error_percent_in_sample"),
    ):
        rows += [_errors(f"{title}, {name}", fitted[key][name]) for name in KINDS]
    return ERRORS_HEAD + "".join(rows)


def _errors(title: str, found: Mapping[str, Any]) -> str:
    cells = [_three(found[metric]) for metric in ("tpot", "e2e", "ttft")]
    if title.startswith("**"):
        cells = [f"**{cell}**" for cell in cells]
    return f"| {title} | {found['runs']} | {' | '.join(cells)} |\n"


def _three(values: Sequence[float]) -> str:
    return " / ".join(f"{value:.1f}" for value in values)


TABLES: Mapping[str, Callable[[], str]] = {"strata": stratum_table, "errors": error_table}


def filled(text: str) -> str:
    """The document with the tables of today.

    Raises:
        ValueError: the marks of a table are missing.
    """
    for name, table in TABLES.items():
        begin, end = f"<!-- {name}: scripts/calibrate.py --write -->\n", f"<!-- end of {name} -->\n"
        before, rest = text.split(begin)
        _, after = rest.split(end)
        text = before + begin + table() + end + after
    return text
