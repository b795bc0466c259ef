"""Whether no set of instances works at all, or only none of what was searched: which limit of the search keeps them out.

As for equal nodes (``explain/uniform/cuts.py``): an infeasible answer speaks of every layout that an engine could run only where
opening every limit of the search leaves it so.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Any

from optimizer.explain.common.numbers import listing
from optimizer.explain.common.relaxations import only_opens
from optimizer.explain.inventory.relaxation import inventory_relaxations, of_search, usual_degrees
from optimizer.explain.inventory.repair import Moves, verified
from optimizer.explain.inventory.trial import Trials, TrialStanding
from optimizer.facts.inventory import InventoryProblem
from optimizer.results.answer import WITHIN_SEARCHED, Fixed
from optimizer.results.inventory import InventoryAnswer, InventoryRepair

_FORMATS = ("weight_precision", "kv_precision")


@dataclass(frozen=True, slots=True)
class InventoryCut:
    """Limits of the search that keep every set out, and the least opening of them; not ``known`` where the time ended before."""

    fields: tuple[str, ...]
    repair: InventoryRepair | None = None
    known: bool = True


def inventory_cut(problem: InventoryProblem, repairs: Sequence[InventoryRepair], trials: Trials) -> InventoryCut | None:
    """What cuts the solutions off; None where no limit of the search does.

    Args:
        problem: infeasible, with nothing fixed.
        repairs: known already: where one of them only opens what matters, no other is looked for.
        trials: where to try wider searches.
    """
    opened = _opened(problem)
    if not opened:
        return None
    whole = trials.any(_with(problem, opened))
    if whole is False:
        return None
    if whole is None:
        return InventoryCut(tuple(f"search.{name}" for name in opened), known=False)
    names = next(((name,) for name in opened if _holds(trials, problem, {name: opened[name]})), tuple(opened))
    for name in reversed(names if len(names) > 1 else ()):
        fewer = tuple(one for one in names if one != name)
        if _holds(trials, problem, {one: opened[one] for one in fewer}):
            names = fewer
    fields = tuple(f"search.{name}" for name in names)
    if any(only_opens(repair.changes, fields) for repair in repairs):
        return InventoryCut(fields)
    return InventoryCut(fields, _widening(problem, {name: opened[name] for name in names}, trials))


def with_cut(answer: InventoryAnswer, cut: InventoryCut | None) -> InventoryAnswer:
    """The answer that says what it speaks of, what opens the cut first among its repairs."""
    if cut is None:
        return answer
    own = (cut.repair,) if cut.repair is not None else ()
    repairs = (*own, *sorted(answer.repairs, key=lambda repair: not only_opens(repair.changes, cut.fields)))
    return replace(answer, repairs=repairs, within=WITHIN_SEARCHED, cut_by=cut.fields)


def beyond(problem: InventoryProblem, fixed: Fixed) -> tuple[str, ...]:
    """Fields of the search that leave out what a person fixed."""
    found = []
    for name in ("tensor_parallel", "pipeline_parallel", "weight_precision", "kv_precision"):
        value = getattr(fixed, name)
        if value is not None and value not in (getattr(problem.search, name) or _left_out(problem, name)):
            found.append(f"search.{name}")
    if fixed.expert_parallel not in (None, 1) and problem.search.expert_parallel != "any":
        found.append("search.expert_parallel")
    return tuple(found)


def cut_sentence(answer: InventoryAnswer) -> str:
    """What keeps the sets out, for an answer within the searched space."""
    if any(only_opens(repair.changes, answer.cut_by) for repair in answer.repairs) or len(answer.cut_by) == 1:
        one = len(answer.cut_by) == 1
        keeps = "alone keeps every set of instances out" if one else "together keep every set of instances out"
        return f"{listing(list(answer.cut_by))} {keeps}: with {'it' if one else 'them'} opened there is one."
    return (
        f"Whether a search with {listing(list(answer.cut_by))} opened finds one was not decided in the time there was."
    )


def _opened(problem: InventoryProblem) -> dict[str, Any]:
    """Every field of the search that leaves something out, at its widest; other formats, which are other checkpoints, last."""
    found: dict[str, Any] = {}
    gpus = max(group.nodes_together * group.free_gpus for group in problem.groups)
    heads = problem.model.attention_heads
    widest = {
        "tensor_parallel": [t for t in range(1, min(heads, gpus) + 1) if heads % t == 0],
        "pipeline_parallel": list(range(1, min(problem.model.layers, gpus) + 1)),
    }
    for name, degrees in widest.items():
        if set(degrees) - set(usual_degrees(problem, name)):
            found[name] = tuple(sorted({*degrees, *usual_degrees(problem, name)}))
    for relaxation in inventory_relaxations(problem, Fixed()):
        section, _, name = relaxation.field.partition(".")
        if section == "search" and name not in (*widest, "disabled_rules"):
            found[name] = getattr(relaxation.at(relaxation.steps).search, name)
    return dict(sorted(found.items(), key=lambda item: item[0] in _FORMATS))


def _with(problem: InventoryProblem, opened: dict[str, Any]) -> InventoryProblem:
    return problem.model_copy(update={"search": problem.search.model_copy(update=opened)})


def _holds(trials: Trials, problem: InventoryProblem, opened: dict[str, Any]) -> bool:
    return isinstance(trials.any(_with(problem, opened)), TrialStanding)


def _widening(problem: InventoryProblem, opened: dict[str, Any], trials: Trials) -> InventoryRepair | None:
    """The limits opened just as far as a set of the opened problem needs, verified."""
    standing = trials.any(_with(problem, opened))
    if not isinstance(standing, TrialStanding):
        return None
    used = standing.strategies()
    least: dict[str, Any] = {}
    moves: Moves = {}
    for name, value in opened.items():
        old: Any = getattr(problem.search, name)
        if isinstance(value, tuple):
            old = old or _left_out(problem, name)
            value = tuple(one for one in value if one in old or one in {getattr(each, name) for each in used})
        least[name] = value
        moves[f"search.{name}"] = of_search(_with(problem, least), name, old, [value]), 1
    there = trials.any(_with(problem, least))
    return verified(moves, there, Fixed()) if isinstance(there, TrialStanding) else None


def _left_out(problem: InventoryProblem, name: str) -> tuple[Any, ...]:
    """What is searched where the file states nothing."""
    formats = {
        "weight_precision": problem.model.native_weight_format,
        "kv_precision": problem.model.native_kv_format,
    }
    return (formats[name],) if name in formats else tuple(usual_degrees(problem, name))
