"""``optimizer import log``: what an engine printed when it started, as overheads of the problem file."""

from __future__ import annotations

from typing import Annotated

import typer

from optimizer.cli.options import Json


def import_log(
    file: Annotated[str, typer.Argument(help="Start-up log of vLLM, SGLang or TensorRT-LLM.", metavar="LOG")],
    problem: Annotated[
        str, typer.Option("--problem", help="Problem with the model and GPUs of the log.", metavar="PROBLEM")
    ] = "",
    out: Annotated[
        str, typer.Option("--out", help="Problem file to write, with what the log measured.", metavar="FILE")
    ] = "",
    tp: Annotated[int | None, typer.Option("--tp", min=1, help="Tensor parallel size, where the log has none.")] = None,
    pp: Annotated[int | None, typer.Option("--pp", min=1, help="Pipeline stages, where the log has none.")] = None,
    json: Json = False,
) -> None:
    """What an engine printed of memory when it started, beside the prediction, and as engine_overhead of a problem."""
    from pathlib import Path

    from optimizer.facts.errors import ProblemError
    from optimizer.questions.start_log import Printed, overhead_from, read_for
    from optimizer.reading.files import read_mapping
    from optimizer.reading.load import problem_from_dict
    from optimizer.reading.start_log import read_start_log
    from optimizer.render.start_log import log_as_json, log_text, problem_values
    from optimizer.writing.files import write_file
    from optimizer.writing.yaml_text import yaml_text

    if out and not problem:
        raise ProblemError("--out", "writes a problem with the log's figures; state --problem")
    log = read_start_log(Path(file))
    figures: tuple[Printed, ...] = ()
    if not problem:
        overhead = overhead_from(log, None)
    else:
        path = Path(problem)
        values = read_mapping(path, problem)
        if "cluster" in values:
            raise ProblemError(
                "--problem", "is for problems with hardware:; engine_overhead may be put beside cluster: by hand"
            )
        found = read_for(log, problem_from_dict(values, default_name=path.stem, folder=path.parent), tp, pp)
        overhead, figures = found.overhead, found.figures
        if out:
            write_file(out, [yaml_text(problem_values(values, log, overhead), flow=None, width=120)], "--out")
    typer.echo(log_as_json(log, overhead, figures) if json else log_text(log, overhead, figures, out))
