"""``solve``: the provably best strategy for a problem of any kind, verified, or why there is none."""

from __future__ import annotations

import time
from dataclasses import replace
from typing import TYPE_CHECKING, Any, cast, overload

from optimizer.reading.question import kind_of

if TYPE_CHECKING:
    from typing_extensions import Unpack

    from optimizer.facts.chain import ChainProblem
    from optimizer.facts.cluster_day import ClusterDayProblem
    from optimizer.facts.cluster_models import ClusterModelsProblem
    from optimizer.facts.inventory import InventoryProblem
    from optimizer.facts.problem import Problem
    from optimizer.facts.profile import ProfileProblem
    from optimizer.facts.several import SeveralProblem
    from optimizer.questions.options import Progress, SolveOptions
    from optimizer.reading.question import AnyProblem
    from optimizer.reading.stated import Stated
    from optimizer.results.answer import Answer
    from optimizer.results.chain import ChainAnswer
    from optimizer.results.cluster_day import ClusterDayAnswer
    from optimizer.results.cluster_models import ClusterModelsAnswer
    from optimizer.results.cluster_pools import ClusterPoolsAnswer
    from optimizer.results.cluster_side_by_side import ClusterSideBySideAnswer
    from optimizer.results.day import DayAnswer
    from optimizer.results.inventory import InventoryAnswer
    from optimizer.results.kinds import AnyAnswer
    from optimizer.results.pools import PoolsAnswer
    from optimizer.results.several import SeveralAnswer
    from optimizer.results.side_by_side import SideBySideAnswer
    from optimizer.search.common.clock import Clock


@overload
def solve(problem: Problem, **options: Unpack[SolveOptions]) -> Answer | PoolsAnswer | SideBySideAnswer: ...
@overload
def solve(
    problem: InventoryProblem, **options: Unpack[SolveOptions]
) -> InventoryAnswer | ClusterPoolsAnswer | ClusterSideBySideAnswer | ChainAnswer: ...
@overload
def solve(problem: ChainProblem, **options: Unpack[SolveOptions]) -> ChainAnswer: ...
@overload
def solve(problem: SeveralProblem, **options: Unpack[SolveOptions]) -> SeveralAnswer: ...
@overload
def solve(problem: ClusterModelsProblem, **options: Unpack[SolveOptions]) -> ClusterModelsAnswer: ...
@overload
def solve(problem: ProfileProblem, **options: Unpack[SolveOptions]) -> DayAnswer: ...
@overload
def solve(problem: ClusterDayProblem, **options: Unpack[SolveOptions]) -> ClusterDayAnswer: ...
def solve(
    problem: AnyProblem,
    *,
    time_limit_s: float | None = None,
    progress: Progress | None = None,
    stated: Stated | None = None,
    all_conflicts: bool = False,
    repairs: bool = True,
    gap: float = 0.0,
    side_by_side: bool = True,
) -> AnyAnswer:
    """The best strategy or pools (``hardware:``), plan for a day (``workload.profile``), split between several models (``models:``),
    set of instances (``cluster:``) or placement (``kind: chain``), with its proof.

    Args:
        problem: from ``load_problem``.
        time_limit_s: wall-clock limit of the search; left out, it goes on until it is proved (a chain: 60 s).
        progress: called with each improvement while the search runs.
        stated: the problem file, so that repairs speak of what it says; left out, of what resolves to it.
        all_conflicts: list every minimal conflict of an infeasible problem, not the plainest alone (``hardware:``).
        repairs: look for the smallest changes that make an infeasible problem feasible; with ``cluster:``, for one chain over more than
            two groups as well, which is the answer where it carries the demand and nothing else is asked.
        gap: the share of the value that the proved bound may be away from it, where that is enough: the search ends there
            (``cluster:``, ``kind: chain``; ``hardware:`` is proved at once). 0 searches on for as long as there is time.
        side_by_side: with ``serving: any`` also joint instances beside pools; False: either kind alone.

    Returns:
        An answer whose status is ``optimal`` only when value = bound and the verifier agrees. Ctrl-C gives the best
        found so far with its gap (``KeyboardInterrupt`` while there is none).

    Raises:
        ProblemError: the problem cannot be searched as stated; the message names the field.
    """
    kind = kind_of(problem)
    if kind == "uniform":
        return _of_equal_nodes(
            cast("Problem", problem), time_limit_s, progress, stated, all_conflicts, repairs, side_by_side
        )
    if kind == "day":
        from optimizer.facts.cluster_day import ClusterDayProblem

        if isinstance(problem, ClusterDayProblem):
            from optimizer.questions.cluster_day import solve_cluster_day

            return solve_cluster_day(problem, time_limit_s=time_limit_s, progress=progress, repairs=repairs)
        from optimizer.questions.profile import solve_day

        return solve_day(cast("ProfileProblem", problem), time_limit_s=time_limit_s, progress=progress, repairs=repairs)
    if kind == "models":
        from optimizer.facts.cluster_models import ClusterModelsProblem

        if isinstance(problem, ClusterModelsProblem):
            from optimizer.questions.cluster_models import solve_cluster_models

            # Where no one asks for repairs, no one reads reasons either.
            return solve_cluster_models(
                problem, time_limit_s=time_limit_s, progress=progress, repairs=repairs, reasons=repairs, gap=gap
            )
        from optimizer.questions.several import solve_several

        several = cast("SeveralProblem", problem)
        return solve_several(several, time_limit_s=time_limit_s, progress=progress, repairs=repairs)
    if kind == "inventory":
        return _of_inventory(cast("InventoryProblem", problem), time_limit_s, progress, repairs, gap, side_by_side)
    from optimizer.questions.chain import solve_chain

    return solve_chain(problem, time_limit_s=time_limit_s, progress=progress, gap=gap)  # type: ignore[arg-type]


