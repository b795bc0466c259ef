"""``compare``: the least hardware of several GPU types that meets everything, side by side.

Exit codes: 0 some type is enough · 1 none is · 2 bad input · 3 the verifier disagrees with an answer.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Annotated

import typer

from optimizer.cli.asking import asks
from optimizer.cli.options import Json
from optimizer.cli.sweep import Prices
from optimizer.questions import codes

if TYPE_CHECKING:
    from optimizer.reading.question import Question
    from optimizer.sweeps.compare import TypeRow


def register(app: typer.Typer) -> None:
    """Add the command."""
    app.command("compare")(asks(compare, without=("gpu", "gpus"), filled={"gpu": "h100-sxm-80gb"}))


def compare(
    question: Question,
    types: Annotated[str, typer.Option("--types", help="GPU types, separated by commas.", metavar="NAMES")],
    gpus: Annotated[
        str | None,
        typer.Option("--gpus", help="Counts allowed: 1,2,4 or pow2:1..64; left out, 1..64.", metavar="COUNTS"),
    ] = None,
    prices: Prices = None,
    plot: Annotated[
        str | None,
        typer.Option(
            "--plot", help="Draw price against load, .png or .svg ([plot]); asks again at five loads.", metavar="FILE"
        ),
    ] = None,
    json: Json = False,
) -> None:
    """The least hardware of each GPU type that meets everything: GPUs, strategy, price, latencies; and what keeps the others out."""
    from optimizer.reading.prices import dated, load_prices
    from optimizer.render.compare import comparison_data, print_comparison
    from optimizer.render.progress import LiveLine
    from optimizer.sweeps.compare import compare as run

    if plot is not None:
        from optimizer.render.pareto_plot import check_picture

        check_picture(plot)
    names = [name.strip() for name in types.split(",") if name.strip()]
    with LiveLine() as line:
        rows = run(
            question.stated,
            names,
            gpus,
            prices=load_prices(prices) if prices is not None else None,
            told=lambda gpu: line.say(f"looking for the least {gpu}"),
        )
    if plot is not None:
        _draw(question, names, gpus, prices, rows, plot)
    if json:
        from optimizer.render.as_json import dumps

        typer.echo(dumps(comparison_data(rows)))
    else:
        print_comparison(rows, dated(prices) if prices is not None else None)
    if not all(row.found.verified for row in rows):
        typer.echo("error: the independent verification disagrees with an answer; do not rely on it", err=True)
        raise typer.Exit(codes.UNDECIDED)
    raise typer.Exit(codes.OK if any(row.point is not None for row in rows) else codes.NO)


def _draw(
    question: Question, names: list[str], gpus: str | None, prices: str | None, rows: tuple[TypeRow, ...], plot: str
) -> None:
    """Ask the same at other loads, and write the picture."""
    from pathlib import Path

    from optimizer.reading.prices import load_prices
    from optimizer.render.compare_plot import comparison_plot
    from optimizer.render.progress import LiveLine
    from optimizer.sweeps.compare import over_loads
    from optimizer.writing.files import write_file

    stated, known = question.stated, load_prices(prices) if prices is not None else None
    with LiveLine() as line:
        over = over_loads(
            stated, names, gpus, prices=known, told=lambda what: line.say(f"looking for the least {what}")
        )
    problem = stated.problem()
    users = problem.workload.users
    load = (
        (problem.workload.requests_per_s, "requests/s") if users is None else (float(users.concurrent), "users at once")
    )
    limits = {limit.field: limit.limit_ms for limit in problem.requirements.latency_limits}
    picture = comparison_plot(rows, over, load, problem.model.name, plot, limits)
    write_file(Path(plot), picture, "--plot")
