"""Equal nodes as an inventory of one group, for what is built for inventories alone."""

from __future__ import annotations

from optimizer.facts.inventory import InventoryFailures, InventoryProblem, Losses, NodeGroup, Rate
from optimizer.facts.problem import Problem
from optimizer.facts.recovery import RecoveryFacts

NAME = "all"
"""Of the group."""


def one_group(problem: Problem) -> InventoryProblem | None:
    """The same question; None where an inventory would mean something else: NVLink domains over nodes, measured costs, limits of power."""
    hardware, survive = problem.hardware, problem.requirements.survive
    if hardware.nvlink_domain_gpus > hardware.gpus_per_node and hardware.nodes > 1:
        return None
    if problem.costs is not None or hardware.power_limit_watts is not None:
        return None
    group = NodeGroup(
        name=NAME,
        gpu=hardware.gpu,
        nodes=hardware.nodes,
        gpus_per_node=hardware.gpus_per_node,
        free_gpus=hardware.gpus_per_node,
        nvlink_gb_per_s=hardware.nvlink_gb_per_s,
        nvlink_domain_gpus=hardware.nvlink_domain_gpus,
        pcie_gb_per_s=hardware.pcie_gb_per_s,
        internode_gbit_per_s=hardware.internode_gbit_per_s,
        internode_latency_us=hardware.internode_latency_us,
        memory_used_mib=hardware.memory_used_mib,
        price_per_gpu_hour=hardware.price_per_gpu_hour,
    )
    rates = hardware.failures

    def hours(value: float) -> Rate:
        return Rate(value=value, low=value, high=value)

    return InventoryProblem(
        name=problem.name,
        engine=problem.engine,
        groups=(group,),
        domains=(),
        failures=InventoryFailures(
            gpu_mtbf_hours=hours(rates.gpu_mtbf_hours),
            node_mtbf_hours=hours(rates.node_mtbf_hours),
            rack_mtbf_hours=None,
            zone_mtbf_hours=None,
            domain_mtbf_hours=None,
            repair_hours=hours(rates.repair_hours),
        ),
        model=problem.model,
        workload=problem.workload,
        requirements=problem.requirements,
        survive=tuple(
            Losses(level=level, count=lost) for level, lost in (("gpu", survive.gpu), ("node", survive.node)) if lost
        ),
        demand_share=survive.demand_share,
        recovery=RecoveryFacts(engine_start_s=0.0, storage_gb_per_s=1.0),  # restarts are not asked of pools
        objective=problem.objective,
        search=problem.search,
        serving=problem.serving,
        engine_version=problem.engine_version,
        engine_overhead=problem.engine_overhead,
    )
