"""``optimizer deploy`` of several models, and of a plan for a day: what is solved, and which files it becomes."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, NoReturn, cast

import typer

from optimizer.questions import codes

if TYPE_CHECKING:
    from optimizer.facts.profile import ProfileProblem
    from optimizer.facts.several import SeveralProblem
    from optimizer.reading.question import Question


def deploy_together(
    question: Question,
    *,
    target: str,
    out: str | None,
    version: str | None,
    assume: str | None,
    image: str | None,
    namespace: str,
    hosts: str | None,
    limit: float | None,
    force: bool,
    not_taken: dict[str, Any],
) -> None:
    """Write the files, or leave with a sentence.

    Args:
        not_taken: options that say nothing about these kinds of problem, with what was given.

    Raises:
        ProblemError: such an option, a target that cannot express it, or an engine that cannot run a strategy.
    """
    from optimizer.facts.errors import ProblemError
    from optimizer.questions.deploy_together import files_of_day, files_of_several
    from optimizer.questions.solve import solve
    from optimizer.render.folder import write_folder
    from optimizer.render.progress import LiveLine

    if question.kind == "models":
        not_taken = {**not_taken, "--hosts": hosts}
    for option, given in not_taken.items():
        if given is not None:
            what = "several models" if question.kind == "models" else "a plan for a day"
            raise ProblemError(option, f"is not taken with {what}; state it in the problem file, or leave it out")
    with LiveLine() as live:
        answer: Any = solve(question.problem, time_limit_s=limit, progress=live, repairs=False)
    name = question.problem.name
    if answer.status == "unknown":
        _stop(name, " ".join(answer.explanation), codes.UNDECIDED)
    if not answer.verification.passed:
        _stop(name, "the answer was not confirmed by the verification; nothing was written", codes.UNDECIDED)
    if answer.status == "infeasible":
        _stop(name, "nothing keeps every rule, so there is nothing to launch; `optimizer solve` says why", codes.NO)
    asked = {"version": version, "assume": assume, "image": image, "namespace": namespace}
    if question.kind == "models":
        files = files_of_several(cast("SeveralProblem", question.problem), answer, target, **asked)
    else:
        files = files_of_day(cast("ProfileProblem", question.problem), answer, target, hosts=hosts, **asked)
    written = write_folder(files, out, overwrite=force)
    typer.echo(f"{name}: {answer.label}.", err=True)
    if out is not None:
        start = "README.md" if question.kind == "models" else "README.md and SCHEDULE.md"
        typer.echo(
            f"Wrote {written} files to {out}; {start} there say{'s' if question.kind == 'models' else ''} how to start.",
            err=True,
        )


def _stop(name: str, said: str, code: int) -> NoReturn:
    typer.echo(f"error: {name}: {said}", err=True)
    raise typer.Exit(code)
