"""Is an answer about pools on an inventory true, and is its optimum one? Every claim recomputed; every other choice compared."""

from __future__ import annotations

from decimal import Decimal
from fractions import Fraction

from optimizer.facts.inventory import InventoryProblem
from optimizer.results.answer import Verification
from optimizer.results.cluster_pools import ClusterPoolsAnswer, ClusterPoolsMetrics, ClusterPoolsStrategy
from optimizer.results.pools import FixedPools
from optimizer.verify.common.arithmetic import decimal, exact, sixty_digits
from optimizer.verify.common.ledger import CheckLedger
from optimizer.verify.common.objective import weights_of
from optimizer.verify.pools.check import NEAR_MS, NEAR_SHARE, RESOLUTION, STEP
from optimizer.verify.pools.cluster_bound import no_room, own_bound
from optimizer.verify.pools.cluster_pair import ClusterPair
from optimizer.verify.pools.cluster_survey import offered_pairs, survey_cluster
from optimizer.verify.pools.pair import group_of, joined, legal
from optimizer.verify.pools.site import SHARES, PoolsSite


@sixty_digits()
def verify_cluster_pools(
    problem: InventoryProblem,
    answer: ClusterPoolsAnswer,
    fixed: FixedPools = FixedPools(),
    *,
    exhaustive: bool = True,
) -> Verification:
    """Recompute every claim of an answer from the facts; compare an optimum, or none, with every choice there is.

    Args:
        exhaustive: False leaves out the comparison, and the bound that takes its place where there are too many choices.
    """
    ledger, site = CheckLedger(), PoolsSite(problem)
    pair: ClusterPair | None = None
    if answer.strategy is not None:
        pair = _claims(ledger, problem, answer, answer.strategy, site)
    else:
        ledger.that("status", answer.status in ("infeasible", "unknown"), "infeasible or unknown", answer.status)
        ledger.that("metrics", answer.metrics is None, "none without a strategy", answer.metrics)
    optimality, pairs, compared = "not claimed", 0, 0
    ruled: dict[str, int] = {}
    said = RESOLUTION
    claims = answer.status == "infeasible" or (answer.status == "optimal" and pair is not None)
    if answer.feasible is None and claims:
        optimality = "bound"
        found = survey_cluster(site, fixed, pair) if exhaustive else None
        if found is not None:
            pairs, compared, optimality = found.pairs, found.compared, "exhaustive"
            ruled = {"the bound on the objective": pairs - compared} if pairs > compared else {}
            label = answer.label or "no pair"
            if found.better is not None:
                optimality = "refuted"
                ledger.that("optimality" if pair else "status", False, found.better, label)
            else:
                ledger.that("optimality", True, label, label)
        elif exhaustive and pair is None:
            ledger.that("status", True, "infeasible", "infeasible")
            if no_room(site, fixed):
                optimality, pairs = "exhaustive", offered_pairs(site, fixed)
                ruled = {"prices of the GPUs that they need": pairs}
    if exhaustive and pair is not None and answer.feasible is None and optimality in ("bound", "not claimed"):
        preset = problem.objective.preset
        whole = {"fewest-gpus": Decimal(pair.gpus), "cheapest": decimal(pair.price or Fraction(0))}
        value = whole.get(preset, sum(pair.terms().values(), Decimal(0)))
        said = "; ".join(filter(None, (said, own_bound(ledger, site, fixed, preset, value))))
    return Verification(
        not ledger.mismatches, ledger.checks, optimality, pairs, said, tuple(ledger.mismatches), compared, ruled
    )


def _claims(
    ledger: CheckLedger,
    problem: InventoryProblem,
    answer: ClusterPoolsAnswer,
    strategy: ClusterPoolsStrategy,
    site: PoolsSite,
) -> ClusterPair | None:
    for name, side in (("prefill", strategy.prefill), ("decode", strategy.decode)):
        fine = bool(side) and all(site.index(part) is not None for part in side)
        if not ledger.that(f"{name} groups", fine, f"groups of {', '.join(site.names)}", [part.group for part in side]):
            return None
        whole = sum(round(part.share * SHARES) for part in side) == SHARES
        near = all(abs(part.share * SHARES - round(part.share * SHARES)) < 1e-9 and part.share > 0 for part in side)
        ledger.that(
            f"{name} shares", whole and near, f"whole parts of {SHARES} that add up to 1", [p.share for p in side]
        )
        for part in side:
            group = site.index(part) or 0
            runs = legal(site.problems[group], site.shapes[group].of(group_of(part.pool)))
            ledger.that(f"{name} shape", runs, "one that the engine runs", part.label)
    pair = ClusterPair(site, strategy)
    receivers = {(p.pool.tensor_parallel, p.pool.weight_precision, p.pool.kv_precision) for p in strategy.decode}
    one_kind = len(receivers) == 1
    ledger.that("decode caches", one_kind, "one TP and one cache format", len(receivers))
    for part in strategy.prefill:
        fits = joined(site.problems[0], group_of(part.pool), group_of(strategy.decode[0].pool))
        ledger.that("link", fits, "a pair that the engine joins", strategy.label)
    ledger.same("link", pair.parts[0][0].crossing.wire.name, answer.link)
    _rules(ledger, answer, pair)
    if answer.metrics is None:
        ledger.that("metrics", False, "metrics of the pools", None)
    else:
        _metrics(ledger, answer.metrics, pair)
    _objective(ledger, answer, pair)
    return pair


