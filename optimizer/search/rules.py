"""The named rules: each has an id, a sentence for people, a way to post itself and a way to judge a finished strategy.

Definitions (what a number is) are in ``quantities``; here is only what the numbers may be. A rule is posted behind its
switch, so explanations can turn it off. ``docs/model.md``, section 7.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from fractions import Fraction
from typing import Protocol

import numpy as np

from optimizer.answer import RuleResult
from optimizer.costs.shapes import Bools, Ints
from optimizer.facts.demand import LatencyLimit
from optimizer.facts.problem import Problem
from optimizer.search.quantities import Quantities
from optimizer.search.scale import NEVER_NS, limit_ns, milliseconds, planned_ms, time_ns
from optimizer.search.space import within_split_rule


class Poster(Protocol):
    """Where rules post themselves: the CP-SAT model, or the screen that looks at rows one by one."""

    def forbid_rows(self, rule: str, forbidden: Bools) -> None: ...
    def rows_at_most(self, rule: str, values: Ints, limit: int, also: str | None = None) -> None: ...
    def slots_at_most(self, rule: str, limit: int) -> None: ...
    def slots_at_most_rows(self, rule: str, limits: Ints) -> None: ...
    def slots_at_least_rows(self, rule: str, needed: Ints) -> None: ...
    def memory_at_most(self, rule: str, budget: int) -> None: ...


UNBOUNDED = "no finite value: requests pile up"


@dataclass(frozen=True, slots=True)
class Choice:
    """A finished strategy inside the space: a row and the sequences per replica."""

    row: int
    max_num_seqs: int


@dataclass(frozen=True, slots=True)
class Rule:
    """One rule for one problem."""

    id: str
    sentence: str
    post: Callable[[Poster, Quantities], None]
    judge: Callable[[Quantities, Choice], RuleResult]


def rules_for(problem: Problem) -> tuple[Rule, ...]:
    """Every rule that applies to the problem, in the order they are shown."""
    rules = [
        _gpu_count(problem),
        _attention_heads(problem),
        _kv_heads(problem),
        _ffn_width(problem),
        _vocabulary(problem),
        _experts(problem),
        _expert_groups(),
        _layer_split(problem),
        _nvlink(problem),
        _memory(problem),
        _context(problem),
        _max_batch(problem),
        _min_batch(problem),
        _concurrency(),
        _request_rate(problem),
    ]
    rules += [_latency(limit, problem.requirements.margin) for limit in problem.requirements.latency_limits]
    if problem.requirements.tpot_p99_ms is not None:
        rules.append(_full_batch(problem.requirements.tpot_p99_ms, problem.requirements.margin))
    survive = problem.requirements.survive
    rules += [_survive(problem, level, k) for level, k in (("gpu", survive.gpu), ("node", survive.node)) if k]
    return tuple(rules)


def rule_ids(problem: Problem) -> tuple[str, ...]:
    """Ids that ``search.disabled_rules`` may name for this problem."""
    return tuple(rule.id for rule in rules_for(problem))


def _yes_no(
    rule_id: str,
    sentence: str,
    allowed: Callable[[Quantities], Bools],
    limit: str,
    actual: Callable[[Quantities, int], str],
) -> Rule:
    """A rule that each row keeps or breaks, whatever the sequences."""

    def post(model: Poster, q: Quantities) -> None:
        model.forbid_rows(rule_id, ~allowed(q))

    def judge(q: Quantities, choice: Choice) -> RuleResult:
        holds = bool(allowed(q)[choice.row])
        return RuleResult(rule_id, sentence, limit, actual(q, choice.row), "", holds, None)

    return Rule(rule_id, sentence, post, judge)


def _at_most(rule_id: str, sentence: str, limit: int, unit: str, values: Callable[[Quantities], Ints]) -> Rule:
    """A rule that bounds a whole-number quantity of the row from above."""

    def post(model: Poster, q: Quantities) -> None:
        model.rows_at_most(rule_id, values(q), limit)

    def judge(q: Quantities, choice: Choice) -> RuleResult:
        actual = int(values(q)[choice.row])
        return RuleResult(rule_id, sentence, limit, actual, unit, actual <= limit, limit - actual)

    return Rule(rule_id, sentence, post, judge)


def _gpu_count(problem: Problem) -> Rule:
    there = problem.hardware.gpus
    return _at_most(
        "gpu_count", f"TP × PP × DP uses at most the {there:,} GPUs there are.", there, "GPUs", lambda q: q.space.gpus
    )


def _tp(q: Quantities) -> Ints:
    return q.space.column("tp")


def _attention_heads(problem: Problem) -> Rule:
    heads = problem.model.attention_heads
    return _yes_no(
        "attention_heads",
        f"TP divides the {heads} attention heads.",
        lambda q: heads % _tp(q) == 0,
        f"a divisor of {heads}",
        lambda q, row: f"TP {_tp(q)[row]}",
    )


def _kv_heads(problem: Problem) -> Rule:
    model = problem.model
    heads = model.kv_heads
    sentence = f"TP divides the {heads} KV heads, or is a multiple of them so that each is replicated evenly."
    if model.mla:
        sentence = "The compressed MLA cache is whole on every TP rank, so KV heads set no limit on TP."

    def allowed(q: Quantities) -> Bools:
        tp = _tp(q)
        return np.full(len(tp), True) if model.mla else (heads % tp == 0) | (tp % heads == 0)

    limit = "any TP" if model.mla else f"a divisor or a multiple of {heads}"
    return _yes_no("kv_heads", sentence, allowed, limit, lambda q, row: f"TP {_tp(q)[row]}")


def _ffn_width(problem: Problem) -> Rule:
    model = problem.model
    widths = model.ffn_widths

    def allowed(q: Quantities) -> Bools:
        tp, ep = _tp(q), q.space.column("ep")
        fits: Bools = np.full(len(tp), True)
        for width in widths:
            fits &= width % tp == 0
        if model.experts:
            whole = (ep >= tp) | (tp % ep == 0)
            fits &= whole & (model.expert_ffn_width % np.maximum(1, tp // ep) == 0)
        return fits

    stated = [str(w) for w in widths] + ([f"{model.expert_ffn_width} (experts)"] if model.experts else [])
    return _yes_no(
        "ffn_width",
        f"TP divides the feed-forward width {' and '.join(stated)}.",
        allowed,
        f"a divisor of {', '.join(stated)}",
        lambda q, row: f"TP {_tp(q)[row]}",
    )


def _vocabulary(problem: Problem) -> Rule:
    padded = -(-problem.model.vocabulary // 64) * 64
    return _yes_no(
        "vocabulary",
        f"TP divides the vocabulary, padded to {padded:,}.",
        lambda q: padded % _tp(q) == 0,
        f"a divisor of {padded}",
        lambda q, row: f"TP {_tp(q)[row]}",
    )


def _experts(problem: Problem) -> Rule:
    experts = problem.model.experts
    sentence = f"EP divides the {experts} routed experts." if experts else "A dense model has no experts: EP is 1."
    return _yes_no(
        "experts",
        sentence,
        lambda q: experts % q.space.column("ep") == 0 if experts else q.space.column("ep") == 1,
        f"a divisor of {experts}" if experts else "EP 1",
        lambda q, row: f"EP {q.space.column('ep')[row]}",
    )


def _expert_groups() -> Rule:
    def allowed(q: Quantities) -> Bools:
        tp, ep, dp = _tp(q), q.space.column("ep"), q.space.row_dp
        ranks = np.maximum(1, ep // tp)
        inside = tp % np.minimum(ep, tp) == 0
        result: Bools = np.where(ep <= tp, inside, (ep % tp == 0) & (dp % ranks == 0))
        return result

    return _yes_no(
        "expert_groups",
        "Experts spread over GPUs that already exist: EP is 1, divides TP, or is TP times a divisor of DP.",
        allowed,
        "1, a divisor of TP, or TP × a divisor of DP",
        lambda q, row: f"EP {q.space.column('ep')[row]} with TP {_tp(q)[row]}, DP {q.space.row_dp[row]}",
    )


def _layer_split(problem: Problem) -> Rule:
    layers, imbalance = problem.model.layers, problem.search.layer_imbalance

    def allowed(q: Quantities) -> Bools:
        of_shape = np.array([within_split_rule(problem, s.layers_per_stage) for s in q.space.shapes], dtype=np.bool_)
        result: Bools = of_shape[q.space.row_shape]
        return result

    if imbalance:
        sentence = f"Every stage holds at least one of the {layers} layers and is within {imbalance} of an even split."
    else:
        sentence = f"PP divides the {layers} layers evenly (search.layer_imbalance is 0)."
    return _yes_no(
        "layer_split",
        sentence,
        allowed,
        f"even ± {imbalance}" if imbalance else "even",
        lambda q, row: "layers " + "+".join(str(v) for v in q.space.shapes[q.space.row_shape[row]].layers_per_stage),
    )


def nvlink_domains(problem: Problem) -> tuple[int, int]:
    """(GPUs of the domains that TP groups stay inside, domains there are): of NVLink, or nodes where there is none."""
    hardware = problem.hardware
    domain = hardware.nvlink_domain_gpus if hardware.nvlink_gb_per_s > 0 else hardware.gpus_per_node
    if domain > hardware.gpus_per_node:
        return domain, max(1, hardware.gpus // domain)
    return domain, hardware.nodes * (hardware.gpus_per_node // domain)


def tensor_groups_fit(problem: Problem, tp: Ints, groups: Ints) -> Bools:
    """Whether so many TP groups of a width each lie inside one domain."""
    domain, domains = nvlink_domains(problem)
    result: Bools = (tp <= domain) & (groups <= domains * (domain // tp))
    return result


def _nvlink(problem: Problem) -> Rule:
    domain, domains = nvlink_domains(problem)
    place = "NVLink domain" if problem.hardware.nvlink_gb_per_s > 0 else "node (there is no NVLink)"

    def allowed(q: Quantities) -> Bools:
        return tensor_groups_fit(problem, _tp(q), q.space.column("pp") * q.space.row_dp)

    def actual(q: Quantities, row: int) -> str:
        groups = int(q.space.column("pp")[row] * q.space.row_dp[row])
        return f"TP {_tp(q)[row]} in {groups} group{'s' if groups != 1 else ''}"

    return _yes_no(
        "nvlink_locality",
        f"Every TP group lies inside one {place} of {domain} GPU{'s' if domain != 1 else ''}.",
        allowed,
        f"TP at most {domain}, groups that fit into {domains} domain{'s' if domains != 1 else ''}",
        actual,
    )


def memory_budget_bytes(problem: Problem) -> int:
    """Bytes of one GPU that may be used, rounded down."""
    share = Fraction(repr(problem.requirements.gpu_memory_utilization))
    return int(share * problem.hardware.gpu.memory_bytes)


def _memory(problem: Problem) -> Rule:
    budget = memory_budget_bytes(problem)
    share = problem.requirements.gpu_memory_utilization
    sentence = (
        f"The fullest GPU stays within {share:.0%} of its memory, with the cache for every sequence at full length."
    )

    def post(model: Poster, q: Quantities) -> None:
        model.memory_at_most("memory", budget)

    def judge(q: Quantities, choice: Choice) -> RuleResult:
        shape = q.space.row_shape[choice.row]
        actual = int((q.memory.fixed + choice.max_num_seqs * q.memory.per_sequence)[shape].max())
        return RuleResult("memory", sentence, budget, actual, "bytes", actual <= budget, budget - actual)

    return Rule("memory", sentence, post, judge)


def _context(problem: Problem) -> Rule:
    limit, asked = problem.model.max_context_tokens, problem.max_sequence_tokens
    return _at_most(
        "context",
        f"Sequences of up to {asked:,} tokens are within the model's context of {limit:,}.",
        limit,
        "tokens",
        lambda q: np.full(q.space.rows, asked, dtype=np.int64),
    )


def _max_batch(problem: Problem) -> Rule:
    limit = problem.requirements.max_batch
    sentence = f"A replica runs at most {limit} sequences at once."

    def post(model: Poster, q: Quantities) -> None:
        model.slots_at_most("max_batch", limit)

    def judge(q: Quantities, choice: Choice) -> RuleResult:
        n = choice.max_num_seqs
        return RuleResult("max_batch", sentence, limit, n, "sequences", n <= limit, limit - n)

    return Rule("max_batch", sentence, post, judge)


def _min_batch(problem: Problem) -> Rule:
    limit = problem.requirements.min_batch
    sentence = f"A replica can run at least {limit} sequence{'s' if limit != 1 else ''} at once."

    def post(model: Poster, q: Quantities) -> None:
        model.slots_at_least_rows("min_batch", np.full(q.space.rows, limit, dtype=np.int64))

    def judge(q: Quantities, choice: Choice) -> RuleResult:
        n = choice.max_num_seqs
        return RuleResult("min_batch", sentence, limit, n, "sequences", n >= limit, n - limit)

    return Rule("min_batch", sentence, post, judge)


def _concurrency() -> Rule:
    sentence = "At most 1 % of requests find all sequence slots of their replica taken."

    def post(model: Poster, q: Quantities) -> None:
        model.slots_at_least_rows("concurrency", q.normal.n99)

    def judge(q: Quantities, choice: Choice) -> RuleResult:
        needed, slots = int(q.slots_to_carry[0][choice.row]), choice.max_num_seqs
        if needed > q.space.slots:
            return RuleResult("concurrency", sentence, slots, UNBOUNDED, "sequences", False, None)
        return RuleResult("concurrency", sentence, slots, needed, "sequences", needed <= slots, slots - needed)

    return Rule("concurrency", sentence, post, judge)


def _request_rate(problem: Problem) -> Rule:
    rate = problem.workload.requests_per_s
    sentence = f"With all slots in use the replicas complete at least the {rate:g} requests/s that arrive."

    def post(model: Poster, q: Quantities) -> None:
        model.slots_at_least_rows("request_rate", q.normal.slots_needed)

    def judge(q: Quantities, choice: Choice) -> RuleResult:
        shape = q.space.row_shape[choice.row]
        actual = float(q.best_completion_per_s[shape, choice.max_num_seqs - 1] * q.space.row_dp[choice.row])
        holds = int(q.normal.slots_needed[choice.row]) <= choice.max_num_seqs
        return RuleResult("request_rate", sentence, rate, actual, "requests/s", holds, actual - rate)

    return Rule("request_rate", sentence, post, judge)


METRIC_WORDS = {"prefill": "Prefill latency", "ttft": "Time to first token", "tpot": "Time per output token"}


def _planned_for(limit_ms: float, margin: float) -> str:
    """How a margin reads at the end of a rule's sentence."""
    return f", planned for {planned_ms(limit_ms, margin):.6g} ms ({100 * margin:.6g} % margin)" if margin else ""


