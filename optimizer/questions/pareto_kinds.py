"""Points of prefill and decode pools, and of joint instances, on the axes of a front: each kind by itself. ``docs/pareto.md``."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from typing import Any

from optimizer.explain.common.pareto import axis_value
from optimizer.facts.inventory import InventoryProblem
from optimizer.facts.problem import Problem
from optimizer.results.answer import Verification
from optimizer.results.front import RESOLUTION, Axis, FrontPoint, ParetoFront, apart
from optimizer.search.common.clock import Clock
from optimizer.search.common.scale import PARTS, lost_parts, time_ns
from optimizer.search.pools.model import PoolColumns, PoolsModel
from optimizer.search.pools.solve import RowPair, _pair_of, _run, active_rules


class PoolPairs:
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


def pairs_on_front(pairs: PoolPairs, axes: tuple[Axis, ...], say: Callable[[str], None]) -> tuple[list[RowPair], bool]:
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


def joint_front(problem: Problem, axes: tuple[Axis, ...], clock: Clock) -> ParetoFront:
    from optimizer.questions.joint import joint_of
    from optimizer.questions.pareto_uniform import uniform_front

    return uniform_front(joint_of(problem), axes, 10_000, clock.left_s, None)


def verified_pools(problem: Problem | InventoryProblem, answer: Any) -> Verification:
    if isinstance(problem, InventoryProblem):
        from optimizer.verify.pools.cluster_check import verify_cluster_pools

        return verify_cluster_pools(problem, answer, exhaustive=False)
    from optimizer.verify.pools.check import verify_pools

    return verify_pools(problem, answer, exhaustive=False)


def lost_of(columns: Any, options: Sequence[Any]) -> float:
    """Share of requests not served, with digits that 1 − availability has lost."""
    return float(sum(columns.terms[side].lost[at].sum() for side, at in enumerate(options)))


def point_of_answer(
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


def wrong_of(seen: Iterable[Verification]) -> tuple[str, ...]:
    return tuple(
        f"point {number}: {one.what}: {one.expected}, not {one.actual}"
        for number, verification in enumerate(seen, start=1)
        for one in verification.mismatches
    )


def undominated(points: Sequence[FrontPoint], axes: tuple[Axis, ...]) -> list[FrontPoint]:
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
