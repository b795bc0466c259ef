"""``optimizer import``: other tools' instances as problem files."""

from __future__ import annotations

from typing import Annotated

import typer

import_app = typer.Typer(
    help="Turn another tool's instance into a problem file.", no_args_is_help=True, rich_markup_mode=None
)


@import_app.callback()
def _group() -> None:
    """Turn another tool's instance into a problem file."""


@import_app.command("helix")
def import_helix(
    file: Annotated[str, typer.Argument(help="Helix instance, JSON.", metavar="FILE")],
    out: Annotated[str, typer.Option("--out", help="Problem file to write, YAML.", metavar="PROBLEM")],
) -> None:
    """A Helix instance (nodes, throughput tables, links) as a problem of kind chain."""
    from pathlib import Path

    import yaml

    from optimizer.cli.files import write_whole
    from optimizer.questions.chain import chain_from_dict
    from optimizer.reading.helix import helix_to_chain
    from optimizer.reading.load import read_mapping

    source = Path(file)
    values = helix_to_chain(read_mapping(source, file), source.stem)
    problem = chain_from_dict(values)
    text = yaml.safe_dump(values, sort_keys=False, allow_unicode=True, default_flow_style=None, width=120)
    write_whole(out, text, "--out")
    nodes = len(problem.cluster.nodes)
    typer.echo(
        f"{out}: {problem.name}, {problem.model.layers} layers, {nodes} nodes of {len(values['cluster']['types'])} types"
    )
