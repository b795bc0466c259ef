"""``pareto``: what latency costs in availability, GPUs or price.

Exit codes: 0 there is a front · 1 proved infeasible · 2 bad input · 3 nothing was found in time, or the verifier disagrees.
"""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from optimizer.cli.asking import asks
from optimizer.cli.options import Json, time_limit_of
from optimizer.questions import codes

if TYPE_CHECKING:
    from optimizer.reading.question import Question
    from optimizer.results.front import ParetoFront


def register(app: typer.Typer) -> None:
    """Add the command."""
    app.command("pareto")(asks(pareto))


def pareto(
    question: Question,
    axes: Annotated[
        str, typer.Option("--axes", help="Two or three of latency, availability, gpus, price.", metavar="AXES")
    ] = "latency,availability",
    points: Annotated[int, typer.Option("--points", help="The most points shown.", metavar="N")] = 20,
    json: Json = False,
    csv: Annotated[str | None, typer.Option("--csv", help="Write a table.", metavar="FILE")] = None,
    plot: Annotated[
        str | None, typer.Option("--plot", help="Draw the front, .png or .svg ([plot]).", metavar="FILE")
    ] = None,
    time_limit: Annotated[
        float | None, typer.Option("--time-limit", help="Seconds for the search.", metavar="SECONDS")
    ] = None,
) -> None:
    """The strategies that none beats on all axes: latency against availability, GPUs or price, each point proved."""
    from optimizer.questions.pareto import pareto as run
    from optimizer.questions.pareto import read_axes
    from optimizer.render.progress import LiveLine

    wanted = read_axes(axes)
    limit = time_limit_of(time_limit)
    if plot is not None:
        from optimizer.render.pareto_plot import check_picture

        check_picture(plot)
    with LiveLine() as live:
        front = run(question.problem, wanted, points=points, time_limit_s=limit, progress=live)
    if json:
        from optimizer.render.as_json import dumps
        from optimizer.render.pareto import front_data

        typer.echo(dumps(front_data(front, question.kind)))
    else:
        from optimizer.render.pareto import print_front

        print_front(front)
    _write(front, csv, plot)
    _leave(front)


def _write(front: ParetoFront, csv: str | None, plot: str | None) -> None:
    from optimizer.writing.files import write_file

    if csv is not None:
        from optimizer.render.pareto import front_csv

        write_file(Path(csv), front_csv(front).encode(), "--csv")
    if plot is not None and front.points:
        from optimizer.render.pareto_plot import picture

        write_file(Path(plot), picture(front, plot), "--plot")
    elif plot is not None:
        typer.echo(f"{plot} was not written: there is no point to draw", err=True)


def _leave(front: ParetoFront) -> None:
    if front.mismatches:
        typer.echo("error: the independent verification disagrees with a point; do not rely on it", err=True)
    raise typer.Exit(codes.of_front(front))
