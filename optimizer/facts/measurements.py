"""The measurement file: one CSV row per serving run. Reads it and says of each row why it cannot be used."""

from __future__ import annotations

import math
from dataclasses import dataclass
from pathlib import Path

from optimizer.facts.errors import ProblemError
from optimizer.facts.reading import read_csv

REQUIRED = ("model", "system", "isl", "osl", "concurrency")
DEFAULTS = {"attention_dp": 1, "ep": 1, "pp": 1}  # columns that may be absent or empty
NATIVE = "native"
"""The precision of a row that states none: the published checkpoint's own."""
LARGEST = {"isl": 10_000_000, "osl": 10_000_000, "concurrency": 1_000_000}
LARGEST_DEGREE = 100_000
LARGEST_BYTES = 64 * 1024 * 1024

ENGINES = {"tensorrt-llm": "trtllm", "tensorrtllm": "trtllm", "trt-llm": "trtllm", "trt": "trtllm"}


class UnusableRow(ValueError):
    """A row that cannot be predicted; the message is its note."""


@dataclass(frozen=True, slots=True)
class Measurement:
    """One run as the file states it; times in ms, NaN where nothing was measured."""

    model: str
    system: str
    engine: str
    version: str
    precision: str
    prompt_tokens: int
    output_tokens: int
    concurrency: int
    tp: int
    pp: int
    ranks: int
    """Data-parallel ranks: ``attention_dp``."""
    ep: int
    gpus: int
    ttft_ms: float
    tpot_ms: float

    @property
    def end_to_end_ms(self) -> float:
        """TTFT + (osl − 1) · TPOT."""
        return self.ttft_ms + (self.output_tokens - 1) * self.tpot_ms

    @property
    def measured(self) -> bool:
        """Both times are there."""
        return math.isfinite(self.ttft_ms) and math.isfinite(self.tpot_ms)


@dataclass(frozen=True, slots=True)
class Table:
    """The file: its columns and rows as text."""

    columns: tuple[str, ...]
    rows: tuple[dict[str, str], ...]


def read_table(path: Path) -> Table:
    """Rows of a measurement file.

    Raises:
        ProblemError: the file cannot be read, has no rows, or lacks a column that every row needs.
    """
    columns, rows = read_csv(path, str(path), LARGEST_BYTES)
    missing = [name for name in REQUIRED if name not in columns]
    if missing:
        raise ProblemError(
            str(path), f"lacks the column{'s' * (len(missing) > 1)} {', '.join(missing)}; needed: {', '.join(REQUIRED)}"
        )
    if not rows:
        raise ProblemError(str(path), "has no rows")
    return Table(columns, tuple(rows))


def parse(row: dict[str, str]) -> Measurement:
    """One row, checked.

    Raises:
        UnusableRow: a name is empty or a count is no whole number in range.
    """
    for name in ("model", "system"):
        if not row[name].strip():
            raise UnusableRow(f"{name} is empty")
    pp, ranks, ep = (_count(row, name) for name in ("pp", "attention_dp", "ep"))
    tp = _tensor_parallel(row, pp, ranks)
    ranks = max(ranks, -(-ep // tp))  # experts never take GPUs of their own
    gpus = tp * pp * ranks
    if row.get("gpus", "").strip():
        gpus = _count(row, "gpus")
    engine = row.get("backend", "").strip().lower().replace("_", "-")
    return Measurement(
        model=row["model"].strip(),
        system=row["system"].strip(),
        engine=ENGINES.get(engine, engine),
        version=row.get("backend_version", "").strip(),
        precision=row.get("precision", "").strip().lower() or NATIVE,
        prompt_tokens=_count(row, "isl"),
        output_tokens=_count(row, "osl"),
        concurrency=_count(row, "concurrency"),
        tp=tp,
        pp=pp,
        ranks=ranks,
        ep=ep,
        gpus=gpus,
        ttft_ms=_time(row.get("ttft_ms", "")),
        tpot_ms=_time(row.get("tpot_ms", "")),
    )


def _tensor_parallel(row: dict[str, str], pp: int, ranks: int) -> int:
    """The stated TP, else what the GPUs leave per stage and rank."""
    if row.get("tp", "").strip():
        return _count(row, "tp")
    if not row.get("gpus", "").strip():
        raise UnusableRow("tp is empty, and so is gpus")
    gpus = _count(row, "gpus")
    if gpus % (pp * ranks):
        raise UnusableRow(f"tp is empty, and {gpus} GPUs are no multiple of {pp} stages x {ranks} ranks")
    return gpus // (pp * ranks)


def _count(row: dict[str, str], name: str) -> int:
    text = row.get(name, "").strip()
    if not text and name in DEFAULTS:
        return DEFAULTS[name]
    try:
        value = float(text)
    except ValueError:
        raise UnusableRow(f"{name} = {text!r} is not a number") from None
    largest = LARGEST.get(name, LARGEST_DEGREE)
    if not (math.isfinite(value) and value == int(value) and 1 <= value <= largest):
        raise UnusableRow(f"{name} = {text} is not a whole number from 1 to {largest:,}")
    return int(value)


def _time(text: str) -> float:
    """Milliseconds above zero, else NaN."""
    try:
        value = float(text)
    except ValueError:
        return math.nan
    return value if math.isfinite(value) and value > 0 else math.nan
