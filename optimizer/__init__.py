"""Provably best parallel strategies for serving large language models.

``from optimizer import load_problem, solve, check, Fixed`` — everything is imported on first use, so that importing the
package, or asking the command for help, costs nothing.
"""

from __future__ import annotations

from importlib import import_module
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from optimizer.answer import Answer, CheckAnswer, Fixed, Strategy
    from optimizer.api import check, simulate, solve
    from optimizer.cost_sources import with_costs
    from optimizer.facts.errors import ProblemError
    from optimizer.facts.load import load_problem, problem_from_dict
    from optimizer.facts.problem import Problem
    from optimizer.sweeps.run import sweep

__version__ = "0.1.0"

_HOMES = {
    "Answer": "optimizer.answer",
    "CheckAnswer": "optimizer.answer",
    "Fixed": "optimizer.answer",
    "Problem": "optimizer.facts.problem",
    "ProblemError": "optimizer.facts.errors",
    "Strategy": "optimizer.answer",
    "check": "optimizer.api",
    "load_problem": "optimizer.facts.load",
    "problem_from_dict": "optimizer.facts.load",
    "simulate": "optimizer.api",
    "solve": "optimizer.api",
    "sweep": "optimizer.sweeps.run",
    "with_costs": "optimizer.cost_sources",
}

__all__ = [
    "Answer",
    "CheckAnswer",
    "Fixed",
    "Problem",
    "ProblemError",
    "Strategy",
    "check",
    "load_problem",
    "problem_from_dict",
    "simulate",
    "solve",
    "sweep",
    "with_costs",
]


def __getattr__(name: str) -> Any:
    if name in _HOMES:
        return getattr(import_module(_HOMES[name]), name)
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
