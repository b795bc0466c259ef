"""Why this answer: what it is, what it keeps, what binds, and how the runners-up differ, as sentences with numbers."""

from __future__ import annotations

from optimizer.explain.common.numbers import amount, count, listing, milliseconds
from optimizer.explain.uniform.outside import NOT_TRIED, fields_outside
from optimizer.explain.uniform.workload import workload_sentences
from optimizer.facts.demand import FEWEST
from optimizer.facts.problem import Problem
from optimizer.results.answer import Alternative, Answer, Metrics, ObjectiveResult, RuleResult, Strategy
from optimizer.search.uniform.quantities import ObjectiveWeights

BINDING_SHARE = 0.05

TERM_WORDS = {
    "served": "time of served requests",
    "unserved": "penalty for unserved requests",
    "gpus": "GPUs in use",
}


def strategy_sentences(problem: Problem, strategy: Strategy, metrics: Metrics) -> list[str]:
    """What the strategy is and what it delivers."""
    said = [
        f"{strategy.label} runs {_replicas(strategy)} {_on(strategy.gpus, problem.hardware.gpus)}, "
        f"with up to {count(strategy.max_num_seqs, 'sequence')} per replica, "
        f"{strategy.weight_precision} weights and {strategy.kv_precision} KV cache."
    ]
    said += coupled_sentences(strategy)
    if metrics.ttft_p99_ms is not None and metrics.tpot_p99_ms is not None:
        said += lacking_sentences(strategy, metrics)
        said.append(
            f"{_at(problem, metrics)} the first token takes "
            f"{milliseconds(metrics.ttft_p99_ms)} at P99, each further token {milliseconds(metrics.tpot_p99_ms)} at P99, "
            f"and the fullest GPU holds {amount(metrics.memory_bytes_per_gpu, 'bytes')} "
            f"({metrics.memory_utilization:.1%} of its memory). "
            f"All limits hold up to {metrics.max_request_rate:g} requests/s{_growth(problem, strategy, metrics)}."
        )
    if problem.paged:
        said.append(_cache_sentence(problem, metrics))
    return [*said, *workload_sentences(problem, metrics)]


def _at(problem: Problem, metrics: Metrics) -> str:
    """At which load: the rate stated, or what so many users send to this strategy."""
    users, rate = problem.workload.users, metrics.requests_per_s or problem.workload.requests_per_s
    if users is None:
        return f"At {rate:g} requests/s"
    return f"With {users.words}, {rate:,.4g} requests/s in all,"


def _replicas(strategy: Strategy) -> str:
    """How many, of how many GPUs where there are several, and their stages."""
    several = strategy.data_parallel > 1
    each = f" of {count(strategy.tensor_parallel * strategy.pipeline_parallel, 'GPU')} each" if several else ""
    layers = "+".join(str(v) for v in strategy.layers_per_stage)
    stages = "" if strategy.pipeline_parallel == 1 else f" in {strategy.pipeline_parallel} stages of {layers} layers"
    return f"{count(strategy.data_parallel, 'replica')}{each}{stages}"


def _on(used: int, there: int) -> str:
    """The GPUs in use, of those there are."""
    if used == there:
        return "on the one GPU there is" if there == 1 else f"on all {there:,} GPUs"
    if used > there:
        return f"on {used:,} GPUs, where there {'is one' if there == 1 else f'are {there:,}'}"
    return f"on {used:,} of the {there:,} GPUs"


def coupled_sentences(strategy: Strategy) -> list[str]:
    """Which replicas are the ranks of one engine, because they share its experts."""
    ranks = strategy.expert_parallel // strategy.tensor_parallel
    if ranks < 2 or strategy.data_parallel % ranks:
        return []
    engines = strategy.data_parallel // ranks
    one = "All replicas are" if engines == 1 else f"Each {ranks:,} of the replicas are"
    return [
        f"{one} the DP ranks of one engine, which shares the experts over {strategy.expert_parallel:,} GPUs: up to "
        f"{count(strategy.max_num_seqs, 'sequence')} a rank and {ranks * strategy.max_num_seqs:,} an engine, and it fails as one."
    ]


def lacking_sentences(strategy: Strategy, metrics: Metrics) -> list[str]:
    """That the load wants more slots than there are, if it does."""
    if metrics.concurrency_p99 is None or metrics.concurrency_p99 <= strategy.max_num_seqs:
        return []
    return [
        f"It lacks slots: P99 of the load is {metrics.concurrency_p99} sequences in progress per replica. "
        "The latencies below are those it would have with enough slots; as it is, requests pile up."
    ]


