"""Where no set of instances works on an inventory for want of memory: one chain of layers over all its nodes, if it carries the demand.

Instances stand on one group, or on two. Many small unequal nodes may hold a model only together, which is a problem of ``kind: chain``.
The chain is the answer where everything that is asked can be judged of it; else a sentence says what it would carry.
"""

from __future__ import annotations

import time
from dataclasses import replace
from typing import TYPE_CHECKING

from optimizer.explain.chain.chosen import chosen_sentences, listed
from optimizer.facts.chain import ChainProblem
from optimizer.facts.errors import ProblemError
from optimizer.facts.inventory import InventoryProblem, NodeGroup
from optimizer.facts.problem import Problem
from optimizer.results.answer import with_verification
from optimizer.results.chain import ChainAnswer, ChainDemand
from optimizer.results.inventory import InventoryAnswer
from optimizer.verify.chain.demand import verify_demand

if TYPE_CHECKING:
    from optimizer.questions.options import Progress

_MOST_NODES = 64
_TRIED_WITHIN_S = 5.0
"""Time for a chain of which only a sentence is said, or which may be far from the demand."""
_FIRST_LOOK_GAP = 0.05
_BYTES_PER_GBIT = 125_000_000
ABOUT_ROOM = frozenset(
    {"memory", "kv_cache", "concurrency", "request_rate", "max_batch", "gpu_count", "weight_precision", "kv_precision"}
)
"""Rules whose conflict more GPUs in one pipeline can cure; a chain says nothing about latencies and losses."""


def as_chain(problem: InventoryProblem) -> ChainProblem:
    """The nodes of all groups as nodes of a chain: the free GPUs of a node are one tensor-parallel group, as many as may be one.

    Between two nodes the slower of their networks; requests of the mean lengths.

    Raises:
        ProblemError: not one GPU of a group can hold layers.
    """
    groups, work = problem.groups, problem.workload
    alone = {group.name: _alone(problem, group) for group in groups}
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
                "types": {
                    name: {"gpu": one.hardware.gpu.name, "gpus": one.hardware.gpus} for name, one in alone.items()
                },
                "nodes": [
                    {"name": group.node_name(index), "type": group.name, "partition": group.name}
                    for group in groups
                    for index in range(group.nodes)
                ],
                "partition_links": links,
            },
        }
    )
    chain.alone.update(alone)
    return chain


def _alone(problem: InventoryProblem, group: NodeGroup) -> Problem:
    """One node of a group with the most of its free GPUs that can be one tensor-parallel group."""
    from optimizer.verify.chain.nodes import broken_rule

    for gpus in range(group.free_gpus, 0, -1):
        one = problem.instance_problem(group.model_copy(update={"free_gpus": gpus}), 1)
        if broken_rule(one) is None:
            return one
    raise ProblemError(f"cluster ({group.name})", f"no GPU of it can hold layers of {problem.model.name}")


def with_chain(
    problem: InventoryProblem,
    answer: InventoryAnswer,
    *,
    time_limit_s: float | None = None,
    progress: Progress | None = None,
    gap: float = 0.0,
) -> InventoryAnswer | ChainAnswer:
    """The chain that stands for instances where none keep every rule for want of memory; else the answer, with what is known of one.

    Args:
        problem: from ``load_inventory``.
        answer: of ``solve_inventory``, with its conflicts.
        time_limit_s: that is left for it; None: as long as any chain has.
        progress: called at each improvement.
        gap: as for any chain.
    """
    room = answer.status == "infeasible" and answer.verification.passed and answer.conflicts
    if not room or not all(conflict.rules and set(conflict.rules) <= ABOUT_ROOM for conflict in answer.conflicts):
        return answer
    nodes = sum(group.nodes for group in problem.groups)
    left = _TRIED_WITHIN_S if time_limit_s is None else time_limit_s
    if len(problem.groups) < 2 or not 3 <= nodes <= _MOST_NODES or left <= 1 or problem.workload.speculation:
        return answer
    try:
        return _chosen_or_said(problem, answer, time_limit_s, progress, gap)
    except ProblemError:
        return answer  # GPUs of a group cannot hold layers at all
    except KeyboardInterrupt:
        return answer  # no chain was there yet


