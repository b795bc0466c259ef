"""Which splits of stated joint instances beside stated pools keep every rule, and what each comes to: both parts gone through.

``docs/disaggregated.md``, section 14.

Other home: ``questions/side_by_side_check.py``, by the tables of the search.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass

from optimizer.facts.problem import Problem
from optimizer.facts.side_by_side import TENTHS, BesideSplit, joint_part, pools_part
from optimizer.results.answer import Fixed
from optimizer.results.pools import FixedPools
from optimizer.verify.common.arithmetic import sixty_digits
from optimizer.verify.common.candidate import Candidate, RowFacts
from optimizer.verify.common.groups import Row
from optimizer.verify.common.ledger import CheckLedger
from optimizer.verify.common.rules import Finding, barely_holds, clearly_holds, findings
from optimizer.verify.common.space import rows
from optimizer.verify.common.stage import Stages
from optimizer.verify.pools.least import least_of
from optimizer.verify.pools.pair import Shapes
from optimizer.verify.uniform.float_candidate import survey

NEAR_MS = 4e-5
"""Values by which claim and verifier may differ: nanoseconds rounded up there, floats here."""
NEAR = 1e-9
"""The same, relative."""


@dataclass(frozen=True, slots=True)
class SplitsClaimed:
    """What is said of splits that some decisions can stand in."""

    splits: tuple[BesideSplit, ...]
    """Those that were asked about."""
    values: Mapping[BesideSplit, float]
    """ms of a request in each that both parts can stand in; infinite where a rule is broken."""
    shown: BesideSplit
    """The best of them; where none keeps every rule, whichever."""


@sixty_digits()
def count_splits(problem: Problem, fixed: Fixed, pools: FixedPools, claim: SplitsClaimed, ledger: CheckLedger) -> None:
    """Compare what is said of splits with what the verifier finds: where both parts can stand, which keep every rule, what each takes."""
    own = _values(problem, fixed, pools, claim.splits)
    ledger.that("splits", set(own) == set(claim.values), len(own), len(claim.values))
    for split in sorted(set(own) & set(claim.values)):
        (least, most), said = own[split], claim.values[split]
        name = f"split with {split.tenths / TENTHS:g} of the requests on {split.units}"
        near = NEAR_MS + NEAR * abs(least) if math.isfinite(least) else 0.0
        ledger.that(name, least - near <= said <= most + near, f"{least:g} ms", said)
    if claim.shown in own:
        least, best = own[claim.shown][0], min(most for _, most in own.values())
        near = NEAR_MS + NEAR * abs(best) if math.isfinite(best) else 0.0
        ledger.that("split shown", least <= best + near, f"at most {best:g} ms", least)


def _values(
    problem: Problem, fixed: Fixed, pools: FixedPools, splits: Iterable[BesideSplit]
) -> dict[BesideSplit, tuple[float, float]]:
    known, found = Shapes(problem), {}
    for split in splits:
        part = pools_part(problem, split)
        beside = least_of(part, known.on(part), pools)
        mine = _joint(joint_part(problem, split), fixed) if beside is not None else None
        if mine is not None and beside is not None:
            both = zip(mine, beside, strict=True)
            least, most = ((split.tenths * a + (TENTHS - split.tenths) * b) / TENTHS for a, b in both)
            found[split] = least, most
    return found


def _joint(problem: Problem, fixed: Fixed) -> tuple[float, float] | None:
    """ms of the best joint instances, (barely within the rules, clearly); infinite: all break one; None: there are none."""
    offered, stages = list(rows(problem, fixed)), Stages(problem)
    if not offered:
        return None
    known: dict[Row, RowFacts] = {}
    least, most = math.inf, math.inf
    for _, value, sure, row, slots in survey(problem, fixed, offered, stages, None).rivals:
        if value >= least and value >= most:
            continue
        candidate = Candidate(known.setdefault(row, RowFacts(problem, row, stages)), slots)
        ms = value if math.isfinite(value) else float(candidate.value().total)
        if sure or _keeps(candidate, clearly_holds):
            most = min(most, ms)
        if sure or _keeps(candidate, barely_holds):
            least = min(least, ms)
    return least, most


def _keeps(candidate: Candidate, holds: Callable[[Candidate, Finding], bool]) -> bool:
    off = candidate.problem.search.disabled_rules
    return all(rule.id in off or holds(candidate, rule) for rule in findings(candidate))
