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

from optimizer.answer import Fixed, Status
from optimizer.facts.inventory import FleetProblem
from optimizer.search.fleet.exact_placing import NotSettledError, place_exactly
from optimizer.search.fleet.found import FleetFound, Placed
from optimizer.search.fleet.losses import worst_losses
from optimizer.search.fleet.master import Item, Master
from optimizer.search.fleet.offers import Offers
from optimizer.search.fleet.placing import place
from optimizer.search.fleet.plan import Plan, Stand, offer_of
from optimizer.search.fleet.states import TooManyStatesError
from optimizer.search.fleet.valuation import Valuation
from optimizer.search.scale import NS_PER_MS
from optimizer.search.solve import Progress
from optimizer.search.solver import cp_model, new_solver, solve_stoppable

RESOLUTION_NS = NS_PER_MS
"""Objectives are compared in whole milliseconds, rounded up."""
COARSE, FINE = 1e-3, 1e-6
_FIRST_CUTS = 8
MOST_ROUNDS = 4_000
MOST_REFUSED = 300


@dataclass(frozen=True)
class Serves:
    """At most so large a share of the requests may go unserved with failures counted, as a valuation of its own counts them.

    ``refused`` are plans known to serve less.
    """

    valuation: Valuation
    most_unserved: float
    refused: tuple[Plan, ...] = ()


