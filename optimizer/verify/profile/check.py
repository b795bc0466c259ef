"""The public check of a plan for a day: every hour recomputed, starts and stops counted, the whole compared with the best day.

Other home: ``search/profile/thresholds.py``; docs/profile.md, section 5.
"""

from __future__ import annotations

import math
from dataclasses import replace
from decimal import Decimal
from fractions import Fraction

from optimizer.facts.profile import HOUR_S, HOURS, ProfileProblem
from optimizer.results.answer import Fixed, Strategy, Verification
from optimizer.results.day import DayAnswer, DayCost, HourOfDay, ShapeOfDay
from optimizer.verify.common.arithmetic import decimal, exact, sixty_digits
from optimizer.verify.common.candidate import Candidate, RowFacts
from optimizer.verify.common.claims import check_strategy
from optimizer.verify.common.groups import row_of
from optimizer.verify.common.ledger import CheckLedger, near
from optimizer.verify.common.objective import weights_of
from optimizer.verify.common.rules import barely_holds, clearly_holds, findings
from optimizer.verify.common.stage import Stages
from optimizer.verify.profile.day import best_of_day
from optimizer.verify.profile.states import fullest, lead_s, table_of

RESOLUTION = "times are rounded up to 1 ns and seconds of starts to 1; days within 1 GPU-second count as equal"
STEP = Fraction(1, 1000)
NEAR = Decimal("1e-9")


@sixty_digits()
def verify_day(day: ProfileProblem, answer: DayAnswer, *, exhaustive: bool = True) -> Verification:
    """Recompute every claim from the facts, and compare the plan, or none, with the best day of a dynamic program.

    Args:
        exhaustive: False leaves out the comparison.
    """
    ledger = CheckLedger()
    gpu_s, time_s = Decimal(0), Decimal(0)
    if answer.hours:
        if ledger.same("hours", list(range(HOURS)), [one.hour for one in answer.hours]):
            stages = Stages(day.problem)
            values = [_hour(ledger, day, one) for one in answer.hours]
            moved = [_moves(ledger, day, answer, one, stages) for one in answer.hours]
            for shape in answer.shapes:
                _shape(ledger, day, shape, stages)
            gpu_s = sum((Decimal(one.strategy.gpus * HOUR_S) for one in answer.hours), Decimal(0)) + sum(
                moved, Decimal(0)
            )
            time_s = sum(
                (decimal(exact(day.rates[h])) * HOUR_S * value / 1000 for h, value in enumerate(values)), Decimal(0)
            )
            _cost(ledger, day, answer, time_s, stages)
    else:
        ledger.that("status", answer.status in ("infeasible", "unknown"), "infeasible or unknown", answer.status)
    optimality, candidates = "not claimed", 0
    if answer.status in ("optimal", "infeasible"):
        optimality = "bound"
        scale = HOUR_S if day.schedule.first == "cost" else 1
        first = gpu_s if day.schedule.first == "cost" else time_s
        if answer.hours:
            claimed = answer.bound if answer.bound is not None else -1.0
            ledger.that("bound", near(first / scale, claimed, Decimal("0.01")), first / scale, claimed)
        table = table_of(day) if exhaustive and not ledger.mismatches else None
        best = best_of_day(day, table) if table is not None else None
        if table is not None and best is not None:
            candidates = table.candidates
            optimality = "exhaustive"
            second = time_s if day.schedule.first == "cost" else gpu_s
            worse = not answer.hours and math.isfinite(best[0])
            if answer.hours:
                behind = float(first) - best[0]
                rest = float(second) - best[1]
                tolerance = 1e-6 * max(1.0, float(second))
                worse = behind > 1e-3 * (1 + 1e-6 * float(first)) or (abs(behind) <= 1e-3 and rest > tolerance)
            if not ledger.that(
                "optimality" if answer.hours else "status", not worse, f"a day at {best}", (first, second)
            ):
                optimality = "refuted"
    return Verification(
        passed=not ledger.mismatches,
        checks=ledger.checks,
        optimality=optimality,
        candidates=candidates,
        resolution=RESOLUTION,
        mismatches=tuple(ledger.mismatches),
        compared=candidates,
    )


def _candidate(day: ProfileProblem, strategy: Strategy, requests_per_s: float) -> Candidate:
    problem = day.at(requests_per_s)
    return Candidate(RowFacts(problem, row_of(strategy), Stages(problem)), strategy.max_num_seqs)


def _keeps(day: ProfileProblem, one: Candidate, clearly: bool = False) -> bool:
    off = day.problem.search.disabled_rules
    judge = clearly_holds if clearly else barely_holds
    return all(rule.id in off or judge(one, rule) for rule in findings(one))


def _hour(ledger: CheckLedger, day: ProfileProblem, hour: HourOfDay) -> Decimal:
    """What is said of one hour; its value in ms."""
    with ledger.about(f"hour {hour.hour}"):
        ledger.same("requests_per_s", day.rates[hour.hour], hour.requests_per_s)
        if not check_strategy(ledger, day.problem, hour.strategy, Fixed()):
            return Decimal(0)
        one = _candidate(day, hour.strategy, day.rates[hour.hour])
        ledger.same("instances", one.row.instances, hour.instances)
        ledger.that("rules", _keeps(day, one), "every rule kept", "a rule is broken")
        load = one.load
        ledger.time("ttft_p99_ms", load.ttft_p99 if load else None, hour.ttft_p99_ms)
        ledger.time("tpot_p99_ms", load.tpot_p99 if load else None, hour.tpot_p99_ms)
        value = one.value().total
        ledger.time("value", value, hour.value, max(Decimal(1), weights_of(day.problem.objective).latency) * 7)
        ledger.that("within", hour.within >= hour.requests_per_s * (1 - 1e-9) - 0.001, "at least the rate", hour.within)
        return value


