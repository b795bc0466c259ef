"""The best plan for an inventory, proved: bounds from CP-SAT and exact values from the valuation until they meet.

Each round solves the model over counts, values its plan exactly, and tells the model what it did not know: a cut where the
bound was loose, the plan's own value where the cuts cannot say more, or that the plan is not allowed.
"""

from __future__ import annotations

import math
import time
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, Literal

import numpy as np

from optimizer.costs.shapes import Bools
from optimizer.facts.inventory import InventoryProblem
from optimizer.results.answer import Fixed, Status
from optimizer.search.common.scale import NS_PER_MS
from optimizer.search.common.solver import cp_model, new_solver, solve_stoppable
from optimizer.search.inventory.candidates import Candidates
from optimizer.search.inventory.cuts import FINE, FIRST_CUTS, ROUGH, Cuts
from optimizer.search.inventory.exact_placing import NotSettledError
from optimizer.search.inventory.found import InventoryFound, Placed
from optimizer.search.inventory.master import LARGEST_NS, Master
from optimizer.search.inventory.placer import Placer, Serves
from optimizer.search.inventory.plan import Plan, candidate_of
from optimizer.search.inventory.prices import Prices
from optimizer.search.inventory.pruning import Pruning, without_slow
from optimizer.search.inventory.valuation import Valuation
from optimizer.search.uniform.solve import Progress

RESOLUTION_NS = NS_PER_MS
"""Objectives are compared in whole milliseconds, rounded up."""
_LAST_CUTS = 4
"""Multipliers of the search among few candidates whose cuts the proof among all begins with."""
_TIERS = ("fewest-gpus", "throughput")
"""Presets that put something before the objective."""
MOST_ROUNDS = 4_000
MOST_REFUSED = 300


@dataclass(frozen=True, slots=True)
class Start:
    """What a search that differs in failure rates only begins with.

    Args:
        plan: the best one there, among the same candidates.
        gammas: multipliers whose bounds mattered there.
    """

    plan: Plan
    gammas: tuple[float, ...]


