"""Is a claim about joint instances beside pools true: a bound of the verifier's own on every split, and what was said of the others.

Either part is bounded by itself, its limits among it; a range of splits by the most units that either part has in any of them.
``docs/disaggregated.md``, section 14.

Other home: ``search/pools/side_by_side.py``; docs/disaggregated.md, section 14.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Set
from dataclasses import dataclass
from decimal import Decimal

import numpy as np

from optimizer.facts.problem import Problem
from optimizer.facts.side_by_side import TENTHS, BesideSplit, joint_part, pools_part, splits_of, unit_gpus, units_of
from optimizer.results.answer import Verification
from optimizer.results.side_by_side import SideBySideAnswer
from optimizer.verify.common.arithmetic import sixty_digits
from optimizer.verify.common.float_times import TimedShapes
from optimizer.verify.common.ledger import CheckLedger
from optimizer.verify.pools.joint_share import OwnJointShare
from optimizer.verify.pools.pair import Shapes
from optimizer.verify.pools.pools_share import OwnPoolsShare
from optimizer.verify.pools.shape import Hop, wire_of

SAFETY = 1 - 1e-9
RESOLUTION = "each part is verified by itself; objectives within 20 ns count as equal"


@dataclass(frozen=True, slots=True)
class BesideSplitsSeen:
    """What was found of the splits that a claim leaves out."""

    splits: int
    ruled_out: int
    """By the verifier's own bound."""
    open: tuple[BesideSplit, ...]
    """Those that may be better than what is claimed, as far as the verifier knows."""


@sixty_digits()
def open_splits(
    problem: Problem,
    known: float,
    solved: Mapping[BesideSplit, float],
    timed: TimedShapes | None = None,
    pools: Shapes | None = None,
) -> BesideSplitsSeen:
    """Which splits are not known to be no better than so many ms.

    Args:
        solved: what splits come to whose parts were proved and verified, ms; infinite: a part of it cannot be.
        timed: every joint shape that may stand on all GPUs; left out, they are worked out.
        pools: shapes of the pools of the problem, the same.
    """
    every, known_ms = set(splits_of(problem)), known * (1 - 1e-9) - 2e-5
    settled = {split for split, value in solved.items() if value >= known_ms}
    left = set(OwnSplitBounds(problem, timed, pools).below(known_ms, settled))
    return BesideSplitsSeen(len(every), len(every - settled - left), tuple(sorted(left)))


