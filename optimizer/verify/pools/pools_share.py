"""Prefill and decode pools with a share of the requests: what a request takes at least where every rule holds, in floats.

Each pool by itself, its instances and GPUs in number alone; of the first token either pool adds the least that it can.
``docs/disaggregated.md``, section 14. Callers work inside ``arithmetic.sixty_digits``.

Other home: ``search/pools/pools_share.py``; docs/disaggregated.md, section 14.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from fractions import Fraction
from functools import cached_property

import numpy as np
from numpy.typing import NDArray

from optimizer.facts.problem import Problem
from optimizer.facts.side_by_side import TENTHS
from optimizer.results.pools import FixedPool
from optimizer.verify.common.arithmetic import exact
from optimizer.verify.common.objective import weights_of
from optimizer.verify.pools.float_ranks import Floats, Ints, RankLoad, RankQueues, WireLoad
from optimizer.verify.pools.joint_share import up_at_least, within
from optimizer.verify.pools.pair import Shapes, joined
from optimizer.verify.pools.pool import sent_times
from optimizer.verify.pools.shape import Hop, PoolShape
from optimizer.verify.pools.survey import offered, slots_of

Bools = NDArray[np.bool_]
LEFT_OUT = frozenset({"prefill_capacity", "prefill_kv_cache", "link", "decode_concurrency", "decode_kv_cache"})
"""Rules without which a pool may leave requests unserved with nothing down."""
Kind = tuple[int, str, str]
"""What decode shapes have in common for whoever feeds them: TP, formats of weights and cache."""


class _BestOf:
    """The least of one pool by the GPUs that it has at most, (G + 1,)."""

    def __init__(self, gpus: int, firsts: Sequence[tuple[str, str]]) -> None:
        self.value = np.full(gpus + 1, np.inf)
        self.first = {name: np.full(gpus + 1, np.inf) for name in firsts}

    def take(self, at: Ints, kept: Bools, value: Floats, first: Mapping[tuple[str, str], Floats]) -> None:
        """Pools of so many GPUs."""
        self.value[at[kept]] = np.minimum(self.value[at[kept]], value[kept])
        for name, ms in first.items():
            self.first[name][at[kept]] = np.minimum(self.first[name][at[kept]], ms[kept])

    def or_fewer(self) -> None:
        """Fewer GPUs are among more."""
        np.minimum.accumulate(self.value, out=self.value)
        for ms in self.first.values():
            np.minimum.accumulate(ms, out=ms)


class OwnPoolsShare:
    """Pools on nodes of a problem.

    Args:
        shapes: those of the problem, or of one that differs in its number of nodes.
        wire: no slower than any between two parts of the pools that are meant.
    """

    def __init__(self, problem: Problem, shapes: Shapes, wire: Hop) -> None:
        self.problem, self._shapes, self._wire = problem, shapes, wire
        self._off = set(problem.search.disabled_rules)
        self._sides: dict[int, dict[Kind, tuple[_BestOf, _BestOf]]] = {}

    def least(self, tenths: int, gpus: int) -> float:
        """ms that a request takes at least with so many tenths of them in pools that share so many GPUs."""
        if tenths not in self._sides:
            self._sides[tenths] = {kind: self._of_kind(kind, tenths) for kind in self._receivers}
        mine = np.arange(1, gpus)
        its = gpus - mine
        if "gpu_count" in self._off:
            mine = its = np.array([gpus])
        least = np.inf
        for prefill, decode in self._sides[tenths].values():
            sums = prefill.value[mine] + decode.value[its]
            for rule, most in self._limits("ttft").items():
                for one, other in self._lost_together:
                    sums[prefill.first[rule, one][mine] + decode.first[rule, other][its] > most] = np.inf
            least = min(least, float(sums.min(initial=np.inf)))
        return least

    @cached_property
    def _receivers(self) -> dict[Kind, list[PoolShape]]:
        found: dict[Kind, list[PoolShape]] = {}
        for shape in offered(self.problem, self._shapes, FixedPool()):
            if self._starts(shape, "decode") and self._runs(shape):
                found.setdefault((shape.group.tensor, shape.group.weight_format, shape.group.kv_format), []).append(
                    shape
                )
        return found

    @cached_property
    def _senders(self) -> list[PoolShape]:
        every = offered(self.problem, self._shapes, FixedPool())
        return [shape for shape in every if self._starts(shape, "prefill")]

    def _starts(self, shape: PoolShape, side: str) -> bool:
        return shape.short_of_memory <= 0 or f"{side}_memory" in self._off

    def _runs(self, shape: PoolShape) -> bool:
        """Whether the most sequences of a decode rank keep the rules on them."""
        slots, limits, off = slots_of(self.problem, shape, FixedPool()), self.problem.requirements, self._off
        if slots < limits.min_batch and "min_batch" not in off:
            return False
        if shape.states is not None and slots > shape.states and "state_blocks" not in off:
            return False
        if limits.tpot_p99_ms is None or "tpot_full_batch" in off:
            return True
        return float(shape.round(slots)) <= within(self.problem, limits.tpot_p99_ms)

    @cached_property
    def _ranks(self) -> dict[int, RankQueues]:
        """By the identity of shapes, which ``shapes`` keeps alive."""
        return {}

    def _rank(self, shape: PoolShape) -> RankQueues:
        if id(shape) not in self._ranks:
            self._ranks[id(shape)] = RankQueues(shape)
        return self._ranks[id(shape)]

    def _limits(self, *metrics: str) -> dict[str, float]:
        """ms by rule."""
        limits = self.problem.requirements.latency_limits
        return {
            one.rule: within(self.problem, one.limit_ms)
            for one in limits
            if one.metric in metrics and one.rule not in self._off
        }

    @cached_property
    def _levels(self) -> list[str]:
        survive = self.problem.requirements.survive
        return [one for one in ("gpu", "node") if getattr(survive, one) and f"survive_{one}" not in self._off]

    @cached_property
    def _lost_together(self) -> list[tuple[str, str]]:
        """States of both pools in which the first token has its limit."""
        after = [pair for level in self._levels for pair in ((level, "spared"), ("spared", level))]
        return [("all up", "all up"), *after]

    def _of_kind(self, kind: Kind, tenths: int) -> tuple[_BestOf, _BestOf]:
        received, gpus = self._receivers[kind], self.problem.hardware.gpus
        names = [(rule, state) for rule in self._limits("ttft") for state in ("all up", "spared", *self._levels)]
        first, second = _BestOf(gpus, names), _BestOf(gpus, names)
        for shape in received:
            self._add(second, shape, WireLoad(self._wire, shape, Fraction(1)), tenths, "decode")
        some = received[0]
        for shape in self._senders:
            if joined(self.problem, shape.group, some.group):
                wire = WireLoad(self._wire, some, sent_times(self.problem, shape, some))
                self._add(first, shape, wire, tenths, "prefill")
        for side in (first, second):
            side.or_fewer()
        return first, second

    def _add(self, best: _BestOf, shape: PoolShape, wire: WireLoad, tenths: int, side: str) -> None:
        """Every number of instances of a shape."""
        count = np.arange(1, self.problem.hardware.gpus // shape.gpus + 1)
        if not len(count):
            return
        survive, rate = self.problem.requirements.survive, float(exact(self.problem.workload.requests_per_s))
        rate *= tenths / TENTHS
        normal = self._load(shape, wire, rate, count, side)
        kept = normal.carried | bool(LEFT_OUT & self._off)
        states = {"all up": normal}
        if self._levels:
            states["spared"] = self._load(shape, wire, rate * survive.demand_share, count, side)
        for level in self._levels:
            left = count - self._lost(level, shape, count)
            states[level] = self._load(shape, wire, rate * survive.demand_share, left, side)
            kept = kept & states[level].carried
        first: dict[tuple[str, str], Floats] = {}
        for state, load in states.items():
            for rule, most in self._limits("ttft").items():
                own = load.times[rule]
                if side == "decode":
                    own = own + (wire.usual if rule.endswith("p50") else wire.longest)
                first[rule, state], kept = own, kept & (own <= most)
            for rule, most in self._limits("prefill", "tpot").items():
                if rule in load.times:
                    kept = kept & (load.times[rule] <= most)
        weights = weights_of(self.problem.objective)
        up = 1.0 if weights.unserved <= 0 else up_at_least(self.problem, shape.gpus)
        unserved = float(weights.latency * weights.penalty_ms)
        value = np.where(normal.carried, float(weights.latency) * up * normal.mean, unserved)
        best.take(count * shape.gpus, kept, value, first)

    def _load(self, shape: PoolShape, wire: WireLoad, rate: float, count: Ints, side: str) -> RankLoad:
        each = np.where(count > 0, rate / np.maximum(1, count * shape.group.ranks), np.inf)
        ranks = self._rank(shape)
        if side == "prefill":
            return ranks.prefill(each, wire)
        return ranks.decode(each, wire, slots_of(self.problem, shape, FixedPool()))

    def _lost(self, level: str, shape: PoolShape, count: Ints) -> Ints:
        """Instances that losses take at least where all hit this pool: the fullest nodes hold no fewer than the mean."""
        survive, hardware = self.problem.requirements.survive, self.problem.hardware
        if level == "gpu":
            return np.minimum(survive.gpu, count)
        if shape.gpus > hardware.gpus_per_node:
            return np.ones_like(count)
        return np.minimum(count, -(-survive.node * count // hardware.nodes))
