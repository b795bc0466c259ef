"""``recommend``: the least GPUs, or the least price, that meet everything.

Exit codes: 0 recommended · 1 nothing that is allowed is enough · 2 bad input · 3 the verifier disagrees.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Annotated, Literal, cast

import typer

from optimizer.cli.asking import asks
from optimizer.cli.options import Json
from optimizer.cli.sweep import Nodes, Prices, TimeLimit, one_of
from optimizer.questions import codes

if TYPE_CHECKING:
    from optimizer.reading.question import Question


def register(app: typer.Typer) -> None:
    """Add the command."""
    app.command("recommend")(asks(recommend, without=("gpus",)))


def recommend(
    question: Question,
    gpus: Annotated[
        str | None,
        typer.Option("--gpus", help="Counts allowed: 1,2,4 or pow2:1..64; left out, 1..64.", metavar="COUNTS"),
    ] = None,
    nodes: Nodes = None,
    types: Annotated[
        str | None, typer.Option("--types", help="GPU types allowed, separated by commas; left out, the stated one.")
    ] = None,
    least: Annotated[str, typer.Option("--least", help="What is made least: gpus, or price per hour.")] = "gpus",
    by: Annotated[str, typer.Option("--by", help="gpu: every count; node: whole nodes only.")] = "gpu",
    prices: Prices = None,
    time_limit: TimeLimit = None,
    json: Json = False,
) -> None:
    """The least hardware that meets everything: type, count and strategy as one decision; of cluster: nodes of each group."""
    from optimizer.cli.options import time_limit_of
    from optimizer.reading.prices import load_prices
    from optimizer.render.recommend import print_recommendation, recommendation_data
    from optimizer.sweeps.nodes import nodes_option
    from optimizer.sweeps.recommend import Least
    from optimizer.sweeps.recommend import recommend as run

    one_of("--least", least, ("gpus", "price"))
    one_of("--by", by, ("gpu", "node"))
    from optimizer.render.progress import LiveLine

    with LiveLine():
        found = run(
            question.stated,
            gpus,
            [name.strip() for name in types.split(",")] if types else None,
            least=cast(Least, least),
            by=cast(Literal["gpu", "node"], by),
            prices=load_prices(prices) if prices is not None else None,
            nodes=nodes_option(nodes or []),
            time_limit_s=time_limit_of(time_limit),
        )
    if json:
        from optimizer.render.as_json import dumps

        typer.echo(dumps(recommendation_data(found)))
    else:
        print_recommendation(found)
    if not found.verified:
        typer.echo("error: the independent verification disagrees with the answer; do not rely on it", err=True)
    raise typer.Exit(codes.of_recommendation(found))
