"""When each part of a step runs: the pass of one micro-batch, and how the passes of the others follow it.

In the steady state a replica's micro-batches pass its stages one behind the other, evenly spaced, and every one starts
its next pass one round after this one (``docs/model.md``, section 3): no two meet on a GPU, because the round is at
least the number of micro-batches times the longest stage.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from optimizer.costs.modules import ReplicaCost, StageCost, replica_cost
from optimizer.facts.hardware import HardwareFacts
from optimizer.facts.problem import Problem
from optimizer.graph.links import link_between, links_of, message_ms, slowest
from optimizer.graph.plan import InstancePlan, Plan
from optimizer.graph_answer import LinkKind

DIGITS = 9
"""Of milliseconds: a picosecond."""


@dataclass(frozen=True, slots=True)
class Timing:
    """Milliseconds of one instance; all its replicas run alike."""

    stages: tuple[StageCost, ...]
    sends: tuple[tuple[float, LinkKind], ...]
    """From each stage to the next: time, and the slowest link that any pair of GPUs needs."""
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
        through = sum(stage.decode_ms for stage in stages) + sum(ms for ms, _ in sends)
        alike = all(stage.hardware == instance.stages[0].hardware for stage in instance.stages)
        counted = costs[0].round_ms if alike else 0.0
        return Timing(
            stages=stages,
            sends=sends,
            counted_sends_ms=costs[0].sends_ms if alike else sum(ms for ms, _ in sends),
            through_ms=through,
            step_ms=max(counted, through, micro_batches * max(stage.decode_ms for stage in stages)),
            micro_batches=micro_batches,
            batch=batch,
        )

    def _cost(self, instance: InstancePlan, hardware: HardwareFacts) -> ReplicaCost:
        problem: Problem = self._plan.problem
        key = (instance.shape, instance.max_num_seqs, instance.sequences_in_progress, id(hardware))
        if key not in self._costs:
            if hardware != problem.hardware:
                problem = problem.model_copy(update={"hardware": hardware})
            self._costs[key] = replica_cost(
                problem, instance.shape, instance.max_num_seqs, instance.sequences_in_progress
            )
        return self._costs[key]

    def _sends(self, instance: InstancePlan, batch: int) -> tuple[tuple[float, LinkKind], ...]:
        places, found = self._plan.places, []
        for here, there in zip(instance.stages, instance.stages[1:], strict=False):
            pairs = zip(_flat(here.gpus), _flat(there.gpus), strict=True)
            kind = slowest(link_between(places[a], places[b]) for a, b in pairs)
            size = send_bytes(self._plan.problem, batch)
            time_ms = max(message_ms(links_of(stage.hardware)[kind], size) for stage in (here, there))
            found.append((time_ms, kind))
        return tuple(found)


def send_bytes(problem: Problem, batch: int) -> int:
    """Hidden state and residual of a micro-batch, 16 bit each."""
    return batch * problem.model.hidden_size * 2 * 2


def _flat(gpus: Sequence[Sequence[str]]) -> list[str]:
    return [gpu for group in gpus for gpu in group]
