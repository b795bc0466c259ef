"""Provably best parallel strategies for serving large language models.

``from optimizer import load_problem, solve, check, Fixed`` — everything is imported on first use, so that importing the
package, or asking the command for help, costs nothing.
"""

from __future__ import annotations

from importlib import import_module
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from optimizer.facts.errors import ProblemError
    from optimizer.facts.problem import Problem
    from optimizer.questions.cost_sources import with_costs
    from optimizer.questions.uniform import check, simulate, solve
    from optimizer.reading.load import load_problem, problem_from_dict
    from optimizer.results.answer import Answer, CheckAnswer, Fixed, Strategy
    from optimizer.sweeps.run import sweep

__version__ = "0.1.0"

_HOMES = {
    "Answer": "optimizer.results.answer",
    "CheckAnswer": "optimizer.results.answer",
    "Fixed": "optimizer.results.answer",
    "Problem": "optimizer.facts.problem",
    "ProblemError": "optimizer.facts.errors",
    "Strategy": "optimizer.results.answer",
    "check": "optimizer.questions.uniform",
    "load_problem": "optimizer.reading.load",
    "problem_from_dict": "optimizer.reading.load",
    "simulate": "optimizer.questions.uniform",
    "solve": "optimizer.questions.uniform",
    "sweep": "optimizer.sweeps.run",
    "with_costs": "optimizer.questions.cost_sources",
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
