"""``serving: any`` on equal nodes, third kind: joint instances beside pools, split by split. ``docs/disaggregated.md``, section 14."""

from __future__ import annotations

import math
from dataclasses import dataclass, field, replace
from typing import Any

from optimizer.explain.common.numbers import count, milliseconds
from optimizer.facts.problem import Problem
from optimizer.facts.side_by_side import (
    TENTHS,
    BesideSplit,
    joint_part,
    not_split,
    pools_part,
    splits_of,
    unit_gpus,
    units_of,
)
from optimizer.questions.both_parts import FEWEST_SOLVED, NEAR_MS, least_alone, terms_of_parts, times_of_both, weighted
from optimizer.questions.pools import solve_pools
from optimizer.questions.serving import NEITHER
from optimizer.questions.uniform import solve as solve_joint
from optimizer.questions.uniform_steps import Kept
from optimizer.results.answer import Answer, ObjectiveResult, Status, unverified, with_verification
from optimizer.results.pools import PoolsAnswer
from optimizer.results.side_by_side import SideBySideAnswer, SideBySideMetrics
from optimizer.search.common.clock import Clock
from optimizer.search.pools.side_by_side import SplitBounds
from optimizer.verify.pools.side_by_side import BesideSplitsSeen, open_splits, verify_side_by_side

MOST_SOLVED = 40
"""Splits that are solved once something is feasible; where the bounds leave more, the least bound of the others is stated."""
MOST_SOLVED_GPUS = 20_480
"""GPUs of all splits that are solved: those of thousands of GPUs take seconds each."""
MOST_REFUTED_GPUS = 4_096
"""The same while nothing is feasible: there every candidate of both parts is gone through."""

Chosen = Answer | PoolsAnswer


@dataclass(frozen=True, slots=True)
class _BestSplit:
    value: float
    split: BesideSplit
    joint: Answer
    pools: PoolsAnswer


@dataclass(slots=True)
class _SplitSearch:
    """Splits that were solved, and what is known of the others."""

    solved: dict[BesideSplit, float] = field(default_factory=dict)
    """ms of those whose parts were both proved and verified; infinite where a part cannot be."""
    best: _BestSplit | None = None
    least_open: float = math.inf
    """ms below which none of those is that were not settled."""


def beside(problem: Problem, chosen: Chosen, clock: Clock, kept: Kept) -> Chosen | SideBySideAnswer:
    """The better of one kind alone and of both side by side; what is claimed is true of all three then.

    Args:
        problem: with ``serving: any``.
        chosen: the better of either kind alone; without a strategy where neither is feasible, which both together may be.
        clock: time for the search.
        kept: tables of joint instances with all requests and GPUs.
    """
    why = not_split(problem)
    if units_of(problem) < 2:
        return chosen
    if why is not None:
        return _saying(
            chosen, f"Joint instances beside pools are not tried {why}: what is said is of either kind alone."
        )
    known = math.inf if chosen.objective is None else chosen.objective.value
    found = _search(problem, known, clock, kept)
    value = known if found.best is None else found.best.value
    seen = open_splits(problem, value, found.solved, kept.timed, kept.pools) if found.least_open == math.inf else None
    if found.best is None:
        return _alone(problem, chosen, found, seen)
    return _together(problem, chosen, found, found.best, seen)


def _search(problem: Problem, known: float, clock: Clock, kept: Kept) -> _SplitSearch:
    """Every split that may cost less, the least bound first."""
    found = _SplitSearch()
    left = SplitBounds(problem, kept.quantities).left(known - NEAR_MS)
    for least, split in left:
        bar = known if found.best is None else found.best.value
        if least >= bar - NEAR_MS:
            break
        if len(found.solved) >= most_solved(problem, len(left), bar) or clock.over:
            found.least_open = min(found.least_open, least)
            break
        _solve(problem, split, bar, found, clock, least)
    return found


