#!/usr/bin/env python3
"""Put the real output of the README's example commands into README.md, so that what a reader sees is what they get."""

from __future__ import annotations

import re
import subprocess
import sys
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent
PROBLEM = "problems/llama3-70b-8xh100.yaml"
INVENTORY = "problems/h100-and-a100.yaml"


def output(*arguments: str) -> list[str]:
    """Lines that the command prints."""
    command = [sys.executable, "-c", "from optimizer.cli import main; main()", *arguments]
    text = subprocess.run(command, capture_output=True, text=True, cwd=ROOT, check=False).stdout
    return [line.rstrip() for line in text.splitlines()]


def _at(lines: list[str], first_word: str) -> int:
    """The line that starts with a word."""
    return next(number for number, line in enumerate(lines) if line.split()[:1] == [first_word])


def main() -> None:
    """Replace the text blocks of the README: ``solve`` without its rule table, ``check`` and an inventory up to their tables."""
    solved = output("solve", PROBLEM)
    table = _at(solved, "rule")
    rest = next(number for number, line in enumerate(solved) if line.startswith("  TP degrees considered"))
    shown = [
        *solved[: table - 1],
        "",
        "(here: the table of all rules, each with its limit, what it is, and its slack)",
        "",
    ]
    checked = output("check", PROBLEM, "--tp", "2", "--pp", "4", "--dp", "1")
    fleet = output("solve", INVENTORY)
    blocks = iter(
        [
            "\n".join([*shown, *solved[rest:]]),
            "\n".join(checked[: _at(checked, "rule") - 1]),
            "\n".join(fleet[: _at(fleet, "rule") - 1]),
        ]
    )
    readme = ROOT / "README.md"
    text = readme.read_text(encoding="utf-8")
    text = re.sub(r"```text\n.*?```", lambda _: f"```text\n{next(blocks)}\n```", text, flags=re.DOTALL)
    temporary = readme.with_suffix(".tmp")
    temporary.write_text(text, encoding="utf-8")
    temporary.replace(readme)


if __name__ == "__main__":
    main()
