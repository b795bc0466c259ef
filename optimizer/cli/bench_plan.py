"""``optimizer bench-plan``: which runs on a person's own machine would narrow the answer's interval most, as ready commands.

Exit codes: 0 planned · 1 no strategy keeps every rule · 2 bad input · 3 a limit was reached without an answer.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Annotated, cast

import typer

from optimizer.cli.calibrate import Constants
from optimizer.cli.options import Json, time_limit_of
from optimizer.questions import codes

if TYPE_CHECKING:
    from optimizer.facts.problem import Problem


def register(app: typer.Typer) -> None:
    """Add the command."""
    app.command("bench-plan")(bench_plan)


def bench_plan(
    problem: Annotated[str, typer.Argument(help="Problem file, YAML or JSON, of equal nodes.", metavar="PROBLEM")],
    runs: Annotated[int, typer.Option("--runs", help="How many runs to plan, 5 to 10.", metavar="N")] = 6,
    constants: Constants = None,
    time_limit: Annotated[
        float | None, typer.Option("--time-limit", help="Seconds for the search.", metavar="SECONDS")
    ] = None,
    json: Json = False,
) -> None:
    """Which few runs on your own machine would narrow the answer's interval most, as commands to paste."""
    from optimizer.deployment.bench import bench_commands
    from optimizer.facts.errors import ProblemError
    from optimizer.questions.bench_plan import bench_plan as ask
    from optimizer.questions.bench_plan import checked_layouts
    from optimizer.questions.uniform import solve
    from optimizer.reading.question import load_question
    from optimizer.render.bench_plan import bench_plan_data, bench_plan_text
    from optimizer.render.progress import LiveLine

    question = load_question(problem)
    if question.kind in ("models", "day"):
        from optimizer.questions.refused import not_of

        raise not_of(question.kind, "optimizer bench-plan")
    if question.kind != "uniform":
        raise ProblemError("kind", f"{question.kind}: runs are planned for equal nodes (hardware:) alone")
    asked = cast("Problem", question.problem)
    with LiveLine() as live:
        answer = solve(asked, time_limit_s=time_limit_of(time_limit), repairs=False, progress=live)
    if answer.strategy is None:
        typer.echo(f"error: {asked.name}: {' '.join(answer.explanation)}", err=True)
        raise typer.Exit(codes.UNDECIDED if answer.status == "unknown" else codes.NO)
    decided = asked.decided(answer.decided)
    plan = ask(decided, answer, runs)
    commands = bench_commands(decided, plan, checked_layouts(decided, answer, plan), problem)
    if json:
        from optimizer.render.as_json import dumps

        typer.echo(dumps(bench_plan_data(plan, commands)))
    else:
        typer.echo(bench_plan_text(plan, commands))
