"""Joint instances beside pools on an inventory, in words."""

from __future__ import annotations

from typing import Any

from optimizer.explain.common.numbers import count, milliseconds, time_or_none
from optimizer.explain.pools.against import inventory_figures
from optimizer.facts.cluster_side_by_side import GroupUnits, units_of_groups, ways_of
from optimizer.facts.inventory import InventoryProblem
from optimizer.facts.side_by_side import TENTHS
from optimizer.results.cluster_side_by_side import ClusterSideBySideAnswer, GroupDivided


def divided_words(problem: InventoryProblem) -> str:
    """In what the groups are shared out, such as ``whole nodes of a and b, GPUs of c``."""
    named: dict[str, list[str]] = {}
    for group, unit in zip(problem.groups, units_of_groups(problem.groups), strict=True):
        named.setdefault(_unit_word(unit), []).append(group.name)
    return ", ".join(f"{word} of {_listed(names)}" for word, names in named.items())


def _unit_word(unit: GroupUnits) -> str:
    if unit.nodes == 0:
        return "GPUs"
    return "whole nodes" if unit.nodes == 1 else f"sets of {unit.nodes} nodes"


def _listed(names: list[str]) -> str:
    return ", ".join(names[:3]) + (f" and {len(names) - 3} more" if names[3:] else "")


def splits_words(problem: InventoryProblem) -> str:
    """What is gone through."""
    ways = ways_of(problem)
    return f"{ways * (TENTHS - 1):,} splits of tenths of the requests and {divided_words(problem)}"


def alone_words(
    problem: InventoryProblem,
    solved: int,
    feasible: bool,
    *,
    open_splits: int | None = None,
    settled: bool = True,
    gap: float = 0.0,
) -> str:
    """What is known of both side by side where one kind alone is the answer.

    Args:
        solved: splits that were solved.
        feasible: whether one kind alone keeps every rule.
        open_splits: those that the verifier's own bounds leave open; None: it did not go through them.
        settled: whether none is open.
        gap: by which share of the value both side by side may be better.
    """
    every = ways_of(problem) * (TENTHS - 1)
    if settled:
        said = "no better" if feasible else "not feasible either"
        left_out = f"{solved:,} solved, {every - solved:,} left out by their bounds"
        return f"Joint instances beside pools are {said}: {splits_words(problem)} ({left_out})."
    if open_splits is not None:
        verb = "better" if feasible else "feasible"
        return (
            f"Joint instances beside pools may be {verb}: the verifier's own bounds leave {open_splits:,} of "
            f"{splits_words(problem)} open."
        )
    if feasible:
        return (
            f"Joint instances beside pools may be better, by {gap:.2%} at most: not all of {splits_words(problem)} were settled "
            f"({solved:,} solved)."
        )
    return f"Joint instances beside pools may be feasible: not all of {splits_words(problem)} were settled ({solved:,} solved)."


def together_words(problem: InventoryProblem, answer: ClusterSideBySideAnswer, chosen: Any, solved: int) -> list[str]:
    """Why both, in numbers.

    Args:
        chosen: the better of either kind alone.
        solved: splits that were solved.
    """
    assert (
        answer.joint.objective is not None and answer.pools.objective is not None and answer.pools.metrics is not None
    )
    first, second = inventory_figures(answer.joint), answer.pools.metrics
    joint, pools = milliseconds(answer.joint.objective.value), milliseconds(answer.pools.objective.value)
    return [
        f"Joint instances get {answer.share:.0%} of the requests and {part_words(problem, answer.groups, joint=True)}, pools "
        f"{1 - answer.share:.0%} and {part_words(problem, answer.groups, joint=False)}: {answer.share:g} · {joint} + "
        f"{1 - answer.share:g} · {pools} = {milliseconds(answer.objective.value)} a request.",
        f"Every limit holds in either part: TTFT P99 {time_or_none(first.ttft_p99_ms)} and {time_or_none(second.ttft_p99_ms)}, TPOT P99 "
        f"{time_or_none(first.tpot_p99_ms)} and {time_or_none(second.tpot_p99_ms)}.",
        *_against_alone(answer, chosen),
        f"Of {splits_words(problem)} bounds leave {solved:,} to be solved; the others are settled.",
    ]


def part_words(problem: InventoryProblem, groups: tuple[GroupDivided, ...], *, joint: bool) -> str:
    """Such as ``the first 2 nodes of a and the last 3 GPUs of b``."""
    found = []
    for group, one in zip(problem.groups, groups, strict=True):
        nodes, gpus = (one.joint_nodes, one.joint_gpus) if joint else (one.pools_nodes, one.pools_gpus)
        if gpus == group.gpus:
            found.append(f"all of {one.group} ({count(gpus, 'GPU')})")
        elif gpus:
            many = count(gpus, "GPU") if group.nodes == 1 else count(nodes, "node")
            found.append(f"the {'first' if joint else 'last'} {many} of {one.group}")
    return " and ".join(found)


def _against_alone(answer: ClusterSideBySideAnswer, chosen: Any) -> list[str]:
    """What the better of either kind alone would be, or why there is none."""
    if chosen.objective is None:
        if chosen.status == "infeasible":
            return ["Either kind alone breaks a rule.", *chosen.explanation[1:]]
        return ["Of either kind alone nothing was found; the search of one ended before it was proved."]
    kind = "Joint instances" if hasattr(chosen, "pools") else "Pools"
    gpus = chosen.gpus_used if hasattr(chosen, "pools") else chosen.strategy.gpus
    less = (chosen.objective.value - answer.objective.value) / max(chosen.objective.value, 1e-9)
    return [
        f"{kind} alone, {chosen.label}: {milliseconds(chosen.objective.value)} a request with {count(gpus, 'GPU')} against "
        f"{milliseconds(answer.objective.value)} with {answer.gpus}; side by side takes {less:.1%} less."
    ]