def _rules(ledger: CheckLedger, answer: ClusterPoolsAnswer, pair: ClusterPair) -> None:
    off = pair.problem.search.disabled_rules
    found = {ruling.id: ruling for ruling in pair.rulings()}
    ids = [rule.id for rule in answer.rules]
    ledger.that("rules", sorted(ids) == sorted(found), list(found), ids)
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


def _metrics(ledger: CheckLedger, claimed: ClusterPoolsMetrics, pair: ClusterPair) -> None:
    loads = [pair.loads(side, pair.demand) for side in (0, 1)]
    known = [one for one in loads if one is not None]
    if len(known) == 2:
        for name in ("prefill_p50", "prefill_p99", "ttft_p50", "ttft_p99", "tpot_p50", "tpot_p99"):
            ledger.time(name, pair.latency(name, known), getattr(claimed, f"{name}_ms"), Decimal(5))
        mean = sum(
            (
                decimal(part.share) * one.mean
                for side, some in zip(pair.parts, known, strict=True)
                for part, one in zip(side, some, strict=True)
            ),
            Decimal(0),
        )
        ledger.time("request mean", mean + pair.transfer("mean"), claimed.request_mean_ms, Decimal(10))
    ledger.time("transfer", pair.transfer("usual"), claimed.transfer_ms, Decimal(2))
    ledger.time("transfer of the longest", pair.transfer("longest"), claimed.transfer_longest_ms, Decimal(2))
    for side, name in enumerate(("prefill", "decode")):
        stated = getattr(claimed, name)
        if not ledger.that(f"{name} parts", len(stated) == len(pair.parts[side]), len(pair.parts[side]), len(stated)):
            continue
        for part, one in zip(pair.parts[side], stated, strict=True):
            _part(ledger, pair, side, name, part, one)
    output = pair.problem.workload.output_tokens
    peak = pair.peak() * output
    ledger.that("peak", _near(peak, claimed.peak_tokens_per_s, Decimal("0.01")), peak, claimed.peak_tokens_per_s)
    lost = pair.values(0).lost + pair.values(1).lost
    available = max(Decimal(0), 1 - lost)
    ledger.that("availability", _near(available, claimed.availability, NEAR_SHARE), available, claimed.availability)
    price = pair.price
    agrees = price is None and claimed.price_per_hour is None
    if price is not None and claimed.price_per_hour is not None:
        agrees = abs(float(price) - claimed.price_per_hour) < 1e-6
    ledger.that("price", agrees, None if price is None else float(price), claimed.price_per_hour)
    rate = exact(claimed.max_request_rate)
    ledger.that("max_request_rate", rate == 0 or pair.carried(rate, NEAR_MS), "a rate that is carried", rate)
    ledger.that("max_request_rate", not pair.carried(rate + STEP, -NEAR_MS), "the largest", rate)


def _part(ledger: CheckLedger, pair: ClusterPair, side: int, name: str, part: object, one: object) -> None:
    from optimizer.results.pools import PoolMetrics
    from optimizer.verify.pools.cluster_pair import SitePart

    assert isinstance(part, SitePart) and isinstance(one, PoolMetrics)
    shape = part.pool.shape
    load = part.pool.load(pair.demand * part.share)
    if load is not None:
        held = one.cache_wanted_bytes_per_gpu
        close = held is not None and abs(Decimal(held) - load.wanted) <= 3 + load.wanted / 10**9
        ledger.that(f"{name} cache wanted", close, load.wanted, held)
        ledger.that(
            f"{name} link busy", _near(load.link.busy, one.link_busy, NEAR_SHARE), load.link.busy, one.link_busy
        )
        if side == 0:
            ledger.that(f"{name} busy", _near(load.busy, one.busy, NEAR_SHARE), load.busy, one.busy)
        else:
            ledger.same("n50", load.n50, one.concurrency_p50)
            ledger.same("n99", load.n99, one.concurrency_p99)
    peak = pair.peak_of(part)
    ledger.that(f"{name} capacity", _near(peak, one.capacity_per_s, Decimal("0.000002")), peak, one.capacity_per_s)
    ledger.same(f"{name} weights", shape.stage.weights_bytes, one.weights_bytes_per_gpu)
    ledger.same(f"{name} room", max(0, shape.room), one.cache_room_bytes_per_gpu)


def _near(expected: Decimal, actual: float | None, within: Decimal) -> bool:
    return actual is not None and abs(expected - Decimal(repr(float(actual)))) <= within


def _objective(ledger: CheckLedger, answer: ClusterPoolsAnswer, pair: ClusterPair) -> None:
    claimed = answer.objective
    if claimed is None:
        ledger.that("objective", False, "an objective of the pools", None)
        return
    scale = max(Decimal(1), weights_of(pair.problem.objective).latency) * 4 * len(pair.every)
    terms = pair.terms()
    for name, value in terms.items():
        ledger.time(f"objective {name}", value, claimed.terms.get(name), scale)
    ledger.time("objective", sum(terms.values(), Decimal(0)), claimed.value, scale * 3)
    if answer.status == "optimal" and answer.feasible is None:
        ledger.that("bound", claimed.bound == claimed.value, claimed.value, claimed.bound)