class FleetSolver:
    """Searches the plans of one inventory."""

    def __init__(
        self,
        problem: FleetProblem,
        offers: Offers,
        *,
        fixed: Fixed | None = None,
        deadline: float | None = None,
        progress: Callable[[Progress], None] | None = None,
        workers: int = 1,
        most: tuple[Literal["gpus", "price"], int] | None = None,
        serves: Serves | None = None,
    ) -> None:
        self.most = most
        """The most GPUs, or the most price per hour in millionths, that a plan may use."""
        self.serves = serves
        self.refused: list[Plan] = list(serves.refused) if serves is not None else []
        """Plans that serve too little."""
        self.problem, self.offers = problem, offers
        self.fixed = fixed or Fixed()
        self.off = problem.search.disabled_rules
        self.items: list[Item] = []
        self.started, self.deadline = time.monotonic(), deadline
        self.progress, self.workers = progress, workers
        self.valuation = Valuation(problem, offers)
        self.curves = [offers.curves(kind) for kind in range(len(offers.kinds))]
        self.rounds = 0
        self.best: Placed | None = None
        self._placed: dict[tuple[tuple[int, int, int], ...], Placed | None] = {}
        self.bound_ns = 0
        self.unsettled_ns: int | None = None
        """The bound when a plan was first set aside because its placement or value could not be settled: proofs end there."""

    def any(self, least: Literal["gpus", "price"] = "gpus") -> FleetFound:
        """Any plan that keeps every rule, or the proof that there is none; the objective is not looked at.

        Args:
            least: what the plan has the least of.
        """
        master = self._master()
        status = self._minimise(master, master.gpus if least == "gpus" else master.price)
        return self._found("feasible" if self.best else status, tier=False, ties=False)

    def run(self) -> FleetFound:
        """Search until the bound meets the best value, or the time is over."""
        try:
            return self._run()
        except KeyboardInterrupt:
            # Ctrl-C keeps the best plan and the proved bound.
            if self.best is None:
                raise
            return self._found("feasible", tier=False, ties=False)

    def _run(self) -> FleetFound:
        master = self._master()
        self._first_cuts(master)
        tier = self._first_tier(master)
        tier_proved = True
        if tier is not None:
            outcome = self._minimise(master, tier)
            if outcome == "infeasible":
                return self._found(outcome, tier=False, ties=False)
            if outcome != "optimal" or self.best is None:
                return self._found("feasible" if self.best else "unknown", tier=False, ties=False)
            master.model.add(tier <= self._tier_value(master, self.best.plan))
            self.bound_ns = 0
        status = self._objective(master)
        ties = status == "optimal" and self._fewest(master)
        return self._found(status, tier=tier_proved, ties=ties)

    def _master(self) -> Master:
        master = Master(self.problem, self.offers, self.off, self.fixed.data_parallel)
        self.items = master.items
        if self.most is not None:
            axis, limit = self.most
            master.model.add((master.gpus if axis == "gpus" else master.price) <= limit)
        if self.serves is not None:
            master.serve(1 - self.serves.most_unserved)
            for plan in self.refused:
                master.at_least_for(plan, None)
        return master

    def _found(self, status: Status, *, tier: bool, ties: bool) -> FleetFound:
        bound_ns = self.bound_ns
        if self.unsettled_ns is not None:
            # A limit of the placing is not one of the inventory.
            status = "unknown" if self.best is None else "feasible"
            bound_ns = min(bound_ns, self.unsettled_ns)
        bound = math.ceil(bound_ns / RESOLUTION_NS) if self.best is not None else None
        if status == "optimal" and self.best is not None:
            bound = self.best.whole_ms
        seconds = time.monotonic() - self.started
        return FleetFound(status, self.best, bound, tier, ties, self.rounds, seconds, self.fixed != Fixed())

    # What is minimised before the objective: an expression, or None.
    def _first_tier(self, master: Master) -> Any:
        preset = self.problem.objective.preset
        if preset == "fewest-gpus":
            return master.gpus
        if preset == "throughput":
            return -(master.peak)
        return None

    def _tier_value(self, master: Master, plan: Plan) -> int:
        if self.problem.objective.preset == "fewest-gpus":
            return plan.gpus(self.offers)
        return -sum(offer_of(self.offers, entry).peak * entry.count for entry in plan.entries)

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
            if self._closed():
                return "optimal"
            plan = master.plan(solver)
            self._learn(master, plan)
            self._report()
            if self._closed():
                return "optimal"
        return "feasible" if self.best else "unknown"

    def _late(self) -> bool:
        return self.deadline is not None and time.monotonic() > self.deadline

    def _closed(self) -> bool:
        return self.best is not None and math.ceil(self.bound_ns / RESOLUTION_NS) >= self.best.whole_ms

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
        self._cut(master, self._gamma(placed), FINE)
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
            if plan.gpus(self.offers) >= self.best.plan.gpus(self.offers):
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
        if plan.key in self._placed:
            return self._placed[plan.key]
        placed = self._try(plan)
        self._placed[plan.key] = placed
        return placed

    def _try(self, plan: Plan) -> Placed | None:
        split = self.valuation.split(plan)
        if split is None:
            return None
        stands = place(self.problem, self.offers, plan)
        if stands is None or not self._survives(plan, stands):
            needed = math.ceil(self.problem.workload.requests_per_s * self.problem.demand_share * 1e6 - 1e-6)
            try:
                stands = place_exactly(self.problem, self.offers, plan, needed)
            except NotSettledError:
                self._set_aside()
                return None
            if stands is None or not self._survives(plan, stands):
                return None
        site = self.valuation.site(plan, stands)
        try:
            value = self.valuation.value(plan, split, site)
        except TooManyStatesError:
            self._set_aside()
            return None
        if self.serves is not None:
            judged = self.serves.valuation.value(plan, split, site)
            if 1 - judged.availability > self.serves.most_unserved:
                self.refused.append(plan)
                return None
        return Placed(plan, stands, split, site, value)

    def _set_aside(self) -> None:
        """A plan is set aside without a proof: from here on the bound says nothing about it."""
        if self.unsettled_ns is None:
            self.unsettled_ns = self.bound_ns

    def _survives(self, plan: Plan, stands: tuple[Stand, ...]) -> bool:
        """Whether the capacity left after the worst of every stated losses suffices."""
        capacity = sum(offer_of(self.offers, entry).capacity * entry.count for entry in plan.entries)
        needed = self.problem.workload.requests_per_s * self.problem.demand_share * 1e6 - 1e-6
        for losses in self.problem.survive:
            if f"survive_{losses.level}" in self.off:
                continue
            worst = worst_losses(self.problem, self.offers, plan, stands, losses.level, losses.count)
            if capacity - worst.capacity < needed:
                return False
        return True

    def _gamma(self, placed: Placed) -> float:
        """What a further request/s costs at the plan's split: the mean of its families' own figures."""
        families = placed.plan.families(self.offers)
        shares = placed.split.thousandths
        total = 0.0
        for family, share, rate in zip(families, shares, placed.split.rates, strict=True):
            total += share * self.curves[family[0]].marginal(family[1], rate)
        return self._allowed(total / sum(shares))

    def _allowed(self, gamma: float) -> float:
        w = self.valuation.weights
        if w.unserved == 0 or w.latency == 0:
            return gamma
        return min(gamma, w.unserved * w.penalty_ms / w.latency)

    def _first_cuts(self, master: Master) -> None:
        """Multipliers from next to nothing up to what the busiest offer costs at its most."""
        ends: list[float] = []
        for number, kind in enumerate(self.offers.kinds):
            for position, offer in enumerate(kind.offers):
                curve = self.curves[number]
                ends += [curve.marginal(position, offer.capacity / 1e6 * part) for part in (0.05, 0.4, 0.9)]
        if not ends:
            return
        low, high = self._allowed(min(ends)), self._allowed(max(ends))
        for step in range(_FIRST_CUTS):
            self._cut(master, low * (high / low) ** (step / max(1, _FIRST_CUTS - 1)), COARSE)

    def _cut(self, master: Master, gamma: float, tolerance: float) -> None:
        bounds = [curve.bounds(gamma, tolerance) for curve in self.curves]
        kinds = [self.offers.places[item.place].kind for item in master.items]
        master.cut(
            gamma,
            [float(bounds[kind][item.position]) for kind, item in zip(kinds, master.items, strict=True)],
            [self.curves[kind].fastest_ms(item.position) for kind, item in zip(kinds, master.items, strict=True)],
        )

    def _solve(self, master: Master) -> tuple[Any, Status]:
        self.rounds += 1
        solver = new_solver(self.workers)
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
            self.progress(Progress(elapsed, self.best.value.exact_ms * NS_PER_MS, float(self.bound_ns)))
