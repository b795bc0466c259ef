"""Curves that other commands computed, to be drawn in a report: a Pareto front and a sweep over GPU counts."""

from __future__ import annotations

import json
import math
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any, cast

from optimizer.facts.errors import ProblemError
from optimizer.reading.files import read_text
from optimizer.sweeps.points import point_from_data

LARGEST_BYTES = 64 * 1024 * 1024


@dataclass(frozen=True, slots=True)
class FrontRow:
    """A strategy that nothing beats in all three: mean time of a request, requests served, GPUs."""

    request_mean_ms: float
    availability: float
    gpus: int
    strategy: str


@dataclass(frozen=True, slots=True)
class SweepPoint:
    """The answer for a number of GPUs; no latency where none keeps every rule. ``name``: its scenario, a curve of its own."""

    gpus: int
    status: str
    strategy: str
    ttft_p99_ms: float | None
    tpot_p99_ms: float | None
    request_mean_ms: float | None
    max_request_rate: float | None
    name: str = ""
    price_per_hour: float | None = None


def scenarios_of(points: Sequence[SweepPoint]) -> dict[str, list[SweepPoint]]:
    """The points of each scenario, in order of GPUs; scenarios in the order of the file."""
    found: dict[str, list[SweepPoint]] = {}
    for point in points:
        found.setdefault(point.name, []).append(point)
    return {name: sorted(group, key=lambda point: point.gpus) for name, group in found.items()}


def load_pareto(path: str | None) -> tuple[FrontRow, ...]:
    """Points of a JSON file ``{"points": [{"request_mean_ms", "availability", "gpus", "strategy"}]}``; none without a file.

    Raises:
        ProblemError: the file is missing or is not such a file.
    """
    if path is None:
        return ()
    data = _json(_text(path, "--pareto"), "--pareto", path)
    points = data.get("points") if isinstance(data, Mapping) else None
    if not isinstance(points, list) or not points:
        raise ProblemError("--pareto", f'{path} has no "points"; the JSON of optimizer pareto is needed')
    return tuple(
        FrontRow(
            _number(point, "request_mean_ms", "--pareto", number),
            _number(point, "availability", "--pareto", number),
            int(_number(point, "gpus", "--pareto", number)),
            _label(point.get("strategy")),
        )
        for number, point in enumerate(points, start=1)
    )


def load_sweep(path: str | None) -> tuple[SweepPoint, ...]:
    """Points of JSON Lines with ``gpus``, ``status``, ``strategy`` and ``metrics``, by GPUs; none without a file.

    The line that names the file's kind, and points that could not be asked, are passed over.

    Raises:
        ProblemError: the file is missing or is not such a file.
    """
    if path is None:
        return ()
    found = []
    for number, line in enumerate(_text(path, "--sweep").splitlines(), start=1):
        if not line.strip():
            continue
        point = _json(line, "--sweep", f"{path}, line {number}")
        if isinstance(point, Mapping) and ("kind" in point or point.get("status") == "error"):
            continue
        gpus = int(_number(point, "gpus", "--sweep", number))
        instead = _in_place_of_strategy(point, f"{path}, line {number}") if isinstance(point, Mapping) else {}
        metrics = point.get("metrics") or instead
        strategy = point.get("strategy") or (instead.get("label") if isinstance(instead, Mapping) else None)
        if not isinstance(metrics, Mapping):
            raise ProblemError("--sweep", f"{path}, line {number}: metrics is not an object")
        names = ("ttft_p99_ms", "tpot_p99_ms", "request_mean_ms", "max_request_rate")
        values = [
            _number(metrics, name, "--sweep", number) if metrics.get(name) is not None else None for name in names
        ]
        price = point.get("price_per_hour")
        hourly = _number(point, "price_per_hour", "--sweep", number) if price is not None else None
        ttft, tpot, mean, rate = values
        name, status = str(point.get("name") or ""), str(point.get("status", ""))
        found.append(SweepPoint(gpus, status, _label(strategy), ttft, tpot, mean, rate, name, hourly))
    if not found:
        raise ProblemError("--sweep", f"{path} has no lines; the JSON Lines of optimizer sweep are needed")
    return tuple(point for group in scenarios_of(found).values() for point in group)


def _in_place_of_strategy(point: Mapping[str, Any], where: str) -> Any:
    """Label and figures of an inventory, of prefill and decode pools, or of joint instances beside them.

    Raises:
        ProblemError: pools are not written as a sweep writes them.
    """
    if point.get("disaggregated") is None and point.get("side_by_side") is None:
        return point.get("inventory") or {}
    try:
        read = point_from_data(point)
        return {"label": read.label, **asdict(cast("Any", read.figures))}
    except (KeyError, TypeError, AttributeError) as error:
        raise ProblemError("--sweep", f"{where} has no pools as optimizer sweep writes them ({error})") from None


def _text(path: str, option: str) -> str:
    return read_text(Path(path), f"{option} {path}", largest=LARGEST_BYTES, what="result of pareto or sweep")


def _json(text: str, option: str, where: str) -> Any:
    try:
        return json.loads(text)
    except (ValueError, RecursionError) as error:
        raise ProblemError(option, f"{where} is not valid JSON ({error})") from None


def _number(point: Any, name: str, option: str, position: int) -> float:
    value = point.get(name) if isinstance(point, Mapping) else None
    if isinstance(value, bool) or not isinstance(value, int | float) or not math.isfinite(value):
        raise ProblemError(option, f"entry {position}: {name} is {value!r}; a number is needed")
    return float(value)


def _label(strategy: Any) -> str:
    """A strategy's short name, from its name or its decisions."""
    if isinstance(strategy, str):
        return strategy
    if not isinstance(strategy, Mapping):
        return ""
    names = (("TP", "tensor_parallel"), ("PP", "pipeline_parallel"), ("DP", "data_parallel"))
    label = "·".join(f"{short}{strategy.get(name)}" for short, name in names if strategy.get(name) is not None)
    expert = strategy.get("expert_parallel")
    return f"{label}·EP{expert}" if isinstance(expert, int) and expert > 1 else label
