"""The number of replicas as a count: which DP degrees of each shape can matter, found without looking at every one.

For one replica shape, everything that the load decides is a function of the instances that are left, and improves with more
of them; placement and the GPUs there are set an upper end. So a block of counts has bounds: what no count in it can better
(``CountBlock``). Blocks that could hold one of the best rows are divided until none is left: some hundred evaluations instead of
one for each of 131,072 counts. ``docs/model.md``, section 8;
``tests/search/test_replica_counts.py`` holds this to the enumeration of every row.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass

import numpy as np

from optimizer.costs.distinct import distinct
from optimizer.costs.failures import STATES, DownStates
from optimizer.costs.load import LoadPoints
from optimizer.costs.power import hardware_mw, limit_mw
from optimizer.costs.shapes import Bools, Floats, Ints, Shape
from optimizer.facts.demand import FEWEST
from optimizer.facts.hardware import HardwareFacts
from optimizer.facts.problem import Problem
from optimizer.results.answer import Fixed
from optimizer.results.rule_groups import STATIC_RULES
from optimizer.search.common.scale import NS_PER_MS
from optimizer.search.uniform.quantities import Quantities
from optimizer.search.uniform.rules import rules_of
from optimizer.search.uniform.screen import Screen, first_tier, objective_at_most_slots
from optimizer.search.uniform.shape_rules import room_for_groups
from optimizer.search.uniform.space import Space, build_space, shape_ranges, space_of

MOST_ENUMERATED = 1_500
"""Rows up to which every one is a row of the model."""
MONOTONE_NEEDS = frozenset({"concurrency"})
"""Rules without which the counts that keep all others need not be an interval."""
PLACEMENT = STATIC_RULES - {"memory", "state_blocks", "context", "max_batch", "min_batch"}
"""Rules on degrees that fewer instances keep where more do."""
BEST_KEPT = 4
"""The optimum and the alternatives beside it."""
ROUNDING = 1e-9
"""Room that bounds leave for the rounding of floating-point sums."""
CELLS_AT_ONCE = 500_000
"""Shapes times sequences whose times are held at once where only whether any row is allowed is asked: 4 MB a table."""
_NO_BAR = (int(np.iinfo(np.int64).max),) * 3
_SHARED = (
    "service", "_chain", "memory", "full_batch_tpot_ns", "completion_per_s", "carried_per_replica", "cache_slots", "state_sequences",
)  # fmt: skip


def considered(problem: Problem, fixed: Fixed | None = None) -> Quantities:
    """Quantities over rows among which are the best ones: all rows of a small space, those that can matter of a large one.

    Where no row keeps every rule, none of the space does, whichever subset of the rules is asked about.

    Raises:
        SpaceTooLargeError: more rows than are modelled, where counts have to be enumerated.
    """
    ranges = shape_ranges(problem, fixed)
    if sum(len(degrees) for _, degrees in ranges) <= MOST_ENUMERATED or not _is_count(problem):
        return Quantities(problem, build_space(problem, fixed))
    ends = decisive_rows(problem, fixed)
    offered = tuple(shape for shape, _ in ranges)
    static = Screen(Quantities(problem, ends), fixed, STATIC_RULES).viable
    if not static.any():
        return Quantities(problem, ends)
    quantities = Quantities(problem, _part(ends, np.flatnonzero(static), offered))
    return _Counts(quantities, fixed).best() or Quantities(problem, ends)


def any_allowed(problem: Problem, fixed: Fixed | None = None, ask: Callable[[], None] = lambda: None) -> bool:
    """Whether some row of the space keeps every rule: some shapes at a time, so that a large space takes no more memory than a
    small one, and no further than to the first that does.

    Args:
        ask: called before each part of the space; what it raises ends the search.

    Raises:
        SpaceTooLargeError: more rows than are modelled, where counts have to be enumerated.
    """
    ranges = shape_ranges(problem, fixed)
    counted = sum(len(degrees) for _, degrees in ranges) > MOST_ENUMERATED and _is_count(problem)
    space = decisive_rows(problem, fixed) if counted else build_space(problem, fixed)
    if not space.rows:
        return False
    rows = np.flatnonzero(Screen(Quantities(problem, space), fixed, STATIC_RULES).viable)
    at_once = max(1, CELLS_AT_ONCE // space.slots)
    live = sorted(set(space.row_shape[rows].tolist()))
    for start in range(0, len(live), at_once):
        ask()
        some = rows[np.isin(space.row_shape[rows], live[start : start + at_once])]
        quantities = Quantities(problem, _part(space, some, space.shapes))
        if _Counts(quantities, fixed).any() if counted else Screen(quantities, fixed).viable.any():
            return True
    return False


def _part(space: Space, rows: Ints, offered: tuple[Shape, ...]) -> Space:
    """Some rows of a space, with the shapes they have."""
    live, of_live = distinct(space.row_shape[rows])
    shapes = tuple(space.shapes[i] for i in space.row_shape[rows][live].tolist())
    return Space(shapes, of_live, space.row_dp[rows], space.slots, offered)


def _is_count(problem: Problem) -> bool:
    """Whether DP may be treated as a count."""
    return problem.search.data_parallel is None and not MONOTONE_NEEDS & set(problem.search.disabled_rules)


def upper_ends(problem: Problem, shape: Shape, most: int) -> list[int]:
    """Instances of a shape up to which some rule on placement, or the way failures spread, stays as it is; ascending.

    Args:
        most: instances that the GPUs there are allow.
    """
    hardware = problem.hardware
    ends = {most}
    ends.add(int(room_for_groups(problem, np.array([shape.tp]))[0]) // (shape.pp * shape.engine_ranks))
    ends.add(spread_evenly(hardware, shape.instance_gpus))
    if hardware.power_limit_watts is not None:
        drawn = hardware_mw(hardware, np.arange(most + 1) * shape.instance_gpus)
        ends.add(int((drawn <= limit_mw(hardware.power_limit_watts)).sum()) - 1)
    return sorted(end for end in ends if 1 <= end <= most)


def spread_evenly(hardware: HardwareFacts, instance_gpus: int) -> int:
    """Instances up to which none straddles nodes; 0 where each does."""
    return hardware.nodes * (hardware.gpus_per_node // instance_gpus)


def decisive_rows(problem: Problem, fixed: Fixed | None = None) -> Space:
    """The rows that decide whether any row keeps a set of rules, whichever: of every shape the upper ends."""
    chosen: list[tuple[Shape, Sequence[int]]] = []
    for shape, degrees in shape_ranges(problem, fixed):
        if isinstance(degrees, range):
            d = degrees.step
            chosen.append((shape, [d * end for end in upper_ends(problem, shape, len(degrees))]))
        else:
            chosen.append((shape, degrees))
    return space_of(problem, chosen, fixed)


def take_tables(rows: Quantities, known: Quantities) -> None:
    """Let rows have the tables of shapes that others of the same shapes have."""
    for name in _SHARED:
        rows.__dict__[name] = getattr(known, name)


def of_same_shapes(known: Quantities, shape: Ints, dp: Ints) -> Quantities:
    """Quantities over other rows of the same shapes; tables of shapes are taken over."""
    other = Quantities(known.problem, known.space.with_rows(shape, dp), known.costs)
    take_tables(other, known)
    return other


class CountBlock(Quantities):
    """What no count of a block can better: rows at its upper ends, with the load of any count between the two ends.

    More instances left mean fewer requests at each, and less of everything but of the time that a prompt keeps the pipeline
    to itself, which is taken from the lower end (``costs.load.evaluate``).

    Args:
        high: rows at the upper ends, in the order of ``low``.
        low: instances at the lower ends, (R,).
    """

    def __init__(self, high: Quantities, low: Ints) -> None:
        super().__init__(high.problem, high.space, high.costs)
        self.low = low
        take_tables(self, high)

    def load_with(self, alive: Ints, share: float = 1.0) -> LoadPoints:
        """As in ``Quantities``, from below."""
        fewer = np.maximum(0, self.low - (self.space.instances - alive))
        replicas, least = np.maximum(alive, 0) * self.ranks, fewer * self.ranks
        rate = self.rate_at(replicas, share)
        overlap = np.where(least > 0, self.rate_at(least, share), np.inf)
        return self.load_of(self.space.row_shape, rate, overlap)

    @property
    def times(self) -> Floats:
        """Mean time of a request with 0 … STATES - 1 instances down, weighted, ms; infinite where overloaded, (R, STATES)."""
        return self.weights.latency * np.stack([state.mean_ms for state in self.states], axis=1)

    def bounds(self, most: Ints, down: DownStates) -> Ints:
        """The least objective, ns, of any count from the lower end to the upper, which spread failures alike, (R,).

        Of more instances more are down. With φ(j) the least that j instances down can cost at any count of the block, which
        grows with j, the objective is at least the mean of φ over what is down at the lower end. Where many are down that is
        loose, and what is lost at least is the better bound: the share that is down, the same at every count, less what
        states that can be carried hold of it at the lower end, which only shrinks.

        Args:
            most: the most sequences of each row.
            down: distribution of what is down at the lower ends.
        """
        w, times, high = self.weights, self.times, self.space.instances
        penalty = w.unserved * w.penalty_ms
        # Blocks that are overloaded keep no rule; their bound is of no use.
        bound = usual = np.where(np.isfinite(times[:, 0]), times[:, 0], 0.0)
        if w.unserved:
            needed = [self.slots_needed_for(state, self.space.row_shape) for state in self.states]
            carries = np.stack([slots <= most for slots in needed], axis=1)
            dearer = penalty - usual
            lost = np.arange(STATES) / high[:, None]
            shed = usual[:, None] * (1 - lost) + penalty * lost
            each = np.minimum(np.where(carries, times, np.inf), shed)
            each[:, 0] = usual
            mean = (down.probability * each).sum(axis=1)
            mean += down.rest * usual + down.rest_mean / high * dearer
            held = down.probability * np.arange(STATES) / self.low[:, None]
            share = held.sum(axis=1) + down.rest_mean / self.low
            kept = np.where(carries, held, 0.0).sum(axis=1)
            many = usual + np.maximum(0.0, share - kept) * dearer
            bound = np.where(dearer >= 0, np.maximum(mean, many), penalty)
        least_gpus = self.space.column("instance_gpus") * self.low
        gpu_ns = np.floor(w.gpu_ms * NS_PER_MS * least_gpus).astype(np.int64)
        result: Ints = np.floor(bound * (NS_PER_MS * (1 - ROUNDING))).astype(np.int64) + gpu_ns
        return result


@dataclass(frozen=True, slots=True)
class _Points:
    """Evaluated counts, one line each."""

    shape: Ints
    count: Ints
    """Engine instances."""
    first: Ints
    value: Ints
    gpus: Ints
    viable: Bools

    def of(self, lines: Ints) -> _Points:
        return _Points(*(getattr(self, name)[lines] for name in _Points.__dataclass_fields__))

    def and_(self, more: _Points) -> _Points:
        names = _Points.__dataclass_fields__
        return _Points(*(np.concatenate([getattr(self, name), getattr(more, name)]) for name in names))


class _Counts:
    """Blocks of counts of the shapes that can be placed, halved until the best rows are known.

    Args:
        q: quantities over the upper ends of these shapes that keep the rules on degrees, placement and bytes.
    """

    def __init__(self, quantities: Quantities, fixed: Fixed | None) -> None:
        self.quantities, self.fixed, self.problem = quantities, fixed, quantities.problem
        self._ranks = np.array([shape.engine_ranks for shape in quantities.space.shapes], dtype=np.int64)
        # Rules that every count up to the end keeps need not be asked again.
        self._active = {rule.id for rule in rules_of(quantities)} - PLACEMENT
        self._degrees = [(s.tp, s.pp, s.ep, s.slice_ranks, s.dcp) for s in quantities.space.shapes]
        for name in _SHARED:
            getattr(quantities, name)

    def any(self) -> bool:
        """Whether some count keeps every rule."""
        shape, low, high = self._intervals()
        if self._allowed(shape, high).any():
            return True
        shape, low, high = _nonempty(shape, low, high - 1)
        while len(shape):
            hopeful = self._hopeful(shape, low, high, _NO_BAR)
            shape, low, high = shape[hopeful], low[hopeful], high[hopeful]
            middle = _middle(low, high)
            if len(shape) and self._allowed(shape, middle).any():
                return True
            shape, low, high = _halves(shape, low, middle, high)
        return False

    def best(self) -> Quantities | None:
        """Quantities over the best rows and the upper ends; None where no count keeps every rule."""
        shape, low, high = self._intervals()
        points = self._evaluated(shape, high)
        shape, low, high = _nonempty(shape, low, high - 1)
        while True:
            bar = self._bar(points)
            hopeful = self._hopeful(shape, low, high, bar)
            if not hopeful.any():
                break
            shape, low, high = shape[hopeful], low[hopeful], high[hopeful]
            middle = _middle(low, high)
            points = points.and_(self._evaluated(shape, middle))
            shape, low, high = _halves(shape, low, middle, high)
        if not points.viable.any():
            return None
        keys = np.stack([points.first, points.value, points.gpus], axis=1).tolist()
        kept = points.viable & np.array([tuple(key) <= bar for key in keys], dtype=np.bool_)
        ends = zip(self.quantities.space.row_shape.tolist(), self.quantities.space.row_dp.tolist(), strict=True)
        found = zip(points.shape[kept].tolist(), points.count[kept].tolist(), strict=True)
        rows = sorted({*ends, *((shape, count * int(self._ranks[shape])) for shape, count in found)})
        chosen = np.array(rows, dtype=np.int64)
        return self._rows(chosen[:, 0], chosen[:, 1])

    def _rows(self, shape: Ints, dp: Ints) -> Quantities:
        """Quantities over other rows of the same shapes; tables of shapes are taken over."""
        return of_same_shapes(self.quantities, shape, dp)

    def _intervals(self) -> tuple[Ints, Ints, Ints]:
        """(shape, least, most) of the counts that can be placed, one for each way that failures spread."""
        space, hardware = self.quantities.space, self.problem.hardware
        found: dict[tuple[int, bool], int] = {}
        for shape, dp in zip(space.row_shape.tolist(), space.row_dp.tolist(), strict=True):
            count = dp // int(self._ranks[shape])
            together = count <= spread_evenly(hardware, space.shapes[shape].instance_gpus)
            found[shape, together] = max(found.get((shape, together), 0), count)
        low = [
            1 if together else 1 + spread_evenly(hardware, space.shapes[shape].instance_gpus)
            for shape, together in found
        ]
        shapes = np.array([shape for shape, _ in found], dtype=np.int64)
        return shapes, np.array(low, dtype=np.int64), np.array(list(found.values()), dtype=np.int64)

    def _allowed(self, shape: Ints, count: Ints) -> Bools:
        return Screen(self._rows(shape, count * self._ranks[shape]), self.fixed, self._active).viable

    def _evaluated(self, shape: Ints, count: Ints) -> _Points:
        quantities = self._rows(shape, count * self._ranks[shape])
        screen = Screen(quantities, self.fixed, self._active)
        first, value = first_tier(quantities, screen.most), objective_at_most_slots(quantities, screen.most)
        return _Points(shape, count, first, value, quantities.space.gpus, screen.viable)

    def _bar(self, points: _Points) -> tuple[int, int, int]:
        """What a row has to reach to be one of the best: the key of the last of these so far."""
        known = points.of(np.flatnonzero(points.viable))
        order = np.lexsort((known.gpus, known.value, known.first))
        seen: set[tuple[int, ...]] = set()
        for line in order.tolist():
            seen.add((*self._degrees[int(known.shape[line])], int(known.count[line])))
            if len(seen) == BEST_KEPT:
                return int(known.first[line]), int(known.value[line]), int(known.gpus[line])
        return _NO_BAR

    def _hopeful(self, shape: Ints, low: Ints, high: Ints, bar: tuple[int, int, int]) -> Bools:
        """Blocks, from the lower to the upper end, of which some count may keep every rule and be one of the best."""
        if not len(shape):
            return np.zeros(0, dtype=np.bool_)
        block = CountBlock(self._rows(shape, high * self._ranks[shape]), low)
        screen = Screen(block, self.fixed, self._active)
        lower = self._rows(shape, low * self._ranks[shape])
        value = block.bounds(screen.most, lower.down)
        preset = self.problem.objective.preset
        first = value
        if preset in ("throughput", "capacity"):
            first = first_tier(block, screen.most)
        elif preset in FEWEST:
            first = lower.space.gpus
        behind = first > bar[0]
        behind |= (first == bar[0]) & ((value > bar[1]) | ((value == bar[1]) & (lower.space.gpus > bar[2])))
        result: Bools = screen.viable & ~behind
        return result


def _middle(low: Ints, high: Ints) -> Ints:
    """Where blocks of counts are divided: wide ones by ratio."""
    result: Ints = np.where(high > 4 * low, np.sqrt(low.astype(np.float64) * high).astype(np.int64), (low + high) // 2)
    return result


def _halves(shape: Ints, low: Ints, middle: Ints, high: Ints) -> tuple[Ints, Ints, Ints]:
    """The blocks below and above where blocks were divided."""
    return _nonempty(
        np.concatenate([shape, shape]), np.concatenate([low, middle + 1]), np.concatenate([middle - 1, high])
    )


def _nonempty(shape: Ints, low: Ints, high: Ints) -> tuple[Ints, Ints, Ints]:
    kept = low <= high
    return shape[kept], low[kept], high[kept]
