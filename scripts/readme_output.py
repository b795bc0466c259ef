#!/usr/bin/env python3
"""Put the real output of the README's example commands into README.md, so that what a reader sees is what they get."""

from __future__ import annotations

import re
import subprocess
import sys
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent
PROBLEM = "problems/llama3-70b-8xh100.yaml"


def output(*arguments: str) -> list[str]:
    """Lines that the command prints."""
    command = [sys.executable, "-c", "from optimizer.cli import main; main()", *arguments]
    text = subprocess.run(command, capture_output=True, text=True, cwd=ROOT, check=False).stdout
    return [line.rstrip() for line in text.splitlines()]


def _at(lines: list[str], first_word: str) -> int:
    """The line that starts with a word."""
    return next(number for number, line in enumerate(lines) if line.split()[:1] == [first_word])


def blocks() -> list[str]:
    """The two text blocks: ``solve`` as it is printed, and ``check`` up to its tables."""
    solved = output("solve", PROBLEM)
    checked = output("check", PROBLEM, "--tp", "2", "--pp", "4", "--dp", "1")
    return ["\n".join(solved), "\n".join(checked[: _at(checked, "metric") - 1])]


def filled(text: str) -> str:
    """The README with its text blocks as the commands print them now."""
    found = iter(blocks())
    return re.sub(r"```text\n.*?```", lambda _: f"```text\n{next(found)}\n```", text, flags=re.DOTALL)


def main() -> int:
    """Write the blocks; ``--check`` compares only, exit 1 where they differ."""
    readme = ROOT / "README.md"
    text = readme.read_text(encoding="utf-8")
    if "--check" in sys.argv[1:]:
        return 0 if filled(text) == text else 1
    temporary = readme.with_suffix(".tmp")
    temporary.write_text(filled(text), encoding="utf-8")
    temporary.replace(readme)
    return 0


if __name__ == "__main__":
    sys.exit(main())
