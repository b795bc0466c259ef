"""The table of strata in docs/accuracy.md: what ``optimizer accuracy`` prints, written where the constants are."""

from __future__ import annotations

from pathlib import Path

from optimizer.catalog.accuracy import strata, words_of
from optimizer.render.accuracy import accuracy_data

DOCUMENT = Path(__file__).resolve().parents[2] / "docs" / "accuracy.md"
BEGIN, END = "<!-- strata: scripts/calibrate.py --write -->\n", "<!-- end of strata -->\n"
HEAD = (
    "| runs like | runs | models | TPOT error % | 90 % interval | TTFT error % | 90 % interval | held % |\n"
    "|---|---|---|---|---|---|---|---|\n"
)


def table() -> str:
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


def filled(text: str) -> str:
    """The document with the table of today.

    Raises:
        ValueError: the marks are missing.
    """
    before, rest = text.split(BEGIN)
    _, after = rest.split(END)
    return before + BEGIN + table() + END + after
