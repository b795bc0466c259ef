"""What joint instances beside prefill and decode pools would bring on one node: every split of its GPUs and every tenth of the requests.

Usage: python scripts/side_by_side.py FILE …. For each problem with one node: the best joint instances, the best pools, and the best of
both side by side, n GPUs with σ of the requests and the others with the rest, each part proved best at its own share of the load:

    value = σ · V_joint(σλ, n GPUs) + (1 − σ) · V_pools((1 − σ)λ, N − n GPUs)

Every limit holds in either part, so that no percentile of all requests breaks one. ``optimizer solve`` finds the same
with bounds; docs/disaggregated.md, section 14, says what was seen.
"""

from __future__ import annotations

import sys
from typing import NamedTuple

from optimizer.facts.problem import Problem
from optimizer.questions.uniform import solve as solve_joint
from optimizer.reading.load import load_problem
from optimizer.results.pools import FixedPools
from optimizer.search.common.clock import Clock
from optimizer.search.pools.answer import objective_of, strategy_of
from optimizer.search.pools.solve import best, columns_of

TENTHS = 10


class Part(NamedTuple):
    """The best of one kind on some GPUs: ms a request, and what it is."""

    value: float
    label: str


def with_share(problem: Problem, gpus: int, tenths: int) -> Problem:
    """The problem on some of the node's GPUs with some tenths of the requests."""
    hardware = problem.hardware.model_copy(update={"gpus_per_node": gpus})
    rate = problem.workload.requests_per_s * tenths / TENTHS
    workload = problem.workload.model_copy(update={"requests_per_s": rate})
    return problem.model_copy(update={"hardware": hardware, "workload": workload})


def joint(problem: Problem) -> Part | None:
    """The best joint instances."""
    answer = solve_joint(problem.model_copy(update={"serving": "joint"}), repairs=False)
    if answer.strategy is None or answer.objective is None:
        return None
    return Part(answer.objective.value, answer.strategy.label)


def pools(problem: Problem) -> Part | None:
    """The best pools."""
    columns = columns_of(problem)
    found = best(problem, FixedPools(), columns, Clock())
    if columns is None or found.pair is None:
        return None
    return Part(objective_of(columns, found.pair, None).value, strategy_of(columns, found.pair).label)


def side_by_side(problem: Problem) -> tuple[float, str] | None:
    """(ms a request, what stands side by side) of the best split; None: none keeps every rule."""
    total, found = problem.hardware.gpus_per_node, []
    for tenths in range(1, TENTHS):
        for gpus in range(1, total):
            first = joint(with_share(problem, gpus, tenths))
            second = pools(with_share(problem, total - gpus, TENTHS - tenths)) if first is not None else None
            if first is not None and second is not None:
                value = (tenths * first.value + (TENTHS - tenths) * second.value) / TENTHS
                found.append((value, f"{tenths / TENTHS:.0%} to {first.label}, the rest to {second.label}"))
    return min(found) if found else None


def main() -> None:
    """Print a line for each kind of answer of each file."""
    for path in sys.argv[1:]:
        problem = load_problem(path)
        if problem.hardware.nodes > 1 or problem.objective.gpu_ms:
            sys.exit(f"{path}: one node without a price of GPUs is compared")
        for name, one in (
            ("joint", joint(problem)),
            ("pools", pools(problem)),
            ("side by side", side_by_side(problem)),
        ):
            print(
                f"{path}: {name}: {'nothing keeps every rule' if one is None else f'{one[0]:,.2f} ms, {one[1]}'}",
                flush=True,
            )


if __name__ == "__main__":
    main()
