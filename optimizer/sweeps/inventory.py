"""Points of a sweep over an inventory: each is read, solved and verified as ``solve`` does it."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import replace
from typing import cast

from optimizer.facts.errors import ProblemError
from optimizer.facts.inventory import InventoryProblem
from optimizer.questions.serving import NEITHER
from optimizer.reading.prices import priced_as
from optimizer.reading.stated import Stated
from optimizer.results.cluster_pools import ClusterPoolsAnswer
from optimizer.results.cluster_side_by_side import ClusterSideBySideAnswer
from optimizer.results.inventory import InventoryAnswer, instance_label
from optimizer.sweeps.nodes import indexed
from optimizer.sweeps.points import (
    Checked,
    InventoryFigures,
    Point,
    PoolAt,
    Spec,
    binding_of,
    checked_with_parts,
    failed,
    why_unanswered,
)

OnInventory = InventoryAnswer | ClusterPoolsAnswer | ClusterSideBySideAnswer
_SHARED = (
    "ttft_p50_ms", "ttft_p99_ms", "tpot_p50_ms", "tpot_p99_ms", "request_mean_ms", "tokens_per_s", "peak_tokens_per_s",
    "max_request_rate", "availability",
)  # fmt: skip
"""Figures that pools state in the same words."""


def inventory_problem(stated: Stated, spec: Spec, prices: Mapping[str, float]) -> InventoryProblem:
    """The inventory of a point, groups that state no price with that of their GPU.

    Raises:
        ProblemError: as ``load_problem``.
    """
    from optimizer.reading.inventory_file import inventory_from_dict

    changes = indexed(stated.values, spec.changes)
    changed = stated.changed(changes)
    model = None if any(field.split(".")[0] == "model" for field in changes) else stated.model
    problem = inventory_from_dict(changed.values, default_name=stated.default_name, folder=stated.folder, model=model)
    return priced(problem, prices)


def priced(problem: InventoryProblem, prices: Mapping[str, float]) -> InventoryProblem:
    """The inventory with a price, where one is known, for every group that states none."""
    groups = tuple(
        group.model_copy(update={"price_per_gpu_hour": prices.get(priced_as(group.gpu.name, group.pricing))})
        if group.price_per_gpu_hour is None
        else group
        for group in problem.groups
    )
    return problem.model_copy(update={"groups": groups})


def solve_inventories(
    stated: Stated, specs: tuple[Spec, ...], prices: Mapping[str, float], time_limit_s: float | None
) -> Iterator[Point]:
    """Points in order; what goes wrong at one is its own point."""
    from optimizer.questions.inventory import solve_inventory
    from optimizer.questions.solve import solve

    for spec in specs:
        try:
            problem = inventory_problem(stated, spec, prices)
            answer = (
                solve_inventory(problem, time_limit_s=time_limit_s, ranges=False, explain="conflict")
                if problem.serving == "joint"
                else cast("OnInventory", solve(problem, time_limit_s=time_limit_s, repairs=False))
            )
        except ProblemError as error:
            yield failed(spec, str(error))
        else:
            yield any_point(replace(spec, gpus=problem.gpus), problem, answer)


def any_point(spec: Spec, problem: InventoryProblem, answer: OnInventory) -> Point:
    """The point of an answer about joint instances, pools, or both side by side."""
    if isinstance(answer, ClusterSideBySideAnswer):
        return cluster_beside_point(spec, problem, answer)
    if isinstance(answer, ClusterPoolsAnswer):
        return cluster_pools_point(spec, problem, answer)
    return inventory_point(spec, problem, answer)


def cluster_pools_point(spec: Spec, problem: InventoryProblem, answer: ClusterPoolsAnswer) -> Point:
    """The point of an answer about prefill and decode pools; each part of a pool is one of ``InventoryFigures.pools``."""
    metrics, strategy = answer.metrics, answer.strategy
    figures, price, each = None, None, None
    if metrics is not None and strategy is not None:
        price = metrics.price_per_hour
        served = metrics.tokens_per_s * metrics.availability * 3600 / 1e6
        each = None if price is None or not served else price / served
        figures = InventoryFigures(
            label=answer.label,
            gpus_used=strategy.gpus,
            pools=tuple(
                PoolAt(part.group, f"{role} {part.pool.label.split(' × ')[1]}", part.pool.instances, part.share)
                for role, parts in (("prefill", strategy.prefill), ("decode", strategy.decode))
                for part in parts
            ),
            **{name: getattr(metrics, name) for name in _SHARED},
        )
    return _point(spec, problem, answer, figures, price, each)


def cluster_beside_point(spec: Spec, problem: InventoryProblem, answer: ClusterSideBySideAnswer) -> Point:
    """The point of joint instances beside pools: each pool of the joint instances and each part of a pool with its share of all requests.

    Verified are the sum, every other split and either part; rules with little room are named with their part.
    """
    parts = any_point(spec, problem, answer.joint), any_point(spec, problem, answer.pools)
    shares = answer.share, 1 - answer.share
    pools = tuple(
        replace(one, share=one.share * share)
        for part, share in zip(parts, shares, strict=True)
        for one in (part.inventory.pools if part.inventory is not None else ())
    )
    figures = InventoryFigures(
        label=answer.label,
        gpus_used=answer.gpus,
        pools=pools,
        **{name: getattr(answer.metrics, name) for name in _SHARED},
    )
    served = answer.metrics.tokens_per_s * answer.metrics.availability * 3600 / 1e6
    price = answer.price_per_hour
    return Point(
        index=spec.index,
        name=spec.name,
        values=spec.changes,
        gpus=spec.gpus,
        status=answer.status,
        objective=answer.objective,
        preset=problem.objective.preset,
        price_per_hour=price,
        price_per_million_output_tokens=None if price is None or not served else price / served,
        binding=tuple(
            f"{name} {rule}" for name, part in zip(("joint", "pools"), parts, strict=True) for rule in part.binding
        ),
        said=why_unanswered(answer),
        verification=checked_with_parts(answer),
        search_limits=answer.search_limits,
        inventory=figures,
    )


def inventory_point(spec: Spec, problem: InventoryProblem, answer: InventoryAnswer) -> Point:
    """The point of an inventory's answer."""
    each = answer.price_per_million_output_tokens
    return _point(spec, problem, answer, figures_of(answer), answer.price_per_hour, each)


