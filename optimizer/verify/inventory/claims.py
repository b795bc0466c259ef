"""Claims about the whole service: rules, losses, totals, objective and reliability. Callers work inside ``sixty_digits``."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from decimal import Decimal
from fractions import Fraction

from optimizer.facts.inventory import InventoryProblem, Losses
from optimizer.results.answer import RuleResult
from optimizer.results.inventory import InventoryAnswer, LossScenario, Reliability
from optimizer.results.placement import PlacedInstance
from optimizer.verify.common.arithmetic import decimal, exact
from optimizer.verify.common.bill import bill_of
from optimizer.verify.common.ledger import THOUSANDTH, TWO_NANOSECONDS, CheckLedger, near, number
from optimizer.verify.inventory.losses import CheckedWorst, after_restarts, capacity_without, victims, worst_loss
from optimizer.verify.inventory.pools import Known
from optimizer.verify.inventory.power import power_figures
from optimizer.verify.inventory.site import CheckedSite
from optimizer.verify.inventory.value import HOURS_A_MONTH, LEAST_STATE, LoadWeights, Totals

_TIGHT = Decimal("1e-11")
RATE_NOISE = Decimal("1e-9")
"""Of sums of rates that are whole millionths."""


_PARTS_DOWN = 8
LEAST_OUTAGE = 1e-9
"""Outages of a smaller share of the time are not timed (section 5)."""


def needed_after_losses(inventory: InventoryProblem) -> Fraction:
    """Requests/s that must still be carried after losses."""
    return exact(inventory.demand_share) * exact(inventory.workload.requests_per_s)


def check_losses(
    ledger: CheckLedger,
    site: CheckedSite,
    placed: Sequence[PlacedInstance],
    capacities: Sequence[Fraction],
    restart: Sequence[bool],
    answer: InventoryAnswer,
) -> tuple[dict[str, CheckedWorst], int]:
    """Every scenario of every level against the claimed worst one; (level → worst, scenarios covered)."""
    inventory = site.inventory
    claimed = {loss.level: loss for loss in answer.losses}
    ledger.that("losses", len(claimed) == len(answer.losses), "each level once", [loss.level for loss in answer.losses])
    found: dict[str, CheckedWorst] = {}
    for losses in inventory.survive:
        worst = found[losses.level] = worst_loss(site, losses, placed, capacities, restart)
        with ledger.about(f"losses.{losses.level}"):
            loss = claimed.pop(losses.level, None)
            if ledger.that("there", loss is not None, "the worst loss at this level", "none") and loss is not None:
                ledger.same("count", losses.count, loss.count)
                _check_scenario(ledger, site, placed, capacities, loss, worst, needed_after_losses(inventory))
    scenarios = sum(worst.scenarios for worst in found.values())
    for level, loss in claimed.items():
        # A level that nothing was promised for may be shown too: what its loss would leave, against the whole demand.
        with ledger.about(f"losses.{level}"):
            whole = type(loss.count) is int and loss.count >= 1
            if ledger.that(
                "level", whole and level in inventory.levels(), "a level of this inventory", (level, loss.count)
            ):
                worst = worst_loss(site, Losses(level=level, count=loss.count), placed, capacities, restart)
                demand = exact(inventory.workload.requests_per_s)
                _check_scenario(ledger, site, placed, capacities, loss, worst, demand)
                scenarios += worst.scenarios
    return found, scenarios


def _check_scenario(
    ledger: CheckLedger,
    site: CheckedSite,
    placed: Sequence[PlacedInstance],
    capacities: Sequence[Fraction],
    loss: LossScenario,
    worst: CheckedWorst,
    needed_per_s: Fraction,
) -> None:
    needed = decimal(needed_per_s)
    ledger.that("needed", near(needed, loss.needed, RATE_NOISE), needed, loss.needed)
    if after_restarts(site, loss.level):  # which GPUs are lost is told in words: it does not matter which of equal ones
        ledger.same("instances_lost", worst.instances_lost, loss.instances_lost)
        left = worst.capacity_left
        ledger.that("worst", near(decimal(left), loss.capacity_left, RATE_NOISE), float(left), loss.capacity_left)
        return
    real = all(site.exists((loss.level, name)) for name in loss.lost)
    ledger.that("lost", real and len(set(loss.lost)) == len(loss.lost), "domains of this level, each once", loss.lost)
    ledger.that("lost", len(loss.lost) <= loss.count, f"at most {loss.count} domains", loss.lost)
    left, gone = capacity_without(loss.lost, victims(site, loss.level, placed), capacities)
    ledger.same("instances_lost", gone, loss.instances_lost)
    ledger.that("capacity_left", near(decimal(left), loss.capacity_left, RATE_NOISE), float(left), loss.capacity_left)
    ledger.that("worst", left == worst.capacity_left, f"{float(worst.capacity_left)} without {worst.lost}", float(left))


def check_rules(
    ledger: CheckLedger,
    inventory: InventoryProblem,
    capacity: Fraction,
    worst: Mapping[str, CheckedWorst],
    answer: InventoryAnswer,
    *,
    shared: bool | None = None,
) -> None:
    """Every rule of section 4 once, with true numbers; what an answer says holds must hold.

    ``shared``: of what a person proposed, whether every instance is sent no more than it carries; its rules may be broken.
    """
    demand = exact(inventory.workload.requests_per_s)
    numbers: dict[str, tuple[Fraction, Fraction] | None] = {"gpus_free": None, "demand": (demand, capacity)}
    numbers["pool_share"] = None
    for level, found in worst.items():
        numbers[f"survive_{level}"] = needed_after_losses(inventory), found.capacity_left
    drawn = power_figures(inventory, answer.placement)
    rows = {rule.id: rule for rule in answer.rules}
    ledger.that("rules", len(rows) == len(answer.rules), "each rule once", [rule.id for rule in answer.rules])
    for name, figures in {**numbers, **drawn}.items():
        rule = rows.pop(name, None)
        enabled = name not in inventory.search.disabled_rules
        if rule is None:
            ledger.that(f"rules.{name}", not enabled, "a result for this rule", "none")
            continue
        with ledger.about(f"rules.{name}"):
            ledger.same("enabled", enabled, rule.enabled)
            # Placement and shares were checked one by one; here only that the answer does not say otherwise.
            at_most = name in drawn
            holds = figures is None or (figures[1] <= figures[0] if at_most else figures[1] >= figures[0])
            if name == "pool_share" and shared is not None:
                holds = shared
            ledger.same("holds", holds, rule.holds)
            if shared is None:
                ledger.that("kept", rule.holds or not enabled, "a rule that holds, in an answer with pools", rule.holds)
            _check_numbers(ledger, figures, rule, at_most=at_most)
    for left in rows:
        ledger.that(f"rules.{left}", False, "no such rule in this problem", left)


def _check_numbers(
    ledger: CheckLedger, figures: tuple[Fraction, Fraction] | None, rule: RuleResult, *, at_most: bool
) -> None:
    if figures is None:
        limit, actual, slack = number(rule.limit), number(rule.actual), number(rule.slack)
        if limit is not None and actual is not None and slack is not None:
            good = abs(abs(limit - actual) - abs(slack)) <= RATE_NOISE and (slack >= 0) is rule.holds
            ledger.that("slack", good, abs(limit - actual), rule.slack)
        return
    limit, actual = decimal(figures[0]), decimal(figures[1])
    ledger.same("unit", "W" if at_most else "requests/s", rule.unit)
    ledger.that("limit", near(limit, rule.limit, RATE_NOISE), limit, rule.limit)
    ledger.that("actual", near(actual, rule.actual, RATE_NOISE, THOUSANDTH), actual, rule.actual)
    slack = limit - actual if at_most else actual - limit
    ledger.that("slack", near(slack, rule.slack, RATE_NOISE, THOUSANDTH), slack, rule.slack)


def check_totals(
    ledger: CheckLedger,
    site: CheckedSite,
    known: Sequence[Known],
    planned: Mapping[int, Fraction],
    answer: InventoryAnswer,
) -> tuple[int, Decimal]:
    """GPUs, tokens, price and mean time; returns (GPUs in use, most requests/s that the service completes)."""
    inventory = site.inventory
    demand, output = exact(inventory.workload.requests_per_s), inventory.workload.output_tokens
    used = [one.pool.instances * one.instance.gpus for one in known]
    ledger.same("gpus_used", sum(used), answer.gpus_used)
    ledger.same("gpus_free", inventory.gpus, answer.gpus_free)
    mean, completed = Decimal(0), Decimal(0)
    for index, one in enumerate(known):
        rate, count, slots = planned[index], one.pool.instances, one.pool.strategy.max_num_seqs
        load = one.instance.load(rate)
        if not ledger.that(f"pools.{index}", load is not None, "a load within reach", "overloaded") or load is None:
            continue
        mean += decimal(rate * count / demand) * load.mean
        completed += count * one.instance.completes(slots)
    ledger.time("request_mean_ms", mean, answer.request_mean_ms)
    ledger.rate("tokens_per_s", decimal(demand) * output, answer.tokens_per_s)
    peak, rounded = completed * output, len(known) * THOUSANDTH + completed * output * TWO_NANOSECONDS
    ledger.rate("peak_tokens_per_s", peak, answer.peak_tokens_per_s, rounded)
    return sum(used), completed


def check_bill(
    ledger: CheckLedger, site: CheckedSite, known: Sequence[Known], served: float, answer: InventoryAnswer
) -> None:
    """Price and power, of which those of a million tokens count what is served, failures counted."""
    workload = site.inventory.workload
    counted = [
        (group, one.pool.instances * gpus)
        for one in known
        for group, gpus in zip(one.groups, one.instance.gpus_of_segments, strict=True)
    ]
    tokens = decimal(exact(workload.requests_per_s)) * workload.output_tokens * decimal(exact(served))
    for name, expected in bill_of(counted, tokens).items():
        claimed = getattr(answer, name)
        if expected is None:
            ledger.same(name, None, claimed)
        else:
            ledger.that(name, near(expected, claimed, RATE_NOISE), expected, claimed)


def check_objective(
    ledger: CheckLedger, weights: LoadWeights, found: Totals, gpus: int, answer: InventoryAnswer
) -> float:
    """The exact value, the whole milliseconds, terms, bound and gap; returns the recomputed value."""
    terms = {"served": found.served_ms, "unserved": found.unserved_ms, "gpus": weights.gpu_ms * gpus}
    value = sum(terms.values())
    noise = noise_of(weights, found, value)
    claimed = number(answer.objective_exact_ms)
    close = claimed is not None and abs(float(claimed) - value) <= noise
    ledger.that("objective_exact_ms", close, value, answer.objective_exact_ms)
    stated = answer.objective
    if not ledger.that("objective", stated is not None, "the objective of the pools", None) or stated is None:
        return value
    whole = number(stated.value)
    lowest, highest = math.ceil(value - noise), math.ceil(value + noise)
    good = whole is not None and lowest <= whole <= highest and whole == int(whole)
    ledger.that("objective.value", good, f"{math.ceil(value)} ms", stated.value)
    ledger.same("objective.unit", "ms", stated.unit)
    ledger.same("objective.terms", set(terms), set(stated.terms))
    for name, mine in terms.items():
        part = number(stated.terms.get(name))
        ledger.that(f"objective.terms.{name}", part is not None and abs(float(part) - mine) <= noise, mine, part)
    if answer.status == "optimal":
        ledger.that("objective.bound", stated.bound == stated.value, stated.value, stated.bound)
        ledger.that("objective.gap", stated.gap == 0, 0, stated.gap)
    else:
        below = number(stated.bound) is not None and stated.bound <= stated.value
        ledger.that("objective.bound", below, f"at most {stated.value}", stated.bound)
    return value


def noise_of(weights: LoadWeights, found: Totals, value: float) -> float:
    """Milliseconds by which an exact value may differ: rounding of times to nanoseconds, 64-bit sums, lumped states."""
    lumped = weights.unserved * weights.penalty_ms * LEAST_STATE * (found.states + 1)
    return 2e-5 * max(1.0, weights.latency) + 1e-10 * abs(value) + found.noise_ms + lumped


def noise_of_probability(found: Totals) -> float:
    """By which a probability may differ: 64-bit sums, and states lumped in one grouping and not in another."""
    return 1e-13 + LEAST_STATE * (found.states + 1) + found.noise_probability


def check_reliability(
    ledger: CheckLedger, inventory: InventoryProblem, found: Totals, claimed: Reliability | None
) -> None:
    """Every figure of the steady state."""
    if not ledger.that("reliability", claimed is not None, "the steady state", claimed) or claimed is None:
        return
    noise = noise_of_probability(found)

    def close(what: str, mine: float, stated: float | None, allowed: float) -> None:
        value = number(stated)
        agrees = value is not None and abs(float(value) - mine) <= allowed
        ledger.that(f"reliability.{what}", agrees, mine, stated)

    close("availability", found.availability, claimed.availability, noise)
    close("carried", found.carried, claimed.carried, noise)
    monthly = inventory.workload.requests_per_s * 3600 * HOURS_A_MONTH
    unserved = (1 - found.availability) * monthly
    close("unserved_requests_per_month", unserved, claimed.unserved_requests_per_month, noise * monthly)
    stated = number(claimed.availability)
    if (
        stated is not None
    ):  # their own figures agree with each other, whatever rounding left open between theirs and these
        mine = (1 - float(stated)) * monthly
        close(
            "unserved_requests_per_month", mine, claimed.unserved_requests_per_month, 1e-15 * monthly + 1e-9 * unserved
        )
    _check_outages(ledger, inventory, found, claimed)
    total = 0.0
    last = math.inf
    for capacity, probability in claimed.capacity:
        ledger.that("reliability.capacity", capacity < last, "from most to least, each once", capacity)
        last, steps = capacity, round(capacity * 1e6)
        mine = found.capacity.get(steps, 0.0)
        allowed = noise + (found.lumped + noise if steps == 0 else 0.0)
        close(f"capacity.{capacity}", mine, probability, allowed)
        total += probability
    close("capacity, all together", 1.0, total, noise + found.lumped)


def _check_outages(ledger: CheckLedger, inventory: InventoryProblem, found: Totals, claimed: Reliability) -> None:
    """1 / (mean hours) is the frequency of outages over the share of time without one."""
    what, hours = "reliability.hours_between_outages", claimed.hours_between_outages
    mine = found.outages_per_hour / found.carried if found.carried else math.inf
    open_share = LEAST_STATE + _PARTS_DOWN * found.lumped + found.noise_probability
    if hours is None:
        rare = 1 - found.carried < LEAST_OUTAGE + open_share
        ledger.that(what, rare or mine <= 0, f"{1 / mine if mine else math.inf} hours", "none")
        return
    # What is left open: lumped states, with up to a few parts under repair each, may be outages or not.
    floor = open_share / inventory.failures.repair_hours.value
    value = number(hours)
    agrees = value is not None and value > 0 and abs(1 / float(value) - mine) <= 1e-4 * mine + floor
    ledger.that(what, agrees, 1 / mine if mine > 0 else "none", hours)
