"""``optimizer import``: other tools' instances as problem files."""

from __future__ import annotations

from typing import Annotated

import typer

from optimizer.cli.runs import import_runs
from optimizer.cli.start_log import import_log

import_app = typer.Typer(
    help="Turn another tool's instance into a problem file, its results into measured runs, or an engine's log into its overheads.",
    no_args_is_help=True,
    rich_markup_mode=None,
)


def register(app: typer.Typer) -> None:
    """Add the group."""
    app.add_typer(import_app, name="import")


@import_app.callback()
def _group() -> None:
    """Turn another tool's instance into a problem file."""


import_app.command("runs")(import_runs)
import_app.command("log")(import_log)


@import_app.command("helix")
def import_helix(
    file: Annotated[str, typer.Argument(help="Helix instance, JSON.", metavar="FILE")],
    out: Annotated[str, typer.Option("--out", help="Problem file to write, YAML.", metavar="PROBLEM")],
) -> None:
    """A Helix instance (nodes, throughput tables, links) as a problem of kind chain."""
    from pathlib import Path

    from optimizer.facts.text import name_from_path
    from optimizer.reading.chain import chain_from_dict
    from optimizer.reading.files import read_mapping
    from optimizer.reading.helix import helix_to_chain
    from optimizer.writing.files import write_file
    from optimizer.writing.yaml_text import yaml_text

    source = Path(file)
    values = helix_to_chain(read_mapping(source, file), name_from_path(source.stem, "helix"))
    problem = chain_from_dict(values)
    text = yaml_text(values, flow=None, width=120)
    write_file(out, [text], "--out")
    nodes = len(problem.cluster.nodes)
    typer.echo(
        f"{out}: {problem.name}, {problem.model.layers} layers, {nodes} nodes of {len(values['cluster']['types'])} types"
    )
