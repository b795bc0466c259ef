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
    json: Json = False,
) -> None:
    """The least hardware of each GPU type that meets everything: GPUs, strategy, price, latencies; and what keeps the others out."""
    from optimizer.render.compare import comparison_data, print_comparison
    from optimizer.render.progress import LiveLine
    from optimizer.sweeps.compare import compare as run
    from optimizer.sweeps.prices import dated, load_prices

    names = [name.strip() for name in types.split(",") if name.strip()]
    with LiveLine() as line:
        rows = run(
            question.stated,
            names,
            gpus,
            prices=load_prices(prices) if prices is not None else None,
            told=lambda gpu: line.say(f"looking for the least {gpu}"),
        )
    if json:
        from optimizer.render.as_json import dumps

        typer.echo(dumps(comparison_data(rows)))
    else:
        print_comparison(rows, dated(prices) if prices is not None else None)
    if not all(row.found.verified for row in rows):
        typer.echo("error: the independent verification disagrees with an answer; do not rely on it", err=True)
        raise typer.Exit(codes.UNDECIDED)
    raise typer.Exit(codes.OK if any(row.point is not None for row in rows) else codes.NO)
