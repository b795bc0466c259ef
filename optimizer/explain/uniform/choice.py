"""One chosen candidate as an answer whose every number the verifier has recomputed; its optimality is not claimed to it."""

from __future__ import annotations

from dataclasses import replace

from optimizer.results.answer import Answer, Fixed, Status, Verification, all_confirmed, unverified
from optimizer.search.uniform.evaluate import judge_rules, metrics_of, objective_of, strategy_of
from optimizer.search.uniform.quantities import Quantities
from optimizer.search.uniform.rule import Choice
from optimizer.search.uniform.winner import Winner
from optimizer.verify import verify_answer


def verified_choice(
    quantities: Quantities, choice: Choice, fixed: Fixed | None, status: Status = "optimal", bound: int | None = None
) -> Answer:
    """The answer that a choice is.

    Args:
        fixed: what was asked for.
        status: how far its optimality is proved.
        bound: ns that no candidate comes below, where it is not optimal.
    """
    problem = quantities.problem
    answer = Answer(
        problem=problem.name,
        status=status,
        strategy=strategy_of(quantities, choice),
        metrics=metrics_of(quantities, choice),
        objective=objective_of(quantities, choice, bound),
        rules=judge_rules(quantities, choice),
        verification=unverified(),
        explanation=(),
        cost_source=problem.cost_source,
    )
    return replace(answer, verification=verify_answer(problem, answer, fixed or Fixed(), exhaustive=False))


def winners_confirmed(*winners: tuple[Winner | None, Fixed | None]) -> Verification | None:
    """What the verifier says of winners, each with what was fixed for it; None where there is none."""
    seen = [
        verified_choice(winner.quantities, winner.choice, fixed).verification
        for winner, fixed in winners
        if winner is not None
    ]
    return all_confirmed(seen) if seen else None
