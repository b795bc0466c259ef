"""A large space gone through by ranges of replica counts: what no count of a range can better is not looked at one by one.

For one shape and one way that failures spread, let a range hold the counts from a to b. With more instances each receives
less, so a rate between those at a and at b is at least that at b, and ``float_load.loads`` has values that hold from below for
all of them. A range is left out when these break a rule, or when they keep its objective at or above what is claimed; else
the count in its middle is judged by itself as in ``shared_rows``, and the two halves are ranges. Floats only select here too:
what may beat a claim is judged again in exact arithmetic. ``tests/verify/test_ranges.py`` holds this to ``float_candidate.survey``.
"""

from __future__ import annotations

from collections import Counter
from dataclasses import dataclass

import numpy as np

from optimizer.facts.demand import FEWEST
from optimizer.facts.problem import Problem
from optimizer.results.answer import Fixed
from optimizer.verify.common.arithmetic import sixty_digits
from optimizer.verify.common.corrections import float_times
from optimizer.verify.common.failures import COUNTED
from optimizer.verify.common.float_failures import FloatDown
from optimizer.verify.common.float_load import Loads, loads
from optimizer.verify.common.float_times import Floats, Ints, ShapeTimes
from optimizer.verify.common.groups import ReplicaShape, Row
from optimizer.verify.common.load import chain_length
from optimizer.verify.common.objective import weights_of
from optimizer.verify.common.power import most_in_use
from optimizer.verify.common.rules import row_findings, tensor_groups_fit
from optimizer.verify.common.space import most_slots, replicas_offered, shapes_offered
from optimizer.verify.common.stage import Stages
from optimizer.verify.uniform.float_candidate import Bools, FloatBar, Survey
from optimizer.verify.uniform.float_capacity import capacity_tier
from optimizer.verify.uniform.shared_rows import Fits, RowJudged, SharedColumns, memory_slots, peak_tier

NEEDED = frozenset({"concurrency"})
"""Rules without which a range has no bound."""
SAFETY = 1e-9
BY_COUNT = frozenset({"gpu_count", "power_total", "power_node", "nvlink_locality"})
"""Rules on degrees that the number of replicas decides."""
RULED = {"degrees": "rules on degrees", "rules": "bounds on load and limits", "value": "the bound on the objective"}


def has_ranges(problem: Problem) -> bool:
    """Whether ranges of counts have bounds for this problem."""
    return (
        problem.workload.users is None
        and problem.search.data_parallel is None
        and not NEEDED & set(problem.search.disabled_rules)
    )


@dataclass(frozen=True, slots=True)
class _Ends:
    """Ranges: line of the shape, and the counts of instances at both ends, (Q,) each."""

    shape: Ints
    low: Ints
    high: Ints

    def of(self, kept: Ints | Bools) -> _Ends:
        return _Ends(self.shape[kept], self.low[kept], self.high[kept])

    @property
    def nonempty(self) -> _Ends:
        return self.of(self.low <= self.high)


class _Table:
    """Loads at some rate of the whole service, with so many instances left; from below where a lower end is given."""

    def __init__(self, survey: RangeSurvey, requests_per_s: float, ends: _Ends | None) -> None:
        self._survey, self._rate, self._ends = survey, requests_per_s, ends

    def at(self, shape: Ints, left: Ints) -> Loads:
        """Loads of lines of shapes, (Q,) each."""
        survey = self._survey
        ranks = survey.ranks[shape]

        def each(instances: Ints) -> Floats:
            rate: Floats = np.where(instances > 0, self._rate / np.maximum(1, instances * ranks), np.inf)
            return rate

        crowd = None if self._ends is None else each(self._ends.low - (self._ends.high - left))
        return loads(survey.problem, survey.times, shape, each(left), chain_length(survey.problem), crowd)


