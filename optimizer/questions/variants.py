"""Decisions that change every step time: the token budget of a step, and how many tokens are guessed. Each choice is a problem of
its own, solved and proved like any other; the best of them is the answer, and proved best where every one of them is settled."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import replace
from typing import TypeVar

from optimizer.facts.errors import ProblemError
from optimizer.facts.problem import Problem
from optimizer.results.answer import Answer, CheckAnswer

SomeAnswer = TypeVar("SomeAnswer", bound=Answer)
FIRST = {
    "throughput": lambda answer: -answer.metrics.peak_tokens_per_s,
    "capacity": lambda answer: -answer.metrics.max_request_rate,
    "fewest-gpus": lambda answer: answer.strategy.gpus,
}
"""What a preset puts before the objective."""
SETTLED = ("optimal", "infeasible")


def best_of(problem: Problem, ask: Callable[[Problem, bool], SomeAnswer]) -> SomeAnswer:
    """The best answer over the choices that a problem leaves open.

    Args:
        ask: the answer to a problem that leaves none; its second argument is False where nobody will read reasons.
    """
    choices = problem.variants()
    if len(choices) == 1:
        return ask(problem.decided(choices[0]), True)
    found = []
    for choice in choices:
        answer = ask(problem.decided(choice), False)
        found.append(replace(answer, decided=choice))
    works = [answer for answer in found if _works(answer)]
    if not works:
        first = ask(problem.decided(choices[0]), True)
        said = (
            f"The same was found for each of the {len(choices)} choices of {_names(choices)}; the reasons are those with "
            f"{_words(choices[0])}."
        )
        settled = all(answer.status in SETTLED for answer in found)
        status = first.status if settled else "unknown"
        return replace(first, decided=choices[0], status=status, explanation=(*first.explanation, said))
    best = min(works, key=lambda answer: _rank(problem, answer))
    open_ends = [answer for answer in found if answer.status not in SETTLED and not isinstance(answer, CheckAnswer)]
    status = "feasible" if open_ends and best.status == "optimal" else best.status
    others = [
        f"{_words(answer.decided)} {f'{answer.objective.value:,.0f} ms' if _works(answer) and answer.objective else answer.status}"
        for answer in found
        if answer is not best
    ]
    said = f"Chosen over every strategy: {_words(best.decided)}. The best with other choices: {', '.join(others)}."
    return replace(best, status=status, explanation=(*best.explanation, said))


def settled(problem: Problem, question: str) -> Problem:
    """The problem with its one choice made, for questions about the strategies of one choice.

    Raises:
        ProblemError: several choices are open.
    """
    choices = problem.variants()
    if len(choices) == 1:
        return problem.decided(choices[0])
    field, instead = "search.token_budgets", "state one, or search.max_num_batched_tokens"
    if "speculative_tokens" in choices[0]:
        field, instead = "workload.speculation.tokens", "state how many tokens are guessed"
    raise ProblemError(
        field, f"{question} compares strategies of one choice: {instead}; optimizer solve says which is best"
    )


def _works(answer: Answer) -> bool:
    if isinstance(answer, CheckAnswer):
        return bool(answer.feasible)
    return answer.strategy is not None and answer.metrics is not None


def _rank(problem: Problem, answer: Answer) -> tuple[float, float]:
    first = FIRST.get(problem.objective.preset)
    value = answer.objective.value if answer.objective is not None else float("inf")
    return (float(first(answer)) if first is not None else 0.0, value)


def _names(choices: Sequence[dict[str, int]]) -> str:
    varied = [name for name in choices[0] if len({choice[name] for choice in choices}) > 1]
    return " and ".join(WORDS[name] for name in varied)


WORDS = {"max_num_batched_tokens": "the token budget of a step", "speculative_tokens": "tokens guessed"}


def _words(choice: dict[str, int]) -> str:
    said = []
    if "max_num_batched_tokens" in choice:
        said.append(f"{choice['max_num_batched_tokens']:,} tokens a step")
    if "speculative_tokens" in choice:
        said.append(
            f"{choice['speculative_tokens'] or 'no'} guessed token{'' if choice['speculative_tokens'] == 1 else 's'}"
        )
    return " with ".join(said)
