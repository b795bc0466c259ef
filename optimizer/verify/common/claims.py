"""Each claim of an answer about its own strategy against the exact value: legality, metrics, rules, objective.

Callers work inside ``arithmetic.sixty_digits``.
"""

from __future__ import annotations

from collections.abc import Sequence
from decimal import Decimal

from optimizer.facts.demand import FEWEST
from optimizer.facts.problem import Problem
from optimizer.results.answer import Fixed, Metrics, ObjectiveResult, RuleResult, Status, Strategy
from optimizer.verify.common.arithmetic import decimal, exact, facts_of_costs
from optimizer.verify.common.bill import Used, bill_of
from optimizer.verify.common.candidate import CACHE_NOISE_BYTES, RATE_STEP, Candidate
from optimizer.verify.common.layer import KV_BYTES
from optimizer.verify.common.ledger import RELATIVE, THOUSANDTH, TWO_NANOSECONDS, CheckLedger, near, number
from optimizer.verify.common.objective import Value
from optimizer.verify.common.rules import Finding, barely_holds, clearly_holds
from optimizer.verify.common.space import contexts_run

_TIMES = ("prefill_p50", "prefill_p99", "ttft_p50", "ttft_p99", "tpot_p50", "tpot_p99", "e2e_p50", "e2e_p99")
_TIGHT = Decimal("1e-11")
FLOAT_BYTES = Decimal("0.01")
"""What 64-bit floats lose of the bytes that requests in progress want."""


def check_strategy(ledger: CheckLedger, problem: Problem, strategy: Strategy, fixed: Fixed) -> bool:
    """The strategy is one at all; False when nothing can be computed from it."""
    degrees = {
        "tensor_parallel": strategy.tensor_parallel,
        "pipeline_parallel": strategy.pipeline_parallel,
        "data_parallel": strategy.data_parallel,
        "expert_parallel": strategy.expert_parallel,
        "expert_slice_ranks": strategy.expert_slice_ranks,
        "decode_context_parallel": strategy.decode_context_parallel,
        "max_num_seqs": strategy.max_num_seqs,
    }
    legal = True
    for name, value in degrees.items():
        legal &= ledger.that(f"strategy.{name}", type(value) is int and value >= 1, "a whole number from 1", value)
    layers = strategy.layers_per_stage
    what = "strategy.layers_per_stage"
    legal &= ledger.that(what, all(type(n) is int and n >= 0 for n in layers), "whole numbers from 0", layers)
    legal &= ledger.that(what, len(layers) == strategy.pipeline_parallel, strategy.pipeline_parallel, len(layers))
    legal &= ledger.that(what, sum(layers) == problem.model.layers, problem.model.layers, sum(layers))
    weights = facts_of_costs().formats
    known = strategy.weight_precision in weights
    legal &= ledger.that("strategy.weight_precision", known, "a weight format", strategy.weight_precision)
    known = strategy.kv_precision in KV_BYTES
    legal &= ledger.that("strategy.kv_precision", known, "a KV format", strategy.kv_precision)
    if legal:
        shared, tp = strategy.decode_context_parallel, strategy.tensor_parallel
        runs = contexts_run(problem, tp, strategy.kv_precision, shared)
        legal &= ledger.that("strategy.decode_context_parallel", runs, "a degree that the engine runs", shared)
    for name in Fixed.__slots__:
        wanted = getattr(fixed, name)
        if wanted is not None:
            ledger.same(f"strategy.{name} as fixed", wanted, getattr(strategy, name))
    return legal


