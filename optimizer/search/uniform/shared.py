"""Many problems over one space: tables of costs and load are computed once, for the largest, and every problem reads its rows.

The candidates of fewer nodes are the rows of more nodes that use no more GPUs, and a row's times do not depend on the nodes
there are, except whether everything lies inside one local group (``shared_key``). What does depend on them (how failures
spread, which TP groups fit, how many instances a lost node takes) is computed for each problem. ``best`` compares all rows
in whole nanoseconds, which is the naive counterpart of ``Solver.best``; ``tests/sweep`` holds the two to each other.
"""

from __future__ import annotations

from collections.abc import Hashable, Sequence
from functools import cached_property

import numpy as np

from optimizer.costs.load import LoadPoints, chain_length, evaluate
from optimizer.costs.shapes import Bools, Ints
from optimizer.facts.problem import Problem
from optimizer.results.rule_groups import DEGREE_RULES, NODE_RULES, STATIC_RULES
from optimizer.search.common.scale import NS_PER_MS
from optimizer.search.uniform.oracle import subspace
from optimizer.search.uniform.quantities import Quantities
from optimizer.search.uniform.rule import Choice
from optimizer.search.uniform.rules import rules_for
from optimizer.search.uniform.screen import Screen, first_tier, objective_at_most_slots
from optimizer.search.uniform.space import build_space, tie_rank

OWN_TIER = ("throughput", "fewest-gpus", "cheapest", "capacity")
"""Presets that put something before the objective."""
MOST_RATES = 12
FIRST_ROWS = 128
ROUNDING = 1e-9
"""Room that the bound leaves for the rounding of floating-point sums."""
_KEPT = ("service", "_chain", "memory", "full_batch_tpot_ns", "completion_per_s")


def shared_key(problem: Problem) -> Hashable:
    """Equal keys: the problems differ in nodes, arrival rate, limits, failures, prices or weights only, and share tables."""
    hardware, work = problem.hardware, problem.workload
    local = hardware.gpus <= max(hardware.gpus_per_node, hardware.nvlink_domain_gpus)
    apart = {"nodes", "failures", "price_per_gpu_hour", "host_memory_gb", "cpu_cores"}
    return (
        local,
        hardware.model_dump_json(exclude=apart),
        problem.model.model_dump_json(),
        work.model_dump_json(exclude={"requests_per_s", "note"}),
        problem.requirements.goodput,
        problem.engine,
        problem.search.model_dump_json(),
        problem.requests,
        problem.max_sequence_tokens,
        problem.max_batch,
        chain_length(problem),
        problem.costs.model_dump_json() if problem.costs is not None else None,
    )


class SharedTables:
    """Costs and load of the rows of the largest of several problems with one ``shared_key``.

    Args:
        every_row: keep rows that no problem can choose too, for explanations. ``offered`` always has them.

    Raises:
        SpaceTooLargeError: the largest problem has more rows than are modelled.
    """

    def __init__(self, problems: Sequence[Problem], *, every_row: bool = False) -> None:
        self.largest = max(problems, key=lambda problem: problem.hardware.gpus)
        whole = build_space(self.largest)
        self.offered = whole
        if whole.rows and not every_row:
            # Rows that break a rule on degrees, or whose weights never fit, do so in every one of the problems.
            share = max(problem.requirements.gpu_memory_utilization for problem in problems)
            wanted = self.largest.requirements.model_copy(update={"gpu_memory_utilization": share})
            loosest = self.largest.model_copy(update={"requirements": wanted})
            possible = Screen(Quantities(loosest, whole), None, DEGREE_RULES | {"memory"}).viable
            whole = subspace(whole, np.flatnonzero(possible))
        self.space = whole
        self.tables = Quantities(self.largest, self.space) if self.space.rows else None
        self._gpus = self.space.gpus if self.space.rows else self.space.row_dp
        self.rank = tie_rank(self.space) if self.space.rows else self.space.row_dp
        self._loads: dict[float, _Loads] = {}
        self._ladders: dict[str, _Ladder] = {}
        self.cache_slots: dict[object, Ints] = {}

    def quantities(self, problem: Problem) -> SpacePart | None:
        """Quantities of a problem over its rows that keep every rule on degrees, placement and bytes; None: no row does."""
        rows = np.flatnonzero(self._gpus <= problem.hardware.gpus)
        if not len(rows):
            return None
        static = Screen(self.part(problem, rows), None, STATIC_RULES).viable
        rows = rows[static]
        return self.part(problem, rows) if len(rows) else None

    def whole(self, problem: Problem) -> SpacePart | None:
        """Quantities of a problem over every row of these tables that its GPUs allow; None: there is none."""
        rows = np.flatnonzero(self._gpus <= problem.hardware.gpus)
        return self.part(problem, rows) if len(rows) else None

    def part(self, problem: Problem, rows: Ints) -> SpacePart:
        """Quantities of a problem over some rows of the shared space, which share its tables."""
        return SpacePart(problem, rows, self)

    def ladder(self, problem: Problem) -> _Ladder:
        """The rows in the order of a bound, for problems with this rate, these limits and weights."""
        key = problem.model_dump_json(include={"requirements", "objective", "workload"})
        found = self._ladders.get(key)
        if found is None:
            while len(self._ladders) >= MOST_RATES:
                self._ladders.pop(next(iter(self._ladders)))
            found = self._ladders[key] = _Ladder(self, problem)
        return found

    def loads(self, rate_per_s: float) -> _Loads:
        """Load of the shapes when so many requests arrive at the whole service, per second."""
        found = self._loads.get(rate_per_s)
        if found is None:
            assert self.tables is not None
            while len(self._loads) >= MOST_RATES:
                self._loads.pop(next(iter(self._loads)))
            found = self._loads[rate_per_s] = _Loads(self.tables, rate_per_s)
        return found


