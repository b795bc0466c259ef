"""The float counterpart against exact arithmetic, and the chain where its answer is known."""

from __future__ import annotations

import math
import random
from decimal import Decimal
from itertools import accumulate

import pytest

from optimizer.results.answer import Fixed
from optimizer.verify import verify_answer
from optimizer.verify.common.arithmetic import sixty_digits
from optimizer.verify.common.candidate import Candidate, RowFacts
from optimizer.verify.common.load import chain
from optimizer.verify.common.rules import findings
from optimizer.verify.common.space import most_slots, rows
from optimizer.verify.common.stage import Stages
from optimizer.verify.uniform.float_candidate import survey
from tests.verify.builders import answer_for, best_strategy, no_answer, problem, random_problem

SEEDS = range(24)


@pytest.mark.parametrize("offered", [0.3, 4.0, 37.5])
def test_constant_residence_is_poisson(offered: float) -> None:
    """R(n) constant: requests do not slow each other (M/G/infinity), so the number in progress is Poisson."""
    with sixty_digits():
        found = chain([Decimal(50)] * 256, Decimal(str(offered)) / 50, 256)
    assert found is not None
    cumulative = list(accumulate(math.exp(n * math.log(offered) - offered - math.lgamma(n + 1)) for n in range(256)))
    assert found.median == next(n for n, reached in enumerate(cumulative) if reached >= 0.5)
    k = next(n for n, reached in enumerate(cumulative) if reached >= 0.99)
    inside = (0.99 - cumulative[k - 1]) / (cumulative[k] - cumulative[k - 1])
    assert float(found.p99) == pytest.approx(k - 1 + inside)
    assert float(found.mean) == pytest.approx(offered)


def test_proportional_residence_is_a_single_server() -> None:
    """R(n) = n R(1) is M/M/1: geometric, mean rho / (1 - rho)."""
    with sixty_digits():
        found = chain([Decimal(n) for n in range(1, 257)], Decimal("0.9"), 256)
        assert chain([Decimal(n) for n in range(1, 257)], Decimal(1), 256) is None
        assert chain([Decimal(n) for n in range(1, 257)], Decimal("0.999"), 256) is None
    assert found is not None
    assert float(found.mean) == pytest.approx(9)
    assert found.median == math.ceil(math.log(0.5) / math.log(0.9)) - 1
    k = math.ceil(math.log(0.01) / math.log(0.9)) - 1
    inside = (0.99 - (1 - 0.9**k)) / (0.1 * 0.9**k)
    assert float(found.p99) == pytest.approx(k - 1 + inside)


@pytest.mark.parametrize("seed", SEEDS)
def test_float_agrees_with_exact_arithmetic(seed: int) -> None:
    stated = random_problem(seed)
    pick, off = random.Random(seed), stated.search.disabled_rules
    with sixty_digits():
        stages, offered = Stages(stated), list(rows(stated, Fixed()))
        seen = survey(stated, Fixed(), offered, stages, None, most_rivals=10**9)
        maybe = {(row, slots): (tier, value, sure) for tier, value, sure, row, slots in seen.rivals}
        assert seen.near == sum(not sure for _, _, sure in maybe.values())
        some = pick.sample(list(maybe), min(6, len(maybe)))
        some += [
            (row, pick.randint(1, most_slots(stated, Fixed()))) for row in pick.sample(offered, min(6, len(offered)))
        ]
        unsure = 0
        for row, slots in some:
            candidate = Candidate(RowFacts(stated, row, stages), slots)
            feasible = all(rule.holds or rule.id in off for rule in findings(candidate))
            assert feasible == ((row, slots) in maybe)
            if feasible and maybe[row, slots][1] == -math.inf:
                unsure += 1  # floats cannot tell what is carried: exact arithmetic decides such a candidate
            elif feasible:
                assert maybe[row, slots][1] == pytest.approx(float(candidate.value().total), abs=1e-6, rel=1e-12)
        assert unsure <= 1


def test_random_problems_are_of_both_sorts() -> None:
    found = [best_strategy(random_problem(seed)) is not None for seed in SEEDS]
    assert 5 <= sum(found) <= len(found) - 3


@pytest.mark.parametrize("seed", SEEDS)
def test_the_optimum_is_confirmed(seed: int) -> None:
    stated = random_problem(seed)
    best = best_strategy(stated)
    answer = no_answer(stated) if best is None else answer_for(stated, best)
    verification = verify_answer(stated, answer)
    assert verification.mismatches == ()
    assert verification.passed and verification.optimality == "exhaustive" and verification.candidates > 0


def test_fixed_decisions_shrink_the_space() -> None:
    stated = problem()
    fixed = Fixed(tensor_parallel=2, max_num_seqs=20)
    best = best_strategy(stated, fixed)
    assert best is not None and best.tensor_parallel == 2 and best.max_num_seqs == 20
    assert verify_answer(stated, answer_for(stated, best), fixed).passed
    assert not verify_answer(stated, answer_for(stated, best), Fixed(tensor_parallel=4)).passed
