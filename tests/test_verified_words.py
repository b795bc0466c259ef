"""What is said about the enumeration: of candidates, or of sets of instances, for optima and where nothing works."""

from __future__ import annotations

import pytest

from optimizer.render.text import verification_sentence
from optimizer.results.answer import Status, Verification


@pytest.mark.parametrize(
    ("status", "sets", "said"),
    [
        ("optimal", False, "optimality confirmed against all 1,200 candidates"),
        ("infeasible", False, "none of all 1,200 candidates keeps every rule"),
        ("optimal", True, "against all sets of instances (its own bounds left 1,200 to look at one by one)"),
        ("infeasible", True, "no set of instances keeps every rule (its own bounds left 1,200 to look at one by one)"),
    ],
)
def test_what_was_enumerated(status: Status, sets: bool, said: str) -> None:
    found = verification_sentence(Verification(True, 7, "exhaustive", 1200, "", ()), status, sets=sets)
    assert said in found and found.startswith(
        "Verified: 7 numbers and rules recomputed in exact arithmetic, all agree; "
    )
    assert "enumerat" not in verification_sentence(Verification(True, 7, "bound", 0, "", ()), status, sets=sets)
