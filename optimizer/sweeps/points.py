"""One point of a sweep: what was asked, what came out. Typed, and as the plain data that is stored and printed."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass, field
from typing import Any, Literal

from optimizer.explain.uniform.why import BINDING_SHARE
from optimizer.facts.problem import Problem
from optimizer.results.answer import Answer, Metrics, ObjectiveResult, RuleResult, Strategy
from optimizer.results.pools import PoolMetrics, PoolsAnswer, PoolsMetrics, PoolsStrategy, PoolStrategy
from optimizer.results.side_by_side import SideBySideAnswer, SideBySideMetrics
from optimizer.search.uniform.evaluate import bill

PointStatus = Literal["optimal", "feasible", "infeasible", "unknown", "error"]


@dataclass(frozen=True, slots=True)
class Spec:
    """What is asked at one point: the problem file with ``changes`` of dotted fields, on ``gpus`` GPUs (None: as stated).

    ``name`` is the scenario's; points of one name are one curve.
    """

    index: int
    changes: Mapping[str, Any]
    gpus: int | None
    name: str


@dataclass(frozen=True, slots=True)
class Checked:
    """The verification of a point in short; ``candidates`` were compared by the verifier."""

    passed: bool
    checks: int
    optimality: str
    candidates: int


@dataclass(frozen=True, slots=True)
class PoolAt:
    """A pool of equal instances of an inventory's answer: group, shape, how many, and their part of all requests."""

    group: str
    shape: str
    instances: int
    share: float


@dataclass(frozen=True, slots=True)
class InventoryFigures:
    """What an inventory's answer says of a point, in the words of ``Metrics``; the percentiles are those of the worst pool."""

    label: str
    gpus_used: int
    pools: tuple[PoolAt, ...]
    ttft_p50_ms: float | None
    ttft_p99_ms: float | None
    tpot_p50_ms: float | None
    tpot_p99_ms: float | None
    request_mean_ms: float | None
    tokens_per_s: float
    peak_tokens_per_s: float
    max_request_rate: float
    availability: float


@dataclass(frozen=True, slots=True)
class PoolsAt:
    """Prefill and decode pools of an answer, and what they deliver."""

    strategy: PoolsStrategy
    metrics: PoolsMetrics


@dataclass(frozen=True, slots=True)
class BesideAt:
    """Joint instances for a share of the requests, prefill and decode pools for the rest, and what both deliver together."""

    label: str
    share: float
    """Of the requests, what the joint instances are sent."""
    joint_gpus: int
    """GPUs set apart for the joint instances."""
    joint: Strategy
    pools: PoolsStrategy
    metrics: SideBySideMetrics


@dataclass(frozen=True, slots=True)
class Point:
    """The answer at one point.

    Equal nodes have a ``strategy`` with its ``metrics``, inventories ``inventory``, prefill and decode pools ``disaggregated`` and
    joint instances beside pools ``side_by_side`` in their place; ``figures``, ``label`` and ``gpus_used`` speak of any.
    ``gpus`` is what there is, ``gpus_used`` what is used. Prices are for the GPUs in use, in the currency of
    ``hardware.price_per_gpu_hour``; None without one. ``binding`` names rules with little room left, nearest first;
    ``conflict`` the rules that cannot hold together where the point is infeasible, and ``said`` the sentence about it.
    """

    index: int
    name: str
    values: Mapping[str, Any]
    gpus: int | None
    status: PointStatus
    strategy: Strategy | None = None
    metrics: Metrics | None = None
    objective: ObjectiveResult | None = None
    preset: str = ""
    price_per_hour: float | None = None
    price_per_million_output_tokens: float | None = None
    binding: tuple[str, ...] = ()
    conflict: tuple[str, ...] = ()
    said: str = ""
    error: str | None = None
    verification: Checked | None = None
    search_limits: tuple[str, ...] = field(default=())
    inventory: InventoryFigures | None = None
    disaggregated: PoolsAt | None = None
    side_by_side: BesideAt | None = None

    @property
    def figures(self) -> Metrics | InventoryFigures | PoolsMetrics | SideBySideMetrics | None:
        """Percentiles, rates and availability of the answer; None without one."""
        if self.side_by_side is not None:
            return self.side_by_side.metrics
        if self.disaggregated is not None:
            return self.disaggregated.metrics
        return self.metrics if self.metrics is not None else self.inventory

    @property
    def label(self) -> str:
        """Short name of what was chosen; empty without a choice."""
        if self.strategy is not None:
            return self.strategy.label
        if self.side_by_side is not None:
            return self.side_by_side.label
        if self.disaggregated is not None:
            return self.disaggregated.strategy.label
        return self.inventory.label if self.inventory is not None else ""

    @property
    def gpus_used(self) -> int | None:
        """GPUs in use."""
        if self.strategy is not None:
            return self.strategy.gpus
        if self.side_by_side is not None:
            return self.side_by_side.joint.gpus + self.side_by_side.pools.gpus
        if self.disaggregated is not None:
            return self.disaggregated.strategy.gpus
        return self.inventory.gpus_used if self.inventory is not None else None


