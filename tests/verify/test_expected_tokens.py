"""What prompts find in the cache and what guesses yield: two homes, equal on every length, and a wrong one is refuted."""

from __future__ import annotations

from fractions import Fraction

import pytest

from optimizer.facts.workload import Prefix, Speculation, Workload
from optimizer.questions.uniform import solve
from optimizer.reading.load import load_problem
from optimizer.verify.common.expected_tokens import found_tokens, tokens_of_a_step
from tests.conftest import ROOT


@pytest.mark.parametrize(("shared", "rate"), [(0, 0.0), (0, 0.37), (100, 0.0), (100, 0.1), (4096, 0.999), (17, 0.5)])
def test_prompts_find_the_same(shared: int, rate: float) -> None:
    prefix = Prefix(shared_tokens=shared, hit_rate=rate)
    for tokens in (*range(1, 200), 1155, 4095, 4096, 4097, 131_072):
        found = found_tokens(prefix, tokens)
        assert found == prefix.cached(tokens)
        assert found % 16 == 0 and 0 <= found < tokens


def test_by_hand() -> None:
    # 100 tokens at the head are 6 whole blocks; of the 59 left a tenth is 5.9, no whole block; of 904 left, 90.4: five more.
    prefix = Prefix(shared_tokens=100, hit_rate=0.1)
    assert found_tokens(prefix, 155) == 96 and found_tokens(prefix, 1000) == 96 + 80
    assert found_tokens(None, 1000) == 0
    work = Workload(prompt_tokens=100, output_tokens=10, requests_per_s=1.0)
    guessing = Speculation(method="mtp", acceptance=0.5, max_tokens=3, tokens=3)
    assert tokens_of_a_step(work) == 1
    assert tokens_of_a_step(work.model_copy(update={"speculation": guessing})) == Fraction(15, 8)


@pytest.mark.parametrize("acceptance", [0.01, 0.35, 0.8, 0.999])
def test_guesses_yield_the_same(acceptance: float) -> None:
    for tokens in range(17):
        guessing = Speculation(method="mtp", acceptance=acceptance, max_tokens=16, tokens=tokens)
        work = Workload(prompt_tokens=100, output_tokens=10, requests_per_s=1.0, speculation=guessing)
        assert tokens_of_a_step(work) == guessing.yielded


def test_a_wrong_share_of_prompts_is_refuted(monkeypatch: pytest.MonkeyPatch) -> None:
    problem = load_problem(ROOT / "problems" / "shared-prefix-8xh100.yaml")
    right = Prefix.cached
    monkeypatch.setattr(Prefix, "cached", lambda self, tokens: min(tokens - 1, right(self, tokens) + 16))
    assert solve(problem, repairs=False).verification.mismatches


def test_a_wrong_yield_of_guesses_is_refuted(monkeypatch: pytest.MonkeyPatch) -> None:
    problem = load_problem(ROOT / "problems" / "speculative-8xh200.yaml")
    monkeypatch.setattr(Speculation, "yielded", property(lambda self: Fraction(repr(self.acceptance)) * 2 + 1))
    assert solve(problem, repairs=False).verification.mismatches
