"""Which rules leave no pools on an inventory: a minimal set, by leaving rules out one at a time."""

from __future__ import annotations

from dataclasses import dataclass

from optimizer.explain.common.numbers import amount, count, listing
from optimizer.explain.pools.conflict import IDLE_STEPS, broken_words, in_order
from optimizer.facts.inventory import InventoryProblem
from optimizer.results.answer import Conflict
from optimizer.search.common.clock import Clock
from optimizer.search.pools.cluster_answer import ChosenPools, cluster_sentence
from optimizer.search.pools.cluster_columns import ClusterColumns
from optimizer.search.pools.cluster_picked import Picked
from optimizer.search.pools.cluster_solve import best_of, keeps, rules_on
from optimizer.search.pools.model import RATE_STEPS

CONFLICT_S = 5.0
"""Seconds that a conflict may take; a set that is not known to be minimal then says so."""
ALONE_S = 2.0
"""Seconds more in which a rule that nothing keeps even by itself is looked for then."""
NEAREST_S = 2.0
"""Seconds that the pools which come nearest may take to be told, and as many to be chosen."""


def cluster_conflict(problem: InventoryProblem, columns: ClusterColumns | None, clock: Clock) -> Conflict:
    """A set of rules that cannot hold together, minimal where ``CONFLICT_S`` were enough to tell."""
    if columns is None:
        said = (
            "No pools can be built: no prefill and decode shape that the engine runs, that its connector joins and of which one "
            "instance each has room on the groups there are."
        )
        return Conflict(("gpu_count",), said, True)
    within = clock.within(CONFLICT_S)
    rules = in_order(rules_on(problem), _out_of_reach(problem, columns, within))
    kept, minimal = list(rules), True
    for position, rule in enumerate(rules):
        fits = _kept(columns, [one for one in kept if one != rule], within, len(rules) - position)
        if fits is False:
            kept.remove(rule)
        elif fits is None:
            minimal = False
    if not minimal:
        # Whether one rule alone leaves nothing takes less than whether all others together do.
        alone = clock.within(ALONE_S)
        for position, rule in enumerate(kept):
            if _kept(columns, [rule], alone, len(kept) - position) is False:
                return Conflict((rule,), _sentence(problem, [rule]), True)
    unsettled = "" if minimal else f" Fewer of them may be enough for that: it was not settled in {CONFLICT_S:g} s."
    return Conflict(tuple(kept), _sentence(problem, kept) + unsettled, minimal)


def _out_of_reach(problem: InventoryProblem, columns: ClusterColumns, clock: Clock) -> list[str]:
    """Latency limits that no pools keep however few requests come."""
    limits = [limit.rule for limit in problem.requirements.latency_limits if limit.rule in rules_on(problem)]
    idle = ClusterColumns(columns.options.at_rate(IDLE_STEPS / RATE_STEPS)) if limits else None
    return [rule for rule in limits if _kept(idle, [rule], clock, 2 * len(limits)) is False]


def _kept(columns: ClusterColumns | None, rules: list[str], clock: Clock, questions: int) -> bool | None:
    """Whether some pools keep rules; None: not known, after a fair part of the time for so many questions.

    What takes little leaves its time to the others; so one may take as much as two.
    """
    left = clock.left_s
    return keeps(columns, rules, clock if left is None else clock.within(2 * left / max(2, questions)))


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
    """The pools that break few rules, one after the other kept where it is known that it can be; the definitions alone always."""
    within, kept = clock.within(NEAREST_S), list[str]()
    rules = rules_on(columns.problem)
    for position, rule in enumerate(rules):
        if _kept(columns, [*kept, rule], within, len(rules) + 1 - position):
            kept.append(rule)
    return best_of(columns, clock.within(NEAREST_S), kept).picked


@dataclass(frozen=True, slots=True)
class NearestPools:
    """Pools that break few rules."""

    words: tuple[str, ...] = ()
    """What they are, and what they break."""
    enough: tuple[str, float] | None = None
    """A limit that is all they break, and the ms with which they would keep it."""


def nearest_pools(columns: ClusterColumns | None, clock: Clock) -> NearestPools:
    """The pools that come nearest, as far as is told in ``NEAREST_S``."""
    picked = None if columns is None else least_broken(columns, clock)
    if picked is None or columns is None:
        return NearestPools()
    chosen = ChosenPools(columns, picked)
    rules = chosen.rules()
    broken = [rule for rule in rules if rule.enabled and not rule.holds]
    said = (f"Nearest: {chosen.strategy().label}.", *broken_words(rules))
    limits = [limit.rule for limit in columns.problem.requirements.latency_limits]
    if len(broken) == 1 and broken[0].id in limits and isinstance(broken[0].actual, float | int):
        return NearestPools(said, (broken[0].id, float(broken[0].actual)))
    return NearestPools(said)
