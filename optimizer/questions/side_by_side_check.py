"""``check`` of joint instances beside prefill and decode pools, for a share of the requests. ``docs/disaggregated.md``, section 14."""

from __future__ import annotations

import math
from dataclasses import replace
from typing import TYPE_CHECKING, Any

from optimizer.explain.common.numbers import count, milliseconds
from optimizer.explain.pools.conflict import broken_words
from optimizer.facts.errors import ProblemError
from optimizer.facts.problem import Problem
from optimizer.facts.side_by_side import (
    TENTHS,
    BesideSplit,
    joint_part,
    not_split,
    pools_part,
    splits_of,
    tenths_of,
    unit_gpus,
    units_of,
)
from optimizer.questions.both_parts import NEAR_MS, weighted
from optimizer.questions.pools import check_pools, refuse
from optimizer.questions.side_by_side import metrics_of_both, terms_of_both
from optimizer.questions.solve import solve
from optimizer.questions.uniform import check as check_joint
from optimizer.questions.uniform_steps import quantities_of
from optimizer.results.answer import Answer, Fixed, ObjectiveResult, unverified, with_verification
from optimizer.results.pools import FixedPool, FixedPools
from optimizer.results.side_by_side import SideBySideAnswer
from optimizer.search.common.clock import Clock
from optimizer.search.pools.answer import objective_of
from optimizer.search.pools.solve import best, columns_of
from optimizer.search.uniform.solve import Solver
from optimizer.verify.common.ledger import CheckLedger
from optimizer.verify.pools.side_by_side import verify_side_by_side
from optimizer.verify.side_by_side.judged import SplitsClaimed, count_splits

if TYPE_CHECKING:
    from optimizer.results.pools import PoolsAnswer

    Optimum = Answer | PoolsAnswer | SideBySideAnswer


def check_beside(
    problem: Problem, fixed: Fixed, pools: FixedPools, share: float | None = None, *, time_limit_s: float | None = None
) -> SideBySideAnswer:
    """Whether joint instances and pools side by side keep every rule, each part its own, and the optimum of all kinds beside them.

    Args:
        problem: with whatever ``serving``.
        fixed: decisions of the joint instances; what is left out is chosen as well as possible, as of the pools.
        share: of the requests, what joint instances are sent; None: the best of the tenths.

    Raises:
        ProblemError: both cannot stand side by side, or do not have room; the message names the option.
    """
    refuse(problem)
    why = not_split(problem)
    if why is not None:
        raise ProblemError(
            "--prefill", f"joint instances (--tp, --dp) beside pools are not judged {why}; state either kind alone"
        )
    clock = Clock(time_limit_s)
    asked = _asked(problem, fixed, pools, share)
    values = _values(problem, fixed, pools, asked, clock)
    split = min(values, key=lambda one: (values[one], _uneven(problem, one)))
    joint = check_joint(joint_part(problem, split), fixed, time_limit_s=clock.left_s, repairs=False, reasons=False)
    beside = check_pools(pools_part(problem, split), pools, time_limit_s=clock.left_s)
    if joint.objective is None or beside.objective is None or None in (joint.feasible, beside.feasible):
        raise ProblemError("--time-limit", "was reached before both parts could be judged; allow more time")
    optimum = solve(
        problem.model_copy(update={"serving": "any"}), time_limit_s=clock.left_s, repairs=False
    )  # of all three kinds
    value, feasible = weighted(split, joint.objective.value, beside.objective.value), joint.feasible and beside.feasible
    bound = value if optimum.objective is None else min(value, optimum.objective.bound)
    best_known = optimum.status == "optimal" and optimum.objective is not None
    same = feasible and best_known and value <= optimum.objective.value + NEAR_MS  # type: ignore[union-attr]
    answer = SideBySideAnswer(
        problem=problem.name,
        status="optimal" if same else "feasible" if feasible else "infeasible",
        share=split.tenths / TENTHS,
        joint_gpus=split.units * unit_gpus(problem),
        joint=joint,
        pools=beside,
        metrics=metrics_of_both(split, joint, beside),
        objective=ObjectiveResult(
            value, bound, (value - bound) / max(abs(value), 1e-9), "ms", terms_of_both(split, joint, beside)
        ),
        verification=unverified(),
        explanation=(),
        feasible=feasible,
        optimum=optimum,
        model=beside.model,
    )
    ledger = CheckLedger()
    count_splits(problem, fixed, pools, SplitsClaimed(tuple(asked), values, split), ledger)
    answer = with_verification(answer, verify_side_by_side(problem, answer, None, ledger))
    said = _sentences(problem, answer, optimum, None if share is not None else values)
    return replace(answer, explanation=(*answer.explanation, *said))


