"""``why-not``, ``why-this`` and ``how-sure``: what speaks against a strategy, for the answer, and how far it holds.

Exit codes: 0 answered (``why-not`` of a strategy that is worse, a tie or the best is an answer) · 1 not allowed, or the
problem is infeasible · 2 bad input.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING, Annotated, Any

import typer

from optimizer.cli.options import Json

if TYPE_CHECKING:
    from optimizer.render.progress import LiveLine

OK, INFEASIBLE = 0, 1

ProblemPath = Annotated[str, typer.Argument(help="Problem file, YAML or JSON.", metavar="PROBLEM")]


def register(app: typer.Typer) -> None:
    """Add the three commands."""
    app.command("why-not")(why_not)
    app.command("why-this")(why_this)
    app.command("how-sure")(how_sure)


def why_not(
    problem: ProblemPath,
    tp: Annotated[int | None, typer.Option("--tp", help="Tensor parallel size.")] = None,
    pp: Annotated[int | None, typer.Option("--pp", help="Pipeline parallel size.")] = None,
    dp: Annotated[int | None, typer.Option("--dp", help="Data parallel size: replicas.")] = None,
    ep: Annotated[int | None, typer.Option("--ep", help="Expert parallel size.")] = None,
    max_num_seqs: Annotated[int | None, typer.Option("--max-num-seqs", help="Sequences per replica at once.")] = None,
    layers: Annotated[str | None, typer.Option("--layers", help="Layers per stage, e.g. 20,20,20,20.")] = None,
    weights: Annotated[str | None, typer.Option("--weights", help="Weight format, e.g. fp16 or fp8.")] = None,
    kv: Annotated[str | None, typer.Option("--kv", help="KV cache format: fp16, bf16 or fp8.")] = None,
    json: Json = False,
) -> None:
    """Why a strategy, or part of one, is not the answer: not allowed, worse, a tie; and when it would win."""
    from optimizer.cli.options import fixed_of
    from optimizer.explain.uniform.why_not import why_not as run
    from optimizer.facts.errors import ProblemError
    from optimizer.questions.uniform import check_fixed
    from optimizer.reading.stated import load_stated
    from optimizer.render.why import print_why_not, why_not_data

    fixed = fixed_of(tp, pp, dp, ep, max_num_seqs, layers, weights, kv)
    if not any(getattr(fixed, name) for name in type(fixed).__dataclass_fields__):
        raise ProblemError("why-not", "needs at least one decision, e.g. --tp 8 --pp 1")
    stated = load_stated(problem)
    resolved = stated.problem()
    check_fixed(resolved, fixed)
    with _live():
        found = run(resolved, stated, fixed)
    _print(why_not_data(found) if json else None, lambda: print_why_not(found))
    raise typer.Exit(INFEASIBLE if found.verdict == "not allowed" else OK)


def why_this(problem: ProblemPath, json: Json = False) -> None:
    """Why the answer cannot be improved: what stands against anything better, and what each limit is worth."""
    from optimizer.explain.uniform.why_this import why_this as run
    from optimizer.reading.stated import load_stated
    from optimizer.render.why import print_why_this, why_this_data

    stated = load_stated(problem)
    with _live():
        found = run(stated.problem(), stated)
    _print(why_this_data(found) if json else None, lambda: print_why_this(found))
    raise typer.Exit(OK if found.strategy is not None else INFEASIBLE)


def how_sure(problem: ProblemPath, json: Json = False) -> None:
    """Over which range of each uncertain fact the answer stays the best, and what it switches to beyond."""
    from optimizer.explain.uniform.how_sure import how_sure as run
    from optimizer.reading.stated import load_stated
    from optimizer.render.why import how_sure_data, print_how_sure

    stated = load_stated(problem)
    with _live():
        found = run(stated.problem(), stated)
    _print(how_sure_data(found) if json else None, lambda: print_how_sure(found))
    raise typer.Exit(OK if found.strategy is not None else INFEASIBLE)


def _live() -> LiveLine:
    from optimizer.render.progress import LiveLine

    return LiveLine()


def _print(data: dict[str, Any] | None, show: Callable[[], None]) -> None:
    from optimizer.render.as_json import dumps

    if data is None:
        show()
    else:
        typer.echo(dumps(data))
