"""Why-not, why-this and how-sure for inventories, each by solving a neighbouring problem and comparing.

Nothing here estimates: every figure is the answer to a problem that was solved and verified as ``solve`` does it.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import Any

from optimizer.explain.common.numbers import milliseconds
from optimizer.facts.inventory import InventoryProblem
from optimizer.questions.inventory import at_end, check_inventory, solve_inventory, without_tolerance
from optimizer.results.answer import Fixed, all_confirmed
from optimizer.results.inventory import InventoryAnswer
from optimizer.results.why import (
    GroupWorth,
    InventoryHowSure,
    InventoryRange,
    InventoryWhyNot,
    InventoryWhyThis,
    Verdict,
)

Progress = Callable[[Any], None]
TERM_WORDS = {"served": "time of served requests", "unserved": "requests not served", "gpus": "GPUs in use"}
FACTORS = (1.1, 1.25, 1.5, 2.0, 3.0, 4.0)
"""Steps outward of how-sure; the last is as far as it asks, as for equal nodes."""


def inventory_why_not(
    problem: InventoryProblem, fixed: Fixed, *, time_limit_s: float | None = None, progress: Progress | None = None
) -> InventoryWhyNot:
    """Why instances with the fixed decisions are not the answer: not allowed (with the conflict), worse, a tie, or the best.

    Args:
        problem: the inventory.
        fixed: what every instance has: TP, PP, EP, formats; DP counts replicas.
        time_limit_s: of each of the two searches.
        progress: called while they run.

    Raises:
        ProblemError: a decision that inventories do not take.
    """
    foil = check_inventory(problem, fixed, time_limit_s=time_limit_s, progress=progress, repairs=True)
    best = foil.optimum
    named = _named(fixed)
    terms: dict[str, float] = {}
    difference = None
    if foil.feasible is None or best is None or best.status == "unknown":
        verdict: Verdict = "undecided"
        said = [f"The time limit was reached before {named} was decided; allow more."]
    elif foil.feasible is False:
        verdict = "not allowed"
        said = [conflict.sentence for conflict in foil.conflicts] or [f"{named} keeps no rule set of this problem."]
        if best.pools and best.objective is not None:
            said.append(f"The best there is: {best.label}, {milliseconds(best.objective.value)} per request.")
    elif best.status == "infeasible":
        verdict = "no optimum"
        left_out = ", ".join(best.cut_by) or "a degree that is not tried by default"
        said = [f"{named} keeps every rule, but it is outside what may be considered ({left_out}), where nothing does."]
    elif foil.objective is None or best.objective is None:
        verdict, said = "undecided", [f"{named} keeps every rule, but its value or the optimum's is not known."]
    else:
        difference = foil.objective.value - best.objective.value
        terms = {name: value - best.objective.terms.get(name, 0.0) for name, value in foil.objective.terms.items()}
        if foil.label == best.label:
            verdict, said = "best", [f"{best.label} is the best itself: nothing speaks against {named}."]
        elif difference <= 0:
            verdict = "tie"
            said = [f"{foil.label} is a tie with {best.label} to the whole millisecond."]
        else:
            verdict = "worse"
            said = [_worse(foil, best, difference, terms)]
    return InventoryWhyNot(
        problem=problem.name,
        verdict=verdict,
        foil=foil.label or None,
        optimum=best.label if best is not None and best.pools else None,
        difference_ms=difference,
        difference_terms=terms,
        conflicts=foil.conflicts,
        repairs=foil.repairs,
        sentences=tuple(said),
        verification=all_confirmed(one.verification for one in (foil, best) if one is not None and one.pools),
    )


def _worse(foil: InventoryAnswer, best: InventoryAnswer, difference: float, terms: dict[str, float]) -> str:
    if foil.objective is None or best.objective is None:
        raise ValueError("both have an objective here")
    parts = [
        f"{milliseconds(abs(value))} {'more' if value > 0 else 'less'} for {TERM_WORDS.get(name, name)}"
        for name, value in terms.items()
        if abs(value) >= 0.5
    ]
    told = f" ({', '.join(parts)})" if parts else ""
    return (
        f"{foil.label} keeps every rule, but takes {milliseconds(foil.objective.value)} per request where {best.label} takes "
        f"{milliseconds(best.objective.value)}: {milliseconds(difference)} worse{told}."
    )


def _named(fixed: Fixed) -> str:
    words = {
        "tensor_parallel": "TP",
        "pipeline_parallel": "PP",
        "data_parallel": "DP",
        "expert_parallel": "EP",
        "weight_precision": "weights ",
        "kv_precision": "KV ",
    }
    return "·".join(f"{word}{getattr(fixed, name)}" for name, word in words.items() if getattr(fixed, name) is not None)


def _carried(answer: InventoryAnswer) -> float | None:
    return sum(pool.capacity * pool.instances for pool in answer.pools) if answer.pools else None


def inventory_why_this(
    problem: InventoryProblem, *, time_limit_s: float | None = None, progress: Progress | None = None
) -> InventoryWhyThis:
    """What one node more, and one less, of each group is worth: each is solved again, as a problem of its own.

    Args:
        problem: the inventory.
        time_limit_s: of each search.
        progress: called while they run.
    """
    problem = without_tolerance(problem)
    base = solve_inventory(problem, time_limit_s=time_limit_s, progress=progress, ranges=False)
    value = base.objective.value if base.objective is not None else None
    seen = [base.verification]
    worths = []
    for changed, words, field, nodes in _neighbours(problem):
        answer = solve_inventory(changed, time_limit_s=time_limit_s, progress=progress, ranges=False)
        seen.append(answer.verification)
        worths.append(_worth(answer, words, field, nodes, value))
    if base.pools:
        said = [f"The best is {base.label}: {milliseconds(value or 0)} per request."]
    else:
        said = [f"Nothing keeps every rule ({base.status})."]
    more = [worth for worth in worths if worth.gain_ms is not None and worth.gain_ms > 0]
    if base.pools and more:
        best = max(more, key=lambda worth: worth.gain_ms or 0)
        said.append(f"Worth the most: {best.words}, {milliseconds(best.gain_ms or 0)} less per request.")
    elif base.pools:
        said.append("One node more of any group makes no request a whole millisecond quicker.")
    return InventoryWhyThis(problem.name, base.label or None, value, tuple(worths), tuple(said), all_confirmed(seen))


def _neighbours(problem: InventoryProblem) -> Iterator[tuple[InventoryProblem, str, str, int]]:
    """Every inventory with one node more or less in one group (with racks: one more or less in each)."""
    for index, group in enumerate(problem.groups):
        step = group.racks or 1
        for sign in (1, -1):
            nodes = group.nodes + sign * step
            if nodes < step:
                continue
            groups = list(problem.groups)
            groups[index] = group.model_copy(update={"nodes": nodes})
            count = "one node" if step == 1 else f"{step} nodes (one in each rack)"
            words = f"{count} {'more' if sign > 0 else 'less'} of {group.name}"
            yield problem.model_copy(update={"groups": tuple(groups)}), words, f"cluster.{index}.nodes", nodes


def _worth(answer: InventoryAnswer, words: str, field: str, nodes: int, before: float | None) -> GroupWorth:
    value = answer.objective.value if answer.objective is not None else None
    gain = before - value if before is not None and value is not None else None
    return GroupWorth(words, {field: nodes}, answer.label or None, answer.status, value, gain, _carried(answer))


def inventory_how_sure(
    problem: InventoryProblem, *, time_limit_s: float | None = None, progress: Progress | None = None
) -> InventoryHowSure:
    """How far the demand and the failure rates may move before other instances are best, at the values that were tried.

    Args:
        problem: the inventory.
        time_limit_s: of each search.
        progress: called while they run.
    """
    seen = []

    def asked(changed: InventoryProblem) -> InventoryAnswer:
        seen.append(solve_inventory(changed, time_limit_s=time_limit_s, progress=progress, ranges=False))
        return seen[-1]

    def choice(changed: InventoryProblem) -> str:
        return asked(changed).label or "nothing works"

    best = asked(problem).label or None
    label = best or "nothing works"
    rate = problem.workload.requests_per_s

    def at_rate(value: float) -> str:
        workload = problem.workload.model_copy(update={"requests_per_s": value})
        return choice(problem.model_copy(update={"workload": workload}))

    high, above = _outward(label, rate, FACTORS, at_rate)
    low, below = _outward(label, rate, tuple(1 / factor for factor in FACTORS), at_rate)
    demand = InventoryRange("workload.requests_per_s", "the request rate", "requests/s", rate, low, high, below, above)
    said = [f"The answer is {label}.", _range_sentence(demand)]
    for end in ("low", "high"):
        changed = at_end(problem, end)
        if changed.failures == problem.failures:
            continue
        there = choice(changed)
        which = "rarest" if end == "high" else "most frequent"
        same = "the choice stays the same" if there == label else f"{there} is best"
        said.append(f"With failures at the {which} end of their stated range {same}.")
    return InventoryHowSure(problem.name, best, (demand,), tuple(said), all_confirmed(one.verification for one in seen))


def _outward(
    label: str, value: float, factors: tuple[float, ...], choice: Callable[[float], str]
) -> tuple[float, str | None]:
    """The outermost value tried with the same choice, and the choice at the next one; None where it never changed."""
    reached = value
    for factor in factors:
        tried = round(value * factor, 6)
        there = choice(tried)
        if there != label:
            return reached, f"{there} at {tried:g}"
        reached = tried
    return reached, None


def _range_sentence(found: InventoryRange) -> str:
    ends = f"from {found.low:g} to {found.high:g} {found.unit}, the same instances are best at every value tried"
    switches = [f"; {side}: {what}" for side, what in (("below", found.below), ("above", found.above)) if what]
    return f"For {found.words}, {ends}{''.join(switches)}."
