"""The best plans of several models on one inventory, proved: bounds from one CP-SAT model, exact values from each model's own valuation.

As for one model (``search.inventory.rounds``): each round solves the model, values its plans, and tells the model what it did not
know. What a model's plan is worth at least is its value where it stands alone, spread over the whole inventory; where the plans
together are worth more than that, because they crowd each other, the model is told of the plans together.

Other home: ``verify/several/cluster_survey.py``; docs/several.md, section 8.
"""

from __future__ import annotations

import math
import time
from collections.abc import Callable, Sequence
from copy import copy
from dataclasses import dataclass
from typing import Any

from optimizer.facts.cluster_models import ClusterModelsProblem
from optimizer.results.answer import Status
from optimizer.search.common.scale import NS_PER_MS
from optimizer.search.common.solver import CtrlC, outcome_of, solve_stoppable
from optimizer.search.inventory.candidates import Candidates, KnownTables
from optimizer.search.inventory.cuts import FINE, Cuts
from optimizer.search.inventory.exact_placing import NotSettledError
from optimizer.search.inventory.found import Placed
from optimizer.search.inventory.placer import Placer
from optimizer.search.inventory.plan import Plan, candidate_of, parts_of
from optimizer.search.inventory.pruning import Pruning, without_slow
from optimizer.search.inventory.rounds import counting_solver
from optimizer.search.inventory.valuation import Valuation
from optimizer.search.several.cluster_model import FINE_NS, Plans, SharedMaster
from optimizer.search.several.cluster_place import SharedPlacer
from optimizer.search.uniform.solve import Progress

MOST_ROUNDS = 4_000
MOST_REFUSED = 300
LAST_CUTS = 4
BOUNDED_WITHIN_S = 2.0
"""Seconds for a bound of all splits where the search ended without one."""

Adjust = Callable[[SharedMaster], None]


@dataclass(frozen=True)
class SharedSplit:
    """Plans of every model, placed together."""

    placed: tuple[Placed, ...]

    def goal(self, problem: ClusterModelsProblem) -> int:
        """The weighted objective, ms times thousandths."""
        return sum(m.weight_steps * one.whole_ms for m, one in zip(problem.models, self.placed, strict=True))

    @property
    def plans(self) -> Plans:
        """The plan of every model."""
        return tuple(one.plan for one in self.placed)


@dataclass(frozen=True)
class SharedFound:
    """Outcome of a search; ``bound`` of the weighted objective, ms times thousandths."""

    status: Status
    best: SharedSplit | None = None
    bound: int | None = None
    rounds: int = 0


@dataclass(frozen=True)
class TablesOfModels:
    """What questions about the same models share: tables, kept while formats, limits and rates stay."""

    tables: tuple[KnownTables, ...]

    @staticmethod
    def of(problem: ClusterModelsProblem) -> TablesOfModels:
        """Nothing known yet."""
        return TablesOfModels(tuple(KnownTables() for _ in problem.models))


