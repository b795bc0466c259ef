"""Which rules leave no pools on an inventory: a minimal set, by leaving rules out one at a time."""

from __future__ import annotations

from optimizer.explain.common.numbers import amount, count, listing
from optimizer.explain.pools.conflict import IDLE_STEPS, broken_words, in_order
from optimizer.facts.inventory import InventoryProblem
from optimizer.results.answer import Conflict
from optimizer.search.common.clock import Clock
from optimizer.search.pools.cluster_answer import ChosenPools, cluster_sentence
from optimizer.search.pools.cluster_columns import ClusterColumns
from optimizer.search.pools.cluster_picked import Picked
from optimizer.search.pools.cluster_solve import best_of, columns_on, keeps, rules_on
from optimizer.search.pools.model import RATE_STEPS


def cluster_conflict(problem: InventoryProblem, columns: ClusterColumns | None, clock: Clock) -> Conflict:
    """A minimal set of rules that cannot hold together."""
    if columns is None:
        said = (
            "No pools can be built: no prefill and decode shape that the engine runs, that its connector joins and of which one "
            "instance each has room on the groups there are."
        )
        return Conflict(("gpu_count",), said, True)
    rules = in_order(rules_on(problem), _out_of_reach(problem, columns, clock))
    kept, minimal = list(rules), True
    for rule in rules:
        fits = keeps(columns, [one for one in kept if one != rule], clock)
        if fits is False:
            kept.remove(rule)
        elif fits is None:
            minimal = False
    return Conflict(tuple(kept), _sentence(problem, kept), minimal)


def _out_of_reach(problem: InventoryProblem, columns: ClusterColumns, clock: Clock) -> list[str]:
    """Latency limits that no pools keep however few requests come."""
    limits = [limit.rule for limit in problem.requirements.latency_limits if limit.rule in rules_on(problem)]
    workload = problem.workload.model_copy(update={"requests_per_s": IDLE_STEPS / RATE_STEPS})
    idle = columns_on(problem.model_copy(update={"workload": workload}), columns.options.fixed) if limits else None
    return [rule for rule in limits if idle is not None and keeps(idle, [rule], clock) is False]


def _sentence(problem: InventoryProblem, rules: list[str]) -> str:
    if not rules:
        return "No pools are left."
    words = [said_of(problem, rule) for rule in rules]
    these = "this" if len(words) == 1 else "these together"
    return f"No pools on {count(problem.gpus, 'free GPU')} of {count(len(problem.groups), 'group')} keep {these}: {listing(words)}."


def said_of(problem: InventoryProblem, rule: str) -> str:
    """A rule as part of a conflict; it names its pool."""
    rate = problem.workload.requests_per_s
    for one in problem.requirements.latency_limits:
        if one.rule == rule:
            name = {"ttft": "TTFT", "tpot": "TPOT of the decode pool", "prefill": "prefill time of the prefill pool"}
            return f"{name[one.metric]} P{one.percentile} within {amount(one.limit_ms, 'ms')} ({rule})"
    for losses in problem.survive:
        if rule == f"survive_{losses.level}":
            return f"what is left of the prefill and of the decode pool after {count(losses.count, losses.level)} lost ({rule})"
    known = {
        "prefill_memory": "memory of the prefill instances",
        "decode_memory": "memory of the decode instances",
        "prefill_capacity": f"a prefill pool that keeps up with {rate:g} requests/s",
        "prefill_kv_cache": "cache of the prefill instances",
        "link": "the bandwidth of the links between the pools",
        "decode_concurrency": f"a decode pool with a free slot for 99 % of {rate:g} requests/s",
        "decode_kv_cache": "cache of the decode instances",
        "state_blocks": "blocks for the states of a decode instance's sequences",
        "tpot_full_batch": "TPOT of a full decode instance",
        "gpu_count": "the free GPUs of each group",
        "placement": "room on the nodes of each group",
    }
    return f"{known.get(rule, cluster_sentence(problem, rule).rstrip('.'))} ({rule})"


def least_broken(columns: ClusterColumns, clock: Clock) -> Picked | None:
    """The pools that break the fewest rules, the definitions alone kept."""
    kept: list[str] = []
    for rule in rules_on(columns.problem):
        if keeps(columns, [*kept, rule], clock):
            kept.append(rule)
    return best_of(columns, clock, kept).picked


def nearest_words(columns: ClusterColumns | None, clock: Clock) -> tuple[str, ...]:
    """The pools that come nearest, and what they break."""
    picked = None if columns is None else least_broken(columns, clock)
    if picked is None or columns is None:
        return ()
    chosen = ChosenPools(columns, picked)
    said = [f"Nearest: {chosen.strategy().label}."]
    return (*said, *broken_words(chosen.rules()))
