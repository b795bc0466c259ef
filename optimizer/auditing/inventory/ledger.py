"""Figures of an inventory and of the instances that a report proposes for it, by name: of all together, and of each group.

Names are those of ``data/inventory.yaml``. Bytes, bytes/s, ms, W; money in the problem's currency; rates per second.
"""

from __future__ import annotations

from dataclasses import dataclass

from optimizer.auditing.facts import NOMINAL_GB
from optimizer.auditing.inventory.plan import ReportPlan
from optimizer.facts.inventory import InventoryProblem, NodeGroup
from optimizer.facts.proposal import Proposal, ProposedInstance
from optimizer.results.inventory import InventoryAnswer, Pool

Values = dict[str, float]
_HOUR = 3600.0


@dataclass(frozen=True, slots=True)
class InventoryLedger:
    """``whole``: of all groups together; ``groups``: of each, in the inventory's order."""

    whole: Values
    groups: tuple[Values, ...]


def answer_about(problem: InventoryProblem, plan: ReportPlan) -> InventoryAnswer | None:
    """The product's own answer about the proposed instances; None where the report does not say them all, or they cannot stand."""
    from optimizer.facts.errors import ProblemError
    from optimizer.questions.check_placement import judged_instances
    from optimizer.search.inventory.proposed import ShapeNotAllowed, proposed_plan

    if not plan.complete or problem.serving != "joint":
        return None
    instances = tuple(
        ProposedInstance(group=group.name, tp=one.tp or 1, pp=one.pp or 1, ep=one.ep or 1, count=one.count)
        for group, shapes in zip(problem.groups, plan.groups, strict=True)
        for one in shapes
        if one.count
    )
    try:
        answer = judged_instances(problem, proposed_plan(problem, Proposal(instances=instances)))
    except (ProblemError, ShapeNotAllowed, ValueError):
        return None
    return answer if answer.pools and answer.verification.passed else None


def ledger_of(problem: InventoryProblem, plan: ReportPlan, answer: InventoryAnswer | None) -> InventoryLedger:
    """Every figure that follows from the inventory, the plan and, where there is one, the answer about it."""
    groups = tuple(_of_group(problem, index, group, plan, answer) for index, group in enumerate(problem.groups))
    whole = _sums(groups) | _demand(problem)
    if answer is not None:
        whole |= _of_answer(problem, answer)
    if "price_used" in whole and problem.workload.output_tokens:
        hourly = problem.workload.requests_per_s * problem.workload.output_tokens * _HOUR
        whole["price_million"] = whole["price_used"] / hourly * 1e6
        whole["price_request"] = whole["price_used"] / (problem.workload.requests_per_s * _HOUR)
    return InventoryLedger(whole, groups)


_ADDED = (
    "gpus", "nodes", "used", "spare", "instances", "memory", "memory_used", "power_all", "power_used", "host_power", "price_all",
    "price_used",
)  # fmt: skip
"""What the groups add up to."""


def _sums(groups: tuple[Values, ...]) -> Values:
    found = {name: sum(one[name] for one in groups) for name in _ADDED if all(name in one for one in groups)}
    found["groups"] = len(groups)
    for name in ("gpus_per_node", "instance_gpus", "price", "tdp"):
        listed = {one[name] for one in groups if name in one}
        if len(listed) == 1 and all(name in one for one in groups):
            found[name] = listed.pop()
    return found


def _demand(problem: InventoryProblem) -> Values:
    load = problem.workload
    found: Values = {
        "rate": load.requests_per_s, "prompt": load.prompt_tokens, "output": load.output_tokens,
        "demand_share": problem.demand_share, "utilization": problem.requirements.gpu_memory_utilization,
    }  # fmt: skip
    if problem.within_s is not None:
        found["within"] = problem.within_s * 1e3
    return found


