"""Reports with labelled lines: reading them, and counting what the audit says of each kind of line.

``python -m tests.audit.counting FOLDER`` prints the totals of a folder and nothing of single lines, so that sealed reports
can be counted without being read.
"""

from __future__ import annotations

import re
import sys
from dataclasses import dataclass
from pathlib import Path

from optimizer.auditing.ask import audit
from optimizer.reading.question import load_problem

HERE = Path(__file__).parent


@dataclass(frozen=True)
class Counted:
    """Line numbers by label (``wrong``, ``true``, ``open``: nothing can be known) and by what the audit said."""

    wrong: frozenset[int]
    true: frozenset[int]
    open: frozenset[int]
    accused: frozenset[int]
    confirmed: frozenset[int]

    @property
    def found(self) -> frozenset[int]:
        """Wrong lines that are accused."""
        return self.wrong & self.accused

    @property
    def wronged(self) -> frozenset[int]:
        """Accused lines that are true or of which nothing can be known."""
        return (self.true | self.open) & self.accused


def names(folder: str) -> list[str]:
    """The reports of a folder beside this file."""
    return sorted(path.stem for path in (HERE / folder).glob("*.md") if path.stem != "README")


def read(folder: str, name: str) -> tuple[str, dict[int, str]]:
    """The report without its labels, and the label (T, E or U) of each labelled line."""
    lines, labels = [], {}
    for line in (HERE / folder / f"{name}.md").read_text(encoding="utf-8").splitlines():
        found = re.match(r"([ETU])\|(.*)", line)
        lines.append(found[2] if found else line)
        if found:
            labels[len(lines)] = found[1]
    return "\n".join(lines), labels


def counted(folder: str, name: str) -> Counted:
    """One report audited for the problem beside it."""
    text, labels = read(folder, name)
    claims = audit(text, load_problem(str(HERE / folder / f"{name}.yaml"))).claims
    of = {label: frozenset(n for n, one in labels.items() if one == label) for label in "ETU"}
    accused = frozenset(c.line for c in claims if c.verdict in ("refuted", "contradicted"))
    return Counted(of["E"], of["T"], of["U"], accused, frozenset(c.line for c in claims if c.verdict == "confirmed"))


def main(folder: str) -> None:
    """Prints the totals of a folder."""
    all_of = [counted(folder, name) for name in names(folder)]
    wrong, true = sum(len(c.wrong) for c in all_of), sum(len(c.true) for c in all_of)
    print(f"{len(all_of)} reports")
    print(f"errors found      {sum(len(c.found) for c in all_of)} of {wrong}")
    print(f"true confirmed    {sum(len(c.confirmed & c.true) for c in all_of)} of {true}")
    print(f"wrongly accused   {sum(len(c.wronged) for c in all_of)}")


if __name__ == "__main__":
    main(sys.argv[1])
