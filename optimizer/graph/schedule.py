"""When each part of a step runs: the pass of one micro-batch, and how the passes of the others follow it.

In the steady state a replica's micro-batches pass its stages one behind the other, evenly spaced, and every one starts
its next pass one round after this one (``docs/model.md``, section 3): no two meet on a GPU, because the round is at
least the number of micro-batches times the longest stage.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from optimizer.costs.analytic import AnalyticCosts
from optimizer.costs.memory import memory_budget_bytes
from optimizer.costs.modules import ReplicaCost, StageCost, replica_cost
from optimizer.costs.two_groups import TwoGroupCosts
from optimizer.facts.hardware import HardwareFacts
from optimizer.facts.problem import Problem
from optimizer.graph.links import joined, links_of, message_ms, pair_link
from optimizer.graph.plan import DrawnPlan, InstancePlan

DIGITS = 9
"""Of milliseconds: a picosecond."""


@dataclass(frozen=True, slots=True)
class Timing:
    """Milliseconds of one instance; all its replicas run alike."""

    stages: tuple[StageCost, ...]
    sends: tuple[float, ...]
    """From each stage to the next; coupled replicas wait for the slowest of theirs."""
    counted_sends_ms: float
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

    def __init__(self, plan: DrawnPlan) -> None:
        self._plan = plan
        self._costs: dict[tuple[object, ...], ReplicaCost] = {}
        self._counted: dict[tuple[object, ...], tuple[float, float]] = {}

    def of(self, instance: InstancePlan) -> Timing:
        """The timing of one instance."""
        costs = [self._cost(instance, stage.hardware) for stage in instance.stages]
        stages = tuple(cost.stages[number] for number, cost in enumerate(costs))
        batch, micro_batches = costs[0].sequences_per_micro_batch, costs[0].micro_batches
        sends = self._sends(instance, batch)
        through = sum(stage.decode_ms for stage in stages) + sum(sends)
        round_ms, counted_sends = costs[0].round_ms, costs[0].sends_ms
        if instance.part_stages:
            round_ms, counted_sends = self._over_two_groups(instance, batch)
        return Timing(
            stages=stages,
            sends=sends,
            counted_sends_ms=counted_sends,
            step_ms=max(round_ms, through, micro_batches * max(stage.decode_ms for stage in stages)),
            micro_batches=micro_batches,
            batch=batch,
        )

    def _cost(self, instance: InstancePlan, hardware: HardwareFacts) -> ReplicaCost:
        """The instance as if all its stages had this hardware: of use for those that do."""
        slots = instance.strategy.max_num_seqs
        key = (instance.shape, slots, instance.sequences_in_progress, id(instance.problem), id(hardware))
        if key not in self._costs:
            problem = _on(instance.problem, hardware)
            budgets = _budgets(instance, problem)
            self._costs[key] = replica_cost(problem, instance.shape, slots, instance.sequences_in_progress, budgets)
        return self._costs[key]

    def _over_two_groups(self, instance: InstancePlan, batch: int) -> tuple[float, float]:
        """Round and sends between stages that the search counts for a pipeline over two groups."""
        first, last, running = instance.stages[0].hardware, instance.stages[-1].hardware, instance.sequences_in_progress
        key = (instance.shape, running, id(instance.problem), id(first), id(last))
        if key not in self._counted:
            costs = TwoGroupCosts((_on(instance.problem, first), _on(instance.problem, last)), [instance.shape])
            self._counted[key] = (
                float(costs.service(running).round_ms[0, running - 1]),
                float(costs.steps.send_ms(np.array([[float(batch)]]))[0, 0]),
            )
        return self._counted[key]

    def _sends(self, instance: InstancePlan, batch: int) -> tuple[float, ...]:
        places, found = self._plan.places, []
        size = send_bytes(instance.problem, batch)
        for here, there in zip(instance.stages, instance.stages[1:], strict=False):
            kinds = {pair_link(a, b, places) for a, b in zip(here.gpus, there.gpus, strict=True)}
            ours, theirs = links_of(here.hardware), links_of(there.hardware)
            found.append(max(message_ms(joined(ours[kind], theirs[kind]), size) for kind in kinds))
        return tuple(found)


def _budgets(instance: InstancePlan, here: Problem) -> list[int]:
    """What each stage may use of its own GPU, less what its engine takes there more than it would on the GPU of ``here``."""
    slots, taken = instance.strategy.max_num_seqs, []
    costs = AnalyticCosts(here, [instance.shape])
    as_here = costs.memory().beside_cache(slots)[0]
    known = {here.hardware.gpu.name: as_here}
    for stage, column in zip(instance.stages, costs.table.class_of_stage[0], strict=True):
        own = _on(instance.problem, stage.hardware)
        name = own.hardware.gpu.name
        if name not in known:
            known[name] = AnalyticCosts(own, [instance.shape]).memory().beside_cache(slots)[0]
        beside = known[name]
        taken.append(memory_budget_bytes(own) - int(beside[column]) + int(as_here[column]))
    return taken


def _on(problem: Problem, hardware: HardwareFacts) -> Problem:
    if hardware is problem.hardware:
        return problem
    # An engine has one limit on its sequences, whatever its stages stand on.
    wanted = problem.requirements.model_copy(update={"max_batch": problem.max_batch})
    return problem.model_copy(update={"hardware": hardware, "requirements": wanted})


def send_bytes(problem: Problem, batch: int) -> int:
    """Hidden state and residual of a micro-batch, 16 bit each."""
    return batch * problem.model.hidden_size * 2 * 2