def _cache_sentence(problem: Problem, metrics: Metrics) -> str:
    """How much the cache holds, and how long a sequence may be."""
    holds = (
        f"The KV cache of a replica holds {metrics.kv_cache_tokens:,} tokens, taken block by block as requests grow;"
    )
    longest = f"it serves sequences up to {metrics.max_sequence_tokens:,} tokens"
    if problem.requirements.max_sequence_tokens is not None:
        return f"{holds} {longest}, as requirements.max_sequence_tokens states."
    if metrics.max_sequence_tokens >= problem.model.max_context_tokens:
        return f"{holds} {longest}, the model's whole context, beside this load."
    if metrics.max_sequence_tokens <= problem.longest_request_tokens:
        return f"{holds} {longest}, the longest request stated; longer ones do not fit beside this load."
    return f"{holds} {longest}, the longest that fits beside this load (requirements.max_sequence_tokens is left out)."


def _growth(problem: Problem, strategy: Strategy, metrics: Metrics) -> str:
    """By how much the load may grow, and what a GPU carries."""
    stated, most = metrics.requests_per_s or problem.workload.requests_per_s, metrics.max_request_rate
    if most < stated:
        return ""
    grow = f"by {most / stated - 1:.1%}" if most < 2 * stated else f"to {most / stated:.1f} times what it is"
    return f": the load may grow {grow}, and each GPU carries {most / strategy.gpus:.3g}"


PRESET_SENTENCES = {
    "cheapest": "Preset cheapest asks for the lowest price per hour first, then for the shortest time; all GPUs here cost the same, so "
    "the fewest are the cheapest.",
    "throughput": "Preset throughput asks for the most tokens/s with every slot taken; the limits hold at the stated load, not "
    "at that peak. Preset capacity asks for the most requests/s within the limits.",
}


def preset_sentences(problem: Problem, strategy: Strategy, metrics: Metrics) -> list[str]:
    """What the preset puts before the objective, where that needs saying."""
    if problem.objective.preset == "capacity":
        each = metrics.max_request_rate / strategy.gpus
        return [
            f"Preset capacity: no strategy carries more than {metrics.max_request_rate:g} requests/s within every stated limit, "
            f"{each:.3g} per GPU."
        ]
    said = PRESET_SENTENCES.get(problem.objective.preset)
    return [said] if said else []


def objective_sentence(problem: Problem, objective: ObjectiveResult, proved: bool) -> str:
    """The value with its terms and whether it is proved best."""
    w = ObjectiveWeights.of(problem.objective)
    parts = [f"{milliseconds(v)} {TERM_WORDS[k]}" for k, v in objective.terms.items() if v or k == "served"]
    end = "proved best of all candidates" if proved else f"the proven bound is {milliseconds(objective.bound)}"
    return (
        f"Objective '{problem.objective.preset}': {milliseconds(objective.value)} expected per request over failure states "
        f"({listing(parts)}; an unserved request counts {milliseconds(w.penalty_ms * w.unserved)}); {end}."
    )


def binding_sentences(problem: Problem, rules: tuple[RuleResult, ...]) -> list[str]:
    """Which rules are broken; then which leave little room, nearest first."""
    return [*broken_sentences(rules), *near_sentences(problem, rules)]


def broken_sentences(rules: tuple[RuleResult, ...]) -> list[str]:
    """Which rules are broken, and by how much."""
    return [f"Broken: {rule.sentence} {_breach(rule)}" for rule in rules if not rule.holds and rule.enabled]


def near_sentences(problem: Problem, rules: tuple[RuleResult, ...]) -> list[str]:
    """Which rules leave little room, nearest first."""
    # Paged, slots cost nothing: the tie-break takes as many as are allowed, which binds nothing.
    ignored = ("max_batch",) if problem.paged else ()
    near = [
        (rule.slack / abs(rule.limit), rule)
        for rule in rules
        if rule.holds and rule.enabled and isinstance(rule.limit, int | float) and rule.limit and rule.slack is not None
        if rule.slack <= BINDING_SHARE * abs(rule.limit) and rule.id not in ("context", *ignored)
    ]
    return [
        f"Binding: {rule.sentence} Here it is {amount(rule.actual, rule.unit)} of {amount(rule.limit, rule.unit)}, "
        f"{amount(rule.slack, rule.unit)} to spare."
        for _, rule in sorted(near, key=lambda pair: pair[0])
    ]


def _breach(rule: RuleResult) -> str:
    """By how much a rule is broken, or how where no number says it."""
    if not isinstance(rule.actual, str):
        return f"Here it is {amount(rule.actual, rule.unit)}, the limit is {amount(rule.limit, rule.unit)}."
    said = f"Here: {rule.actual}"
    return f"{said}; needed: {rule.limit}." if isinstance(rule.limit, str) else f"{said}."


