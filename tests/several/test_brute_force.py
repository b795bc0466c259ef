"""The split that the search finds against brute force: every pair of strategies, judged by the verifier's exact formulas, and every way
to stand, tried GPU count by GPU count."""

from __future__ import annotations

import itertools
import random
from decimal import Decimal
from typing import Any

import pytest

from optimizer.facts.several import ModelEntry, SeveralProblem
from optimizer.questions.several import solve_several
from optimizer.results.answer import Fixed
from optimizer.verify.common.arithmetic import sixty_digits
from optimizer.verify.common.candidate import Candidate, RowFacts
from optimizer.verify.common.rules import findings
from optimizer.verify.common.space import rows
from optimizer.verify.common.stage import Stages
from tests.several.problems import problem_with

Taken = tuple[int, ...]


LIMIT_SLOTS = {"memory", "tpot_full_batch"}
"""Rules that fewer sequences keep where more do not."""


def best_slots(facts: RowFacts, slots: int) -> Candidate | None:
    """The most sequences with which a row keeps every rule: more are never worse; None where no number does."""
    off = facts.problem.search.disabled_rules
    while slots:
        one = Candidate(facts, slots)
        broken = {rule.id for rule in findings(one) if not rule.holds and rule.id not in off}
        if not broken:
            return one
        if broken - LIMIT_SLOTS:
            return None
        slots -= 1
    return None


def strategies(served: ModelEntry, nodes: int, slots: int) -> list[tuple[Taken, Decimal]]:
    """(GPUs on every node of the cluster, value) of every strategy that keeps its rules, wherever it stands."""
    found = []
    for number in range(1, nodes + 1):
        problem = served.on(number)
        stages = Stages(problem)
        for row in rows(problem, Fixed()):
            candidate = best_slots(RowFacts(problem, row, stages), slots)
            if candidate is None:
                continue
            size, held = row.shape.instance_gpus, [row.instances // number] * number
            for more in range(row.instances % number):
                held[more] += 1
            if any(gpus * size > problem.hardware.gpus_per_node for gpus in held):
                continue
            value = candidate.value().total
            for there in itertools.permutations(range(nodes), number):
                taken = [0] * nodes
                for node, gpus in zip(there, held, strict=True):
                    taken[node] = gpus * size
                found.append((tuple(taken), value))
    return found


@sixty_digits()
def best_by_hand(problem: SeveralProblem, slots: int) -> Decimal | None:
    """The least weighted sum over every pair that finds room."""
    nodes, room = problem.hardware.nodes, problem.hardware.gpus_per_node
    first, second = (strategies(served, nodes, slots) for served in problem.models)
    weights = [Decimal(repr(served.weight)) for served in problem.models]
    values = [
        weights[0] * a + weights[1] * b
        for one, a in first
        for other, b in second
        if all(x + y <= room for x, y in zip(one, other, strict=True))
    ]
    return min(values, default=None)


def generated(seed: int) -> dict[str, Any]:
    """A random small question: two 8B models on up to three nodes."""
    chance = random.Random(seed)
    nodes = chance.choice([1, 2, 3])
    entries = []
    for _ in range(2):
        requirements: dict[str, Any] = {"tpot_p99_ms": chance.choice([25, 32, 60]), "max_batch": 32}
        if nodes > 1 and chance.random() < 0.5:
            requirements["survive"] = {chance.choice(["gpu", "node"]): 1, "demand_share": chance.choice([0.5, 1.0])}
        rate = chance.choice([1.0, 3.0, 5.0, 9.0])
        entries.append(
            {
                "workload": {"requests_per_s": rate},
                "requirements": requirements,
                "weight": chance.choice([0.5, 1.0, 2.0]),
            }
        )
    return {
        "first": entries[0],
        "second": entries[1],
        "hardware": {"nodes": nodes, "gpus_per_node": chance.choice([2, 3, 4])},
        "objective": chance.choice(["balanced", "latency", "fault-tolerance"]),
    }


@pytest.mark.parametrize("seed", [pytest.param(n, marks=() if n < 4 else pytest.mark.long) for n in range(24)])
def test_the_search_finds_what_brute_force_finds(seed: int) -> None:
    problem = problem_with(**generated(seed))
    answer = solve_several(problem, repairs=False)
    assert answer.verification.passed, answer.verification.mismatches
    assert answer.verification.optimality == "exhaustive"
    by_hand = best_by_hand(problem, 32)
    if answer.objective is None:
        assert answer.status == "infeasible" and by_hand is None
        return
    assert answer.status == "optimal" and by_hand is not None
    assert abs(Decimal(repr(answer.objective.value)) - by_hand) < Decimal("0.0001")
