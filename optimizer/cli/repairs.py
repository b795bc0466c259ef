"""Options of ``solve`` and ``check`` about conflicts and repairs: list every conflict, write the repaired problem file."""

from __future__ import annotations

from typing import TYPE_CHECKING, Annotated

import typer

if TYPE_CHECKING:
    from optimizer.reading.stated import Stated
    from optimizer.results.answer import Answer
    from optimizer.results.inventory import InventoryAnswer

AllConflicts = Annotated[
    bool, typer.Option("--all-conflicts", help="List every minimal conflict, up to 20, not only the plainest.")
]
ApplyRepair = Annotated[
    int | None, typer.Option("--apply-repair", help="Write the problem file with repair N made.", metavar="N")
]
Out = Annotated[
    str | None, typer.Option("--out", help="Where --apply-repair writes (YAML; JSON for .json).", metavar="FILE")
]
Force = Annotated[bool, typer.Option("--force", help="Let --out replace a file that exists.")]


def check_options(number: int | None, out: str | None, force: bool) -> None:
    """Refuse combinations that mean nothing before any time is spent.

    Raises:
        ProblemError: one of the two options is missing, or the file exists and may not be replaced.
    """
    from pathlib import Path

    from optimizer.facts.errors import ProblemError
    from optimizer.facts.paths import is_folder, is_there

    if number is not None and number < 1:
        raise ProblemError("--apply-repair", f"{number} is not allowed; repairs are counted from 1")
    if (number is None) != (out is None):
        missing, there = ("--out", "--apply-repair N") if out is None else ("--apply-repair", "--out FILE")
        raise ProblemError(missing, f"is needed with {there}")
    if out is not None and is_there(out) and not force:
        raise ProblemError("--out", f"{out} exists already; choose another name or add --force")
    if out is not None and not is_folder(Path(out).parent):
        raise ProblemError("--out", f"{Path(out).parent} is no directory")


def apply(
    stated: Stated, answer: Answer | InventoryAnswer, number: int | None, out: str | None, force: bool
) -> str | None:
    """Write the problem file with a repair made; what to tell the person, or None when nothing was asked.

    Raises:
        ProblemError: there is no such repair, or the file cannot be written.
    """
    if number is None or out is None:
        return None
    from optimizer.explain.uniform.repair import changed_stated
    from optimizer.facts.errors import ProblemError
    from optimizer.reading.stated import write_stated

    if number > len(answer.repairs):
        found = len(answer.repairs)
        there = f"there {'is' if found == 1 else 'are'} {found}" if found else "there are no repairs here"
        why = "" if answer.status == "infeasible" else f"; the problem is {answer.status}"
        raise ProblemError("--apply-repair", f"{number} is not allowed; {there}{why}")
    repair = answer.repairs[number - 1]
    write_stated(changed_stated(stated, repair), out, overwrite=force)
    return f"Wrote {out} with repair {number}; comments of the original file are not kept."


def say_none(answer: Answer | InventoryAnswer, *, asked: bool) -> None:
    """Why an infeasible answer shows no repairs: none was asked for, or none helps."""
    from optimizer.explain.common.patience import NOT_ALL_TRIED

    if not answer.conflicts or answer.repairs or NOT_ALL_TRIED in answer.explanation:
        return
    if asked:
        typer.echo("  No change that was considered helps: see docs/explanations.md for what may be changed.")
    else:
        typer.echo("  Add --repairs for the smallest changes of the problem file that would make it feasible.")


def tell(said: str | None) -> None:
    """Say on standard error what was written, so that JSON on standard output stays whole."""
    if said is not None:
        typer.echo(said, err=True)
