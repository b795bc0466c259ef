"""What one engine instance can be on each node group: shapes, and what each carries. ``docs/inventories.md``, section 2.

Groups that are alike in everything an instance can see (GPU, links, free GPUs, nodes in a rack) share one set of shapes.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import cached_property
from typing import TypeVar

import numpy as np

from optimizer.answer import Fixed
from optimizer.costs.load import LoadPoints
from optimizer.costs.shapes import Bools, Floats, Ints, Shape
from optimizer.facts.inventory import FleetProblem, NodeGroup
from optimizer.facts.problem import Problem
from optimizer.search.fleet.dominance import undominated, undominated_rates
from optimizer.search.quantities import Quantities
from optimizer.search.scale import limit_ns, time_ns
from optimizer.search.screen import Screen
from optimizer.search.space import (
    Space,
    SpaceTooLargeError,
    chain_length,
    layer_splits,
    pipeline_degrees,
    tensor_degrees,
)

T = TypeVar("T")
MICRO = 1_000_000
"""Rates are counted in whole millionths of a request/s."""
MOST_SHAPES = 20_000
_SECTIONS = 16
_GRID = 40


@dataclass(frozen=True, slots=True)
class Offer:
    """One shape on one kind of node. Rates in millionths of a request/s per instance."""

    kind: int
    shape: Shape
    row: int  # in the quantities of ``problem``
    nodes: int  # q
    slots: int
    capacity: int  # c
    slots_capacity: int  # k
    peak: int  # d · X(n)
    restart_s: float  # R: engine start and weights

    @property
    def gpus(self) -> int:
        """GPUs of an instance."""
        return self.shape.instance_gpus

    @property
    def gpus_per_node(self) -> int:
        """GPUs that each of its nodes gives."""
        return self.gpus // self.nodes


def kind_key(group: NodeGroup) -> tuple[object, ...]:
    """What an instance can see of a group; equal keys offer the same shapes."""
    plain = group.model_dump(include={"gpus_per_node", "free_gpus", "nvlink_gb_per_s", "nvlink_domain_gpus"})
    links = (group.pcie_gb_per_s, group.internode_gbit_per_s, group.internode_latency_us)
    return (group.gpu.name, group.gpu.model_dump_json(), *plain.values(), *links)


class Kind:
    """All shapes on one kind of node, with exact curves of their load. ``together``: nodes an instance may spread over."""

    def __init__(self, problem: FleetProblem, group: NodeGroup, index: int, together: int, fixed: Fixed) -> None:
        self.fixed = fixed
        self.index = index
        self.group = group
        self.together = together
        self.fleet = problem
        self._tables: dict[int, _Table] = {}
        self.considered = 0
        found: list[Offer] = []
        for nodes, shapes in sorted(self._shapes().items()):
            self.considered += len(shapes)
            table = _Table(problem, group, nodes, shapes)
            self._tables[nodes] = table
            found += table.offers(index, nodes)
        self.offers: tuple[Offer, ...] = tuple(self._fewer(found))

    def _shapes(self) -> dict[int, list[Shape]]:
        """Shapes by the nodes they need."""
        problem = self.fleet.instance_problem(self.group, self.together)
        found: dict[int, list[Shape]] = {}
        search, model, fixed = problem.search, problem.model, self.fixed
        weights = _one_of(fixed.weight_precision, search.weight_precision or (model.native_weight_format,))
        caches = _one_of(fixed.kv_precision, search.kv_precision or (model.native_dtype,))
        count = 0
        for tp in _one_of(fixed.tensor_parallel, tensor_degrees(problem)):
            for pp in _one_of(fixed.pipeline_parallel, pipeline_degrees(problem)):
                for ep in _expert_degrees(problem, tp, self.group.free_gpus * self.together // (tp * pp)):
                    ranks = max(1, ep // tp)
                    if fixed.expert_parallel not in (None, ep):
                        continue
                    nodes = nodes_needed(tp * pp * ranks, pp * ranks, self.group.free_gpus, self.together)
                    if nodes is None:
                        continue
                    for weight in weights:
                        for cache in caches:
                            for split in layer_splits(model.layers, pp, search.layer_imbalance):
                                found.setdefault(nodes, []).append(Shape(tp, pp, ep, str(weight), str(cache), split))
                                count += 1
                    if count > MOST_SHAPES:
                        raise SpaceTooLargeError(
                            f"more than {MOST_SHAPES:,} shapes on group {self.group.name}; narrow "
                            "search.tensor_parallel, search.pipeline_parallel or search.layer_imbalance"
                        )
        return found

    def _fewer(self, offers: list[Offer]) -> list[Offer]:
        """Without the offers that another beats at every rate wherever they stand."""
        found = []
        for ranks in sorted({offer.shape.engine_ranks for offer in offers}):
            alike = [offer for offer in offers if offer.shape.engine_ranks == ranks]
            top = max(offer.slots_capacity for offer in alike)
            grid = np.concatenate(
                [[1.0], np.geomspace(1e-4, 1 / _GRID, 12)[:-1] * top, np.linspace(0, top, _GRID + 1)[1:]]
            )
            means = self.means(alike, np.tile(grid / MICRO, (len(alike), 1)))
            carries = np.array([(o.capacity, o.slots_capacity, o.peak) for o in alike], dtype=np.int64).T
            wide = [1 if self.table(offer).whole_node_nvlink else offer.shape.tp for offer in alike]
            parts = [offer.gpus_per_node for offer in alike]
            needs = np.array([parts, [offer.nodes for offer in alike], wide], dtype=np.int64)
            found += [
                alike[i]
                for i in undominated_rates(means, grid, carries, needs, several=self.fixed.data_parallel is None)
            ]
        return found

    def load(self, offer: Offer, rates: Floats) -> LoadPoints:
        """Load of one instance at rates of requests/s, (Q,)."""
        return self._tables[offer.nodes].load(np.full(len(rates), offer.row), rates)

    def means(self, offers: list[Offer], rates: Floats) -> Floats:
        """T(r) in ms of offers at their own rates, (len(offers), Q) requests/s; infinite where overloaded."""
        result = np.empty(rates.shape)
        for nodes, table in self._tables.items():
            here = [i for i, offer in enumerate(offers) if offer.nodes == nodes]
            if here:
                rows = np.repeat([offers[i].row for i in here], rates.shape[1])
                result[here] = table.load(rows, rates[here].ravel()).mean_ms.reshape(len(here), -1)
        return result

    def table(self, offer: Offer) -> _Table:
        """The table an offer is from."""
        return self._tables[offer.nodes]


def _one_of(fixed: T | None, offered: Sequence[T]) -> Sequence[T]:
    """What a person fixed, else what is offered."""
    return offered if fixed is None else (fixed,)


def nodes_needed(gpus: int, parts: int, free: int, together: int) -> int | None:
    """q: the fewest nodes with ``free`` GPUs that hold an instance in so many equal parts; None where ``together`` nodes do not."""
    for nodes in range(1, together + 1):
        if (nodes == 1 or parts % nodes == 0) and gpus <= nodes * free and gpus % nodes == 0:
            return nodes
    return None


def _expert_degrees(problem: Problem, tp: int, most_ranks: int) -> tuple[int, ...]:
    """EP degrees: 1, TP, and one engine over several replicas."""
    mode, experts = problem.search.expert_parallel, problem.model.experts
    if experts == 0 or mode == "off" or most_ranks < 1:
        return (1,)
    if mode == "replica":
        return tuple(sorted({1, tp}))
    coupled = (tp * ranks for ranks in range(2, most_ranks + 1) if experts % (tp * ranks) == 0)
    return tuple(sorted({1, tp, *coupled}))


class _Table:
    """Shapes on so many nodes: which are allowed, and what each carries."""

    def __init__(self, fleet: FleetProblem, group: NodeGroup, nodes: int, shapes: list[Shape]) -> None:
        problem = fleet.instance_problem(group, nodes)
        self.problem, self.fleet = problem, fleet
        self.off = fleet.search.disabled_rules
        self.whole_node_nvlink = problem.hardware.nvlink_domain_gpus >= group.free_gpus
        space = Space(
            shapes=tuple(shapes),
            row_shape=np.arange(len(shapes), dtype=np.int64),
            row_dp=np.array([shape.engine_ranks for shape in shapes], dtype=np.int64),
            slots=chain_length(problem),
        )
        # Limits on latency bound the rate, not the shape: they are taken off here and put on the rate below.
        limits = {limit.field: None for limit in problem.requirements.latency_limits}
        full_batch = problem.requirements.tpot_p99_ms
        bare = problem.model_copy(update={"requirements": problem.requirements.model_copy(update=limits)})
        self.q = Quantities(bare, space)
        screen = Screen(self.q)
        most = screen.most
        if full_batch is not None and "tpot_full_batch" not in problem.search.disabled_rules:
            allowed = self.q.full_batch_tpot_ns <= limit_ns(full_batch, problem.requirements.margin)
            most = np.minimum(most, allowed.sum(axis=1))
        self.most: Ints = most
        self.viable: Bools = screen.viable & (screen.least <= most) & (most >= 1)

    def load(self, rows: Ints, rates: Floats) -> LoadPoints:
        """Load of instances (rows of the table) at requests/s per instance, (Q,) each."""
        return self.q.load_of(rows, rates / self.q.ranks[rows])

    def offers(self, kind: int, nodes: int) -> list[Offer]:
        """Allowed shapes that no other beats at every number in progress."""
        rows = np.flatnonzero(self.viable)
        if not len(rows):
            return []
        rows = rows[undominated(self.q, rows, self.most, whole_node_nvlink=self.whole_node_nvlink)]
        off = self.off
        limits = [
            limit for limit in self.problem.requirements.latency_limits if limit.field.removesuffix("_ms") not in off
        ]
        margin = self.problem.requirements.margin

        def within_slots(load: LoadPoints, at: Ints) -> Bools:
            if "concurrency" in off:
                return ~load.overloaded
            fits: Bools = load.n99 <= self.most[at]
            return fits

        def within_limits(load: LoadPoints, at: Ints) -> Bools:
            good = within_slots(load, at)
            for limit in limits:
                good &= time_ns(load.metric(limit.field.removesuffix("_ms"))) <= limit_ns(limit.limit_ms, margin)
            return good

        peak = np.floor(self.q.best_completion_per_s[rows, self.most[rows] - 1] * MICRO).astype(np.int64)
        peak = peak * self.q.ranks[rows]
        slots_capacity = self._largest(rows, within_slots)
        capacity = self._largest(rows, within_limits) if limits else slots_capacity
        if "request_rate" not in off:
            capacity = np.minimum(capacity, peak)
        return [
            Offer(
                kind,
                self.q.space.shapes[row],
                row,
                nodes,
                int(self.most[row]),
                int(c),
                int(k),
                int(x),
                self._restart_s(row, nodes),
            )
            for row, c, k, x in zip(rows.tolist(), capacity, slots_capacity, peak, strict=True)
            if c > 0
        ]

    def _largest(self, rows: Ints, good: Callable[[LoadPoints, Ints], Bools]) -> Ints:
        """The largest rate of each row, in millionths, at which a condition that only gets worse with load holds."""
        low = np.zeros(len(rows), dtype=np.int64)
        top = self.q.best_completion_per_s[rows, -1] * self.q.ranks[rows] * MICRO
        high = np.ceil(top).astype(np.int64) + 1
        while True:
            open_rows = np.flatnonzero(high - low > 1)
            if not len(open_rows):
                return low
            span = high[open_rows] - low[open_rows]
            steps = np.arange(1, _SECTIONS)
            probe = low[open_rows, None] + np.maximum(1, span[:, None] * steps // _SECTIONS)
            probe = np.minimum(probe, high[open_rows, None] - 1)
            at = np.repeat(rows[open_rows], probe.shape[1])
            fine = good(self.load(at, probe.ravel() / MICRO), at).reshape(probe.shape)
            held = np.cumprod(fine, axis=1).sum(axis=1)
            position = np.arange(len(open_rows))
            low[open_rows] = np.where(held > 0, probe[position, np.maximum(held, 1) - 1], low[open_rows])
            failed = held < probe.shape[1]
            high[open_rows] = np.where(failed, probe[position, np.minimum(held, probe.shape[1] - 1)], high[open_rows])

    def _restart_s(self, row: int, nodes: int) -> float:
        """R: engine start, then each of its nodes reads its part of the weights."""
        shape, table = self.q.space.shapes[row], self.q.costs.table
        weights = int((self.q.memory.weights[row] * table.multiplicity[row]).sum()) * shape.tp * shape.engine_ranks
        recovery = self.fleet.recovery
        return recovery.engine_start_s + weights / nodes / (recovery.storage_gb_per_s * 1e9)


class Offers:
    """Every offer of every group; groups of one kind share them."""

    def __init__(self, problem: FleetProblem, fixed: Fixed | None = None) -> None:
        self.problem = problem
        self.kinds: list[Kind] = []
        alike: dict[tuple[object, ...], list[int]] = {}
        for index, group in enumerate(problem.groups):
            alike.setdefault(kind_key(group), []).append(index)
        self.kind_of_group = [0] * len(problem.groups)
        for number, members in enumerate(alike.values()):
            together = max(problem.groups[index].nodes_together for index in members)
            self.kinds.append(Kind(problem, problem.groups[members[0]], number, together, fixed or Fixed()))
            for index in members:
                self.kind_of_group[index] = number

    @cached_property
    def all(self) -> tuple[Offer, ...]:
        """Offers of all kinds."""
        return tuple(offer for kind in self.kinds for offer in kind.offers)

    def of_group(self, index: int) -> tuple[Offer, ...]:
        """Offers on the group's kind of node; some may need more nodes together than the group has."""
        return self.kinds[self.kind_of_group[index]].offers

    def again(self, problem: FleetProblem) -> Offers:
        """The same offers for a problem that differs in failure rates only: no offer depends on them."""
        other = object.__new__(Offers)
        other.problem, other.kinds, other.kind_of_group = problem, self.kinds, self.kind_of_group
        return other
