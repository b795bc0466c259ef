"""``--costs`` of the commands: its options, and its two-token form ``--costs table FILE``."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, Annotated, Any, cast

import typer

if TYPE_CHECKING:
    from optimizer.facts.problem import Problem
    from optimizer.reading.question import Question
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


def with_costs_asked(
    question: Question, trace: str | None, costs: str, table: str | None, fixed: Fixed | None = None
) -> Any:
    """The problem with the costs asked for; options that say nothing about its kind are refused with what does.

    Raises:
        ProblemError: with the option.
    """
    from optimizer.facts.errors import ProblemError

    if question.kind == "uniform":
        return apply_costs(cast("Problem", question.problem), costs, table, fixed)
    if question.kind == "inventory":
        if costs != "analytic" or table is not None:
            raise ProblemError("--costs", "is not taken with cluster: its instances have the analytic model's costs")
        return question.problem
    if question.kind == "day":
        if costs != "analytic" or table is not None:
            raise ProblemError(
                "--costs", "is not taken with workload.profile: every hour has the analytic model's costs"
            )
        if trace is not None:
            raise ProblemError(
                "--trace",
                "plays the requests of one rate; state workload.profile.trace, or ask about an hour by itself",
            )
        return question.problem
    if question.kind == "models":
        if costs != "analytic" or table is not None:
            raise ProblemError("--costs", "is not taken with models: their instances have the analytic model's costs")
        if trace is not None:
            raise ProblemError(
                "--trace", "plays the requests of one model; ask about that model alone, or leave it out"
            )
        return question.problem
    if trace is not None:
        raise ProblemError("--trace", "plays requests; a chain's load is tokens/s, with no requests to play")
    return _chain_with_costs(question, costs, table)


def _chain_with_costs(question: Question, costs: str, table: str | None) -> Any:
    from pathlib import Path

    from optimizer.facts.errors import ProblemError
    from optimizer.reading.chain import chain_from_dict

    if costs not in {"analytic", "table"}:
        raise ProblemError(
            "--costs",
            f"{costs!r} says nothing about chains; theirs are tables of tokens/s (--costs table [FILE]), or costs: analytic in the file",
        )
    if table is None:
        return question.problem
    if costs != "table":
        raise ProblemError("--table", "belongs to --costs table")
    from optimizer.reading.chain_table import with_tables

    values = with_tables(dict(question.stated.values), Path(table))
    return chain_from_dict(values, default_name=question.stated.default_name)


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
