"""The smallest repairs of an infeasible problem: which rules to give up, and the least change of each limit.

Minimal correction sets come from the masks of the extended question (``wide``), least amounts from ``least``. A repair is
shown only after the changed problem was solved again and the independent verifier agreed.
"""

from __future__ import annotations

from collections.abc import Callable
from itertools import combinations
from typing import TYPE_CHECKING, Any

from optimizer.explain.common.patience import Patience, TimeUpError
from optimizer.explain.common.relaxations import Changes, Relaxation
from optimizer.explain.uniform.least import Least
from optimizer.explain.uniform.relaxations import make
from optimizer.explain.uniform.repair_words import repair_sentence
from optimizer.explain.uniform.wide import WideSearch
from optimizer.facts.problem import Problem
from optimizer.reading.stated import Stated
from optimizer.results.answer import Answer, Change, Repair
from optimizer.search.uniform.oracle import Oracle

if TYPE_CHECKING:
    from optimizer.results.inventory import InventoryRepair

MOST_REPAIRS = 6
ENOUGH = 3
MOST_TOGETHER = 3

Resolve = Callable[[Problem, Oracle], Answer]


def find_repairs(
    wide: WideSearch, resolve: Resolve, *, most: int = MOST_REPAIRS, patience: Patience | None = None
) -> tuple[Repair, ...]:
    """Repairs, fewest changes first, each solved again and verified.

    Args:
        wide: the extended question of the infeasible problem.
        resolve: solves and verifies a changed problem, for the oracle's fixed decisions.
        most: how many at most. Repairs of several changes are added only while there are fewer than ``ENOUGH``.
        patience: time for it; what was found until it is over is given back, and it remembers that it cut something.
    """
    oracle = Oracle(wide.fixed)
    least = Least(wide.stated, oracle, patience)
    found: list[Repair] = []
    wide.patience = least.patience
    try:
        tried = candidates(wide)
    except TimeUpError:
        return ()
    for relaxations in tried:
        if len(found) >= most or (len(relaxations) > 1 and len(found) >= ENOUGH):
            break
        try:
            least.patience.ask()
            repair = _repair(wide, relaxations, least, lambda problem: resolve(problem, oracle))
        except TimeUpError:
            break
        if repair is not None and all(repair.changes != other.changes for other in found):
            found.append(repair)
    return tuple(found)


def candidates(wide: WideSearch) -> list[tuple[Relaxation, ...]]:
    """Sets of relaxations that may be enough, by size and then by what they count; none contains another."""
    bits = wide.relaxation_bits
    sets = [
        tuple(relaxation for relaxation in wide.relaxations if mask & bits[relaxation.id])
        for mask in wide.relaxation_masks
    ]
    sets = [relaxations for relaxations in sets if 0 < len(relaxations) <= MOST_TOGETHER] or [
        relaxations for relaxations in sets[:1] if relaxations
    ]
    known = {relaxations[0].id for relaxations in sets if len(relaxations) == 1}
    # What the masks cannot settle is asked of every candidate: settings side by side, search limits that stayed closed, and
    # more nodes, whose candidates were thinned.
    asked = wide.skipped | {"nodes"}
    sets += [
        (relaxation,)
        for relaxation in wide.relaxations
        if relaxation.kind == "choice" or relaxation.id in asked - known
    ]
    order = {relaxation.id: position for position, relaxation in enumerate(wide.relaxations)}
    return sorted(
        sets,
        key=lambda s: (len(s), sum(relaxation.weight for relaxation in s), [order[relaxation.id] for relaxation in s]),
    )


def least_changes(wide: WideSearch, relaxations: tuple[Relaxation, ...], least: Least) -> dict[str, Any] | None:
    """The least change of each relaxation, given those of the others; None when they are not enough."""
    now = [before(wide.stated, wide.problem, relaxation.field) for relaxation in relaxations]
    start = least.together(relaxations, now) if len(relaxations) > 1 else []
    if start is None:
        return None
    settled: list[Changes] = []
    settings: list[int] = []
    for position, relaxation in enumerate(relaxations):
        setting = least.of(relaxation, [*settled, *start[position + 1 :]])
        if setting is None:
            return None
        settings.append(setting)
        settled.append(relaxation.at(setting))
    # A smaller change of one can, rarely, leave room in another: with more requests prompts pass a pipeline side by side.
    for position, relaxation in enumerate(relaxations if len(relaxations) > 1 else ()):
        setting = least.of(relaxation, [*settled[:position], *settled[position + 1 :]])
        if setting is not None and setting < settings[position]:
            settled[position] = relaxation.at(setting)
    return {field: value for change in settled for field, value in change.items()}


def _repair(
    wide: WideSearch, relaxations: tuple[Relaxation, ...], least: Least, resolve: Callable[[Problem], Answer]
) -> Repair | None:
    if len(relaxations) > 1 and _too_many(relaxations, least):
        return None
    if len(relaxations) == 1 and _pruned(wide, relaxations[0], least):
        return None
    values = least_changes(wide, relaxations, least)
    problem = make(wide.stated, values) if values is not None else None
    if values is None or problem is None:
        return None
    result = resolve(problem)
    if result.strategy is None or not result.verification.passed or result.status not in ("optimal", "feasible"):
        return None
    changes = tuple(Change(field, before(wide.stated, wide.problem, field), value) for field, value in values.items())
    return Repair(changes, repair_sentence(changes, wide.problem, problem, result), result.strategy)


def _pruned(wide: WideSearch, relaxation: Relaxation, least: Least) -> bool:
    """Whether a relaxation that the masks do not know to be enough is not, even at its furthest."""
    unknown = relaxation.full is not None and wide.relaxation_bits[relaxation.id] not in wide.relaxation_masks
    return unknown and relaxation.full is not None and not least.feasible(relaxation.full)


def _too_many(relaxations: tuple[Relaxation, ...], least: Least) -> bool:
    """Whether some of the relaxations are enough without the others."""
    fewer = combinations(relaxations, len(relaxations) - 1)
    return any(
        least.feasible(*[relaxation.full for relaxation in some if relaxation.full is not None]) for some in fewer
    )


def before(stated: Stated, problem: Problem, field: str) -> Any:
    """The value of a field now: as stated, else what holds without it; None where neither says."""
    value = stated.value(field)
    if value is not None:
        return value
    considered: dict[str, Any] = {
        "requirements.max_sequence_tokens": problem.max_sequence_tokens,
        "search.weight_precision": [problem.model.native_weight_format],
        "search.kv_precision": [problem.model.native_kv_format],
    }
    if field in considered:
        return considered[field]
    inner: Any = problem
    for part in field.split("."):
        inner = getattr(inner, part, None)
    return list(inner) if isinstance(inner, tuple) else inner


def changed_stated(stated: Stated, repair: Repair | InventoryRepair) -> Stated:
    """The problem file with the repair made."""
    return stated.changed({change.field: change.new for change in repair.changes})
