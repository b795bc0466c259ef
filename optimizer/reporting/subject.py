"""What a report is about: problem, answer and strategy, with the cost model's own numbers for this one strategy."""

from __future__ import annotations

from dataclasses import dataclass, field
from functools import cached_property

import numpy as np

from optimizer.catalog.constants import CostConstants, constants
from optimizer.costs.analytic import AnalyticCosts
from optimizer.costs.corrected import correction_of, costs_of
from optimizer.costs.failures import DownStates, down_states
from optimizer.costs.load import LoadPoints, chain_length, evaluate
from optimizer.costs.memory import memory_budget_bytes
from optimizer.costs.service import ServiceTable
from optimizer.costs.shapes import Shape
from optimizer.facts.hardware import HardwareFacts
from optimizer.facts.model import ModelFacts
from optimizer.facts.problem import Problem
from optimizer.reporting.ledger import Ledger
from optimizer.results.answer import Answer, CheckAnswer, Metrics, Strategy
from optimizer.results.placement import Placement, engine_replicas, place_evenly


@dataclass(frozen=True)
class Subject:
    """A strategy under a problem. Arrays of one row: shape index 0 everywhere."""

    problem: Problem
    answer: Answer
    strategy: Strategy
    metrics: Metrics
    ledger: Ledger = field(default_factory=Ledger)

    @property
    def hardware(self) -> HardwareFacts:
        """The nodes."""
        return self.problem.hardware

    @property
    def model(self) -> ModelFacts:
        """The model served."""
        return self.problem.model

    @property
    def constants(self) -> CostConstants:
        """The cost model's constants."""
        return constants()

    @cached_property
    def shape(self) -> Shape:
        """One replica."""
        return Shape.of(self.strategy)

    @cached_property
    def analytic(self) -> AnalyticCosts:
        """The analytic model of the replica."""
        return AnalyticCosts(self.problem, [self.shape])

    @cached_property
    def corrected(self) -> bool:
        """Whether another source of costs puts factors on this replica's times."""
        return self.problem.costs is not None and correction_of(self.problem.costs, self.shape) is not None

    @cached_property
    def service(self) -> ServiceTable:
        """Step times for 1…N sequences in progress, N as in docs/model.md, section 4."""
        return costs_of(self.problem, [self.shape]).service(self.chain)

    @property
    def chain(self) -> int:
        """N: states of the load model."""
        return chain_length(self.problem)

    @property
    def feasible(self) -> bool | None:
        """Whether every rule that is on holds; None when that was not decided."""
        if isinstance(self.answer, CheckAnswer):
            return self.answer.feasible
        return self.answer.strategy is not None

    @property
    def ranks(self) -> int:
        """d: replicas of one engine instance."""
        return engine_replicas(self.strategy)

    @property
    def instance_gpus(self) -> int:
        """S: GPUs that fail as one."""
        return self.strategy.tensor_parallel * self.strategy.pipeline_parallel * self.ranks

    @property
    def instances(self) -> int:
        """K: engine instances."""
        return max(1, self.strategy.data_parallel // self.ranks)

    @property
    def stage_classes(self) -> dict[int, list[int]]:
        """Equal stages: class of the cost model to the stages in it, counted from 0."""
        found: dict[int, list[int]] = {}
        for stage, column in enumerate(self.analytic.table.class_of_stage[0]):
            found.setdefault(column, []).append(stage)
        return found

    @property
    def rate_per_replica(self) -> float:
        """Requests/s that arrive at one replica."""
        return self.problem.workload.requests_per_s / self.strategy.data_parallel

    @property
    def load(self) -> LoadPoints:
        """Load with every instance up."""
        return self.load_at(self.rate_per_replica)

    def load_at(self, rate_per_s: float) -> LoadPoints:
        """Load of a replica at an arrival rate."""
        return evaluate(self.service, np.array([0]), np.array([rate_per_s]), never=self.chain + 1)

    def has_cache(self, load: LoadPoints) -> bool:
        """Whether the cache of a replica holds what is in progress at a load, but for the share of the time allowed."""
        memory, wanted = self.analytic.memory(), self.problem.requirements
        if memory.held is None or "kv_cache" in self.problem.search.disabled_rules:
            return True
        room = memory_budget_bytes(self.problem) - memory.base
        held = memory.held.wanted(np.array([0]), load, wanted.preemption_share)
        return bool((np.ceil(held) <= room).all())

    @property
    def running(self) -> int:
        """Sequences in progress that pictures and breakdowns are drawn for: the median, at most all slots."""
        seen = self.metrics.concurrency_p50
        return self.strategy.max_num_seqs if seen is None else min(seen, self.strategy.max_num_seqs)

    @cached_property
    def down(self) -> DownStates:
        """Distribution of instances that are down."""
        return down_states(self.hardware, np.array([self.instance_gpus]), np.array([self.instances]))

    @cached_property
    def placement(self) -> Placement | None:
        """Where every instance stands; None when there are fewer GPUs than the strategy has."""
        if self.strategy.gpus > self.hardware.gpus:
            return None
        return place_evenly(self.problem, self.strategy)

    def stages_named(self, stages: list[int]) -> str:
        """``stage 0``, ``stages 1 to 2`` for equal stages."""
        if len(stages) == 1:
            return f"stage {stages[0]}"
        runs = stages == list(range(stages[0], stages[-1] + 1))
        return f"stages {stages[0]} to {stages[-1]}" if runs else "stages " + ", ".join(map(str, stages))