def check_metrics(
    ledger: CheckLedger, candidate: Candidate, value: Value, claimed: Metrics, used: Used | None = None
) -> None:
    """Every field of the metrics.

    Args:
        used: the hardware in use, where it is not the candidate's own throughout.
    """
    load, memory, work = candidate.load, candidate.memory_bytes, candidate.problem.workload
    weights = tuple(stage.weights_bytes for stage in candidate.facts.stages)
    ledger.same("metrics.weights_bytes_per_gpu", max(weights), claimed.weights_bytes_per_gpu)
    ledger.same("metrics.weights_bytes_per_stage", weights, claimed.weights_bytes_per_stage)
    ledger.same("metrics.memory_bytes_per_gpu", max(memory), claimed.memory_bytes_per_gpu)
    ledger.same("metrics.memory_bytes_per_stage", memory, claimed.memory_bytes_per_stage)
    ledger.same("metrics.kv_cache_bytes_per_gpu", candidate.cache_bytes, claimed.kv_cache_bytes_per_gpu)
    ledger.same("metrics.kv_cache_tokens", candidate.cache_tokens, claimed.kv_cache_tokens)
    _check_longest(ledger, candidate, claimed.max_sequence_tokens)
    share = decimal(candidate.memory_share)
    utilization = claimed.memory_utilization
    ledger.that("metrics.memory_utilization", near(share, utilization, _TIGHT), share, utilization)
    for name in _TIMES:
        ledger.time(f"metrics.{name}_ms", getattr(load, name) if load else None, getattr(claimed, f"{name}_ms"))
    ledger.time("metrics.request_mean_ms", load.mean if load else None, claimed.request_mean_ms)
    ledger.time("metrics.tpot_full_batch_ms", candidate.times.tpot(candidate.slots), claimed.tpot_full_batch_ms)
    kept = candidate.prefix_kept_s()
    if kept is None:
        ledger.same("metrics.prefix_kept_s", None, claimed.prefix_kept_s)
    else:
        right = near(kept, claimed.prefix_kept_s, Decimal("1e-6") * (1 + kept))
        ledger.that("metrics.prefix_kept_s", right, kept, claimed.prefix_kept_s)
    if candidate.problem.requirements.goodput is None or load is None:
        ledger.same("metrics.goodput", None, claimed.goodput)
    else:
        held = 1 - load.goodput
        ledger.that("metrics.goodput", near(held, claimed.goodput, _TIGHT), held, claimed.goodput)
    ledger.same("metrics.concurrency_p50", load.n50 if load else None, claimed.concurrency_p50)
    ledger.same("metrics.concurrency_p99", load.n99 if load else None, claimed.concurrency_p99)
    asked = decimal(candidate.demand)
    right = near(asked, claimed.requests_per_s, _TIGHT * (1 + asked))
    ledger.that("metrics.requests_per_s", right, asked, claimed.requests_per_s)
    ledger.rate("metrics.tokens_per_s", decimal(candidate.demand) * work.output_tokens, claimed.tokens_per_s)
    completed, residence = candidate.completions()
    peak = completed * work.output_tokens
    ledger.rate("metrics.peak_tokens_per_s", peak, claimed.peak_tokens_per_s, peak * TWO_NANOSECONDS / residence)
    near_enough = near(value.availability, claimed.availability, _TIGHT)
    ledger.that("metrics.availability", near_enough, value.availability, claimed.availability)
    _check_most_requests(ledger, candidate, claimed.max_request_rate)
    served = decimal(candidate.demand) * work.output_tokens * value.availability
    for name, cost in bill_of(used or [(candidate.problem.hardware, candidate.row.gpus)], served).items():
        stated = getattr(claimed, name)
        right = stated is None if cost is None else near(cost, stated, _TIGHT * 10 * (1 + cost))
        ledger.that(f"metrics.{name}", right, cost, stated)


def _check_longest(ledger: CheckLedger, candidate: Candidate, claimed: int) -> None:
    """The longest sequence served; rounding may move it by the block that the last byte decides."""
    least, most = (candidate.longest_sequence(noise) for noise in (-CACHE_NOISE_BYTES, CACHE_NOISE_BYTES))
    right = type(claimed) is int and least <= claimed <= most
    ledger.that("metrics.max_sequence_tokens", right, candidate.longest_sequence(), claimed)


def _check_most_requests(ledger: CheckLedger, candidate: Candidate, claimed: float) -> None:
    """The claimed rate is carried, and one step above is not; loads only grow with the rate, so that settles it."""
    what, value = "metrics.max_request_rate", number(claimed)
    if not ledger.that(what, value is not None and value >= 0, "a rate from 0", claimed):
        return
    rate = exact(claimed)
    if not ledger.that(what, rate % RATE_STEP == 0, "a multiple of 0.001", claimed):
        return
    ledger.that(what, rate == 0 or candidate.carries(rate, RELATIVE), "a rate that is carried", claimed)
    over = candidate.carries(rate + RATE_STEP, -TWO_NANOSECONDS)
    ledger.that(what, not over, "the largest such rate; one step more is carried too", claimed)


