"""``solve`` and ``check`` for prefill and decode pools on an inventory. ``docs/disaggregated.md``, section 13."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

from optimizer.costs.pools import link_between
from optimizer.explain.pools.cluster_conflict import cluster_conflict, least_broken, nearest_pools
from optimizer.explain.pools.cluster_repair import cluster_repairs
from optimizer.explain.pools.cluster_why import cluster_limits, cluster_words
from optimizer.explain.uniform.memory_words import pool_sentences
from optimizer.facts.errors import ProblemError, closest
from optimizer.facts.inventory import InventoryProblem
from optimizer.questions.pools import refuse
from optimizer.results.answer import model_read, unverified, with_verification
from optimizer.results.cluster_pools import ClusterPoolsAnswer
from optimizer.results.pools import FixedPools, PoolsRepair
from optimizer.search.common.clock import Clock
from optimizer.search.common.solver import CtrlC
from optimizer.search.pools.cluster_answer import ChosenPools
from optimizer.search.pools.cluster_model import cluster_rule_ids
from optimizer.search.pools.cluster_picked import Picked
from optimizer.search.pools.cluster_solve import best_of, columns_on
from optimizer.search.pools.model import check_rules
from optimizer.search.pools.options import problem_on
from optimizer.verify.pools.cluster_check import verify_cluster_pools


def refuse_cluster(problem: InventoryProblem) -> None:
    """What pools on an inventory cannot be asked with, said by its field.

    Raises:
        ProblemError: the first such field.
    """
    for group in problem.groups:
        one = problem_on(problem, group).model_copy(update={"serving": problem.serving})
        refuse(one, gpus=False)
    if problem.search.data_parallel is not None:
        raise ProblemError("search.data_parallel", "counts of instances of pools are not restricted so; leave it out")
    if problem.within_s is not None:
        raise ProblemError(
            "requirements.survive.within_s", "restarts of pools are not modelled; leave it out, or state serving: joint"
        )
    if problem.objective.preset == "cheapest":
        unpriced = [group.name for group in problem.groups if group.price_per_gpu_hour is None]
        if unpriced:
            raise ProblemError(
                "objective", f"cheapest needs price_per_gpu_hour of every group; {', '.join(unpriced)} state none"
            )
    check_rules(problem, cluster_rule_ids(problem))


def solve_cluster_pools(
    problem: InventoryProblem,
    fixed: FixedPools = FixedPools(),
    *,
    time_limit_s: float | None = None,
    repairs: bool = True,
    reasons: bool = True,
) -> ClusterPoolsAnswer:
    """The provably best pools on an inventory, verified, or why there are none.

    Args:
        problem: from ``load_problem``, with whatever ``serving``.
        fixed: decisions that replace what is searched.
        time_limit_s: of the search; None searches until it is proved.
        repairs: look for changes that make an infeasible problem feasible.
        reasons: say what conflicts where there are none.

    Raises:
        ProblemError: what is asked is not modelled for pools; the message names the field.
    """
    refuse_cluster(problem)
    _groups_known(problem, fixed)
    with CtrlC() as ctrl_c:
        clock = Clock(time_limit_s, ctrl_c)
        columns = columns_on(problem, fixed)
        found = best_of(columns, clock)
        if found.picked is None or columns is None:
            if found.outcome != "infeasible":
                said = "The search ended before any pools were found; allow more time."
                return _empty(problem, "unknown", (said,))
            if not reasons:
                answer = _empty(problem, "infeasible", ())
                return with_verification(answer, verify_cluster_pools(problem, answer, fixed))
            conflict = cluster_conflict(problem, columns, clock)
            nearest = nearest_pools(columns, clock)
            changes: tuple[PoolsRepair, ...] = ()
            left = None
            if repairs:
                changes, left = cluster_repairs(problem, fixed, conflict, clock, nearest.enough)
            said_why = (conflict.sentence, *nearest.words, *([left] if left else []))
            answer = replace(_empty(problem, "infeasible", said_why), conflicts=(conflict,), repairs=changes)
            return with_verification(answer, verify_cluster_pools(problem, answer, fixed))
        bound = found.bound_ns if found.outcome != "optimal" else None
        chosen = ChosenPools(columns, found.picked)
        answer = _answer(problem, chosen, found.outcome, bound)
        verification = verify_cluster_pools(problem, answer, fixed, exhaustive=not ctrl_c.came)
    answer = with_verification(answer, verification)
    return _told(problem, chosen, answer)


def _told(problem: InventoryProblem, chosen: ChosenPools, answer: ClusterPoolsAnswer) -> ClusterPoolsAnswer:
    """The answer with why it is so, and what is to be said of memory."""
    said = [*answer.explanation, *cluster_words(chosen, answer)]
    if answer.strategy is not None:
        for name, parts in (("Prefill", answer.strategy.prefill), ("Decode", answer.strategy.decode)):
            for part in parts:
                here = problem_on(problem, problem.group(part.group))
                said += pool_sentences(here, f"{name} on {part.group}", part.pool)
    return replace(answer, explanation=tuple(said))


def found_cluster_pools(problem: InventoryProblem, fixed: FixedPools, clock: Clock) -> ClusterPoolsAnswer | None:
    """The best pools, neither verified nor explained; None where there are none, or none were found in time.

    Raises:
        ProblemError: as for ``solve_cluster_pools``.
    """
    refuse_cluster(problem)
    _groups_known(problem, fixed)
    columns = columns_on(problem, fixed)
    found = best_of(columns, clock)
    if found.picked is None or columns is None:
        return None
    bound = found.bound_ns if found.outcome != "optimal" else None
    return _answer(problem, ChosenPools(columns, found.picked), found.outcome, bound)


def check_cluster_pools(
    problem: InventoryProblem, fixed: FixedPools, *, time_limit_s: float | None = None
) -> ClusterPoolsAnswer:
    """Whether pools keep every rule, each with its slack, and the optimum beside it.

    Args:
        fixed: what is decided of either pool; what is left out is chosen as well as possible.

    Raises:
        ProblemError: a decision that no pools can have, or what is not modelled for pools.
    """
    refuse_cluster(problem)
    _groups_known(problem, fixed)
    clock = Clock(time_limit_s)
    columns = columns_on(problem, fixed)
    if columns is None:
        raise ProblemError(
            "--prefill", "no pools have these decisions: a shape that the engine does not run, a pair that its connector "
            "does not join (docs/disaggregated.md, section 8), or more GPUs than a group has"
        )  # fmt: skip
    optimum = solve_cluster_pools(problem, time_limit_s=time_limit_s, repairs=False)
    found = best_of(columns, clock)
    fits = found.picked is not None
    picked: Picked | None = found.picked or least_broken(columns, clock)
    if picked is None:
        answer = _empty(problem, "unknown", ("The time limit was reached before the pools could be judged.",))
        return replace(answer, optimum=optimum)
    chosen = ChosenPools(columns, picked)
    same = fits and optimum.status == "optimal" and optimum.strategy == chosen.strategy()
    status = "optimal" if same else "feasible" if fits else "infeasible"
    answer = replace(_answer(problem, chosen, status, None), feasible=fits, optimum=optimum)
    answer = with_verification(answer, verify_cluster_pools(problem, answer, fixed, exhaustive=False))
    return _told(problem, chosen, answer)


def _groups_known(problem: InventoryProblem, fixed: FixedPools) -> None:
    names = [group.name for group in problem.groups]
    for option, pool in (("--prefill", fixed.prefill), ("--decode", fixed.decode)):
        if pool.group is not None and pool.group not in names:
            raise ProblemError(option, f"group={pool.group} is not of the inventory; {closest(pool.group, names)}")


def _answer(problem: InventoryProblem, chosen: ChosenPools, status: Any, bound_ns: int | None) -> ClusterPoolsAnswer:
    return ClusterPoolsAnswer(
        problem=problem.name,
        status=status,
        strategy=chosen.strategy(),
        metrics=chosen.metrics(),
        objective=chosen.objective(bound_ns),
        rules=chosen.rules(),
        verification=unverified(),
        explanation=(),
        link=chosen.link,
        search_limits=cluster_limits(problem, chosen.columns),
        model=model_read(problem.model),
    )


def _empty(problem: InventoryProblem, status: Any, said: tuple[str, ...]) -> ClusterPoolsAnswer:
    return ClusterPoolsAnswer(
        problem=problem.name,
        status=status,
        strategy=None,
        metrics=None,
        objective=None,
        rules=(),
        verification=unverified(),
        explanation=said,
        link="network"
        if len(problem.groups) > 1
        else link_between(problem_on(problem, problem.groups[0]).hardware).name,
        search_limits=cluster_limits(problem, None),
        model=model_read(problem.model),
    )
