"""``optimizer report``: the report of an answer as Markdown, JSON and one HTML file.

Exit codes: 0 every rule holds · 1 proved infeasible, or a rule is broken · 2 bad input · 3 a limit was reached without an
answer, or the verifier disagrees. The report is written in every case but bad input.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Annotated

import typer

from optimizer.cli.costs import Costs, CostTableFile, apply_costs

if TYPE_CHECKING:
    from pathlib import Path

    from optimizer.facts.problem import Problem
    from optimizer.facts.recovery import RecoveryFacts
    from optimizer.reading.stated import Stated
    from optimizer.results.answer import Answer, Fixed

OK, VIOLATED, LIMIT_REACHED = 0, 1, 3

ProblemPath = Annotated[str, typer.Argument(help="Problem file, YAML or JSON.", metavar="PROBLEM")]


def register(app: typer.Typer) -> None:
    """Add the command."""
    app.command("report")(report)


def report(
    problem: ProblemPath,
    out: Annotated[
        str, typer.Option("--out", help="Folder for report.md, report.json and report.html.", metavar="DIR")
    ],
    tp: Annotated[int | None, typer.Option("--tp", help="Tensor parallel size.")] = None,
    pp: Annotated[int | None, typer.Option("--pp", help="Pipeline parallel size.")] = None,
    dp: Annotated[int | None, typer.Option("--dp", help="Data parallel size: replicas.")] = None,
    ep: Annotated[int | None, typer.Option("--ep", help="Expert parallel size.")] = None,
    max_num_seqs: Annotated[int | None, typer.Option("--max-num-seqs", help="Sequences per replica at once.")] = None,
    layers: Annotated[str | None, typer.Option("--layers", help="Layers per stage, e.g. 20,20,20,20.")] = None,
    weights: Annotated[str | None, typer.Option("--weights", help="Weight format, e.g. fp16 or fp8.")] = None,
    kv: Annotated[str | None, typer.Option("--kv", help="KV cache format: fp16, bf16 or fp8.")] = None,
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
    from optimizer.cli.options import fixed_of, time_limit_of, trace_file
    from optimizer.reading.stated import load_stated
    from optimizer.reporting.build import build_report
    from optimizer.reporting.curves import load_pareto, load_sweep
    from optimizer.reporting.written.files import check_report, write_report

    fixed = fixed_of(tp, pp, dp, ep, max_num_seqs, layers, weights, kv)
    limit, requests = time_limit_of(time_limit), trace_file(trace)
    check_report(out, html)
    recovery = _recovery(engine_start_s, storage_gb_per_s)
    front, curve = load_pareto(pareto), load_sweep(sweep)
    _refuse_other_kinds(problem)
    file = load_stated(problem)
    stated = apply_costs(file.problem(), costs, table, fixed)
    answer = _answer(stated, file, fixed, limit, requests)
    built = build_report(stated, answer, file, recovery, front=front, curve=curve)
    for path in write_report(built, answer, out, html=html):
        typer.echo(f"Wrote {path}.")
    typer.echo(f"{built.report.verdict.upper()}: {built.report.headline}.")
    raise typer.Exit(_code(answer, bool(built.report.disagreeing)))


def _refuse_other_kinds(path: str) -> None:
    """Chains and inventories have answers of another kind."""
    from pathlib import Path

    from optimizer.facts.errors import ProblemError
    from optimizer.facts.files import read_mapping
    from optimizer.reading.inventory_file import is_inventory

    values = read_mapping(Path(path), path)
    if values.get("kind") == "chain":
        raise ProblemError("kind", "chain has no report; optimizer solve FILE --svg chains.svg draws its placement")
    if is_inventory(values):
        raise ProblemError(
            "cluster", "an inventory has no report yet; optimizer solve FILE prints its pools and losses"
        )


def _recovery(engine_start_s: float | None, storage_gb_per_s: float | None) -> RecoveryFacts:
    from math import isfinite

    from optimizer.catalog.recovery import recovery_facts
    from optimizer.facts.errors import ProblemError

    if engine_start_s is not None and not (isfinite(engine_start_s) and engine_start_s >= 0):
        raise ProblemError("--engine-start-s", f"{engine_start_s} is not allowed; seconds, 0 or more")
    if storage_gb_per_s is not None and not (isfinite(storage_gb_per_s) and storage_gb_per_s > 0):
        raise ProblemError("--storage-gb-per-s", f"{storage_gb_per_s} is not allowed; 10^9 bytes per second, above 0")
    return recovery_facts(engine_start_s, storage_gb_per_s)


def _answer(problem: Problem, file: Stated, fixed: Fixed, limit: float | None, trace: Path | None) -> Answer:
    """The answer that the report is about, simulated."""
    from optimizer.questions.uniform import check, simulate, solve
    from optimizer.render.progress import LiveLine

    with LiveLine() as live:
        if any(getattr(fixed, name) is not None for name in type(fixed).__dataclass_fields__):
            found: Answer = check(problem, fixed, time_limit_s=limit, progress=live, stated=file)
        else:
            found = solve(problem, time_limit_s=limit, progress=live, stated=file)
        return simulate(problem, found, trace=trace)


def _code(answer: Answer, defect: bool) -> int:
    from optimizer.results.answer import CheckAnswer

    disagrees = answer.verification.checks > 0 and not answer.verification.passed
    if disagrees or defect:
        typer.echo("error: a check of the report's own numbers disagrees; do not rely on it", err=True)
        return LIMIT_REACHED
    if answer.status == "unknown" or (isinstance(answer, CheckAnswer) and answer.feasible is None):
        return LIMIT_REACHED
    return VIOLATED if answer.status == "infeasible" else OK
