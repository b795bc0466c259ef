"""The trade-off of prefill and decode pools by ε-constraint, each point proved: ``docs/pareto.md``.

With one axis bounded the other is minimised to its end, then the first is at that value; the next bound is one step better, until
nothing is left. With three axes this is done under every number of GPUs there can be. On an inventory two axes are taken, latency and
GPUs or price; what is minimised there is the objective of the preset ``latency``, which is the mean time with everything up.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Iterable, Sequence
from typing import Any, Literal

from optimizer.explain.common.pareto import axis_value
from optimizer.facts.errors import ProblemError
from optimizer.facts.inventory import InventoryProblem
from optimizer.facts.problem import Problem
from optimizer.questions.pareto_beside import with_mixes_named
from optimizer.results.answer import Verification
from optimizer.results.front import RESOLUTION, Axis, FrontPoint, ParetoFront, apart, apart_words
from optimizer.search.common.clock import Clock
from optimizer.search.common.scale import PARTS, lost_parts, time_ns
from optimizer.search.common.solver import CtrlC
from optimizer.search.pools.model import PoolColumns, PoolsModel
from optimizer.search.pools.solve import MOST_ROWS, RowPair, _pair_of, _run, active_rules, columns_of
from optimizer.search.uniform.solve import Progress

Say = Callable[[Progress], None] | None
Bound = Literal["gpus", "price"]
NOTHING = ("No pools keep every rule, so there is no front; optimizer solve says which rules conflict.",)
NEITHER = ("Neither joint instances nor pools keep every rule; optimizer solve says which rules conflict.",)


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
        return with_mixes_named(problem, _of_nodes(problem, axes, most, clock, say), clock)


class _PoolPairs:
    """Pairs of pools on equal nodes with the three numbers that axes speak of, as whole numbers: ns, parts of a request, GPUs."""

    def __init__(self, problem: Problem, columns: PoolColumns, clock: Clock) -> None:
        self.problem, self.columns, self.clock = problem, columns, clock
        self.rules = active_rules(problem)
        self.means = [time_ns(load.mean_ms) for load in columns.loads]
        self.lost = [lost_parts(valued.lost) for valued in columns.terms]

    def _of(self, model: PoolsModel, axis: Axis) -> Any:
        if axis == "latency":
            return model._element(0, self.means[0]) + model._element(1, self.means[1]) + model.mean
        if axis == "availability":
            return model._element(0, self.lost[0]) + model._element(1, self.lost[1])
        return model.gpus

    def least(self, axis: Axis, bounds: Iterable[tuple[Axis, int]]) -> tuple[str, int, RowPair | None]:
        """(outcome, the least of an axis, what has it) with others at most so much."""
        model = PoolsModel(self.columns, self.rules)
        for name, most in bounds:
            model.model.add(self._of(model, name) <= most)
        goal = self._of(model, axis)
        outcome, solver = _run(model, self.clock, goal)
        if outcome in ("infeasible", "unknown"):
            return outcome, 0, None
        return outcome, int(solver.value(goal)), _pair_of(model, solver)

    def chain(
        self, first: Axis, second: Axis, held: Sequence[tuple[Axis, int]], step: int
    ) -> tuple[list[tuple[int, int, RowPair]], bool]:
        """Points of the least of one axis under falling bounds of the other, and whether the chain came to its end."""
        found: list[tuple[int, int, RowPair]] = []
        bound: list[tuple[Axis, int]] = []
        while not self.clock.over:
            outcome, best, _ = self.least(first, [*held, *bound])
            if outcome == "infeasible":
                return found, True
            if outcome != "optimal":
                return found, False
            again, other, pair = self.least(second, [*held, *bound, (first, best)])
            if again != "optimal" or pair is None:
                return found, False
            found.append((best, other, pair))
            bound = [(second, other - step)]
        return found, False


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
    joint = _joint(problem, axes, clock) if problem.serving == "any" else None
    found: list[tuple[RowPair, Verification]] = []
    pairs, complete = ([], True) if columns is None else _pairs(_PoolPairs(problem, columns, clock), axes, say)
    points = []
    for pair in pairs:
        assert columns is not None
        answer = _answer(problem, columns, pair, "feasible", None)
        verification = _verified(problem, answer)
        found.append((pair, verification))
        lost = _lost(columns, (pair.prefill, pair.decode))
        points.append(_point(answer, price, verification, lost))
    mismatches = _wrong([one for _, one in found])
    if joint is not None:
        points += joint.points
        mismatches += joint.mismatches
        complete = complete and joint.status in ("proved", "infeasible") and joint.on_front == len(joint.points)
    kept = _front(points, axes)
    total = len(kept)
    shown = [kept[position] for position in thinned(total, most)]
    checks = sum(one.checks for _, one in found) + (joint.checks if joint is not None else 0)
    if not points:
        none = NOTHING if joint is None else NEITHER
        return ParetoFront(problem.name, axes, (), "infeasible" if complete else "unknown", 0, none, 0, mismatches)
    said = [
        "Each point was found by ε-constraint: one axis minimised to its end under a bound on the other, the other then minimised "
        "at that value, and the bound moved one step."
    ]
    if joint is not None:
        said.append("Joint instances and pools are compared with each other, each kind's front whole.")
    if len(points) > total and "availability" in axes:
        said.append(apart_words(len(points) - total))
    if total > len(shown):
        said.append(f"{len(shown)} are shown, evenly along the front; --points {total} shows all.")
    if not complete:
        said.append("The search was stopped before the front was whole: points stand, others may be missing.")
    status: Any = "proved" if complete else "incomplete"
    return ParetoFront(
        problem.name, axes, tuple(shown), status, total if complete else None, tuple(said), checks, mismatches
    )


def _pairs(pairs: _PoolPairs, axes: tuple[Axis, ...], say: Callable[[str], None]) -> tuple[list[RowPair], bool]:
    """Every pair that may be on the front, and whether none is missing. The price of equal GPUs counts as their number."""
    plain: list[Axis] = list(dict.fromkeys("gpus" if axis == "price" else axis for axis in axes))
    lost_step = max(1, int(RESOLUTION * PARTS))
    if len(plain) == 1:
        _, _, pair = pairs.least(plain[0], [])
        return ([] if pair is None else [pair]), not pairs.clock.over
    step = {"gpus": 1, "availability": lost_step, "latency": 1}
    if len(plain) == 2:
        first, second = plain
        say(f"proving points of {first} against {second}")
        found, complete = pairs.chain(first, second, [], step[second])
        return [pair for *_, pair in found], complete
    every: list[RowPair] = []
    most = pairs.problem.hardware.gpus
    outcome, least, _ = pairs.least("gpus", [])
    if outcome != "optimal":
        return [], outcome == "infeasible"
    while most >= least:
        say(f"proving points of at most {most} GPUs")
        found, complete = pairs.chain("latency", "availability", [("gpus", most)], lost_step)
        every += [pair for *_, pair in found]
        if not complete:
            return every, False
        used = [
            int(pairs.columns.tables.prefill.gpus[p.prefill] + pairs.columns.tables.decode.gpus[p.decode])
            for *_, p in found
        ]
        most = min(most, max(used, default=most)) - 1
    return every, True


def _joint(problem: Problem, axes: tuple[Axis, ...], clock: Clock) -> ParetoFront:
    from optimizer.questions.joint import joint_of
    from optimizer.questions.pareto_uniform import uniform_front

    return uniform_front(joint_of(problem), axes, 10_000, clock.left_s, None)


def _verified(problem: Problem | InventoryProblem, answer: Any) -> Verification:
    if isinstance(problem, InventoryProblem):
        from optimizer.verify.pools.cluster_check import verify_cluster_pools

        return verify_cluster_pools(problem, answer, exhaustive=False)
    from optimizer.verify.pools.check import verify_pools

    return verify_pools(problem, answer, exhaustive=False)


def _lost(columns: Any, options: Sequence[Any]) -> float:
    """Share of requests not served, with digits that 1 − availability has lost."""
    return float(sum(columns.terms[side].lost[at].sum() for side, at in enumerate(options)))


def _point(
    answer: Any, price: float | None, verification: Verification, lost: float, proved: bool = True, **bounds: Any
) -> FrontPoint:
    metrics, strategy = answer.metrics, answer.strategy
    of_groups = getattr(metrics, "price_per_hour", None)
    return FrontPoint(
        request_mean_ms=metrics.request_mean_ms,
        availability=metrics.availability,
        not_served=min(1.0, lost),
        gpus=strategy.gpus,
        price_per_hour=of_groups if price is None else price * strategy.gpus,
        strategy=None,
        label=strategy.label,
        objective_ms=answer.objective.value,
        proved=proved,
        verified=verification.passed,
        **bounds,
    )


def _wrong(seen: Iterable[Verification]) -> tuple[str, ...]:
    return tuple(
        f"point {number}: {one.what}: {one.expected}, not {one.actual}"
        for number, verification in enumerate(seen, start=1)
        for one in verification.mismatches
    )


def _front(points: Sequence[FrontPoint], axes: tuple[Axis, ...]) -> list[FrontPoint]:
    """Points that no other is at least as good as on every axis, in order of the first."""

    def values(point: FrontPoint) -> list[float]:
        return [point.not_served if axis == "availability" else axis_value(point, axis) for axis in axes]

    ordered = sorted(points, key=values)
    kept: list[FrontPoint] = []
    for point in ordered:
        here = values(point)
        if not any(all(a <= b for a, b in zip(values(one), here, strict=True)) for one in kept):
            kept.append(point)
    return [kept[number] for number in apart([values(point) for point in kept], axes)]


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
        lost = _lost(own, chosen.at)
        verification = _verified(problem, answer)
        allowed: dict[str, Any] = (
            {} if not held else {"bound_gpus": held[0][1]} if bound == "gpus" else {"bound_price": held[0][1] / 1e6}
        )
        found.append((_point(answer, None, verification, lost, proved, **allowed), verification))
        if not proved:
            break
        held = [(bound, used - 1)]
    points = _front([point for point, _ in found], axes)
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
        sum(one.checks for one in seen), _wrong(seen),
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
