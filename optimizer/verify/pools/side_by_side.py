"""Is a claim about joint instances beside pools true: a bound of the verifier's own on every split, and what was said of the others.

Every shape is looked at with the load of the most instances that a part's GPUs hold, the failures left out but for the share of
the time that an instance is up; the two pools have their GPUs shared out in every way. ``docs/disaggregated.md``, section 14.

Other home: ``search/pools/side_by_side.py``; docs/disaggregated.md, section 14.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from decimal import Decimal
from functools import cached_property

import numpy as np

from optimizer.facts.problem import Problem
from optimizer.facts.side_by_side import TENTHS, BesideSplit, joint_part, pools_part, splits_of, unit_gpus, units_of
from optimizer.results.answer import Fixed, Verification
from optimizer.results.pools import FixedPool
from optimizer.results.side_by_side import SideBySideAnswer
from optimizer.verify.common.arithmetic import exact, sixty_digits
from optimizer.verify.common.corrections import float_times
from optimizer.verify.common.float_load import loads
from optimizer.verify.common.float_times import Floats, ShapeTimes, TimedShapes
from optimizer.verify.common.groups import ReplicaShape, Row
from optimizer.verify.common.ledger import CheckLedger
from optimizer.verify.common.load import chain_length
from optimizer.verify.common.objective import weights_of
from optimizer.verify.common.rules import row_findings
from optimizer.verify.common.space import replicas_offered, shapes_offered
from optimizer.verify.common.stage import Stages
from optimizer.verify.pools.load_curve import InProgress
from optimizer.verify.pools.pair import Shapes
from optimizer.verify.pools.shape import PoolShape
from optimizer.verify.pools.survey import offered

BY_COUNT = frozenset({"gpu_count", "nvlink_locality", "expert_groups"})
"""Rules on degrees that the number of replicas has a part in: nothing is left out by them."""
MANY_UNITS = 16
"""From so many on a split is first looked at as if either part had all GPUs but one unit."""
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
    own = OwnSplitBounds(problem, timed, pools)
    every, ruled, left = 0, 0, []
    known_ms = known * (1 - 1e-9) - 2e-5
    for split in splits_of(problem):
        every += 1
        if split in solved and solved[split] >= known_ms:
            continue
        if own.at_least(split, known_ms):
            ruled += 1
        else:
            left.append(split)
    return BesideSplitsSeen(every, ruled, tuple(left))


@sixty_digits()
def verify_side_by_side(problem: Problem, answer: SideBySideAnswer, seen: BesideSplitsSeen | None) -> Verification:
    """Recompute what an answer makes of its parts, each of which was verified by itself.

    Args:
        seen: what was found of every other split; None: they were not gone through.
    """
    ledger = CheckLedger()
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
        self.problem, self._timed = problem, timed
        self._pool_shapes = Shapes(problem) if pools is None else pools
        self.weights = weights_of(problem.objective)
        self.rate = exact(problem.workload.requests_per_s)
        self._joint: dict[tuple[int, int], float] = {}
        self._pools: dict[int, tuple[Floats, Floats]] = {}
        self._widest: dict[int, float] = {}
        self._up: dict[int, float] = {}

    def at_least(self, split: BesideSplit, ms: float) -> bool:
        """Whether a split costs so much at least; what tells most for the least work is looked at first."""
        last = units_of(self.problem) - 1
        if (1 - split.tenths / TENTHS) * self.pools(TENTHS - split.tenths, last + 1 - split.units) >= ms:
            return True
        if last >= MANY_UNITS:
            if split.tenths not in self._widest:
                self._widest[split.tenths] = self._sum(split.tenths, last, last)
            if self._widest[split.tenths] >= ms:
                return True
        return self.least(split) >= ms

    def least(self, split: BesideSplit) -> float:
        """ms of a request of one split."""
        return self._sum(split.tenths, split.units, units_of(self.problem) - split.units)

    def _sum(self, tenths: int, joint: int, pools: int) -> float:
        share = tenths / TENTHS
        return share * self.joint(tenths, joint) + (1 - share) * self.pools(TENTHS - tenths, pools)

    # Joint instances

    @cached_property
    def _shapes(self) -> Sequence[ReplicaShape]:
        """Shapes that rules on degrees leave."""
        if self._timed is not None:
            return self._timed.shapes
        problem = self.problem.model_copy(update={"serving": "joint"})
        off = BY_COUNT | set(problem.search.disabled_rules)
        found = []
        for shape in shapes_offered(problem, Fixed()):
            counts = replicas_offered(problem, Fixed(), shape)
            if counts and all(rule.holds or rule.id in off for rule in row_findings(problem, Row(shape, counts[0]))):
                found.append(shape)
        return found

    @cached_property
    def _times(self) -> ShapeTimes:
        if self._timed is not None:
            return self._timed.times
        return float_times(self.problem, self._shapes, Stages(self.problem), chain_length(self.problem))

    def joint(self, tenths: int, units: int) -> float:
        """With so many tenths of the requests on so many units."""
        if (tenths, units) not in self._joint:
            gpus = units * unit_gpus(self.problem)
            lines = [line for line, shape in enumerate(self._shapes) if shape.instance_gpus <= gpus]
            self._joint[tenths, units] = np.inf
            if lines:
                some = [self._shapes[line] for line in lines]
                ranks = np.array([shape.group.ranks for shape in some])
                most = np.array([gpus // shape.instance_gpus for shape in some])
                rate = float(self.rate * tenths / TENTHS)
                seen = loads(
                    self.problem, self._times, np.array(lines), rate / (most * ranks), chain_length(self.problem),
                    rate / ranks, end_to_end=False,
                )  # fmt: skip
                sure = seen.overloaded & ~seen.unsure
                costs = np.array([self._part_of_time(shape.instance_gpus) for shape in some]) * seen.mean
                self._joint[tenths, units] = float(np.where(sure, np.inf, costs).min()) * SAFETY
        return self._joint[tenths, units]

    def _part_of_time(self, gpus: int) -> float:
        """The weight of the time of a request that an instance serves, times the share of the time that it is up at least."""
        if gpus not in self._up:
            self._up[gpus] = float(self.weights.latency) * (1.0 if self.weights.unserved <= 0 else self._up_of(gpus))
        return self._up[gpus]

    def _up_of(self, gpus: int) -> float:
        rates = self.problem.hardware.failures
        repair = exact(rates.repair_hours)
        gpu = 1 - repair / (exact(rates.gpu_mtbf_hours) + repair)
        node = 1 - repair / (exact(rates.node_mtbf_hours) + repair)
        # However an instance lies, it touches one node more than it fills, and never more.
        nodes = gpus // self.problem.hardware.gpus_per_node + 2
        return float(gpu) ** gpus * float(node) ** nodes

    # Pools

    @cached_property
    def _offered(self) -> list[PoolShape]:
        return list(offered(self.problem, self._pool_shapes, FixedPool()))

    @cached_property
    def _queues(self) -> list[_RankQueues]:
        return [_RankQueues(shape) for shape in self._offered]

    def pools(self, tenths: int, units: int) -> float:
        """The same of a prefill and a decode pool that share the GPUs of so many units."""
        gpus = units * unit_gpus(self.problem)
        first, second = self._sides(tenths)
        sums = first[1:gpus] + second[gpus - 1 : 0 : -1]
        return float(sums.min()) * SAFETY if len(sums) else np.inf

    def _sides(self, tenths: int) -> tuple[Floats, Floats]:
        """Least ms in either pool by how many GPUs it has at most."""
        if tenths not in self._pools:
            gpus, rate = units_of(self.problem) * unit_gpus(self.problem), float(self.rate * tenths / TENTHS)
            least = np.full(gpus + 1, np.inf), np.full(gpus + 1, np.inf)
            for shape, queues in zip(self._offered, self._queues, strict=True):
                counts = np.arange(1, gpus // shape.gpus + 1)
                each, at = rate / (counts * shape.group.ranks), counts * shape.gpus
                weight = self._part_of_time(shape.gpus)
                for side, means in enumerate((queues.prefill(each), queues.decode(each))):
                    least[side][at] = np.minimum(least[side][at], weight * means)
            self._pools[tenths] = np.minimum.accumulate(least[0]), np.minimum.accumulate(least[1])
        return self._pools[tenths]


class _RankQueues:
    """Mean ms of a request at a rank of a shape, by its requests/s."""

    def __init__(self, shape: PoolShape) -> None:
        self._first = float(sum((share * ms for share, ms in shape.services), Decimal(0)))
        self._second = float(sum((share * ms * ms for share, ms in shape.services), Decimal(0)))
        self._alone = float(shape.start + shape.admit * shape.round(1) + shape.mean_alone)
        self._full = float(shape.slowness[-1])
        self._progress = InProgress(shape.slowness)

    def prefill(self, rate: Floats) -> Floats:
        """Admission, wait and work; infinite where prompts pile up."""
        busy = rate / 1000 * self._first
        left = np.where(busy < 1, 1 - busy, 1.0)
        found: Floats = np.where(busy < 1, self._alone + rate / 1000 * self._second / (2 * left), np.inf)
        return found

    def decode(self, rate: Floats) -> Floats:
        """All of it; infinite where requests pile up."""
        return np.array(
            [self._progress.mean(each) / each if each * self._full < 1 else np.inf for each in (rate / 1000).tolist()]
        )
