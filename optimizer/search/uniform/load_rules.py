"""Rules that bound the sequences of a replica: memory, batch, concurrency, throughput, latency, losses. Section 7.

Other home: ``verify/common/rules.py``; docs/model.md, section 7.
"""

from __future__ import annotations

import numpy as np

from optimizer.costs.load import LoadPoints
from optimizer.costs.memory import memory_budget_bytes
from optimizer.engines.kernels import kernels_of
from optimizer.engines.registry import engine_of
from optimizer.facts.demand import LatencyLimit
from optimizer.facts.problem import Problem
from optimizer.results.answer import RuleResult
from optimizer.search.common.scale import NEVER_NS, limit_ns, milliseconds, planned_ms, time_ns
from optimizer.search.uniform.quantities import Quantities, demand_of
from optimizer.search.uniform.rule import UNBOUNDED, Choice, Poster, Rule, told

ENDLESS = int(np.iinfo(np.int64).max)


def memory_rule(problem: Problem) -> Rule:
    budget = memory_budget_bytes(problem)
    share = problem.requirements.gpu_memory_utilization
    holding = "the cache for every sequence at full length"
    if problem.paged:
        holding = f"the cache of one sequence of {problem.max_sequence_tokens:,} tokens"
    sentence = f"The fullest GPU stays within {share:.0%} of its memory, with {holding}."

    def post(model: Poster, quantities: Quantities) -> None:
        model.memory_at_most("memory", budget)

    def judge(quantities: Quantities, choice: Choice) -> RuleResult:
        shape = quantities.space.row_shape[choice.row]
        actual = int((quantities.memory.fixed + choice.max_num_seqs * quantities.memory.per_sequence)[shape].max())
        return RuleResult("memory", sentence, budget, actual, "bytes", actual <= budget, budget - actual)

    return Rule("memory", sentence, post, judge)


def kv_cache_rule(problem: Problem) -> Rule:
    share = problem.requirements.preemption_share
    sentence = f"Requests in progress want more KV cache than there is for at most {100 * share:g} % of the time."

    def post(model: Poster, quantities: Quantities) -> None:
        model.rows_at_most("kv_cache", quantities.cache_shortfall(quantities.normal, quantities.space.row_shape), 0)

    def judge(quantities: Quantities, choice: Choice) -> RuleResult:
        room, wanted = quantities.tightest_cache(quantities.normal, choice.row)
        if wanted is None:
            return RuleResult("kv_cache", sentence, room, UNBOUNDED, "bytes", False, None)
        return RuleResult("kv_cache", sentence, room, wanted, "bytes", wanted <= room, room - wanted)

    return Rule("kv_cache", sentence, post, judge)


def state_blocks_rule(problem: Problem) -> Rule:
    version = kernels_of(problem.engine).version if problem.engine_version is None else problem.engine_version
    said = told(
        "There ",
        ("is", "has to be"),
        " a block for the recurrent state of each sequence that a replica may run at once; "
        f"{engine_of(problem.engine).title} {version} refuses to start otherwise.",
    )

    def post(model: Poster, quantities: Quantities) -> None:
        model.slots_at_most_rows("state_blocks", quantities.state_sequences[quantities.space.row_shape])

    def judge(quantities: Quantities, choice: Choice) -> RuleResult:
        n, shape = choice.max_num_seqs, quantities.space.row_shape[[choice.row]]
        # As many as there are blocks, be it more than any batch.
        limit = int(quantities.memory.state_sequences(quantities.room, ENDLESS)[shape][0])
        return RuleResult("state_blocks", said.sentence, limit, n, "sequences", n <= limit, limit - n)

    return Rule("state_blocks", said.sentence, post, judge, said.demand)


def max_batch_rule(problem: Problem) -> Rule:
    limit = problem.max_batch
    sentence = f"A replica runs at most {limit} sequences at once."

    def post(model: Poster, quantities: Quantities) -> None:
        model.slots_at_most("max_batch", limit)

    def judge(quantities: Quantities, choice: Choice) -> RuleResult:
        n = choice.max_num_seqs
        return RuleResult("max_batch", sentence, limit, n, "sequences", n <= limit, limit - n)

    return Rule("max_batch", sentence, post, judge)


