"""The trade-off of prefill and decode pools by ε-constraint, each point proved: ``docs/pareto.md``.

With one axis bounded the other is minimised to its end, then the first is at that value; the next bound is one step better, until
nothing is left. With three axes this is done under every number of GPUs there can be. On an inventory two axes are taken, latency and
GPUs or price; what is minimised there is the objective of the preset ``latency``, which is the mean time with everything up.
"""

from __future__ import annotations

import time
from collections.abc import Callable
from dataclasses import replace
from typing import Any, Literal

from optimizer.facts.errors import ProblemError
from optimizer.facts.inventory import InventoryProblem
from optimizer.facts.problem import Problem
from optimizer.questions.pareto_beside import with_mixes_named
from optimizer.questions.pareto_kinds import (
    PoolPairs,
    joint_front,
    lost_of,
    pairs_on_front,
    point_of_answer,
    undominated,
    verified_pools,
    wrong_of,
)
from optimizer.questions.pareto_mixes import MixesOnFront, mixes_gone_through, mixes_on_front
from optimizer.results.answer import Verification
from optimizer.results.front import Axis, FrontPoint, ParetoFront, apart_words
from optimizer.search.common.clock import Clock
from optimizer.search.common.solver import CtrlC
from optimizer.search.pools.solve import MOST_ROWS, RowPair, columns_of
from optimizer.search.uniform.solve import Progress

Say = Callable[[Progress], None] | None
Bound = Literal["gpus", "price"]
NOTHING = ("No pools keep every rule, so there is no front; optimizer solve says which rules conflict.",)
NEITHER = ("Neither joint instances nor pools keep every rule; optimizer solve says which rules conflict.",)
NOT_EVEN_BOTH = (
    "Neither joint instances nor pools keep every rule, nor do both side by side; optimizer solve says which rules conflict.",
)


def pools_front(
    problem: Problem | InventoryProblem, axes: tuple[Axis, ...], most: int, time_limit_s: float | None, progress: Say
) -> ParetoFront:
    """The front of pools, and of joint instances beside them where ``serving`` is any; see ``pareto``.

    Raises:
        ProblemError: an axis that these problems do not take, or what is not modelled for pools.
    """
    started = time.monotonic()
    with CtrlC() as ctrl_c:
        clock = Clock(time_limit_s, ctrl_c)

        def say(phase: str) -> None:
            if progress is not None:
                progress(Progress(time.monotonic() - started, phase=phase))

        if isinstance(problem, InventoryProblem):
            return _of_inventory(problem, axes, most, clock, say)
        front = _of_nodes(problem, axes, most, clock, say)
        return front if mixes_gone_through(problem) else with_mixes_named(problem, front, clock)


def _of_nodes(
    problem: Problem, axes: tuple[Axis, ...], most: int, clock: Clock, say: Callable[[str], None]
) -> ParetoFront:
    from optimizer.questions.pareto_uniform import thinned
    from optimizer.questions.pools import _answer, refuse
    from optimizer.search.pools.model import check_rules, rule_ids

    refuse(problem)
    check_rules(problem, rule_ids(problem))
    price = problem.hardware.price_per_gpu_hour
    if "price" in axes and price is None:
        raise ProblemError("--axes", "price needs hardware.price_per_gpu_hour, which is not stated")
    say("looking for the ends of the front")
    columns = columns_of(problem)
    many = 0 if columns is None else len(columns.tables.prefill) + len(columns.tables.decode)
    if many > MOST_ROWS:
        raise ProblemError(
            "hardware.nodes", f"{many:,} pools are too many for a front on equal nodes, at most {MOST_ROWS:,}; state the nodes as one "
            "group of cluster:, or narrow search.tensor_parallel"
        )  # fmt: skip
    joint = joint_front(problem, axes, clock) if problem.serving == "any" else None
    found: list[tuple[RowPair, Verification]] = []
    pairs, complete = ([], True) if columns is None else pairs_on_front(PoolPairs(problem, columns, clock), axes, say)
    points = []
    for pair in pairs:
        assert columns is not None
        answer = _answer(problem, columns, pair, "feasible", None)
        verification = verified_pools(problem, answer)
        found.append((pair, verification))
        lost = lost_of(columns, (pair.prefill, pair.decode))
        points.append(point_of_answer(answer, price, verification, lost))
    mismatches = wrong_of([one for _, one in found])
    if joint is not None:
        points += joint.points
        mismatches += joint.mismatches
        complete = complete and joint.status in ("proved", "infeasible") and joint.on_front == len(joint.points)
    mixes = mixes_on_front(problem, axes, clock, say) if mixes_gone_through(problem) else None
    if mixes is not None:
        points += mixes.points
        mismatches += mixes.mismatches
        complete = complete and mixes.complete
    kept = undominated(points, axes)
    if mixes is not None:
        kept, seen = _with_pools_verified(mixes, kept)
        mismatches += wrong_of(seen)
    total = len(kept)
    shown = [kept[position] for position in thinned(total, most)]
    checks = sum(one.checks for _, one in found) + (joint.checks if joint is not None else 0)
    if mixes is not None:
        checks += mixes.checks + sum(one.checks for one in seen)
    if not points:
        none = NOTHING if joint is None else NEITHER if mixes is None else NOT_EVEN_BOTH
        return ParetoFront(problem.name, axes, (), "infeasible" if complete else "unknown", 0, none, 0, mismatches)
    said = [
        "Each point was found by ε-constraint: one axis minimised to its end under a bound on the other, the other then minimised "
        "at that value, and the bound moved one step."
    ]
    if joint is not None:
        said.append("Joint instances and pools are compared with each other, each kind's front whole.")
    if mixes is not None:
        said.append(
            f"So are joint instances beside pools: of each of {mixes.splits:,} splits of requests and GPUs the fronts of both parts, "
            "combined."
        )
    if len(points) > total and "availability" in axes and mixes is None:
        said.append(apart_words(len(points) - total))
    if total > len(shown):
        said.append(f"{len(shown)} are shown, evenly along the front; --points {total} shows all.")
    if not complete:
        said.append("The search was stopped before the front was whole: points stand, others may be missing.")
    status: Any = "proved" if complete else "incomplete"
    return ParetoFront(
        problem.name, axes, tuple(shown), status, total if complete else None, tuple(said), checks, mismatches
    )


