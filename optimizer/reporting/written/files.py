"""The files of a report in a folder: each appears whole or not at all."""

from __future__ import annotations

from collections.abc import Iterator
from importlib.util import find_spec
from pathlib import Path

from optimizer.facts.errors import ProblemError
from optimizer.render.as_json import answer_data, dumps
from optimizer.render.files import write_out
from optimizer.reporting.build import Built
from optimizer.reporting.written.json import report_data
from optimizer.reporting.written.markdown import report_markdown
from optimizer.results.answer import Answer

NEEDED = ("jinja2", "matplotlib")


def check_report(out: str, html: bool) -> None:
    """Refuse what cannot be written before any time is spent.

    Raises:
        ProblemError: the folder cannot be made, or the extra that HTML needs is not installed.
    """
    folder = Path(out)
    if folder.exists() and not folder.is_dir():
        raise ProblemError("--out", f"{out} is a file; the name of a folder is needed")
    missing = [name for name in NEEDED if find_spec(name) is None]
    if html and missing:
        raise ProblemError(
            "--html",
            f"needs {' and '.join(missing)}: install the extra with pip install 'parallel-strategy-optimizer[report]', "
            "or add --no-html for Markdown and JSON only",
        )
    try:
        folder.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise ProblemError("--out", f"{out} cannot be made ({error.strerror or error})") from None


def write_report(built: Built, answer: Answer, out: str, *, html: bool) -> Iterator[Path]:
    """Write report.md, report.json and report.html into a folder; the path of each as it is written.

    Raises:
        ProblemError: a file cannot be written.
    """
    folder = Path(out)
    texts = {
        "report.md": report_markdown(built.report),
        "report.json": dumps({**report_data(built.report), "answer": answer_data(answer)}) + "\n",
    }
    if html:
        from optimizer.reporting.written.html import report_html

        texts["report.html"] = report_html(built)
    for name, text in texts.items():
        write_out([text], str(folder / name))
        yield folder / name
