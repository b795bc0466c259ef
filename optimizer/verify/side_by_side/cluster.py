"""Is a claim about joint instances beside pools on an inventory true: the sum of the parts, and an own bound on every split.

``docs/disaggregated.md``, section 14.
"""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass
from decimal import Decimal

from optimizer.facts.cluster_side_by_side import (
    ClusterSplit,
    cluster_splits_of,
    joint_part_on,
    pools_part_on,
    units_of_groups,
)
from optimizer.facts.inventory import InventoryProblem
from optimizer.facts.side_by_side import TENTHS
from optimizer.results.answer import Verification
from optimizer.results.cluster_side_by_side import ClusterSideBySideAnswer
from optimizer.verify.common.arithmetic import sixty_digits
from optimizer.verify.common.ledger import CheckLedger
from optimizer.verify.side_by_side.cluster_bounds import OwnClusterBounds

RESOLUTION = "each part is verified by itself; objectives within 20 ns count as equal"
NEAR_MS = 2e-5


@dataclass(frozen=True, slots=True)
class PartsKnown:
    """What the parts of a split come to that were proved and verified, ms; infinite: a part cannot be; None: not looked at."""

    joint: float | None
    pools: float | None


@dataclass(frozen=True, slots=True)
class ClusterSplitsSeen:
    """What was found of the splits that a claim leaves out."""

    splits: int
    ruled_out: int
    """By the verifier's own bounds, without any part that was solved."""
    open: tuple[ClusterSplit, ...]
    """Those that may be better than what is claimed, as far as the verifier knows."""


@sixty_digits()
def open_splits_on(
    problem: InventoryProblem, bar: float, solved: Mapping[ClusterSplit, PartsKnown]
) -> ClusterSplitsSeen:
    """Which splits are not known to come to so many ms at least.

    Args:
        bar: ms below which a split would be better than what is claimed; infinite where nothing is feasible.
        solved: of splits whose parts were solved.
    """
    own, every, ruled, wanted = OwnClusterBounds(problem), 0, 0, _low(bar)
    left: list[ClusterSplit] = []
    rests: list[float] = []
    found: list[ClusterSplit] = []
    for split in cluster_splits_of(problem):
        every += 1
        known = solved.get(split, PartsKnown(None, None))
        joint = 0.0 if known.joint is None else split.tenths / TENTHS * known.joint
        pools = own.pools(split) if known.pools is None else (TENTHS - split.tenths) / TENTHS * known.pools
        if joint + pools >= wanted:
            ruled += split not in solved
        elif known.joint is not None:
            found.append(split)
        else:
            left.append(split)
            rests.append(pools)
    least = own.joint(left, [wanted - pools for pools in rests])
    for split, joint, pools in zip(left, least, rests, strict=True):
        if joint + pools < wanted:
            found.append(split)
        else:
            ruled += split not in solved
    return ClusterSplitsSeen(every, ruled, tuple(found))


@sixty_digits()
def verify_cluster_side_by_side(
    problem: InventoryProblem, answer: ClusterSideBySideAnswer, seen: ClusterSplitsSeen | None
) -> Verification:
    """Recompute what an answer makes of its parts, each of which was verified by itself.

    Args:
        seen: what was found of every other split; None: they were not gone through.
    """
    ledger = CheckLedger()
    split = _split(problem, answer)
    fine = split is not None and split in set(cluster_splits_of(problem))
    ledger.that("split", fine, "whole tenths, whole units of every group, something for either part", answer.groups)
    if split is not None and fine:
        _parts(ledger, problem, answer, split)
    _sums(ledger, answer)
    optimality = "not claimed"
    if answer.status == "optimal":
        optimality = "bound"
        if seen is not None:
            optimality = "refuted" if seen.open else "exhaustive"
            ledger.that("optimality", not seen.open, "no split that may be better", seen.open)
        ledger.that(
            "bound", answer.objective.bound == answer.objective.value, answer.objective.value, answer.objective.bound
        )
    splits = 0 if seen is None else seen.splits
    ruled = {} if seen is None or not seen.ruled_out else {"the bound on what either part takes": seen.ruled_out}
    return Verification(
        not ledger.mismatches, ledger.checks, optimality, splits, RESOLUTION, tuple(ledger.mismatches),
        splits - (0 if seen is None else seen.ruled_out), ruled,
    )  # fmt: skip


