"""``optimizer init``: a commented problem file to start from, one for each kind of problem."""

from __future__ import annotations

from typing import Annotated

import typer


def register(app: typer.Typer) -> None:
    """Add the command."""
    app.command("init")(init)


def init(
    kind: Annotated[
        str, typer.Option("--kind", help="hardware (equal nodes), cluster (an inventory) or chain.", metavar="KIND")
    ] = "hardware",
    out: Annotated[
        str | None, typer.Option("--out", help="File to write; left out, standard output.", metavar="FILE")
    ] = None,
    force: Annotated[bool, typer.Option("--force", help="Let --out replace a file that exists.")] = False,
) -> None:
    """Write a commented problem file to start from."""
    from optimizer.facts.errors import ProblemError
    from optimizer.facts.paths import is_there
    from optimizer.reading.templates import template

    text = template(kind)
    if out is None:
        typer.echo(text, nl=False)
        return
    if is_there(out) and not force:
        raise ProblemError("--out", f"{out} exists already; choose another name or add --force")
    from optimizer.writing.files import write_file

    write_file(out, [text], "--out")
    typer.echo(f"Wrote {out}; optimizer solve {out} answers it as it is.", err=True)
