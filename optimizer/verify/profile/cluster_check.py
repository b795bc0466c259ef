"""The public check of a plan for a day on an inventory: every hour recomputed, starts and stops counted, the cost compared.

Other homes: ``search/profile/cluster_model.py``, ``search/profile/cluster_solve.py``; docs/profile.md, section 7.
"""

from __future__ import annotations

import math
from decimal import Decimal
from fractions import Fraction

from optimizer.facts.cluster_day import ClusterDayProblem
from optimizer.facts.profile import HOUR_S, HOURS
from optimizer.results.answer import Fixed, Mismatch, Verification
from optimizer.results.cluster_day import ClusterDayAnswer, HoursOfDay
from optimizer.results.inventory import InventoryAnswer
from optimizer.verify.common.arithmetic import decimal, exact, sixty_digits
from optimizer.verify.common.ledger import CheckLedger, near
from optimizer.verify.inventory.budget import Budget
from optimizer.verify.inventory.check import verify_inventory
from optimizer.verify.inventory.instance import Instances
from optimizer.verify.inventory.pools import know_pools
from optimizer.verify.inventory.restarts import restart_s
from optimizer.verify.inventory.site import CheckedSite
from optimizer.verify.profile.cluster_days import cheapest_day

RESOLUTION = "seconds of starts are rounded up to 1; days within a millionth of the cost count as equal"
NEAR = Decimal("1e-9")
Gpus = frozenset[str]


@sixty_digits()
def verify_cluster_day(day: ClusterDayProblem, answer: ClusterDayAnswer, *, exhaustive: bool = True) -> Verification:
    """Recompute every claim from the facts, and compare the cost, or that there is no plan, with the cheapest way around the clock.

    Args:
        exhaustive: False leaves out the comparison.

    Returns:
        ``optimality`` is ``exhaustive`` where a dynamic program over all choices of instances of every hour, which knows nothing of places
        kept over the day, comes to no lower cost; else ``bound``.
    """
    ledger = CheckLedger()
    cost = Fraction(0)
    if answer.hours:
        leads = _hours(ledger, day, answer)
        if leads is not None and _homes(ledger, day, answer, leads):
            cost = _cost(ledger, day, answer, leads)
    else:
        ledger.that("status", answer.status in ("infeasible", "unknown"), "infeasible or unknown", answer.status)
        ledger.that("cost", answer.cost is None, "none without a plan", answer.cost)
    optimality, compared = "not claimed", 0
    if answer.status in ("optimal", "infeasible"):
        optimality = "bound"
        if exhaustive and not ledger.mismatches:
            seen = cheapest_day(day, Budget())
            if seen is not None:
                compared = seen.states
                claimed = float(cost) if answer.hours else math.inf
                if seen.cost >= claimed * (1 - 1e-6):
                    optimality = "exhaustive"
                elif seen.stands:
                    optimality = "refuted"
                    what = "optimality" if answer.hours else "status"
                    ledger.that(what, False, f"a day at {seen.cost:.9g}", claimed)
    return Verification(
        passed=not ledger.mismatches,
        checks=ledger.checks,
        optimality=optimality,
        candidates=compared,
        resolution=RESOLUTION,
        mismatches=tuple(ledger.mismatches),
        compared=compared,
    )


def _hours(ledger: CheckLedger, day: ClusterDayProblem, answer: ClusterDayAnswer) -> dict[Gpus, int] | None:
    """Every hour at its rate; GPUs of an instance → whole seconds of its start."""
    covered = [(one.first + step) % HOURS for one in answer.hours for step in range(one.hours)]
    if not ledger.same("hours", list(range(HOURS)), sorted(covered)):
        return None
    leads: dict[Gpus, int] = {}
    for one in answer.hours:
        with ledger.about(f"hour {one.first}"):
            rates = {day.rates[(one.first + step) % HOURS] for step in range(one.hours)}
            ledger.same("requests_per_s", rates, {one.requests_per_s})
            problem = day.at(one.requests_per_s)
            found = verify_inventory(problem, one.answer, exhaustive=False)
            ledger.checks += found.checks
            ledger.mismatches += [
                Mismatch(f"hour {one.first}: {m.what}", m.expected, m.actual) for m in found.mismatches
            ]
            if found.mismatches or one.answer.placement is None:
                return None
            known = know_pools(CheckLedger(), CheckedSite(problem), Instances(problem), one.answer.pools, Fixed())
            if known is None:
                return None
            for instance in one.answer.placement.instances:
                seconds = math.ceil(restart_s(problem, known[instance.pool].instance))
                leads[frozenset(place.name for place in instance.gpus)] = seconds
            _within(ledger, day, one)
    return leads