def point_of_any(
    spec: Spec, problem: Problem, answer: Answer | PoolsAnswer | SideBySideAnswer, notes: tuple[str, ...] = ()
) -> Point:
    """The point of an answer about equal nodes: joint instances, pools, or both side by side."""
    if isinstance(answer, SideBySideAnswer):
        return point_of_both(spec, problem, answer, notes)
    return (
        point_of_pools(spec, problem, answer, notes)
        if isinstance(answer, PoolsAnswer)
        else point_of(spec, problem, answer, notes)
    )


def why_unanswered(answer: Any) -> str:
    """What an answer says first where it is not proved best; "" where it is."""
    return answer.explanation[0] if answer.status != "optimal" and answer.explanation else ""


def checked_with_parts(answer: Any) -> Checked:
    """What was verified of an answer about joint instances beside pools: the sum, every other split and either part."""
    of_each = [one.verification for one in (answer, answer.joint, answer.pools)]
    return Checked(
        all(one.passed for one in of_each),
        sum(one.checks for one in of_each),
        answer.verification.optimality,
        answer.verification.candidates,
    )


def point_of_both(spec: Spec, problem: Problem, answer: SideBySideAnswer, notes: tuple[str, ...] = ()) -> Point:
    """The point of an answer about joint instances beside pools; rules with little room are named with their part.

    Verified are the sum, every other split and either part; its arguments are those of ``point_of``.
    """
    joint, pools, metrics = answer.joint.strategy, answer.pools.strategy, answer.metrics
    assert joint is not None and pools is not None
    billed = bill([(problem.hardware, answer.gpus)], metrics.tokens_per_s * metrics.availability)
    return Point(
        index=spec.index,
        name=spec.name,
        values=spec.changes,
        gpus=spec.gpus or problem.hardware.gpus,
        status=answer.status,
        objective=answer.objective,
        preset=problem.objective.preset,
        price_per_hour=billed.get("price_per_hour"),
        price_per_million_output_tokens=billed.get("price_per_million_output_tokens"),
        binding=tuple(
            f"{part} {rule}"
            for part, one in (("joint", answer.joint), ("pools", answer.pools))
            for rule in binding_of(one.rules)
        ),
        said=why_unanswered(answer),
        verification=checked_with_parts(answer),
        search_limits=(*answer.search_limits, *notes),
        side_by_side=BesideAt(answer.label, answer.share, answer.joint_gpus, joint, pools, metrics),
    )


def point_of_pools(spec: Spec, problem: Problem, answer: PoolsAnswer, notes: tuple[str, ...] = ()) -> Point:
    """The point of an answer about prefill and decode pools; its arguments are those of ``point_of``."""
    checked, metrics, strategy = answer.verification, answer.metrics, answer.strategy
    pools = PoolsAt(strategy, metrics) if strategy is not None and metrics is not None else None
    billed: Any = {}
    if pools is not None:
        billed = bill(
            [(problem.hardware, pools.strategy.gpus)], pools.metrics.tokens_per_s * pools.metrics.availability
        )
    return Point(
        index=spec.index,
        name=spec.name,
        values=spec.changes,
        gpus=spec.gpus or problem.hardware.gpus,
        status=answer.status,
        objective=answer.objective,
        preset=problem.objective.preset,
        price_per_hour=billed.get("price_per_hour"),
        price_per_million_output_tokens=billed.get("price_per_million_output_tokens"),
        binding=binding_of(answer.rules),
        conflict=answer.conflicts[0].rules if answer.conflicts else (),
        said=why_unanswered(answer),
        verification=Checked(checked.passed, checked.checks, checked.optimality, checked.candidates),
        search_limits=(*answer.search_limits, *notes),
        disaggregated=pools,
    )