class RangeSurvey:
    """The whole space of one problem, nothing fixed."""

    @sixty_digits()
    def __init__(self, problem: Problem, stages: Stages) -> None:
        self.problem, self.stages = problem, stages
        self.upto = most_slots(problem, Fixed())
        off = problem.search.disabled_rules
        self.shapes: list[ReplicaShape] = []
        most: list[int] = []
        self.rows = self.rows_kept = 0
        for shape in shapes_offered(problem, Fixed()):
            offered = len(replicas_offered(problem, Fixed(), shape))
            self.rows += offered
            one = Row(shape, shape.group.ranks)
            if offered and all(f.holds or f.id in off or f.id in BY_COUNT for f in row_findings(problem, one)):
                held = _most_instances(problem, shape, offered)
                if held:
                    self.shapes.append(shape)
                    most.append(held)
                    self.rows_kept += held
        self._without_room = 0
        """Rows of which a replica has no room for one sequence: no times are computed for these."""
        if "memory" not in off:
            room = memory_slots(problem, self.shapes, stages, 1) > 0
            self._without_room = sum(held for held, fits in zip(most, room, strict=True) if not fits)
            self.shapes = [shape for shape, fits in zip(self.shapes, room, strict=True) if fits]
            most = [held for held, fits in zip(most, room, strict=True) if fits]
        self.most = np.array(most, dtype=np.int64)
        self.ranks = np.array([shape.group.ranks for shape in self.shapes], dtype=np.int64)
        self.size = np.array([shape.instance_gpus for shape in self.shapes], dtype=np.int64)
        self._tensor = np.array([shape.group.tensor for shape in self.shapes], dtype=np.int64)
        self._stages = np.array([shape.stages for shape in self.shapes], dtype=np.int64)
        if self.shapes:
            self.times: ShapeTimes = float_times(problem, self.shapes, stages, self.upto)
            self.fits = Fits(problem, self.shapes, stages, self.times, self.upto)

    @sixty_digits()
    def survey(self, bar: FloatBar | None, *, most_rivals: int = 4096) -> Survey:
        """Go through the space, as ``float_candidate.survey`` does; a rival is any candidate that may be feasible and may beat the bar."""
        seen = Survey(candidates=self.rows * self.upto)
        ruled: Counter[str] = Counter(degrees=self.rows - self.rows_kept, rules=self._without_room)
        if self.shapes:
            ranges, at = self._first(), None
            while len(ranges.shape):
                # The most replicas are the likeliest rivals: the first to be looked at.
                at = ranges.high if at is None else _middle(ranges.low, ranges.high)
                self._judge(seen, ranges.shape, at, bar, most_rivals)
                below = _Ends(ranges.shape, ranges.low, at - 1)
                above = _Ends(ranges.shape, at + 1, ranges.high)
                ranges = self._hopeful(_joined(below.nonempty, above.nonempty), bar, ruled)
            if bar is not None and bar.row.shape in self.shapes and seen.claimed is None:
                self._claimed(seen, bar)
        seen.ruled_out = {RULED[name]: rows * self.upto for name, rows in ruled.items() if rows}
        seen.compared = seen.candidates - sum(seen.ruled_out.values())
        seen.rivals.sort(key=lambda found: found[:2])
        return seen

    def _first(self) -> _Ends:
        """Every count of every shape: one range for each way that failures spread."""
        hardware = self.problem.hardware
        whole = hardware.nodes * (hardware.gpus_per_node // self.size)
        line = np.arange(len(self.shapes))
        within = _Ends(line, np.ones_like(line), np.minimum(whole, self.most)).of(whole > 0)
        beyond = _Ends(line, whole + 1, self.most).of(whole < self.most)
        return _joined(within, beyond)

    def _columns(self, line: Ints, instances: Ints) -> SharedColumns:
        replicas = instances * self.ranks[line]
        return SharedColumns(line, self._tensor[line], self._stages[line], replicas, instances, self.size[line])

    def _judge(self, seen: Survey, line: Ints, instances: Ints, bar: FloatBar | None, most_rivals: int) -> None:
        """Rows one by one, with every number of sequences that stands for others."""
        if not len(line):
            return
        judged = RowJudged(
            self.problem, self._columns(line, instances), self.fits, lambda rate: _Table(self, rate, None)
        )
        rival, slots, tier, value = judged.rivals(bar)
        where = np.argwhere(rival)
        if len(where) > most_rivals:
            where = where[np.lexsort((value[rival], tier[rival]))[:most_rivals]]
        for i, k in where:
            row = Row(self.shapes[line[i]], int(instances[i] * self.ranks[line[i]]))
            seen.rivals.append((float(tier[i, k]), float(value[i, k]), False, row, int(slots[i, k])))

    def _claimed(self, seen: Survey, bar: FloatBar) -> None:
        """What floats give for the claim."""
        line = self.shapes.index(bar.row.shape)
        there = bar.row.instances <= self.most[line] and bar.row.replicas % self.ranks[line] == 0
        if there and bar.slots <= self.upto:
            one = self._columns(np.array([line]), np.array([bar.row.instances]))
            seen.claimed = RowJudged(self.problem, one, self.fits, lambda rate: _Table(self, rate, None)).one(
                0, bar.slots
            )

    def _hopeful(self, ranges: _Ends, bar: FloatBar | None, ruled: Counter[str]) -> _Ends:
        """Ranges of which some count may be feasible and beat the bar."""
        if not len(ranges.shape):
            return ranges
        between = ranges.high - ranges.low + 1
        bounded = RowJudged(
            self.problem,
            self._columns(ranges.shape, ranges.high),
            self.fits,
            lambda rate: _Table(self, rate, ranges),
        )
        fitting = self.fits.last[ranges.shape, -1]
        maybe = bounded.possible & (fitting >= bounded.least) & (fitting > 0)
        ruled["rules"] += int(between[~maybe].sum())
        if bar is None:
            return ranges.of(maybe)
        value = self._value(bounded.states, ranges)
        tier = self._tier(bounded, ranges)
        behind = tier > bar.tier + bar.tier_resolution
        never_ahead = tier >= bar.tier - bar.tier_resolution
        behind |= never_ahead & (value >= bar.value_ms - bar.resolution_ms / 2)
        ruled["value"] += int(between[maybe & behind].sum())
        return ranges.of(maybe & ~behind)

    def _tier(self, bounded: RowJudged, ranges: _Ends) -> Floats:
        preset = self.problem.objective.preset
        if preset == "throughput":
            most = np.maximum(1, self.fits.last[ranges.shape, -1])
            return peak_tier(self.problem, bounded.columns, self.fits, most[:, None])[:, 0]
        if preset == "capacity":
            return capacity_tier(self.fits.carried[ranges.shape], bounded.columns.replicas)
        if preset in FEWEST:
            return (self.size[ranges.shape] * ranges.low).astype(np.float64)
        return np.zeros(len(ranges.shape))

    def _value(self, states: list[Loads], ranges: _Ends) -> Floats:
        """The least objective of a range, ms; minus infinity where floats cannot tell.

        A request that is served takes at least the time ``usual``, one that is not counts ``penalty``. Two bounds hold, and the
        larger one counts. First, the requests not served are at least those of the states that no count of the range can
        carry: of u, the share of instances down, all but what states of at most j down hold of it, and they hold the less the
        more instances there are. Second, more are down the more there are, so the mean over what is down at the lower end
        of the least that each state can cost is no more than the mean at any count of the range.
        """
        weights = weights_of(self.problem.objective)
        latency, penalty = float(weights.latency), float(weights.unserved * weights.penalty_ms)
        normal = states[0]
        usual = np.where(normal.overloaded, 0.0, latency * normal.mean)
        value, unsure = usual.copy(), normal.unsure.copy()
        if weights.unserved:
            low = FloatDown(self.problem.hardware, self.size[ranges.shape], ranges.low)
            fitting = self.fits.last[ranges.shape, -1]
            share = low.beyond_instances / ranges.low
            mean = low.probabilities[0] * usual
            for j in range(1, COUNTED + 1):
                load, p = states[j], np.where(j <= ranges.low, low.probabilities[j], 0.0)
                unsure |= load.unsure
                _, cached = self.fits.caches.holds(load, ranges.shape)
                carried = ~load.overloaded & (load.n99 <= fitting) & cached
                share = share + np.where(carried, 0.0, p * j / ranges.low)
                shed = usual + (penalty - usual) * j / ranges.high
                mean = mean + p * np.where(carried, np.minimum(shed, latency * load.mean), shed)
            mean = mean + low.beyond * usual + low.beyond_instances / ranges.high * (penalty - usual)
            lost = usual + np.clip(share, 0, 1) * (penalty - usual)
            value = np.where(penalty >= usual, np.maximum(mean, lost), penalty)
        value = value * (1 - SAFETY) + float(weights.gpu_ms) * self.size[ranges.shape] * ranges.low
        value[unsure] = -np.inf
        return value


def _joined(one: _Ends, other: _Ends) -> _Ends:
    return _Ends(*(np.concatenate([getattr(one, name), getattr(other, name)]) for name in ("shape", "low", "high")))


def _middle(low: Ints, high: Ints) -> Ints:
    """A count in the middle; of a wide range the geometric mean."""
    wide = high > 4 * low
    result: Ints = np.where(wide, np.sqrt(low.astype(np.float64) * high).astype(np.int64), (low + high) // 2)
    return result


def _most_instances(problem: Problem, shape: ReplicaShape, offered: int) -> int:
    """The most instances of a shape, of those that the GPUs there are hold, whose TP groups find room."""
    if "power_total" not in problem.search.disabled_rules:
        offered = min(offered, max(0, most_in_use(problem.hardware)) // shape.instance_gpus)
    if "nvlink_locality" in problem.search.disabled_rules:
        return offered
    low, high = 0, offered
    while low < high:
        middle = (low + high + 1) // 2
        groups = shape.stages * shape.group.ranks * middle
        low, high = (
            (middle, high) if tensor_groups_fit(problem.hardware, shape.group.tensor, groups) else (low, middle - 1)
        )
    return low