def _within(ledger: CheckLedger, day: ClusterDayProblem, one: HoursOfDay) -> None:
    """The rate up to which what runs carries the demand and its losses, by figures that were recomputed."""
    most = sum((exact(pool.capacity) * pool.instances for pool in one.answer.pools), Fraction(0))
    off = day.problem.search.disabled_rules
    for losses in day.problem.survive:
        if f"survive_{losses.level}" not in off:
            loss = next(loss for loss in one.answer.losses if loss.level == losses.level)
            most = min(most, exact(loss.capacity_left) / exact(day.problem.demand_share))
    close = most - Fraction(2, 1000) <= exact(one.within) <= most + Fraction(1, 10**6)
    ledger.that("within", close, float(most), one.within)


def _homes(ledger: CheckLedger, day: ClusterDayProblem, answer: ClusterDayAnswer, leads: dict[Gpus, int]) -> bool:
    """Places are apart, and what runs in an hour stands at them; starts and stops follow from what runs."""
    seen: set[str] = set()
    for home in answer.homes:
        ledger.that(f"{home.name}: gpus", not seen & set(home.gpus), "GPUs of its own", sorted(seen & set(home.gpus)))
        seen |= set(home.gpus)
        ledger.same(f"{home.name}: start_s", leads.get(frozenset(home.gpus)), home.start_s)
    places = {home.name: frozenset(home.gpus) for home in answer.homes}
    most = day.schedule.most_changes_per_hour
    for number, one in enumerate(answer.hours):
        before = answer.hours[number - 1]
        with ledger.about(f"hour {one.first}"):
            standing = _standing(one.answer)
            ledger.same("running", standing, {places.get(name, frozenset()) for name in one.running})
            ledger.same("started", set(one.running) - set(before.running), set(one.started))
            ledger.same("stopped", set(before.running) - set(one.running), set(one.stopped))
            moved = len(one.started) + len(one.stopped)
            ledger.that("changes", most is None or moved <= most, f"at most {most}", moved)
    return not ledger.mismatches


def _standing(answer: InventoryAnswer) -> set[Gpus]:
    placed = answer.placement.instances if answer.placement else ()
    return {frozenset(place.name for place in one.gpus) for one in placed}


def _cost(ledger: CheckLedger, day: ClusterDayProblem, answer: ClusterDayAnswer, leads: dict[Gpus, int]) -> Fraction:
    """The cost of the plan as it is counted, and its figures."""
    groups = {group.node_name(node): group for group in day.problem.groups for node in range(group.nodes)}
    homes = {home.name: home for home in answer.homes}
    priced = day.problem.priced

    def hourly(name: str) -> Fraction:
        each = (groups[gpu.rpartition("/")[0]].price_per_gpu_hour or 0.0 for gpu in homes[name].gpus)
        return sum((exact(price) for price in each), Fraction(0))

    serving, moving, price = Fraction(0), Fraction(0), Fraction(0)
    for one in answer.hours:
        for name in one.running:
            serving += one.hours * len(homes[name].gpus)
            price += one.hours * hourly(name)
        for name, seconds in [
            *((name, Fraction(leads[frozenset(homes[name].gpus)])) for name in one.started),
            *((name, exact(day.schedule.drain_s)) for name in one.stopped),
        ]:
            moving += seconds * len(homes[name].gpus) / HOUR_S
            price += seconds * hourly(name) / HOUR_S
        price += len(one.started) * exact(day.schedule.start_price)
    claimed = answer.cost
    if not ledger.that("cost", claimed is not None, "the cost of the plan", None) or claimed is None:
        return Fraction(0)
    _close(ledger, "serving_gpu_hours", decimal(serving), claimed.serving_gpu_hours)
    _close(ledger, "gpu_hours", decimal(serving + moving), claimed.gpu_hours)
    ledger.same("changes", sum(len(one.started) + len(one.stopped) for one in answer.hours), claimed.changes)
    if priced:
        _close(ledger, "price", decimal(price), claimed.price)
    else:
        ledger.same("price", None, claimed.price)
    requests = sum((exact(rate) for rate in day.rates), Fraction(0))
    time = sum(
        (exact(one.requests_per_s) * one.hours * exact(one.answer.objective_exact_ms or 0.0) for one in answer.hours),
        Fraction(0),
    )
    mean = decimal(time / requests)
    ledger.that("request_mean_ms", near(mean, claimed.request_mean_ms, Decimal("0.001")), mean, claimed.request_mean_ms)
    cost = price if priced else serving + moving
    if answer.bound is not None:
        slack = Decimal("1e-5") * (1 + decimal(cost))
        ledger.that(
            "bound", Decimal(repr(answer.bound)) <= decimal(cost) + slack, f"at most {float(cost)}", answer.bound
        )
        if answer.status == "optimal":
            ledger.that("bound", Decimal(repr(answer.bound)) >= decimal(cost) - slack, float(cost), answer.bound)
    if answer.fixed is not None and answer.status == "optimal":
        fixed = answer.fixed.price if priced else answer.fixed.gpu_hours
        ledger.that("fixed", fixed is not None and fixed >= float(cost) - 1e-4, f"at least {float(cost)}", fixed)
    return cost


def _close(ledger: CheckLedger, what: str, expected: Decimal, actual: float | None) -> None:
    ledger.that(what, near(expected, actual, NEAR * (1 + abs(expected))), expected, actual)
