"""The public check of an answer about an inventory."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from fractions import Fraction

import numpy as np

from optimizer.facts.inventory import InventoryProblem
from optimizer.results.answer import Fixed, Verification
from optimizer.results.inventory import InventoryAnswer, RateRange
from optimizer.results.placement import PlacedInstance
from optimizer.verify.common.arithmetic import exact, sixty_digits
from optimizer.verify.common.ledger import CheckLedger, number
from optimizer.verify.inventory.budget import (
    CERTIFIED_WITHIN_S,
    ENUMERATED_WITHIN_S,
    PRICED_WITHIN_S,
    SPARED_WITHIN_S,
    Budget,
    OutOfTime,
)
from optimizer.verify.inventory.claims import (
    check_bill,
    check_losses,
    check_objective,
    check_reliability,
    check_rules,
    check_totals,
    noise_of_probability,
)
from optimizer.verify.inventory.float_candidate import FloatCandidate
from optimizer.verify.inventory.float_times import TimeCurves
from optimizer.verify.inventory.instance import Instances
from optimizer.verify.inventory.left_out import NOTHING, LeftOut
from optimizer.verify.inventory.legality import check_placement
from optimizer.verify.inventory.pools import Known, check_instance_rules, check_shares, know_pools
from optimizer.verify.inventory.price_tier import TIERS
from optimizer.verify.inventory.prices import CheckedPrices, multipliers
from optimizer.verify.inventory.restarts import restarts_in_time
from optimizer.verify.inventory.sample import DRAWS, Sampled, sample
from optimizer.verify.inventory.shares import largest_share, least_split, share_costs
from optimizer.verify.inventory.simulate import FAILURES, Simulated, levels_of, simulate
from optimizer.verify.inventory.site import CheckedSite
from optimizer.verify.inventory.sparing import check_least, most_ms
from optimizer.verify.inventory.spent_bound import spends_least
from optimizer.verify.inventory.states import Member, TooManyStates, at_end, members_of, rates_of, states_of
from optimizer.verify.inventory.stock import SpaceTooLarge
from optimizer.verify.inventory.tally import Tally
from optimizer.verify.inventory.value import InstanceFamily, LoadWeights, Totals, totals

MOST_GPUS_ENUMERATED = 600
"""The choices of larger inventories are not gone through: it would take longer than a few seconds."""
MOST_GPUS_SPARED = 128
"""The same where an answer spends less within the tolerance: prices leave next to nothing out of what is within it."""
FEW_GPUS_SPARED = 64
"""Above so many such an answer is gone through for a short time only: sets that do not end by then took many times longer."""
MOST_SHAPES_ENUMERATED = 500
"""Of shapes that prices leave open: sets of more were never gone through in the time there is."""
RARE = 200
"""Outages in a simulation below which states are sampled too."""
MORE = 10
"""A run that does not contain what is claimed is repeated, so many times longer, with another seed."""


@sixty_digits()
def verify_inventory(
    problem: InventoryProblem,
    answer: InventoryAnswer,
    fixed: Fixed = Fixed(),
    *,
    exhaustive: bool = True,
    seed: int = 1,
    deadline: float | None = None,
    seconds: float = ENUMERATED_WITHIN_S,
    proposed: bool = False,
) -> Verification:
    """Recompute every claim of an answer from the facts, simulate failures and repairs, and confirm an optimum.

    Args:
        problem: what was asked.
        answer: what is claimed; its own ``verification`` is ignored.
        fixed: decisions that a person fixed: each instance's, and DP counts all replicas.
        exhaustive: False leaves out the enumeration of other choices.
        seed: of the simulation; a disagreement counts only when a longer simulation with another seed confirms it.
        deadline: of the monotonic clock, after which no better choice is looked for; the claims are recomputed all the same.
        seconds: of processor time, after which no better choice is looked for either.
        proposed: the instances, their places and their shares are a person's: rules about demand, shares and losses may be
            broken where the answer says so, and other shares may be better.

    Returns:
        Every disagreement with expected and actual. ``optimality`` is ``exhaustive``, ``bound`` (claimed, not
        enumerated), ``not claimed`` or ``refuted``. Exhaustive: every choice of instances that the bound of section 6 does
        not rule out, of all shapes, was stood on the nodes, where the rules allow it, and valued there: ``compared`` counts those,
        ``ruled_out`` the others by what ruled them out and ``candidates`` all (the first alone where sets are not counted).
    """
    return _Check(problem, answer, fixed, seed, Budget(seconds, deadline), proposed).run(exhaustive and not proposed)


class _Check:
    """One verification; keeps what several steps need."""

    def __init__(
        self,
        problem: InventoryProblem,
        answer: InventoryAnswer,
        fixed: Fixed,
        seed: int,
        budget: Budget,
        proposed: bool,
    ) -> None:
        self.proposed = proposed
        self.problem, self.answer, self.fixed, self.seed = problem, answer, fixed, seed
        self.ledger, self.site = CheckLedger(), CheckedSite(problem)
        self.instances, self.curves = Instances(problem), TimeCurves()
        self.weights = LoadWeights.of(problem.objective)
        self.demand = exact(problem.workload.requests_per_s)
        self.notes: list[str] = []
        self.sets, self.compared = 0, 0
        """Sets of instances that there are, where they are counted, and those that were valued one by one."""
        self.ruled_out: dict[str, int] = {}
        self.completed = 0.0
        self.families: list[InstanceFamily] = []
        self.budget = budget
        self.open_shapes = 0
        """Shapes that may be part of a better choice as far as prices tell."""

    def run(self, exhaustive: bool) -> Verification:
        """All steps."""
        answer, ledger = self.answer, self.ledger
        ledger.same("problem", self.problem.name, answer.problem)
        if answer.pools:
            self._fixed_decisions()
            broken = self.proposed and any(rule.enabled and not rule.holds for rule in answer.rules)
            wanted = ("infeasible",) if broken else ("optimal", "feasible")
            ledger.that("status", answer.status in wanted, f"{' or '.join(wanted)}, with pools", answer.status)
            self._claims()
        else:
            ledger.that("status", answer.status in ("infeasible", "unknown"), "no pools", answer.status)
            for name in ("placement", "objective", "objective_exact_ms", "reliability"):
                ledger.same(name, None, getattr(answer, name))
        optimality = "not claimed"
        if answer.status in ("optimal", "infeasible") and not self.proposed:
            optimality = self._optimality(exhaustive)
        passed = not ledger.mismatches
        notes, wrong = "; ".join(self.notes), tuple(ledger.mismatches)
        return Verification(passed, ledger.checks, optimality, self.sets, notes, wrong, self.compared, self.ruled_out)

    def _optimality(self, exhaustive: bool) -> str:
        """What can be said about the optimum."""
        if not exhaustive or self.ledger.mismatches:
            return "bound"
        return self._gone_through()

    def _gone_through(self) -> str:
        """The same from what nodes are worth and, where sets are not too many, from going through them."""
        try:
            if self._spends_least():
                return self._all_ruled_out()
            if self.answer.least is not None and self.site.inventory.gpus > MOST_GPUS_SPARED:
                return "bound"
            if self.answer.least is not None and self.site.inventory.gpus > FEW_GPUS_SPARED:
                self.budget = self.budget.part(SPARED_WITHIN_S)
            left_out = self._priced()
            if left_out is None:
                return self._all_ruled_out()
            if self.site.inventory.gpus > MOST_GPUS_ENUMERATED or self.open_shapes > MOST_SHAPES_ENUMERATED:
                return "bound"
            self.budget.spend()
            in_floats = FloatCandidate(self.site, self.instances, self.curves, self.fixed, self.budget, left_out)
            found = in_floats.judge(self.answer, self.completed)
        except OutOfTime:
            self.notes.append("the time for going through other choices was used up")
            return "bound"
        except SpaceTooLarge:
            return "bound"
        self.sets = self.compared = found.choices
        if found.rival is not None:
            what = "optimality" if self.answer.pools else "status"
            self.ledger.that(what, False, f"{found.rival} is feasible", self.answer.objective_exact_ms or "infeasible")
            return "refuted"
        if not found.complete:
            return "bound"
        tally = Tally(self.site, self.fixed, left_out)
        if tally.known:
            self.sets, self.ruled_out = tally.looked_at(in_floats.candidates, found.choices)
        return "exhaustive"

    def _all_ruled_out(self) -> str:
        tally = Tally(self.site, self.fixed)
        if tally.known:
            self.sets, self.ruled_out = tally.all_ruled_out()
        return "exhaustive"

    def _spends_least(self) -> bool:
        """Whether what GPUs in use are worth proves an answer that spends less within the tolerance, at multipliers that it names.

        Any multiplier bounds every set of instances: none is trusted, the best are only hard to find.
        """
        if self.answer.least is None or not self.families:
            return False
        within = self.budget.part(CERTIFIED_WITHIN_S)
        try:
            prices = CheckedPrices(self.site, self.instances, self.curves, self.fixed, within)
            gammas = dict.fromkeys((*self.answer.multipliers, *multipliers(self.families)))
            return spends_least(self.site, prices, list(gammas), self.answer)
        except OutOfTime:
            return False

    def _priced(self) -> LeftOut | None:
        """None where what nodes are worth proves that nothing is better, else what no better choice contains.

        What a preset puts before the objective has no price.

        Raises:
            OutOfTime: there are too many shapes to price.
        """
        objective = self.answer.objective
        if objective is None or not self.families or self.problem.objective.preset in TIERS:
            return NOTHING
        within = self.budget.part(PRICED_WITHIN_S)
        # Shapes that take longer than that to price take longer still to enumerate: OutOfTime ends the proof.
        prices = CheckedPrices(self.site, self.instances, self.curves, self.fixed, within)
        try:
            # What the answer has to be held against may be above its own objective: all that is within the tolerance.
            level = objective.value - 1 if self.answer.least is None else most_ms(self.problem, self.answer)
            if prices.proves(multipliers(self.families), level):
                return None
        except OutOfTime:
            pass  # what was left out by then is in no better choice all the same
        self.open_shapes = prices.open_shapes
        return LeftOut(frozenset(prices.left_out), prices.across_left_out, frozenset(prices.left_out_after))

    def _fixed_decisions(self) -> None:
        """What a person fixed is so."""
        for name in Fixed.__slots__:
            wanted = getattr(self.fixed, name)
            if wanted is None:
                continue
            if name == "data_parallel":
                replicas = sum(pool.strategy.data_parallel for pool in self.answer.pools)
                self.ledger.same("data_parallel as fixed, all pools", wanted, replicas)
                continue
            for index, pool in enumerate(self.answer.pools):
                self.ledger.same(f"pools.{index}.strategy.{name} as fixed", wanted, getattr(pool.strategy, name))

    def _claims(self) -> None:
        """What the answer says about its own pools."""
        ledger, answer = self.ledger, self.answer
        known = know_pools(ledger, self.site, self.instances, answer.pools, self.fixed)
        placement = answer.placement
        if not ledger.that("placement", placement is not None, "a place for every instance", None) or not placement:
            return
        if known is None or not check_placement(ledger, self.site, answer.pools, placement):
            return
        planned = check_shares(ledger, known, self.demand, proposed=self.proposed)
        if planned is None:
            return
        overloaded = [index for index, one in enumerate(known) if planned[index] > one.capacity]
        for index, one in enumerate(known):
            if index not in overloaded:
                with ledger.about(f"pools.{index}"):
                    check_instance_rules(ledger, one, planned[index])
        for instance in placement.instances:
            wanted = float(planned[instance.pool] / self.demand)
            close = abs(instance.share - wanted) <= 1e-11
            ledger.that(f"placement.{instance.name}.share", close, wanted, instance.share)
        capacities = [known[instance.pool].capacity for instance in placement.instances]
        restart = [restarts_in_time(self.problem, known[instance.pool].instance) for instance in placement.instances]
        worst, scenarios = check_losses(ledger, self.site, placement.instances, capacities, restart, answer)
        shared = not overloaded if self.proposed else None
        check_rules(ledger, self.problem, sum(capacities, Fraction(0)), worst, answer, shared=shared)
        if scenarios:
            self.notes.append(f"{scenarios:,} choices of losses covered")
        if answer.objective is None and any(planned[index] > known[index].slots_capacity for index in overloaded):
            # Instances that are sent more than fits their slots have no mean time: there is nothing more to claim.
            for name in ("objective_exact_ms", "reliability", "request_mean_ms"):
                ledger.same(name, None, getattr(answer, name))
            return
        used, completed = check_totals(ledger, self.site, known, planned, answer)
        self.completed = float(completed)
        families, index_of = self._families(known, planned)
        self.families = families
        if not self.proposed:
            self._check_split(known, families, index_of)
        levels = rates_of(self.problem, self.problem.failing_levels())
        family_of = [index_of[instance.pool] for instance in placement.instances]
        members = members_of(self.site, placement.instances, family_of, levels)
        found = self._totals(self.problem, families, members)
        reliable = answer.reliability
        served = found.availability if found is not None else 1.0 if reliable is None else reliable.availability
        check_bill(ledger, self.site, known, float(served), answer)
        check_least(ledger, self.problem, answer)
        if found is not None:
            check_objective(ledger, self.weights, found, used, answer)
            check_reliability(ledger, self.problem, found, answer.reliability)
        for end in answer.ranges:
            changed = at_end(self.problem, end.end)
            with ledger.about(f"ranges.{end.end}"):
                if ledger.that("end", changed is not None, "low or high", end.end) and changed is not None:
                    self._check_range(end, self._totals(changed, families, members))
        self._simulate(families, placement.instances, family_of, found)

    def _totals(
        self, problem: InventoryProblem, families: list[InstanceFamily], members: list[Member]
    ) -> Totals | None:
        """Sums over the failure states; None, and a note, where there are too many."""
        try:
            states = states_of(problem, members, [family.instances for family in families])
        except TooManyStates:
            said = "too many failure states to work through: objective and reliability not recomputed, only simulated"
            self.notes.append(said)
            return None
        return totals(families, float(self.demand), self.weights, states)

    def _check_range(self, end: RateRange, found: Totals | None) -> None:
        """The availability of the same choice at an end of the failure rates; another choice is another problem's answer."""
        if end.same_choice and found is not None:
            self.ledger.same("choice", self.answer.label, end.choice)
            close = abs(end.availability - found.availability) <= noise_of_probability(found)
            self.ledger.that("availability", close, found.availability, end.availability)

    def _families(
        self, known: list[Known], planned: dict[int, Fraction]
    ) -> tuple[list[InstanceFamily], dict[int, int]]:
        """Pools of one kind together; pool number → family number."""
        kinds = list(dict.fromkeys(one.kind for one in known))
        index_of = {index: kinds.index(one.kind) for index, one in enumerate(known)}
        families = []
        for kind in range(len(kinds)):
            members = [i for i in index_of if index_of[i] == kind]
            first = known[members[0]]
            same = all(known[i].slots_capacity == first.slots_capacity for i in members)
            self.ledger.that("slots_capacity", same, "the same for every pool of a family", "different")
            count = sum(known[i].pool.instances for i in members)
            curve = self.curves.of(first.instance)
            families.append(InstanceFamily(curve, count, float(planned[members[0]]), float(first.slots_capacity)))
        return families, index_of

    def _check_split(self, known: list[Known], families: list[InstanceFamily], index_of: dict[int, int]) -> None:
        """No other split of the requests has a smaller mean time."""
        if len(families) == 1:
            return
        costs, mine = [], 0.0
        for kind, family in enumerate(families):
            first = next(known[i] for i in index_of if index_of[i] == kind)
            most = largest_share(self.demand, family.instances, first.capacity)
            costs.append(share_costs(family.curve, self.demand, family.instances, most))
            part = round(family.planned * family.instances / float(self.demand) * 1000)
            mine += float(costs[-1][part]) if part <= most else float("inf")
        best = least_split(costs)
        if best is not None:
            least = mine <= best[0] * (1 + 1e-10) + 1e-5
            self.ledger.that("pools.share", least, f"{best[0]} ms with thousandths {best[1]}", f"{mine} ms")

    def _simulate(
        self,
        families: list[InstanceFamily],
        placed: Sequence[PlacedInstance],
        family_of: list[int],
        found: Totals | None,
    ) -> None:
        """Failures and repairs played in time and, where outages are rare, sampled by the number of parts down."""
        levels = levels_of(self.site, placed)
        repair = self.problem.failures.repair_hours.value
        setting = levels, repair, families, np.array(family_of), float(self.demand), self.weights
        first = simulate(*setting, self.seed)
        self._compare(first, found, lambda: simulate(*setting, self.seed + 1, MORE * FAILURES))
        said = f"{first.failures:,} failures simulated over {first.hours:,.0f} hours: {first.outages:,} outages"
        if first.outages < RARE:
            drawn = sample(*setting, self.seed)
            self._contains(drawn, lambda: sample(*setting, self.seed + 1, MORE * DRAWS))
            said += f"; {drawn.draws:,} states with 2 or more parts down sampled, every single part tried"
        self.notes.append(said)

    def _compare(self, seen: Simulated, found: Totals | None, again: Callable[[], Simulated]) -> None:
        """The availability inside its interval, and outages as often as they should be.

        The frequency in section 5 is the one at which outages begin only where losing an instance never ends one.
        """
        self._contains(seen, again)
        if found is not None and found.monotone and not self._as_often(seen, found):
            seen = again()
            expected = f"{found.outages_per_hour * seen.hours:.1f} outages"
            agrees = self._as_often(seen, found)
            self.ledger.that("simulation of reliability.hours_between_outages", agrees, expected, seen.outages)

    def _as_often(self, seen: Simulated, found: Totals) -> bool:
        return abs(seen.outages - found.outages_per_hour * seen.hours) <= seen.outages_within

    def _contains(self, seen: Simulated | Sampled, again: Callable[[], Simulated | Sampled]) -> None:
        """The availability lies in the 99 % interval, if not of this run then of a longer one."""
        stated = number(self.answer.reliability.availability) if self.answer.reliability is not None else None
        if stated is None:
            return  # refused already
        claimed = float(stated)
        if abs(seen.availability - claimed) > seen.within:
            seen = again()
        inside = abs(seen.availability - claimed) <= seen.within
        what = "simulation of reliability.availability"
        self.ledger.that(what, inside, f"{seen.availability} ± {seen.within}", claimed)
