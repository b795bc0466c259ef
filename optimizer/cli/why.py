"""``why-not``, ``why-this`` and ``how-sure``: what speaks against a strategy, for the answer, and how far it holds.

Exit codes: 0 answered (``why-not`` of a strategy that is worse, a tie or the best is an answer) · 1 not allowed, or the
problem is infeasible · 2 bad input · 3 not decided in time, or the independent verification disagrees.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING, Annotated, Any, NoReturn

import typer

from optimizer.cli.asking import asks
from optimizer.cli.options import Decode, Json, Prefill, Share, time_limit_of
from optimizer.questions import codes

if TYPE_CHECKING:
    from optimizer.reading.question import Question
    from optimizer.render.progress import LiveLine
    from optimizer.results.answer import Fixed, Verification

TimeLimit = Annotated[
    float | None, typer.Option("--time-limit", help="cluster, chain: seconds for each search.", metavar="SECONDS")
]


def register(app: typer.Typer) -> None:
    """Add the three commands."""
    app.command("why-not")(asks(why_not))
    app.command("why-this")(asks(why_this))
    app.command("how-sure")(asks(how_sure))


def why_not(
    question: Question,
    fixed: Fixed,
    node: Annotated[
        list[str] | None,
        typer.Option("--node", help="chain: layers that a node would hold, e.g. n0=0:10.", metavar="NAME=FIRST:LAYERS"),
    ] = None,
    prefill: Prefill = None,
    decode: Decode = None,
    serving: Annotated[
        str | None,
        typer.Option("--serving", help="Why not the best joint, disaggregated or side-by-side.", metavar="KIND"),
    ] = None,
    share: Share = None,
    time_limit: TimeLimit = None,
    json: Json = False,
) -> None:
    """Why a strategy, pools, or part of one, is not the answer: not allowed, worse, a tie; and when it would win."""
    from optimizer.questions.why_not import why_not as ask
    from optimizer.reading.pools import pools_of, serving_of
    from optimizer.reading.proposal import layers_option
    from optimizer.render.why import print_why_not, why_not_data

    layers, limit = layers_option(node or []), time_limit_of(time_limit)
    pools, kind = pools_of(prefill, decode), serving_of(serving)
    with _live() as live:
        found = ask(
            question.problem, fixed, layers=layers, pools=pools, serving=kind, share=share, stated=question.stated,
            time_limit_s=limit, progress=live,
        )  # fmt: skip
    _print(why_not_data(found) if json else None, lambda: print_why_not(found))
    _leave(codes.of_why_not(found), found.verification)


def why_this(question: Question, time_limit: TimeLimit = None, json: Json = False) -> None:
    """Why the answer cannot be improved: what stands against anything better, and what each limit (or node) is worth."""
    from optimizer.questions.why_this import why_this as ask
    from optimizer.render.why import print_why_this, why_this_data

    with _live() as live:
        found = ask(question.problem, stated=question.stated, time_limit_s=time_limit_of(time_limit), progress=live)
    _print(why_this_data(found) if json else None, lambda: print_why_this(found))
    _leave(codes.of_why_this(found), found.verification)


def how_sure(question: Question, time_limit: TimeLimit = None, json: Json = False) -> None:
    """Over which range of each uncertain fact the answer stays the best, and what it switches to beyond."""
    from optimizer.questions.how_sure import how_sure as ask
    from optimizer.render.why import how_sure_data, print_how_sure

    with _live() as live:
        found = ask(question.problem, stated=question.stated, time_limit_s=time_limit_of(time_limit), progress=live)
    data = how_sure_data(found)
    _print(data if json else None, lambda: print_how_sure(found))
    answered = data["strategy"] is not None or data["label"] is not None
    _leave(codes.of_how_sure(found, answered), found.verification)


def _leave(code: int, verification: Verification | None) -> NoReturn:
    """Exit with a code; with a message where the verifier does not confirm what was compared."""
    if verification is not None and verification.mismatches:
        from optimizer.results.answer import not_confirmed

        typer.echo(f"error: {not_confirmed(verification)}", err=True)
    raise typer.Exit(code)


def _live() -> LiveLine:
    from optimizer.render.progress import LiveLine

    return LiveLine()


def _print(data: dict[str, Any] | None, show: Callable[[], None]) -> None:
    from optimizer.render.as_json import dumps

    if data is None:
        show()
    else:
        typer.echo(dumps(data))