def _split(problem: InventoryProblem, answer: ClusterSideBySideAnswer) -> ClusterSplit | None:
    """The split that an answer states; None: it is none of this inventory."""
    if [one.group for one in answer.groups] != [group.name for group in problem.groups]:
        return None
    units = []
    for group, unit, one in zip(problem.groups, units_of_groups(problem.groups), answer.groups, strict=True):
        used, more = divmod(one.joint_gpus, unit.gpus)
        if more or one.joint_gpus + one.pools_gpus != group.gpus:
            return None
        nodes = -(-one.joint_gpus // group.free_gpus), -(-one.pools_gpus // group.free_gpus)
        if nodes != (one.joint_nodes, one.pools_nodes):
            return None
        units.append(used)
    return ClusterSplit(round(answer.share * TENTHS), tuple(units))


def _parts(
    ledger: CheckLedger, problem: InventoryProblem, answer: ClusterSideBySideAnswer, split: ClusterSplit
) -> None:
    """Either part stands on what is its own, keeps every rule, and was verified."""
    joint, pools = joint_part_on(problem, split), pools_part_on(problem, split)
    used: tuple[dict[str, int], dict[str, int]] = {}, {}
    for place in answer.joint.placement.instances if answer.joint.placement is not None else ():
        for gpu in place.gpus:
            name = gpu.node.rpartition("-")[0]
            used[0][name] = used[0].get(name, 0) + 1
    strategy = answer.pools.strategy
    for pool in (*strategy.prefill, *strategy.decode) if strategy is not None else ():
        used[1][pool.group] = used[1].get(pool.group, 0) + pool.pool.gpus
    for name, part, own, some in (("joint", joint, answer.joint, used[0]), ("pools", pools, answer.pools, used[1])):
        ledger.that(f"{name} part", own.verification.passed, "verified by itself", own.verification.passed)
        there = {group.name: group.gpus for group in part.groups}
        fits = bool(some) and all(count <= there.get(group, 0) for group, count in some.items())
        ledger.that(f"{name} GPUs", fits, f"at most {there}", some)
        broken = [rule.id for rule in own.rules if rule.enabled and not rule.holds]
        ledger.that(f"{name} rules", not broken, "every rule kept", broken)


def _sums(ledger: CheckLedger, answer: ClusterSideBySideAnswer) -> None:
    """Objective, terms and metrics of both together."""
    first, second, share = answer.joint.objective, answer.pools.objective, Decimal(repr(answer.share))
    if first is None or second is None:
        ledger.that("objective", False, "of both parts", None)
        return
    value = share * Decimal(repr(first.value)) + (1 - share) * Decimal(repr(second.value))
    ledger.time("objective", value, answer.objective.value, Decimal(4))
    terms = sum((Decimal(repr(term)) for term in answer.objective.terms.values()), Decimal(0))
    ledger.time("terms", value, float(terms), Decimal(20))
    pools, claimed = answer.pools.metrics, answer.metrics
    if pools is None or answer.joint.reliability is None:
        ledger.that("metrics", False, "of both parts", None)
        return
    for name in ("ttft_p50_ms", "ttft_p99_ms", "tpot_p50_ms", "tpot_p99_ms"):
        every = [getattr(pools, name), *(getattr(one.metrics, name) for one in answer.joint.pools)]
        ledger.same(name, None if None in every else max(every), getattr(claimed, name))
    rates = [one.capacity * one.instances for one in answer.joint.pools]
    part, rest = float(share), float(1 - share)
    for name, expected, actual in (
        ("max_request_rate", min(sum(rates) / part, pools.max_request_rate / rest), claimed.max_request_rate),
        (
            "availability",
            part * answer.joint.reliability.availability + rest * pools.availability,
            claimed.availability,
        ),
        (
            "peak",
            min((answer.joint.peak_tokens_per_s or 0.0) / part, pools.peak_tokens_per_s / rest),
            claimed.peak_tokens_per_s,
        ),
    ):
        ledger.that(name, math.isclose(expected, actual, rel_tol=1e-9), expected, actual)
    means = answer.joint.request_mean_ms, pools.request_mean_ms
    if None not in means and claimed.request_mean_ms is not None:
        mean = share * Decimal(repr(means[0])) + (1 - share) * Decimal(repr(means[1]))
        ledger.time("request mean", mean, claimed.request_mean_ms, Decimal(20))
    else:
        ledger.same("request mean", None, claimed.request_mean_ms)
    prices = answer.joint.price_per_hour, pools.price_per_hour
    total = None if None in prices else sum(price for price in prices if price is not None)
    agrees = total == answer.price_per_hour or (
        total is not None
        and answer.price_per_hour is not None
        and math.isclose(total, answer.price_per_hour, rel_tol=1e-9)
    )
    ledger.that("price", agrees, total, answer.price_per_hour)


def _low(bar: float) -> float:
    """What floats may have taken from a sum, and whole nanoseconds."""
    return bar if math.isinf(bar) else bar * (1 - 1e-9) - NEAR_MS
