"""The CP-SAT model of prefill and decode pools on an inventory: one builder for every question. ``docs/disaggregated.md``, section 13.

An option, or none, is chosen for each pool on each group. Element constraints give its numbers; what joins them are the shares
of the requests, the kind of cache, the link, nodes and GPUs of each group, the sums that latency limits speak of, and losses.

Other home: ``verify/pools/cluster_pair.py``; docs/disaggregated.md,
section 13.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np

from optimizer.costs.shapes import Bools, Ints
from optimizer.engines.memory import state_blocks_of
from optimizer.facts.inventory import InventoryProblem
from optimizer.search.common.scale import NS_PER_MS, limit_ns
from optimizer.search.common.solver import cp_model
from optimizer.search.pools.cluster_columns import ClusterColumns
from optimizer.search.pools.cluster_dominance import not_dominated
from optimizer.search.pools.losses import LossCase, loss_cases
from optimizer.search.pools.model import SENTENCES
from optimizer.search.pools.options import PARTS, problem_on
from optimizer.search.pools.tables import FULL
from optimizer.search.uniform.quantities import ObjectiveWeights


def cluster_rule_ids(problem: InventoryProblem) -> tuple[str, ...]:
    """Ids of the rules that apply, in the order they are shown; ``search.disabled_rules`` may name them."""
    requirements = problem.requirements
    left_out = {"tpot_full_batch"} if requirements.tpot_p99_ms is None else set()
    if all(state_blocks_of(problem_on(problem, group)) is None for group in problem.groups):
        left_out.add("state_blocks")
    ids = [name for name in SENTENCES if name not in left_out]
    ids += [limit.rule for limit in requirements.latency_limits]
    return (*ids, *(f"survive_{losses.level}" for losses in problem.survive))


def own_masks(columns: ClusterColumns, rules: Sequence[str]) -> tuple[Bools, Bools]:
    """Options of either side that keep the rules which speak of them alone, as far as these are among ``rules``."""
    first, second = _mask(columns, rules, 0), _mask(columns, rules, 1)
    if columns.also is not None:
        more = own_masks(columns.also, rules_of_load(rules))
        first, second = first & more[0], second & more[1]
    return first, second


def rules_of_load(rules: Sequence[str]) -> tuple[str, ...]:
    """Those that are not about losses."""
    return tuple(rule for rule in rules if not rule.startswith("survive_"))


def _mask(columns: ClusterColumns, rules: Sequence[str], side: int) -> Bools:
    problem = columns.problem
    fine: Bools = np.ones(len(columns.options.share[side]), dtype=np.bool_)
    for rule in rules:
        own = columns.own_rule(rule)
        if own is not None and own[0] == side:
            fine &= own[1].values <= own[1].most
        if rule == "link":
            fine &= columns.link_busy(side) <= FULL - 1
    for limit in problem.requirements.latency_limits:
        if limit.rule in rules and limit.rule in columns.times[side]:
            fine &= columns.times[side][limit.rule] <= limit_ns(limit.limit_ms, problem.requirements.margin)
    for losses in problem.survive:
        if f"survive_{losses.level}" in rules and losses.level in ("gpu", "node", "rack"):
            left = np.flatnonzero(fine)
            fine[left] = _may_survive(columns, side, losses.level, losses.count, left)
    return fine


def _may_survive(columns: ClusterColumns, side: int, level: str, count: int, options: Ints) -> Bools:
    """Whether options carry their own shares after the losses, or are lost whole and others may take over."""
    every, problem = columns.options, columns.problem
    if level == "rack" and count > 1:
        return np.ones(len(options), dtype=np.bool_)
    gone = columns.taken(side, level, count)[options] >= every.of_rows(side, "count")[options]
    there = np.array([group.racks >= 1 if level == "rack" else True for group in problem.groups])
    fine = columns.lost(side, level, count, PARTS, options).fine == 1
    found: Bools = fine | (gone & (every.share[side][options] < PARTS)) | ~there[every.group[side][options]]
    return found


class ClusterModel:
    """One model with the rules that are asked for."""

    def __init__(self, columns: ClusterColumns, rules: Sequence[str], only: tuple[Bools, Bools] | None = None) -> None:
        self.columns, self.options, self.problem = columns, columns.options, columns.problem
        self.rules = tuple(rules)
        self.model: Any = cp_model.CpModel()
        masks = own_masks(columns, self.rules) if only is None else only
        self.kept = [
            kept[not_dominated(columns, side, kept, self.rules)]
            for side, kept in enumerate(np.flatnonzero(mask) for mask in masks)
        ]
        self.of = [
            [kept[self.options.group[side][kept] == group] for group in range(len(self.problem.groups))]
            for side, kept in enumerate(self.kept)
        ]
        """Options of each side and group that keep the rules of their own."""
        self.places = [(side, group) for side in (0, 1) for group in range(len(self.problem.groups))]
        self.taken = {
            place: [self.model.new_bool_var("") for _ in self.of[place[0]][place[1]].tolist()] for place in self.places
        }
        """Whether each option of ``of`` is what stands there."""
        self.used = {place: self.model.new_bool_var(f"used {place}") for place in self.places}
        for place in self.places:
            self.model.add_exactly_one([*self.taken[place], ~self.used[place]])
        self._join()
        self._sums()
        for rule in self.rules:
            self._post(rule)

    @property
    def possible(self) -> bool:
        """Whether each pool has an option left at all."""
        return all(len(kept) for kept in self.kept)

    def element(self, place: tuple[int, int], values: Ints, none: int = 0) -> Any:
        """A number of what stands at a place, given for every option of the side; ``none`` where nothing does."""
        return self._at(place, values[self.of[place[0]][place[1]]], none)

    def _at(self, place: tuple[int, int], values: Ints, none: int = 0) -> Any:
        """The same, given for the options of the place."""
        if not len(values):
            return none
        least, most = int(values.min()), int(values.max())
        if least == most == none:
            return none
        found = cp_model.LinearExpr.weighted_sum(self.taken[place], values.tolist())
        return found + none * ~self.used[place] if none else found

    def _join(self) -> None:
        """One kind of cache; the link is that of one group where both pools stand on it alone."""
        model, options = self.model, self.options
        cache = model.new_int_var(0, max(0, len(options.kinds) - 1), "kind of cache")
        self.crossing = model.new_bool_var("crossing")
        for side, group in self.places:
            place = side, group
            own = self.element(place, options.of_rows(side, "cache"))
            model.add(own == cache).only_enforce_if(self.used[place])
            own = self.element(place, options.crossing[side])
            model.add(own == self.crossing).only_enforce_if(self.used[place])
        stands = []
        for group in range(len(self.problem.groups)):
            here = model.new_bool_var("")
            model.add_max_equality(here, [self.used[0, group], self.used[1, group]])
            stands.append(here)
        model.add(sum(stands) == 1).only_enforce_if(~self.crossing)
        model.add(sum(stands) >= 2).only_enforce_if(self.crossing)
        for side in (0, 1):
            shares = [self.element((side, group), options.share[side]) for group in range(len(self.problem.groups))]
            model.add(sum(shares) == PARTS)

    def _sums(self) -> None:
        options, columns, weights = self.options, self.columns, ObjectiveWeights.of(self.problem.objective)
        self.place_gpus = {place: self.element(place, options.of_rows(place[0], "gpus")) for place in self.places}
        self.place_nodes = {place: self.element(place, options.of_rows(place[0], "nodes")) for place in self.places}
        self.gpus, self.spread = sum(self.place_gpus.values()), sum(self.place_nodes.values())
        self.price = sum(self.element(place, columns.prices[place[0]]) for place in self.places)
        most = max(max((int(end.max()) for side in columns.moved for end in side if len(end)), default=0), 1)
        latency = max((int(one.max()) for one in options.latency_ns if len(one)), default=0)
        self.moved = []
        for which in range(3):
            found = self.model.new_int_var(0, most + latency, "")
            for side, group in self.places:
                both = columns.moved[side][which] + options.latency_ns[side]
                self.model.add(found >= self.element((side, group), both))
            self.moved.append(found)
        whole = int(weights.latency)
        self.value = (
            sum(self.element(place, columns.values[place[0]]) for place in self.places)
            + whole * self.moved[0]
            + round(weights.gpu_ms * NS_PER_MS) * self.gpus
        )
        top = max((int(peak.max()) for peak in columns.peaks if len(peak)), default=0)
        self.peak = self.model.new_int_var(0, top, "peak")
        for place in self.places:
            self.model.add(self.peak <= self.element(place, columns.peaks[place[0]], top))
        self._stand()

    def _stand(self) -> None:
        """Whether the pools share the nodes of a group, as definitions; rule ``placement`` says what must fit."""
        self.together = []
        for group, facts in enumerate(self.problem.groups):
            shared = self.model.new_bool_var(f"together on {group}")
            self.together.append(shared)
            if facts.nodes == 1:
                self.model.add(shared == 1).only_enforce_if(self.used[0, group], self.used[1, group])
            for side in (0, 1):
                rows = self.options.of_rows(side, "nodes")
                may = ((rows == facts.nodes) & (self.options.column(side, lambda b: b.whole) == 0)).astype(np.int64)
                self.model.add(self.element((side, group), may) == 1).only_enforce_if(shared)

    def _post(self, rule: str) -> None:
        if rule == "gpu_count":
            for group, facts in enumerate(self.problem.groups):
                self.model.add(self.place_gpus[0, group] + self.place_gpus[1, group] <= facts.gpus)
        elif rule == "placement":
            for group in range(len(self.problem.groups)):
                self._post_placement(group)
        elif rule.startswith("survive_"):
            level = rule.removeprefix("survive_")
            count = next(losses.count for losses in self.problem.survive if losses.level == level)
            for case in loss_cases(self.problem, level, count):
                self._post_case(case)
        elif any(limit.rule == rule for limit in self.problem.requirements.latency_limits):
            for columns in (self.columns, self.columns.also):
                if columns is not None:
                    groups = range(len(self.problem.groups))
                    self._latency(rule, [{g: times.get(rule) for g in groups} for times in columns.times])

    def _limit(self, milliseconds: float) -> int:
        return limit_ns(milliseconds, self.problem.requirements.margin)

    def _latency(self, rule: str, times: Sequence[dict[int, Any]]) -> None:
        """A limit on what the slowest parts of both pools and the link add up to; parts of one pool alone are in ``_mask``."""
        limit = next(one for one in self.problem.requirements.latency_limits if one.rule == rule)
        if limit.metric != "ttft":
            return
        both = [
            [self.element((side, group), values) for group, values in side_times.items() if values is not None]
            for side, side_times in enumerate(times)
        ]
        self._sums_within(both, limit, [])

    def _sums_within(self, both: Sequence[Sequence[Any]], limit: Any, only_if: Sequence[Any]) -> None:
        most, moved = self._limit(limit.limit_ms), self.moved[1 if limit.percentile == 50 else 2]
        for first in both[0]:
            for second in both[1]:
                posted = self.model.add(first + second + moved <= most)
                if only_if:
                    posted.only_enforce_if(*only_if)

    def _post_placement(self, group: int) -> None:
        model, facts, options = self.model, self.problem.groups[group], self.options
        first, second = (0, group), (1, group)
        shared = self.together[group]

        def both(values: Sequence[Ints]) -> list[Any]:
            return [self.element(place, values[place[0]]) for place in (first, second)]

        nodes = both([options.of_rows(side, "nodes") for side in (0, 1)])
        model.add(sum(nodes) <= facts.nodes).only_enforce_if(~shared)
        whole = both([options.column(side, lambda b: b.whole) for side in (0, 1)])
        if any(not isinstance(one, int) or one for one in whole):
            fullest = both([options.column(side, lambda b: b.rack_nodes) for side in (0, 1)])
            some = model.new_bool_var("")
            model.add(sum(whole) == 0).only_enforce_if(~some)
            model.add(sum(fullest) <= facts.nodes_together).only_enforce_if(some, ~shared)
        every, over, more = (
            both([options.of_rows(side, name) for side in (0, 1)]) for name in ("every", "over", "more")
        )
        apart = model.new_bool_var("uneven nodes apart")
        model.add(sum(more) <= facts.nodes).only_enforce_if(apart)
        for side in (0, 1):
            model.add(sum(every) + over[side] <= facts.free_gpus).only_enforce_if(shared)
        model.add(sum(every) + sum(over) <= facts.free_gpus).only_enforce_if(shared, ~apart)

    def _post_case(self, case: LossCase) -> None:
        """What is left after one case of losses carries the demand, within every limit that is on."""
        only_if = [self.together[group] for group in case.together] + [~self.together[group] for group in case.apart]
        hit = dict(case.hit)
        shares = [self._left(side, case, hit, only_if) for side in (0, 1)]
        limits = [limit for limit in self.problem.requirements.latency_limits if limit.rule in self.rules]
        groups = [group for group in range(len(self.problem.groups)) if group not in case.gone]
        times: dict[tuple[int, str], list[tuple[Any, list[Any]]]] = {}
        for side in (0, 1):
            for parts, exactly in shares[side].items():
                when = [*only_if, *([exactly] if exactly is not None else [])]
                for group in groups:
                    place = (side, group)
                    level, count = (case.level, hit[place]) if place in hit else ("gpu", 0)
                    table = self.columns.lost(side, level, count, parts, self.of[side][group])
                    gone = self._gone(place, case.level, hit.get(place, 0))
                    refused = (table.fine == 0) & ~gone
                    for limit in limits:
                        if limit.rule in table.times:
                            refused |= (table.times[limit.rule] > self._limit(limit.limit_ms)) & ~gone
                    self._none_of(
                        [one for one, no in zip(self.taken[place], refused.tolist(), strict=True) if no], when
                    )
                    for limit in limits:
                        if limit.metric == "ttft":
                            ms = np.where(gone | refused, 0, table.times[limit.rule])
                            times.setdefault((side, limit.rule), []).append((self._at(place, ms), when))
        for limit in limits:
            if limit.metric == "ttft":
                self._sums_of(times.get((0, limit.rule), []), times.get((1, limit.rule), []), limit)

    def _sums_of(
        self, first: Sequence[tuple[Any, list[Any]]], second: Sequence[tuple[Any, list[Any]]], limit: Any
    ) -> None:
        for one, when in first:
            for other, also in second:
                if not (isinstance(one, int) and isinstance(other, int)):
                    self._sums_within([[one], [other]], limit, list(dict.fromkeys([*when, *also])))

    def _none_of(self, literals: list[Any], when: list[Any]) -> None:
        if not literals:
            return
        posted = self.model.add(sum(literals) == 0)
        if when:
            posted.only_enforce_if(*when)

    def _gone(self, place: tuple[int, int], level: str, lost: int) -> Bools:
        """Options of a place that so many losses take whole."""
        side, group = place
        options = self.of[side][group]
        if not lost:
            return np.zeros(len(options), dtype=np.bool_)
        found: Bools = self.columns.taken(side, level, lost)[options] >= self.options.of_rows(side, "count")[options]
        return found

    def _left(self, side: int, case: LossCase, hit: dict[tuple[int, int], int], only_if: list[Any]) -> dict[int, Any]:
        """Parts of the requests planned for what is left of a pool, one at least: a literal for each; None: always so many."""
        shares, may_go = [], bool(case.gone)
        for group in range(len(self.problem.groups)):
            if group in case.gone:
                continue
            share = self.options.share[side][self.of[side][group]]
            gone = self._gone((side, group), case.level, hit.get((side, group), 0))
            may_go = may_go or bool(gone.any())
            shares.append(self._at((side, group), np.where(gone, 0, share)))
        left = sum(shares)
        if not may_go:
            return {PARTS: None}
        posted = self.model.add(left >= 1)
        if only_if:
            posted.only_enforce_if(*only_if)
        literals = {parts: self.model.new_bool_var("") for parts in range(1, PARTS + 1)}
        none = self.model.new_bool_var("")
        self.model.add_exactly_one([*literals.values(), none])
        self.model.add(left == sum(parts * one for parts, one in literals.items()))
        return literals