def _with_pools_verified(mixes: MixesOnFront, kept: list[FrontPoint]) -> tuple[list[FrontPoint], list[Verification]]:
    """The front with the pools of its mixes verified, and what the verifier says of each."""
    found, seen = [], []
    for point in kept:
        if any(point is one for one in mixes.points):
            seen.append(mixes.verified(point))
            point = replace(point, verified=point.verified and seen[-1].passed)
        found.append(point)
    return found, seen


def _of_inventory(
    problem: InventoryProblem, axes: tuple[Axis, ...], most: int, clock: Clock, say: Callable[[str], None]
) -> ParetoFront:
    """Pools of an inventory: the least mean time under each bound on GPUs, or on the price."""
    from optimizer.questions.cluster_pools import _answer, refuse_cluster
    from optimizer.search.pools.cluster_answer import ChosenPools
    from optimizer.search.pools.cluster_columns import ClusterColumns
    from optimizer.search.pools.cluster_model import own_masks
    from optimizer.search.pools.cluster_solve import _settle, _tiers_of, columns_on, measured, rules_on

    bound = _bound_of(problem, axes)
    refuse_cluster(problem)
    quick = problem.model_copy(update={"objective": type(problem.objective)(preset="latency")})
    columns = columns_on(quick)
    if columns is None:
        return ParetoFront(problem.name, axes, (), "infeasible", 0, NOTHING, 0, ())
    own = ClusterColumns(_same_options(problem, columns))
    rules = rules_on(quick)
    masks = own_masks(columns, rules)
    found: list[tuple[FrontPoint, Verification]] = []
    held: list[tuple[str, int]] = []
    complete = False
    while len(found) < most and not clock.over:
        say(f"proving point {len(found) + 1}")
        settled = _settle(columns, clock, rules, masks, "value", held)
        if settled.found.picked is None:
            complete = settled.found.outcome == "infeasible"
            break
        proved = settled.found.outcome == "optimal"
        picked = settled.found.picked
        if proved:
            fewest = _tiers_of(columns, clock, rules, settled.left, [bound], [*held, ("value", settled.value)])
            proved, picked = fewest.outcome == "optimal", fewest.picked or picked
        used = measured(columns, picked, bound)
        chosen = ChosenPools(own, picked)
        answer: Any = _answer(problem, chosen, "feasible", None)
        lost = lost_of(own, chosen.at)
        verification = verified_pools(problem, answer)
        allowed: dict[str, Any] = (
            {} if not held else {"bound_gpus": held[0][1]} if bound == "gpus" else {"bound_price": held[0][1] / 1e6}
        )
        found.append((point_of_answer(answer, None, verification, lost, proved, **allowed), verification))
        if not proved:
            break
        held = [(bound, used - 1)]
    points = undominated([point for point, _ in found], axes)
    if not points:
        late = ("The time limit was reached before any pools were found; allow more.",)
        return ParetoFront(
            problem.name, axes, (), "infeasible" if complete else "unknown", 0, NOTHING if complete else late, 0, ()
        )
    said = [
        f"Each point is the least mean time under a bound on {'the price' if bound == 'price' else 'GPUs'}, proved as by optimizer solve "
        "with objective: latency, with the least of the bounded one at that time; the bound then moves one step."
    ]
    if not complete:
        said.append("Cheaper points than the last are missing: the search was stopped, or --points reached.")
    seen = [verification for _, verification in found]
    return ParetoFront(
        problem.name, axes, tuple(points), "proved" if complete else "incomplete", len(points) if complete else None, tuple(said),
        sum(one.checks for one in seen), wrong_of(seen),
    )  # fmt: skip


def _same_options(problem: InventoryProblem, columns: Any) -> Any:
    """The options of a problem that differs in its objective alone stand in the same order."""
    from optimizer.search.pools.options import PoolOptions

    return PoolOptions(problem, columns.options.fixed)


def _bound_of(problem: InventoryProblem, axes: tuple[Axis, ...]) -> Bound:
    """Raises ``ProblemError``: other axes than latency with GPUs or price, a missing price, or joint instances beside pools."""
    if problem.serving == "any":
        raise ProblemError(
            "serving",
            "any: on cluster: the fronts of joint instances and of pools are asked for one by one; state joint or disaggregated",
        )
    if set(axes) not in ({"latency", "gpus"}, {"latency", "price"}):
        raise ProblemError(
            "--axes", f"{','.join(axes)} is not taken of pools on cluster:; state latency,gpus or latency,price"
        )
    unpriced = [group.name for group in problem.groups if group.price_per_gpu_hour is None]
    if "price" in axes and unpriced:
        raise ProblemError("--axes", f"price needs price_per_gpu_hour of every group; {unpriced[0]} states none")
    return "price" if "price" in axes else "gpus"
