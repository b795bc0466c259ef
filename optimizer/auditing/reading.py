"""From Markdown to statements: one per text line, list item line, table row or code line, with its source line.

Block structure comes from markdown-it; inline markup is stripped here because only the words and numbers matter.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from dataclasses import dataclass, field
from typing import Literal

from markdown_it import MarkdownIt
from markdown_it.token import Token

LONGEST_LINE = 2_000
SHELL = frozenset({"bash", "sh", "shell", "console", "zsh", "shell-session", "text", "txt", "plain", "plaintext", ""})
MATH = {
    "\\times": "×",
    "\\cdot": "×",
    "\\div": "÷",
    "\\approx": "≈",
    "\\leq": "≤",
    "\\le": "≤",
    "\\geq": "≥",
    "\\%": "%",
    "\\_": "_",
}

Kind = Literal["heading", "text", "row", "code"]


@dataclass(frozen=True, slots=True)
class Statement:
    """One line of the report that may hold claims.

    ``text`` has its markup removed, ``source`` is as written. ``cells`` and ``header`` belong to table rows,
    ``language`` to code. ``section`` is the chain of headings above.
    """

    line: int
    text: str
    source: str
    kind: Kind
    section: str
    cells: tuple[str, ...] = ()
    header: tuple[str, ...] = ()
    language: str = ""
    spans: tuple[str, ...] = field(default=())
    """Contents of code spans."""

    @property
    def readable(self) -> bool:
        """Whether recognisers should look at it: not absurdly long, not the code of a programming language."""
        return len(self.text) <= LONGEST_LINE and self.language in SHELL


def read_report(report: str) -> tuple[Statement, ...]:
    """Every statement of a report, in order; blank lines, rules and table headers are none."""
    text = report.replace("\r\n", "\n").replace("\r", "\n").replace("\x00", "\ufffd")
    parser = MarkdownIt("commonmark").enable("table")
    parser.core.ruler.disable(["inline", "text_join"], ignoreInvalid=True)
    return tuple(statement for statement in _statements(parser.parse(text)) if statement.text)


def plain(text: str) -> str:
    """A line without emphasis, code marks, check marks and links; mathematics in plain symbols."""
    for mark, symbol in MATH.items():
        text = text.replace(mark, symbol)
    text = re.sub(r"\\([!-/:-@\[-`{-~])", r"\1", text)
    text = re.sub(r"\$([^$]*[=×÷≈][^$]*)\$", r"\1", text)
    text = re.sub(r"!?\[([^\]]*)\]\([^)]*\)", r"\1", text)
    text = re.sub(r"\*\*|__|`", "", text)
    text = re.sub(r"(?<![\w*])\*(\w[^*\n]*?)\*(?![\w*])", r"\1", text)
    text = re.sub(r"</?(?:b|i|em|strong|code|sub|sup|br)\s*/?>", "", text)
    return re.sub(r"[ \t\u00a0\u2009\u202f]+", " ", text).strip()


def _statements(tokens: list[Token]) -> Iterator[Statement]:
    headings: list[tuple[int, str]] = []
    header: tuple[str, ...] = ()
    cells: list[str] | None = None
    row_line, in_head, level = 0, False, 0
    for token in tokens:
        start = token.map[0] + 1 if token.map else 0
        section = " / ".join(title for _, title in headings)
        if token.type == "heading_open":
            level = int(token.tag[1])
        elif token.type == "heading_close":
            level = 0
        elif token.type == "thead_open":
            in_head = True
        elif token.type == "thead_close":
            in_head = False
        elif token.type == "tr_open":
            cells, row_line = [], start
        elif token.type == "tr_close" and cells is not None:
            if in_head:
                header = tuple(cells)
            elif any(cells):
                joined = " | ".join(cells)
                yield Statement(row_line, joined, joined, "row", section, tuple(cells), header)
            cells = None
        elif token.type == "inline":
            if cells is not None:
                cells.append(
                    plain(token.content.replace("\n", " ")) if len(token.content) <= LONGEST_LINE else token.content
                )
                continue
            if level:
                title = plain(token.content[:LONGEST_LINE])
                headings = [(depth, old) for depth, old in headings if depth < level]
                headings.append((level, title))
                yield Statement(start, title, token.content, "heading", section)
                continue
            yield from _lines(token.content, start, section, "text")
        elif token.type in ("fence", "code_block"):
            first = start + 1 if token.type == "fence" else start
            language = (token.info or "").strip().split(" ")[0].lower()
            yield from _lines(token.content, first, section, "code", language)
        elif token.type == "html_block":
            yield from _lines(token.content, start, section, "text")


def _lines(content: str, first: int, section: str, kind: Kind, language: str = "") -> Iterator[Statement]:
    for offset, source in enumerate(content.split("\n")):
        short = len(source) <= LONGEST_LINE
        spans = tuple(re.findall(r"`([^`]+)`", source)) if short and kind == "text" else ()
        text = source.strip() if kind == "code" or not short else plain(source)
        yield Statement(first + offset, text, source, kind, section, language=language, spans=spans)
