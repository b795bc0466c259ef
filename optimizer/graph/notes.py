"""What a reader of the graph must know that its numbers do not say: where plan and placement count differently."""

from __future__ import annotations

from optimizer.graph.links import SLOWEST_LAST, counted_link, group_link
from optimizer.graph.plan import DrawnPlan, InstancePlan
from optimizer.graph.schedule import Timings

STILL = 1e-6
"""Milliseconds that nobody needs to hear of."""


def placement_notes(plan: DrawnPlan, timings: Timings) -> tuple[str, ...]:
    """Sentences, most general first."""
    said = []
    shapes = [instance.shape for instance in plan.instances]
    if any(shape.tp > 1 for shape in shapes):
        said.append(
            "The all-reduce after the embedding and the gathering of the logits take no time here, "
            "because the cost model counts none for them."
        )
    if any(shape.pp > 1 for shape in shapes):
        said.append(
            "Micro-batches are drawn in the steady state: each follows the one before by an equal share of the step, "
            "and starts its next token one step after this one."
        )
    return (*said, *_over_two_groups(plan), *_sends(plan, timings), *_groups(plan))


def _over_two_groups(plan: DrawnPlan) -> list[str]:
    found = sum(bool(instance.part_stages) for instance in plan.instances)
    if not found:
        return []
    return [
        f"First and last stages stand on different node groups ({_of(found, len(plan.instances))}): each stage has the times and the "
        "memory of its own GPUs; the send from one group to the other has the smaller bandwidth and the larger latency of "
        "the two networks."
    ]


def _sends(plan: DrawnPlan, timings: Timings) -> list[str]:
    found, worst = 0, 0.0
    for instance in plan.instances:
        timing = timings.of(instance)
        more = sum(timing.sends) - timing.counted_sends_ms
        if more > STILL:
            found, worst = found + 1, max(worst, more)
    if not found:
        return []
    return [
        f"On the GPUs named here the sends between stages take up to {worst:.4f} ms more than the cost model counts "
        f"({_of(found, len(plan.instances))}); the schedule shows them as they are."
    ]


def _groups(plan: DrawnPlan) -> list[str]:
    said = []
    for words, coupled in (("all-reduce of a TP group", False), ("all-to-all between coupled replicas", True)):
        found = [instance for instance in plan.instances if _slower(plan, instance, coupled)]
        if found:
            said.append(
                f"The {words} crosses a slower link on the GPUs named here than the cost model counts "
                f"({_of(len(found), len(plan.instances))}); its time is the cost model's."
            )
    return said


def _slower(plan: DrawnPlan, instance: InstancePlan, coupled: bool) -> bool:
    if coupled and instance.shape.engine_ranks == 1:
        return False
    for stage in instance.stages:
        groups = [tuple(gpu for group in stage.gpus for gpu in group)] if coupled else stage.gpus
        for gpus in groups:
            needed, counted = group_link(gpus, plan.places), counted_link(stage.hardware, len(gpus))
            if needed and counted and SLOWEST_LAST.index(needed) > SLOWEST_LAST.index(counted):
                return True
    return False


def _of(found: int, total: int) -> str:
    return "all engine instances" if found == total else f"{found:,} of {total:,} engine instances"
