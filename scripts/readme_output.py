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


def main() -> None:
    """Replace the two text blocks of the README: the whole of ``solve``, and ``check`` up to its rule table."""
    solved = output("solve", PROBLEM)
    checked = output("check", PROBLEM, "--tp", "2", "--pp", "4", "--dp", "1")
    table = next(number for number, line in enumerate(checked) if line.split()[:1] == ["rule"])
    blocks = iter(["\n".join(solved), "\n".join(checked[: table - 1])])
    readme = ROOT / "README.md"
    text = readme.read_text(encoding="utf-8")
    text = re.sub(r"```text\n.*?```", lambda _: f"```text\n{next(blocks)}\n```", text, flags=re.DOTALL)
    temporary = readme.with_suffix(".tmp")
    temporary.write_text(text, encoding="utf-8")
    temporary.replace(readme)


if __name__ == "__main__":
    main()
