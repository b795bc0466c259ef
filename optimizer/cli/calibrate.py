"""``optimizer calibrate``: constants of the model fitted to a person's own runs; ``--constants`` of solve and check.

Exit codes: 0 written · 2 bad input.
"""

from __future__ import annotations

from typing import Annotated

import typer

from optimizer.cli.options import Json

FEWEST_RUNS = 3


def _use(file: str | None) -> str | None:
    if file is not None:
        from pathlib import Path

        from optimizer.catalog.constants import use_values
        from optimizer.reading.files import read_mapping
        from optimizer.verify.common.arithmetic import constant

        use_values(read_mapping(Path(file), file, "the values of a file written by optimizer calibrate"), file)
        constant.cache_clear()
    return file


Constants = Annotated[
    str | None,
    typer.Option(
        "--constants",
        help="Constants of the cost model that optimizer calibrate wrote, instead of the shipped ones.",
        metavar="FILE",
        callback=_use,
        is_eager=True,
    ),
]


def register(app: typer.Typer) -> None:
    """Add the command."""
    app.command("calibrate")(calibrate)


def calibrate(
    runs: Annotated[
        list[str],
        typer.Argument(help="Measured runs, CSV (docs/accuracy.md names the columns).", metavar="RUNS.csv…"),
    ],
    out: Annotated[str, typer.Option("--out", help="Where to write the constants, for --constants.", metavar="FILE")],
    json: Json = False,
) -> None:
    """Fit the model's few constants to your own runs, near the shipped ones, and say how much better they predict."""
    from pathlib import Path

    from optimizer.costs.measured_runs import resolve
    from optimizer.facts.errors import ProblemError
    from optimizer.questions.calibrate import calibrate as ask
    from optimizer.reading.measured_names import Models
    from optimizer.reading.measurements import CLOSED_LOOP, UnusableRow, parse, read_table
    from optimizer.render.calibrate import calibrated_data, calibrated_text, calibrated_yaml
    from optimizer.writing.files import write_file

    models, usable, refused = Models(), [], dict[str, int]()
    for row in (row for file in runs for row in read_table(Path(file)).rows):
        try:
            run = resolve(parse(row), models)
            if run.row.kind != CLOSED_LOOP or not run.row.measured:
                raise UnusableRow("not a closed loop with ttft_ms and tpot_ms")
            usable.append(run)
        except UnusableRow as reason:
            refused[str(reason)] = refused.get(str(reason), 0) + 1
    if len(usable) < FEWEST_RUNS:
        said = "; ".join(f"{count} x {reason}" for reason, count in refused.items())
        raise ProblemError(
            " ".join(runs), f"has {len(usable)} usable runs, {FEWEST_RUNS} are needed{f' ({said})' if said else ''}"
        )
    found = ask(usable)
    write_file(Path(out), [calibrated_yaml(found, ", ".join(Path(file).name for file in runs))], "--out")
    if json:
        from optimizer.render.as_json import dumps

        typer.echo(dumps(calibrated_data(found, refused)))
    else:
        typer.echo(calibrated_text(found, refused, out))
