"""Where no set of instances works on an inventory: what one chain of layers over all its nodes would carry.

Instances stand on one group, or on two. Many small unequal nodes may hold a model only together, which is a problem of ``kind: chain``.
"""

from __future__ import annotations

from optimizer.facts.chain import ChainProblem
from optimizer.facts.errors import ProblemError
from optimizer.facts.inventory import InventoryProblem, NodeGroup

_MOST_NODES = 64
_WITHIN_S = 5.0
_BYTES_PER_GBIT = 125_000_000
ABOUT_ROOM = frozenset(
    {"memory", "kv_cache", "concurrency", "request_rate", "max_batch", "gpu_count", "weight_precision", "kv_precision"}
)
"""Rules whose conflict more GPUs in one pipeline can cure; a chain says nothing about latencies and losses."""


def as_chain(problem: InventoryProblem) -> ChainProblem:
    """The nodes of all groups as nodes of a chain: all free GPUs of a node are one tensor-parallel group.

    Between two nodes the slower of their networks; requests of the mean lengths.
    """
    groups, work = problem.groups, problem.workload
    links = [
        {
            "between": [one.name, other.name],
            "bandwidth_bytes_per_s": min(one.internode_gbit_per_s, other.internode_gbit_per_s) * _BYTES_PER_GBIT,
            "latency_ms": max(one.internode_latency_us, other.internode_latency_us) / 1000,
        }
        for number, one in enumerate(groups)
        for other in groups[number:]
    ]
    chain = ChainProblem.model_validate(
        {
            "kind": "chain",
            "name": problem.name,
            "costs": "analytic",
            "model": {
                "name": problem.model.name,
                "layers": problem.model.layers,
                "activation_bytes": 4 * problem.model.hidden_size,
                "token_bytes": 4,
            },
            "workload": {"prompt_tokens": work.prompt_tokens, "output_tokens": work.output_tokens},
            "cluster": {
                "types": {group.name: {"gpu": group.gpu.name, "gpus": group.free_gpus} for group in groups},
                "nodes": [
                    {"name": group.node_name(index), "type": group.name, "partition": group.name}
                    for group in groups
                    for index in range(group.nodes)
                ],
                "partition_links": links,
            },
        }
    )
    chain.alone.update({group.name: problem.instance_problem(group, 1) for group in groups})
    return chain


def beyond_two_groups(problem: InventoryProblem, seconds: float) -> tuple[str, ...]:
    """A sentence where a chain over more groups than an instance may stand on carries the demand; else nothing.

    Args:
        seconds: that there are for it.
    """
    from optimizer.questions.chain import solve_chain

    nodes = sum(group.nodes for group in problem.groups)
    if len(problem.groups) < 2 or not 3 <= nodes <= _MOST_NODES or seconds <= 1 or problem.workload.speculation:
        return ()
    try:
        answer = solve_chain(as_chain(problem), time_limit_s=min(_WITHIN_S, seconds))
    except ProblemError:
        return ()  # a node's GPUs cannot hold layers as one group
    used = {held.type for held in answer.placement}
    each = problem.workload.prompt_tokens + problem.workload.output_tokens - 1
    carried = answer.value / each
    if len(used) < 2 or carried < problem.workload.requests_per_s or not answer.verification.passed:
        return ()
    return (
        f"One chain of layers over {len(answer.placement)} of the {nodes} nodes, of {_listed(used, problem.groups)}, would pass "
        f"{answer.value:,.1f} tokens/s, {carried:,.3g} requests/s of these lengths: latency limits and losses are not counted there. "
        "Ask it as kind: chain with costs: analytic (docs/chains.md).",
    )


def _listed(used: set[str], groups: tuple[NodeGroup, ...]) -> str:
    names = [group.name for group in groups if group.name in used]
    return f"{', '.join(names[:-1])} and {names[-1]}"