class InventorySolver:
    """Searches the plans of one inventory."""

    def __init__(
        self,
        problem: InventoryProblem,
        candidates: Candidates,
        *,
        fixed: Fixed | None = None,
        deadline: float | None = None,
        progress: Callable[[Progress], None] | None = None,
        workers: int = 1,
        most: tuple[Literal["gpus", "price"], int] | None = None,
        serves: Serves | None = None,
        start: Start | None = None,
        gap: float = 0.0,
    ) -> None:
        self.start = start
        self.gap = gap
        """The share of the value by which the bound may be below it: then the search has done enough."""
        self.most = most
        """The most GPUs, or the most price per hour in millionths, that a plan may use."""
        self.serves = serves
        self.refused: list[Plan] = list(serves.refused) if serves is not None else []
        """Plans that serve too little."""
        self.problem, self.candidates = problem, candidates
        self.fixed = fixed or Fixed()
        self.off = problem.search.disabled_rules
        self.started, self.deadline = time.monotonic(), deadline
        self.progress, self.workers = progress, workers
        self.valuation = Valuation(problem, candidates)
        self._placer, self._cuts = Placer(problem, candidates, self.valuation), Cuts(candidates, self.valuation.weights)
        self.rounds = 0
        self.best: Placed | None = None
        self._placed: dict[tuple[tuple[int, int, int], ...], Placed | None] = {}
        self.bound_ns = 0
        """Below which no plan of the model at hand is that has not been valued."""
        self.floor_ns = self._few_ns = 0
        """Below which no plan at all is, and none of the candidates that are built so far."""
        self._settled = False
        """Whether pipelines over two groups that may matter are built."""
        self._all = self._told = False
        self.unsettled_ns: int | None = None
        """The bound when a plan was first set aside because its placement or value could not be settled: proofs end there."""

    def any(self, least: Literal["gpus", "price"] = "gpus") -> InventoryFound:
        """Any plan that keeps every rule, or the proof that there is none; the objective is not looked at.

        Args:
            least: what the plan has the least of.
        """
        # What beats a candidate keeps every rule in its place: where those that no other beats have no plan, there is none.
        master = self._master(everything=False)
        status = self._minimise(master, master.gpus if least == "gpus" else master.price)
        if status == "infeasible" and self.best is None and self.candidates.admit():
            master = self._master(everything=False)
            status = self._minimise(master, master.gpus if least == "gpus" else master.price)
        return self._found("feasible" if self.best else status, tier=False, ties=False)

    def run(self) -> InventoryFound:
        """Search until the bound meets the best value, or the time is over."""
        try:
            return self._run()
        except KeyboardInterrupt:
            # Ctrl-C keeps the best plan and the proved bound.
            if self.best is None:
                raise
            return self._found("feasible", tier=False, ties=False)

    def _run(self) -> InventoryFound:
        """First among the candidates that no other beats, which finds the plan; then the proof for all of them.

        A candidate that another beats can still be part of a better plan: requests are shared out by their mean time, so that a slower
        instance is sent fewer of them, and less is lost when it fails. But its plan's bound is never below that of the plan with
        what beats it in its place: where the bound alone decides, it decides for all. Otherwise all candidates are gone through.
        """
        status = self._among_few()
        if self._near:
            return self._found("feasible", tier=False, ties=False)
        if self._pairs_matter(status):
            self.bound_ns = 0
            self._told = False
            status = self._among_few()
        ties = False
        if status == "optimal" and self.best is not None:
            master = self._bounding(self.best)
            if self._bound_of(master) >= self.best.whole_ms:
                return self._found(status, tier=True, ties=self._fewest_of_all(master))
            if self._near or self.start is not None:
                # What begins with a plan asks whether it stays the best: what only the proof among all can tell is left open.
                return self._found("feasible", tier=False, ties=False)
        # With a bound on what goes unserved, a plan of dominated candidates may serve more than the one with what beats them.
        if status == "optimal" or (status == "infeasible" and self.serves is not None):
            self.bound_ns, self._all = 0, True
            master = self._master(everything=True, without=self._pruned())
            self._cuts.again(master, self._cuts.gammas[-_LAST_CUTS:])
            if self.best is not None:
                self._tell(master, self.best)
            status = self._tiers(master)
            ties = status == "optimal" and self._fewest(master)
        return self._found(status, tier=status == "optimal", ties=ties)

    def _among_few(self) -> Status:
        """The best plan of the candidates that no other beats."""
        master = self._master(everything=False)
        # Bounds are of no use where no plan keeps the rules.
        if not self._cuts.gammas and self.start is not None:
            self._begin(master, self.start)
        elif not self._cuts.gammas:
            if self._solve(master)[1] != "infeasible":
                self._cuts.first(master)
        else:
            self._cuts.again(master, self._cuts.gammas)
            if self.best is not None:
                self._tell(master, self.best)
        return self._tiers(master)

    def _begin(self, master: Master, start: Start) -> None:
        """With a plan that is worth trying first, and bounds that mattered where it was the best."""
        for gamma in start.gammas:
            self._cuts.add(master, gamma, ROUGH)
        there = {(item.place, item.position) for item in master.items}
        if all((entry.place, entry.candidate) in there for entry in start.plan.entries):
            self._learn(master, start.plan)
            return
        # A model without all of the plan's candidates cannot be told what the plan is worth.
        self.best = self._place(start.plan)
        if self.best is not None:
            self._cuts.add(master, self._cuts.gamma(self.best), FINE)

    @property
    def ended(self) -> Start | None:
        """What a search at other failure rates begins with."""
        if self.best is None:
            return None
        gammas = self._cuts.gammas[-_LAST_CUTS:]
        return Start(self.best.plan, tuple(dict.fromkeys((*self._cuts.gammas[:FIRST_CUTS:2], *gammas))))

    def _pairs_matter(self, status: Status) -> bool:
        """Whether pipelines over two groups that may be part of a plan worth having became offers.

        Afterwards bounds hold for those that did not as well.
        """
        if self.candidates.all_built:
            self._settle(self._few_ns)
            if status == "feasible" and self.best is not None and self.serves is None:
                self._price()
            return False
        if self.best is None and status != "infeasible":
            return False
        # What is put first has no price; and with no plan, or one that has to serve enough, whatever carries more may help.
        priced = self.best is not None and self.serves is None and self.problem.objective.preset not in _TIERS
        if self.best is None or (not priced and status in ("optimal", "infeasible")):
            admitted = self.candidates.admit()
            self._settle(0 if admitted else self._few_ns)
            return admitted
        wanted = self._price()
        if status != "optimal":
            # The time is over: what nodes are worth bounds all plans, those with such pipelines too.
            return False
        admitted = self.candidates.admit(wanted)
        self._settle(0 if admitted else min(self.best.whole_ms * RESOLUTION_NS, self._few_ns))
        return admitted

    def _price(self) -> list[Bools]:
        """Of every pair, the pipelines that a plan no worse than the best may contain; what nodes are worth bounds all plans."""
        few = self._master(everything=False, refused=False)
        wanted = [pair.left.copy() for pair in self.candidates.pairs]
        most = self.best.whole_ms * RESOLUTION_NS if self.best is not None else LARGEST_NS
        gammas = list(self._cuts.gammas[-_LAST_CUTS:])
        if self.best is not None:
            own = self._cuts.gamma(self.best)
            gammas = [own, *(gamma for gamma in gammas if gamma != own)]
        for gamma in gammas:
            with np.errstate(over="ignore", invalid="ignore"):
                prices = Prices(self.problem, self.candidates, few, self._cuts.own(few, gamma, FINE))
            if not math.isfinite(prices.least_ns):
                continue  # a multiplier beyond what floats hold proves nothing
            self.floor_ns = max(self.floor_ns, min(most, math.floor(prices.least_ns)))
            wanted = [a & b for a, b in zip(wanted, prices.may_matter(most), strict=True)]
        return wanted

    def _settle(self, least_ns: int) -> None:
        """Every candidate that may matter is in the models from here on; no plan is below so many ns."""
        self._settled, self.floor_ns = True, max(self.floor_ns, least_ns)

    def _pruned(self) -> frozenset[tuple[int, int]]:
        """Offers whose plans are all above the best value, by the multiplier of the best plan; what else is beaten becomes a candidate."""
        # What serves too little may have less of what is put first: then bounds decide nothing.
        if self.best is None or (self.serves is not None and self.problem.objective.preset in _TIERS):
            self.candidates.widen()
            return frozenset()
        few = self._master(everything=False, refused=False)
        tier = self._first_tier(few)
        if tier is not None:
            few.model.add(tier <= self._tier_value(few, self.best.plan))
        gamma = self._cuts.gamma(self.best)
        terms = without_slow(self._cuts.own(few, gamma))
        few.cut(terms)
        goal = few.theta + few.gpus_ns()
        few.model.minimize(goal)
        solver, status = self._solve(few)
        if status != "optimal":
            self.candidates.widen()
            return frozenset()
        known = Pruning(few, terms, int(solver.value(goal)), self.best.whole_ms * RESOLUTION_NS)
        self.candidates.widen(known.may_matter)
        full = self._master(everything=True, refused=False)
        return known.among(full, self._cuts.own(full, gamma))

    def _bounding(self, best: Placed) -> Master:
        """The model of the candidates that no other beats with every cut so far and nothing else: its bounds are those of all plans."""
        master = self._master(everything=False, refused=False)
        tier = self._first_tier(master)
        if tier is not None:
            master.model.add(tier <= self._tier_value(master, best.plan))
        self._cuts.again(master, self._cuts.gammas)
        return master

    def _bound_of(self, master: Master) -> int:
        """The least bound of a model in whole milliseconds, rounded up; 0 where the time was over before."""
        goal = master.theta + master.gpus_ns()
        master.model.minimize(goal)
        solver, status = self._solve(master)
        if status != "optimal":
            return 0
        self.floor_ns = max(self.floor_ns, int(solver.value(goal)))
        return math.ceil(self.floor_ns / RESOLUTION_NS)

    def _fewest_of_all(self, master: Master) -> bool:
        """Fewer GPUs within the same whole millisecond, first among few candidates; whether it is proved that no plan has fewer."""
        if self.best is None or not self._fewest(self._again(self.best)):
            return False
        master.model.add(master.theta + master.gpus_ns() <= self.best.whole_ms * NS_PER_MS)
        master.model.minimize(master.gpus)
        solver, status = self._solve(master)
        return status == "optimal" and int(solver.value(master.gpus)) >= self.best.plan.gpus(self.candidates)

    def _again(self, best: Placed) -> Master:
        """The model of the candidates that no other beats, with the cuts so far and what is known of the best plan."""
        master = self._bounding(best)
        master.at_least_for(best.plan, math.floor((best.value.exact_ms - best.value.gpus_ms) * NS_PER_MS))
        return master

    def _tiers(self, master: Master) -> Status:
        """The least objective of a model, after what the preset puts first; the best plan so far stays unless another is better."""
        tier, known = self._first_tier(master), self.best
        if tier is not None:
            outcome = self._minimise(master, tier)
            if outcome != "optimal" or self.best is None:
                self.best = self.best or known
                return (
                    outcome if outcome == "infeasible" and self.best is None else "feasible" if self.best else "unknown"
                )
            value = self._tier_value(master, self.best.plan)
            master.model.add(tier <= value)
            if known is not None and self._tier_value(master, known.plan) <= value:
                self.best = known
            self.bound_ns = 0
        return self._objective(master)

    def _master(
        self, *, everything: bool, refused: bool = True, without: frozenset[tuple[int, int]] = frozenset()
    ) -> Master:
        replicas = self.fixed.data_parallel
        master = Master(self.problem, self.candidates, self.off, replicas, everything=everything, without=without)
        self.items = master.items
        if self.most is not None:
            axis, limit = self.most
            master.model.add((master.gpus if axis == "gpus" else master.price) <= limit)
        if self.serves is not None and refused:
            master.serve(1 - self.serves.most_unserved)
            for plan in self.refused:
                master.at_least_for(plan, None)
        return master

    def _found(self, status: Status, *, tier: bool, ties: bool) -> InventoryFound:
        bound_ns = self.floor_ns
        if self.unsettled_ns is not None:
            # A limit of the placing is not one of the inventory.
            status = "unknown" if self.best is None else "feasible"
            bound_ns = min(bound_ns, self.unsettled_ns)
        bound = math.ceil(bound_ns / RESOLUTION_NS) if self.best is not None else None
        if status == "optimal" and self.best is not None:
            bound = self.best.whole_ms
        seconds = time.monotonic() - self.started
        return InventoryFound(status, self.best, bound, tier, ties, self.rounds, seconds, self.fixed != Fixed())

    # What is minimised before the objective: an expression, or None.
    def _first_tier(self, master: Master) -> Any:
        preset = self.problem.objective.preset
        if preset not in _TIERS:
            return None
        return master.gpus if preset == "fewest-gpus" else -(master.peak)

    def _tier_value(self, master: Master, plan: Plan) -> int:
        if self.problem.objective.preset == "fewest-gpus":
            return plan.gpus(self.candidates)
        return -sum(candidate_of(self.candidates, entry).peak * entry.count for entry in plan.entries)

    def _minimise(self, master: Master, expression: Any) -> Status:
        """The least value of an expression over plans that can be placed; the plan becomes the best one."""
        while self.rounds < MOST_REFUSED and not self._late():
            master.model.minimize(expression)
            solver, status = self._solve(master)
            if status in ("infeasible", "unknown"):
                return status
            plan = master.plan(solver)
            placed = self._place(plan)
            if placed is None:
                master.at_least_for(plan, None)
                continue
            self.best = placed
            return status
        return "unknown"

    def _objective(self, master: Master) -> Status:
        """The least objective; ``optimal`` when bound and value meet in the same whole millisecond."""
        goal = master.theta + master.gpus_ns()
        while self.rounds < MOST_ROUNDS and not self._late():
            master.model.minimize(goal)
            if self.best is not None:
                master.hint(self.best.plan)
            solver, status = self._solve(master)
            if status == "infeasible":
                return "infeasible" if self.best is None else "optimal"
            if status == "unknown":
                return "feasible" if self.best else "unknown"
            bound = int(solver.value(goal)) if status == "optimal" else int(solver.best_objective_bound // 1)
            self.bound_ns = max(self.bound_ns, bound)
            # What is known of single plans without dominated candidates says nothing about plans with them.
            if self._all or not (self._told or self.serves is not None):
                self._few_ns = max(self._few_ns, self.bound_ns)
                if self._settled or self.candidates.all_built:
                    self.floor_ns = max(self.floor_ns, self._few_ns)
            if self._closed():
                return "optimal"
            plan = master.plan(solver)
            self._learn(master, plan)
            self._report()
            if self._closed():
                return "optimal"
            if self._near:
                return "feasible"
        return "feasible" if self.best else "unknown"

    def _late(self) -> bool:
        return self.deadline is not None and time.monotonic() > self.deadline

    def _closed(self) -> bool:
        return self.best is not None and math.ceil(self.bound_ns / RESOLUTION_NS) >= self.best.whole_ms

    @property
    def _near(self) -> bool:
        """Whether the proved bound of all plans is as near the best value as was asked for."""
        if self.gap <= 0 or self.best is None or self.problem.objective.preset in _TIERS:
            return False
        value = self.best.whole_ms * RESOLUTION_NS
        return self.floor_ns > 0 and value - self.floor_ns <= self.gap * value

    def _learn(self, master: Master, plan: Plan) -> None:
        """Value a plan of the model and tell the model what it did not know."""
        placed = self._place(plan)
        if placed is None:
            master.at_least_for(plan, None)
            return
        if self.best is None or placed.value.exact_ms < self.best.value.exact_ms:
            self.best = placed
        self._tell(master, placed)

    def _tell(self, master: Master, placed: Placed) -> None:
        """The cut of the plan's own multiplier, as fine as the curves go, and its exact value, which cuts may not reach."""
        self._cuts.open(placed.plan)
        self._told = True
        self._cuts.add(master, self._cuts.gamma(placed), FINE)
        exact = placed.value.exact_ms - placed.value.gpus_ms
        master.at_least_for(placed.plan, math.floor(exact * NS_PER_MS))

    def _fewest(self, master: Master) -> bool:
        """Among plans of the same whole millisecond the one with the fewest GPUs; whether that is proved."""
        if self.best is None:
            return False
        master.model.add(master.theta + master.gpus_ns() <= self.best.whole_ms * NS_PER_MS)
        target = self.best.whole_ms
        while self.rounds < MOST_ROUNDS and not self._late():
            master.model.minimize(master.gpus)
            master.hint(self.best.plan)
            solver, status = self._solve(master)
            if status == "infeasible":
                return True
            if status == "unknown":
                return False
            plan = master.plan(solver)
            if plan.gpus(self.candidates) >= self.best.plan.gpus(self.candidates):
                return status == "optimal"
            placed = self._place(plan)
            if placed is not None and placed.whole_ms <= target:
                self.best = placed
                if status == "optimal":
                    return True
                continue
            if placed is None:
                master.at_least_for(plan, None)
            else:
                self._tell(master, placed)
            self._report()
        return False

    def _place(self, plan: Plan) -> Placed | None:
        """The plan placed, shared out and valued; None where it breaks a rule or finds no room."""
        if plan.key not in self._placed:
            self._placed[plan.key] = self._first_time(plan)
        return self._placed[plan.key]

    def _first_time(self, plan: Plan) -> Placed | None:
        try:
            placed = self._placer.place(plan)
        except NotSettledError:
            # Set aside without a proof: from here on the bound says nothing about it.
            if self.unsettled_ns is None:
                self.unsettled_ns = self.floor_ns
            return None
        if placed is not None and self.serves is not None and not self.serves.enough(placed):
            self.refused.append(plan)
            return None
        return placed

    def _solve(self, master: Master) -> tuple[Any, Status]:
        self.rounds += 1
        solver = new_solver(self.workers)
        # Probing hundreds of counts finds nothing and takes two thirds of the time (683 candidates: 2.0 s, without it 0.6 s).
        solver.parameters.cp_model_probing_level = 0
        # What holds behind a literal has to be part of the linear relaxation: a bound that took over 40 s takes 0.1 s.
        solver.parameters.linearization_level = 2
        if self.deadline is not None:
            solver.parameters.max_time_in_seconds = max(0.01, self.deadline - time.monotonic())
        status, interrupted = solve_stoppable(solver, master.model)
        if interrupted:
            raise KeyboardInterrupt
        outcomes: dict[Any, Status] = {
            cp_model.OPTIMAL: "optimal",
            cp_model.FEASIBLE: "feasible",
            cp_model.INFEASIBLE: "infeasible",
            cp_model.UNKNOWN: "unknown",
        }
        if status not in outcomes:
            raise RuntimeError(f"the model is invalid: {master.model.validate()}")
        return solver, outcomes[status]

    def _report(self) -> None:
        if self.progress is not None and self.best is not None:
            elapsed = time.monotonic() - self.started
            self.progress(Progress(elapsed, self.best.value.exact_ms * NS_PER_MS, float(self.floor_ns)))
