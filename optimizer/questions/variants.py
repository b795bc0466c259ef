"""Decisions that change every step time: the token budget of a step, and how many tokens are guessed. Each choice is a problem of
its own, solved and proved like any other; the best of them is the answer, and proved best where every one of them is settled."""

from __future__ import annotations

import time
from collections.abc import Callable, Sequence
from dataclasses import replace
from typing import TypeVar

from optimizer.facts.errors import ProblemError
from optimizer.facts.problem import Problem
from optimizer.results.answer import WITHIN_SEARCHED, Answer, CheckAnswer

SomeAnswer = TypeVar("SomeAnswer", bound=Answer)
FIRST = {
    "throughput": lambda answer: -answer.metrics.peak_tokens_per_s,
    "capacity": lambda answer: -answer.metrics.max_request_rate,
    "fewest-gpus": lambda answer: answer.strategy.gpus,
    "cheapest": lambda answer: answer.strategy.gpus,
}
"""What a preset puts before the objective."""
SETTLED = ("optimal", "infeasible")


def best_of(
    problem: Problem,
    ask: Callable[[Problem, bool, float | None], SomeAnswer],
    *,
    time_limit_s: float | None = None,
    helps: Callable[[Problem, float | None], bool | None] = lambda problem, left: False,
) -> SomeAnswer:
    """The best answer over the choices that a problem leaves open.

    Args:
        ask: the answer to a problem that leaves none, with reasons where its second argument says that they will be read, in so
            many seconds.
        time_limit_s: of all choices together.
        helps: whether a strategy outside of what was searched keeps every rule of an infeasible problem that leaves no choice;
            None where that was not known in so many seconds.
    """
    end = None if time_limit_s is None else time.monotonic() + time_limit_s

    def left() -> float | None:
        return None if end is None else max(0.0, end - time.monotonic())

    choices = problem.variants()
    if len(choices) == 1:
        return ask(problem.decided(choices[0]), True, left())
    found = []
    for choice in choices:
        answer = ask(problem.decided(choice), False, left())
        found.append(replace(answer, decided=choice))
    works = [answer for answer in found if _works(answer)]
    if not works:
        return _none(problem, found, lambda one: ask(one, True, left()), lambda one: helps(one, left()))
    return _best(problem, found, works)


def _none(
    problem: Problem,
    found: Sequence[SomeAnswer],
    explained: Callable[[Problem], SomeAnswer],
    helps: Callable[[Problem], bool | None],
) -> SomeAnswer:
    """No choice works: the reasons with the first of them, or with one that a wider search would help."""
    choices = [answer.decided for answer in found]
    shown = choices[0]
    first = explained(problem.decided(shown))
    known: list[bool | None] = []
    if first.status == "infeasible" and first.within is None:
        # What one choice rules out another may allow, once more is searched.
        for choice in choices[1:]:
            known.append(helps(problem.decided(choice)))
            if known[-1]:
                shown, first = choice, explained(problem.decided(choice))
                break
    said = [
        f"The same was found for each of the {len(choices)} choices of {_names(choices)}; the reasons are those with {_words(shown)}."
    ]
    within = first.within
    if within is None and None in known:
        within = WITHIN_SEARCHED
        said.append(
            "Whether a wider search helps with another choice was not looked at to its end; a longer --time-limit does."
        )
    settled = all(answer.status in SETTLED for answer in found)
    status = first.status if settled else "unknown"
    return replace(first, decided=shown, status=status, within=within, explanation=(*first.explanation, *said))


def _best(problem: Problem, found: Sequence[SomeAnswer], works: Sequence[SomeAnswer]) -> SomeAnswer:
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
