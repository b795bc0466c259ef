"""The best pools of an inventory by the preset's tiers, proved; or that there are none."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from optimizer.costs.shapes import Bools
from optimizer.facts.inventory import InventoryProblem
from optimizer.results.answer import Status
from optimizer.results.pools import FixedPools
from optimizer.search.common.clock import Clock
from optimizer.search.common.scale import NS_PER_MS
from optimizer.search.common.solver import new_solver, outcome_of, solve_stoppable
from optimizer.search.pools.cluster_columns import ClusterColumns
from optimizer.search.pools.cluster_model import ClusterModel, cluster_rule_ids, own_masks
from optimizer.search.pools.cluster_picked import Picked
from optimizer.search.pools.cluster_prices import OptionBounds, bounds_of, within_gpus
from optimizer.search.pools.options import PARTS, SPACINGS, PoolOptions
from optimizer.search.uniform.quantities import ObjectiveWeights


@dataclass(frozen=True, slots=True)
class FoundCluster:
    """What a search found."""

    outcome: Status
    picked: Picked | None = None
    bound_ns: int | None = None


def rules_on(problem: InventoryProblem) -> tuple[str, ...]:
    """Rules that are on."""
    return tuple(rule for rule in cluster_rule_ids(problem) if rule not in problem.search.disabled_rules)


def columns_on(
    problem: InventoryProblem, fixed: FixedPools = FixedPools(), spacings: Sequence[float] = SPACINGS
) -> ClusterColumns | None:
    """Columns of every option; None where no pools can be built at all."""
    options = PoolOptions(problem, fixed, spacings)
    return ClusterColumns(options) if all(options.blocks) else None


def run(model: ClusterModel, clock: Clock, minimise: Any = None) -> tuple[Status, Any]:
    """Solve a model."""
    if minimise is not None:
        model.model.minimize(minimise)
    solver = new_solver()
    if clock.left_s is not None:
        solver.parameters.max_time_in_seconds = clock.left_s
    status, _ = solve_stoppable(solver, model.model, None, clock.ctrl_c)
    return outcome_of(status, model.model), solver


def keeps(columns: ClusterColumns | None, rules: Sequence[str], clock: Clock | None = None) -> bool | None:
    """Whether some pools keep the given rules; None: not known."""
    if columns is None:
        return False
    masks = own_masks(columns, rules)
    fits = all(mask.any() for mask in masks) and some_pools(columns, rules, masks, clock or Clock())[0]
    return None if fits is False and columns.options.thinned else fits


def some_pools(
    columns: ClusterColumns, rules: Sequence[str], masks: tuple[Bools, Bools], clock: Clock, least_peak: int = 0
) -> tuple[bool | None, Picked | None]:
    """(whether some pools keep the rules; such pools): among few options first, then among all that the GPUs leave.

    Args:
        masks: options that keep the rules which speak of them alone.
        least_peak: millionths of a request/s that every option reaches.
    """
    if least_peak or _total(masks) > MOST_EXACT:
        masks, bounds = within_gpus(columns, masks, rules, least_peak)
    size = CORE
    while all(mask.any() for mask in masks):
        whole = _total(masks) <= max(SMALL, 2 * size, MOST_EXACT if not least_peak and size == CORE else 0)
        model = ClusterModel(columns, rules, masks if whole else _few(columns, masks, bounds, size))
        if model.possible:
            outcome, solver = run(model, clock)
            if outcome in ("optimal", "feasible"):
                return True, picked_of(model, solver)
            if outcome == "unknown":
                return None, None
        if whole:
            break
        if size > MOST_EXACT:
            return None, None
        size *= 3
    return False, None


def _total(masks: tuple[Bools, Bools]) -> int:
    return sum(int(mask.sum()) for mask in masks)


def picked_of(model: ClusterModel, solver: Any) -> Picked:
    """What a solution chose."""
    sides: list[list[int]] = [[], []]
    for side, group in model.places:
        for option, taken in zip(model.of[side][group].tolist(), model.taken[side, group], strict=True):
            if solver.value(taken):
                sides[side].append(option)
    shared = frozenset(
        g
        for g, one in enumerate(model.together)
        if solver.value(one) and all(solver.value(model.used[side, g]) for side in (0, 1))
    )
    return Picked((tuple(sides[0]), tuple(sides[1])), shared)


TIERS = {"fewest-gpus": ["gpus"], "throughput": ["peak"], "cheapest": ["price"]}
CORE = 40
"""Options a side that an answer is first looked for among; where that settles nothing, three times as many."""
SMALL = 120
"""Options of both sides that are searched at once."""
NEAR_PEAK = 1000
"""Parts of what is carried at most, in which it is looked for."""
MOST_EXACT = 6000
"""Options of both sides that are searched to the end; of more the bound by prices and the best that was found are stated."""


def best_of(columns: ClusterColumns | None, clock: Clock, rules: Sequence[str] | None = None) -> FoundCluster:
    """The best pools, tier after tier: each first among few options, then among all that the bounds of ``cluster_prices`` leave."""
    if columns is None:
        return FoundCluster("infeasible")
    rules = rules_on(columns.problem) if rules is None else rules
    found = _best_tabulated(columns, clock, rules)
    return _of_every_count(columns, rules, found) if columns.options.thinned else found


def _of_every_count(columns: ClusterColumns, rules: Sequence[str], found: FoundCluster) -> FoundCluster:
    """What is known where some numbers of instances were left out: the best of the others beside a bound on all.

    Rules of losses speak of a spread over nodes that fewer instances may not have; the bound is that of all else.
    """
    masks = own_masks(columns, [rule for rule in rules if not rule.startswith("survive_")])
    none = not all(mask.any() for mask in masks)
    if found.picked is None:
        total = float(sum(group.gpus for group in columns.problem.groups))
        if not none and "gpu_count" in rules:
            none = bounds_of(columns, masks, total, "gpus", rules, fewer=True).least > total * (1 + 1e-9) + 1e-6
        return FoundCluster("infeasible" if none else "unknown")
    value = measured(columns, found.picked, "value")
    least = bounds_of(columns, masks, float(value), "value", rules, fewer=True).least
    return FoundCluster("feasible", found.picked, min(value, math.floor(least)))


def _best_tabulated(columns: ClusterColumns, clock: Clock, rules: Sequence[str]) -> FoundCluster:
    """The best of the numbers of instances that are tabulated."""
    masks = own_masks(columns, rules)
    if not all(mask.any() for mask in masks):
        return FoundCluster("infeasible")
    if _total(masks) > MOST_EXACT:
        masks, _ = within_gpus(columns, masks, rules)
        if not all(mask.any() for mask in masks):
            return FoundCluster("infeasible")
    held: list[tuple[str, int]] = []
    best: FoundCluster | None = None
    for tier in [*TIERS.get(columns.problem.objective.preset, []), "value"]:
        settle = _settle_peak if tier == "peak" else _settle
        settled = settle(columns, clock, rules, masks, tier, held)
        if settled.found.picked is None:
            return settled.found if best is None else best
        if settled.found.outcome != "optimal":
            return FoundCluster("feasible", settled.found.picked, settled.found.bound_ns if tier == "value" else None)
        best, masks = FoundCluster("feasible", settled.found.picked), settled.left
        held.append((tier, settled.value))
    found = _tiers_of(columns, clock, rules, masks, ["gpus", "spread"], held)
    # The objective is proved; time may end while equals are told apart.
    return found if found.picked is not None or best is None else FoundCluster("optimal", best.picked)


@dataclass(frozen=True, slots=True)
class Settled:
    """The least of a tier, and the options that an answer with it may have."""

    found: FoundCluster
    value: int
    left: tuple[Bools, Bools]


def _settle(
    columns: ClusterColumns,
    clock: Clock,
    rules: Sequence[str],
    masks: tuple[Bools, Bools],
    tier: str,
    held: list[tuple[str, int]],
) -> Settled:
    """The least of one tier, those before held."""
    known: int | None = None
    best: FoundCluster | None = None
    bounds, left, size = bounds_of(columns, masks, None, tier, rules), masks, CORE
    while sum(int(one.sum()) for one in left) > max(SMALL, 2 * size):
        if size > MOST_EXACT:
            break
        few = _few(columns, left, bounds, size)
        found = _tiers_of(columns, clock, rules, few, [tier], _also(held, tier, known))
        size *= 3
        if found.picked is None:
            if found.outcome == "unknown":
                return Settled(best or found, known or 0, left)
            continue
        known = measured(columns, found.picked, tier)
        bounds = bounds_of(columns, masks, float(known), tier, rules)
        best = FoundCluster("feasible", found.picked, min(known, math.floor(bounds.least)))
        left = _at_most(masks, bounds, known)
    else:
        found = _tiers_of(columns, clock, rules, left, [tier], _also(held, tier, known))
        if found.picked is not None and found.outcome == "optimal":
            value = measured(columns, found.picked, tier)
            return Settled(found, value, _at_most(masks, bounds, value))
        if best is None:
            return Settled(found, 0, left)
    if best is None:
        best = _tiers_of(columns, clock, rules, left, [tier], held)
    return Settled(best, known or 0, left)


def _settle_peak(
    columns: ClusterColumns,
    clock: Clock,
    rules: Sequence[str],
    masks: tuple[Bools, Bools],
    tier: str,
    held: list[tuple[str, int]],
) -> Settled:
    """The most that the pools carry, whatever else: what the GPUs allow at most, then pools that come near it, then all beyond these."""
    fits, picked = some_pools(columns, rules, masks, clock)
    if picked is None:
        return Settled(FoundCluster("infeasible" if fits is False else "unknown"), 0, masks)
    known = -measured(columns, picked, tier)
    low, high = (
        known,
        max(known, int(min(int(peak[mask].max()) for peak, mask in zip(columns.peaks, masks, strict=True)))),
    )
    while high - low > max(1, low // NEAR_PEAK):
        middle = (low + high) // 2
        left, _ = within_gpus(columns, masks, rules, middle)
        low, high = (middle, high) if all(one.any() for one in left) else (low, middle)
    for short in (1, 3, 10, 30, 100, 300):
        least = low - low * short // NEAR_PEAK
        if least <= known:
            break
        _, better = some_pools(columns, rules, masks, clock, least)
        if better is not None:
            picked, known = better, -measured(columns, better, tier)
            break
    left, _ = within_gpus(columns, masks, rules, known)
    if not all(one.any() for one in left):
        left = masks[0] & (columns.peaks[0] >= known), masks[1] & (columns.peaks[1] >= known)
    if _total(left) > MOST_EXACT:
        return Settled(FoundCluster("feasible", picked), -known, left)
    found = _tiers_of(columns, clock, rules, left, [tier], _also(held, tier, -known))
    value = -known if found.picked is None else measured(columns, found.picked, tier)
    best = found if found.picked is not None else FoundCluster("feasible", picked)
    return Settled(best, value, (left[0] & (columns.peaks[0] >= -value), left[1] & (columns.peaks[1] >= -value)))


def _also(held: list[tuple[str, int]], tier: str, known: int | None) -> list[tuple[str, int]]:
    return held if known is None else [*held, (tier, known)]


def _value_ns(columns: ClusterColumns, at: list[Any]) -> int:
    """The objective of chosen options."""
    options, weights = columns.options, ObjectiveWeights.of(columns.problem.objective)
    pools = sum(int(columns.values[side][at[side]].sum()) for side in (0, 1))
    moved = max(int((columns.moved[side][0] + options.latency_ns[side])[at[side]].max()) for side in (0, 1))
    gpus = sum(int(options.of_rows(side, "gpus")[at[side]].sum()) for side in (0, 1))
    return pools + round(weights.latency) * moved + round(weights.gpu_ms * NS_PER_MS) * gpus


def measured(columns: ClusterColumns, picked: Picked, tier: str) -> int:
    """What a tier counts of an answer; less is better."""
    at = [np.array(side, dtype=np.int64) for side in picked.options]
    if tier == "value":
        return _value_ns(columns, at)
    if tier == "peak":
        return -min(int(columns.peaks[side][at[side]].min()) for side in (0, 1))
    if tier == "price":
        return sum(int(columns.prices[side][at[side]].sum()) for side in (0, 1))
    return sum(int(columns.options.of_rows(side, "gpus")[at[side]].sum()) for side in (0, 1))


def _at_most(masks: tuple[Bools, Bools], bounds: OptionBounds, known: int) -> tuple[Bools, Bools]:
    """Options that an answer may have which is no worse than a known one."""
    most = known + abs(known) * 1e-9 + 1e-3
    first, second = (mask & (bound <= most) for mask, bound in zip(masks, bounds.through, strict=True))
    return first, second


def _few(columns: ClusterColumns, masks: tuple[Bools, Bools], bounds: OptionBounds, size: int) -> tuple[Bools, Bools]:
    """The options of least bound, whole pools and halves first."""
    found = []
    for side, mask in enumerate(masks):
        share = columns.options.share[side]
        coarse = mask & ((share == PARTS) | (2 * share == PARTS))
        chosen = np.zeros(len(mask), dtype=np.bool_)
        for some in (coarse, mask):
            at = np.flatnonzero(some & np.isfinite(bounds.through[side]))
            chosen[at[np.argsort(bounds.through[side][at], kind="stable")[: size // 2]]] = True
        found.append(chosen)
    return found[0], found[1]


def _tiers_of(
    columns: ClusterColumns,
    clock: Clock,
    rules: Sequence[str],
    only: tuple[Bools, Bools],
    tiers: Sequence[str],
    held: Sequence[tuple[str, int]],
) -> FoundCluster:
    """The best of some options, tier after tier.

    Args:
        only: options that may be chosen.
        tiers: what is minimised, one after the other.
        held: what tiers before may be at most.
    """
    kept, picked, bound = list(held), None, None
    for tier in tiers:
        model = ClusterModel(columns, rules, only)
        if not model.possible:
            return FoundCluster("infeasible")
        for name, value in kept:
            model.model.add(_goal(model, name) <= value)
        outcome, solver = run(model, clock, _goal(model, tier))
        if outcome == "infeasible":
            return FoundCluster("infeasible")
        if outcome == "unknown":
            return FoundCluster("feasible" if picked else "unknown", picked, bound)
        picked = picked_of(model, solver)
        if tier == "value":
            bound = int(solver.best_objective_bound)
        if outcome != "optimal":
            return FoundCluster("feasible", picked, bound)
        kept.append((tier, int(solver.value(_goal(model, tier)))))
    return FoundCluster("optimal", picked)


def _goal(model: ClusterModel, tier: str) -> Any:
    return -model.peak if tier == "peak" else getattr(model, tier)