class SharedSolver:
    """Searches the splits of one inventory between several models.

    Args:
        known: tables of the same models.
        deadline: of the monotonic clock.
        progress: told of each improvement.
        gap: share of the value by which the bound may be below it.
        adjust: adds to every model what is asked beside the problem.
        pairs: whether pipelines over two groups are taken.
    """

    def __init__(
        self,
        problem: ClusterModelsProblem,
        known: TablesOfModels | None = None,
        *,
        deadline: float | None = None,
        progress: Callable[[Progress], None] | None = None,
        gap: float = 0.0,
        adjust: Adjust | None = None,
        pairs: bool = False,
        ctrl_c: CtrlC | None = None,
        workers: int = 1,
    ) -> None:
        self.problem, self.deadline, self.progress, self.gap, self.adjust = problem, deadline, progress, gap, adjust
        self.ctrl_c, self.workers = ctrl_c, workers
        tables = (known or TablesOfModels.of(problem)).tables
        self.candidates = [
            Candidates(served.problem, None, table, pairs=pairs)
            for served, table in zip(problem.models, tables, strict=True)
        ]
        if pairs:
            for one in self.candidates:
                one.admit()
        self.placers = [
            Placer(served.problem, mine, Valuation(served.problem, mine))
            for served, mine in zip(problem.models, self.candidates, strict=True)
        ]
        self._together = SharedPlacer(problem, self.placers)
        self._cuts = [
            Cuts(mine, placer.valuation.weights) for mine, placer in zip(self.candidates, self.placers, strict=True)
        ]
        self._alone: list[dict[Any, Placed | None]] = [{} for _ in problem.models]
        self._least: dict[tuple[int, Any], float] = {}
        self._stood: dict[Any, SharedSplit | None] = {}
        self.started = time.monotonic()
        self.best: SharedSplit | None = None
        self.bound, self.floor = -(10**18), -(10**18)
        """Below which no split of the model at hand is, and none at all."""
        self.rounds = 0
        self._unsettled = False

    # Questions

    def beside(self, adjust: Adjust, deadline: float | None) -> SharedSolver:
        """The same question with something asked beside it, by another adjustment: what is known of plans and bounds is shared."""
        other = copy(self)
        other.adjust, other.deadline, other.progress, other.started = adjust, deadline, None, time.monotonic()
        other.best, other.bound, other.floor, other.rounds = None, -(10**18), -(10**18), 0
        # Places that were not settled are none of the other's: its own are looked for.
        other._stood, other._unsettled = {}, False
        return other

    def any(self) -> SharedFound:
        """Any split that keeps every rule, with few GPUs, or the proof that there is none."""
        # What beats a candidate keeps every rule in its place: where those that no other beats have no split, there is none.
        master = self._master()
        status = self._minimise(master, master.gpus)
        return self._found("feasible" if self.best is not None else status)

    def run(self) -> SharedFound:
        """Search until the bound meets the best value, or the time is over."""
        master = self._master()
        solver, status = self._solve(master)
        if status != "infeasible":
            if status != "unknown":
                master.hint(master.plans(solver))
            for cuts, one in zip(self._cuts, master.masters, strict=True):
                known = cuts.told[-LAST_CUTS:]
                cuts.first(one)
                cuts.again(one, known)
        status = self._tiers(master)
        if status == "optimal" and self.best is not None and not self._proved():
            # A candidate that another beats may still be part of a better split: its own times are looked at.
            without = self._pruned(self.best)
            self.bound = -(10**18)
            everything = self._master(everything=True, without=without)
            for number, one in enumerate(everything.masters):
                self._cuts[number].open_all(one)
                self._cuts[number].again(one, self._cuts[number].gammas[-LAST_CUTS:])
            self._tell(everything, self.best)
            status = self._tiers(everything)
        if status == "optimal" and self.best is not None:
            if (
                not self._unsettled
            ):  # what was set aside without a proof may be better: only bounds without it hold then
                self.floor = self.best.goal(self.problem)
            self._cheapest(self._bounding(self.best))
        elif self.best is not None and self.floor <= 0:
            # The time is over before any bound of all splits was known: what is left of the limit is for answers like this.
            self.deadline = None if self.deadline is None else time.monotonic() + BOUNDED_WITHIN_S
            self._proved()
        return self._found(status)

    # Steps

    def _master(
        self,
        *,
        everything: bool = False,
        without: Sequence[frozenset[tuple[int, int]]] | None = None,
        unit_ns: int = NS_PER_MS,
    ) -> SharedMaster:
        master = SharedMaster(self.problem, self.candidates, everything=everything, without=without, unit_ns=unit_ns)
        if self.adjust is not None:
            self.adjust(master)
        return master

    def _found(self, status: Status) -> SharedFound:
        if self._unsettled:
            # A limit of the placing is not one of the inventory.
            status = "unknown" if self.best is None else "feasible"
        bound = None
        if self.best is not None:
            value = self.best.goal(self.problem)
            bound = value if status == "optimal" else min(value, max(0, self.floor))
        return SharedFound(status, self.best, bound, self.rounds)

    def _tiers(self, master: SharedMaster) -> Status:
        tier = master.first
        if tier is not None:
            known = self.best
            outcome = self._minimise(master, tier)
            if outcome != "optimal" or self.best is None:
                self.best = self.best or known
                return outcome if self.best is None else "feasible"
            value = self._tier_value(self.best.plans)
            master.model.add(tier <= value)
            if known is not None and self._tier_value(known.plans) <= value:
                self.best = known
        return self._objective(master)

    def _tier_value(self, plans: Plans) -> int:
        preset = self.problem.objective.preset
        total = 0
        for served, mine, plan in zip(self.problem.models, self.candidates, plans, strict=True):
            if preset == "fewest-gpus":
                total += plan.gpus(mine)
            elif preset == "cheapest":
                total += self._price_of(mine, plan)
            else:
                peak = sum(candidate_of(mine, entry).peak * entry.count for entry in plan.entries)
                total -= served.weight_steps * served.problem.workload.output_tokens * peak
        return total

    def _price_of(self, mine: Candidates, plan: Plan) -> int:
        from optimizer.search.inventory.master import price_micro

        parts = ((group, part.gpus * e.count) for e in plan.entries for group, part in parts_of(mine, e))
        return sum(price_micro(self.problem.inventory, group) * gpus for group, gpus in parts)

    def _spent_by(self, plans: Plans) -> int:
        gpus = sum(plan.gpus(mine) for mine, plan in zip(self.candidates, plans, strict=True))
        if not self.problem.inventory.priced:
            return gpus
        price = sum(self._price_of(mine, plan) for mine, plan in zip(self.candidates, plans, strict=True))
        return price * (self.problem.gpus + 1) + gpus

    def _minimise(self, master: SharedMaster, expression: Any) -> Status:
        """The least of an expression over splits that can be placed; the split becomes the best one."""
        refused = 0
        while refused < MOST_REFUSED and not self._late():
            master.model.minimize(expression)
            solver, status = self._solve(master)
            if status in ("infeasible", "unknown"):
                return status
            found = self._place(master, master.plans(solver))
            if found is None:
                refused += 1
                continue
            self.best = found
            return status
        return "unknown"

    def _objective(self, master: SharedMaster) -> Status:
        """The least objective; ``optimal`` when bound and value meet."""
        while self.rounds < MOST_ROUNDS and not self._late():
            master.model.minimize(master.goal)
            if self.best is not None:
                master.hint(self.best.plans)
            solver, status = self._solve(master)
            if status == "infeasible":
                return "infeasible" if self.best is None else "optimal"
            if status == "unknown":
                return "feasible" if self.best else "unknown"
            bound = (
                int(solver.value(master.goal)) if status == "optimal" else math.ceil(solver.best_objective_bound - 1e-6)
            )
            self.bound = max(self.bound, bound)
            if self._closed():
                return "optimal"
            found = self._place(master, master.plans(solver))
            if found is not None:
                if self.best is None or self._rank(found) < self._rank(self.best):
                    self.best = found
                self._tell(master, found)
            self._report()
            if self._closed():
                return "optimal"
            if self._near():
                return "feasible"
        return "feasible" if self.best else "unknown"

    def _rank(self, split: SharedSplit) -> tuple[int, float]:
        exact = sum(m.weight * one.value.exact_ms for m, one in zip(self.problem.models, split.placed, strict=True))
        return split.goal(self.problem), exact

    def _closed(self) -> bool:
        return self.best is not None and self.bound >= self.best.goal(self.problem)

    def _near(self) -> bool:
        if (
            self.gap <= 0
            or self.best is None
            or self.problem.objective.preset in ("fewest-gpus", "cheapest", "throughput")
        ):
            return False
        value = self.best.goal(self.problem)
        return value - self.bound <= self.gap * value and self._proved(enough=self.gap)

    def _proved(self, enough: float = 0.0) -> bool:
        """Whether bounds of candidates that no other beats, and nothing learned of single plans, meet the best value: then it is
        proved for all, for what beats a candidate takes its place on no more GPUs, and raises no bound.
        """
        if self.best is None:
            return False
        master = self._bounding(self.best)
        master.model.minimize(master.goal)
        master.hint(self.best.plans)
        solver, status = self._solve(master)
        if status == "optimal":
            self.floor = max(self.floor, int(solver.value(master.goal)))
        elif status == "feasible":
            self.floor = max(self.floor, math.ceil(solver.best_objective_bound - 1e-6))
        value = self.best.goal(self.problem)
        return value - self.floor <= enough * value

    def _pruned(self, best: SharedSplit) -> list[frozenset[tuple[int, int]]]:
        """Of every model, dominated candidates in no split worth having; those that may be in one become candidates.

        At the multipliers of the best split no split is below some bound, and one with such a candidate is above it by what the
        candidate earns less than what beats it, times the model's weight (``search.inventory.pruning``).
        """
        few = self._master(unit_ns=FINE_NS)
        if few.first is not None:
            few.model.add(few.first <= self._tier_value(best.plans))
        gammas = [cuts.gamma(one) for cuts, one in zip(self._cuts, best.placed, strict=True)]
        terms = []
        for cuts, mine, gamma in zip(self._cuts, few.masters, gammas, strict=True):
            terms.append(without_slow(cuts.own(mine, gamma)))
            mine.cut(terms[-1])
        few.model.minimize(few.goal)
        few.hint(best.plans)
        solver, status = self._solve(few)
        if status != "optimal":
            for open_ones in self.candidates:
                open_ones.widen()
            return [frozenset() for _ in self.candidates]
        above = best.goal(self.problem) * (NS_PER_MS // FINE_NS) - int(solver.value(few.goal))
        # What was rounded up of each model does not count.
        above += sum(served.weight_steps for served in self.problem.models)
        pruning = [
            Pruning(mine, term, 0, math.ceil(above * FINE_NS / served.weight_steps))
            for served, mine, term in zip(self.problem.models, few.masters, terms, strict=True)
        ]
        for open_ones, known in zip(self.candidates, pruning, strict=True):
            open_ones.widen(known.may_matter)
        full = self._master(everything=True)
        return [
            known.among(mine, cuts.own(mine, gamma))
            for known, mine, cuts, gamma in zip(pruning, full.masters, self._cuts, gammas, strict=True)
        ]

    def _bounding(self, best: SharedSplit) -> SharedMaster:
        master = self._master()
        if master.first is not None:
            master.model.add(master.first <= self._tier_value(best.plans))
        for cuts, one in zip(self._cuts, master.masters, strict=True):
            cuts.again(one, cuts.gammas)
        return master

    def _tell(self, master: SharedMaster, found: SharedSplit) -> None:
        """Cuts at the multipliers of the plans, their exact values, and what they are worth together where that is more."""
        least = 0
        for number, (one, served) in enumerate(zip(found.placed, self.problem.models, strict=True)):
            cuts, mine = self._cuts[number], master.masters[number]
            cuts.open(one.plan)
            cuts.add(mine, cuts.gamma(one), FINE)
            exact = self._worth(number, one)
            gpus_ms = one.value.gpus_ms
            mine.at_least_for(one.plan, math.floor((exact - gpus_ms) * NS_PER_MS))
            least += served.weight_steps * math.ceil(exact - 1e-9)
        if least < found.goal(self.problem):
            master.together(found.plans, found.goal(self.problem))

    def _worth(self, number: int, placed: Placed) -> float:
        """What a model's plan costs at least, ms: spread over the whole inventory, or where it stood so far, whichever is less."""
        key = number, placed.plan.key
        alone = self._place_alone(number, placed.plan)
        known = self._least.get(key, math.inf)
        self._least[key] = min(known, placed.value.exact_ms, alone.value.exact_ms if alone is not None else math.inf)
        return self._least[key]

    def _place_alone(self, number: int, plan: Plan) -> Placed | None:
        known = self._alone[number]
        if plan.key not in known:
            known[plan.key] = self.placers[number].place(plan)
        return known[plan.key]

    def _place(self, master: SharedMaster, plans: Plans) -> SharedSplit | None:
        """The plans placed together; where that is not possible the model is told, of single plans first."""
        key = tuple(plan.key for plan in plans)
        if key in self._stood:
            found = self._stood[key]
            if found is None:
                master.together(plans, None)
            return found
        alone = True
        for number, plan in enumerate(plans):
            try:
                fits = self._place_alone(number, plan) is not None
            except NotSettledError:
                self._unsettled, fits = True, False
            if not fits:
                master.masters[number].at_least_for(plan, None)
                alone = False
        if not alone:
            return None
        try:
            placed = self._together.place(plans)
        except NotSettledError:
            self._unsettled, placed = True, None
        self._stood[key] = None if placed is None else SharedSplit(placed)
        if placed is None:
            master.together(plans, None)
        return self._stood[key]

    def _cheapest(self, master: SharedMaster) -> None:
        """Among splits of the same objective one that costs less, or uses fewer GPUs, where there is time."""
        if self.best is None:
            return
        target = self.best.goal(self.problem)
        self._tell(master, self.best)
        master.model.add(master.goal <= target)
        refused = 0
        while refused < MOST_REFUSED and not self._late():
            master.model.minimize(master.spent)
            master.hint(self.best.plans)
            solver, status = self._solve(master)
            if status != "optimal":
                return
            plans = master.plans(solver)
            if self._spent_by(plans) >= self._spent_by(self.best.plans):
                return
            found = self._place(master, plans)
            refused += 1
            if found is None:
                continue
            if found.goal(self.problem) <= target:
                self.best = found
                return
            self._tell(master, found)

    def _late(self) -> bool:
        late = self.deadline is not None and time.monotonic() > self.deadline
        return late or (self.ctrl_c is not None and self.ctrl_c.came)

    def _solve(self, master: SharedMaster) -> tuple[Any, Status]:
        self.rounds += 1
        solver = counting_solver(self.workers, self.deadline)
        status, _ = solve_stoppable(solver, master.model, None, self.ctrl_c)
        return solver, outcome_of(status, master.model)

    def _report(self) -> None:
        if self.progress is not None and self.best is not None:
            elapsed = time.monotonic() - self.started
            scale = NS_PER_MS / 1000
            self.progress(Progress(elapsed, self.best.goal(self.problem) * scale, max(0, self.bound) * scale))
