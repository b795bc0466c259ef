"""``serving: any``: joint instances or pools, whichever is better, both solved and proved. ``docs/disaggregated.md``."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from typing import TYPE_CHECKING, Any

from optimizer.explain.common.numbers import milliseconds, time_or_none
from optimizer.facts.errors import ProblemError
from optimizer.facts.problem import Problem
from optimizer.results.answer import Answer
from optimizer.results.pools import PoolsAnswer

if TYPE_CHECKING:
    pass

if TYPE_CHECKING:
    from optimizer.reading.question import AnyProblem

SETTLED = ("optimal", "infeasible")


def joint_only(problem: AnyProblem) -> None:
    """Refuse pools where only joint instances are known.

    Raises:
        ProblemError: the problem asks for pools.
    """
    serving = getattr(problem, "serving", "joint")
    if serving != "joint":
        raise ProblemError(
            "serving",
            f"{serving} is taken by optimizer solve, check, deploy, sweep and recommend; for this question state serving: joint",
        )


def joint_of(problem: Problem) -> Problem:
    """The same question with joint instances alone."""
    return problem.model_copy(update={"serving": "joint"})


def better_of(problem: Problem, joint: Answer, pools: PoolsAnswer) -> Answer | PoolsAnswer:
    """The better answer, with what the other would be; called best only where both are settled.

    Args:
        joint, pools: the best of either kind.
    """
    works = [answer for answer in (joint, pools) if answer.strategy is not None]
    if not works:
        said = "With joint instances: " + (joint.explanation[0] if joint.explanation else joint.status)
        status = "infeasible" if joint.status == pools.status == "infeasible" else "unknown"
        more = ("Neither joint instances nor pools are feasible.", *pools.explanation, said)
        return replace(pools, status=status, explanation=more)  # type: ignore[arg-type]
    chosen: Any = min(works, key=lambda answer: _rank(problem, answer))
    other: Answer | PoolsAnswer = pools if chosen is joint else joint
    open_ended = other.status not in SETTLED or not _confirmed(other)
    status = "feasible" if open_ended and chosen.status == "optimal" else chosen.status
    best: Answer | PoolsAnswer = replace(
        chosen, status=status, explanation=(*chosen.explanation, *_beside(problem, chosen, other))
    )
    return best


def _confirmed(answer: Answer | PoolsAnswer) -> bool:
    return answer.verification.passed


def _rank(problem: Problem, answer: Any) -> tuple[float, float]:
    preset, metrics = problem.objective.preset, answer.metrics
    first: dict[str, Callable[[], float]] = {
        "throughput": lambda: -metrics.peak_tokens_per_s,
        "capacity": lambda: -metrics.max_request_rate,
        "fewest-gpus": lambda: float(answer.strategy.gpus),
    }
    value = float("inf") if answer.objective is None else answer.objective.value
    return (first[preset]() if preset in first else 0.0), value


def _beside(problem: Problem, chosen: Any, other: Any) -> list[str]:
    """Why not the other kind, term by term."""
    name = "Joint instances" if isinstance(other, Answer) else "Prefill and decode pools"
    if other.strategy is None:
        why = other.conflicts[0].sentence if other.conflicts else f"their search ended {other.status}"
        return [f"{name} instead: {why}"]
    mine, its = chosen.metrics, other.metrics
    said = [
        f"{name} instead, {other.strategy.label}: {milliseconds(other.objective.value)} a request against "
        f"{milliseconds(chosen.objective.value)}, {other.strategy.gpus} GPUs against {chosen.strategy.gpus}, "
        f"at most {its.max_request_rate:.2f} requests/s against {mine.max_request_rate:.2f}."
    ]
    parts = [
        f"{label} {time_or_none(getattr(its, field))} against {time_or_none(getattr(mine, field))}"
        for field, label in (
            ("ttft_p50_ms", "TTFT P50"),
            ("ttft_p99_ms", "TTFT P99"),
            ("tpot_p50_ms", "TPOT P50"),
            ("tpot_p99_ms", "TPOT P99"),
            ("request_mean_ms", "mean request"),
        )
    ]
    return [*said, f"There {', '.join(parts)}."]
