"""A report as one HTML file: no network, no scripts, light and dark, on a phone, on a desk and on paper."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import jinja2
from markupsafe import Markup

from optimizer.reporting.build import Built
from optimizer.reporting.document import Figure, Status, Text
from optimizer.reporting.written.markdown import MARKS, VERDICTS, anchor, derivations_sentence

TEMPLATES = Path(__file__).parent.parent / "templates"
MARK_WORDS = {"pass": "good", "fail": "broken", "warn": "mind", "info": "note"}


def report_html(built: Built) -> str:
    """The whole page; pictures are drawn here."""
    report = built.report
    drawn = dict(built.drawn)
    if built.subject is not None or built.front or built.curve:
        from optimizer.reporting.pictures.of_report import pictures_of

        drawn |= pictures_of(report, built.subject, built.front, built.curve)
    for name, part in built.parts.items():
        from optimizer.reporting.pictures.of_report import pictures_of

        found = pictures_of(part.report, part.subject, part.front, part.curve)
        drawn |= {f"{name}-{id}": picture for id, picture in found.items()}
    page = _environment().get_template("report.html.j2")
    evaluated = [one for one in report.derivations if one.agrees is not None]
    return page.render(
        report=report,
        style=Markup((TEMPLATES / "report.css").read_text(encoding="utf-8")),
        pictures={id: Markup(svg) for id, svg in drawn.items()},
        verdict=VERDICTS[report.verdict],
        marks=MARKS,
        mark_words=MARK_WORDS,
        derivations_sentence=derivations_sentence(len(evaluated), len(report.disagreeing)),
    )


def _environment() -> jinja2.Environment:
    env = jinja2.Environment(
        loader=jinja2.FileSystemLoader(TEMPLATES),
        autoescape=True,
        undefined=jinja2.StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
    )
    env.filters["anchor"] = anchor
    env.tests["figure"] = _is(Figure)
    env.tests["status"] = _is(Status)
    env.tests["text"] = _is(Text)
    env.filters["kind"] = lambda block: type(block).__name__
    return env


def _is(kind: type) -> Any:
    return lambda value: isinstance(value, kind)
