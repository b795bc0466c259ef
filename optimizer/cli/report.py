"""``optimizer report``: the report of an answer as Markdown, JSON and one HTML file.

Exit codes: 0 every rule holds · 1 proved infeasible, or a rule is broken · 2 bad input · 3 a limit was reached without an
answer, or the verifier disagrees. The report is written in every case but bad input.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Annotated, Any

import typer

from optimizer.cli.asking import asks
from optimizer.cli.costs import Costs, CostTableFile, with_costs_asked
from optimizer.cli.options import Decode, OwnPrefill, Share, time_limit_of, trace_file
from optimizer.questions import codes

if TYPE_CHECKING:
    from pathlib import Path

    from optimizer.facts.recovery import RecoveryFacts
    from optimizer.reading.question import Question
    from optimizer.results.answer import Fixed
    from optimizer.results.pools import FixedPools


def register(app: typer.Typer) -> None:
    """Add the command."""
    app.command("report")(asks(report))


def report(
    question: Question,
    fixed: Fixed,
    out: Annotated[
        str, typer.Option("--out", help="Folder for report.md, report.json and report.html.", metavar="DIR")
    ],
    prefill: OwnPrefill = None,
    decode: Decode = None,
    share: Share = None,
    trace: Annotated[
        str | None,
        typer.Option("--trace", help="Simulate on the requests of this CSV instead of Poisson.", metavar="FILE"),
    ] = None,
    sweep: Annotated[
        str | None, typer.Option("--sweep", help="Draw this sweep too (JSON Lines of optimizer sweep).", metavar="FILE")
    ] = None,
    pareto: Annotated[
        str | None,
        typer.Option("--pareto", help="Draw this Pareto front too (JSON of optimizer pareto).", metavar="FILE"),
    ] = None,
    engine_start_s: Annotated[
        float | None,
        typer.Option("--engine-start-s", help="Seconds an engine needs to start, weights apart.", metavar="S"),
    ] = None,
    storage_gb_per_s: Annotated[
        float | None,
        typer.Option("--storage-gb-per-s", help="Rate at which a node reads weights, GB/s.", metavar="RATE"),
    ] = None,
    html: Annotated[bool, typer.Option(help="Write report.html with pictures (needs the extra [report]).")] = True,
    time_limit: Annotated[
        float | None, typer.Option("--time-limit", help="Seconds for the search.", metavar="SECONDS")
    ] = None,
    costs: Costs = "analytic",
    table: CostTableFile = None,
) -> None:
    """The report of the best strategy, or of a given one: Markdown, JSON and one HTML file with pictures."""
    from optimizer.reading.pools import pools_of
    from optimizer.reporting.ask import report as ask
    from optimizer.reporting.curves import load_pareto, load_sweep
    from optimizer.reporting.written.files import check_report, without_extras, write_report

    limit, requests = time_limit_of(time_limit), trace_file(trace)
    check_report(out)
    lacking = without_extras() if html else None
    recovery = _recovery(engine_start_s, storage_gb_per_s)
    front, curve = load_pareto(pareto), load_sweep(sweep)
    problem = with_costs_asked(question, trace, costs, table, fixed)
    answer = _answer(problem, question, fixed, pools_of(prefill, decode), share, limit, requests)
    problem = problem.decided(answer.decided) if hasattr(answer, "decided") else problem
    built = ask(problem, answer, stated=question.stated, recovery=recovery, front=front, curve=curve)
    for path in write_report(built, answer, out, html=html and lacking is None):
        typer.echo(f"Wrote {path}.")
    if lacking is not None:
        typer.echo(lacking)
    typer.echo(f"{built.report.verdict.upper()}: {built.report.headline}.")
    disagreeing = bool(built.report.disagreeing)
    if disagreeing or codes.refuted(answer.verification):
        typer.echo("error: a check of the report's own numbers disagrees; do not rely on it", err=True)
    raise typer.Exit(codes.of_report(answer, disagreeing))


def _recovery(engine_start_s: float | None, storage_gb_per_s: float | None) -> RecoveryFacts:
    from math import isfinite

    from optimizer.catalog.recovery import recovery_facts
    from optimizer.facts.errors import ProblemError

    if engine_start_s is not None and not (isfinite(engine_start_s) and engine_start_s >= 0):
        raise ProblemError("--engine-start-s", f"{engine_start_s} is not allowed; seconds, 0 or more")
    if storage_gb_per_s is not None and not (isfinite(storage_gb_per_s) and storage_gb_per_s > 0):
        raise ProblemError("--storage-gb-per-s", f"{storage_gb_per_s} is not allowed; 10^9 bytes per second, above 0")
    return recovery_facts(engine_start_s, storage_gb_per_s)


def _answer(
    problem: Any,
    question: Question,
    fixed: Fixed,
    pools: FixedPools | None,
    share: float | None,
    limit: float | None,
    trace: Path | None,
) -> Any:
    """The answer that the report is about, simulated."""
    from optimizer.questions.check import check
    from optimizer.questions.simulate import simulate
    from optimizer.questions.solve import solve
    from optimizer.render.progress import LiveLine

    with LiveLine() as live:
        found: Any
        if fixed.any or pools is not None or share is not None:
            found = check(
                problem,
                fixed,
                pools=pools,
                share=share,
                time_limit_s=limit,
                progress=live,
                stated=question.stated,
            )
        else:
            found = solve(problem, time_limit_s=limit, progress=live, stated=question.stated)
        return simulate(problem, found, trace=trace)
