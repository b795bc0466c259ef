"""A rate that no pipeline over two groups passes, whatever its layer split, found without the times of any of them.

Rounds last at least as long as one sequence takes through all layers, each layer on the better of the two GPUs for each of its
parts: roofs of parts add up to no less than the roof of their sums. The prompt likewise.
"""

from __future__ import annotations

import numpy as np

from optimizer.facts.inventory import InventoryProblem
from optimizer.verify.common.arithmetic import exact, facts_of_costs
from optimizer.verify.common.budget import budget_on
from optimizer.verify.common.float_times import Floats
from optimizer.verify.common.groups import Group
from optimizer.verify.common.load import chain_length
from optimizer.verify.common.roof import float_roof
from optimizer.verify.common.stage import Stage, StageKind, Stages
from optimizer.verify.common.times import chunks_of

_ROUNDING = 1 + 1e-9


class Ceiling:
    """For the pipelines of one group of GPUs a stage, with so many stages on each of two kinds of nodes."""

    def __init__(
        self, inventory: InventoryProblem, group: Group, stages: tuple[Stages, Stages], counts: tuple[int, int]
    ) -> None:
        self._inventory, self._group, self._stages, self._counts = inventory, group, stages, counts
        self._problem = stages[0].problem
        wanted, off = inventory.requirements, inventory.search.disabled_rules
        self._most = chain_length(self._problem) if "max_batch" in off else self._problem.max_batch
        self._fewest = 1 if "min_batch" in off else max(1, wanted.min_batch)
        self._no_memory, self._no_rate = "memory" in off, "request_rate" in off
        self._budgets = [budget_on(side.problem, side.problem.hardware) for side in stages]
        self._rates: Floats | None = None

    def fit(self) -> bool:
        """Whether the memory of all stages together may hold the model and the fewest slots."""
        if self._no_memory:
            return True
        whole_model = tuple(self._problem.model.kind_of_layer.count(k) for k in self._kinds)
        whole = self._stage(0, whole_model, last=True)
        other = self._stage(1, whole_model, last=True)
        beside = whole.fixed_bytes, other.fixed_bytes
        room = sum(n * (most - own) for n, most, own in zip(self._counts, self._budgets, beside, strict=True))
        return (
            room
            >= min(whole.weights_bytes, other.weights_bytes)
            + (1 if whole.paged else self._fewest) * whole.sequence_bytes
        )

    def slots(self, layers: tuple[int, ...]) -> int:
        """Sequences that the memory of each stage allows; 0 where they are too few."""
        if self._no_memory:
            return self._most
        most, cut = self._most, self._counts[0]
        for position, kind in enumerate(self._stages[0].kinds(layers)):
            side = int(position >= cut)
            stage = self._stages[side].stage(self._group, kind)
            left = self._budgets[side] - stage.memory_bytes(0)
            each = stage.memory_bytes(1) - stage.memory_bytes(0)
            most = min(most, left // each if each else (most if left >= 0 else 0))
            if most < self._fewest:
                return 0
        return most

    def rate(self, slots: int) -> float:
        """Requests/s that no pipeline with so many slots passes."""
        if self._rates is None:
            self._rates = np.maximum.accumulate(self.throughput())
        last = len(self._rates) if self._no_rate else min(slots, len(self._rates))
        return float(self._rates[last - 1]) * _ROUNDING

    @property
    def most(self) -> int:
        """Slots of any pipeline, memory not asked."""
        return self._most

    @property
    def _kinds(self) -> range:
        return range(len(self._problem.model.kinds))

    def _stage(self, side: int, counts: tuple[int, ...], *, last: bool) -> Stage:
        return self._stages[side].stage(self._group, StageKind(counts, False, last))

    def throughput(self) -> Floats:
        """m over a lower bound of R(m), requests/s, for m = 1, 2, …"""
        work, engine = (
            self._problem.workload,
            facts_of_costs().engine(self._problem.engine, self._problem.engine_version),
        )
        stages = sum(self._counts)
        m = np.arange(1, chain_length(self._problem) + 1, dtype=np.float64)
        decode, prompt = self._decode(np.ceil(m / stages)), self._prompt()
        per_round = (m - 1) / work.output_tokens
        token = decode + per_round * prompt * np.maximum(1 / stages, 1 / (1 + per_round / 2))
        first = float(exact(engine.start_ms)) + (1 + float(exact(engine.admit_steps))) * decode
        first += prompt / chunks_of(self._problem, work.prompt_tokens)
        found: Floats = 1000 * m / (first + (work.output_tokens - 1) * token)
        return found

    def _layers_of_kind(self, k: int) -> list[Stage]:
        """A stage on each side that holds all layers of one kind."""
        count = self._problem.model.kind_of_layer.count(k)
        counts = tuple(count * (kind == k) for kind in self._kinds)
        return [self._stage(side, counts, last=False) for side in (0, 1)]

    def _decode(self, b: Floats) -> Floats:
        """All layers and the head for b sequences, ms."""
        total, slope, memory, compute = np.zeros_like(b), 0.0, 0.0, 0.0
        for k in self._kinds:
            sides = self._layers_of_kind(k)
            total += min(float(stage.step.fixed) for stage in sides)
            slope = max(slope, min(float(stage.step.slope) for stage in sides))
            memory += min(float(stage.roofs[0][0]) for stage in sides)
            compute += min(float(stage.roofs[0][1]) for stage in sides)
            total += np.minimum(*(_experts(stage, b) for stage in sides))
        nothing = (0,) * len(self._kinds)
        ends = [self._stage(side, nothing, last=True) for side in (0, 1)]
        total += min(float(end.step.fixed) for end in ends)
        head = [min(float(end.roofs[1][i]) for end in ends) for i in (0, 1)]
        return total + slope * b + float_roof(memory, compute * b) + float_roof(head[0], head[1] * b)

    def _prompt(self) -> float:
        """The mean prompt through all layers, ms."""
        tokens = self._problem.workload.prompt_tokens
        return sum(min(float(stage.prefill_ms(tokens)) for stage in self._layers_of_kind(k)) for k in self._kinds)


def _experts(stage: Stage, b: Floats) -> Floats:
    """Decode time of the routed experts of a stage; one rank."""
    total = np.zeros_like(b)
    for experts, layers, _ in stage.experts:
        touched = experts.count * (1 - (1 - experts.per_token / experts.count) ** b)
        reads, products = touched * float(experts.read_ms), float(experts.token_ms) * b
        total += layers * (float_roof(reads, products) + touched * float(experts.touch_ms))
    return total
