"""The least changes to a problem file that make pools on an inventory feasible: one field each, solved again."""

from __future__ import annotations

import math
from collections.abc import Callable
from functools import partial

from optimizer.explain.common.least import least_that_fits
from optimizer.explain.common.numbers import count
from optimizer.explain.pools.repair import MOST_LIMIT, MOST_NODES
from optimizer.facts.inventory import InventoryProblem
from optimizer.results.answer import Change, Conflict
from optimizer.results.pools import FixedPools, PoolsRepair
from optimizer.search.common.clock import Clock
from optimizer.search.pools.cluster_answer import ChosenPools
from optimizer.search.pools.cluster_columns import ClusterColumns
from optimizer.search.pools.cluster_model import own_masks
from optimizer.search.pools.cluster_picked import Picked
from optimizer.search.pools.cluster_solve import best_of, columns_on, rules_on, some_pools
from optimizer.search.pools.options import SPACINGS

REPAIRS_S = 6.0
"""Seconds that repairs may take together."""
SOME_LEFT = f"Changes were looked for for {REPAIRS_S:g} s: not of each field is it known whether it helps, or whether less of it is enough."
LABEL_S = 1.5
"""Seconds in which the best pools of a changed problem are looked for; then any that keep every rule are named."""
MANY_GPUS = 1024
"""From so many on not every number of instances is tried."""
COARSE = (1.1,)


def cluster_repairs(
    problem: InventoryProblem,
    fixed: FixedPools,
    conflict: Conflict,
    clock: Clock,
    enough: tuple[str, float] | None = None,
) -> tuple[tuple[PoolsRepair, ...], str | None]:
    """Repairs of the fields that the conflict speaks of; nodes of every group where they help.

    Args:
        enough: a limit, and the ms with which pools are known to keep every rule.

    Returns:
        The repairs, and what is to be said of changes that were not settled in ``REPAIRS_S``; None: each is the least.
    """
    asked = _Repairs(problem, fixed, clock.within(REPAIRS_S))
    limits = [limit for limit in problem.requirements.latency_limits if limit.rule in conflict.rules]
    losses = [one for one in problem.survive if f"survive_{one.level}" in conflict.rules]
    # What the conflict names helps most: it is asked about first, and told last.
    questions: list[tuple[int, Callable[[], PoolsRepair | None]]] = []
    for limit in limits:
        known = enough[1] if enough is not None and enough[0] == limit.rule else None
        questions.append((2, partial(asked.limit, f"{limit.rule}_ms", limit.limit_ms, known)))
    for one in losses:
        questions.append((3, partial(asked.survive, one.level, one.count)))
    questions.append((0, asked.rate))
    # More nodes change no time of a request that comes alone.
    if asked.idle_fits() or len(limits) < len(conflict.rules):
        questions += [(1, partial(asked.nodes, index)) for index in range(len(problem.groups))]
    found = []
    for position, (place, question) in enumerate(questions):
        asked.begin(len(questions) - position)
        repair = question()
        if repair is not None:
            found.append((place, position, repair))
    told = tuple(repair for _, _, repair in sorted(found, key=lambda one: one[:2]))
    return told, SOME_LEFT if asked.cut else None