class _Ladder:
    """Rows that keep every rule but those on nodes, the best bound first.

    Every failure state that is carried takes the time of its own load, and one that is shed is worth at least the time with
    nothing down as long as an unserved request counts that much. So the least of these times bounds the objective on any
    number of nodes, however instances are spread.
    """

    def __init__(self, shared: SharedTables, problem: Problem) -> None:
        every = np.arange(shared.space.rows)
        part = shared.part(problem.model_copy(update={"hardware": shared.largest.hardware}), every)
        enforced = {rule.id for rule in rules_for(problem)} - NODE_RULES
        screen = Screen(part, None, enforced)
        rows = np.flatnonzero(screen.viable)
        weights = part.weights
        normal = weights.latency * part.normal.mean_ms[rows]
        holds = (weights.unserved == 0) | (weights.unserved * weights.penalty_ms >= normal)
        least = weights.latency * np.min([state.mean_ms[rows] for state in part.states], axis=0)
        value = np.where(holds, np.floor(least * (NS_PER_MS * (1 - ROUNDING))), 0).astype(np.int64) + part.gpu_ns[rows]
        preset = problem.objective.preset
        first = first_tier(part, screen.most)[rows] if preset in OWN_TIER else value
        order = np.lexsort((shared.rank[rows], value, first))
        self.rows: Ints = rows[order]
        self.gpus: Ints = shared.space.gpus[self.rows]
        self._first, self._value = first[order], value[order]

    def bound_of(self, position: int) -> tuple[int, int]:
        """First tier and objective that the row and all after it are at best."""
        return int(self._first[position]), int(self._value[position])


class SpacePart(Quantities):
    """Quantities of one problem over some rows of the shared space, read from the shared tables."""

    def __init__(self, problem: Problem, rows: Ints, shared: SharedTables) -> None:
        assert shared.tables is not None
        whole = shared.space
        space = whole.with_rows(whole.row_shape[rows], whole.row_dp[rows])
        super().__init__(problem, space, shared.tables.costs)
        self._shared, self._rows = shared, rows
        for name in _KEPT:
            self.__dict__[name] = getattr(shared.tables, name)

    @cached_property
    def cache_slots(self) -> Ints:
        """As in ``Quantities``, once for all problems with this budget and share."""
        key = self.budget, self.problem.requirements.preemption_share
        if key not in self._shared.cache_slots:
            self._shared.cache_slots[key] = super().cache_slots
        return self._shared.cache_slots[key]

    def load_with(self, alive: Ints, share: float = 1.0) -> LoadPoints:
        """As in ``Quantities``, each pair of shape and instances evaluated once for all problems."""
        return self._shared.loads(self.problem.workload.requests_per_s * share).at(self.space.row_shape, alive)

    def one(self, row: int) -> SpacePart:
        """A single row: what its answer is told from."""
        return SpacePart(self.problem, self._rows[[row]], self._shared)

    @property
    def rank(self) -> Ints:
        """Order of the rows among equal objectives, (R,)."""
        result: Ints = self._shared.rank[self._rows]
        return result


