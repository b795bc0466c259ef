"""``optimizer accuracy``: where the model was measured, and how well it predicted runs that its fit had not seen."""

from __future__ import annotations

import typer

from optimizer.cli.options import Json


def register(app: typer.Typer) -> None:
    """Add the command."""
    app.command("accuracy")(accuracy)


def accuracy(json: Json = False) -> None:
    """Where predictions were compared with measurements, and how far off they were, from the data that ships."""
    from optimizer.render.accuracy import accuracy_data, print_accuracy

    if json:
        from optimizer.render.as_json import dumps

        typer.echo(dumps(accuracy_data()))
    else:
        print_accuracy()
