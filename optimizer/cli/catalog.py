"""``optimizer catalog`` and ``optimizer schema``: what ships with the product, and what a problem file may say."""

from __future__ import annotations

from typing import Annotated

import typer

from optimizer.cli.options import Json

catalog_app = typer.Typer(
    help="The GPUs, instance types and models that ship with the product.", no_args_is_help=True, rich_markup_mode=None
)


def register(app: typer.Typer) -> None:
    """Add the group and the command."""
    app.add_typer(catalog_app, name="catalog")
    app.command("schema")(schema)


@catalog_app.command("gpus")
def catalog_gpus(json: Json = False) -> None:
    """GPUs by catalog name, with the source of every figure (--json)."""
    _catalog("gpus", json)


@catalog_app.command("instances")
def catalog_instances(json: Json = False) -> None:
    """Instance types of clouds: GPUs, network and host of one node, with sources (--json)."""
    from optimizer.render.as_json import dumps
    from optimizer.render.catalog import instances_data, print_instances

    data = instances_data()
    if json:
        typer.echo(dumps(data))
    else:
        print_instances(data)


@catalog_app.command("models")
def catalog_models(json: Json = False) -> None:
    """Models by catalog name, with computed and published parameter counts and sources (--json)."""
    _catalog("models", json)


def _catalog(kind: str, as_json: bool) -> None:
    from optimizer.render.as_json import dumps
    from optimizer.render.catalog import catalog_data, print_catalog

    data = catalog_data(kind)
    if as_json:
        typer.echo(dumps(data))
    else:
        print_catalog(kind, data)


def schema(
    kind: Annotated[
        str,
        typer.Option(
            "--kind",
            help="hardware, day (hours of it), models (several), cluster, cluster-models or chain.",
            metavar="KIND",
        ),
    ] = "hardware",
    answer: Annotated[
        bool, typer.Option("--answer", help="Of what commands print with --json and of report.json, for all kinds.")
    ] = False,
) -> None:
    """The JSON Schema of the problem file, of each of its kinds; or of the answers (--answer)."""
    from optimizer.facts.chain import ChainProblem
    from optimizer.facts.errors import ProblemError, closest
    from optimizer.facts.file import ProblemFile
    from optimizer.facts.profile import DayFile
    from optimizer.facts.several import SeveralFile
    from optimizer.reading.cluster_models import cluster_models_schema
    from optimizer.reading.inventory_input import file_schema
    from optimizer.reading.templates import ANSWERED_AS
    from optimizer.render.as_json import dumps

    kind = ANSWERED_AS.get(kind, kind)
    if answer:
        from optimizer.reporting.written.schema import every_schema

        typer.echo(dumps(every_schema()))
        return
    schemas = {
        "hardware": ProblemFile.model_json_schema,
        "day": DayFile.model_json_schema,
        "models": SeveralFile.model_json_schema,
        "cluster": file_schema,
        "cluster-models": cluster_models_schema,
        "chain": ChainProblem.model_json_schema,
    }
    if kind not in schemas:
        raise ProblemError("--kind", f"{kind!r} is not a kind of problem; {closest(kind, schemas)}")
    typer.echo(dumps(schemas[kind]()))
