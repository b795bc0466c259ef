"""What pipelines over two groups earn at most under a multiplier, by their stages, whatever layers these hold.

A part's stages share its layers: the fullest holds them over its stages rounded up, each at least that rounded down. With several kinds
of layers, the fewest of each kind in any run of so many stand in for them. Sends, the engine and the head are left out.
"""

from __future__ import annotations

from collections.abc import Hashable, Iterator
from dataclasses import dataclass, replace

import numpy as np

from optimizer.facts.inventory import InventoryProblem, NodeGroup
from optimizer.facts.model import ModelFacts
from optimizer.results.answer import Fixed
from optimizer.verify.common.budget import budget_on
from optimizer.verify.common.float_times import Floats, Ints, decode_ms
from optimizer.verify.common.groups import Group
from optimizer.verify.common.load import chain_length
from optimizer.verify.common.space import experts_offered, formats_offered, stages_offered, tensor_offered
from optimizer.verify.common.stage import StageKind
from optimizer.verify.inventory.ceiling import Ceiling
from optimizer.verify.inventory.instance import Instances, likeness, nodes_for

_ROUNDING = 1 + 1e-9
_EXACT, _FINER = 8, 1.15
_LEAST_STAY_MS = 1e-6
"""No request is served in less than a nanosecond."""


@dataclass(frozen=True, slots=True)
class Pipelines:
    """Pipelines that differ in the layers of their parts only."""

    tensor: int
    nodes: tuple[int, int]
    each: tuple[int, int]
    """GPUs on each node of a part."""
    gains: Floats
    """Γ at most for each division of the layers, requests/s · ms."""
    rates: Floats
    """What each carries at most, requests/s."""

    def turned(self) -> Pipelines:
        """The same from the second group to the first."""
        return replace(self, nodes=self.nodes[::-1], each=self.each[::-1])

    def gain(self, above: float) -> float:
        """The most that those earn that may carry more than so many requests/s; 0 where none does."""
        return float(self.gains[self.rates > above].max(initial=0.0))


@dataclass(frozen=True, slots=True)
class _PairHeld:
    """Stages of 0 … L layers on one kind of group: milliseconds, and the sequences that memory has room for."""

    decode: Floats
    """A line for each number of layers, a column for each b."""
    prefill: Floats
    slots: Ints