class _Repairs:
    """Changes of one field each, within the time there is; ``cut`` where one was not known to be enough or not."""

    def __init__(self, problem: InventoryProblem, fixed: FixedPools, clock: Clock) -> None:
        self.problem, self.fixed, self.clock, self.cut = problem, fixed, clock, False
        self._part = clock
        self._spacings = COARSE if problem.gpus > MANY_GPUS else SPACINGS
        self._idle: bool | None = None

    def begin(self, questions: int) -> None:
        """The next of so many questions; what takes little leaves its time to the others, so one may take as much as two."""
        self._part = self.clock.within(2 * (self.clock.left_s or 0.0) / max(2, questions))

    def _found(self, problem: InventoryProblem) -> tuple[ClusterColumns, Picked] | None:
        """Some pools that keep every rule; None: none are known."""
        if self._part.over:
            self.cut = True
            return None
        columns = columns_on(problem, self.fixed, self._spacings)
        if columns is None:
            return None
        rules = rules_on(problem)
        masks = own_masks(columns, rules)
        if not all(mask.any() for mask in masks):
            self.cut |= columns.options.thinned
            return None
        fits, picked = some_pools(columns, rules, masks, self._part)
        self.cut |= fits is None or (not fits and columns.options.thinned)
        return None if picked is None else (columns, picked)

    def _fits(self, problem: InventoryProblem) -> bool:
        return self._found(problem) is not None

    def _told(self, problem: InventoryProblem, field: str, old: object, new: object, said: str) -> PoolsRepair | None:
        columns = columns_on(problem, self.fixed, self._spacings)
        if columns is None:
            return None
        picked = best_of(columns, Clock(LABEL_S, self.clock.ctrl_c)).picked
        if picked is None:
            masks = own_masks(columns, rules_on(problem))
            picked = some_pools(columns, rules_on(problem), masks, Clock(LABEL_S, self.clock.ctrl_c))[1]
        if picked is None:
            self.cut = True
            return None
        label = ChosenPools(columns, picked).strategy().label
        return PoolsRepair((Change(field, old, new),), f"{said}: {label}.", label)

    def idle_fits(self) -> bool:
        """Whether fewer requests are known to help at all."""
        if self._idle is None:
            self.begin(4)
            self._idle = self._fits(_at_rate(self.problem, 1))
        return self._idle

    def nodes(self, index: int) -> PoolsRepair | None:
        """More nodes of a group."""
        group = self.problem.groups[index]
        if group.racks:
            return None
        now = group.nodes
        most = min(MOST_NODES * now, max(now + 1, 256 // group.free_gpus))
        least = least_that_fits(now, most, lambda nodes: self._fits(with_nodes_of(self.problem, index, nodes)))
        if least is None:
            return None
        said = f"Set cluster.{index}.nodes ({group.name}) to {least} (now {now}), {count(least * group.free_gpus, 'GPU')} in all"
        return self._told(with_nodes_of(self.problem, index, least), f"cluster.{index}.nodes", now, least, said)

    def rate(self) -> PoolsRepair | None:
        """Fewer requests."""
        if not self.idle_fits():
            return None
        now = math.ceil(self.problem.workload.requests_per_s * 1000)
        low, high = 1, now
        while high - low > max(1, now // 100):
            middle = (low + high) // 2
            low, high = (middle, high) if self._fits(_at_rate(self.problem, middle)) else (low, middle)
        rate = low / 1000
        said = f"Send at most {rate:g} requests/s (workload.requests_per_s, now {now / 1000:g})"
        return self._told(_at_rate(self.problem, low), "workload.requests_per_s", now / 1000, rate, said)

    def limit(self, field: str, now: float, known: float | None) -> PoolsRepair | None:
        """A later deadline.

        Args:
            known: ms that are enough; None: not known of any.
        """
        step = max(0.1, round(now / 100, 1))
        start = math.floor(now / step)

        def allowing(steps: int) -> InventoryProblem:
            requirements = self.problem.requirements.model_copy(update={field: round(steps * step, 3)})
            return self.problem.model_copy(update={"requirements": requirements})

        margin = 1 + self.problem.requirements.margin
        most = start * MOST_LIMIT + 1 if known is None else max(start + 1, math.ceil(known * margin / step + 1e-6))
        least = least_that_fits(
            start, most, lambda steps: (known is not None and steps == most) or self._fits(allowing(steps))
        )
        if least is None:
            return None
        new = round(least * step, 3)
        said = f"Allow {field} = {new:g} (now {now:g}; requirements.{field})"
        return self._told(allowing(least), f"requirements.{field}", now, new, said)

    def survive(self, level: str, now: int) -> PoolsRepair | None:
        """Fewer losses."""
        for new in range(now - 1, -1, -1):
            kept = tuple(
                one.model_copy(update={"count": new}) if one.level == level else one
                for one in self.problem.survive
                if one.level != level or new
            )
            changed = self.problem.model_copy(update={"survive": kept})
            if self._fits(changed):
                said = f"Survive {count(new, 'GPU' if level == 'gpu' else level)} lost instead of {now} (requirements.survive.{level})"
                return self._told(changed, f"requirements.survive.{level}", now, new, said)
        return None


def with_nodes_of(problem: InventoryProblem, index: int, nodes: int) -> InventoryProblem:
    """The inventory with so many nodes of one group."""
    groups = list(problem.groups)
    groups[index] = groups[index].model_copy(update={"nodes": nodes})
    return problem.model_copy(update={"groups": tuple(groups)})


def _at_rate(problem: InventoryProblem, steps: int) -> InventoryProblem:
    workload = problem.workload.model_copy(update={"requests_per_s": steps / 1000})
    return problem.model_copy(update={"workload": workload})
