"""Commented problem files to start from, one YAML file for each kind of problem; each is solved as it is by a test."""

from __future__ import annotations

from pathlib import Path

from optimizer.facts.errors import ProblemError, closest

FOLDER = Path(__file__).parent
ANSWERED_AS = {"uniform": "hardware", "inventory": "cluster"}
"""Kinds as answers name them, by what problem files state."""


def template(kind: str) -> str:
    """The commented problem file of a kind: ``hardware``, ``day``, ``models``, ``cluster``, ``cluster-models`` or ``chain``.

    Or as answers name the first and the fourth.

    Raises:
        ProblemError: there is no such kind.
    """
    kind = ANSWERED_AS.get(kind, kind)
    kinds = sorted(path.stem for path in FOLDER.glob("*.yaml"))
    if kind not in kinds:
        raise ProblemError("--kind", f"{kind!r} is not a kind of problem; {closest(kind, kinds)}")
    return (FOLDER / f"{kind}.yaml").read_text(encoding="utf-8")
