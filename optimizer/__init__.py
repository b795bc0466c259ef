"""Provably best parallel strategies for serving large language models.

``from optimizer import load_problem, solve, check, Fixed``: every question takes a problem of any kind. Everything is imported
on first use, so that importing the package, or asking the command for help, costs nothing.
"""

from __future__ import annotations

from importlib import import_module
from typing import TYPE_CHECKING, Any

from optimizer.version import __version__

if TYPE_CHECKING:
    from optimizer.facts.errors import ProblemError
    from optimizer.facts.problem import Problem
    from optimizer.questions.check import check
    from optimizer.questions.cost_sources import with_costs
    from optimizer.questions.deploy import deploy
    from optimizer.questions.how_sure import how_sure
    from optimizer.questions.pareto import pareto
    from optimizer.questions.simulate import simulate
    from optimizer.questions.solve import solve
    from optimizer.questions.why_not import why_not
    from optimizer.questions.why_this import why_this
    from optimizer.reading.question import load_problem, problem_from_dict
    from optimizer.reporting.ask import report
    from optimizer.results.answer import Answer, CheckAnswer, Fixed, Strategy
    from optimizer.results.chain import ChainAnswer
    from optimizer.results.inventory import InventoryAnswer
    from optimizer.sweeps.recommend import recommend
    from optimizer.sweeps.run import sweep

_HOMES = {
    "Answer": "optimizer.results.answer",
    "ChainAnswer": "optimizer.results.chain",
    "CheckAnswer": "optimizer.results.answer",
    "Fixed": "optimizer.results.answer",
    "InventoryAnswer": "optimizer.results.inventory",
    "Problem": "optimizer.facts.problem",
    "ProblemError": "optimizer.facts.errors",
    "Strategy": "optimizer.results.answer",
    "audit": "optimizer.auditing.ask",
    "check": "optimizer.questions.check",
    "deploy": "optimizer.questions.deploy",
    "how_sure": "optimizer.questions.how_sure",
    "load_problem": "optimizer.reading.question",
    "pareto": "optimizer.questions.pareto",
    "problem_from_dict": "optimizer.reading.question",
    "recommend": "optimizer.sweeps.recommend",
    "report": "optimizer.reporting.ask",
    "simulate": "optimizer.questions.simulate",
    "solve": "optimizer.questions.solve",
    "sweep": "optimizer.sweeps.run",
    "why_not": "optimizer.questions.why_not",
    "why_this": "optimizer.questions.why_this",
    "with_costs": "optimizer.questions.cost_sources",
}

__all__ = [
    "Answer",
    "ChainAnswer",
    "CheckAnswer",
    "Fixed",
    "InventoryAnswer",
    "Problem",
    "ProblemError",
    "Strategy",
    "__version__",
    "audit",
    "check",
    "deploy",
    "how_sure",
    "load_problem",
    "pareto",
    "problem_from_dict",
    "recommend",
    "report",
    "simulate",
    "solve",
    "sweep",
    "why_not",
    "why_this",
    "with_costs",
]


def __getattr__(name: str) -> Any:
    if name in _HOMES:
        return getattr(import_module(_HOMES[name]), name)
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
