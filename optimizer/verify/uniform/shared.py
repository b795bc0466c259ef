"""The exhaustive counterpart for many problems at once: what does not depend on the number of nodes is computed once for all of them.

The problems agree on everything that times depend on (``costs_agree``). A row of the largest space belongs to a problem when
its GPUs are there. Of the sequences of a row only some matter: which ones fit is a property of its shape, the value changes
only where one more failure state is carried, and peak throughput only grows. So the largest fitting number below each such
step stands for all of them. Rows that a bound keeps from beating what is claimed are not valued; no candidate is left out
otherwise. ``tests/sweep`` holds this to ``float_candidate.survey``, candidate by
candidate.
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from optimizer.facts.problem import Problem
from optimizer.results.answer import Fixed
from optimizer.verify.common.arithmetic import exact, sixty_digits
from optimizer.verify.common.budget import budget_bytes
from optimizer.verify.common.corrections import float_times
from optimizer.verify.common.failures import COUNTED
from optimizer.verify.common.float_times import ShapeTimes
from optimizer.verify.common.groups import ReplicaShape
from optimizer.verify.common.power import most_in_use, watts_of
from optimizer.verify.common.rules import row_findings, tensor_groups_room
from optimizer.verify.common.space import most_slots, rows
from optimizer.verify.common.stage import Stages
from optimizer.verify.uniform.float_candidate import Bools, FloatBar, Survey
from optimizer.verify.uniform.shared_load import LoadTable
from optimizer.verify.uniform.shared_rows import Bounds, Fits, RowJudged, SharedColumns

MOST_TABLES = 12
_BY_NODES = ("gpu_count", "power_total", "power_node", "nvlink_locality", "context")


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
        and first.requests == second.requests
        and first.requirements.goodput == second.requirements.goodput
        and first.max_batch == second.max_batch
        and first.max_sequence_tokens == second.max_sequence_tokens
        and most_slots(first, Fixed()) == most_slots(second, Fixed())
    )


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
        kept: dict[tuple[ReplicaShape, bool], bool] = {}
        self.rows = []
        for row in offered:
            # Of the replicas only it matters here whether they fill engine instances.
            alike = row.shape, row.replicas % row.shape.group.ranks == 0
            if alike not in kept:
                kept[alike] = all(rule.holds or rule.id in off for rule in row_findings(self.problem, row))
            if kept[alike]:
                self.rows.append(row)
        self._shapes: list[ReplicaShape] = list(dict.fromkeys(row.shape for row in self.rows))
        line = {shape: i for i, shape in enumerate(self._shapes)}
        found = [
            (line[r.shape], r.shape.group.tensor, r.shape.stages, r.replicas, r.instances, r.shape.instance_gpus)
            for r in self.rows
        ]
        self._columns = SharedColumns(*np.array(found, dtype=np.int64).reshape(len(found), 6).T)
        self._at = {row: i for i, row in enumerate(self.rows)}
        self._times: ShapeTimes | None = None
        self._loads: dict[float, LoadTable] = {}
        self._fits: dict[object, Fits] = {}
        self._known_bounds: dict[str, Bounds] = {}

    def serves(self, problem: Problem) -> bool:
        """Whether the tables are those of this problem too."""
        return costs_agree(self.problem, problem) and problem.hardware.gpus <= self.problem.hardware.gpus

    @sixty_digits()
    def survey(self, problem: Problem, bar: FloatBar | None, *, most_rivals: int = 4096) -> Survey:
        """Go through the whole space of one of the problems, as ``float_candidate.survey`` does.

        ``feasible`` and ``near`` are not counted; a rival is any candidate that may be feasible and may beat the bar.
        """
        seen = Survey(candidates=int((self._offered_gpus <= problem.hardware.gpus).sum()) * self.upto)
        there = self._there(problem)
        seen.ruled_out["rules on degrees"] = seen.candidates - int(there.sum()) * self.upto
        if bar is not None:
            pruned = self._bounds(problem).pruned(bar)
            if bar.row in self._at:
                pruned[self._at[bar.row]] = False
            seen.ruled_out["the bound on the objective"] = int((there & pruned).sum()) * self.upto
            there = there & ~pruned
        kept = np.flatnonzero(there)
        seen.compared = len(kept) * self.upto
        if not len(kept):
            return seen
        judged = RowJudged(problem, self._columns.of(kept), self.fits(problem), self.loads)
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
        if "power_total" not in off:
            there = there & (columns.gpus <= most_in_use(hardware))
        if "power_node" not in off and hardware.node_power_limit_watts is not None:
            fullest = np.minimum(columns.gpus, hardware.gpus_per_node)
            kept = {
                used: watts_of(hardware, 1, used) <= exact(hardware.node_power_limit_watts)
                for used in set(fullest.tolist())
            }
            there = there & np.array([kept[used] for used in fullest.tolist()], dtype=np.bool_)
        if "nvlink_locality" not in off:
            widths, which = np.unique(columns.tensor, return_inverse=True)
            room = np.array([tensor_groups_room(hardware, t) for t in widths.tolist()], dtype=np.int64)[which]
            there = there & (columns.stages * columns.replicas <= room)
        if "context" not in off and problem.max_sequence_tokens > problem.model.max_context_tokens:
            there = np.zeros_like(there)
        return there

    @property
    def times(self) -> ShapeTimes:
        """Times of every shape, computed when first asked for."""
        if self._times is None:
            self._times = float_times(self.problem, self._shapes, self.stages, self.upto)
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

    def _bounds(self, problem: Problem) -> Bounds:
        """What every row is at best, whatever the number of nodes."""
        key = problem.model_dump_json(include={"requirements", "objective", "workload"})
        if key not in self._known_bounds:
            while len(self._known_bounds) >= MOST_TABLES:
                self._known_bounds.pop(next(iter(self._known_bounds)))
            table, columns = self.loads(problem.workload.requests_per_s), self._columns
            loads = [table.at(columns.shape, columns.instances - down) for down in range(COUNTED + 1)]
            self._known_bounds[key] = Bounds(problem, columns, loads, self.fits(problem))
        return self._known_bounds[key]

    def fits(self, problem: Problem) -> Fits:
        """Which numbers of sequences each shape may run at all."""
        wanted = problem.requirements
        key = (
            budget_bytes(problem),
            problem.max_batch,
            wanted.min_batch,
            wanted.tpot_p99_ms,
            wanted.margin,
            wanted.preemption_share,
        )
        if key not in self._fits:
            while len(self._fits) >= MOST_TABLES:
                self._fits.pop(next(iter(self._fits)))
            self._fits[key] = Fits(problem, self._shapes, self.stages, self.times, self.upto)
        return self._fits[key]
