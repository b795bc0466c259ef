"""Why this answer: what it is, what it keeps, what binds, and how the runners-up differ, as sentences with numbers."""

from __future__ import annotations

from optimizer.answer import Alternative, Metrics, ObjectiveResult, RuleResult, Strategy
from optimizer.explain.numbers import amount, count, listing, milliseconds
from optimizer.facts.problem import Problem
from optimizer.search.quantities import Weights

BINDING_SHARE = 0.05

TERM_WORDS = {
    "served": "time of served requests",
    "unserved": "penalty for unserved requests",
    "gpus": "GPUs in use",
}


def strategy_sentences(problem: Problem, strategy: Strategy, metrics: Metrics) -> list[str]:
    """What the strategy is and what it delivers."""
    replicas = count(strategy.data_parallel, "replica")
    each = strategy.tensor_parallel * strategy.pipeline_parallel
    layers = "+".join(str(v) for v in strategy.layers_per_stage)
    stages = "" if strategy.pipeline_parallel == 1 else f" in {strategy.pipeline_parallel} stages of {layers} layers"
    said = [
        f"{strategy.label} runs {replicas} of {count(each, 'GPU')}{stages} each, "
        f"{strategy.gpus} of {count(problem.hardware.gpus, 'GPU')}, with up to {strategy.max_num_seqs} sequences per replica, "
        f"{strategy.weight_precision} weights and {strategy.kv_precision} KV cache."
    ]
    if metrics.ttft_p99_ms is not None and metrics.tpot_p99_ms is not None:
        short = metrics.concurrency_p99 is not None and metrics.concurrency_p99 > strategy.max_num_seqs
        if short:
            said.append(
                f"It lacks slots: P99 of the load is {metrics.concurrency_p99} sequences in progress per replica. "
                "The latencies below are those it would have with enough slots; as it is, requests pile up."
            )
        said.append(
            f"At {problem.workload.requests_per_s:g} requests/s the first token takes "
            f"{milliseconds(metrics.ttft_p99_ms)} at P99, each further token {milliseconds(metrics.tpot_p99_ms)} at P99, "
            f"and the fullest GPU holds {amount(metrics.memory_bytes_per_gpu, 'bytes')} "
            f"({metrics.memory_utilization:.1%} of its memory). "
            f"All limits hold up to {metrics.max_request_rate:g} requests/s."
        )
    return said


def objective_sentence(problem: Problem, objective: ObjectiveResult, proved: bool) -> str:
    """The value with its terms and whether it is proved best."""
    w = Weights.of(problem.objective)
    parts = [f"{milliseconds(v)} {TERM_WORDS[k]}" for k, v in objective.terms.items() if v or k == "served"]
    end = "proved best of all candidates" if proved else f"the proven bound is {milliseconds(objective.bound)}"
    return (
        f"Objective '{problem.objective.preset}': {milliseconds(objective.value)} expected per request over failure states "
        f"({listing(parts)}; an unserved request counts {milliseconds(w.penalty_ms * w.unserved)}); {end}."
    )


def binding_sentences(rules: tuple[RuleResult, ...]) -> list[str]:
    """Which rules leave little room, nearest first; which are broken."""
    said = []
    for rule in rules:
        if not rule.holds and rule.enabled:
            said.append(
                f"Broken: {rule.sentence} Here it is {amount(rule.actual, rule.unit)}, the limit is {amount(rule.limit, rule.unit)}."
            )
    near = [
        (rule.slack / abs(rule.limit), rule)
        for rule in rules
        if rule.holds and rule.enabled and isinstance(rule.limit, int | float) and rule.limit and rule.slack is not None
        if rule.slack <= BINDING_SHARE * abs(rule.limit) and rule.id != "context"
    ]
    for _, rule in sorted(near, key=lambda pair: pair[0]):
        said.append(
            f"Binding: {rule.sentence} Here it is {amount(rule.actual, rule.unit)} of {amount(rule.limit, rule.unit)}, "
            f"{amount(rule.slack, rule.unit)} to spare."
        )
    return said


def alternative_sentence(alternative: Alternative) -> str:
    """How a runner-up differs, term by term."""
    terms = [
        f"{'+' if v > 0 else '−'}{milliseconds(abs(v))} {TERM_WORDS[k]}"
        for k, v in alternative.difference_terms.items()
        if abs(v) >= 1e-6
    ]
    name = alternative.strategy.label
    if not terms:
        return f"{name} is a tie; the tie-break decides."
    return f"{name} is {milliseconds(alternative.difference)} worse ({listing(terms)})."
