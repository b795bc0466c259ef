"""``optimizer model``: what is read of a checkpoint."""

from __future__ import annotations

from typing import Annotated

import typer

from optimizer.cli.options import Json


def register(app: typer.Typer) -> None:
    """Add the command."""
    app.command("model")(model)


def model(
    path_or_name: Annotated[
        str, typer.Argument(help="A catalog name, a config.json, or a folder with one.", metavar="PATH_OR_NAME")
    ] = "",
    like: Annotated[
        str, typer.Option("--like", help="Read it as this listed model type, whatever its own.", metavar="TYPE")
    ] = "",
    known: Annotated[bool, typer.Option("--known", help="List the model types that are read, with sources.")] = False,
    template: Annotated[
        bool, typer.Option("--template", help="Print what to state inline of a model whose type is not listed.")
    ] = False,
    json: Json = False,
) -> None:
    """What a checkpoint holds: layers, parameters, bytes, cache, legal TP and EP, context, what was left out."""
    from optimizer.facts.errors import ProblemError
    from optimizer.questions.model import describe, listed
    from optimizer.questions.model import template as template_text
    from optimizer.render.as_json import dumps
    from optimizer.render.model import print_model

    if template:
        typer.echo(template_text())
    elif known:
        types = listed()
        typer.echo(dumps(types) if json else "\n".join(f"{one['model_type']:24} {one['source']}" for one in types))
    elif not path_or_name:
        raise ProblemError(
            "PATH_OR_NAME", "is missing; name a model of the catalog, a config.json or a folder with one"
        )
    else:
        data = describe(path_or_name, like)
        if json:
            typer.echo(dumps(data))
        else:
            print_model(data)