def _asked(problem: Problem, fixed: Fixed, pools: FixedPools, share: float | None) -> list[BesideSplit]:
    """Splits that leave both parts the GPUs that their decisions take at least.

    Raises:
        ProblemError: the share is no whole tenth, or there are none.
    """
    asked = range(1, TENTHS) if share is None else (tenths_of(share),)
    joint = math.prod(one or 1 for one in (fixed.tensor_parallel, fixed.pipeline_parallel, fixed.data_parallel))
    least = sum(_least_gpus(pool) for pool in (pools.prefill, pools.decode))
    first, last = (math.ceil(gpus / unit_gpus(problem)) for gpus in (joint, least))
    last = units_of(problem) - last
    if last < first:
        whole = ", each in whole nodes," if problem.hardware.nodes > 1 else ""
        raise ProblemError(
            "--prefill",
            f"joint instances with at least {count(joint, 'GPU')} and pools with at least {least}{whole} have no room side by side on "
            f"{count(problem.hardware.gpus, 'GPU')}; state fewer of either",
        )
    return [one for one in splits_of(problem) if first <= one.units <= last and one.tenths in asked]


def _least_gpus(pool: FixedPool) -> int:
    return max(pool.tensor_parallel or 1, pool.expert_parallel or 1) * (pool.count or 1)


def _values(
    problem: Problem, fixed: Fixed, pools: FixedPools, splits: list[BesideSplit], clock: Clock
) -> dict[BesideSplit, float]:
    """ms of a request of each split that both kinds of decisions can stand in; infinite where a part breaks a rule."""
    found: dict[BesideSplit, float] = {}
    for split in splits:
        part = pools_part(problem, split)
        columns = columns_of(part, pools)
        tables = quantities_of(joint_part(problem, split), fixed)
        if columns is None or not tables.space.rows:
            continue
        pair, joint = best(part, pools, columns, clock).pair, Solver(clock.left_s).listed(tables, fixed)
        if pair is None or joint.value is None:
            found[split] = math.inf
        else:
            found[split] = weighted(split, joint.value / 1e6, objective_of(columns, pair, None).value)
    if not found:
        raise ProblemError(
            "--prefill", "no joint instances and pools have these decisions side by side: a shape that the engine does not run, a pair "
            "that its connector does not join (docs/disaggregated.md, section 8), or more GPUs than there are"
        )  # fmt: skip
    return found


def _uneven(problem: Problem, split: BesideSplit) -> float:
    """Of splits alike, the one whose shares of requests and of GPUs are nearest."""
    return abs(split.tenths / TENTHS - split.units / units_of(problem))


def _sentences(
    problem: Problem, answer: SideBySideAnswer, optimum: Any, values: dict[BesideSplit, float] | None
) -> list[str]:
    """The verdict of each part, and what would be best."""
    said = [
        f"Joint instances get {answer.share:.0%} of the requests and {count(answer.joint_gpus, 'GPU')}, pools {1 - answer.share:.0%} and "
        f"{count(problem.hardware.gpus - answer.joint_gpus, 'GPU')}."
    ]
    if values is not None:
        kept = sum(1 for value in values.values() if value < math.inf)
        chosen = "the best is shown" if kept else "the one with shares of requests and GPUs nearest is shown"
        said.append(
            f"Of {len(values):,} splits in tenths of the requests {kept or 'none'} keep{'s' if kept < 2 else ''} every rule; {chosen}."
        )
    for name, part in (("Joint instances", answer.joint), ("Pools", answer.pools)):
        broken = broken_words(part.rules)
        said.append(f"{name} keep every rule." if not broken else f"{name}: {' '.join(broken)}")
    if optimum.objective is None:
        none = optimum.status == "infeasible"
        return [*said, "No other is feasible either, of any kind." if none else "Of other ones nothing is known."]
    label = optimum.strategy.label if isinstance(optimum, Answer) and optimum.strategy else optimum.label
    proved = optimum.status == "optimal"
    if answer.feasible and answer.objective.value <= optimum.objective.value + NEAR_MS:
        word = "nothing of any kind is better" if proved else "nothing better is known"
        return [*said, f"{milliseconds(answer.objective.value)} a request: {word}."]
    return [
        *said,
        f"{'Best' if proved else 'Best known'}: {label}, {milliseconds(optimum.objective.value)} a request against "
        f"{milliseconds(answer.objective.value)}.",
    ]