def check_rules(
    ledger: CheckLedger, candidate: Candidate, found: Sequence[Finding], claimed: Sequence[RuleResult]
) -> None:
    """Every rule of the problem is there once, with true numbers."""
    off = candidate.problem.search.disabled_rules
    rows = {rule.id: rule for rule in claimed}
    ledger.that("rules", len(rows) == len(claimed), "each rule once", [rule.id for rule in claimed])
    for finding in found:
        rule = rows.pop(finding.id, None)
        if rule is None:
            ledger.that(f"rules.{finding.id}", finding.id in off, "a result for this rule", "none")
            continue
        with ledger.about(f"rules.{finding.id}"):
            ledger.same("enabled", finding.id not in off, rule.enabled)
            possible = barely_holds(candidate, finding) if rule.holds else not clearly_holds(candidate, finding)
            ledger.that("holds", possible and type(rule.holds) is bool, finding.holds, rule.holds)
            _check_numbers(ledger, finding, rule)
    for left in rows:
        ledger.that(f"rules.{left}", False, "no such rule in this problem", left)


def _check_numbers(ledger: CheckLedger, finding: Finding, rule: RuleResult) -> None:
    if finding.limit is None:
        ledger.same("slack", None, rule.slack)
        return
    ledger.same("unit", finding.unit, rule.unit)
    if finding.actual is None:
        ledger.that("actual", isinstance(rule.actual, str), "words: there is no finite value", rule.actual)
        ledger.same("slack", None, rule.slack)
        return
    ledger.that("limit", near(finding.limit, rule.limit, Decimal(0)), finding.limit, rule.limit)
    if finding.id == "kv_cache":
        # Rounded up to whole bytes, after what floats lose of it.
        up, down = 1 + FLOAT_BYTES, FLOAT_BYTES
        ledger.that("actual", near(finding.actual, rule.actual, up, down), finding.actual, rule.actual)
        slack = finding.limit - finding.actual
        ledger.that("slack", near(slack, rule.slack, down, up), slack, rule.slack)
        return
    if finding.unit in ("ms", "share of requests"):
        ledger.time("actual", finding.actual, rule.actual)
    elif finding.unit == "requests/s":
        ledger.rate("actual", finding.actual, rule.actual, finding.actual * TWO_NANOSECONDS)
    else:
        ledger.that("actual", near(finding.actual, rule.actual, Decimal(0)), finding.actual, rule.actual)
    slack = (finding.limit - finding.actual) * (1 if finding.at_most else -1)
    rounding = {
        "ms": TWO_NANOSECONDS,
        "share of requests": TWO_NANOSECONDS,
        "requests/s": THOUSANDTH + finding.actual * TWO_NANOSECONDS,
    }
    spread = rounding.get(finding.unit, Decimal(0)) + _TIGHT * abs(finding.limit)
    ledger.that("slack", near(slack, rule.slack, spread), slack, rule.slack)


def check_objective(
    ledger: CheckLedger, problem: Problem, value: Value, scale: Decimal, claimed: ObjectiveResult, status: Status
) -> None:
    """Value, terms, bound and gap. Each of the up to 13 parts of a value was rounded up on its own."""
    scale = max(Decimal(1), scale) * 7
    ledger.time("objective.value", value.total, claimed.value, scale)
    ledger.same("objective.unit", "ms", claimed.unit)
    ledger.same("objective.terms", {"served", "unserved", "gpus"}, set(claimed.terms))
    for name in ("served", "unserved", "gpus"):
        ledger.time(f"objective.terms.{name}", getattr(value, name), claimed.terms.get(name), scale)
    if status == "optimal":
        ledger.that("objective.bound", claimed.bound == claimed.value, claimed.value, claimed.bound)
        ledger.that("objective.gap", claimed.gap == 0, 0, claimed.gap)
    elif status == "feasible" and problem.objective.preset not in ("throughput", "capacity", *FEWEST):
        ledger.that("objective.bound", claimed.bound <= claimed.value, f"at most {claimed.value}", claimed.bound)
