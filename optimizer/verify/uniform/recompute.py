"""Public face of the exact part: metrics, rules and objective of a strategy, from the facts alone."""

from __future__ import annotations

from decimal import Decimal
from fractions import Fraction

from optimizer.facts.problem import Problem
from optimizer.results.answer import Metrics, Strategy
from optimizer.verify.common.arithmetic import decimal, sixty_digits
from optimizer.verify.common.bill import bill_of
from optimizer.verify.common.candidate import Candidate, RowFacts
from optimizer.verify.common.groups import row_of
from optimizer.verify.common.objective import Value
from optimizer.verify.common.rules import Finding, findings
from optimizer.verify.common.stage import Stages


def candidate_of(problem: Problem, strategy: Strategy) -> Candidate:
    """The strategy's quantities, computed when asked for.

    The strategy must be legal (``claims.check_strategy``): positive degrees, layers that add up, known formats.
    """
    return Candidate(RowFacts(problem, row_of(strategy), Stages(problem)), strategy.max_num_seqs)


@sixty_digits()
def rules_of(candidate: Candidate) -> tuple[Finding, ...]:
    """Every rule the problem states, switched on or not."""
    return tuple(findings(candidate))


@sixty_digits()
def objective_of(candidate: Candidate) -> Value:
    """Objective terms in milliseconds, and availability."""
    return candidate.value()


@sixty_digits()
def longest_of(candidate: Candidate) -> int:
    """Tokens of the longest sequence served."""
    return candidate.longest_sequence()


@sixty_digits()
def metrics_of(candidate: Candidate) -> Metrics:
    """The metrics, rounded as claims are: times up to the nanosecond, rates down to the thousandth."""
    load, completed = candidate.load, candidate.completions()[0]
    work, memory = candidate.problem.workload, candidate.memory_bytes
    weights = tuple(stage.weights_bytes for stage in candidate.facts.stages)

    served = decimal(candidate.demand) * work.output_tokens * candidate.value().availability
    costs = bill_of([(candidate.problem.hardware, candidate.row.gpus)], served)

    def ms(value: Decimal | None) -> float | None:
        return None if value is None else nanoseconds_up(value)

    return Metrics(
        weights_bytes_per_gpu=max(weights),
        kv_cache_bytes_per_gpu=candidate.cache_bytes,
        kv_cache_tokens=candidate.cache_tokens,
        max_sequence_tokens=candidate.longest_sequence(),
        memory_bytes_per_gpu=max(memory),
        memory_utilization=float(candidate.memory_share),
        prefill_p50_ms=ms(load.prefill_p50 if load else None),
        prefill_p99_ms=ms(load.prefill_p99 if load else None),
        ttft_p50_ms=ms(load.ttft_p50 if load else None),
        ttft_p99_ms=ms(load.ttft_p99 if load else None),
        tpot_p50_ms=ms(load.tpot_p50 if load else None),
        tpot_p99_ms=ms(load.tpot_p99 if load else None),
        tpot_full_batch_ms=nanoseconds_up(candidate.times.tpot(candidate.slots)),
        request_mean_ms=ms(load.mean if load else None),
        requests_per_s=float(candidate.demand),
        **{name: None if cost is None else float(cost) for name, cost in costs.items()},
        tokens_per_s=thousandths_down(decimal(candidate.demand) * work.output_tokens),
        peak_tokens_per_s=thousandths_down(completed * work.output_tokens),
        max_request_rate=float(candidate.most_requests()),
        concurrency_p50=load.n50 if load else None,
        concurrency_p99=load.n99 if load else None,
        availability=float(candidate.value().availability),
        memory_bytes_per_stage=memory,
        weights_bytes_per_stage=weights,
        e2e_p50_ms=ms(load.e2e_p50 if load else None),
        e2e_p99_ms=ms(load.e2e_p99 if load else None),
        prefix_kept_s=None if candidate.prefix_kept_s() is None else float(candidate.prefix_kept_s() or 0),
        goodput=None if candidate.problem.requirements.goodput is None or load is None else 1 - float(load.goodput),
    )


def nanoseconds_up(milliseconds: Decimal) -> float:
    """Milliseconds, rounded up to whole nanoseconds."""
    value = Fraction(milliseconds) * 10**6
    return -(-value.numerator // value.denominator) / 10**6


def thousandths_down(value: Decimal) -> float:
    """Rounded down to a thousandth."""
    scaled = Fraction(value) * 1000
    return scaled.numerator // scaled.denominator / 1000
