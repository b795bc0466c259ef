"""A running service beside its plan: each thing that was planned, what was found, and whether it is the same."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from optimizer.deployment.observed import Seen
from optimizer.deployment.service import Engine, Service
from optimizer.engines.registry import engine_of
from optimizer.facts.errors import ProblemError
from optimizer.results.answer import Metrics
from optimizer.results.pools import PoolsMetrics

CACHE_SHORT = 0.95
"""The plan's cache is what fits by calculation; an engine that holds at least this share of it is as planned."""
ENOUGH = 100
"""Requests from which a completed rate is held against the planned one."""
MEASURES = {
    "ttft_p50_ms": ("time to first token P50", ("median_ttft_ms", "p50_ttft_ms")),
    "ttft_p99_ms": ("time to first token P99", ("p99_ttft_ms",)),
    "tpot_p50_ms": ("time per output token P50", ("median_tpot_ms", "p50_tpot_ms")),
    "tpot_p99_ms": ("time per output token P99", ("p99_tpot_ms",)),
}
"""Metric of the answer → (name, keys that ``vllm bench serve`` writes, with --percentile-metrics ttft,tpot --metric-percentiles 50,99)."""


@dataclass(frozen=True, slots=True)
class PlanDifference:
    """``same`` is None where the service does not tell, or where there is nothing to hold it against."""

    where: str
    what: str
    planned: str
    found: str
    same: bool | None


def compare_engine(
    service: Service, caches: Sequence[int], seen: Seen, engines: Sequence[Engine]
) -> list[PlanDifference]:
    """One engine beside the instances that it may be (through a router: any of them); the one it is most like counts.

    Args:
        caches: tokens that the cache of a replica of each pool holds by the plan.
    """
    found = [_engine(service, caches[engine.instance.pool], seen, engine) for engine in engines]
    return min(found, key=lambda one: sum(finding.same is False for finding in one))


def _engine(service: Service, planned: int, seen: Seen, engine: Engine) -> list[PlanDifference]:
    strategy, ranks = engine.instance.strategy, engine.instance.replicas
    longest = service.problems[engine.instance.pool][0].max_sequence_tokens
    sequences = strategy.max_num_seqs * (ranks if engine_of(service.options.engine).sequences_of == "server" else 1)
    rows: list[PlanDifference] = [
        _row(seen.where, "model", engine.commands[0].served_as or service.options.model_id, seen.model),
        _row(seen.where, "longest sequence", longest, seen.max_sequence_tokens, " tokens"),
        _row(seen.where, "sequences at once", sequences, seen.max_num_seqs),
    ]
    for name in ("tensor_parallel", "pipeline_parallel"):
        rows.append(_row(seen.where, name.replace("_", " "), getattr(strategy, name), seen.sizes.get(name)))
    if engine.role:
        rows.append(_row(seen.where, "pool", engine.role, seen.role))
    there = seen.kv_cache_tokens
    same = None if there is None else there >= CACHE_SHORT * planned
    rows.append(PlanDifference(seen.where, "KV cache", f"{planned:,} tokens", _told(there, " tokens"), same))
    return rows


def compare_up(service: Service, up: tuple[int, int] | None, of_pools: int = 0) -> PlanDifference:
    """Instances up, by the router's word; where it deals requests by share it knows joint instances, and routers of pools.

    Args:
        of_pools: routers of pools on each node with routers.
    """
    count = len(service.of_role("")) + of_pools * len(service.routers) if service.dealt else len(service.engines)
    if up is None:
        return PlanDifference("router", "instances up", str(count), "not told", None if count == 1 else False)
    return PlanDifference("router", "instances up", str(count), f"{up[0]} of {up[1]}", up == (count, count))


def compare_pools_up(service: Service, up: Mapping[str, tuple[int, int]] | None) -> list[PlanDifference]:
    """Instances of each pool that are up, by the word of the engine's own routers, which may stand elsewhere where nginx is before them."""
    rows = []
    for role in service.roles:
        count, found = len(service.of_role(role)), None if up is None else up[role]
        said = "not told" if found is None else f"{found[0]} of {found[1]}"
        same = None if found is None and service.dealt else found == (count, count)
        rows.append(PlanDifference("router", f"{role} instances up", str(count), said, same))
    return rows


def compare_load(
    metrics: Metrics | PoolsMetrics,
    limits: Mapping[str, float | None],
    rate: float,
    measured: Mapping[str, Any],
    where: str,
) -> list[PlanDifference]:
    """Measured percentiles beside predicted ones. A limit that was asked for and is not met differs; a prediction alone does not.

    Args:
        limits: stated limits by the metric's name, ms.
        rate: requests/s that the plan is for.
        measured: as ``vllm bench serve --save-result`` writes, times in ms.

    Raises:
        ProblemError: none of the percentiles is in it.
    """
    rows = []
    throughput = measured.get("request_throughput")
    # A few requests say nothing about a rate.
    if isinstance(throughput, int | float) and measured.get("completed", ENOUGH) >= ENOUGH:
        rows.append(
            PlanDifference(
                where, "requests/s completed", f"{rate:g}", f"{throughput:.3g}", abs(throughput - rate) <= 0.1 * rate
            )
        )
    for name, (words, spelled) in MEASURES.items():
        value = next((measured[key] for key in spelled if isinstance(measured.get(key), int | float)), None)
        predicted = getattr(metrics, name)
        if value is None or predicted is None:
            continue
        limit = limits.get(name)
        planned = f"{predicted:,.1f} ms" + (f", limit {limit:g} ms" if limit is not None else "")
        found = f"{value:,.1f} ms ({value / predicted - 1:+.0%} of the prediction)"
        rows.append(PlanDifference(where, words, planned, found, value <= limit if limit is not None else None))
    if not any(row.what.startswith("time") for row in rows):
        keys = ", ".join(keys[0] for _, keys in MEASURES.values())
        raise ProblemError("--load", f"{where} has none of {keys}; vllm bench serve --save-result writes them")
    return rows


def _row(where: str, what: str, planned: object, found: object, unit: str = "") -> PlanDifference:
    said = f"{planned:,}{unit}" if isinstance(planned, int) else str(planned)
    return PlanDifference(where, what, said, _told(found, unit), None if found is None else found == planned)


def _told(value: object, unit: str = "") -> str:
    if value is None:
        return "not told"
    return f"{value:,}{unit}" if isinstance(value, int) else str(value)
