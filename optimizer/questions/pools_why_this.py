"""``why_this`` of pools: what stands against anything better, and what each limit, node and link is worth."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import replace
from typing import Any

from optimizer.explain.common.numbers import milliseconds
from optimizer.facts.errors import ProblemError
from optimizer.facts.inventory import InventoryProblem
from optimizer.facts.problem import Problem
from optimizer.questions.cluster_mix_beside import mix_on, nothing_on
from optimizer.questions.pools_chosen import (
    TIER_WORDS,
    AnyPoolsProblem,
    BestOf,
    chosen_joint,
    chosen_pools,
)
from optimizer.questions.pools_why_not import kind_of_pools
from optimizer.questions.side_by_side_chosen import chosen, none_settled, verified
from optimizer.questions.side_by_side_why import NOT_SETTLED, why_both, why_no_mix
from optimizer.reading.question import question_from_dict
from optimizer.reading.stated import Stated
from optimizer.results.answer import all_confirmed
from optimizer.results.pools_why import PoolsAgainst, PoolsWhyThis
from optimizer.results.why import GroupWorth
from optimizer.search.common.clock import Clock

NONE_FOUND = "Nothing was found that keeps every rule; not every split of joint instances and pools was settled."
NONE_ALONE = "Neither joint instances alone nor pools alone were found to keep every rule."
LOOSER = 1.1
"""Times a latency limit that is tried."""
FASTER = 2.0
"""Times the network that is tried."""


def pools_why_this(problem: AnyPoolsProblem, stated: Stated, *, time_limit_s: float | None = None) -> PoolsWhyThis:
    """Why the answer cannot be improved.

    Args:
        problem: equal nodes or an inventory with ``serving`` disaggregated or any.
        stated: its file; changes are named by its fields.
        time_limit_s: of everything together.
    """
    clock = Clock(time_limit_s)
    best = chosen(problem, clock)
    if best is None:
        late = "Nothing was found in time; allow more."
        none = "Nothing keeps every rule; optimizer solve names the conflict and the repairs."
        of_mix: list[str] = []
        if not clock.over:
            sure, of_mix = nothing_on(problem, clock, none_settled(problem, clock))
            none = none if sure else NONE_ALONE if of_mix else NONE_FOUND
        none = late if clock.over else none
        return PoolsWhyThis(problem.name, kind_of_pools(problem), None, None, (), (), (none, *of_mix))
    seen = [verified(problem, best)]
    against = _against(problem, best, clock)
    worths = []
    for changes, words in _changes(problem):
        changed = _made(stated, changes)
        if changed is None or clock.over:
            continue
        there = chosen(changed, clock)
        if there is not None:
            seen.append(verified(changed, there))
        sure = there is not None or none_settled(changed, clock)
        worths.append((_worth(problem, words, changes, best, there, sure), there))
    mix, of_mix = mix_on(problem, clock)
    first = "is best" if mix is None else "is the best of either kind alone"
    said = [f"{best.label} {first}: {milliseconds(best.value_ms)} a request{_tier(problem, best)}.", *of_mix]
    if not best.settled and best.instances == "both":
        said.append(NOT_SETTLED)
    said += [one.sentence for one in against]
    if best.instances == "both" and isinstance(problem, Problem):
        said += why_both(problem, best, clock)
    else:
        said += [*_other_kind(problem, best, clock), *why_no_mix(problem, best, clock)]
    said += _worth_most(problem, best, worths)
    return PoolsWhyThis(
        problem.name, kind_of_pools(problem), best.label, best.value_ms, against, tuple(worth for worth, _ in worths), tuple(said),
        all_confirmed(seen),
    )  # fmt: skip


def _tier(problem: AnyPoolsProblem, best: BestOf) -> str:
    unit = TIER_WORDS.get(problem.objective.preset)
    return f", {abs(best.first):,.2f} {unit}" if unit else ""


def _against(problem: AnyPoolsProblem, best: BestOf, clock: Clock) -> tuple[PoolsAgainst, ...]:
    if isinstance(problem, InventoryProblem) or best.instances != "pools":
        return ()
    from optimizer.explain.pools.blocking import blocking
    from optimizer.search.pools.solve import MOST_ROWS, columns_of

    columns = columns_of(problem)
    if columns is None or len(columns.tables.prefill) + len(columns.tables.decode) > MOST_ROWS:
        return ()
    found = blocking(problem, columns, round(best.value_ms * 1e6), best.gpus, clock)
    if problem.serving == "disaggregated":
        return found
    return tuple(
        replace(one, sentence=f"Of pools alone: {one.sentence[:1].lower()}{one.sentence[1:]}") for one in found
    )


def _other_kind(problem: AnyPoolsProblem, best: BestOf, clock: Clock) -> list[str]:
    """What the other kind of instances would be, where both are offered."""
    if problem.serving != "any":
        return []
    from optimizer.questions.pools_against import between

    joint = best.instances == "joint"
    other = chosen_pools(problem, clock=clock) if joint else chosen_joint(problem, clock=clock)
    name = "prefill and decode pools" if joint else "joint instances"
    if other is None:
        return [f"No {name} keep every rule."]
    head = f"Against {other.label}: {milliseconds(other.value_ms - best.value_ms)} less a request."
    return [head, *between(problem, best, other)]


def _changes(problem: AnyPoolsProblem) -> Iterator[tuple[dict[str, Any], str]]:
    """One change of the problem file each, with its words."""
    if isinstance(problem, Problem):
        nodes = problem.hardware.nodes
        yield {"hardware.nodes": nodes + 1}, f"one node more ({nodes + 1})"
        if nodes > 1:
            yield {"hardware.nodes": nodes - 1}, f"one node less ({nodes - 1})"
            wide = problem.hardware.internode_gbit_per_s * FASTER
            yield {"hardware.internode_gbit_per_s": wide}, f"a network of {wide:g} Gbit/s a node"
    else:
        yield from _groups(problem)
    needs = problem.requirements
    for limit in needs.latency_limits:
        value = round(limit.limit_ms * LOOSER, 3)
        yield {f"requirements.{limit.rule}_ms": value}, f"{limit.rule}_ms = {value:g} (now {limit.limit_ms:g})"
    losses = (
        [(one.level, one.count) for one in problem.survive]
        if isinstance(problem, InventoryProblem)
        else [(level, getattr(problem.requirements.survive, level)) for level in ("gpu", "node")]
    )
    for level, count in losses:
        if count:
            yield (
                {f"requirements.survive.{level}": count - 1},
                f"{count - 1} lost at level {level} to survive (now {count})",
            )


def _groups(problem: InventoryProblem) -> Iterator[tuple[dict[str, Any], str]]:
    for index, group in enumerate(problem.groups):
        step = group.racks or 1
        each = "one node" if step == 1 else f"{step} nodes (one in each rack)"
        for nodes, word in ((group.nodes + step, "more"), (group.nodes - step, "less")):
            if nodes >= step:
                yield {f"cluster.{index}.nodes": nodes}, f"{each} {word} of {group.name}"
    wide = {
        f"cluster.{index}.internode_gbit_per_s": group.internode_gbit_per_s * FASTER
        for index, group in enumerate(problem.groups)
    }
    yield wide, "a network twice as fast"


def _made(stated: Stated, changes: Mapping[str, Any]) -> AnyPoolsProblem | None:
    """The changed problem; None where it would be no problem."""
    changed = stated.changed(changes)
    try:
        found: Any = question_from_dict(
            changed.values, default_name=changed.default_name, folder=changed.folder
        ).problem
    except ProblemError:
        return None
    if stated.model is not None:
        found = found.model_copy(update={"model": stated.model})
    return found  # type: ignore[no-any-return]


def _worth(
    problem: AnyPoolsProblem, words: str, changes: Mapping[str, Any], best: BestOf, there: BestOf | None, sure: bool
) -> GroupWorth:
    if there is None:
        return GroupWorth(words, changes, None, "infeasible" if sure else "unknown", None, None, None)
    status = "optimal" if there.settled else "feasible"
    gain = best.value_ms - there.value_ms
    label = f"{there.label}{_tier(problem, there)}"
    return GroupWorth(words, changes, label, status, there.value_ms, gain, there.max_request_rate)


def _worth_most(problem: AnyPoolsProblem, best: BestOf, worths: list[tuple[GroupWorth, BestOf | None]]) -> list[str]:
    """The change that is worth the most, by what the preset looks at first."""
    if not worths:
        return []
    there = [(worth, one) for worth, one in worths if one is not None]
    unit = TIER_WORDS.get(problem.objective.preset)
    ahead = [(worth, one) for worth, one in there if one.first < best.first]
    if unit and ahead:
        worth, one = min(ahead, key=lambda pair: pair[1].rank)
        return [f"Worth the most: {worth.words}, {abs(one.first):,.2f} {unit} in place of {abs(best.first):,.2f}."]
    level = [(worth, one) for worth, one in there if one.first == best.first and one.value_ms < best.value_ms - 1e-5]
    if not level:
        return [f"None of the changes tried is better{f' in {unit}, or' if unit else ''} in the time of a request."]
    worth, one = min(level, key=lambda pair: pair[1].value_ms)
    less = milliseconds(best.value_ms - one.value_ms)
    return [f"Worth the most a request: {worth.words}, {less} less."]