@sixty_digits()
def verify_side_by_side(
    problem: Problem, answer: SideBySideAnswer, seen: BesideSplitsSeen | None, ledger: CheckLedger | None = None
) -> Verification:
    """Recompute what an answer makes of its parts, each of which was verified by itself.

    Args:
        seen: what was found of every other split; None: they were not gone through.
        ledger: what was compared of the answer already.
    """
    ledger = CheckLedger() if ledger is None else ledger
    joint, pools = answer.joint.objective, answer.pools.objective
    share = Decimal(repr(answer.share))
    split = BesideSplit(round(answer.share * TENTHS), answer.joint_gpus // unit_gpus(problem))
    ledger.that("split", split in set(splits_of(problem)), "whole tenths, whole nodes or GPUs", split)
    judged, every_broken = answer.feasible is not None, []
    for name, part, own in (
        ("joint", joint_part(problem, split), answer.joint), ("pools", pools_part(problem, split), answer.pools),
    ):  # fmt: skip
        ledger.that(f"{name} part", own.verification.passed, "verified by itself", own.verification.passed)
        used = own.strategy.gpus if own.strategy is not None else 0
        fits = 0 < used <= part.hardware.gpus
        broken = [rule.id for rule in own.rules if rule.enabled and not rule.holds]
        every_broken += [f"{name} {rule}" for rule in broken]
        if not judged or answer.feasible:
            ledger.that(f"{name} GPUs", fits, f"at most {part.hardware.gpus}", used)
            ledger.that(f"{name} rules", not broken, "every rule kept", broken)
    if judged:
        words = f"rules broken: {', '.join(every_broken) or 'none'}"
        ledger.that("feasible", answer.feasible == (not every_broken), words, answer.feasible)
    if joint is None or pools is None:
        ledger.that("objective", False, "of both parts", None)
    else:
        value = share * Decimal(repr(joint.value)) + (1 - share) * Decimal(repr(pools.value))
        ledger.time("objective", value, answer.objective.value, Decimal(4))
        terms = sum((Decimal(repr(term)) for term in answer.objective.terms.values()), Decimal(0))
        ledger.time("terms", value, float(terms), Decimal(20))
    optimality = "not claimed"
    if answer.status == "optimal" and not judged:
        optimality = "bound"
        if seen is not None:
            optimality = "refuted" if seen.open else "exhaustive"
            ledger.that("optimality", not seen.open, "no split that may be better", seen.open)
    splits = 0 if seen is None else seen.splits
    ruled = {} if seen is None or not seen.ruled_out else {"the bound on what either part takes": seen.ruled_out}
    return Verification(
        not ledger.mismatches, ledger.checks, optimality, splits, RESOLUTION, tuple(ledger.mismatches),
        splits - (0 if seen is None else seen.ruled_out), ruled,
    )  # fmt: skip


class OwnSplitBounds:
    """Least ms of a request of each split."""

    def __init__(self, problem: Problem, timed: TimedShapes | None = None, pools: Shapes | None = None) -> None:
        self.problem, self._units = problem, units_of(problem)
        shapes = Shapes(problem) if pools is None else pools
        one = problem.hardware.model_copy(update={"nodes": 1})
        alone = problem.model_copy(update={"hardware": one})
        # Parts on one node have its own links, which those of several have not.
        self._joint = [OwnJointShare(alone), OwnJointShare(problem, timed)]
        self._pools = [OwnPoolsShare(alone, shapes, _fastest(alone)), OwnPoolsShare(problem, shapes, wire_of(problem))]
        if problem.hardware.nodes == 1:
            self._joint, self._pools = self._joint[1:] * 2, self._pools[:1] * 2

    def below(self, ms: float, settled: Set[BesideSplit]) -> Iterator[BesideSplit]:
        """Splits that are not known to cost so many ms, nor settled."""
        for tenths in range(1, TENTHS):
            ranges = [(1, self._units - 1)]
            while ranges:
                first, last = ranges.pop()
                if first == last and BesideSplit(tenths, first) in settled:
                    continue
                # Of several units fewer are never faster; one alone may be.
                joint = {last, 1} if first == 1 else {last}
                pools = {self._units - first, 1} if last == self._units - 1 else {self._units - first}
                if min(self._sum(tenths, a, b, ms) for a in joint for b in pools) >= ms:
                    continue
                if first == last:
                    yield BesideSplit(tenths, first)
                    continue
                middle = (first + last) // 2
                ranges += [(first, middle), (middle + 1, last)]

    def least(self, split: BesideSplit) -> float:
        """ms of a request of one split."""
        return self._sum(split.tenths, split.units, self._units - split.units, np.inf)

    def _sum(self, tenths: int, joint: int, pools: int, enough: float) -> float:
        share = tenths / TENTHS
        beside = (1 - share) * self.pools(TENTHS - tenths, pools)
        return beside if beside >= enough else beside + share * self.joint(tenths, joint, (enough - beside) / share)

    def joint(self, tenths: int, units: int, enough: float = np.inf) -> float:
        """With so many tenths of the requests on so many units; looked at no closer than to ``enough`` ms."""
        return self._joint[units > 1].least(tenths, units * unit_gpus(self.problem), enough) * SAFETY

    def pools(self, tenths: int, units: int) -> float:
        """The same of a prefill and a decode pool that share the GPUs of so many units."""
        return self._pools[units > 1].least(tenths, units * unit_gpus(self.problem)) * SAFETY


def _fastest(problem: Problem) -> Hop:
    """The fastest wire between GPUs of a node: all of them, or few enough for a domain of NVLink."""
    hardware = problem.hardware
    few = problem.model_copy(update={"hardware": hardware.model_copy(update={"gpus_per_node": 2})})
    wires = wire_of(problem), wire_of(few)
    return Hop("", max(one.bytes_per_ms for one in wires), min(one.latency for one in wires))
