"""Points as flat rows, one column a value, for CSV and Parquet."""

from __future__ import annotations

import csv
import io
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from optimizer.facts.errors import ProblemError
from optimizer.sweeps.points import Point
from optimizer.sweeps.scenarios import scenario_name
from optimizer.writing.files import write_file
from optimizer.writing.quoting import csv_cell

_STRATEGY = (
    "tensor_parallel", "pipeline_parallel", "data_parallel", "expert_parallel", "max_num_seqs", "weight_precision", "kv_precision",
)  # fmt: skip
_METRICS = (
    "prefill_p50_ms", "prefill_p99_ms", "ttft_p50_ms", "ttft_p99_ms", "tpot_p50_ms", "tpot_p99_ms", "request_mean_ms",
    "tokens_per_s", "peak_tokens_per_s", "max_request_rate", "availability", "memory_bytes_per_gpu", "memory_utilization",
)  # fmt: skip


def flat(points: Sequence[Point]) -> tuple[list[str], list[dict[str, Any]]]:
    """(columns, rows); every row has every column."""
    fields = list(dict.fromkeys(field for point in points for field in point.values))
    columns = ["index", "name", *fields, "gpus", "status", "strategy", "gpus_used", *_STRATEGY, "layers_per_stage"]
    columns += ["objective_ms", *_METRICS, "price_per_hour", "price_per_million_output_tokens"]
    columns += ["binding", "conflict", "said", "error", "verified", "optimality"]
    return columns, [_row(point, fields) for point in points]


def _row(point: Point, fields: Sequence[str]) -> dict[str, Any]:
    strategy, metrics = point.strategy, point.figures
    row: dict[str, Any] = {"index": point.index, "name": point.name}
    row |= {field: _plain(field, point.values.get(field)) for field in fields}
    row |= {"gpus": point.gpus, "status": point.status}
    row |= {"strategy": point.label or None, "gpus_used": point.gpus_used}
    row |= {name: getattr(strategy, name) if strategy else None for name in _STRATEGY}
    row["layers_per_stage"] = "+".join(map(str, strategy.layers_per_stage)) if strategy else None
    row["objective_ms"] = point.objective.value if point.objective else None
    row |= {name: getattr(metrics, name, None) for name in _METRICS}
    row |= {"price_per_hour": point.price_per_hour}
    row |= {"price_per_million_output_tokens": point.price_per_million_output_tokens}
    row |= {"binding": " ".join(point.binding), "conflict": " ".join(point.conflict)}
    row |= {"said": point.said, "error": point.error}
    row["verified"] = point.verification.passed if point.verification else None
    row["optimality"] = point.verification.optimality if point.verification else None
    return row


def _plain(field: str, value: Any) -> Any:
    """A number, text or nothing; lists and mappings in words."""
    return scenario_name({field: value}).split("=", 1)[1] if isinstance(value, list | dict) else value


def write_csv(points: Sequence[Point], path: str) -> None:
    """One row a point, a header first.

    Raises:
        ProblemError: the file cannot be written.
    """
    columns, rows = flat(points)
    text = io.StringIO()
    writer = csv.DictWriter(text, columns, lineterminator="\n")
    writer.writeheader()
    writer.writerows({column: csv_cell(value) for column, value in row.items()} for row in rows)
    write_file(Path(path), text.getvalue().encode(), "--csv")


def write_parquet(points: Sequence[Point], path: str) -> None:
    """The same as a Parquet file.

    Raises:
        ProblemError: pyarrow is not installed, or the file cannot be written.
    """
    try:
        import pyarrow
        import pyarrow.parquet
    except ImportError:
        said = "pyarrow is not installed; python3 -m pip install 'parallel-strategy-optimizer[parquet]'"
        raise ProblemError("--parquet", said) from None
    columns, rows = flat(points)
    # A column of a scenario may hold numbers and words; Parquet wants one kind.
    for column in columns:
        kinds = {type(row[column]) for row in rows} - {type(None)}
        if len(kinds) > 1 and not kinds <= {int, float}:
            for row in rows:
                row[column] = None if row[column] is None else str(row[column])
    sink = pyarrow.BufferOutputStream()
    pyarrow.parquet.write_table(pyarrow.Table.from_pylist(rows), sink)
    write_file(Path(path), sink.getvalue().to_pybytes(), "--parquet")
