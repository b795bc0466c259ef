"""The exhaustive twin for many problems at once: what does not depend on the number of nodes is computed once for all of them.

The problems agree on everything that times depend on (``costs_agree``). A row of the largest space belongs to a problem when
its GPUs are there. Of the sequences of a row only some matter: which ones fit is a property of its shape, the value changes
only where one more failure state is carried, and peak throughput only grows. So the largest fitting number below each such
step stands for all of them. Rows that a bound keeps from beating what is claimed are not valued; no candidate is left out
otherwise. ``tests/sweep`` holds this to ``twin.survey``, candidate by
candidate.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from optimizer.answer import Fixed
from optimizer.facts.problem import Problem
from optimizer.verify.arithmetic import sixty_digits
from optimizer.verify.candidate import planned
from optimizer.verify.corrections import twin_times
from optimizer.verify.failures import COUNTED
from optimizer.verify.groups import Shape
from optimizer.verify.objective import weights_of
from optimizer.verify.rules import budget_bytes, row_findings
from optimizer.verify.shared_load import LoadTable
from optimizer.verify.space import most_slots, rows
from optimizer.verify.stage import Stages
from optimizer.verify.twin import NEAR_MS, NEAR_RELATIVE, Bar, Bools, Survey
from optimizer.verify.twin_failures import DownTwin
from optimizer.verify.twin_load import Loads
from optimizer.verify.twin_times import Floats, Ints, ShapeTimes

MOST_TABLES = 12
_BY_NODES = ("gpu_count", "nvlink_locality", "context")


def costs_agree(first: Problem, second: Problem) -> bool:
    """Whether memory and times of a replica are the same in both, and so is the choice of rows but for the GPUs there are."""
    one, other = first.hardware, second.hardware
    alike = {"nodes": one.nodes, "failures": one.failures, "price_per_gpu_hour": one.price_per_gpu_hour}
    alike |= {"host_memory_gb": one.host_memory_gb, "cpu_cores": one.cpu_cores}
    reach = max(one.gpus_per_node, one.nvlink_domain_gpus)
    return (
        one == other.model_copy(update=alike)
        and (one.gpus <= reach) == (other.gpus <= reach)
        and (first.model is second.model or first.model == second.model)
        and first.workload == second.workload.model_copy(update={"requests_per_s": first.workload.requests_per_s})
        and first.search == second.search
        and first.engine == second.engine
        and first.costs == second.costs
        and first.max_sequence_tokens == second.max_sequence_tokens
        and most_slots(first, Fixed()) == most_slots(second, Fixed())
    )


@dataclass(frozen=True, slots=True)
class _Columns:
    """What rows hold, (R,) each."""

    shape: Ints
    tensor: Ints
    stages: Ints
    replicas: Ints
    instances: Ints
    instance_gpus: Ints

    @property
    def gpus(self) -> Ints:
        used: Ints = self.tensor * self.stages * self.replicas
        return used

    def of(self, kept: Ints) -> _Columns:
        return _Columns(*(getattr(self, name)[kept] for name in _Columns.__dataclass_fields__))


class SharedSurvey:
    """Tables of the largest of several problems for which ``costs_agree``."""

    @sixty_digits()
    def __init__(self, problems: Sequence[Problem]) -> None:
        self.problem = max(problems, key=lambda problem: problem.hardware.gpus)
        self.stages = Stages(self.problem)
        self.upto = most_slots(self.problem, Fixed())
        off = {*self.problem.search.disabled_rules, *_BY_NODES}
        offered = list(rows(self.problem, Fixed()))
        self._offered_gpus = np.array([row.gpus for row in offered], dtype=np.int64)
        kept: dict[tuple[Shape, bool], bool] = {}
        self.rows = []
        for row in offered:
            # Of the replicas only it matters here whether they fill engine instances.
            alike = row.shape, row.replicas % row.shape.group.ranks == 0
            if alike not in kept:
                kept[alike] = all(rule.holds or rule.id in off for rule in row_findings(self.problem, row))
            if kept[alike]:
                self.rows.append(row)
        self._shapes: list[Shape] = list(dict.fromkeys(row.shape for row in self.rows))
        line = {shape: i for i, shape in enumerate(self._shapes)}
        found = [
            (line[r.shape], r.shape.group.tensor, r.shape.stages, r.replicas, r.instances, r.shape.instance_gpus)
            for r in self.rows
        ]
        self._columns = _Columns(*np.array(found, dtype=np.int64).reshape(len(found), 6).T)
        self._at = {row: i for i, row in enumerate(self.rows)}
        self._times: ShapeTimes | None = None
        self._loads: dict[float, LoadTable] = {}
        self._fits: dict[object, _Fits] = {}
        self._known_bounds: dict[str, _Bounds] = {}

    def serves(self, problem: Problem) -> bool:
        """Whether the tables are those of this problem too."""
        return costs_agree(self.problem, problem) and problem.hardware.gpus <= self.problem.hardware.gpus

    @sixty_digits()
    def survey(self, problem: Problem, bar: Bar | None, *, most_rivals: int = 4096) -> Survey:
        """Go through the whole space of one of the problems, as ``twin.survey`` does.

        ``feasible`` and ``near`` are not counted; a rival is any candidate that may be feasible and may beat the bar.
        """
        seen = Survey(candidates=int((self._offered_gpus <= problem.hardware.gpus).sum()) * self.upto)
        there = self._there(problem)
        if bar is not None:
            hopeless = self._bounds(problem).hopeless(bar)
            if bar.row in self._at:
                hopeless[self._at[bar.row]] = False
            there = there & ~hopeless
        kept = np.flatnonzero(there)
        if not len(kept):
            return seen
        judged = _Judged(self, problem, self._columns.of(kept))
        rival, slots, tier, value = judged.rivals(bar)
        where = np.argwhere(rival)
        if len(where) > most_rivals:
            where = where[np.lexsort((value[rival], tier[rival]))[:most_rivals]]
        for i, k in where:
            row = self.rows[int(kept[i])]
            seen.rivals.append((float(tier[i, k]), float(value[i, k]), False, row, int(slots[i, k])))
        seen.rivals.sort(key=lambda found: found[:2])
        if bar is not None and bar.row in self._at:
            at = int(np.searchsorted(kept, self._at[bar.row]))
            if at < len(kept) and kept[at] == self._at[bar.row] and bar.slots <= self.upto:
                seen.claimed = judged.one(at, bar.slots)
        return seen

    def _there(self, problem: Problem) -> Bools:
        """Rows of the problem's space that keep the rules on GPUs, placement and context."""
        hardware, columns, off = problem.hardware, self._columns, problem.search.disabled_rules
        there: Bools = columns.gpus <= hardware.gpus
        if "nvlink_locality" not in off:
            node = hardware.gpus_per_node
            domain = hardware.nvlink_domain_gpus if hardware.nvlink_gb_per_s > 0 else node
            domains = max(1, hardware.gpus // domain) if domain > node else hardware.nodes * (node // domain)
            groups = columns.stages * columns.replicas
            there = there & (columns.tensor <= domain) & (groups <= domains * (domain // columns.tensor))
        if "context" not in off and problem.max_sequence_tokens > problem.model.max_context_tokens:
            there = np.zeros_like(there)
        return there

    @property
    def times(self) -> ShapeTimes:
        """Times of every shape, computed when first asked for."""
        if self._times is None:
            self._times = twin_times(self.problem, self._shapes, self.stages, self.upto)
        return self._times

    def loads(self, requests_per_s: float) -> LoadTable:
        """Loads of every shape when the service receives so many requests."""
        found = self._loads.get(requests_per_s)
        if found is None:
            while len(self._loads) >= MOST_TABLES:
                self._loads.pop(next(iter(self._loads)))
            found = LoadTable(self.problem, self.times, self._shapes, self._columns.shape, self._columns.instances)
            found.rate_per_s = requests_per_s
            self._loads[requests_per_s] = found
        return found

    def _bounds(self, problem: Problem) -> _Bounds:
        """What every row is at best, whatever the number of nodes."""
        key = problem.model_dump_json(include={"requirements", "objective", "workload"})
        if key not in self._known_bounds:
            while len(self._known_bounds) >= MOST_TABLES:
                self._known_bounds.pop(next(iter(self._known_bounds)))
            load = self.loads(problem.workload.requests_per_s).at(self._columns.shape, self._columns.instances)
            self._known_bounds[key] = _Bounds(problem, self._columns, load, self.fits(problem))
        return self._known_bounds[key]

    def fits(self, problem: Problem) -> _Fits:
        """Which numbers of sequences each shape may run at all."""
        wanted = problem.requirements
        key = (budget_bytes(problem), wanted.max_batch, wanted.min_batch, wanted.tpot_p99_ms, wanted.margin)
        if key not in self._fits:
            while len(self._fits) >= MOST_TABLES:
                self._fits.pop(next(iter(self._fits)))
            self._fits[key] = _Fits(problem, self._shapes, self.stages, self.times, self.upto)
        return self._fits[key]


class _Fits:
    """Numbers of sequences 1 … upto by shape: which fit, and what a replica completes with them."""

    def __init__(self, problem: Problem, shapes: Sequence[Shape], stages: Stages, times: ShapeTimes, upto: int) -> None:
        wanted, off = problem.requirements, problem.search.disabled_rules
        n = np.arange(1, upto + 1)
        self.fits: Bools = np.ones((len(shapes), upto), dtype=np.bool_)
        if "max_batch" not in off:
            self.fits &= n <= wanted.max_batch
        if "min_batch" not in off:
            self.fits &= n >= wanted.min_batch
        if "memory" not in off:
            budget, most = budget_bytes(problem), np.full(len(shapes), upto)
            for i, shape in enumerate(shapes):
                for stage in set(stages.of(shape.group, shape.layers)):
                    left, each = budget - stage.memory_bytes(0), stage.memory_bytes(1) - stage.memory_bytes(0)
                    most[i] = min(most[i], (left // each if each else upto) if left >= 0 else 0)
            self.fits &= n <= most[:, None]
        if wanted.tpot_p99_ms is not None and "tpot_full_batch" not in off:
            limit = float(planned(wanted, wanted.tpot_p99_ms))
            self.fits &= times.tpot <= limit + max(NEAR_MS, NEAR_RELATIVE * 1e-2 * limit)
        self.completed: Floats = np.maximum.accumulate(n * 1000 / times.residence, axis=1)
        self.last: Ints = np.maximum.accumulate(np.where(self.fits, n, 0), axis=1)
        """The largest fitting number up to each, 0: none, (S, upto)."""


class _Bounds:
    """Tier and value that no number of sequences and no spread over nodes can better, by row.

    Where an unserved request counts at least what a served one takes, every failure state is worth at least the time with
    nothing down, and so is their mean. That takes rule ``concurrency``: without it the state with nothing down may be unserved.
    """

    def __init__(self, problem: Problem, columns: _Columns, load: Loads, fits: _Fits) -> None:
        weights = weights_of(problem.objective)
        usual = np.where(load.overloaded, 0.0, float(weights.latency) * load.mean)
        holds = (usual <= float(weights.unserved * weights.penalty_ms)) | (weights.unserved == 0)
        holds &= ~load.unsure & ("concurrency" not in problem.search.disabled_rules)
        self._value: Floats = np.where(holds, usual + float(weights.gpu_ms) * columns.gpus, -np.inf)
        self._tier: Floats = np.zeros(len(usual))
        if problem.objective.preset == "throughput":
            most = np.maximum(1, fits.last[columns.shape, -1])
            self._tier = _peak_tier(problem, columns, fits, most[:, None])[:, 0]
        elif problem.objective.preset == "fewest-gpus":
            self._tier = columns.gpus.astype(np.float64)

    def hopeless(self, bar: Bar) -> Bools:
        """Rows of which no candidate can beat the bar."""
        behind = self._tier > bar.tier + bar.tier_resolution
        never_ahead = self._tier >= bar.tier - bar.tier_resolution
        result: Bools = behind | (never_ahead & (self._value >= bar.value_ms - bar.resolution_ms / 2))
        return result


def _peak_tier(problem: Problem, columns: _Columns, fits: _Fits, slots: Ints) -> Floats:
    """Tier of preset ``throughput`` of rows with so many sequences, (R, M): tokens/s at most, floored and negative."""
    done = fits.completed[columns.shape[:, None], slots - 1] * columns.replicas[:, None]
    tier: Floats = -np.floor(done * problem.workload.output_tokens * 1000) / 1000
    return tier


class _Judged:
    """The rows of one problem: which may be feasible with how many sequences, and what they are worth."""

    def __init__(self, shared: SharedSurvey, problem: Problem, columns: _Columns) -> None:
        self.problem, self.columns, self.upto = problem, columns, shared.upto
        self.off = problem.search.disabled_rules
        self.fits, demand = shared.fits(problem), problem.workload.requests_per_s
        self.down = DownTwin(problem.hardware, columns.instance_gpus, columns.instances)
        table = shared.loads(demand)
        self.states = [table.at(columns.shape, columns.instances - j) for j in range(COUNTED + 1)]
        self.possible: Bools = np.ones(len(columns.shape), dtype=np.bool_)
        self.least: Ints = np.ones(len(columns.shape), dtype=np.int64)
        self._carry(self.states[0], "concurrency" not in self.off)
        if "request_rate" not in self.off:
            self._complete(demand)
        survive = problem.requirements.survive
        for name, losses, killed in (("gpu", survive.gpu, 1), ("node", survive.node, self.down.killed_by_node)):
            if losses and f"survive_{name}" not in self.off:
                left = columns.instances - losses * killed
                self._carry(shared.loads(demand * survive.demand_share).at(columns.shape, left), True)

    def _carry(self, load: Loads, slots_matter: bool) -> None:
        """Enough sequences, not overloaded, and every latency limit that is on."""
        if slots_matter:
            self.possible &= ~load.overloaded | load.unsure
            self.least = np.maximum(self.least, np.where(load.unsure, 1, load.n99))
        wanted = self.problem.requirements
        for limit in wanted.latency_limits:
            rule = f"{limit.metric}_p{limit.percentile}"
            if rule not in self.off:
                most = float(planned(wanted, limit.limit_ms))
                actual = np.where(load.overloaded, np.inf, load.latency[rule])
                within = actual <= most + max(NEAR_MS, NEAR_RELATIVE * 1e-2 * most)
                self.possible &= within | load.unsure

    def _complete(self, demand: float) -> None:
        """Enough sequences for the completions to cover the demand."""
        near = max(demand * NEAR_RELATIVE + 2e-3 * (demand * 1000 % 1 > 0), NEAR_RELATIVE * 1e-2 * demand)
        needed = (demand - near) / self.columns.replicas
        by_shape = np.argsort(self.columns.shape, kind="stable")
        enough = np.empty_like(self.columns.shape)
        ends = np.searchsorted(self.columns.shape[by_shape], np.arange(len(self.fits.completed) + 1))
        for shape, (start, end) in enumerate(zip(ends[:-1].tolist(), ends[1:].tolist(), strict=True)):
            if start < end:
                lines = by_shape[start:end]
                enough[lines] = np.searchsorted(self.fits.completed[shape], needed[lines]) + 1
        self.possible &= enough <= self.upto
        self.least = np.maximum(self.least, enough)

    def rivals(self, bar: Bar | None) -> tuple[Bools, Ints, Floats, Floats]:
        """(rival, sequences, tier, value) for every row and every number of sequences that stands for others, (R, M)."""
        ends = [np.full(len(self.columns.shape), self.upto)]
        ends += [np.clip(load.n99 - 1, 1, self.upto) for load in self.states]
        columns = np.stack(ends, axis=1)
        slots = self.fits.last[self.columns.shape[:, None], columns - 1]
        maybe = self.possible[:, None] & (slots >= self.least[:, None]) & (slots > 0)
        kept = np.flatnonzero(maybe.any(axis=1))
        tier, value = np.full(slots.shape, np.inf), np.full(slots.shape, np.inf)
        tier[kept], value[kept] = self._worth(kept, np.maximum(slots[kept], 1))
        if bar is None:
            return maybe, slots, tier, value
        ahead = tier < bar.tier - bar.tier_resolution
        with np.errstate(invalid="ignore"):
            level = np.abs(tier - bar.tier) <= bar.tier_resolution
        better = ahead | (level & (value < bar.value_ms - bar.resolution_ms / 2))
        return maybe & better, slots, tier, value

    def one(self, row: int, slots: int) -> tuple[float, float, bool]:
        """(tier, value, may be feasible) of one candidate."""
        tier, value = self._worth(np.array([row]), np.array([[slots]]))
        fits = bool(self.fits.fits[self.columns.shape[row], slots - 1])
        return float(tier[0, 0]), float(value[0, 0]), bool(self.possible[row]) and fits and slots >= self.least[row]

    def _worth(self, rows: Ints, slots: Ints) -> tuple[Floats, Floats]:
        """Tier and objective of rows with so many sequences, (Q, M) each; value minus infinity where floats cannot tell."""
        problem, weights = self.problem, weights_of(self.problem.objective)
        latency, penalty = float(weights.latency), float(weights.unserved * weights.penalty_ms)
        columns = self.columns.of(rows)
        instances = columns.instances.astype(np.float64)
        normal = self.states[0]
        overloaded = normal.overloaded[rows]
        usual = np.where(overloaded, 0.0, latency * normal.mean[rows])
        works = (normal.n99[rows][:, None] <= slots) & ~overloaded[:, None]
        value, unsure = np.zeros(slots.shape), np.zeros(len(rows), dtype=np.bool_)
        for j in range(COUNTED + 1 if weights.unserved else 1):
            load = self.states[j]
            p = self.down.probabilities[j][rows] if weights.unserved else np.ones(len(rows))
            p = np.where(j <= columns.instances, p, 0.0)
            unsure |= load.unsure[rows] & (j <= columns.instances)
            carried = works & (load.n99[rows][:, None] <= slots) & ~load.overloaded[rows][:, None]
            shed = usual * (instances - j) / instances + penalty * j / instances
            mean = np.where(load.overloaded[rows], 0.0, load.mean[rows])
            if j:
                carried &= (latency * mean <= shed)[:, None]
            lost = np.full(len(rows), latency * float(weights.penalty_ms)) if j == 0 else shed
            value += p[:, None] * np.where(carried, (latency * mean)[:, None], lost[:, None])
        if weights.unserved:
            share = self.down.beyond_instances[rows] / instances
            value += (usual * (self.down.beyond[rows] - share) + penalty * share)[:, None]
        value += float(weights.gpu_ms) * columns.gpus[:, None]
        value[unsure] = -np.inf
        tier = np.zeros(slots.shape)
        if problem.objective.preset == "throughput":
            tier = _peak_tier(problem, columns, self.fits, slots)
        elif problem.objective.preset == "fewest-gpus":
            tier = tier + columns.gpus[:, None]
        return tier, value