def alternative_sentence(alternative: Alternative, best: Strategy, metrics: Metrics, preset: str) -> str:
    """How a runner-up differs: by what the preset asks for first, else by time, term by term.

    Args:
        best: the answer, with its ``metrics``.
        preset: of the objective. Where it asks for something before time, a runner-up may well take less time.
    """
    terms = [
        f"{'+' if v > 0 else '−'}{milliseconds(abs(v))} {TERM_WORDS[k]}"
        for k, v in alternative.difference_terms.items()
        if abs(v) >= 1e-6
    ]
    name, difference = alternative.strategy.label, alternative.difference
    first = _asked_first(alternative, best, metrics, preset)
    if not terms:
        return f"{name} is a tie; the tie-break decides." if not first else f"{name} {first}."
    if first:
        word = "more" if difference > 0 else "less"
        return f"{name} {first}; a request counts {milliseconds(abs(difference))} {word} there ({listing(terms)})."
    return f"{name} is {milliseconds(abs(difference))} {'worse' if difference > 0 else 'better'} ({listing(terms)})."


def _asked_first(alternative: Alternative, best: Strategy, metrics: Metrics, preset: str) -> str:
    """What the runner-up lacks of that which the preset asks for before time; empty where time decides."""
    more = alternative.strategy.gpus - best.gpus
    if preset in FEWEST and more > 0:
        return f"uses {count(more, 'GPU')} more, and the objective asks for the fewest first"
    lacks = metrics.peak_tokens_per_s - alternative.metrics.peak_tokens_per_s
    if preset == "throughput" and lacks > 0:
        reached = f"{alternative.metrics.peak_tokens_per_s:,.0f} tokens/s at most, {lacks:,.0f} fewer"
        return f"reaches {reached}, and the objective asks for the most first"
    fewer = (metrics.max_request_rate or 0) - (alternative.metrics.max_request_rate or 0)
    if preset == "capacity" and fewer > 0:
        carried = f"{alternative.metrics.max_request_rate or 0:,.3g} requests/s within the limits, {fewer:,.3g} fewer"
        return f"carries {carried}, and the objective asks for the most first"
    return ""


def beside_sentence(
    problem: Problem, feasible: bool, strategy: Strategy, metrics: Metrics, objective: ObjectiveResult, optimum: Answer
) -> str:
    """How a given strategy stands beside the best that may be considered."""
    if optimum.strategy is None or optimum.objective is None or optimum.metrics is None:
        if optimum.status != "infeasible":
            return "The optimum is not known."
        if not feasible:
            return "No strategy keeps every rule of this problem."
        outside = ", ".join(fields_outside(problem, strategy)) or NOT_TRIED
        return f"It keeps every rule, and lies outside what optimizer solve searches ({outside}), where nothing keeps every rule."
    if strategy == optimum.strategy:
        return "This is the best strategy."
    best, value = optimum.strategy.label, optimum.objective.value
    if not feasible:
        return f"The best strategy that keeps every rule is {best}: {value:,.0f} ms per request."
    preset, lead = problem.objective.preset, objective.value - value
    if preset in FEWEST and strategy.gpus != optimum.strategy.gpus:
        ahead = optimum.strategy.gpus < strategy.gpus
        by = f"{count(abs(strategy.gpus - optimum.strategy.gpus), 'GPU')} fewer"
    elif preset == "throughput" and metrics.peak_tokens_per_s != optimum.metrics.peak_tokens_per_s:
        more = optimum.metrics.peak_tokens_per_s - metrics.peak_tokens_per_s
        ahead, by = more > 0, f"{abs(more):,.0f} tokens/s more at the peak"
    elif preset == "capacity" and metrics.max_request_rate != optimum.metrics.max_request_rate:
        more = optimum.metrics.max_request_rate - metrics.max_request_rate
        ahead, by = more > 0, f"{abs(more):g} requests/s more within all limits"
    elif lead:
        ahead, by = (
            lead > 0,
            f"{milliseconds(abs(lead))} less per request ({abs(lead) / max(objective.value, value):.0%})",
        )
    else:
        same = f"{best} with {count(optimum.strategy.max_num_seqs, 'sequence')} per replica"
        return f"It keeps every rule and is a tie with the best strategy, {same}; the tie-break prefers that."
    if ahead:
        return f"It keeps every rule. The best strategy is {best}: {by}."
    return (
        f"It keeps every rule and is better than the best that may be considered, {best}: {by}. "
        f"{', '.join(fields_outside(problem, strategy)) or 'What is searched by default'} leaves it out."
    )