def _of_equal_nodes(
    problem: Problem,
    time_limit_s: float | None,
    progress: Progress | None,
    stated: Stated | None,
    all_conflicts: bool,
    repairs: bool,
    side_by_side: bool,
) -> Answer | PoolsAnswer | SideBySideAnswer:
    """Joint instances, pools, or the best of both and of both side by side, as the problem's ``serving`` says."""
    from optimizer.questions.uniform import helps
    from optimizer.questions.uniform import solve as uniform
    from optimizer.questions.variants import best_of

    if problem.serving != "joint":
        from optimizer.questions.joint import joint_of
        from optimizer.questions.pools import refuse, solve_pools
        from optimizer.questions.serving import better_of
        from optimizer.questions.uniform_steps import Kept
        from optimizer.search.common.clock import Clock
        from optimizer.verify.pools.pair import Shapes

        refuse(problem)
        clock, kept = Clock(time_limit_s), Kept(pools=Shapes(problem))
        pools = solve_pools(problem, time_limit_s=time_limit_s, progress=progress, repairs=repairs, shapes=kept.pools)
        if problem.serving == "disaggregated":
            return pools
        joint = uniform(joint_of(problem), time_limit_s=time_limit_s, progress=progress, repairs=False, kept=kept)
        better = better_of(problem, joint, pools)
        if not side_by_side:
            return better
        from optimizer.questions.side_by_side import beside

        found = beside(problem, better, clock, kept)
        return _repaired(problem, found, pools, stated, clock) if repairs and found.status == "infeasible" else found
    return best_of(
        problem,
        lambda one, read, left: uniform(
            one,
            time_limit_s=left,
            progress=progress,
            stated=stated,
            all_conflicts=all_conflicts,
            repairs=repairs,
            reasons=read,
        ),
        time_limit_s=time_limit_s,
        helps=lambda one, left: helps(one, stated, left),
    )