def min_batch_rule(problem: Problem) -> Rule:
    limit = problem.requirements.min_batch
    sentence = f"A replica can run at least {limit} sequence{'s' if limit != 1 else ''} at once."

    def post(model: Poster, quantities: Quantities) -> None:
        model.slots_at_least_rows("min_batch", np.full(quantities.space.rows, limit, dtype=np.int64))

    def judge(quantities: Quantities, choice: Choice) -> RuleResult:
        n = choice.max_num_seqs
        return RuleResult("min_batch", sentence, limit, n, "sequences", n >= limit, n - limit)

    return Rule("min_batch", sentence, post, judge)


def concurrency_rule() -> Rule:
    sentence = "At most 1 % of requests find all sequence slots of their replica taken."

    def post(model: Poster, quantities: Quantities) -> None:
        model.slots_at_least_rows("concurrency", quantities.normal.n99)

    def judge(quantities: Quantities, choice: Choice) -> RuleResult:
        needed, slots = int(quantities.normal.n99[choice.row]), choice.max_num_seqs
        if needed > quantities.space.slots:
            return RuleResult("concurrency", sentence, slots, UNBOUNDED, "sequences", False, None)
        return RuleResult("concurrency", sentence, slots, needed, "sequences", needed <= slots, slots - needed)

    return Rule("concurrency", sentence, post, judge)


def request_rate_rule(problem: Problem) -> Rule:
    rate = problem.workload.requests_per_s
    users = problem.workload.users
    arrive = f"the {rate:g} requests/s that arrive" if users is None else f"the requests that {users.words} send"
    sentence = f"With all slots in use the replicas complete at least {arrive}."

    def post(model: Poster, quantities: Quantities) -> None:
        needed = quantities.completing_slots
        model.slots_at_least_rows("request_rate", needed)
        if problem.paged:
            lacking = needed - quantities.cache_slots[quantities.space.row_shape]
            model.rows_at_most(
                "request_rate", np.where(needed <= quantities.space.slots, lacking, 0), 0, also="kv_cache"
            )

    def judge(quantities: Quantities, choice: Choice) -> RuleResult:
        shape = quantities.space.row_shape[[choice.row]]
        completes = quantities.completes(shape, np.array([choice.max_num_seqs]))[0]
        actual = float(completes * quantities.space.row_dp[choice.row])
        holds = int(quantities.rate_slots[choice.row]) <= choice.max_num_seqs
        rate = demand_of(quantities, choice.row)
        return RuleResult("request_rate", sentence, rate, actual, "requests/s", holds, actual - rate)

    return Rule("request_rate", sentence, post, judge)


METRIC_WORDS = {
    "prefill": "Prefill latency",
    "ttft": "Time to first token",
    "tpot": "Time per output token",
    "e2e": "A whole request",
    "goodput": "The share of requests that miss a goodput limit",
}
OF_GOODPUT = {"ttft": "to the first token", "tpot": "a further token", "e2e": "for the whole request"}


def _latency_sentence(problem: Problem, limit: LatencyLimit) -> str:
    margin = problem.requirements.margin
    planning = _planned_for(limit.limit_ms, margin)
    goodput = problem.requirements.goodput
    if limit.metric == "goodput" and goodput is not None:
        each = " and ".join(f"{value:g} ms {OF_GOODPUT[name]}" for name, value in goodput.limits.items())
        short = f", planned {100 * margin:.6g} % short" if margin else ""
        return f"At least {100 * goodput.share:g} % of requests take at most {each}{short}."
    verb = "takes" if limit.metric == "e2e" else "is"
    return f"{METRIC_WORDS[limit.metric]} {verb} at most {limit.limit_ms:g} ms at P{limit.percentile}{planning}."


def _planned_for(limit_ms: float, margin: float) -> str:
    """How a margin reads at the end of a rule's sentence."""
    return f", planned for {planned_ms(limit_ms, margin):.6g} ms ({100 * margin:.6g} % margin)" if margin else ""


def latency_rule(problem: Problem, limit: LatencyLimit) -> Rule:
    rule_id, margin = limit.rule, problem.requirements.margin
    most, planned = limit_ns(limit.limit_ms, margin), planned_ms(limit.limit_ms, margin)
    sentence = _latency_sentence(problem, limit)
    unit = "share of requests" if limit.metric == "goodput" else "ms"

    def post(model: Poster, quantities: Quantities) -> None:
        model.rows_at_most(rule_id, time_ns(quantities.normal.metric(rule_id)), most)

    def judge(quantities: Quantities, choice: Choice) -> RuleResult:
        value = int(time_ns(quantities.normal.metric(rule_id))[choice.row])
        if value >= NEVER_NS:
            return RuleResult(rule_id, sentence, planned, UNBOUNDED, unit, False, None)
        return RuleResult(
            rule_id, sentence, planned, milliseconds(value), unit, value <= most, milliseconds(most - value)
        )

    return Rule(rule_id, sentence, post, judge)


