"""Is an answer about pools true, and is its optimum one? Every claim recomputed; every other pair compared."""

from __future__ import annotations

from decimal import Decimal
from fractions import Fraction

from optimizer.facts.demand import FEWEST
from optimizer.facts.one_group import one_group
from optimizer.facts.problem import Problem
from optimizer.results.answer import Verification
from optimizer.results.pools import FixedPools, PoolMetrics, PoolsAnswer, PoolsStrategy
from optimizer.verify.common.arithmetic import exact, sixty_digits
from optimizer.verify.common.ledger import CheckLedger
from optimizer.verify.common.objective import weights_of
from optimizer.verify.pools.cluster_bound import own_bound
from optimizer.verify.pools.pair import PoolsPair, Shapes, group_of, joined, legal
from optimizer.verify.pools.shape import PoolShape
from optimizer.verify.pools.site import PoolsSite
from optimizer.verify.pools.survey import survey

RESOLUTION = "times are rounded up to 1 ns and bytes to 1; objectives within 10 ns count as equal"
NEAR_MS = Decimal("0.00001")
NEAR_SHARE = Decimal("1e-9")
STEP = Fraction(1, 1000)


@sixty_digits()
def verify_pools(
    problem: Problem,
    answer: PoolsAnswer,
    fixed: FixedPools = FixedPools(),
    *,
    exhaustive: bool = True,
    shapes: Shapes | None = None,
) -> Verification:
    """Recompute every claim of an answer from the facts; compare an optimum, or none, with every pair there is.

    Args:
        exhaustive: False leaves out the comparison.
        shapes: of the problem, for whoever asks more about them; left out, they are worked out here.
    """
    ledger, shapes = CheckLedger(), Shapes(problem) if shapes is None else shapes
    pair: PoolsPair | None = None
    if answer.strategy is not None:
        pair = _claims(ledger, problem, answer, answer.strategy, shapes)
    else:
        ledger.that("status", answer.status in ("infeasible", "unknown"), "infeasible or unknown", answer.status)
        ledger.that("metrics", answer.metrics is None, "none without a strategy", answer.metrics)
    optimality, pairs, compared, said = "not claimed", 0, 0, RESOLUTION
    judged = answer.feasible is not None
    if not judged and (answer.status == "infeasible" or (answer.status == "optimal" and pair is not None)):
        optimality = "bound"
        found = survey(problem, shapes, fixed, pair) if exhaustive else None
        if found is not None:
            pairs, compared = found.pairs, found.compared
            optimality = "exhaustive"
            if found.better is not None:
                optimality = "refuted"
                claimed = answer.label or "infeasible"
                ledger.that("optimality" if pair else "status", False, found.better, claimed)
            else:
                ledger.that("optimality", True, claimed_or_none(answer), claimed_or_none(answer))
    if exhaustive and pair is not None and not judged and optimality in ("bound", "not claimed"):
        inventory, preset = one_group(problem), problem.objective.preset
        if inventory is not None:
            measure, value = "balanced", sum(pair.terms().values(), Decimal(0))
            if preset in (*FEWEST, "throughput", "capacity"):
                measure, value = ("fewest-gpus" if preset in FEWEST else preset), Decimal(pair.gpus)
            said = "; ".join(filter(None, (said, own_bound(ledger, PoolsSite(inventory), fixed, measure, value))))
    return Verification(
        not ledger.mismatches, ledger.checks, optimality, pairs, said, tuple(ledger.mismatches), compared
    )


def claimed_or_none(answer: PoolsAnswer) -> str:
    """What an answer proposes."""
    return answer.label or "no pair"


def _claims(
    ledger: CheckLedger, problem: Problem, answer: PoolsAnswer, strategy: PoolsStrategy, shapes: Shapes
) -> PoolsPair | None:
    first, second = group_of(strategy.prefill), group_of(strategy.decode)
    fine = [legal(problem, shapes.of(one)) for one in (first, second)]
    ledger.that("prefill shape", fine[0], "one that the engine runs", strategy.prefill.label)
    ledger.that("decode shape", fine[1], "one that the engine runs", strategy.decode.label)
    ledger.that("link", joined(problem, first, second), "a pair that the engine joins", strategy.label)
    pair = PoolsPair(shapes, strategy.prefill, strategy.decode)
    ledger.same("link", pair.wire.name, answer.link)
    _rules(ledger, problem, answer, pair)
    _metrics(ledger, answer, pair)
    _objective(ledger, problem, answer, pair)
    return pair