def _moves(ledger: CheckLedger, day: ProfileProblem, answer: DayAnswer, hour: HourOfDay, stages: Stages) -> Decimal:
    """Starts and stops before an hour; their GPU-seconds."""
    before = answer.hours[hour.hour - 1]
    shape, old = row_of(hour.strategy).shape, row_of(before.strategy).shape
    same = shape == old
    started = max(0, hour.instances - before.instances) if same else hour.instances
    stopped = max(0, before.instances - hour.instances) if same else before.instances
    with ledger.about(f"hour {hour.hour}"):
        ledger.same("started", started, hour.started)
        ledger.same("stopped", stopped, hour.stopped)
        most = day.schedule.most_changes_per_hour
        ledger.that("changes", most is None or started + stopped <= most, f"at most {most}", started + stopped)
        if not same:
            loads = [fullest(day, row_of(one.strategy)) for one in (hour, before)]
            room = None not in loads and sum(load or 0 for load in loads) <= day.problem.hardware.gpus_per_node
            ledger.that("room", room, "both shapes side by side on every node", loads)
    return Decimal(
        started * _start(day, answer.hours[hour.hour].strategy, stages) + stopped * _stop(day, before.strategy)
    )


def _start(day: ProfileProblem, strategy: Strategy, stages: Stages) -> int:
    shape, price = row_of(strategy).shape, Fraction(0)
    if day.schedule.start_price:
        price = exact(day.schedule.start_price) / exact(day.problem.hardware.price_per_gpu_hour or 1) * HOUR_S
    return math.ceil(shape.instance_gpus * lead_s(day, shape, stages) + price)


def _stop(day: ProfileProblem, strategy: Strategy) -> int:
    return math.ceil(row_of(strategy).shape.instance_gpus * exact(day.schedule.drain_s))


def _shape(ledger: CheckLedger, day: ProfileProblem, claimed: ShapeOfDay, stages: Stages) -> None:
    """Start and thresholds: each rate is kept and a step more is not, and the rate to add at leaves room to grow while one starts."""
    shape = row_of(claimed.strategy).shape
    with ledger.about(f"shape {claimed.strategy.label}"):
        ledger.same("instance_gpus", shape.instance_gpus, claimed.instance_gpus)
        lead = lead_s(day, shape, stages)
        ledger.same("start_s", lead, claimed.start_s)
        rates = [exact(rate) for rate in day.rates]
        growth = max(Fraction(0), *((rates[(h + 1) % HOURS] - rates[h]) / HOUR_S for h in range(HOURS)))
        for one in claimed.thresholds:
            strategy = replace(claimed.strategy, data_parallel=one.instances * shape.group.ranks)
            kept = _keeps(day, _candidate(day, strategy, one.requests_per_s))
            over = _keeps(day, _candidate(day, strategy, float(exact(one.requests_per_s) + STEP)), clearly=True)
            ledger.that(
                f"threshold of {one.instances}",
                kept and not over,
                "the largest rate that keeps every rule",
                one.requests_per_s,
            )
            left = max(Fraction(0), exact(one.requests_per_s) - growth * lead)
            close = left - STEP <= exact(one.add_at_per_s) <= left
            ledger.that(f"add_at of {one.instances}", close, float(left), one.add_at_per_s)


def _cost(ledger: CheckLedger, day: ProfileProblem, answer: DayAnswer, time_s: Decimal, stages: Stages) -> None:
    claimed = answer.cost
    if not ledger.that("cost", claimed is not None, "the cost of the plan", claimed) or claimed is None:
        return
    serving, moving, starts, changes = 0, Fraction(0), 0, 0
    for one in answer.hours:
        before = answer.hours[one.hour - 1]
        size, old = (row_of(at.strategy).shape.instance_gpus for at in (one, before))
        serving += one.strategy.gpus
        moving += one.started * size * lead_s(day, row_of(one.strategy).shape, stages)
        moving += one.stopped * old * exact(day.schedule.drain_s)
        starts, changes = starts + one.started, changes + one.started + one.stopped
    hours = decimal(serving + moving / HOUR_S)
    _close(ledger, "gpu_hours", hours, claimed.gpu_hours)
    _close(ledger, "serving_gpu_hours", Decimal(serving), claimed.serving_gpu_hours)
    ledger.same("changes", changes, claimed.changes)
    price = day.problem.hardware.price_per_gpu_hour
    if price is None:
        ledger.same("price", None, claimed.price)
    else:
        total = hours * decimal(exact(price)) + starts * decimal(exact(day.schedule.start_price))
        _close(ledger, "price", total, claimed.price)
    requests = sum((decimal(exact(rate)) for rate in day.rates), Decimal(0)) * HOUR_S
    mean = time_s * 1000 / requests
    ledger.that("request_mean_ms", near(mean, claimed.request_mean_ms, Decimal("0.001")), mean, claimed.request_mean_ms)
    if answer.fixed is not None and answer.status == "optimal":
        _no_worse(ledger, day, claimed, answer.fixed)


def _no_worse(ledger: CheckLedger, day: ProfileProblem, plan: DayCost, fixed: DayCost) -> None:
    """A plan that never changes is one of those compared."""
    if day.schedule.first == "cost" and not day.schedule.start_price:
        ledger.that("fixed", plan.gpu_hours <= fixed.gpu_hours + 1e-9, f"at least {plan.gpu_hours}", fixed.gpu_hours)


def _close(ledger: CheckLedger, what: str, expected: Decimal, actual: float | None) -> None:
    ledger.that(what, near(expected, actual, NEAR * (1 + abs(expected))), expected, actual)
