"""From a problem file with ``cluster:`` (a list of node groups) to a checked ``InventoryProblem``."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

from pydantic import ValidationError

from optimizer.catalog import lookup as catalog
from optimizer.catalog.instances import nodes_stated
from optimizer.catalog.recovery import recovery_facts
from optimizer.engines.sixteen_bit import served_on
from optimizer.facts.demand import Objective, SearchLimits
from optimizer.facts.errors import ProblemError, closest
from optimizer.facts.inventory import (
    BUILT_IN_LEVELS,
    InventoryFailures,
    InventoryProblem,
    Losses,
    NodeGroup,
    Rate,
)
from optimizer.facts.model import ModelFacts
from optimizer.facts.problem import too_long
from optimizer.facts.text import name_from_path
from optimizer.reading.files import read_mapping
from optimizer.reading.inventory_groups import in_one_host, node_groups, wide_domains
from optimizer.reading.inventory_input import MOST_LOSSES, InventoryFailuresInput, InventoryFile, RateInput
from optimizer.reading.load import (
    by_itself,
    first_error,
    no_peers,
    refuse_impossible_context,
    resolve_model,
)
from optimizer.reading.money import in_ms
from optimizer.reading.power import power_limits
from optimizer.reading.prices import priced_as, prices_beside
from optimizer.reading.workload import longest_allowed, workload_of


def is_inventory(values: Mapping[str, Any]) -> bool:
    """Whether the contents of a problem file state an inventory."""
    return "cluster" in values and values.get("kind") != "chain"


def load_inventory(path: str | Path) -> InventoryProblem:
    """Read, check and resolve a problem file with ``cluster:``.

    Raises:
        ProblemError: the file is missing, not readable, malformed, or states something impossible.
    """
    file = Path(path)
    return inventory_from_dict(read_mapping(file, str(path)), default_name=file.stem, folder=file.parent)


def inventory_from_dict(
    values: Mapping[str, Any],
    *,
    default_name: str = "problem",
    folder: Path | None = None,
    model: ModelFacts | None = None,
) -> InventoryProblem:
    """Check and resolve an inventory problem given as plain data.

    Args:
        values: the contents of a problem file.
        default_name: the name where none is stated.
        folder: where relative paths to models start.
        model: its facts where they are known already; left out, they are read from what the file names.

    Raises:
        ProblemError: with the dotted field, the value and what would be right.
    """
    if "hardware" in values:
        raise ProblemError("hardware", "stands beside cluster; state one of them")
    plain, survive, share, within = _without_survive(nodes_stated(values))
    try:
        stated = InventoryFile.model_validate(plain)
    except ValidationError as error:
        raise first_error(error, values, InventoryFile) from None
    groups = node_groups(stated.cluster)
    domains = wide_domains(stated.domains, {group.name for group in groups})
    groups = in_one_host(groups, domains)
    if stated.prices is not None:
        groups = _priced(groups, prices_beside(stated.prices, folder))
    limits = power_limits(stated.power_limits_watts, groups, domains)
    if limits and stated.serving != "joint":
        raise ProblemError("power_limits_watts", f"are for serving: joint so far, not for {stated.serving}")
    if stated.serving != "joint" and any(group.interruptions_per_hour for group in groups):
        raise ProblemError("cluster", f"pricing: spot is for serving: joint so far, not for {stated.serving}")
    search = _one_budget(stated.search)
    alone = [group.gpu for group in groups if not group.gpu.peer_links]
    if alone:
        if len(alone) < len(groups):
            raise ProblemError("cluster", f"{no_peers(alone[0])}. Plan slices and whole GPUs in two files")
        search = by_itself(search, alone[0])
    objective = Objective(preset=stated.objective) if isinstance(stated.objective, str) else stated.objective
    if objective.preset == "capacity":
        raise ProblemError("objective", "preset capacity is for problems with hardware:; with cluster: say throughput")
    model = served_on(
        model or resolve_model(stated.model, folder or Path()), stated.engine, [group.gpu for group in groups]
    )
    if stated.workload.speculation is not None:
        raise ProblemError(
            "workload.speculation", "is for problems with hardware:, whose bounds count what guesses take"
        )
    for name in ("concurrency", "users"):
        if getattr(stated.workload, name) is not None:
            raise ProblemError(
                f"workload.{name}",
                "is for equal nodes (hardware:) so far; state workload.requests_per_s",
            )
    problem = InventoryProblem(
        name=stated.name or name_from_path(default_name, "problem"),
        engine=stated.engine,
        groups=groups,
        domains=domains,
        failures=_failures(stated.failures),
        model=model,
        workload=workload_of(stated.workload, folder or Path(), longest_allowed(stated.requirements, model), model),
        requirements=stated.requirements,
        survive=(),
        demand_share=share,
        within_s=within,
        recovery=recovery_facts(stated.failures.engine_start_s, stated.failures.storage_gb_per_s),
        objective=objective,
        search=search,
        power_limits=limits,
        serving=stated.serving,
        engine_version=stated.engine_version,
        engine_overhead=stated.engine_overhead,
    )
    problem = problem.model_copy(update={"survive": _losses(survive, problem)})
    work = problem.workload
    needed = work.longest_tokens or work.longest_prompt_tokens + (work.output_tokens_p99 or work.output_tokens)
    longest = problem.requirements.max_sequence_tokens or problem.model.max_context_tokens
    if needed > longest:
        raise ProblemError("workload", too_long(needed, problem.requirements, problem.model))
    refuse_impossible_context(problem.model, problem.requirements, problem.search)
    prices = [group.price_per_gpu_hour for group in groups]
    weighed = objective.gpu_ms is not None or objective.price_of_a_second is not None
    objective = in_ms(
        objective,
        prices,
        work.requests_per_s,
        "price_per_gpu_hour in every group of cluster",
        sum(group.nodes * group.gpus_per_node for group in groups),
    )
    objective = objective.model_copy(update={"tolerance": _tolerance(objective, stated.serving, weighed=weighed)})
    return problem.model_copy(update={"objective": objective})


def _priced(groups: tuple[NodeGroup, ...], prices: Mapping[str, float]) -> tuple[NodeGroup, ...]:
    """The groups, each with the price of its GPUs and how they are paid for where it states none."""
    return tuple(
        group
        if group.price_per_gpu_hour is not None
        else group.model_copy(update={"price_per_gpu_hour": prices.get(priced_as(group.gpu.name, group.pricing))})
        for group in groups
    )


SPARING = 0.01
"""The share by which ``balanced`` may be above the least there is where that leaves GPUs unused: what a buyer would not pay for."""


def _tolerance(objective: Objective, serving: str, *, weighed: bool) -> float | None:
    """``objective.tolerance``, with its default."""
    if objective.tolerance is None:
        return SPARING if objective.preset == "balanced" and serving == "joint" and not weighed else None
    if objective.tolerance and serving != "joint":
        raise ProblemError("objective.tolerance", f"is for serving: joint so far, not for {serving}")
    if objective.tolerance and objective.preset in ("fewest-gpus", "cheapest", "throughput"):
        raise ProblemError(
            "objective.tolerance", f"has no meaning beside {objective.preset}, which comes before the objective"
        )
    return objective.tolerance


def _without_survive(values: Mapping[str, Any]) -> tuple[dict[str, Any], dict[str, Any], float, float | None]:
    """The file without ``requirements.survive``, that section's levels, its demand share and its seconds for restarts."""
    plain = dict(values)
    requirements = plain.get("requirements")
    if not isinstance(requirements, Mapping) or "survive" not in requirements:
        return plain, {}, 1.0, None
    survive = requirements["survive"]
    plain["requirements"] = {key: value for key, value in requirements.items() if key != "survive"}
    if not isinstance(survive, Mapping):
        raise ProblemError("requirements.survive", f"{survive!r} is not a mapping such as {{node: 1}}")
    levels = {str(key): value for key, value in survive.items()}
    share = levels.pop("demand_share", 1.0)
    if isinstance(share, bool) or not isinstance(share, int | float) or not 0 < share <= 1:
        raise ProblemError("requirements.survive.demand_share", f"{share!r} is not a share above 0 and at most 1")
    within = levels.pop("within_s", None)
    if within is not None and (
        isinstance(within, bool) or not isinstance(within, int | float) or not 0 <= within < 1e9
    ):
        raise ProblemError("requirements.survive.within_s", f"{within!r} is not a number of seconds from 0")
    return plain, levels, float(share), None if within is None else float(within)