def most_solved(problem: Problem, left: int, known: float) -> int:
    """Splits that are solved of so many that the bounds leave.

    Args:
        known: ms of the best that is known; infinite: nothing is feasible yet.
    """
    gpus = problem.hardware.gpus
    if known < math.inf:
        return min(MOST_SOLVED, max(FEWEST_SOLVED, MOST_SOLVED_GPUS // gpus))
    # Whether anything is feasible at all is asked of every split, or else of a few: most of them prove nothing then.
    return left if left <= MOST_REFUTED_GPUS // gpus else FEWEST_SOLVED


def _solve(problem: Problem, split: BesideSplit, bar: float, found: _SplitSearch, clock: Clock, least: float) -> None:
    """Both parts of a split, each by itself."""
    pools = solve_pools(pools_part(problem, split), time_limit_s=clock.left_s, repairs=False)
    joint: Answer | None = None
    if _proved(pools) and pools.objective is None:
        found.solved[split] = math.inf
        return
    if _proved(pools):
        part = joint_part(problem, split)
        joint = solve_joint(part, time_limit_s=clock.left_s, repairs=False, reasons=False, alternatives=0)
    if joint is None or not _proved(joint):
        found.least_open = min(found.least_open, least)
        return
    if joint.objective is None or pools.objective is None:
        found.solved[split] = math.inf
        return
    value = weighted(split, joint.objective.value, pools.objective.value)
    found.solved[split] = value
    if value < bar - NEAR_MS:
        found.best = _BestSplit(value, split, joint, pools)


def _proved(answer: Answer | PoolsAnswer) -> bool:
    return answer.status in ("optimal", "infeasible") and answer.verification.passed


def _alone(problem: Problem, chosen: Chosen, found: _SplitSearch, seen: BesideSplitsSeen | None) -> Chosen:
    """One kind alone, with what is known of both side by side."""
    every, objective = sum(1 for _ in splits_of(problem)), chosen.objective
    if seen is not None and not seen.open:
        solved = f"{len(found.solved):,} solved, {every - len(found.solved):,} left out by their bounds"
        said = "no better" if objective is not None else "not feasible either"
        chosen = _opening(chosen, "Neither joint instances nor pools are feasible, nor are both side by side.")
        return _saying(
            chosen, f"Joint instances beside pools are {said}: {every:,} splits of requests and GPUs ({solved})."
        )
    if objective is None:
        open_ended: Any = _opening(chosen, f"{NEITHER[:-1]} alone; of both side by side it is not known.")
        return _saying(
            replace(open_ended, status="unknown"),
            f"Joint instances beside pools may be feasible: not all of {every:,} splits were settled ({len(found.solved):,} solved).",
        )
    bound = min(objective.bound, found.least_open)
    gap = (objective.value - bound) / max(abs(objective.value), 1e-9)
    status: Status = "feasible" if chosen.status == "optimal" else chosen.status
    open_ended = replace(chosen, status=status, objective=replace(objective, bound=bound, gap=gap))
    if seen is not None:
        return _saying(
            open_ended,
            f"Joint instances beside pools may be better: the verifier's own bounds leave {len(seen.open):,} of {every:,} splits open.",
        )
    return _saying(
        open_ended,
        f"Joint instances beside pools may be better, by {gap:.2%} at most: not all of {every:,} splits were settled.",
    )


def _opening(chosen: Chosen, sentence: str) -> Chosen:
    """What is said first where neither kind alone is feasible."""
    if chosen.objective is not None or chosen.explanation[:1] != (NEITHER,):
        return chosen
    said: Any = replace(chosen, explanation=(sentence, *chosen.explanation[1:]))
    return said  # type: ignore[no-any-return]


def _saying(chosen: Chosen, sentence: str) -> Chosen:
    said: Any = replace(chosen, explanation=(*chosen.explanation, sentence))
    return said  # type: ignore[no-any-return]


def _together(
    problem: Problem, chosen: Answer | PoolsAnswer, found: _SplitSearch, best: _BestSplit, seen: BesideSplitsSeen | None
) -> SideBySideAnswer:
    settled = seen is not None and not seen.open
    assert best.joint.objective is not None and best.pools.objective is not None
    sure = settled and chosen.status in ("optimal", "infeasible")
    alone = least_alone(chosen)
    bound = best.value if sure else min(best.value, found.least_open, alone)
    terms = terms_of_both(best.split, best.joint, best.pools)
    answer = SideBySideAnswer(
        problem=problem.name,
        status="optimal" if sure else "feasible",
        share=best.split.tenths / TENTHS,
        joint_gpus=best.split.units * unit_gpus(problem),
        joint=best.joint,
        pools=best.pools,
        metrics=metrics_of_both(best.split, best.joint, best.pools),
        objective=ObjectiveResult(best.value, bound, (best.value - bound) / max(abs(best.value), 1e-9), "ms", terms),
        verification=unverified(),
        explanation=(),
        model=best.pools.model,
    )
    answer = with_verification(answer, verify_side_by_side(problem, answer, seen))
    return replace(answer, explanation=(*answer.explanation, *_sentences(problem, answer, chosen, found)))


def terms_of_both(split: BesideSplit, joint: Answer, pools: PoolsAnswer) -> dict[str, float]:
    """What either part adds to the objective of both, ms a request."""
    assert joint.objective is not None and pools.objective is not None
    return terms_of_parts(split, joint.objective, pools.objective)


def metrics_of_both(split: BesideSplit, joint: Answer, pools: PoolsAnswer) -> SideBySideMetrics:
    """What both parts deliver together."""
    first, second = joint.metrics, pools.metrics
    assert first is not None and second is not None
    share, rest = split.tenths / TENTHS, 1 - split.tenths / TENTHS
    return SideBySideMetrics(
        **times_of_both(split, first, second),
        tokens_per_s=first.tokens_per_s + second.tokens_per_s,
        peak_tokens_per_s=min(first.peak_tokens_per_s / share, second.peak_tokens_per_s / rest),
        max_request_rate=min(first.max_request_rate / share, second.max_request_rate / rest),
        availability=share * first.availability + rest * second.availability,
    )


def _sentences(
    problem: Problem, answer: SideBySideAnswer, chosen: Answer | PoolsAnswer, found: _SplitSearch
) -> list[str]:
    """Why both, in numbers."""
    assert answer.joint.objective is not None and answer.pools.objective is not None
    assert answer.joint.metrics is not None and answer.pools.metrics is not None
    all_gpus, first, second = problem.hardware.gpus, answer.joint.metrics, answer.pools.metrics
    joint, pools = (milliseconds(one.objective.value) for one in (answer.joint, answer.pools) if one.objective)
    every = sum(1 for _ in splits_of(problem))
    return [
        f"Joint instances get {answer.share:.0%} of the requests and {count(answer.joint_gpus, 'GPU')}, pools {1 - answer.share:.0%} and "
        f"{count(all_gpus - answer.joint_gpus, 'GPU')}: {answer.share:g} · {joint} + {1 - answer.share:g} · {pools} = "
        f"{milliseconds(answer.objective.value)} a request.",
        f"Every limit holds in either part: TTFT P99 {_ms(first.ttft_p99_ms)} and {_ms(second.ttft_p99_ms)}, TPOT P99 "
        f"{_ms(first.tpot_p99_ms)} and {_ms(second.tpot_p99_ms)}.",
        *_against_alone(answer, chosen),
        f"Of {every:,} splits of requests and GPUs bounds leave {len(found.solved):,} to be solved, both parts of each proved.",
    ]


def _against_alone(answer: SideBySideAnswer, chosen: Chosen) -> list[str]:
    """What the better of either kind alone would be, or why there is none."""
    if chosen.objective is None or chosen.strategy is None:
        if chosen.status == "infeasible":
            return ["Either kind alone breaks a rule.", *chosen.explanation[1:]]
        return ["Of either kind alone nothing was found; the search of one ended before it was proved."]
    kind = "Joint instances" if isinstance(chosen, Answer) else "Pools"
    less = (chosen.objective.value - answer.objective.value) / max(chosen.objective.value, 1e-9)
    return [
        f"{kind} alone, {chosen.strategy.label}: {milliseconds(chosen.objective.value)} a request with "
        f"{count(chosen.strategy.gpus, 'GPU')} against {milliseconds(answer.objective.value)} with {answer.gpus}; "
        f"side by side takes {less:.1%} less."
    ]


def _ms(value: Any) -> str:
    return "without end" if value is None else milliseconds(value)
