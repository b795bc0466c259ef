"""What answers in place of a question that has no meaning for a chain, or that is not answered for several models or a day yet."""

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


def refuse_several(problem: AnyProblem, question: str) -> None:
    """Say what answers in place of a question about several models, or about a day.

    Raises:
        ProblemError: it is one.
    """
    kind = kind_of(problem)
    if kind in ("models", "day"):
        raise not_of(kind, question)


def refuse_day(problem: AnyProblem, question: str) -> None:
    """Say what answers in place of a question about load that changes over the day.

    Raises:
        ProblemError: it is one.
    """
    if kind_of(problem) == "day":
        raise not_of("day", question)


def not_of(kind: str, question: str) -> ProblemError:
    """That a question is not answered for several models, or for load that changes over the day, and what is."""
    if kind == "day":
        return ProblemError(
            "workload.profile",
            f"{question} is about one rate; optimizer solve plans the day, and an hour of it can be asked about by itself "
            "(workload.requests_per_s)",
        )
    return ProblemError(
        "models",
        f"{question} is not answered for several models; optimizer solve and optimizer check split the nodes, and each model "
        "can be asked about by itself (hardware: with the nodes it gets)",
    )


def equal_nodes(problem: AnyProblem, question: str) -> Problem:
    """A problem of equal nodes with its workload choices settled.

    Raises:
        ProblemError: it is a chain, with what answers there.
    """
    refuse_several(problem, question)
    if kind_of(problem) == "chain":
        raise ProblemError("kind", f"chain: {question} has no meaning here: {INSTEAD[question]}")
    from optimizer.questions.variants import settled

    return settled(cast("Problem", problem), question)