def point_of(spec: Spec, problem: Problem, answer: Answer, notes: tuple[str, ...] = ()) -> Point:
    """The point of an answer.

    Args:
        problem: what was solved.
        notes: sentences on what was left out of the question.
    """
    checked, metrics = answer.verification, answer.metrics
    return Point(
        index=spec.index,
        name=spec.name,
        values=spec.changes,
        gpus=spec.gpus or problem.hardware.gpus,
        status=answer.status,
        strategy=answer.strategy,
        metrics=answer.metrics,
        objective=answer.objective,
        preset=problem.objective.preset,
        price_per_hour=metrics.price_per_hour if metrics else None,
        price_per_million_output_tokens=metrics.price_per_million_output_tokens if metrics else None,
        binding=binding_of(answer.rules),
        conflict=answer.conflicts[0].rules if answer.conflicts else (),
        said=why_unanswered(answer),
        verification=Checked(checked.passed, checked.checks, checked.optimality, checked.candidates),
        search_limits=(*answer.search_limits, *notes),
    )


def binding_of(rules: Sequence[RuleResult]) -> tuple[str, ...]:
    """Ids of the rules that leave little room, nearest first."""
    near = [
        (rule.slack / abs(rule.limit), rule.id)
        for rule in rules
        if rule.holds and rule.enabled and isinstance(rule.limit, int | float) and rule.limit and rule.slack is not None
        if rule.slack <= BINDING_SHARE * abs(rule.limit) and rule.id != "context"
    ]
    return tuple(name for _, name in sorted(near, key=lambda pair: pair[0]))


def failed(spec: Spec, error: str) -> Point:
    """The point of a question that cannot be asked, or that was not answered."""
    return Point(spec.index, spec.name, spec.changes, spec.gpus, "error", error=error)


KINDS = ("inventory", "disaggregated", "side_by_side")
"""Fields in place of ``strategy`` and ``metrics``; data leaves out those that are None."""


def point_data(point: Point) -> dict[str, Any]:
    """Plain data, in a fixed order of keys."""
    data = asdict(point)
    data["values"] = dict(point.values)
    if point.strategy is not None:
        data["strategy"] = {"label": point.strategy.label, "gpus": point.strategy.gpus, **data["strategy"]}
    for name in KINDS:
        if getattr(point, name) is None:
            del data[name]
    return data


def point_from_data(data: Mapping[str, Any]) -> Point:
    """Back from plain data.

    Raises:
        KeyError, TypeError: not the data of a point.
    """
    values = {name: data[name] for name in Point.__dataclass_fields__ if name not in KINDS}
    if data.get("side_by_side") is not None:
        values["side_by_side"] = _both_from_data(data["side_by_side"])
    if data.get("disaggregated") is not None:
        values["disaggregated"] = _pools_from_data(data["disaggregated"])
    if data.get("inventory") is not None:
        inner = dict(data["inventory"])
        values["inventory"] = InventoryFigures(**{**inner, "pools": tuple(PoolAt(**pool) for pool in inner["pools"])})
    if values["strategy"] is not None:
        values["strategy"] = _strategy_from_data(values["strategy"])
    if values["metrics"] is not None:
        inner = {k: tuple(v) if isinstance(v, list) else v for k, v in values["metrics"].items()}
        values["metrics"] = Metrics(**inner)
    if values["objective"] is not None:
        values["objective"] = ObjectiveResult(**values["objective"])
    if values["verification"] is not None:
        values["verification"] = Checked(**values["verification"])
    for name in ("binding", "conflict", "search_limits"):
        values[name] = tuple(values[name])
    return Point(**values)


def _strategy_from_data(data: Mapping[str, Any]) -> Strategy:
    inner = {name: value for name, value in data.items() if name not in ("label", "gpus")}
    return Strategy(**{**inner, "layers_per_stage": tuple(inner["layers_per_stage"])})


def _pools_from_data(data: Mapping[str, Any]) -> PoolsAt:
    inner = dict(data["metrics"])
    inner |= {side: PoolMetrics(**inner[side]) for side in ("prefill", "decode")}
    return PoolsAt(_both_pools(data["strategy"]), PoolsMetrics(**inner))


def _both_pools(data: Mapping[str, Any]) -> PoolsStrategy:
    return PoolsStrategy(*(PoolStrategy(**data[side]) for side in ("prefill", "decode")))


def _both_from_data(data: Mapping[str, Any]) -> BesideAt:
    parts = {"joint": _strategy_from_data(data["joint"]), "pools": _both_pools(data["pools"])}
    return BesideAt(**{**data, **parts, "metrics": SideBySideMetrics(**data["metrics"])})
