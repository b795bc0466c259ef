"""A chain that stands for an inventory's instances in words: why it does, what it carries, what is not known of it, how it is started."""

from __future__ import annotations

from collections.abc import Mapping

from optimizer.facts.inventory import InventoryProblem, NodeGroup
from optimizer.results.chain import ChainAnswer, LayersHeld

_PARTITION = {"vllm": "VLLM_PP_LAYER_PARTITION", "sglang": "SGLANG_PP_LAYER_PARTITION"}
"""Environment variable by which an engine takes the layers of each stage."""


def chosen_sentences(problem: InventoryProblem, answer: ChainAnswer, degree: Mapping[str, int]) -> tuple[str, ...]:
    """Sentences before those of the chain by itself; ``demand`` and ``instances`` are stated.

    Args:
        problem: of the inventory.
        answer: the chain that was chosen.
        degree: GPUs of a node that are one tensor-parallel group, by group.
    """
    demand, instances = answer.demand, answer.instances
    assert demand is not None and instances is not None
    used = {held.type for held in answer.placement}
    nodes = sum(group.nodes for group in problem.groups)
    why = [conflict.sentence for conflict in instances.conflicts]
    said = [
        "No set of instances, each on one group or two, keeps every rule"
        + (f": {why[0][:1].lower()}{why[0][1:]}" if why else ".")
    ]
    said.append(
        f"So one chain of layers over {len(answer.placement)} of the {nodes} nodes, of {listed(used, problem.groups)}: it passes "
        f"{answer.value:,.1f} tokens/s, {demand.carried_requests_per_s:,.3g} requests/s of {demand.tokens_per_request:,} tokens each "
        f"(prompt, and the answer but its last token), where {demand.requests_per_s:g} are asked for."
    )
    said.append(
        "The most tokens/s are looked for, not the shortest expected time; no percentile of a latency is known of a chain, and none "
        "is asked for. Where a node of it fails, all that passes that node stops."
    )
    said += [
        f"Of the {group.free_gpus} GPUs of a node of {group.name} {degree[group.name]} are used: no more can be one tensor-parallel group."
        for group in problem.groups
        if group.name in used and degree[group.name] < group.free_gpus
    ]
    said.append(_started(problem, answer, degree))
    if instances.repairs:
        said.append(
            "Instances keep every rule after a change (--apply-repair N --out FILE): "
            + " ".join(f"{number}. {repair.sentence}" for number, repair in enumerate(instances.repairs, 1))
        )
    return tuple(said)


def listed(used: set[str], groups: tuple[NodeGroup, ...]) -> str:
    """Groups by name, in their order."""
    names = [group.name for group in groups if group.name in used]
    return f"{', '.join(names[:-1])} and {names[-1]}" if names[1:] else names[0]


def _started(problem: InventoryProblem, answer: ChainAnswer, degree: Mapping[str, int]) -> str:
    """With which settings an engine runs it as one pipeline, or why none does."""
    degrees, variable = {degree[held.type] for held in answer.placement}, _PARTITION.get(problem.engine)
    if not in_line(answer.placement, answer.layers):
        return "No engine's launch files run it: nodes hold layers side by side, and a pipeline of an engine is one line of stages."
    if len(degrees) > 1 or variable is None:
        why = "its stages have unlike tensor-parallel degrees" if len(degrees) > 1 else "it splits layers evenly"
        return f"No launch files are written for it: {problem.engine} runs no such pipeline, {why}."
    stages = sorted(answer.placement, key=lambda held: held.start)
    split = ",".join(str(held.layers) for held in stages)
    return (
        f"Engine {problem.engine} runs it as one pipeline (no files are written): tensor-parallel size {degrees.pop()}, pipeline-parallel "
        f"size {len(stages)}, {variable}={split}, ranks in this order: {', '.join(held.node for held in stages)}."
    )


def in_line(placement: tuple[LayersHeld, ...], layers: int) -> bool:
    """Whether the nodes follow one another, each layer on one node."""
    end = 0
    for held in sorted(placement, key=lambda one: one.start):
        if held.start != end:
            return False
        end += held.layers
    return end == layers