def _rules(ledger: CheckLedger, problem: Problem, answer: PoolsAnswer, pair: PoolsPair) -> None:
    off = problem.search.disabled_rules
    found = {ruling.id: ruling for ruling in pair.rulings()}
    ledger.that("rules", [rule.id for rule in answer.rules] == list(found), list(found), [r.id for r in answer.rules])
    for rule in answer.rules:
        ruling = found.get(rule.id)
        if ruling is None:
            continue
        near = abs(ruling.slack) <= NEAR_SHARE
        ledger.that(f"rule {rule.id}", near or rule.holds == ruling.holds, ruling.holds, rule.holds)
        ledger.that(f"rule {rule.id} enabled", rule.enabled == (rule.id not in off), rule.id not in off, rule.enabled)
    broken = [r.id for r in found.values() if not r.holds and r.id not in off and abs(r.slack) > NEAR_SHARE]
    feasible = answer.status in ("optimal", "feasible") if answer.feasible is None else answer.feasible
    ledger.that("feasible", feasible == (not broken), f"rules broken: {', '.join(broken) or 'none'}", answer.status)


def _metrics(ledger: CheckLedger, answer: PoolsAnswer, pair: PoolsPair) -> None:
    claimed = answer.metrics
    if claimed is None:
        ledger.that("metrics", False, "metrics of the pools", None)
        return
    loads = pair.loads(pair.demand)
    for name in ("prefill_p50", "prefill_p99", "ttft_p50", "ttft_p99", "tpot_p50", "tpot_p99"):
        if loads is not None:
            ledger.time(name, pair.latency(name, loads), getattr(claimed, f"{name}_ms"), Decimal(5))
    ledger.time("transfer", pair.transfer("usual"), claimed.transfer_ms, Decimal(2))
    ledger.time("transfer of the longest", pair.transfer("longest"), claimed.transfer_longest_ms, Decimal(2))
    if loads is not None:
        mean = loads[0].mean + loads[1].mean + pair.transfer("mean")
        ledger.time("request mean", mean, claimed.request_mean_ms, Decimal(5))
        ledger.same("n50", loads[1].n50, claimed.decode.concurrency_p50)
        ledger.same("n99", loads[1].n99, claimed.decode.concurrency_p99)
        for side, load, one in (("prefill", loads[0], claimed.prefill), ("decode", loads[1], claimed.decode)):
            held = one.cache_wanted_bytes_per_gpu
            close = held is not None and abs(Decimal(held) - load.wanted) <= 3 + load.wanted / 10**9
            ledger.that(f"{side} cache wanted", close, load.wanted, held)
            _close(ledger, f"{side} link busy", load.link.busy, one.link_busy)
        _close(ledger, "prefill busy", loads[0].busy, claimed.prefill.busy)
    sides: list[tuple[str, PoolShape, PoolMetrics]] = [
        ("prefill", pair.prefill.shape, claimed.prefill),
        ("decode", pair.decode.shape, claimed.decode),
    ]
    for (side, shape, one), peak in zip(sides, pair.peak(), strict=True):
        close = abs(peak - Decimal(repr(one.capacity_per_s))) <= Decimal("0.000002")
        ledger.that(f"{side} capacity", close, peak, one.capacity_per_s)
        ledger.same(f"{side} weights", shape.stage.weights_bytes, one.weights_bytes_per_gpu)
        ledger.same(f"{side} room", max(0, shape.room), one.cache_room_bytes_per_gpu)
    output = pair.problem.workload.output_tokens
    peak = min(pair.peak()) * output
    ledger.that(
        "peak", abs(peak - Decimal(repr(claimed.peak_tokens_per_s))) <= Decimal("0.01"), peak, claimed.peak_tokens_per_s
    )
    lost = sum((one.lost for one in pair.values()), Decimal(0))
    _close(ledger, "availability", max(Decimal(0), 1 - lost), claimed.availability)
    rate = exact(claimed.max_request_rate)
    fine = rate == 0 or pair.carried(rate, NEAR_MS)
    ledger.that("max_request_rate", fine, "a rate that is carried", claimed.max_request_rate)
    ledger.that("max_request_rate", not pair.carried(rate + STEP, -NEAR_MS), "the largest", claimed.max_request_rate)


def _close(ledger: CheckLedger, what: str, expected: Decimal, actual: float | None) -> None:
    close = actual is not None and abs(expected - Decimal(repr(float(actual)))) <= NEAR_SHARE
    ledger.that(what, close, expected, actual)


def _objective(ledger: CheckLedger, problem: Problem, answer: PoolsAnswer, pair: PoolsPair) -> None:
    claimed = answer.objective
    if claimed is None:
        ledger.that("objective", False, "an objective of the pools", None)
        return
    scale = max(Decimal(1), weights_of(problem.objective).latency) * 4
    terms = pair.terms()
    for name, value in terms.items():
        ledger.time(f"objective {name}", value, claimed.terms.get(name), scale)
    ledger.time("objective", sum(terms.values(), Decimal(0)), claimed.value, scale * 3)
    if answer.status == "optimal" and answer.feasible is None:
        ledger.that("bound", claimed.bound == claimed.value, claimed.value, claimed.bound)