class Across:
    """Bounds for one inventory; kinds of groups that an instance cannot tell apart share them."""

    def __init__(self, inventory: InventoryProblem, instances: Instances, fixed: Fixed) -> None:
        self._inventory, self._instances, self._fixed = inventory, instances, fixed
        # Where max_batch is left out, engines have limits of their own on each kind of GPU: the largest bounds them all.
        alone = [instances.problem(group, 1) for group in inventory.groups]
        self._length = max(chain_length(one) for one in alone)
        self._m = _rising(self._length)
        wanted, off = inventory.requirements, inventory.search.disabled_rules
        self._most = self._length if "max_batch" in off else max(one.max_batch for one in alone)
        self._b = _rising(-(-self._length // 2), max(_EXACT, -(-self._most // 2)))
        self._counts = _fewest(inventory.model)
        self._held: dict[tuple[Hashable, Group], _PairHeld] = {}
        self._quick: dict[tuple[Hashable, ...], Floats] = {}
        self._parts: dict[tuple[Hashable, ...], list[Pipelines]] = {}
        self._fewest = 1 if "min_batch" in off else max(1, wanted.min_batch)
        self._no_rate = "request_rate" in off
        self._no_memory, self._no_slots = "memory" in off, "concurrency" in off

    def parts(self, groups: tuple[NodeGroup, NodeGroup], gamma: float) -> list[Pipelines]:
        """What pipelines whose first stages stand on one group and the others on another earn at most; those that earn nothing left out."""
        one, other = ((likeness(group), group.nodes_together) for group in groups)
        if (one, other, gamma) not in self._parts:
            turned = self._parts.get((other, one, gamma))
            # Neither first nor last stages are told apart here: the same the other way round.
            found = list(self._found(groups, gamma)) if turned is None else [some.turned() for some in turned]
            self._parts[one, other, gamma] = found
        return self._parts[one, other, gamma]

    def _found(self, groups: tuple[NodeGroup, NodeGroup], gamma: float) -> Iterator[Pipelines]:
        problem = self._instances.problem(groups[0], 1)
        for group in self._stage_groups(groups):
            for stages in stages_offered(problem, self._fixed):
                if stages == 1 or not self._may_earn(groups, group, stages, gamma):
                    continue
                for cut in range(1, stages):
                    counts = cut, stages - cut
                    sizes = group.tensor * cut, group.tensor * (stages - cut)
                    first, second = nodes_for(groups[0], sizes[0], cut), nodes_for(groups[1], sizes[1], stages - cut)
                    if first is None or second is None:
                        continue
                    gains, rates = self._gains(groups, group, counts, gamma)
                    if gains.max(initial=0.0) > 0:
                        each = sizes[0] // first, sizes[1] // second
                        yield Pipelines(group.tensor, (first, second), each, gains, rates)

    def _stage_groups(self, groups: tuple[NodeGroup, NodeGroup]) -> Iterator[Group]:
        """TP and EP degrees and formats that both groups may have."""
        one, other = (self._instances.problem(group, 1) for group in groups)
        for tensor in sorted(set(tensor_offered(one, self._fixed)) & set(tensor_offered(other, self._fixed))):
            for expert in sorted(set(experts_offered(one, self._fixed, tensor)) & {1, tensor}):
                for weight, kv in formats_offered(one, self._fixed):
                    yield Group(tensor, expert, weight, kv)

    def _may_earn(self, groups: tuple[NodeGroup, NodeGroup], group: Group, stages: int, gamma: float) -> bool:
        """Whether it could with every layer on the better of the two GPUs."""
        key = likeness(groups[0]), likeness(groups[1]), group, stages
        if key not in self._quick:
            held = self._instances.stages(groups[0], 1), self._instances.stages(groups[1], 1)
            self._quick[key] = Ceiling(self._inventory, group, held, (1, stages - 1)).throughput()
        rates = self._quick[key]
        return float((gamma * rates - 1000 * np.arange(1, len(rates) + 1)).max()) > 0

    def _gains(
        self, groups: tuple[NodeGroup, NodeGroup], group: Group, counts: tuple[int, int], gamma: float
    ) -> tuple[Floats, Floats]:
        """(Γ at most, requests/s at most) for each division of the layers that memory has room for."""
        held = [self._stages(one, group) for one in groups]
        total = self._inventory.model.layers
        ahead = np.arange(counts[0], total - counts[1] + 1)
        slots = np.full(len(ahead), self._most)
        layers = ahead, total - ahead
        for one, n, many in zip(held, layers, counts, strict=True):
            slots = np.minimum(slots, one.slots[-(-n // many)])
        fits = slots >= self._fewest
        if not fits.any():
            return np.zeros(0), np.zeros(0)
        layers, slots = (layers[0][fits], layers[1][fits]), slots[fits]
        some = self._quickest(held, layers, counts) < gamma
        if not some.any():
            return np.zeros(0), np.zeros(0)
        layers, slots = (layers[0][some], layers[1][some]), slots[some]
        work, m, stages = self._inventory.workload, self._m, sum(counts)
        at = np.searchsorted(self._b, -(-m // stages), side="right") - 1
        through, slowest = np.zeros((len(slots), len(m))), np.zeros((len(slots), len(m)))
        whole, longest = np.zeros((len(slots), 1)), np.zeros((len(slots), 1))
        for one, n, many in zip(held, layers, counts, strict=True):
            low, high = n // many, -(-n // many)
            through = through + many * one.decode[low][:, at]
            slowest = np.maximum(slowest, one.decode[high][:, at])
            whole = whole + many * one.prefill[low][:, None]
            longest = np.maximum(longest, one.prefill[high][:, None])
        per_round = (m - 1) / work.output_tokens
        rounds = np.maximum(through, np.minimum(m, stages) * slowest)
        token = rounds + per_round * np.maximum(longest, whole / (1 + per_round / 2))
        # Some models have layers that cost nothing; stages of these alone would be passed in no time.
        stay = np.maximum((whole + (work.output_tokens - 1) * token) / _ROUNDING, _LEAST_STAY_MS)
        # From one number in progress of the grid to the next the stay is no shorter than at the first.
        last = np.append(m[1:] - 1, self._length)
        spare = gamma / stay - 1
        most = np.maximum(0.0, last * spare).max(axis=1)
        if not self._no_slots:
            most = np.minimum(most, np.maximum(0.0, (slots - 1) * spare[:, 0]))
        return 1000 * most * _ROUNDING, self._rates(held, layers, counts, slots)

    def _quickest(self, held: list[_PairHeld], layers: tuple[Ints, Ints], counts: tuple[int, int]) -> Floats:
        """Milliseconds that a request alone stays at least: its prompt and each further token pass all stages."""
        found = np.zeros(len(layers[0]))
        for one, n, many in zip(held, layers, counts, strict=True):
            low = n // many
            found += many * ((self._inventory.workload.output_tokens - 1) * one.decode[low, 0] + one.prefill[low])
        return found / _ROUNDING

    def _rates(self, held: list[_PairHeld], layers: tuple[Ints, Ints], counts: tuple[int, int], slots: Ints) -> Floats:
        """What completes at most: a round takes a turn of the slowest stage for every b sequences, and prompts theirs."""
        work = self._inventory.workload
        b = -(-(np.full_like(slots, self._length) if self._no_rate else slots) // sum(counts))
        at = np.searchsorted(self._b, b, side="right") - 1
        fullest = [-(-n // many) for n, many in zip(layers, counts, strict=True)]
        slowest = np.maximum(*(one.decode[n, at] for one, n in zip(held, fullest, strict=True)))
        longest = np.maximum(*(one.prefill[n] for one, n in zip(held, fullest, strict=True)))
        least = (1 - 1 / work.output_tokens) * (work.output_tokens * slowest / b + longest)
        with np.errstate(divide="ignore"):
            found: Floats = np.where(least > 0, 1000 / least, np.inf) * _ROUNDING
        return found

    def _stages(self, there: NodeGroup, group: Group) -> _PairHeld:
        key = likeness(there), group
        if key not in self._held:
            stages = self._instances.stages(there, 1)
            budget = budget_on(stages.problem, stages.problem.hardware)
            b, known = self._b.astype(np.float64), dict[tuple[int, int], Floats]()
            decode, prefill, slots = [], [], []
            for counts in self._counts.tolist():
                stage = stages.stage(group, StageKind(tuple(counts), False, False))
                decode.append(decode_ms(stage, group.ranks, b, known))
                prefill.append(float(stage.prefill_ms(self._inventory.workload.prompt_tokens)))
                left, each = budget - stage.memory_bytes(0), stage.memory_bytes(1) - stage.memory_bytes(0)
                slots.append(
                    self._most if self._no_memory or (not each and left >= 0) else max(0, left // each) if each else 0
                )
            self._held[key] = _PairHeld(np.stack(decode), np.array(prefill), np.array(slots, dtype=np.int64))
        return self._held[key]


def _rising(most: int, exact: int = _EXACT) -> Ints:
    """1, 2, … and then in growing steps up to the most."""
    found = list(range(1, min(most, exact) + 1))
    while found[-1] < most:
        found.append(min(most, max(found[-1] + 1, int(found[-1] * _FINER))))
    return np.array(found, dtype=np.int64)


def _fewest(model: ModelFacts) -> Ints:
    """The fewest layers of each kind in any run of 0 … L layers."""
    of, kinds = list(model.kind_of_layer), range(len(model.kinds))
    found = np.zeros((model.layers + 1, len(model.kinds)), dtype=np.int64)
    for k in kinds:
        sums = np.concatenate([[0], np.cumsum([kind == k for kind in of])])
        for n in range(1, model.layers + 1):
            found[n, k] = (sums[n:] - sums[:-n]).min()
    return found
