"""``optimizer graph``: the execution graph of one decode step, or where pools stand, checked, in the format that a tool wants.

Exit codes: 0 written · 1 no strategy keeps every rule, so there is none to draw · 2 bad input · 3 a limit was reached, or the
check disagrees.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import TYPE_CHECKING, Annotated, Any

import typer

from optimizer.cli.asking import asks
from optimizer.cli.options import Decode, OwnPrefill, Share
from optimizer.questions import codes

if TYPE_CHECKING:
    from optimizer.facts.inventory import InventoryProblem
    from optimizer.facts.problem import Problem
    from optimizer.reading.question import Question
    from optimizer.results.answer import Fixed
    from optimizer.results.graph import Graph, GraphCheck

ALONE_ON_CLUSTER = (
    "Drawn is the better of either kind alone; joint instances beside pools, which optimizer solve compares too, are not "
    "drawn on cluster:."
)
FORMATS = ("json", "graphml", "dot", "mermaid", "perfetto")


def register(app: typer.Typer) -> None:
    """Add the command."""
    app.command("graph")(asks(graph))


def graph(
    question: Question,
    fixed: Fixed,
    format: Annotated[
        str, typer.Option("--format", help="json, graphml, dot, mermaid or perfetto.", metavar="FORMAT")
    ] = "json",
    out: Annotated[
        str | None, typer.Option("--out", help="File to write; left out, standard output.", metavar="FILE")
    ] = None,
    sequences: Annotated[
        int | None,
        typer.Option("--sequences", help="Sequences in progress at each replica; left out, the median of the load."),
    ] = None,
    modules: Annotated[bool, typer.Option("--modules", help="dot: every module instead of one box per stage.")] = False,
    prefill: OwnPrefill = None,
    decode: Decode = None,
    share: Share = None,
) -> None:
    """The execution graph of one decode step: modules, GPUs, collectives, sends and when each runs; of pools, who stands where."""
    from optimizer.cli.graph_pools import pools_to_draw, write_both, write_pools
    from optimizer.facts.errors import ProblemError
    from optimizer.reading.pools import pools_of

    _check_options(format, sequences, modules)
    if question.kind == "chain":
        raise ProblemError(
            "kind",
            "chain: its costs are tables of tokens/s, with no modules or collectives to draw; "
            "optimizer solve FILE --svg chains.svg draws its placement",
        )
    problem: Any = question.problem
    given = {"--sequences": sequences is not None, "--modules": modules}
    pooled = pools_to_draw(problem, fixed, pools_of(prefill, decode), share, given, format)
    if pooled is not None:
        if problem.serving == "any" and question.kind == "inventory" and prefill is None and decode is None:
            typer.echo(ALONE_ON_CLUSTER, err=True)
        write: Any = write_both if hasattr(pooled, "joint") else write_pools
        write(problem, pooled, format, out)
        return
    if problem.serving == "any" and question.kind == "inventory" and not fixed.any:
        typer.echo(ALONE_ON_CLUSTER, err=True)
    if problem.serving != "joint":
        problem = problem.model_copy(update={"serving": "joint"})
    draw: Any = _of_inventory if question.kind == "inventory" else _of_problem
    _write(draw(problem, fixed, sequences), format, modules, out)


def _write(drawn: tuple[Graph, GraphCheck, bool], format: str, modules: bool, out: str | None) -> None:
    from optimizer.render.files import write_out
    from optimizer.render.graph_words import graph_sentences

    found, checked, keeps_rules = drawn
    if checked.passed:
        write_out(_lines(found, checked, format, modules), out)
    for sentence in graph_sentences(found, checked, keeps_rules=keeps_rules, out=out):
        typer.echo(sentence, err=True)
    if not checked.passed:
        raise typer.Exit(codes.UNDECIDED)


def _of_problem(stated: Problem, fixed: Fixed, sequences: int | None) -> tuple[Graph, GraphCheck, bool]:
    """The graph of a problem on equal nodes, its check, and whether the strategy keeps every rule."""
    from optimizer.graph import build_graph, plan_of
    from optimizer.questions.uniform import check, solve
    from optimizer.render.progress import LiveLine
    from optimizer.verify.graph import verify_graph

    # The step that is drawn checks no guesses.
    stated = stated.decided({**stated.variants()[0], "speculative_tokens": 0})
    with LiveLine() as live:
        given = check(stated, fixed, progress=live, repairs=False) if fixed.any else None
        answer = given or solve(stated, progress=live, repairs=False)
    strategy = answer.strategy
    if strategy is None or answer.breakdown is None:
        raise _nothing(stated.name, answer.status, answer.explanation)
    running = sequences or answer.breakdown["sequences_in_progress"]
    found = build_graph(plan_of(stated, strategy, running), strategy)
    return found, verify_graph(stated, found, strategy, running), all(r.holds or not r.enabled for r in answer.rules)


def _of_inventory(inventory: InventoryProblem, fixed: Fixed, sequences: int | None) -> tuple[Graph, GraphCheck, bool]:
    """The same for an inventory: instances of several shapes on the GPUs that the answer names."""
    from optimizer.graph import build_graph, plan_of_inventory
    from optimizer.questions.inventory import check_inventory, solve_inventory
    from optimizer.render.progress import LiveLine
    from optimizer.verify.graph import verify_inventory_graph

    with LiveLine() as live:
        given = check_inventory(inventory, fixed, progress=live) if fixed.any else None
        answer = given or solve_inventory(inventory, progress=live, ranges=False)
    if answer.placement is None or not answer.placement.instances:
        raise _nothing(inventory.name, answer.status, answer.explanation)
    found = build_graph(plan_of_inventory(inventory, answer, sequences), None, answer.label)
    keeps_rules = all(rule.holds or not rule.enabled for rule in answer.rules)
    return found, verify_inventory_graph(inventory, answer, found, sequences), keeps_rules


def _nothing(name: str, status: str, explanation: tuple[str, ...]) -> typer.Exit:
    """Says why there is nothing to draw; the exit that goes with it."""
    typer.echo(f"error: {name}: no strategy to draw. {' '.join(explanation)}", err=True)
    return typer.Exit(codes.UNDECIDED if status == "unknown" else codes.NO)


def _check_options(format: str, sequences: int | None, modules: bool) -> None:
    from optimizer.facts.errors import ProblemError, closest

    if format not in FORMATS:
        raise ProblemError("--format", f"{format!r} is not known; {closest(format, FORMATS)}")
    if modules and format != "dot":
        raise ProblemError("--modules", f"is for --format dot only; {format} has its own level of detail")
    if sequences is not None and not 1 <= sequences <= 8192:
        raise ProblemError("--sequences", f"{sequences} is not allowed; a whole number from 1 to 8,192")


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
