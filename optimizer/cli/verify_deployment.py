"""``optimizer verify-deployment URL``: whether a running service is what was planned, and how it performs beside the prediction.

Exit codes: 0 nothing differs · 1 something differs · 2 bad input, or nothing answers at the URL · 3 no verified plan to hold it against.
"""

from __future__ import annotations

import inspect
from typing import TYPE_CHECKING, Annotated

import typer

from optimizer.cli.asking import asks
from optimizer.cli.options import Decode, OwnPrefill
from optimizer.facts.engine_names import NAMED

if TYPE_CHECKING:
    from optimizer.reading.question import Question
    from optimizer.results.answer import Fixed


def register(app: typer.Typer) -> None:
    """Add the command."""
    command = asks(verify_deployment, without=("engine",))
    signature = inspect.signature(command)
    # The address stands before the problem.
    url, *others = sorted(signature.parameters.values(), key=lambda one: one.name != "url")
    first = url.replace(kind=inspect.Parameter.POSITIONAL_OR_KEYWORD)
    command.__signature__ = inspect.Signature([first, *others])  # type: ignore[attr-defined]
    app.command("verify-deployment")(command)


def verify_deployment(
    question: Question,
    fixed: Fixed,
    url: Annotated[str, typer.Argument(help="Of the router, or of the only engine: http://HOST:PORT.", metavar="URL")],
    prefill: OwnPrefill = None,
    decode: Decode = None,
    engines: Annotated[
        str | None, typer.Option("--engines", help="Engines to ask one by one: HOST:PORT,HOST:PORT,…")
    ] = None,
    log: Annotated[
        list[str] | None, typer.Option("--log", help="Start-up log of an engine; may be repeated.", metavar="FILE")
    ] = None,
    load: Annotated[
        str | None, typer.Option("--load", help="Result of vllm bench serve --save-result.", metavar="JSON")
    ] = None,
    requests: Annotated[
        int | None, typer.Option("--measure", help="Send so many requests of our own at the planned rate.", metavar="N")
    ] = None,
    engine: Annotated[str | None, typer.Option("--engine", help=f"{NAMED}; left out, the problem's.")] = None,
    model_id: Annotated[str | None, typer.Option("--model-id", help="What the engines load, as for deploy.")] = None,
    json_: Annotated[bool, typer.Option("--json", help="Findings as JSON.")] = False,
) -> None:
    """Ask a running service whether it is what was planned, and name each difference."""
    from optimizer.cli.deploy import planned
    from optimizer.questions.verify_deployment import findings_of
    from optimizer.reading.pools import pools_of
    from optimizer.render.findings import findings_json, findings_text

    service, answer = planned(question, fixed, pools_of(prefill, decode), engine, model_id)
    found = findings_of(service, answer, url, engines=engines, logs=tuple(log or ()), load=load, requests=requests)
    typer.echo(findings_json(found) if json_ else findings_text(service.title, found))
    raise typer.Exit(1 if any(one.same is False for one in found) else 0)