def full_batch_rule(limit_ms: float, margin: float) -> Rule:
    most, planned = limit_ns(limit_ms, margin), planned_ms(limit_ms, margin)
    sentence = f"Even with every sequence slot taken, time per output token is at most {limit_ms:g} ms{_planned_for(limit_ms, margin)}."

    def post(model: Poster, quantities: Quantities) -> None:
        largest = (quantities.full_batch_tpot_ns <= most).cumprod(axis=1).sum(axis=1)
        model.slots_at_most_rows("tpot_full_batch", largest[quantities.space.row_shape])

    def judge(quantities: Quantities, choice: Choice) -> RuleResult:
        value = int(quantities.full_batch_tpot_ns[quantities.space.row_shape[choice.row], choice.max_num_seqs - 1])
        return RuleResult(
            "tpot_full_batch", sentence, planned, milliseconds(value), "ms", value <= most, milliseconds(most - value)
        )

    return Rule("tpot_full_batch", sentence, post, judge)


def _short_of_cache(quantities: Quantities, load: LoadPoints, choice: Choice) -> str:
    room, wanted = quantities.tightest_cache(load, choice.row)
    return f"KV cache wanted {(wanted or 0) / 2**30:.2f} GiB > {room / 2**30:.2f} GiB"


def survive_rule(problem: Problem, level: str, losses: int) -> Rule:
    rule_id = f"survive_{level}"
    share = problem.requirements.survive.demand_share
    what = {"gpu": "GPU", "node": "node"}[level]
    users = problem.workload.users
    demand = f"{problem.workload.requests_per_s * share:g} requests/s"
    if users is not None:
        demand = f"{users.concurrent * share:,.6g} of the users"
    said = told(
        f"After losing any {losses} {what}{'s' if losses > 1 else ''}, the replicas left ",
        ("carry", "have to carry"),
        f" {demand} within every latency limit.",
    )
    limits, margin = problem.requirements.latency_limits, problem.requirements.margin

    def post(model: Poster, quantities: Quantities) -> None:
        load = quantities.surviving(level, losses, share)
        model.slots_at_least_rows(rule_id, load.n99)
        if problem.paged:
            short = np.where(load.overloaded, 0, quantities.cache_shortfall(load, quantities.space.row_shape))
            model.rows_at_most(rule_id, short, 0, also="kv_cache")
        for limit in limits:
            field = limit.rule
            model.rows_at_most(rule_id, time_ns(load.metric(field)), limit_ns(limit.limit_ms, margin), also=field)

    def judge(quantities: Quantities, choice: Choice) -> RuleResult:
        left = int(quantities.survivors(level, losses)[choice.row])
        slots = choice.max_num_seqs
        if left < 1:
            return RuleResult(rule_id, said.sentence, slots, "no replica is left", "sequences", False, None)
        load = quantities.surviving(level, losses, share)
        needed = int(load.n99[choice.row])
        if needed > quantities.space.slots:
            return RuleResult(rule_id, said.sentence, slots, UNBOUNDED, "sequences", False, None)
        if needed <= slots < int(quantities.slots_needed_for(load, quantities.space.row_shape)[choice.row]):
            return RuleResult(
                rule_id, said.sentence, slots, _short_of_cache(quantities, load, choice), "sequences", False, None
            )
        for limit in limits:
            field = limit.rule
            value = int(time_ns(load.metric(field))[choice.row])
            over = value > limit_ns(limit.limit_ms, margin)
            if field not in problem.search.disabled_rules and over and needed <= slots:
                most = planned_ms(limit.limit_ms, margin)
                words = f"{METRIC_WORDS[limit.metric]} P{limit.percentile} {milliseconds(value):.1f} ms > {most:.6g} ms"
                if limit.metric == "goodput":
                    words = f"{METRIC_WORDS[limit.metric]} {milliseconds(value):.4f} > {most:.6g}"
                return RuleResult(rule_id, said.sentence, slots, words, "sequences", False, None)
        return RuleResult(rule_id, said.sentence, slots, needed, "sequences", needed <= slots, slots - needed)

    return Rule(rule_id, said.sentence, post, judge, said.demand)
