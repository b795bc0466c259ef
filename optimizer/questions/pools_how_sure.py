"""``how_sure`` of pools: how far a fact may move before something else is best, at the values that were tried."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass

from optimizer.facts.inventory import InventoryProblem
from optimizer.facts.problem import Problem
from optimizer.facts.side_by_side import not_split
from optimizer.questions.cluster_mix_beside import mix_on, nothing_on
from optimizer.questions.pools_chosen import AnyPoolsProblem, BestOf
from optimizer.questions.pools_why_not import kind_of_pools
from optimizer.questions.pools_why_this import NONE_ALONE, _made
from optimizer.questions.side_by_side_chosen import chosen, none_settled, verified
from optimizer.reading.stated import Stated
from optimizer.results.pools_why import PoolsHowSure
from optimizer.results.why import InventoryRange
from optimizer.search.common.clock import Clock

FACTORS = (1.1, 1.25, 1.5, 2.0, 3.0, 4.0)
"""Steps outward, as ``how_sure`` of joint instances goes."""


@dataclass(frozen=True, slots=True)
class Fact:
    """A fact that may be other than stated; ``fields`` are all set to the value."""

    fields: tuple[str, ...]
    words: str
    unit: str
    value: float
    whole: bool = False
    most: float = float("inf")


def facts_of(problem: AnyPoolsProblem) -> Iterator[Fact]:
    """The uncertain facts: load, lengths, links, failures."""
    work = problem.workload
    yield Fact(("workload.requests_per_s",), "the request rate", "requests/s", work.requests_per_s)
    # Without a stated limit the longest sequence is whatever the workload asks for, up to the model's context.
    longest = problem.requirements.max_sequence_tokens or problem.model.max_context_tokens
    if not (work.recorded or work.prompt_law):
        most = min(longest - work.output_tokens, work.prompt_tokens_p99 or longest)
        yield Fact(("workload.prompt_tokens",), "the mean prompt", "tokens", work.prompt_tokens, True, most)
    if not (work.recorded or work.output_law):
        most = longest - work.longest_prompt_tokens
        yield Fact(("workload.output_tokens",), "the mean output", "tokens", work.output_tokens, True, most)
    if isinstance(problem, InventoryProblem):
        links = {group.internode_gbit_per_s for group in problem.groups}
        fields = tuple(f"cluster.{index}.internode_gbit_per_s" for index in range(len(problem.groups)))
        if len(links) == 1:
            yield Fact(fields, "the network of a node", "Gbit/s", links.pop())
        return
    if problem.hardware.nodes > 1:
        yield Fact(
            ("hardware.internode_gbit_per_s",), "the network of a node", "Gbit/s", problem.hardware.internode_gbit_per_s
        )
    failures = problem.hardware.failures
    yield Fact(
        ("hardware.failures.gpu_mtbf_hours",), "the time between failures of a GPU", "hours", failures.gpu_mtbf_hours
    )
    yield Fact(
        ("hardware.failures.node_mtbf_hours",), "the time between failures of a node", "hours", failures.node_mtbf_hours
    )


def pools_how_sure(
    problem: AnyPoolsProblem,
    stated: Stated,
    *,
    time_limit_s: float | None = None,
    say: Callable[[str], None] | None = None,
) -> PoolsHowSure:
    """Over which values tried of each fact the answer stays the best.

    Args:
        problem: equal nodes or an inventory with ``serving`` disaggregated or any.
        stated: its file.
        time_limit_s: of everything together; facts not reached in it are left out, and that is said.
        say: told which fact is moved.
    """
    clock = Clock(time_limit_s)
    best = chosen(problem, clock)
    if best is None:
        sure, of_mix = nothing_on(problem, clock, none_settled(problem, clock))
        none = "Nothing keeps every rule now." if sure else "Nothing was found that keeps every rule now."
        none = NONE_ALONE if of_mix and not sure else none
        return PoolsHowSure(problem.name, kind_of_pools(problem), None, (), (none, *of_mix))
    said, ranges, left_out = [f"The answer is {best.label}.", *mix_on(problem, clock)[1]], [], []
    why = not_split(problem) if isinstance(problem, Problem) and problem.serving == "any" else None
    if why is not None:
        said.append(f"Joint instances beside pools are not tried {why}: what is said is of either kind alone.")
    for fact in facts_of(problem):
        if say is not None:
            say(fact.words)
        found = None if clock.over else _range(fact, best, stated, clock)
        if found is None:
            left_out.append(fact.words)
            continue
        ranges.append(found)
        said.append(_sentence(found))
    if left_out:
        said.append(f"Not asked within the time limit: {', '.join(left_out)}.")
    return PoolsHowSure(
        problem.name, kind_of_pools(problem), best.label, tuple(ranges), tuple(said), verified(problem, best)
    )


def _range(fact: Fact, best: BestOf, stated: Stated, clock: Clock) -> InventoryRange | None:
    ends = []
    for up in (False, True):
        reached, other = fact.value, None
        for factor in FACTORS:
            value = fact.value * factor if up else fact.value / factor
            value = min(float(round(value)) if fact.whole else round(value, 6), fact.most)
            if value <= 0 or value == reached:
                continue
            changed = _made(stated, {field: int(value) if fact.whole else value for field in fact.fields})
            if changed is None:
                break
            if clock.over:
                return None
            there = chosen(changed, clock)
            if there is None or (there.instances, there.layout) != (best.instances, best.layout):
                sure = there is not None or none_settled(changed, clock)
                other = f"{_label(there, best) if sure else 'nothing found keeps every rule'} at {value:g}"
                break
            reached = value
        ends.append((reached, other))
    (low, below), (high, above) = ends
    return InventoryRange(", ".join(fact.fields), fact.words, fact.unit, fact.value, low, high, below, above)


def _label(there: BestOf | None, best: BestOf) -> str:
    if there is None:
        return "nothing keeps every rule"
    return there.label if there.label != best.label else f"{there.label}, spread or sized otherwise,"


def _sentence(found: InventoryRange) -> str:
    ends = [f"nothing {side} it could be asked" for side, end in (("below", found.low), ("above", found.high))
            if end == found.value and not getattr(found, side)]  # fmt: skip
    switches = [f"; {one}" for one in ends] + [
        f"; {side} that {what}" for side, what in (("below", found.below), ("above", found.above)) if what
    ]
    name = found.words[0].upper() + found.words[1:]
    return (
        f"{name} (now {found.value:g} {found.unit}): the same from {found.low:g} to {found.high:g}, as far as it was tried"
        f"{''.join(switches)}."
    )
