"""Whether nothing works at all, or only nothing of what was searched: which limit of the search keeps the solutions out.

An infeasible answer speaks of every layout that an engine could run only if opening every limit of the search leaves it so:
degrees, formats, splits and expert groups that the file or the defaults leave out.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from optimizer.costs.analytic import AnalyticCosts
from optimizer.costs.load import chain_length
from optimizer.explain.common.patience import Patience, TimeUpError
from optimizer.explain.common.relaxations import only_opens
from optimizer.explain.uniform.relaxations import make
from optimizer.explain.uniform.repair import before
from optimizer.explain.uniform.repair_words import repair_sentence
from optimizer.explain.uniform.wide import WideSearch
from optimizer.facts.problem import Problem
from optimizer.results.answer import Answer, Change, Repair
from optimizer.search.uniform.replica_counts import any_allowed
from optimizer.search.uniform.space import SpaceTooLargeError, pipeline_degrees, shape_ranges, tensor_degrees

_ROUNDING = 1 + 1e-9
_FORMATS = ("search.weight_precision", "search.kv_precision")


@dataclass(frozen=True, slots=True)
class Cut:
    """The limits of the search that keep every solution out, and the least widening of one that is enough, where one is."""

    fields: tuple[str, ...]
    repair: Repair | None = None
    open_question: bool = False
    """Whether opening these limits helps was not settled in time."""


def opened_search(wide: WideSearch) -> dict[str, Any]:
    """Every limit of the search that can be opened, with the value that opens it."""
    opened: dict[str, Any] = {}
    for relaxation in wide.relaxations:
        if relaxation.kind == "candidate" and relaxation.full:
            opened.update(relaxation.full)
    opened = {**_beyond_defaults(wide.problem), **opened}
    # Other formats are other checkpoints: named only where no degree is enough.
    return dict(sorted(opened.items(), key=lambda item: item[0] in _FORMATS))


def cut_of(
    wide: WideSearch, solved: Callable[[Problem], Answer], repairs: Sequence[Repair], patience: Patience
) -> Cut | None:
    """What cuts the solutions off; None where no limit of the search does.

    Args:
        wide: of an infeasible problem, nothing fixed.
        solved: gives the verified answer to a changed problem, for the repair.
        repairs: known already: where one of them only opens what matters, no other is looked for.
        patience: time for it.
    """
    opened = opened_search(wide)
    if not opened:
        return None
    try:
        if not _feasible(make(wide.stated, opened), patience):
            return None
        fields = _fields(wide, opened, patience)
    except TimeUpError:
        return Cut(tuple(opened), open_question=True)
    if any(only_opens(repair.changes, fields) for repair in repairs):
        return Cut(fields)
    return Cut(fields, _widening(wide, {field: opened[field] for field in fields}, solved))


def opening_helps(wide: WideSearch, patience: Patience) -> bool | None:
    """Whether some strategy outside of what was searched keeps every rule; None where the time was over before that was known."""
    opened = opened_search(wide)
    try:
        return bool(opened) and _feasible(make(wide.stated, opened), patience)
    except TimeUpError:
        return None


def _fields(wide: WideSearch, opened: dict[str, Any], patience: Patience) -> tuple[str, ...]:
    """One limit that is enough to open, or as few of them together as are."""
    for field, value in opened.items():
        if _feasible(make(wide.stated, {field: value}), patience):
            return (field,)
    fields = tuple(opened)
    for field in reversed(fields):
        fewer = {name: opened[name] for name in fields if name != field}
        if _feasible(make(wide.stated, fewer), patience):
            fields = tuple(fewer)
    return fields


def _beyond_defaults(problem: Problem) -> dict[str, list[int]]:
    """Degrees of axes without a stated list, those beyond the default ones included, where there are more."""
    model, hardware, search = problem.model, problem.hardware, problem.search
    found: dict[str, list[int]] = {}
    if search.pipeline_parallel is None:
        found["search.pipeline_parallel"] = list(range(1, min(model.layers, hardware.gpus) + 1))
    if search.tensor_parallel is None:
        heads = model.attention_heads
        found["search.tensor_parallel"] = [t for t in range(1, min(heads, hardware.gpus) + 1) if heads % t == 0]
    usual = {
        "search.pipeline_parallel": pipeline_degrees(problem),
        "search.tensor_parallel": tensor_degrees(problem),
    }
    return {field: degrees for field, degrees in found.items() if set(degrees) - set(usual[field])}


def _feasible(problem: Problem | None, patience: Patience) -> bool:
    """Whether some strategy keeps every rule; also where there are too many to say so."""
    if problem is None or too_slow(problem):
        return False
    try:
        return any_allowed(problem, ask=patience.ask)
    except SpaceTooLargeError:
        return True


def too_slow(problem: Problem) -> bool:
    """Whether all GPUs together never complete the demand, whatever the shape: known without the times of every number in progress."""
    work, off = problem.workload, problem.search.disabled_rules
    plain = (
        work.users is None
        and problem.costs is None
        and not work.mixed
        and work.speculation is None
        and problem.serving == "joint"
    )
    if not plain or "request_rate" in off:
        return False
    shapes, replicas = [], []
    for shape, degrees in shape_ranges(problem):
        if len(degrees):
            shapes.append(shape)
            replicas.append(max(degrees[0], degrees[-1]) if isinstance(degrees, range) else max(degrees))
    if not shapes:
        return False
    each = AnalyticCosts(problem, shapes).steps.completes_at_most(np.full(len(shapes), chain_length(problem)))
    return float((each * np.array(replicas)).max()) * _ROUNDING < work.requests_per_s


def _widening(wide: WideSearch, opened: dict[str, Any], solved: Callable[[Problem], Answer]) -> Repair | None:
    """The limits opened just as far as the best strategy of the opened problem needs; solved again."""
    whole = make(wide.stated, opened)
    best = solved(whole).strategy if whole is not None else None
    if best is None:
        return None
    changes = []
    for field, value in opened.items():
        name = field.removeprefix("search.")
        usual = before(wide.stated, wide.problem, field)
        if usual is None and name in _USUAL:
            usual = list(_USUAL[name](wide.problem))
        if isinstance(value, list):
            chosen = getattr(best, name)
            value = usual if chosen in usual else sorted([*usual, chosen], key=value.index)
        if value != usual:
            changes.append(Change(field, usual, value))
    problem = make(wide.stated, {change.field: change.new for change in changes})
    result = solved(problem) if problem is not None else None
    if problem is None or result is None or result.strategy is None or not result.verification.passed:
        return None
    return Repair(tuple(changes), repair_sentence(changes, wide.problem, problem, result), result.strategy)


_USUAL: dict[str, Callable[[Problem], Sequence[int]]] = {
    "pipeline_parallel": pipeline_degrees,
    "tensor_parallel": tensor_degrees,
}


def widest_first(repairs: tuple[Repair, ...], cut: Cut) -> tuple[Repair, ...]:
    """Repairs that do nothing but open the limits that matter come first."""
    own = (cut.repair,) if cut.repair is not None else ()
    return (*own, *sorted(repairs, key=lambda repair: not only_opens(repair.changes, cut.fields)))
