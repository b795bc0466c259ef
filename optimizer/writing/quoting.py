"""Text in another language: one function for each place in it, used wherever text that is not our own is written.

YAML and JSON are written by libraries (``optimizer.writing.yaml_text``, ``json``), HTML by Jinja with autoescape; comments of one
line are ``optimizer.writing.yaml_text.comment``.
"""

from __future__ import annotations

import json
import re
import shlex

from optimizer.facts.text import visible

_MARKDOWN = re.compile(r"([\\`*_\[\]<>|#~&$])")
_AT_THE_START = re.compile(r"^(\s*\d*)([-+=.)!])")
_FORMULA = ("=", "+", "-", "@", "\t", "\r")


def shell_word(text: str) -> str:
    """One word of a POSIX shell, whatever it holds."""
    return shlex.quote(text)


def markdown(text: str) -> str:
    """Words in a line, cell or heading of Markdown (CommonMark, section 2.4, with GitHub's tables and formulas)."""
    plain = visible(" ".join(text.splitlines()))
    return _AT_THE_START.sub(r"\1\\\2", _MARKDOWN.sub(r"\\\1", plain))


def markdown_code(text: str) -> str:
    """A code span: fenced by more backticks than it holds (CommonMark, section 6.1)."""
    plain = visible(" ".join(text.splitlines()))
    longest = max((len(run) for run in re.findall("`+", plain)), default=0)
    space = " " if plain.startswith("`") or plain.endswith("`") else ""
    fence = "`" * (longest + 1)
    return f"{fence}{space}{plain}{space}{fence}"


def markdown_block(text: str, language: str = "") -> list[str]:
    """The lines of a fenced code block."""
    fence = "`" * max(3, 1 + max((len(run) for run in re.findall("`+", text)), default=0))
    return [f"{fence}{language}", text.rstrip("\n"), fence]


def dot(text: str) -> str:
    """A quoted string of Graphviz: as in JSON, with ``&`` kept from being read as an entity."""
    return json.dumps(text.replace("&", "&amp;"), ensure_ascii=False)


def mermaid(text: str) -> str:
    """Words inside quotes of a Mermaid label, which knows no backslash but entities by number."""
    return re.sub(r"[#&\"<>`]", lambda found: f"#{ord(found[0])};", visible(text))


def csv_cell(value: object) -> object:
    """A cell that no spreadsheet takes for a formula (OWASP, "CSV Injection"); numbers stay numbers."""
    return f"'{value}" if isinstance(value, str) and value.startswith(_FORMULA) else value


def compose_text(text: str) -> str:
    """A value in a Compose file, where ``$`` begins a variable (Compose specification, "Interpolation")."""
    return text.replace("$", "$$")


def kubernetes_word(text: str) -> str:
    """A word of a container's command, where ``$(NAME)`` is a variable (Kubernetes, "Define a Command and Arguments")."""
    return text.replace("$", "$$")


def systemd_text(text: str) -> str:
    """A value in a unit, where ``%`` begins a specifier and a backslash at the end joins lines (systemd.syntax(7), systemd.unit(5))."""
    return visible(" ".join(text.splitlines())).replace("%", "%%").rstrip("\\")
