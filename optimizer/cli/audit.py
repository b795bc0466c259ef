"""The ``optimizer audit`` command: reads a report, calls ``audit``, prints.

Exit codes: 0 nothing is refuted or contradicted · 1 something is · 2 bad input.
"""

from __future__ import annotations

from typing import Annotated

import typer

from optimizer.cli.options import Json

LARGEST_REPORT_BYTES = 4 * 1024 * 1024


def register(app: typer.Typer) -> None:
    """Add the command."""
    app.command("audit")(audit)


def audit(
    report: Annotated[str, typer.Argument(help="Report, Markdown or plain text.", metavar="REPORT")],
    problem: Annotated[str, typer.Option("--problem", help="Problem file, YAML or JSON.", metavar="FILE")],
    json: Json = False,
    markdown: Annotated[
        bool, typer.Option("--markdown", help="Print the report with a verdict beside each claim.")
    ] = False,
) -> None:
    """Each claim of a written report: confirmed, refuted, contradicted or unsupported."""
    from optimizer.auditing.ask import audit as run
    from optimizer.facts.errors import ProblemError
    from optimizer.reading.question import load_problem
    from optimizer.render.progress import LiveLine

    if json and markdown:
        raise ProblemError("--json", "cannot be combined with --markdown; choose one")
    stated = load_problem(problem)
    text = _read(report)
    with LiveLine() as live:
        live.say("judging the claims")
        result = run(text, stated)
    if json:
        from optimizer.render.as_json import dumps
        from optimizer.render.audit import audit_data

        typer.echo(dumps(audit_data(result)))
    elif markdown:
        from optimizer.render.audit import audit_markdown

        typer.echo(audit_markdown(result, text))
    else:
        from optimizer.render.audit import print_audit

        print_audit(result)
    raise typer.Exit(1 if result.accused else 0)


def _read(path: str) -> str:
    from pathlib import Path

    from optimizer.reading.files import read_text

    return read_text(Path(path), path, largest=LARGEST_REPORT_BYTES, what="report", lenient=True)
