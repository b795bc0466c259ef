"""``optimizer graph`` of prefill and decode pools: where every instance stands, and what crosses which link."""

from __future__ import annotations

from collections.abc import Iterator
from typing import TYPE_CHECKING, Any

import typer

from optimizer.questions import codes

if TYPE_CHECKING:
    from optimizer.facts.inventory import InventoryProblem
    from optimizer.facts.problem import Problem
    from optimizer.results.answer import Fixed
    from optimizer.results.beside_graph import BesideGraph
    from optimizer.results.graph import GraphCheck
    from optimizer.results.pool_graph import PoolGraph
    from optimizer.results.pools import FixedPools
    from optimizer.results.side_by_side import SideBySideAnswer


def pools_to_draw(
    problem: Problem | InventoryProblem,
    fixed: Fixed,
    pools: FixedPools | None,
    share: float | None,
    given: dict[str, bool],
    format: str,
) -> Any:
    """The answer whose pools, alone or with joint instances beside them, are to be drawn; None where joint instances alone are.

    Args:
        share: of the requests, what joint instances beside pools are sent.
        given: options of a decode step by name, and whether each was stated.

    Raises:
        ProblemError: an option has no meaning for pools.
        typer.Exit: no pools keep every rule, and no joint instances where they are offered too.
    """
    from optimizer.questions.check import check
    from optimizer.questions.solve import solve
    from optimizer.render.progress import LiveLine
    from optimizer.results.kinds import name_of

    if pools is None and share is None and (problem.serving == "joint" or (problem.serving == "any" and fixed.any)):
        return None
    if problem.serving == "disaggregated" or pools is not None:
        _no_step(given, format)
    found: Any
    with LiveLine() as live:
        if pools is not None or fixed.any or share is not None:
            found = check(problem, fixed, pools=pools, share=share, progress=live)
        else:
            found = solve(problem, progress=live, repairs=False, side_by_side=hasattr(problem, "hardware"))
    if name_of(found) == "SideBySideAnswer":
        _no_step(given, format)
        return found
    pooled = hasattr(found, "link")
    if not pooled and (found.pools if hasattr(found, "pools") else found.strategy):
        return None
    if not pooled or found.strategy is None:
        typer.echo(f"error: {problem.name}: no strategy to draw. {' '.join(found.explanation)}", err=True)
        raise typer.Exit(codes.UNDECIDED if found.status == "unknown" else codes.NO)
    _no_step(given, format)
    return found


def write_both(problem: Problem, answer: SideBySideAnswer, format: str, out: str | None) -> None:
    """Draw, check and write joint instances beside pools.

    Raises:
        typer.Exit: the check disagrees, and nothing is written.
    """
    from optimizer.graph.beside import build_beside_graph
    from optimizer.render.files import write_out
    from optimizer.render.graph_words import beside_graph_sentences
    from optimizer.verify.pools.graph_beside import verify_beside_graph

    found = build_beside_graph(problem, answer)
    checked = verify_beside_graph(problem, answer, found)
    if checked.passed:
        write_out(_lines_of_both(found, checked, format), out)
    keeps_rules = answer.feasible is not False
    for sentence in beside_graph_sentences(found, checked, keeps_rules=keeps_rules, out=out):
        typer.echo(sentence, err=True)
    if not checked.passed:
        raise typer.Exit(codes.UNDECIDED)


def _lines_of_both(found: BesideGraph, checked: GraphCheck, format: str) -> Iterator[str]:
    if format in ("json", "graphml"):
        from optimizer.render.beside_graph_data import beside_graphml_lines, beside_json_lines

        return beside_json_lines(found, checked) if format == "json" else beside_graphml_lines(found)
    from optimizer.render.beside_graph_pictures import beside_dot_lines, beside_mermaid_lines

    return beside_dot_lines(found) if format == "dot" else beside_mermaid_lines(found)


def write_pools(problem: Problem | InventoryProblem, answer: Any, format: str, out: str | None) -> None:
    """Draw, check and write the pools of an answer.

    Raises:
        typer.Exit: the check disagrees, and nothing is written.
    """
    from optimizer.graph.pools import build_pool_graph
    from optimizer.render.files import write_out
    from optimizer.render.graph_words import pool_graph_sentences
    from optimizer.verify.pools.graph_check import verify_pool_graph

    found = build_pool_graph(problem, answer)
    checked = verify_pool_graph(problem, answer, found)
    if checked.passed:
        write_out(_lines(found, checked, format), out)
    keeps_rules = all(rule.holds or not rule.enabled for rule in answer.rules)
    for sentence in pool_graph_sentences(found, checked, keeps_rules=keeps_rules, out=out):
        typer.echo(sentence, err=True)
    if not checked.passed:
        raise typer.Exit(codes.UNDECIDED)


def _no_step(given: dict[str, bool], format: str) -> None:
    """Refuse what shows a decode step: pools are drawn by where they stand."""
    from optimizer.facts.errors import ProblemError

    for option, stated in given.items():
        if stated:
            raise ProblemError(
                option, "is of a decode step; prefill and decode pools are drawn by where they stand, leave it out"
            )
    if format == "perfetto":
        raise ProblemError(
            "--format",
            "perfetto shows the times of a decode step; prefill and decode pools are drawn by where they stand and what "
            "crosses between them: json, graphml, dot or mermaid",
        )


def _lines(found: PoolGraph, checked: GraphCheck, format: str) -> Iterator[str]:
    if format == "json":
        from optimizer.render.pool_graph_data import pool_json_lines

        return pool_json_lines(found, checked)
    if format == "graphml":
        from optimizer.render.pool_graph_data import pool_graphml_lines

        return pool_graphml_lines(found)
    from optimizer.render.pool_graph_pictures import pool_dot_lines, pool_mermaid_lines

    return pool_dot_lines(found) if format == "dot" else pool_mermaid_lines(found)