class _Loads:
    """Load at one rate of every shape by instances alive, computed when first asked for."""

    def __init__(self, tables: Quantities, rate_per_s: float) -> None:
        self._tables, self._rate = tables, rate_per_s
        space = tables.space
        most = np.zeros(len(space.shapes), dtype=np.int64)
        np.maximum.at(most, space.row_shape, space.instances)
        self._start = np.concatenate([[0], np.cumsum(most + 1)])
        self._shape_of = np.repeat(np.arange(len(space.shapes)), most + 1)
        self._ranks = np.array([shape.engine_ranks for shape in space.shapes], dtype=np.int64)
        self._done: Bools = np.zeros(len(self._shape_of), dtype=np.bool_)
        self._points: LoadPoints | None = None

    def at(self, shape: Ints, alive: Ints) -> LoadPoints:
        """Load points of pairs of shape and instances alive, (Q,) each; 0 or fewer alive: overloaded."""
        index = self._start[shape] + np.maximum(alive, 0)
        wanted = np.zeros_like(self._done)
        wanted[index] = True
        missing = np.flatnonzero(wanted & ~self._done)
        if len(missing):
            self._compute(missing)
        points = self._points
        assert points is not None
        return LoadPoints(**{name: getattr(points, name)[index] for name in LoadPoints.__dataclass_fields__})

    def _compute(self, missing: Ints) -> None:
        shape = self._shape_of[missing]
        replicas = (missing - self._start[shape]) * self._ranks[shape]
        rate = np.where(replicas > 0, self._rate / np.maximum(replicas, 1), 0.0)
        found = evaluate(self._tables._chain, shape, rate, never=self._tables.space.slots + 1)
        if self._points is None:
            size, names = len(self._done), LoadPoints.__dataclass_fields__
            self._points = LoadPoints(**{name: np.zeros(size, dtype=getattr(found, name).dtype) for name in names})
        for name in LoadPoints.__dataclass_fields__:
            getattr(self._points, name)[missing] = getattr(found, name)
        self._done[missing] = True


def best(shared: SharedTables, problem: Problem) -> tuple[SpacePart, Choice] | None:
    """The best candidate by comparing rows, with the part it is a row of; None when no row keeps every rule.

    Rows come in the order of a bound that holds on any number of nodes (``_Ladder``), a batch at a time, until no row left
    could win. Exact where rule ``concurrency`` is on.
    """
    if shared.tables is None:
        return None
    ladder = shared.ladder(problem)
    there = np.flatnonzero(ladder.gpus <= problem.hardware.gpus)
    found: tuple[tuple[int, int], SpacePart, Choice] | None = None
    start, size = 0, FIRST_ROWS
    while start < len(there):
        if found is not None and found[0] < ladder.bound_of(int(there[start])):
            break
        part = shared.part(problem, ladder.rows[there[start : start + size]])
        one = _best_of(part)
        # Of equals the one that ranks first wins; within a part ``_best_of`` sees to it.
        if one is not None and (found is None or (one[0], _rank(part, one[1])) < (found[0], _rank(found[1], found[2]))):
            found = (one[0], part, one[1])
        start, size = start + size, 2 * size
    return None if found is None else (found[1], found[2])


def _best_of(part: SpacePart) -> tuple[tuple[int, int], Choice] | None:
    """(first tier, objective) and choice of the best row of a part."""
    static = np.flatnonzero(Screen(part, None, STATIC_RULES).viable)
    if not len(static):
        return None
    screen = Screen(part)
    viable = np.flatnonzero(screen.viable)
    if not len(viable):
        return None
    value = objective_at_most_slots(part, screen.most)
    first = first_tier(part, screen.most) if part.problem.objective.preset in OWN_TIER else value
    row = int(viable[np.lexsort((part.rank[viable], value[viable], first[viable]))[0]])
    return (int(first[row]), int(value[row])), Choice(row, int(screen.most[row]))


def _rank(part: SpacePart, choice: Choice) -> int:
    return int(part.rank[choice.row])
