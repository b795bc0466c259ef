"""An answer of any kind that the verifier does not confirm is never called optimal or infeasible, and says so first."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import pytest

import optimizer
from optimizer.reading.proposal import chain_proposal_from_dict, proposal_from_dict
from optimizer.results.answer import Mismatch, Verification
from tests.questions.problems import chain, inventory, two_groups

WRONG = Verification(False, 3, "refuted", 0, "", (Mismatch("optimality", "5 ms", "6 ms"),))
SAID = "The independent verification does not confirm this answer (1 of 3 checks): optimality should be 5 ms, not 6 ms."


@pytest.fixture
def refuted(monkeypatch: pytest.MonkeyPatch) -> None:
    """A verifier that confirms nothing."""
    for name in (
        "verify.inventory.verify_inventory",
        "questions.chain.verify_chain",
        "questions.chain_check.verify_chain",
    ):
        monkeypatch.setattr(f"optimizer.{name}", lambda *_, **__: WRONG)


def never_proved(answer: Any, status: str) -> None:
    assert answer.status == status and not answer.verification.passed
    assert answer.explanation[0].startswith(SAID)
    assert not any("proved" in sentence for sentence in answer.explanation)


@pytest.mark.usefixtures("refuted")
@pytest.mark.parametrize("values", [inventory(), chain()], ids=["cluster", "chain"])
def test_what_was_called_optimal_is_at_most_feasible(values: dict[str, Any]) -> None:
    never_proved(optimizer.solve(optimizer.problem_from_dict(values)), "feasible")


@pytest.mark.usefixtures("refuted")
def test_what_was_called_infeasible_is_not_known() -> None:
    values = inventory()
    values["workload"] = {**values["workload"], "requests_per_s": 100_000}
    never_proved(optimizer.solve(optimizer.problem_from_dict(values)), "unknown")


def test_proposals_are_not_the_best_either(refuted: None) -> None:
    problem = optimizer.problem_from_dict(two_groups())
    best: Any = optimizer.solve(problem)
    held = proposal_from_dict({"instances": [{"group": "h", "tp": 1, "count": 2}]})
    placed: Any = optimizer.check(problem, placement=held)  # type: ignore[call-overload]
    assert best.status == placed.status == "feasible" and placed.explanation[0].startswith(SAID)
    nodes = chain_proposal_from_dict({"nodes": {"n0": [0, 2], "n1": [2, 2]}})
    carried: Any = optimizer.check(optimizer.problem_from_dict(chain()), placement=nodes)  # type: ignore[call-overload]
    assert carried.status == "feasible" and carried.explanation[0].startswith(SAID)


def test_a_verifier_that_agrees_changes_nothing() -> None:
    answer: Any = optimizer.solve(optimizer.problem_from_dict(two_groups()))
    assert (
        answer.status == "optimal"
        and answer == replace(answer)
        and not any(SAID[:40] in one for one in answer.explanation)
    )