def _repaired(
    problem: Problem,
    found: Answer | PoolsAnswer | SideBySideAnswer,
    pools: PoolsAnswer,
    stated: Stated | None,
    clock: Clock,
) -> Answer | PoolsAnswer | SideBySideAnswer:
    """What no kind can do, with the least changes that let any of them."""
    from dataclasses import replace

    from optimizer.questions.any_repairs import repairs_of_any
    from optimizer.questions.joint import joint_of
    from optimizer.questions.uniform import solve as uniform

    said = stated.changed({"serving": None}) if stated is not None else None
    joint = uniform(joint_of(problem), time_limit_s=clock.left_s, stated=said)
    least = repairs_of_any(
        problem, joint, pools, lambda one: solve(one, time_limit_s=clock.left_s, repairs=False), clock
    )
    repaired: Any = replace(found, repairs=least)  # type: ignore[arg-type]
    return repaired  # type: ignore[no-any-return]


def _of_inventory(
    problem: InventoryProblem,
    time_limit_s: float | None,
    progress: Progress | None,
    repairs: bool,
    gap: float,
    side_by_side: bool,
) -> InventoryAnswer | ClusterPoolsAnswer | ClusterSideBySideAnswer | ChainAnswer:
    """Instances, pools or both; where repairs are looked for and there is no room for joint instances, one chain that is enough."""
    started = time.monotonic()
    either = _either_kind if side_by_side else instances_or_pools
    found = either(problem, time_limit_s=time_limit_s, progress=progress, repairs=repairs, gap=gap)
    if problem.serving == "any" and side_by_side:
        from optimizer.questions.cluster_side_by_side import beside_on
        from optimizer.search.common.clock import Clock

        left = None if time_limit_s is None else max(0.0, time_limit_s - (time.monotonic() - started))
        return beside_on(problem, found, Clock(left))
    if problem.serving != "joint" or found.status != "infeasible" or not repairs:
        return found
    from optimizer.questions.inventory_chain import with_chain

    left = None if time_limit_s is None else time_limit_s - (time.monotonic() - started)
    return with_chain(problem, cast("InventoryAnswer", found), time_limit_s=left, progress=progress, gap=gap)


def instances_or_pools(
    problem: InventoryProblem,
    *,
    time_limit_s: float | None = None,
    progress: Progress | None = None,
    repairs: bool = False,
    gap: float = 0.0,
) -> InventoryAnswer | ClusterPoolsAnswer:
    """Joint instances, pools, or the better of both, as the problem's ``serving`` says. Arguments as for ``solve``."""
    found = _either_kind(problem, time_limit_s=time_limit_s, progress=progress, repairs=repairs, gap=gap)
    if problem.serving != "any":
        return found
    from optimizer.questions.serving import NOT_BESIDE

    said: Any = replace(found, explanation=(*found.explanation, NOT_BESIDE))
    return said  # type: ignore[no-any-return]


def _either_kind(
    problem: InventoryProblem,
    *,
    time_limit_s: float | None,
    progress: Progress | None,
    repairs: bool,
    gap: float,
) -> InventoryAnswer | ClusterPoolsAnswer:
    """The same without a word on both side by side."""
    from optimizer.questions.inventory import solve_inventory

    if problem.serving == "joint":
        return solve_inventory(problem, time_limit_s=time_limit_s, progress=progress, gap=gap)
    from optimizer.questions.cluster_pools import solve_cluster_pools

    if problem.serving == "disaggregated":
        return solve_cluster_pools(problem, time_limit_s=time_limit_s, repairs=repairs)
    from optimizer.questions.joint import joint_inventory
    from optimizer.questions.serving import better_on_inventory

    pools = solve_cluster_pools(problem, time_limit_s=time_limit_s, repairs=repairs)
    joint = solve_inventory(
        joint_inventory(problem),
        time_limit_s=time_limit_s,
        progress=progress,
        gap=gap,
        ranges=False,
        explain="conflict",
    )
    return better_on_inventory(problem, joint, pools)
