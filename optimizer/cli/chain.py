"""``optimizer solve`` on a problem of kind ``chain``: reads, calls the public API, prints, draws."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import typer


def solve_if_chain(
    path: str,
    as_json: bool,
    time_limit_s: float | None,
    svg: str | None,
    costs: str = "analytic",
    table: str | None = None,
    trace: str | None = None,
) -> tuple[str, bool] | None:
    """Solve and print a chain problem; its status and whether the verifier agrees. None for any other kind of problem.

    Args:
        costs: ``--costs``; a chain always has its types' throughput tables, ``table`` with a FILE replaces them.
        table: that file.
        trace: ``--trace``, which chains have no use for.

    Raises:
        ProblemError: a file cannot be used, or an option asks for what this kind of problem does not have.
    """
    from optimizer.facts.errors import ProblemError
    from optimizer.facts.files import read_mapping

    values: dict[str, Any] = read_mapping(Path(path), path)
    if values.get("kind") != "chain":
        if svg is not None:
            raise ProblemError("--svg", "draws the chains of a problem of kind: chain only")
        return None
    if trace is not None:
        raise ProblemError("--trace", "plays requests on a parallel strategy; chains (kind: chain) are not simulated")
    values = _with_costs(values, costs, table)
    from optimizer.questions.chain import chain_from_dict, solve_chain
    from optimizer.render.progress import LiveLine

    problem = chain_from_dict(values, default_name=Path(path).stem)
    with LiveLine() as live:
        answer = solve_chain(problem, time_limit_s=time_limit_s, progress=live)
    if svg is not None:
        from optimizer.facts.writing import write_file
        from optimizer.render.chain_svg import chain_svg

        write_file(svg, [chain_svg(answer)], "--svg")
    if as_json:
        from optimizer.render.as_json import dumps
        from optimizer.render.chain import chain_data

        typer.echo(dumps(chain_data(answer)))
    else:
        from optimizer.render.chain import print_chain

        print_chain(answer)
    return answer.status, answer.verification.passed


def _with_costs(values: dict[str, Any], costs: str, table: str | None) -> dict[str, Any]:
    from optimizer.facts.errors import ProblemError

    if costs not in {"analytic", "table"}:
        raise ProblemError(
            "--costs", f"{costs!r} says nothing about chains; their costs are tables of tokens/s (--costs table [FILE])"
        )
    if table is None:
        return values
    if costs != "table":
        raise ProblemError("--table", "belongs to --costs table")
    from optimizer.reading.chain_table import with_tables

    return with_tables(values, Path(table))
