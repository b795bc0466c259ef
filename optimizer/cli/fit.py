"""``fit``: which models some hardware serves within the limits, one line each.

Exit codes: 0 some model fits · 1 none does · 2 bad input · 3 the verifier disagrees with an answer.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Annotated

import typer

from optimizer.cli.asking import asks
from optimizer.cli.options import Json
from optimizer.questions import codes

if TYPE_CHECKING:
    from optimizer.reading.question import Question

LIGHT = {"model": "llama3.1-8b", "prompt": 1000, "output": 250, "rate": 0.1}
"""A question on one line states no model, and may leave the workload out: one person asking now and then."""


def register(app: typer.Typer) -> None:
    """Add the command."""
    app.command("fit")(asks(fit, without=("model",), filled=LIGHT))


def fit(
    question: Question,
    models: Annotated[
        str | None,
        typer.Option(
            "--models", help="Models to try, separated by commas; left out, the whole catalog.", metavar="NAMES"
        ),
    ] = None,
    all_: Annotated[
        bool, typer.Option("--all", help="List the models that do not fit too, with what keeps each out.")
    ] = False,
    json: Json = False,
) -> None:
    """Which models fit this hardware, in which format and how: best objective first, each solved and proved.

    Where no workload is stated, it is 0.1 requests/s of 1,000 + 250 tokens.
    """
    from optimizer.render.fit import fit_data, print_fit
    from optimizer.render.progress import LiveLine
    from optimizer.sweeps.fit import fit as run

    names = [name.strip() for name in models.split(",") if name.strip()] if models else None
    with LiveLine() as line:
        found = run(question.stated, names, lambda model: line.say(f"trying {model}"))
    if json:
        from optimizer.render.as_json import dumps

        typer.echo(dumps(fit_data(found)))
    else:
        print_fit(found, question.stated, everything=all_)
    if any(one.point.verification is not None and not one.point.verification.passed for one in found):
        typer.echo("error: the independent verification disagrees with an answer; do not rely on it", err=True)
        raise typer.Exit(codes.UNDECIDED)
    raise typer.Exit(codes.OK if any(one.point.strategy is not None for one in found) else codes.NO)