def _of_group(
    problem: InventoryProblem, index: int, group: NodeGroup, plan: ReportPlan, answer: InventoryAnswer | None
) -> Values:
    gpu, sizes = group.gpu, {one.instance_gpus for one in plan.groups[index]}
    nominal = min(NOMINAL_GB, key=lambda size: abs(size * 1e9 - gpu.memory_bytes)) * 1e9
    found: Values = {
        "gpus": group.gpus, "nodes": group.nodes, "gpus_per_node": group.gpus_per_node, "free_per_node": group.free_gpus,
        "each_memory": nominal, "memory": nominal * group.gpus, "network": group.internode_gbit_per_s / 8 * 1e9,
        "bandwidth": gpu.memory_bandwidth_gb_per_s * 1e9, "rate": problem.workload.requests_per_s,
        "host_power": group.host_watts * group.nodes, "host_each": group.host_watts,
    }  # fmt: skip
    if group.racks:
        found |= {"racks": group.racks, "nodes_per_rack": group.nodes_per_rack}
    if group.node_power_limit_watts is not None:
        found["node_limit"] = group.node_power_limit_watts
    if gpu.tdp_watts:
        found |= {
            "tdp": gpu.tdp_watts,
            "power_all": gpu.tdp_watts * group.gpus,
            "node_power": gpu.tdp_watts * group.gpus_per_node,
        }
    if group.price_per_gpu_hour is not None:
        found |= {"price": group.price_per_gpu_hour, "price_all": group.price_per_gpu_hour * group.gpus}
        found["price_node"] = group.price_per_gpu_hour * group.free_gpus
    if len(sizes) == 1 and (size := sizes.pop()) is not None:
        found["instance_gpus"] = size
        if group.price_per_gpu_hour is not None:
            found["price_instance"] = group.price_per_gpu_hour * size
    used, instances = plan.used(index), plan.instances(index)
    if used is not None:
        found |= {"used": used, "spare": group.gpus - used, "memory_used": nominal * used}
        if gpu.tdp_watts:
            found["power_used"] = gpu.tdp_watts * used
        if group.price_per_gpu_hour is not None:
            found["price_used"] = group.price_per_gpu_hour * used
    if instances is not None:
        found["instances"] = instances
    pools = [] if answer is None else [pool for pool in answer.pools if pool.where == group.name]
    if len(pools) == 1:
        found |= _of_pool(pools[0], problem)
    return found


def _of_pool(pool: Pool, problem: InventoryProblem) -> Values:
    metrics = pool.metrics
    stated = {
        "ttft_p50": metrics.ttft_p50_ms, "ttft_p99": metrics.ttft_p99_ms, "tpot_p50": metrics.tpot_p50_ms,
        "tpot_p99": metrics.tpot_p99_ms, "e2e_p50": metrics.e2e_p50_ms, "e2e_p99": metrics.e2e_p99_ms,
        "prefill_p50": metrics.prefill_p50_ms, "prefill_p99": metrics.prefill_p99_ms,
    }  # fmt: skip
    return {name: float(value) for name, value in stated.items() if value is not None} | {
        "share": pool.share * 100,
        "group_rate": pool.share * problem.workload.requests_per_s,
        "sent": pool.planned_rate,
        "carries": pool.capacity,
        "group_carries": pool.capacity * pool.instances,
        "slots_carries": pool.slots_capacity,
        "slots": pool.strategy.max_num_seqs,
        "filled": metrics.memory_utilization * 100,
        "up": pool.availability * 100,
        "weights_gpu": max(metrics.weights_bytes_per_stage, default=0),
    }


def _of_answer(problem: InventoryProblem, answer: InventoryAnswer) -> Values:
    carried = sum(pool.capacity * pool.instances for pool in answer.pools)
    found: Values = {
        "carried": carried,
        "growth": 100 * (carried / problem.workload.requests_per_s - 1),
        "load_share": 100 * problem.workload.requests_per_s / carried,
    }
    for name, value in (
        ("request_mean", answer.request_mean_ms),
        ("objective", answer.objective_exact_ms),
        ("kwh_million", answer.kwh_per_million_output_tokens_at_most),
        ("peak_tokens", answer.peak_tokens_per_s),
    ):
        if value is not None:
            found[name] = value
    if answer.reliability is not None:
        reliable = answer.reliability
        found |= {"served": 100 * reliable.availability, "unserved_month": reliable.unserved_requests_per_month}
        found["fully_up"] = 100 * reliable.carried
        if reliable.hours_between_outages is not None:
            found["between_outages"] = reliable.hours_between_outages * 3.6e6
    for loss in answer.losses:
        level = loss.level.replace(" ", "_")
        found |= {f"left_{level}": loss.capacity_left, f"lost_{level}": loss.instances_lost}
        found[f"stay_{level}"] = sum(pool.instances for pool in answer.pools) - loss.instances_lost
    return found