def _latency(limit: LatencyLimit, margin: float) -> Rule:
    rule_id = limit.field.removesuffix("_ms")
    most, planned = limit_ns(limit.limit_ms, margin), planned_ms(limit.limit_ms, margin)
    planning = _planned_for(limit.limit_ms, margin)
    sentence = f"{METRIC_WORDS[limit.metric]} is at most {limit.limit_ms:g} ms at P{limit.percentile}{planning}."

    def post(model: Poster, q: Quantities) -> None:
        model.rows_at_most(rule_id, time_ns(q.normal.metric(rule_id)), most)

    def judge(q: Quantities, choice: Choice) -> RuleResult:
        value = int(time_ns(q.normal.metric(rule_id))[choice.row])
        if value >= NEVER_NS:
            return RuleResult(rule_id, sentence, planned, UNBOUNDED, "ms", False, None)
        return RuleResult(
            rule_id, sentence, planned, milliseconds(value), "ms", value <= most, milliseconds(most - value)
        )

    return Rule(rule_id, sentence, post, judge)


def _full_batch(limit_ms: float, margin: float) -> Rule:
    most, planned = limit_ns(limit_ms, margin), planned_ms(limit_ms, margin)
    sentence = f"Even with every sequence slot taken, time per output token is at most {limit_ms:g} ms{_planned_for(limit_ms, margin)}."

    def post(model: Poster, q: Quantities) -> None:
        largest = (q.full_batch_tpot_ns <= most).cumprod(axis=1).sum(axis=1)
        model.slots_at_most_rows("tpot_full_batch", largest[q.space.row_shape])

    def judge(q: Quantities, choice: Choice) -> RuleResult:
        value = int(q.full_batch_tpot_ns[q.space.row_shape[choice.row], choice.max_num_seqs - 1])
        return RuleResult(
            "tpot_full_batch", sentence, planned, milliseconds(value), "ms", value <= most, milliseconds(most - value)
        )

    return Rule("tpot_full_batch", sentence, post, judge)


