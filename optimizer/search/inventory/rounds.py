"""One model over counts after the other: bounds from CP-SAT and exact values from the valuation until they meet.

Each round solves the model, values its plan exactly, and tells the model what it did not know: a cut where the bound was loose, the
plan's own value where the cuts cannot say more, or that the plan is not allowed.
"""

from __future__ import annotations

import math
import time
from collections.abc import Callable
from typing import Any, Literal

from optimizer.facts.inventory import InventoryProblem
from optimizer.results.answer import Fixed, Status
from optimizer.search.common.scale import NS_PER_MS
from optimizer.search.common.solver import new_solver, outcome_of, solve_stoppable
from optimizer.search.inventory.candidates import Candidates
from optimizer.search.inventory.cuts import FINE, Cuts
from optimizer.search.inventory.exact_placing import NotSettledError
from optimizer.search.inventory.found import InventoryFound, Placed, Start
from optimizer.search.inventory.master import Master, price_micro
from optimizer.search.inventory.placer import Placer, Serves
from optimizer.search.inventory.plan import Plan, candidate_of, parts_of
from optimizer.search.inventory.valuation import Valuation
from optimizer.search.uniform.solve import Progress

RESOLUTION_NS = NS_PER_MS
"""Objectives are compared in whole milliseconds, rounded up."""
TIERS = ("fewest-gpus", "cheapest", "throughput")
"""Presets that put something before the objective."""
MOST_ROUNDS = 4_000
MOST_REFUSED = 300


def counting_solver(workers: int, deadline: float | None) -> Any:
    """A solver for masters that count instances, until a time of the monotonic clock."""
    solver = new_solver(workers)
    # Probing hundreds of counts finds nothing and takes two thirds of the time (683 candidates: 2.0 s, without it 0.6 s).
    solver.parameters.cp_model_probing_level = 0
    # What holds behind a literal has to be part of the linear relaxation: a bound that took over 40 s takes 0.1 s.
    solver.parameters.linearization_level = 2
    # All of it from the start: of six seeds of one model none then takes over 0.14 s, where two took 1.6 and 2.3.
    solver.parameters.add_lp_constraints_lazily = False
    if deadline is not None:
        solver.parameters.max_time_in_seconds = max(0.01, deadline - time.monotonic())
    return solver


class Rounds:
    """What a search knows, whichever model it is at, and the rounds of one model."""

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
        """What a search that differs in failure rates only ended with."""
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

    def _found(self, status: Status, *, ties: bool) -> InventoryFound:
        bound_ns = self.floor_ns
        if self.unsettled_ns is not None:
            # A limit of the placing is not one of the inventory.
            status = "unknown" if self.best is None else "feasible"
            bound_ns = min(bound_ns, self.unsettled_ns)
        bound = math.ceil(bound_ns / RESOLUTION_NS) if self.best is not None else None
        if status == "optimal" and self.best is not None:
            bound = self.best.whole_ms
        seconds = time.monotonic() - self.started
        return InventoryFound(status, self.best, bound, ties, self.rounds, seconds, self.fixed != Fixed())

    # What is minimised before the objective: an expression, or None.
    def _first_tier(self, master: Master) -> Any:
        preset = self.problem.objective.preset
        if preset not in TIERS:
            return None
        return {"fewest-gpus": master.gpus, "cheapest": master.price}.get(preset, -(master.peak))

    def _tier_value(self, master: Master, plan: Plan) -> int:
        if self.problem.objective.preset == "fewest-gpus":
            return plan.gpus(self.candidates)
        if self.problem.objective.preset == "cheapest":
            return self._price_of(plan)
        return -sum(candidate_of(self.candidates, entry).peak * entry.count for entry in plan.entries)

    def _price_of(self, plan: Plan) -> int:
        """Price per hour of the GPUs that a plan uses, millionths."""
        parts = ((group, part.gpus * e.count) for e in plan.entries for group, part in parts_of(self.candidates, e))
        return sum(price_micro(self.problem, group) * gpus for group, gpus in parts)

    # What breaks a tie within a whole millisecond: the price where every group states one, then the GPUs in use.
    def _spent(self, master: Master) -> Any:
        return master.price * (self.problem.gpus + 1) + master.gpus if self.problem.priced else master.gpus

    def _spent_by(self, plan: Plan) -> int:
        gpus = plan.gpus(self.candidates)
        return self._price_of(plan) * (self.problem.gpus + 1) + gpus if self.problem.priced else gpus

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
        if self.gap <= 0 or self.best is None or self.problem.objective.preset in TIERS:
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
        """Among plans of the same whole millisecond the cheapest, or, without prices, that with the fewest GPUs; whether it is proved."""
        if self.best is None:
            return False
        master.model.add(master.theta + master.gpus_ns() <= self.best.whole_ms * NS_PER_MS)
        target = self.best.whole_ms
        while self.rounds < MOST_ROUNDS and not self._late():
            master.model.minimize(self._spent(master))
            master.hint(self.best.plan)
            solver, status = self._solve(master)
            if status == "infeasible":
                return True
            if status == "unknown":
                return False
            plan = master.plan(solver)
            if self._spent_by(plan) >= self._spent_by(self.best.plan):
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

    def value_of(self, plan: Plan) -> Placed | None:
        """Any plan placed and valued; None where it breaks a rule, finds no room or could not be settled."""
        try:
            return self._placer.place(plan)
        except NotSettledError:
            return None

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
        solver = counting_solver(self.workers, self.deadline)
        status, interrupted = solve_stoppable(solver, master.model)
        if interrupted:
            raise KeyboardInterrupt
        return solver, outcome_of(status, master.model)

    def _report(self) -> None:
        if self.progress is not None and self.best is not None:
            elapsed = time.monotonic() - self.started
            self.progress(Progress(elapsed, self.best.value.exact_ms * NS_PER_MS, float(self.floor_ns)))
