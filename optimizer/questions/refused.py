"""What answers in place of a question that has no meaning for a chain."""

from __future__ import annotations

from typing import TYPE_CHECKING, cast

from optimizer.facts.errors import ProblemError
from optimizer.reading.question import kind_of

if TYPE_CHECKING:
    from optimizer.facts.problem import Problem
    from optimizer.reading.question import AnyProblem

INSTEAD = {
    "why-not": "say which layers a node would hold, --node NAME=FIRST:LAYERS; optimizer solve names the nodes left idle",
    "why-this": "what limits a chain is its bound's cross-section, which optimizer solve prints with the weights that prove it",
    "how-sure": "its costs are stated tables and no predictions; change a rate in the file and ask optimizer solve again",
}


def equal_nodes(problem: AnyProblem, question: str) -> Problem:
    """A problem of equal nodes with its workload choices settled.

    Raises:
        ProblemError: it is a chain, with what answers there.
    """
    if kind_of(problem) == "chain":
        raise ProblemError("kind", f"chain: {question} has no meaning here: {INSTEAD[question]}")
    from optimizer.questions.variants import settled

    return settled(cast("Problem", problem), question)
