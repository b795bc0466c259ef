"""``optimizer import runs``: results of serving benchmarks as the CSV of ``--costs table`` and ``calibrate``."""

from __future__ import annotations

from typing import Annotated

import typer

from optimizer.facts.engine_names import NAMED


def import_runs(
    files: Annotated[
        list[str],
        typer.Argument(
            help="Results of vllm bench serve (JSON), SGLang bench_serving (JSONL), GuideLLM, AIPerf, GenAI-Perf or InferenceMAX.",
            metavar="FILE…",
        ),
    ],
    out: Annotated[str, typer.Option("--out", help="CSV file to write.", metavar="RUNS.csv")],
    system: Annotated[str | None, typer.Option("--system", help="GPU, by catalog name, e.g. h100.")] = None,
    model: Annotated[str | None, typer.Option("--model", help="Model, by catalog name or Hugging Face id.")] = None,
    engine: Annotated[str | None, typer.Option("--engine", help=f"{NAMED}.")] = None,
    precision: Annotated[str | None, typer.Option("--precision", help="Weight format, e.g. fp8.")] = None,
    tp: Annotated[int | None, typer.Option("--tp", min=1, help="Tensor parallel size.")] = None,
    pp: Annotated[int | None, typer.Option("--pp", min=1, help="Pipeline parallel size.")] = None,
    ep: Annotated[int | None, typer.Option("--ep", min=1, help="Expert parallel size.")] = None,
    concurrency: Annotated[int | None, typer.Option("--concurrency", min=1, help="Requests in progress.")] = None,
    isl: Annotated[int | None, typer.Option("--isl", min=1, help="Prompt tokens.")] = None,
    osl: Annotated[int | None, typer.Option("--osl", min=1, help="Output tokens.")] = None,
) -> None:
    """Your benchmark results in the columns that --costs table and calibrate read."""
    import csv
    import io
    from pathlib import Path

    from optimizer.reading.benchmarks import COLUMNS, benchmark_rows
    from optimizer.writing.files import write_file
    from optimizer.writing.quoting import csv_cell

    stated = {
        "system": system, "model": model, "backend": engine, "precision": precision, "tp": tp, "pp": pp, "ep": ep,
        "concurrency": concurrency, "isl": isl, "osl": osl,
    }  # fmt: skip
    rows = [row for file in files for row in benchmark_rows(Path(file), stated)]
    stream = io.StringIO(newline="")
    writer = csv.DictWriter(stream, COLUMNS)
    writer.writeheader()
    writer.writerows({name: csv_cell(value) for name, value in row.items()} for row in rows)
    write_file(Path(out), [stream.getvalue()], "--out")
    typer.echo(f"{out}: {len(rows)} runs of {len(files)} files.")
