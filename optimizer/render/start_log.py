"""A start-up log's figures for people, as JSON, and as values of a problem file."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import asdict
from typing import Any

from optimizer.facts.overhead import StatedOverhead
from optimizer.questions.start_log import Printed
from optimizer.reading.start_log import StartLog
from optimizer.render.as_json import dumps
from optimizer.writing.yaml_text import yaml_text


def stated(overhead: StatedOverhead) -> dict[str, Any]:
    """The figures that are stated, as the problem file has them."""
    return overhead.model_dump(exclude_none=True)


def problem_values(values: Mapping[str, Any], log: StartLog, overhead: StatedOverhead) -> dict[str, Any]:
    """A problem's values with what a log measured; its engine and version are those of the log."""
    found = {**values, "engine": log.engine, "engine_overhead": stated(overhead)}
    if log.version is not None:
        found["engine_version"] = log.version
    return found


def log_as_json(log: StartLog, overhead: StatedOverhead, figures: Sequence[Printed]) -> str:
    """Everything as JSON."""
    return dumps(
        {
            "log": {"name": log.name, "engine": log.engine, "version": log.version, **log.printed},
            "engine_overhead": stated(overhead),
            "figures": [asdict(figure) for figure in figures],
        }
    )


def log_text(log: StartLog, overhead: StatedOverhead, figures: Sequence[Printed], out: str) -> str:
    """Everything in words."""
    lines = [f"{log.name}: {log.engine} {log.version or '(version not printed)'}"]
    lines += [
        f"  {figure.what}: printed {_amount(figure.printed, figure.unit)}, predicted {_amount(figure.predicted, figure.unit)}, "
        f"with this log {_amount(figure.with_log, figure.unit)}"
        for figure in figures
    ]
    values: dict[str, Any] = {"engine_overhead": stated(overhead)}
    if log.version is not None:
        values["engine_version"] = log.version
    lines += ["", f"{out}: written." if out else yaml_text(values, flow=None, width=120).rstrip()]
    return "\n".join(lines)


def _amount(value: float, unit: str) -> str:
    return f"{value:,.0f} {unit}" if unit == "tokens" else f"{value:.2f} {unit}"
