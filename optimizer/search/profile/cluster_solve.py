"""The best day on an inventory: the least cost, proved; of the plans of this cost the one of least time that is found in the time there is.

Other home: ``verify/profile/cluster_check.py``; docs/profile.md, section 7.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Any

from optimizer.facts.cluster_day import ClusterDayProblem
from optimizer.facts.profile import HOURS
from optimizer.results.answer import Status
from optimizer.search.common.clock import Clock
from optimizer.search.common.solver import new_solver, outcome_of, solve_stoppable
from optimizer.search.inventory.candidates import Candidates, KnownTables
from optimizer.search.inventory.counts import Item
from optimizer.search.inventory.cuts import Cuts
from optimizer.search.inventory.exact_placing import NotSettledError
from optimizer.search.inventory.found import Placed
from optimizer.search.inventory.master import Master
from optimizer.search.inventory.placer import Placer
from optimizer.search.inventory.placing import Rooms, place, seated
from optimizer.search.inventory.plan import Entry, Plan, Stand
from optimizer.search.inventory.valuation import Valuation
from optimizer.search.profile.cluster_model import (
    EVERY_HOUR,
    ClusterDayModel,
    left_out,
    no_cheaper,
    segments_of,
    start_stop,
)

MOST_REFUSED = 60
TIMED_WITHIN_S = 20.0
"""Seconds in which plans of the least cost are compared by time."""
MOST_TIMED = 12


Home = tuple[Item, Stand]


@dataclass(frozen=True)
class DayPlan:
    """Places of all instances of a day, and which of them run in each hour."""

    homes: tuple[Home, ...]
    """Every instance of the day, and where it stands."""
    segments: tuple[tuple[int, int], ...]
    """(first hour, hours) of times in which nothing changes."""
    running: tuple[tuple[int, ...], ...]
    """Of each segment, positions in ``homes``."""
    placed: tuple[Placed, ...]
    """Of each segment, what runs, valued at its rate."""
    cost: int
    """In the unit of the model."""

    def at(self, hour: int) -> int:
        """The segment of an hour."""
        return next(n for n, (first, hours) in enumerate(self.segments) if (hour - first) % HOURS < hours)

    def time_ms(self, day: ClusterDayProblem) -> float:
        """Mean time of the requests of the day."""
        total = sum(
            hours * day.rates[first] * one.value.exact_ms
            for (first, hours), one in zip(self.segments, self.placed, strict=True)
        )
        return total / sum(day.rates)


@dataclass(frozen=True)
class FoundClusterDay:
    """What a search found; ``bound`` of the cost."""

    outcome: Status
    plan: DayPlan | None = None
    bound: int | None = None


class ClusterDaySearch:
    """Searches the plans of a day on one inventory."""

    def __init__(self, day: ClusterDayProblem, clock: Clock) -> None:
        self.day, self.clock = day, clock
        self.candidates = Candidates(day.problem, None, KnownTables(), pairs=False)
        self.candidates.widen()
        self.without = left_out(day, self.candidates)
        self.of_rate = {rate: self.candidates.again(day.at(rate)) for rate in day.distinct_rates}
        self.placers = {
            rate: Placer(day.at(rate), mine, Valuation(day.at(rate), mine)) for rate, mine in self.of_rate.items()
        }
        # For the cost few candidates matter; by time all of them are compared.
        self._few = no_cheaper(day, self.candidates, self.without)
        self.model = ClusterDayModel(day, self.candidates, self._few, segments_of(day))

    def run(self) -> FoundClusterDay:
        """The least cost first, then the least time that is found."""
        found = self._cheapest(None)
        if found.plan is None:
            return found
        most = self.day.schedule.most_changes_per_hour
        if most is not None and self._most_changes(found.plan) > most:
            # Any number of changes between two hours bounds the cost from below.
            self.model = ClusterDayModel(self.day, self.candidates, self._few, EVERY_HOUR)
            found = self._cheapest(found.bound)
        if found.plan is None or found.outcome != "optimal":
            return found
        return FoundClusterDay("optimal", self._timed(found.plan), found.bound)

    def constant(self) -> Placed | None:
        """The cheapest plan that runs all day: what carries the largest rate carries every other; None where there is none in the time."""
        rate = max(self.day.rates)
        problem, mine = self.day.at(rate), self.of_rate[rate]
        master = Master(
            problem, mine, problem.search.disabled_rules, None, everything=True,
            without=no_cheaper(self.day, self.candidates, self.without),
        )  # fmt: skip
        each = [start_stop(self.day, item.groups, item.candidate).serving for item in master.items]
        master.model.minimize(sum(k * item.count for k, item in zip(each, master.items, strict=True)))
        for _ in range(MOST_REFUSED):
            solver = new_solver(seed=1)
            if self.clock.left_s is not None:
                solver.parameters.max_time_in_seconds = max(1.0, self.clock.left_s)
            status, _ = solve_stoppable(solver, master.model, None, self.clock.ctrl_c)
            if outcome_of(status, master.model) != "optimal":
                return None
            plan = master.plan(solver)
            try:
                placed = self.placers[rate].place(plan)
            except NotSettledError:
                placed = None
            if placed is not None and all(self.value_at(other, placed) is not None for other in self.of_rate):
                return placed
            master.at_least_for(plan, None)
        return None

    def value_at(self, rate: float, placed: Placed) -> float | None:
        """Mean time of a request of a plan that stands, at another rate, ms; None where its shares cannot be told there."""
        placer = self.placers[rate]
        split = placer.valuation.split(placed.plan)
        return None if split is None else placer.valued(placed.plan, split, placed.stands).value.exact_ms

    def any(self) -> DayPlan | None:
        """Any plan, with every change allowed that the day allows; None: none is known in the time there is."""
        if self.day.schedule.most_changes_per_hour is not None:
            self.model = ClusterDayModel(self.day, self.candidates, self._few, EVERY_HOUR)
        for _ in range(MOST_REFUSED):
            if self.clock.over:
                return None
            solver, outcome = self._solve(self.clock.left_s)
            if outcome not in ("optimal", "feasible"):
                return None
            found = self._plan(solver)
            if found is not None:
                return found
        return None

    def _cheapest(self, least: int | None) -> FoundClusterDay:
        """The plan of least cost of the model at hand.

        Args:
            least: what no plan costs less than.
        """
        model, best, bound = self.model, None, least or 0
        outcome: Status = "unknown"
        if least is not None:
            model.model.add(model.cost >= least)
        for _ in range(MOST_REFUSED):
            if self.clock.over:
                break
            model.model.minimize(model.cost)
            solver, outcome = self._solve(self.clock.left_s)
            if outcome in ("infeasible", "unknown"):
                return FoundClusterDay(outcome, None, bound)
            bound = max(bound, math.ceil(solver.best_objective_bound - 1e-6))
            best = self._plan(solver)
            if best is not None:
                break
        if best is None:
            return FoundClusterDay("unknown", None, bound)
        return FoundClusterDay("optimal" if outcome == "optimal" and best.cost <= bound else "feasible", best, bound)

    @staticmethod
    def _most_changes(plan: DayPlan) -> int:
        """The most starts and stops between two hours."""
        pairs = [(set(now), set(plan.running[n - 1])) for n, now in enumerate(plan.running)]
        return max(len(now ^ before) for now, before in pairs)

    def _timed(self, best: DayPlan) -> DayPlan:
        """Of plans of the same cost the one of least time that is found: bounds show the way, exact values decide."""
        clock = Clock(TIMED_WITHIN_S, self.clock.ctrl_c)
        model = self.model = self._as_cheap(best, clock)
        time, most = model.time(), self.day.schedule.most_changes_per_hour
        cuts = {rate: Cuts(mine, self.placers[rate].valuation.weights) for rate, mine in self.of_rate.items()}
        for rate, master in zip(model.rates, model.masters, strict=True):
            cuts[rate].first(master)
        for _ in range(MOST_TIMED):
            if clock.over or self.clock.over:
                break
            model.model.minimize(time)
            self._hint(best)
            solver, outcome = self._solve(clock.left_s)
            if outcome not in ("optimal", "feasible"):
                break
            found = self._plan(solver)
            if found is None:
                continue
            allowed = most is None or self._most_changes(found) <= most
            if allowed and found.cost <= best.cost and found.time_ms(self.day) < best.time_ms(self.day):
                best = found
            for master, placed in zip(model.masters, found.placed, strict=True):
                exact = math.floor((placed.value.exact_ms - placed.value.gpus_ms) * 1e6)
                if solver.value(master.theta) < exact - 1_000_000:
                    master.at_least_for(placed.plan, exact)
            if all(
                solver.value(master.theta) >= math.floor((one.value.exact_ms - one.value.gpus_ms) * 1e6) - 1_000_000
                for master, one in zip(model.masters, found.placed, strict=True)
            ):
                break
        return best

    def _hint(self, plan: DayPlan) -> None:
        """Start from a plan of the same segments."""
        model = self.model
        model.model.clear_hints()
        for now, master in zip(plan.running, model.masters, strict=True):
            runs = [(plan.homes[at][0].place, plan.homes[at][0].position) for at in now]
            for item in master.items:
                model.model.add_hint(item.count, runs.count((item.place, item.position)))

    def _as_cheap(self, best: DayPlan, clock: Clock) -> ClusterDayModel:
        """The model of the plans that cost no more: of candidates that are in any of them, as far as the solver tells in the time."""
        known = {(item.place, item.position) for item, _ in best.homes}
        model = self.model = ClusterDayModel(self.day, self.candidates, self.without, best.segments)
        model.model.add(model.cost <= best.cost)
        model.model.minimize(model.cost)
        without = self.without
        while not clock.over:
            others = [n for n, item in enumerate(model.items) if (item.place, item.position) not in known]
            if not others:
                break
            # Each such sum is part of the one before.
            model.model.add(sum(master.items[n].count for master in model.masters for n in others) >= 1)
            solver, outcome = self._solve(clock.left_s)
            if outcome == "infeasible":
                without |= {(model.items[n].place, model.items[n].position) for n in others}
            if outcome in ("infeasible", "unknown"):
                break
            for n in others:
                if any(solver.value(master.items[n].count) for master in model.masters):
                    known.add((model.items[n].place, model.items[n].position))
        model = ClusterDayModel(self.day, self.candidates, without, best.segments)
        model.model.add(model.cost <= best.cost)
        return model

    def _solve(self, left_s: float | None) -> tuple[Any, Status]:
        solver = new_solver(seed=1)
        solver.parameters.linearization_level = 2
        if left_s is not None:
            solver.parameters.max_time_in_seconds = max(0.01, left_s)
        status, _ = solve_stoppable(solver, self.model.model, None, self.clock.ctrl_c)
        return solver, outcome_of(status, self.model.model)

    def _plan(self, solver: Any) -> DayPlan | None:
        """The plan of a solution, placed and valued; None, and the model told, where an hour keeps a rule nowhere."""
        homes, running = self._stood(solver)
        if homes is None:
            self._refuse(solver)
            return None
        # Places that nothing ever runs at are none.
        used = sorted({at for now in running for at in now})
        number = {at: position for position, at in enumerate(used)}
        homes = [homes[at] for at in used]
        running = [tuple(number[at] for at in now) for now in running]
        placed = []
        for hour, rate in enumerate(self.model.rates):
            one = self._hour(rate, [homes[at] for at in running[hour]])
            if one is None:
                self.model.masters[hour].at_least_for(self.model.masters[hour].plan(solver), None)
                return None
            placed.append(one)
        return DayPlan(tuple(homes), self.model.segments, tuple(running), tuple(placed), self._cost(homes, running))

    def _refuse(self, solver: Any) -> None:
        """Not these counts in all hours together."""
        other = [literal for master in self.model.masters for literal in master.different(master.plan(solver))]
        self.model.model.add_bool_or(other)

    def _stood(self, solver: Any) -> tuple[list[Home] | None, list[tuple[int, ...]]]:
        """Where instances have their places, and which run in each hour."""
        model, problem = self.model, self.day.problem
        items = [number for number, home in enumerate(model.homes) if solver.value(home)]
        plan = Plan(
            tuple(
                Entry(model.items[n].place, model.items[n].position, int(solver.value(model.homes[n]))) for n in items
            )
        )
        if model.blocks is None:
            stands = place(problem, self.candidates, plan)
            if stands is None:
                return None, []
            homes: list[Home] = [(model.items[items[stand.entry]], stand) for stand in stands]
            # Instances were stood where least stands: the first of them are the most spread.
            running = []
            for hour in range(len(model.masters)):
                left = {n: int(solver.value(model.masters[hour].items[n].count)) for n in items}
                now = []
                for at, stand in enumerate(stands):
                    if left[items[stand.entry]]:
                        left[items[stand.entry]] -= 1
                        now.append(at)
                running.append(tuple(now))
            return homes, running
        taken, owners = [], []
        for position, n in enumerate(items):
            for blocks, home, runs in model.blocks[n]:
                count = int(solver.value(home))
                if count:
                    taken.append((position, blocks, count))
                    owners.append([int(solver.value(run)) for run in runs])
        rooms: Rooms = {}
        running_now: list[list[int]] = [[] for _ in model.masters]
        homes = []
        order = sorted(range(len(taken)), key=lambda at: -self._widest(plan, taken[at][0]))
        for at in order:
            position, blocks, count = taken[at]
            single = Plan((Entry(plan.entries[position].place, plan.entries[position].candidate, count),))
            stands = seated(problem, self.candidates, single, [(0, blocks, count)], rooms)
            if stands is None:
                return None, []
            for serial, stand in enumerate(stands):
                for hour, run in enumerate(owners[at]):
                    if serial < run:
                        running_now[hour].append(len(homes))
                homes.append((model.items[items[position]], stand))
        return homes, [tuple(one) for one in running_now]

    def _widest(self, plan: Plan, position: int) -> int:
        entry = plan.entries[position]
        return max(part.gpus_per_node for part in self.candidates.of_place(entry.place)[entry.candidate].parts)

    def _hour(self, rate: float, homes: list[Home]) -> Placed | None:
        """What runs in an hour, valued where it stands; None where it breaks a rule."""
        placer = self.placers[rate]
        keys = [(item.place, item.position) for item, _ in homes]
        ordered = sorted(set(keys))
        plan = Plan(tuple(Entry(*key, keys.count(key)) for key in ordered))
        stands = tuple(
            Stand(number, stand.nodes, stand.gpus)
            for number, key in enumerate(ordered)
            for own, (_, stand) in zip(keys, homes, strict=True)
            if own == key
        )
        split = placer.valuation.split(plan)
        if split is None or not placer.survives(plan, stands):
            return None
        try:
            return placer.valued(plan, split, stands)
        except NotSettledError:
            return None

    def _cost(self, homes: list[Home], running: list[tuple[int, ...]]) -> int:
        takes = [start_stop(self.day, item.groups, item.candidate) for item, _ in homes]
        total = 0
        for hour, now in enumerate(running):
            before = set(running[hour - 1])
            hours = self.model.segments[hour][1]
            total += sum(hours * takes[at].serving for at in now)
            total += sum(takes[at].start for at in now if at not in before)
            total += sum(takes[at].stop for at in before if at not in set(now))
        return total
