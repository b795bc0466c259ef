"""Strategies, repairs and answers for equal nodes as plain JSON data; the envelope is that of ``render/envelope.py``."""

from __future__ import annotations

import codecs
import json
import sys
from collections.abc import Iterable, Sequence
from dataclasses import asdict
from typing import Any

from optimizer.results.answer import SCHEMA_VERSION, Answer, Change, CheckAnswer, Repair, Strategy


def strategy_data(strategy: Strategy | None) -> dict[str, Any] | None:
    """A strategy with its GPU count, or None."""
    if strategy is None:
        return None
    data = asdict(strategy)
    data["gpus"] = strategy.gpus
    return data


def changes_data(changes: Sequence[Change]) -> list[dict[str, Any]]:
    """Changes of a problem file as ``field``, ``from`` and ``to``."""
    return [{"field": change.field, "from": change.old, "to": change.new} for change in changes]


def repairs_data(repairs: Iterable[Any]) -> list[dict[str, Any]]:
    """Repairs whose result is told by its short name."""
    return [
        {"changes": changes_data(repair.changes), "sentence": repair.sentence, "result": repair.result}
        for repair in repairs
    ]


def repair_data(repair: Repair) -> dict[str, Any]:
    """A repair with its changes as ``field``, ``from`` and ``to``, and the strategy that is best then."""
    return {
        "changes": changes_data(repair.changes),
        "sentence": repair.sentence,
        "result": strategy_data(repair.result),
    }


def answer_data(answer: Answer) -> dict[str, Any]:
    """Everything in an answer as JSON-ready data."""
    data: dict[str, Any] = {
        "schema_version": SCHEMA_VERSION,
        "kind": "uniform",
        "problem": answer.problem,
        "model": asdict(answer.model) if answer.model else None,
        "assumed": list(answer.assumed),
        "status": answer.status,
        "within": answer.within,
        "cut_by": list(answer.cut_by),
        "strategy": strategy_data(answer.strategy),
        "placement": None,
        "metrics": asdict(answer.metrics) if answer.metrics else None,
        "objective": asdict(answer.objective) if answer.objective else None,
        "rules": [asdict(rule) for rule in answer.rules],
        "verification": asdict(answer.verification),
        "explanation": list(answer.explanation),
        "alternatives": [
            {
                "strategy": strategy_data(other.strategy),
                "objective": other.objective,
                "difference": other.difference,
                "difference_terms": other.difference_terms,
                "metrics": asdict(other.metrics),
            }
            for other in answer.alternatives
        ],
        "conflicts": [asdict(conflict) for conflict in answer.conflicts],
        "repairs": [repair_data(repair) for repair in answer.repairs],
        "search_limits": list(answer.search_limits),
        "decided": answer.decided,
        "cost_source": answer.cost_source,
        "breakdown": answer.breakdown,
        "simulation": asdict(answer.simulation) if answer.simulation else None,
        "intervals": asdict(answer.intervals) if answer.intervals else None,
    }
    checked = isinstance(answer, CheckAnswer)
    data["feasible"] = answer.feasible if isinstance(answer, CheckAnswer) else None
    data["optimum"] = answer_data(answer.optimum) if checked and answer.optimum else None  # type: ignore[attr-defined]
    return data


def dumps(data: Any) -> str:
    """One JSON document; refuses values that JSON has no word for."""
    return json.dumps(data, indent=2, ensure_ascii=_only_ascii(), allow_nan=False)


def _only_ascii() -> bool:
    """Whether standard output has no bytes for some characters, which JSON can then escape."""
    encoding = getattr(sys.stdout, "encoding", None) or "utf-8"
    try:
        return not codecs.lookup(encoding).name.startswith("utf")
    except LookupError:
        return True
