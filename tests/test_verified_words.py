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
    checked = Verification(True, 7, "exhaustive", 1200, "", (), compared=1200)
    found = verification_sentence(checked, status, sets=sets)
    assert said in found and found.startswith(
        "Verified: 7 numbers and rules recomputed in exact arithmetic, all agree; "
    )
    assert "enumerat" not in verification_sentence(Verification(True, 7, "bound", 0, "", ()), status, sets=sets)


def test_what_was_compared_and_what_each_bound_ruled_out() -> None:
    checked = Verification(
        True, 7, "exhaustive", 12 * 10**14, "", (), 3, {"a bound": 12 * 10**14 - 4, "a rule": 1, "naught": 0}
    )
    found = verification_sentence(checked, "optimal", sets=True)
    assert (
        "against all 1.2 x 10^15 sets of instances (3 compared one by one; 1.1 x 10^15 ruled out by a bound; 1 ruled out by a rule)"
        in found
    )
