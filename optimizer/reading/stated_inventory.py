"""A problem file that states a given inventory, for callers that have no file."""

from __future__ import annotations

from typing import Any

from optimizer.catalog.recovery import recovery_facts
from optimizer.facts.inventory import TOTAL, InventoryProblem, NodeGroup
from optimizer.reading.stated import Stated


def inventory_stated_of(problem: InventoryProblem) -> Stated:
    """A statement that resolves to the given inventory; the model keeps its name, and its facts come along resolved."""
    values: dict[str, Any] = {
        "name": problem.name,
        "engine": problem.engine,
        "cluster": [_group(group) for group in problem.groups],
        "failures": _failures(problem),
        "model": problem.model.name,
    }
    domains: dict[str, dict[str, list[str]]] = {}
    for domain in problem.domains:
        domains.setdefault(domain.level, {})[domain.name] = list(domain.groups)
    if domains:
        values["domains"] = domains
    limits: dict[str, Any] = {}
    for limit in problem.power_limits:
        if limit.level == TOTAL:
            limits[TOTAL] = limit.watts
        else:
            limits.setdefault(limit.level, {})[limit.name] = limit.watts
    if limits:
        values["power_limits_watts"] = limits
    for section in ("workload", "requirements", "objective", "search"):
        data = getattr(problem, section).model_dump(exclude_defaults=True)
        values[section] = {k: list(v) if isinstance(v, tuple) else v for k, v in data.items() if v is not None}
    if problem.serving != "joint":
        values["serving"] = problem.serving
    if problem.engine_version is not None:
        values["engine_version"] = problem.engine_version
    if problem.engine_overhead.anything:
        values["engine_overhead"] = problem.engine_overhead.model_dump(exclude_none=True)
    survive: dict[str, Any] = {losses.level: losses.count for losses in problem.survive}
    if survive:
        survive["demand_share"] = problem.demand_share
        if problem.within_s is not None:
            survive["within_s"] = problem.within_s
        values["requirements"]["survive"] = survive
    return Stated(values, default_name=problem.name, model=problem.model)


def _group(group: NodeGroup) -> dict[str, Any]:
    left_out = {"assumed", "idle_gpus", *({"internode_gbit_per_s"} if group.assumed else ())}
    left_out |= {name for name in ("interruptions_per_hour", "host_watts") if not getattr(group, name)}
    left_out |= {"pricing"} if group.pricing == "on-demand" else set()
    data = {name: value for name, value in group.model_dump(exclude=left_out).items() if value is not None}
    # A file states the free GPUs; those that a power limit lets work follow from it.
    data["free_gpus"] = group.free_gpus + group.idle_gpus
    if not data["racks"]:
        del data["racks"]
    return data


def _failures(problem: InventoryProblem) -> dict[str, Any]:
    stated: dict[str, Any] = {name: rate for name, rate in problem.failures.model_dump().items() if rate is not None}
    if problem.recovery != recovery_facts():
        stated["engine_start_s"] = problem.recovery.engine_start_s
        stated["storage_gb_per_s"] = problem.recovery.storage_gb_per_s
    return stated
