"""``with_costs``: the same problem with times from another source than the analytic model. Part of the public API."""

from __future__ import annotations

from pathlib import Path
from typing import get_args

from optimizer.facts.cost_table import CostSource
from optimizer.facts.errors import ProblemError, closest
from optimizer.facts.problem import Problem
from optimizer.results.answer import Fixed


def with_costs(problem: Problem, source: str, file: str | Path | None = None, fixed: Fixed | None = None) -> Problem:
    """The problem with the facts of a source of costs on it; every question about it then uses them.

    Args:
        problem: from ``load_problem``.
        source: ``analytic``, ``table`` (``file``: measured runs as CSV) or ``measured`` (package aiconfigurator-core).
        file: the measurements, for ``table`` only.
        fixed: a strategy to be checked, whose layout ``measured`` is to cover too.

    Raises:
        ProblemError: the source is not known, its file or package is missing, or the file says nothing about the problem.
    """
    if source not in get_args(CostSource):
        raise ProblemError("--costs", f"{source!r} is not known; {closest(source, get_args(CostSource))}")
    if (source == "table") != (file is not None):
        raise ProblemError(
            "--costs", "table needs a FILE of measured runs (--costs table FILE); no other source takes one"
        )
    if source == "table" and file is not None:
        from optimizer.costs.table import table_costs

        return problem.model_copy(update={"costs": table_costs(problem, Path(file))})
    if source == "measured":
        from optimizer.costs.measured import measured_costs
        from optimizer.search.uniform.space import build_space

        shapes = dict.fromkeys(build_space(problem).shapes + (build_space(problem, fixed).shapes if fixed else ()))
        return problem.model_copy(update={"costs": measured_costs(problem, tuple(shapes))})
    return problem.model_copy(update={"costs": None})
