"""``--costs`` of the commands: its options, and its two-token form ``--costs table FILE``."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, Annotated

import typer

if TYPE_CHECKING:
    from optimizer.facts.problem import Problem
    from optimizer.results.answer import Fixed

Costs = Annotated[
    str,
    typer.Option(
        "--costs",
        help="Where times come from: analytic; table FILE (your measured runs as CSV); measured (aiconfigurator-core).",
        metavar="SOURCE",
    ),
]
CostTableFile = Annotated[
    str | None,
    typer.Option("--table", help="The CSV of --costs table; --costs table FILE says the same.", metavar="FILE"),
]


def apply_costs(problem: Problem, source: str, file: str | None, fixed: Fixed | None = None) -> Problem:
    """The problem with the costs that the options ask for."""
    if source == "analytic" and file is None:
        return problem
    from optimizer.questions.cost_sources import with_costs

    return with_costs(problem, source, file, fixed)


def with_table_option(arguments: Sequence[str]) -> list[str]:
    """``--costs table FILE`` as ``--costs table --table FILE``, which options can say."""
    said = list(arguments)
    if any(word == "--table" or word.startswith("--table=") for word in said):
        return said
    for i, word in enumerate(said):
        after = i + 1 if word == "--costs=table" else i + 2 if said[i : i + 2] == ["--costs", "table"] else None
        if after is not None:
            return [*said[:after], "--table", *said[after:]] if after < len(said) else said
    return said
