"""``sweep``: many counts of GPUs and many scenarios in one run that survives being stopped.

Exit codes: 0 some point keeps every rule · 1 none does · 2 bad input · 3 the verifier disagrees with a point · 130 interrupted.
"""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Literal, cast

import typer

from optimizer.cli.asking import asks
from optimizer.cli.interrupted import Interrupted
from optimizer.questions import codes

if TYPE_CHECKING:
    from optimizer.reading.question import Question
    from optimizer.sweeps.points import Point
    from optimizer.sweeps.run import SweepPlan


Nodes = Annotated[
    list[str] | None,
    typer.Option(
        "--nodes", help="cluster: counts of nodes of a group, e.g. h100=1..4; once for each.", metavar="GROUP=COUNTS"
    ),
]
TimeLimit = Annotated[
    float | None, typer.Option("--time-limit", help="cluster: seconds for the search.", metavar="SECONDS")
]
Prices = Annotated[
    str | None, typer.Option("--prices", help="Price per hour of each GPU type (docs/sweep.md).", metavar="FILE")
]


def register(app: typer.Typer) -> None:
    """Add the command."""
    app.command("sweep")(asks(sweep, without=("gpus",)))


def sweep(
    question: Question,
    gpus: Annotated[
        str | None, typer.Option("--gpus", help="Counts: 1..64, 1..64:4, 1,2,4 or pow2:1..64.", metavar="COUNTS")
    ] = None,
    nodes: Nodes = None,
    by: Annotated[str, typer.Option("--by", help="gpu: every count; node: whole nodes only.")] = "gpu",
    scenarios: Annotated[
        str | None, typer.Option("--scenarios", help="Fields with several values each, crossed.", metavar="FILE")
    ] = None,
    out: Annotated[
        str | None,
        typer.Option("--out", help="Keep results here as they come; run again to go on.", metavar="FILE.jsonl"),
    ] = None,
    csv: Annotated[str | None, typer.Option("--csv", help="Write a table.", metavar="FILE")] = None,
    parquet: Annotated[str | None, typer.Option("--parquet", help="Write a table (pyarrow).", metavar="FILE")] = None,
    plot: Annotated[
        str | None, typer.Option("--plot", help="Draw the curves, .png or .svg ([plot]).", metavar="FILE")
    ] = None,
    prices: Prices = None,
    time_limit: TimeLimit = None,
    workers: Annotated[
        int | None, typer.Option("--workers", min=1, max=1024, help="Processes; left out, one for each CPU.")
    ] = None,
    executor: Annotated[str, typer.Option("--executor", help="local, or ray ([ray]).")] = "local",
    address: Annotated[
        str | None, typer.Option("--address", help="Of a Ray cluster that runs already.", metavar="ADDRESS")
    ] = None,
    everything: Annotated[bool, typer.Option("--all", help="Print every line, not one screen.")] = False,
    json: Annotated[bool, typer.Option("--json", help="One JSON object a line, in input order.")] = False,
) -> None:
    """Solve at many GPU counts and in many scenarios: each point proved and verified, the curve read for you."""
    from optimizer.cli.options import time_limit_of
    from optimizer.facts.errors import ProblemError
    from optimizer.reading.prices import load_prices
    from optimizer.render.sweep import print_sweep, with_progress
    from optimizer.sweeps.curve import curves
    from optimizer.sweeps.nodes import nodes_option
    from optimizer.sweeps.run import Executor, in_order, plan, run
    from optimizer.sweeps.store import line_of

    one_of("--by", by, ("gpu", "node"))
    one_of("--executor", executor, ("local", "ray"))
    if address is not None and executor != "ray":
        raise ProblemError("--address", "belongs to --executor ray")
    _check_files(csv, parquet, plot)
    asked = plan(
        question.stated,
        gpus,
        scenarios,
        by=cast(Literal["gpu", "node"], by),
        prices=load_prices(prices) if prices is not None else None,
        nodes=nodes_option(nodes or []),
        time_limit_s=time_limit_of(time_limit),
    )
    many = len(asked.specs)
    if gpus is None and not nodes and scenarios is None and many == 1:
        option = "--nodes" if question.kind == "inventory" else "--gpus"
        raise ProblemError(option, "names no counts, and there is no --scenarios; for one point use optimizer solve")
    points: list[Point] = []
    solved = run(asked, workers=workers, executor=cast(Executor, executor), address=address, out=out)
    try:
        for point in in_order(with_progress(solved, many, json), many):
            points.append(point)
            if json:
                from optimizer.sweeps.points import point_data

                typer.echo(line_of(point_data(point)), nl=False)
    except KeyboardInterrupt:
        # Closing ends the worker processes and the journal in order.
        solved.close()
        raise Interrupted(codes.INTERRUPTED, _interrupted(out, len(points), many)) from None
    _write(points, asked, csv, parquet, plot)
    if not json:
        print_sweep(points, curves(points), everything=everything)
    _leave(points)


def one_of(option: str, value: str, known: tuple[str, ...]) -> None:
    """Refuse a value that an option does not know."""
    from optimizer.facts.errors import ProblemError, closest

    if value not in known:
        raise ProblemError(option, f"{value!r} is not known; {closest(value, known)}")


def _check_files(csv: str | None, parquet: str | None, plot: str | None) -> None:
    """Refuse at once what would be refused after all the work."""
    from importlib.util import find_spec

    from optimizer.facts.errors import ProblemError
    from optimizer.facts.paths import is_folder
    from optimizer.render.sweep_plot import KINDS

    for option, path, needed, extra in (
        ("--csv", csv, None, None),
        ("--parquet", parquet, "pyarrow", "parquet"),
        ("--plot", plot, "matplotlib", "plot"),
    ):
        if path is None:
            continue
        if not is_folder(Path(path).absolute().parent) or is_folder(path):
            raise ProblemError(
                option, f"{path} cannot be written; the name of a file in a folder that exists is needed"
            )
        if needed is not None and find_spec(needed) is None:
            said = f"{needed} is not installed; python3 -m pip install 'parallel-strategy-optimizer[{extra}]'"
            raise ProblemError(option, said)
    if plot is not None and Path(plot).suffix.lower() not in KINDS:
        raise ProblemError("--plot", f"{plot} ends in neither .png nor .svg")


def _interrupted(out: str | None, done: int, many: int) -> str:
    if out is None:
        return f"interrupted after {done:,} of {many:,} points; --out FILE.jsonl would have kept them"
    return f"interrupted; what is solved is kept in {out}.journal, and the same command goes on from there"


def _write(points: list[Point], asked: SweepPlan, csv: str | None, parquet: str | None, plot: str | None) -> None:
    from optimizer.sweeps.table import write_csv, write_parquet
    from optimizer.writing.files import write_file

    if csv is not None:
        write_csv(points, csv)
    if parquet is not None:
        write_parquet(points, parquet)
    if plot is not None:
        from optimizer.render.sweep_plot import plot as draw

        title = str(asked.stated.value("name") or asked.stated.default_name)
        write_file(Path(plot), draw(points, title, plot, asked.limits), "--plot")


def _leave(points: list[Point]) -> None:
    if wrong := codes.refuted_points(points):
        typer.echo(f"error: the independent verification disagrees with {wrong} points; do not rely on them", err=True)
    raise typer.Exit(codes.of_sweep(points))
