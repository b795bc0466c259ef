"""``optimizer graph``: the execution graph of one decode step, checked, in the format that a tool wants.

Exit codes: 0 written · 1 no strategy keeps every rule, so there is none to draw · 2 bad input · 3 a limit was reached, or the
check disagrees.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import TYPE_CHECKING, Annotated

import typer

if TYPE_CHECKING:
    from optimizer.answer import Answer, Fixed
    from optimizer.facts.problem import Problem
    from optimizer.graph_answer import Graph, GraphCheck

INFEASIBLE, LIMIT_REACHED = 1, 3
FORMATS = ("json", "graphml", "dot", "mermaid", "perfetto")

ProblemPath = Annotated[str, typer.Argument(help="Problem file, YAML or JSON.", metavar="PROBLEM")]


def register(app: typer.Typer) -> None:
    """Add the command."""
    app.command("graph")(graph)


def graph(
    problem: ProblemPath,
    format: Annotated[
        str, typer.Option("--format", help="json, graphml, dot, mermaid or perfetto.", metavar="FORMAT")
    ] = "json",
    out: Annotated[
        str | None, typer.Option("--out", help="File to write; left out, standard output.", metavar="FILE")
    ] = None,
    tp: Annotated[int | None, typer.Option("--tp", help="Tensor parallel size.")] = None,
    pp: Annotated[int | None, typer.Option("--pp", help="Pipeline parallel size.")] = None,
    dp: Annotated[int | None, typer.Option("--dp", help="Data parallel size: replicas.")] = None,
    ep: Annotated[int | None, typer.Option("--ep", help="Expert parallel size.")] = None,
    max_num_seqs: Annotated[int | None, typer.Option("--max-num-seqs", help="Sequences per replica at once.")] = None,
    layers: Annotated[str | None, typer.Option("--layers", help="Layers per stage, e.g. 20,20,20,20.")] = None,
    weights: Annotated[str | None, typer.Option("--weights", help="Weight format, e.g. fp16 or fp8.")] = None,
    kv: Annotated[str | None, typer.Option("--kv", help="KV cache format: fp16, bf16 or fp8.")] = None,
    sequences: Annotated[
        int | None,
        typer.Option("--sequences", help="Sequences in progress at each replica; left out, the median of the load."),
    ] = None,
    modules: Annotated[bool, typer.Option("--modules", help="dot: every module instead of one box per stage.")] = False,
) -> None:
    """The execution graph of one decode step: modules, GPUs, collectives, sends and when each runs."""
    from optimizer.cli import fixed_of
    from optimizer.facts.load import load_problem
    from optimizer.graph import build_graph, plan_of
    from optimizer.render.files import write_out
    from optimizer.verify.graph import verify_graph

    _check_options(format, sequences, modules)
    fixed = fixed_of(tp, pp, dp, ep, max_num_seqs, layers, weights, kv)
    stated = load_problem(problem)
    answer = _answer(stated, fixed)
    if answer.strategy is None or answer.breakdown is None:
        undecided = answer.status == "unknown"
        typer.echo(f"error: {stated.name}: no strategy to draw. {' '.join(answer.explanation)}", err=True)
        raise typer.Exit(LIMIT_REACHED if undecided else INFEASIBLE)
    running = sequences or answer.breakdown["sequences_in_progress"]
    found = build_graph(plan_of(stated, answer.strategy, running), answer.strategy)
    checked = verify_graph(stated, found)
    if checked.passed:
        write_out(_lines(found, checked, format, modules), out)
    _tell(found, checked, answer, out)
    if not checked.passed:
        raise typer.Exit(LIMIT_REACHED)


def _check_options(format: str, sequences: int | None, modules: bool) -> None:
    from optimizer.facts.errors import ProblemError, closest

    if format not in FORMATS:
        raise ProblemError("--format", f"{format!r} is not known; {closest(format, FORMATS)}")
    if modules and format != "dot":
        raise ProblemError("--modules", f"is for --format dot only; {format} has its own level of detail")
    if sequences is not None and not 1 <= sequences <= 8192:
        raise ProblemError("--sequences", f"{sequences} is not allowed; a whole number from 1 to 8,192")


def _answer(stated: Problem, fixed: Fixed) -> Answer:
    from optimizer.api import check, solve
    from optimizer.render.progress import LiveLine

    with LiveLine() as live:
        if any(getattr(fixed, name) is not None for name in type(fixed).__dataclass_fields__):
            return check(stated, fixed, progress=live, repairs=False)
        return solve(stated, progress=live, repairs=False)


def _lines(found: Graph, checked: GraphCheck, format: str, modules: bool) -> Iterator[str]:
    if format == "json":
        from optimizer.render.graph_json import json_lines

        return json_lines(found, checked)
    if format == "perfetto":
        from optimizer.render.graph_perfetto import perfetto_lines

        return perfetto_lines(found)
    if format == "graphml":
        from optimizer.render.graph_graphml import graphml_lines

        return graphml_lines(found)
    if format == "dot":
        from optimizer.render.graph_dot import dot_lines

        return dot_lines(found, modules=modules)
    from optimizer.render.graph_mermaid import mermaid_lines

    return mermaid_lines(found)


def _tell(found: Graph, checked: GraphCheck, answer: Answer, out: str | None) -> None:
    """What was drawn and whether it is true, beside the document."""
    from optimizer.render.graph_words import graph_sentences

    for sentence in graph_sentences(found, checked, answer, out):
        typer.echo(sentence, err=True)