def _losses(survive: Mapping[str, Any], problem: InventoryProblem) -> tuple[Losses, ...]:
    found = []
    levels = problem.levels()
    for level, count in survive.items():
        field = f"requirements.survive.{level}"
        if isinstance(count, bool) or not isinstance(count, int) or not 0 <= count <= MOST_LOSSES:
            raise ProblemError(field, f"{count!r} is not a whole number from 0 to {MOST_LOSSES}")
        if level not in levels:
            known = closest(level, (*BUILT_IN_LEVELS, *levels))
            where = {"rack": "state rack or racks in cluster", "zone": "state zone in cluster"}
            raise ProblemError(field, f"the inventory has no level {level!r}; {where.get(level, known)}")
        if count:
            found.append(Losses(level=level, count=count))
    return tuple(found)


def _one_budget(search: SearchLimits) -> SearchLimits:
    """The search with the one token budget that is stated: several are a decision of problems with ``hardware:``."""
    budgets = search.token_budgets
    if budgets is None:
        return search
    if isinstance(budgets, str) or len(set(budgets)) > 1:
        raise ProblemError(
            "search.token_budgets",
            "is a decision for problems with hardware:; with cluster: state one, as search.max_num_batched_tokens",
        )
    return search.model_copy(update={"max_num_batched_tokens": budgets[0], "token_budgets": None})


def _failures(stated: InventoryFailuresInput) -> InventoryFailures:
    rates: dict[str, Rate | None] = dict(catalog.inventory_failure_defaults())
    for field in rates:
        value = getattr(stated, field)
        if isinstance(value, RateInput):
            low, high = value.low or value.value, value.high or value.value
            if not low <= value.value <= high:
                raise ProblemError(f"failures.{field}", f"low {low} ≤ value {value.value} ≤ high {high} does not hold")
            rates[field] = Rate(value=value.value, low=low, high=high)
        elif value is not None:
            rates[field] = Rate(value=value, low=value, high=value)
    return InventoryFailures.model_validate(rates)
