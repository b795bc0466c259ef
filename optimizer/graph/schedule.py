"""When each part of a step runs: the pass of one micro-batch, and how the passes of the others follow it.

In the steady state a replica's micro-batches pass its stages one behind the other, evenly spaced, and every one starts
its next pass one round after this one (``docs/model.md``, section 3): no two meet on a GPU, because the round is at
least the number of micro-batches times the longest stage.
"""

from __future__ import annotations

from dataclasses import dataclass

from optimizer.costs.modules import ReplicaCost, StageCost, replica_cost
from optimizer.facts.hardware import HardwareFacts
from optimizer.facts.problem import Problem
from optimizer.graph.links import links_of, message_ms, pair_link
from optimizer.graph.plan import InstancePlan, Plan

DIGITS = 9
"""Of milliseconds: a picosecond."""


@dataclass(frozen=True, slots=True)
class Timing:
    """Milliseconds of one instance; all its replicas run alike."""

    stages: tuple[StageCost, ...]
    sends: tuple[float, ...]
    """From each stage to the next; coupled replicas wait for the slowest of theirs."""
    counted_sends_ms: float
    through_ms: float
    """One pass of a micro-batch through all stages."""
    step_ms: float
    micro_batches: int
    batch: int

    def passes(self, start: float, length: float) -> tuple[tuple[float, ...], tuple[float, ...]]:
        """(starts, ends), one each per micro-batch, of what starts so long after the micro-batch does."""
        behind = self.step_ms / self.micro_batches
        starts = [start + number * behind for number in range(self.micro_batches)]
        return tuple(round(at, DIGITS) for at in starts), tuple(round(at + length, DIGITS) for at in starts)


class Timings:
    """Timings of a plan's instances; equal shapes on equal hardware are computed once."""

    def __init__(self, plan: Plan) -> None:
        self._plan = plan
        self._costs: dict[tuple[object, ...], ReplicaCost] = {}

    def of(self, instance: InstancePlan) -> Timing:
        """The timing of one instance."""
        costs = [self._cost(instance, stage.hardware) for stage in instance.stages]
        stages = tuple(cost.stages[number] for number, cost in enumerate(costs))
        batch, micro_batches = costs[0].sequences_per_micro_batch, costs[0].micro_batches
        sends = self._sends(instance, batch)
        through = sum(stage.decode_ms for stage in stages) + sum(sends)
        alike = all(stage.hardware == instance.stages[0].hardware for stage in instance.stages)
        counted = costs[0].round_ms if alike else 0.0
        return Timing(
            stages=stages,
            sends=sends,
            counted_sends_ms=costs[0].sends_ms if alike else sum(sends),
            through_ms=through,
            step_ms=max(counted, through, micro_batches * max(stage.decode_ms for stage in stages)),
            micro_batches=micro_batches,
            batch=batch,
        )

    def _cost(self, instance: InstancePlan, hardware: HardwareFacts) -> ReplicaCost:
        problem, slots = instance.problem, instance.strategy.max_num_seqs
        key = (instance.shape, slots, instance.sequences_in_progress, id(instance.problem), id(hardware))
        if key not in self._costs:
            if hardware != problem.hardware:
                problem = problem.model_copy(update={"hardware": hardware})
            self._costs[key] = replica_cost(problem, instance.shape, slots, instance.sequences_in_progress)
        return self._costs[key]

    def _sends(self, instance: InstancePlan, batch: int) -> tuple[float, ...]:
        places, found = self._plan.places, []
        size = send_bytes(instance.problem, batch)
        for here, there in zip(instance.stages, instance.stages[1:], strict=False):
            kinds = {pair_link(a, b, places) for a, b in zip(here.gpus, there.gpus, strict=True)}
            links = [links_of(stage.hardware)[kind] for stage in (here, there) for kind in kinds]
            found.append(max(message_ms(link, size) for link in links))
        return tuple(found)


def send_bytes(problem: Problem, batch: int) -> int:
    """Hidden state and residual of a micro-batch, 16 bit each."""
    return batch * problem.model.hidden_size * 2 * 2