def _survive(problem: Problem, level: str, losses: int) -> Rule:
    rule_id = f"survive_{level}"
    share = problem.requirements.survive.demand_share
    what = {"gpu": "GPU", "node": "node"}[level]
    demand = f"{problem.workload.requests_per_s * share:g} requests/s"
    sentence = f"After losing any {losses} {what}{'s' if losses > 1 else ''}, the replicas left carry {demand} within every latency limit."
    limits, margin = problem.requirements.latency_limits, problem.requirements.margin

    def post(model: Poster, q: Quantities) -> None:
        load = q.surviving(level, losses, share)
        model.slots_at_least_rows(rule_id, load.n99)
        for limit in limits:
            field = limit.field.removesuffix("_ms")
            model.rows_at_most(rule_id, time_ns(load.metric(field)), limit_ns(limit.limit_ms, margin), also=field)

    def judge(q: Quantities, choice: Choice) -> RuleResult:
        left = int(q.survivors(level, losses)[choice.row])
        slots = choice.max_num_seqs
        if left < 1:
            return RuleResult(rule_id, sentence, slots, "no replica is left", "sequences", False, None)
        load = q.surviving(level, losses, share)
        needed = int(load.n99[choice.row])
        if needed > q.space.slots:
            return RuleResult(rule_id, sentence, slots, UNBOUNDED, "sequences", False, None)
        for limit in limits:
            field = limit.field.removesuffix("_ms")
            value = int(time_ns(load.metric(field))[choice.row])
            over = value > limit_ns(limit.limit_ms, margin)
            if field not in problem.search.disabled_rules and over and needed <= slots:
                most = planned_ms(limit.limit_ms, margin)
                words = f"{METRIC_WORDS[limit.metric]} P{limit.percentile} {milliseconds(value):.1f} ms > {most:.6g} ms"
                return RuleResult(rule_id, sentence, slots, words, "sequences", False, None)
        return RuleResult(rule_id, sentence, slots, needed, "sequences", needed <= slots, slots - needed)

    return Rule(rule_id, sentence, post, judge)