def _point(
    spec: Spec,
    problem: InventoryProblem,
    answer: InventoryAnswer | ClusterPoolsAnswer,
    figures: InventoryFigures | None,
    price: float | None,
    each: float | None,
) -> Point:
    """What the point says of either kind of answer.

    Args:
        price: per hour.
        each: price of a million output tokens.
    """
    checked = answer.verification
    return Point(
        index=spec.index,
        name=spec.name,
        values=spec.changes,
        gpus=spec.gpus,
        status=answer.status,
        objective=answer.objective,
        preset=problem.objective.preset,
        price_per_hour=price,
        price_per_million_output_tokens=each,
        binding=binding_of(answer.rules),
        conflict=answer.conflicts[0].rules if answer.conflicts else (),
        said=_said(answer),
        verification=Checked(checked.passed, checked.checks, checked.optimality, checked.candidates),
        search_limits=answer.search_limits,
        inventory=figures,
    )


def _said(answer: InventoryAnswer | ClusterPoolsAnswer) -> str:
    """Why the point is not answered: its conflict where there is one, after what is said of every kind that was tried."""
    if answer.conflicts:
        every = answer.explanation[0] if answer.explanation and answer.explanation[0].startswith(NEITHER[:-1]) else ""
        return f"{every} {answer.conflicts[0].sentence}".strip()
    return why_unanswered(answer)


def figures_of(answer: InventoryAnswer) -> InventoryFigures | None:
    """The figures of an answer; None where it has no instances."""
    if not answer.pools or answer.reliability is None:
        return None
    metrics = [pool.metrics for pool in answer.pools]

    def worst(name: str) -> float | None:
        values = [getattr(one, name) for one in metrics]
        return None if None in values else max(values)

    return InventoryFigures(
        label=answer.label,
        gpus_used=answer.gpus_used,
        pools=tuple(
            PoolAt(pool.where, instance_label(pool.strategy), pool.instances, pool.share) for pool in answer.pools
        ),
        ttft_p50_ms=worst("ttft_p50_ms"),
        ttft_p99_ms=worst("ttft_p99_ms"),
        tpot_p50_ms=worst("tpot_p50_ms"),
        tpot_p99_ms=worst("tpot_p99_ms"),
        request_mean_ms=answer.request_mean_ms,
        tokens_per_s=answer.tokens_per_s or 0.0,
        peak_tokens_per_s=answer.peak_tokens_per_s or 0.0,
        max_request_rate=sum(pool.capacity * pool.instances for pool in answer.pools),
        availability=answer.reliability.availability,
    )