def unjudged(problem: InventoryProblem) -> tuple[str, ...]:
    """Fields that state what a chain's tokens/s say nothing about."""
    work, limits = problem.workload, problem.requirements
    tokens = work.prompt_tokens + work.output_tokens
    spread = (work.prompt_tokens_p99, work.prompt_law, work.output_law, work.output_tokens_p99, work.recorded)
    asked = {
        **{f"requirements.{limit.field}": True for limit in limits.latency_limits},
        "requirements.survive": bool(problem.survive),
        "requirements.max_batch": limits.max_batch is not None,
        "requirements.min_batch": limits.min_batch > 1,
        "requirements.max_sequence_tokens": (limits.max_sequence_tokens or 0) > tokens,
        "power_limits_watts": bool(problem.power_limits),
        "workload.users": work.users is not None,
        "workload.prefix": work.prefix is not None,
        "workload (lengths that spread)": any(spread) or (work.longest_tokens or 0) > tokens,
    }
    return tuple(field for field, stated in asked.items() if stated)


def _chosen_or_said(
    problem: InventoryProblem,
    answer: InventoryAnswer,
    time_limit_s: float | None,
    progress: Progress | None,
    gap: float,
) -> InventoryAnswer | ChainAnswer:
    from optimizer.questions.chain import DEFAULT_TIME_LIMIT_S, solve_chain
    from optimizer.questions.chain_costs import priced

    began = time.monotonic()
    chain = priced(as_chain(problem))
    limit = DEFAULT_TIME_LIMIT_S if time_limit_s is None else time_limit_s
    work = problem.workload
    tokens = work.prompt_tokens + work.output_tokens - 1
    found = solve_chain(
        chain, time_limit_s=min(_TRIED_WITHIN_S, limit), progress=progress, gap=max(gap, _FIRST_LOOK_GAP)
    )
    if not found.verification.passed:
        return answer
    if found.bound / tokens <= work.requests_per_s:
        said = (
            f"One chain of layers over all {len(chain.cluster.nodes)} nodes, one tensor-parallel group each, carries no more than "
            f"{found.bound:,.1f} tokens/s, {found.bound / tokens:,.3g} requests/s of these lengths, either (proved; docs/chains.md)."
        )
        return replace(answer, explanation=(*answer.explanation, said))
    used = {held.type for held in found.placement}
    if found.value / tokens <= work.requests_per_s or len(used) < 2:
        return answer
    left_out = unjudged(problem)
    if left_out:
        said = (
            f"One chain of layers over {len(found.placement)} of the {len(chain.cluster.nodes)} nodes, of {listed(used, problem.groups)}, "
            f"would pass {found.value:,.1f} tokens/s, {found.value / tokens:,.3g} requests/s of these lengths. It is not chosen: "
            f"nothing is known of a chain about {', '.join(left_out)} (docs/chains.md)."
        )
        return replace(answer, explanation=(*answer.explanation, said))
    left = limit - (time.monotonic() - began)
    if found.status != "optimal" and left > 1:
        longer = solve_chain(chain, time_limit_s=left, progress=progress, gap=gap)
        found = longer if longer.verification.passed and longer.value >= found.value else found
    return _standing_for(problem, chain, found, answer)


def _standing_for(
    problem: InventoryProblem, chain: ChainProblem, found: ChainAnswer, instances: InventoryAnswer
) -> ChainAnswer:
    work = problem.workload
    tokens = work.prompt_tokens + work.output_tokens - 1
    demand = ChainDemand(work.requests_per_s, tokens, found.value / tokens)
    chosen = replace(found, demand=demand, instances=instances)
    degree = {name: kind.gpus for name, kind in chain.cluster.types.items()}
    chosen = with_verification(chosen, verify_demand(problem, chain, chosen, found.verification))
    return replace(chosen, explanation=(*chosen_sentences(problem, chosen, degree), *chosen.explanation))
