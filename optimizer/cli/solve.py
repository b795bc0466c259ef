"""``solve`` and ``check`` for problems of every kind: options read, the question asked, the answer printed.

Exit codes: 0 every rule holds · 1 proved infeasible, or a rule is broken · 2 bad input · 3 a limit was reached without an
answer, or the verifier disagrees.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Annotated, Any, NoReturn

import typer

from optimizer.cli.asking import asks
from optimizer.cli.calibrate import Constants
from optimizer.cli.costs import Costs, CostTableFile, with_costs_asked
from optimizer.cli.interrupted import answered
from optimizer.cli.options import Decode, Json, Prefill, Share, gap_of, time_limit_of, trace_file
from optimizer.cli.repairs import AllConflicts, ApplyRepair, Force, Out, apply, check_options, say_none, tell
from optimizer.questions import codes

if TYPE_CHECKING:
    from optimizer.reading.question import Question
    from optimizer.results.answer import Fixed
    from optimizer.results.chain import ChainAnswer
    from optimizer.results.kinds import AnyAnswer


TimeLimit = Annotated[
    float | None,
    typer.Option("--time-limit", help="Seconds for the whole command, verification included.", metavar="SECONDS"),
]
Gap = Annotated[
    str | None,
    typer.Option(
        "--gap", help="cluster, chain: stop when value and bound are this near (2%); else never.", metavar="SHARE"
    ),
]
Svg = Annotated[str | None, typer.Option("--svg", help="Draw the chains (kind: chain) to this file.", metavar="PATH")]
Trace = Annotated[
    str | None, typer.Option("--trace", help="Simulate on the requests of this CSV instead of Poisson.", metavar="FILE")
]
Full = Annotated[bool, typer.Option("--full", help="Every table: rules, breakdown, simulation, search limits.")]


def register(app: typer.Typer) -> None:
    """Add the two commands."""
    app.command("solve")(asks(solve))
    app.command("check")(asks(check))


def solve(
    question: Question,
    json: Json = False,
    full: Full = False,
    time_limit: TimeLimit = None,
    gap: Gap = None,
    svg: Svg = None,
    simulate: Annotated[bool, typer.Option(help="Simulate the answer's percentiles.")] = True,
    trace: Trace = None,
    costs: Costs = "analytic",
    table: CostTableFile = None,
    constants: Constants = None,
    all_conflicts: AllConflicts = False,
    apply_repair: ApplyRepair = None,
    out: Out = None,
    force: Force = False,
) -> None:
    """The provably best strategy for a problem, or why there is none; for kind: chain, the best placement."""
    from optimizer.questions.solve import solve as ask
    from optimizer.render.progress import LiveLine

    limit, enough = time_limit_of(time_limit), gap_of(gap)
    check_options(apply_repair, out, force)
    played = trace_file(trace)
    _check_svg(question, svg)
    problem = with_costs_asked(question, trace, costs, table, None)
    with LiveLine() as live:
        answer: Any = ask(
            problem,
            time_limit_s=limit,
            progress=live,
            stated=question.stated,
            all_conflicts=all_conflicts,
            gap=enough,
        )
        answered()
        if (simulate or trace) and question.kind not in ("models", "day"):
            answer = _simulated(problem, answer, played)
    # Of a chain that stands for instances, repairs are of the answer about instances.
    repairable: Any = getattr(answer, "instances", None) or (answer if question.kind != "chain" else None)
    said = apply(question.stated, repairable, apply_repair, out, force) if repairable else None
    if svg is not None:
        _draw(answer, svg)
    _show(problem, answer, json, full)
    if not json and repairable is answer:
        say_none(answer, asked=True)
    tell(said)
    _leave(answer, codes.of_solve(answer))


def check(
    question: Question,
    fixed: Fixed,
    prefill: Prefill = None,
    decode: Decode = None,
    share: Share = None,
    placement: Annotated[
        str | None,
        typer.Option("--placement", help="cluster, chain: judge this placement (docs/placements.md).", metavar="FILE"),
    ] = None,
    simulate: Annotated[bool, typer.Option(help="Simulate the strategy's percentiles.")] = False,
    repairs: Annotated[
        bool, typer.Option("--repairs", help="Find the smallest changes that help (JSON: always).")
    ] = False,
    trace: Trace = None,
    json: Json = False,
    full: Full = False,
    time_limit: TimeLimit = None,
    costs: Costs = "analytic",
    table: CostTableFile = None,
    constants: Constants = None,
    all_conflicts: AllConflicts = False,
    apply_repair: ApplyRepair = None,
    out: Out = None,
    force: Force = False,
) -> None:
    """Whether a strategy keeps every rule, each with its slack, and the optimum beside it."""
    from optimizer.questions.check import check as ask
    from optimizer.render.progress import LiveLine

    limit = time_limit_of(time_limit)
    check_options(apply_repair, out, force)
    played = trace_file(trace)
    problem = with_costs_asked(question, trace, costs, table, fixed)
    helping = repairs or json or apply_repair is not None
    with LiveLine() as live:
        answer: Any = ask(
            problem,
            fixed,
            placement=_placement(placement, question),
            pools=_pools(prefill, decode),
            share=share,
            time_limit_s=limit,
            progress=live,
            stated=question.stated,
            all_conflicts=all_conflicts,
            repairs=helping,
        )
        answered()
        if (simulate or trace) and question.kind != "models":
            answer = _simulated(problem, answer, played)
    said = apply(question.stated, answer, apply_repair, out, force) if question.kind != "chain" else None
    _show(problem, answer, json, full)
    if not json and question.kind != "chain" and placement is None:
        say_none(answer, asked=repairs or apply_repair is not None)
    tell(said)
    _leave(answer, codes.of_check(answer))


def _placement(path: str | None, question: Question) -> Any:
    if path is None:
        return None
    from optimizer.reading.proposal import load_proposal

    return load_proposal(path, question.kind)


def _pools(prefill: str | None, decode: str | None) -> Any:
    if prefill is None and decode is None:
        return None
    from optimizer.reading.pools import pools_of

    return pools_of(prefill, decode)


def _check_svg(question: Question, svg: str | None) -> None:
    from optimizer.facts.errors import ProblemError

    if svg is not None and question.kind != "chain":
        raise ProblemError(
            "--svg", "draws the chains of a problem of kind: chain only; optimizer report draws the others"
        )


def _simulated(problem: Any, answer: Any, trace: Any) -> Any:
    from optimizer.questions.simulate import simulate

    return simulate(problem, answer, trace=trace)


def _draw(answer: ChainAnswer, path: str) -> None:
    from optimizer.render.chain_svg import chain_svg
    from optimizer.writing.files import write_file

    write_file(path, [chain_svg(answer)], "--svg")


def _show(problem: Any, answer: AnyAnswer, as_json: bool, full: bool) -> None:
    if as_json:
        from optimizer.render.as_json import dumps
        from optimizer.render.envelope import envelope

        typer.echo(dumps(envelope(answer)))
        return
    from optimizer.render.answers import print_any

    print_any(answer, full=full, launch=_launch(problem, answer))


def _launch(problem: Any, answer: Any) -> tuple[str, ...]:
    """The launch line of what keeps every rule and was verified."""
    from optimizer.results.kinds import name_of

    kind = name_of(answer)
    if kind not in _LAUNCHED or answer.status not in ("optimal", "feasible"):
        return ()
    if not answer.verification.passed:
        return ()
    if kind in ("PoolsAnswer", "ClusterPoolsAnswer"):
        from optimizer.deployment.pools import pools_launch_lines

        return pools_launch_lines(problem, answer)
    from optimizer.deployment.line import launch_lines

    return launch_lines(problem, answer)


_LAUNCHED = ("Answer", "CheckAnswer", "InventoryAnswer", "PoolsAnswer", "ClusterPoolsAnswer")
"""Answers that one line says how to start."""


def _leave(answer: AnyAnswer, code: int) -> NoReturn:
    if codes.unverified(answer):
        typer.echo("error: interrupted before the answer was verified; do not rely on it", err=True)
    elif codes.refuted(answer.verification):
        typer.echo("error: the independent verification disagrees with the answer; do not rely on it", err=True)
    raise typer.Exit(code)
