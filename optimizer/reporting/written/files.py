"""The files of a report in a folder: each appears whole or not at all."""

from __future__ import annotations

from collections.abc import Iterator
from importlib.util import find_spec
from pathlib import Path
from typing import TYPE_CHECKING

from optimizer.facts.errors import ProblemError
from optimizer.facts.paths import is_folder, is_there
from optimizer.render.as_json import dumps
from optimizer.render.envelope import envelope
from optimizer.render.files import write_out
from optimizer.reporting.build import Built
from optimizer.reporting.written.json import report_data
from optimizer.reporting.written.markdown import report_markdown

if TYPE_CHECKING:
    from optimizer.results.kinds import AnyAnswer

NEEDED = ("jinja2", "matplotlib")


def without_extras() -> str | None:
    """Why there is no report.html, and how to get it; None where what it needs is installed."""
    missing = [name for name in NEEDED if find_spec(name) is None]
    if not missing:
        return None
    return (
        f"report.html was not written: it needs {' and '.join(missing)}; python3 -m pip install "
        "'parallel-strategy-optimizer[report]' installs what is missing."
    )


def check_report(out: str) -> None:
    """Refuse what cannot be written before any time is spent.

    Raises:
        ProblemError: the folder cannot be made.
    """
    folder = Path(out)
    if is_there(folder) and not is_folder(folder):
        raise ProblemError("--out", f"{out} is a file; the name of a folder is needed")
    try:
        folder.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise ProblemError("--out", f"{out} cannot be made ({error.strerror or error})") from None


def write_report(built: Built, answer: AnyAnswer, out: str, *, html: bool) -> Iterator[Path]:
    """Write report.md, report.json, report.html and pictures that have files of their own; the path of each as it is written.

    Raises:
        ProblemError: a file cannot be written.
    """
    folder = Path(out)
    texts = {
        "report.md": report_markdown(built.report),
        "report.json": dumps({**report_data(built.report), "answer": envelope(answer)}) + "\n",
    }
    texts |= {f"{name}.svg": svg for name, svg in built.drawn.items()}
    if html:
        from optimizer.reporting.written.html import report_html

        texts["report.html"] = report_html(built)
    for name, text in texts.items():
        write_out([text], str(folder / name))
        yield folder / name
