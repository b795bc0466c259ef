"""Every number that rules and objective speak of, for every row of either pool, as integers rounded toward pessimism.

A row of the prefill pool is (shape, instances, nodes, kind of cache it sends); one of the decode pool (shape, instances, nodes).
What both sides of the link have to do with each other is in the kind of cache alone, so that all else stays apart.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property

import numpy as np

from optimizer.costs.distinct import distinct_loads
from optimizer.costs.failures import STATES, down_states
from optimizer.costs.pools import DecodeLoad, PoolCosts, PoolLink, PrefillLoad
from optimizer.costs.shapes import Bools, Floats, Ints, Shape
from optimizer.engines.memory import state_blocks_of
from optimizer.facts.base import LARGEST_COUNT
from optimizer.facts.problem import Problem
from optimizer.results.pools import FixedPool, FixedPools
from optimizer.search.common.scale import NEVER_BYTES, NEVER_NS, bytes_up, limit_ns, time_ns
from optimizer.search.pools.shapes import CacheKind, cache_of, joined, shapes_for
from optimizer.search.uniform.quantities import ObjectiveWeights

FULL = 10**9
"""A share of one, in the whole numbers of the model."""
EVERY_COUNT = 64
"""Instances up to which every number of them is tabulated, however many GPUs there are."""
MOST_SPREADS = 8
"""Nodes up to which every number of them is considered for a pool."""


@dataclass(frozen=True, slots=True)
class Rows:
    """One pool, (R,) each."""

    shape: Ints
    count: Ints
    nodes: Ints
    cache: Ints
    """Kind of cache that is sent or received."""
    gpus: Ints
    every: Ints
    """GPUs in use on every node that the pool is spread over."""
    over: Ints
    """GPUs more on the nodes that hold one instance more."""
    more: Ints
    """How many nodes do."""
    lost: Ints
    """Instances that 0, 1, 2 lost nodes take, (R, 3)."""
    fewest: Ints
    """Instances from which on to ``count`` no other number is tabulated; ``count`` where every one is."""

    def __len__(self) -> int:
        return len(self.shape)

    def part(self, rows: Ints | Bools) -> Rows:
        """Some of the rows."""
        return Rows(*(getattr(self, name)[rows] for name in Rows.__dataclass_fields__))


@dataclass(frozen=True, slots=True)
class Valued:
    """Expected ms of a pool over its failure states, and the share it does not serve, (R,)."""

    served: Floats
    unserved: Floats
    lost: Floats

    @property
    def ns(self) -> Ints:
        """The value in whole ns."""
        return time_ns(self.served) + time_ns(self.unserved)


class PoolTables:
    """Rows of both pools at one rate, with their columns.

    Args:
        samples: a decode shape of each kind of cache that may be received, here or on another group; left out, those of this problem.
        link: what one GPU has between the pools; left out, what the hardware says.
        spacing: of two numbers of instances beyond ``EVERY_COUNT`` that are tabulated the larger is so many times the smaller; 1: all are.
    """

    def __init__(
        self,
        problem: Problem,
        fixed: FixedPools = FixedPools(),
        *,
        samples: Mapping[CacheKind, Shape] | None = None,
        link: PoolLink | None = None,
        spacing: float = 1.0,
    ) -> None:
        self.problem, self.fixed, self.spacing = problem, fixed, spacing
        self.weights = ObjectiveWeights.of(problem.objective)
        prefill, decode = shapes_for(problem, fixed.prefill), shapes_for(problem, fixed.decode)
        if samples is None:
            samples = {cache_of(shape): shape for shape in reversed(decode)}
            samples = {kind: samples[kind] for kind in dict.fromkeys(cache_of(shape) for shape in decode)}
        self.shapes: tuple[Shape, ...] = tuple(dict.fromkeys((*prefill, *decode, *samples.values())))
        where = {shape: index for index, shape in enumerate(self.shapes)}
        self.costs = PoolCosts(problem, self.shapes, link)
        self.caches: tuple[CacheKind, ...] = tuple(samples)
        self.sample = np.array([where[shape] for shape in samples.values()], dtype=np.int64)
        """A decode shape that receives each kind of cache."""
        kinds = {one: index for index, one in enumerate(self.caches)}
        self.prefill = self._rows(
            [(where[s], kinds[c]) for s in prefill for c in self.caches if joined(problem, s, c)], fixed.prefill
        )
        # Pools on other groups may feed what none of this one does; what no pool anywhere feeds is of no kind.
        fed = set(self.prefill.cache.tolist()) if link is None else set(kinds.values())
        kept = [(where[s], kinds[cache_of(s)]) for s in decode if cache_of(s) in kinds and kinds[cache_of(s)] in fed]
        self.decode = self._rows(kept, fixed.decode)
        self.allowed_slots, self.full_ns = self._slots()

    def _rows(self, pairs: list[tuple[int, int]], fixed: FixedPool) -> Rows:
        of_size: dict[int, Ints] = {}
        found = [np.zeros((0, 11), dtype=np.int64)]
        for shape, cache in pairs:
            size = self.shapes[shape].instance_gpus
            if size not in of_size:
                of_size[size] = np.array(self._stands(size, fixed), dtype=np.int64).reshape(-1, 9)
            some = of_size[size]
            found.append(np.column_stack([np.full(len(some), shape), np.full(len(some), cache), some]))
        columns = np.concatenate(found).T
        lost = np.column_stack([np.zeros_like(columns[2]), columns[8], columns[9]])
        return Rows(
            shape=columns[0], cache=columns[1], count=columns[2], nodes=columns[3], gpus=columns[4], every=columns[5],
            over=columns[6], more=columns[7], lost=np.minimum(lost, columns[2][:, None]),
            fewest=columns[10],
        )  # fmt: skip

    def _stands(self, size: int, fixed: FixedPool) -> list[tuple[int, ...]]:
        """(count, nodes, GPUs, GPUs on every node, over, on more nodes, lost with one node, with two, fewest) of instances of a size."""
        hardware = self.problem.hardware
        found: list[tuple[int, ...]] = []
        per_node, most = hardware.gpus_per_node, hardware.gpus // size
        counts = range(1, most + 1) if fixed.count is None else (fixed.count,) if fixed.count <= most else ()
        before = 0
        for count in counts:
            if size > per_node:
                found.append((count, count * size // per_node, count * size, per_node, 0, 0, 1, 2, count))
                continue
            if fixed.count is None and EVERY_COUNT < count < most and count < before * self.spacing:
                continue
            fewest = before + 1 if fixed.count is None else count
            before = count
            for nodes in _spreads(-(-count // (per_node // size)), count, hardware.nodes):
                each, more = divmod(count, nodes)
                one, two = each + (1 if more else 0), 2 * each + min(2, more)
                found.append((count, nodes, count * size, each * size, size if more else 0, more, one, two, fewest))
        return found

    @cached_property
    def state_sequences(self) -> Ints:
        """Sequences for whose states a rank of each shape has blocks, (S,); ``LARGEST_COUNT`` where states set no limit."""
        return self.costs.costs.memory().state_sequences(self.costs.room[:, None], LARGEST_COUNT)

    def _slots(self) -> tuple[Ints, Ints]:
        """n_max of each shape, (S,), and the step with every slot taken, ns."""
        problem = self.problem
        steps = time_ns(self.costs.round_ms)
        most = np.full(len(self.shapes), min(problem.max_batch, self.costs.slots), dtype=np.int64)
        limit = problem.requirements.tpot_p99_ms
        if "max_batch" in problem.search.disabled_rules:
            most[:] = self.costs.slots
        if state_blocks_of(problem) is not None and "state_blocks" not in problem.search.disabled_rules:
            most = np.maximum(1, np.minimum(most, self.state_sequences))
        if limit is not None and "tpot_full_batch" not in problem.search.disabled_rules:
            within = (steps <= limit_ns(limit, problem.requirements.margin)).sum(axis=1)
            most = np.minimum(most, np.maximum(1, within))
        stated = self.fixed.decode.max_num_seqs
        if stated is not None:
            most[:] = min(stated, self.costs.slots)
        full: Ints = steps[np.arange(len(steps)), most - 1] if len(steps) else np.zeros(0, dtype=np.int64)
        return most, full

    def _per_rank(self, shape: Ints, alive: Ints, requests_per_s: float | Floats) -> Floats:
        ranks = np.maximum(alive, 0) * self.costs.costs.table.ranks[shape]
        rate: Floats = np.where(ranks > 0, requests_per_s / np.maximum(ranks, 1), np.inf)
        return rate

    def prefill_load(self, rows: Rows, alive: Ints, requests_per_s: float | Floats) -> PrefillLoad:
        """Load of rows of which ``alive`` instances (R,) are left, at one rate or one for each, (R,)."""
        rate = self._per_rank(rows.shape, alive, requests_per_s)
        return self.costs.prefill(rows.shape, self.sample[rows.cache], rate)

    def decode_load(self, rows: Rows, alive: Ints, requests_per_s: float | Floats) -> DecodeLoad:
        """Load of rows of which ``alive`` instances (R,) are left, at one rate or one for each, (R,)."""
        return self._decode_loads(rows, [alive], requests_per_s)[0]

    def load_of(
        self, side: int, rows: Rows, alive: Ints, requests_per_s: float | Floats
    ) -> tuple[PrefillLoad | DecodeLoad, Bools]:
        """(load, whether it is carried) of prefill (0) or decode rows (1)."""
        if side == 0:
            prompts = self.prefill_load(rows, alive, requests_per_s)
            return prompts, self.prefill_carries(rows, prompts)
        tokens = self.decode_load(rows, alive, requests_per_s)
        return tokens, self.decode_carries(rows, tokens)

    def _decode_loads(self, rows: Rows, alive: Sequence[Ints], requests_per_s: float | Floats) -> list[DecodeLoad]:
        """The same for several numbers of instances left, each load of a rank worked out once."""
        rates = [self._per_rank(rows.shape, one, requests_per_s) for one in alive]
        first, back = distinct_loads(np.tile(rows.shape, len(rates)), np.concatenate(rates))
        found = self.costs.decode(np.tile(rows.shape, len(rates))[first], np.concatenate(rates)[first])
        return [
            DecodeLoad(**{name: getattr(found, name)[some] for name in DecodeLoad.__dataclass_fields__})
            for some in np.split(back, len(rates))
        ]

    def prefill_short(self, rows: Rows, load: PrefillLoad) -> Ints:
        """Bytes of cache that a prefill rank lacks, (R,); 0 or less: none."""
        return self._short(rows, load.cache_wanted)

    def decode_short(self, rows: Rows, load: DecodeLoad) -> Ints:
        """Bytes of cache that a decode rank lacks, (R,); 0 or less: none."""
        return self._short(rows, load.cache_wanted)

    def _short(self, rows: Rows, wanted: Floats) -> Ints:
        short: Ints = np.minimum(bytes_up(wanted) - self.costs.room[rows.shape], NEVER_BYTES)
        return short

    def prefill_carries(self, rows: Rows, load: PrefillLoad) -> Bools:
        """Whether a load is carried, (R,)."""
        held = (self.prefill_short(rows, load) <= 0) | self._off("prefill_kv_cache")
        fine: Bools = load.carries & held
        return fine

    def decode_carries(self, rows: Rows, load: DecodeLoad) -> Bools:
        """Whether a load is carried, (R,)."""
        held = (self.decode_short(rows, load) <= 0) | self._off("decode_kv_cache")
        fine: Bools = load.carries & held & (load.n99 <= self.allowed_slots[rows.shape])
        return fine

    def _off(self, rule: str) -> bool:
        return rule in self.problem.search.disabled_rules

    def prefill_value(self, rows: Rows, rate: float | Floats | None = None) -> Valued:
        """Section 6 for the prefill pool at the demand, or at rates of its own."""
        rate = self.problem.workload.requests_per_s if rate is None else rate
        loads = [self.prefill_load(rows, rows.count - down, rate) for down in range(STATES)]
        return self._value(rows, [load.mean_ms for load in loads], [self.prefill_carries(rows, load) for load in loads])

    def decode_value(self, rows: Rows, rate: float | Floats | None = None) -> Valued:
        """Section 6 for the decode pool, likewise."""
        rate = self.problem.workload.requests_per_s if rate is None else rate
        loads = self._decode_loads(rows, [rows.count - down for down in range(STATES)], rate)
        return self._value(rows, [load.mean_ms for load in loads], [self.decode_carries(rows, load) for load in loads])

    def _value(self, rows: Rows, means: list[Floats], carries: list[Bools]) -> Valued:
        w, count = self.weights, rows.count.astype(np.float64)
        usual = np.where(np.isfinite(means[0]), means[0], 0.0) * w.latency
        down = down_states(self.problem.hardware, self.sizes(rows), rows.count, rows.nodes)
        served, unserved, lost = np.zeros(len(rows)), np.zeros(len(rows)), np.zeros(len(rows))
        for j in range(STATES):
            p = down.probability[:, j]
            weight = p if w.unserved > 0 else np.full(len(rows), float(j == 0))
            time = np.where(np.isfinite(means[j]), means[j], np.inf) * w.latency
            kept, gone = (
                usual * np.maximum(0.0, count - j) / count,
                np.minimum(1.0, j / count) * w.unserved * w.penalty_ms,
            )
            fine = carries[j] & ((time <= kept + gone) if j else True)
            served += np.where(fine, weight * np.where(fine, time, 0.0), weight * (kept if j else 0.0))
            unserved += np.where(fine, 0.0, weight * (gone if j else w.latency * w.penalty_ms))
            lost += np.where(fine, 0.0, p * (np.minimum(1.0, j / count) if j else 1.0))
        rest = down.rest_mean / count
        if w.unserved > 0:
            served += np.maximum(0.0, down.rest - rest) * usual
            unserved += rest * w.unserved * w.penalty_ms
        return Valued(served, unserved, lost + rest)

    def sizes(self, rows: Rows) -> Ints:
        """GPUs of one instance, (R,)."""
        table = self.costs.costs.table
        sizes: Ints = (table.tp * table.ranks)[rows.shape]
        return sizes

    def sent_ns(self, rows: Rows) -> tuple[Ints, Ints, Ints]:
        """(mean, usual prompt, longest) ns that a GPU of each prefill row sends, (R,)."""
        decode = self.sample[rows.cache]
        found = self.costs.crossing_ms(decode, self.costs.sent_times(rows.shape, decode))
        return time_ns(found[0]), time_ns(found[1]), time_ns(found[2])

    def received_ns(self, rows: Rows) -> tuple[Ints, Ints, Ints]:
        """The same that a GPU of each decode row receives."""
        found = self.costs.crossing_ms(rows.shape, np.ones(len(rows)))
        return time_ns(found[0]), time_ns(found[1]), time_ns(found[2])

    def prefill_peak(self, rows: Rows) -> Floats:
        """Requests/s that the pool works off at most, (R,)."""
        ranks = rows.count * self.costs.costs.table.ranks[rows.shape]
        found: Floats = ranks * self.costs.prefill_capacity_per_s()[rows.shape]
        return found

    def decode_peak(self, rows: Rows) -> Floats:
        """Requests/s that the pool completes at most, (R,)."""
        ranks = rows.count * self.costs.costs.table.ranks[rows.shape]
        found: Floats = ranks * self.costs.decode_capacity_per_s(self.allowed_slots)[rows.shape]
        return found


def _spreads(fewest: int, count: int, nodes: int) -> list[int]:
    """Numbers of nodes that a pool of so many instances may be spread over: every one of a few nodes, else doubling ones."""
    most = min(count, nodes)
    if nodes <= MOST_SPREADS:
        return sorted({*range(fewest, most + 1), nodes})
    found, one = {most, nodes}, fewest
    while one < most:
        found.add(one)
        one *= 2
    return sorted(found)


def share_parts(busy: Floats) -> Ints:
    """A share of the time in parts of ``FULL``, rounded up; ``NEVER_NS`` where requests pile up beyond any."""
    finite = np.where(np.isfinite(busy), np.minimum(busy, 1e6), 0.0)
    found: Ints = np.where(np.isfinite(busy), np.ceil(finite * FULL), NEVER_NS).astype(np.int64)
    return found
