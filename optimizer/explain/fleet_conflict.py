"""Why no set of instances works on an inventory: rules that cannot hold together, and the least changes that help."""

from __future__ import annotations

import time
from collections.abc import Callable, Sequence
from typing import Any

from optimizer.answer import Change, Conflict, Fixed
from optimizer.explain.numbers import count
from optimizer.facts.inventory import FleetProblem, NodeGroup
from optimizer.fleet_answer import FleetRepair
from optimizer.search.fleet.offers import Known, Offers
from optimizer.search.fleet.solve import FleetSolver
from optimizer.search.rules import rules_for
from optimizer.search.space import SpaceTooLargeError

MOST_TIMES = 8
"""A group is grown to at most so many times its nodes."""
RATE_DIGITS = 100
"""A lower request rate is named in whole hundredths of what was asked."""

Verdict = bool | None
"""Feasible, proved infeasible, or not known."""
Solved = Callable[[FleetProblem], str | None]
"""The label of the verified best answer of a changed problem; None when there is none."""


def fleet_conflict(problem: FleetProblem, fixed: Fixed, within_s: float) -> Conflict:
    """A set of rules that cannot hold together; minimal when each was tried within the time.

    Rules are dropped one by one, those about shapes together first, because they rarely matter.
    """
    deadline, known = time.monotonic() + within_s, Known()
    sentences = _sentences(problem)
    carries = f"{problem.workload.requests_per_s:g} requests/s"
    off = set(problem.search.disabled_rules)
    active = [rule for rule in sentences if rule not in off]
    minimal = True
    shape_rules = [rule for rule in active if rule in _SHAPE_RULES]
    for candidate in [tuple(shape_rules), *((rule,) for rule in active)]:
        left = [rule for rule in active if rule not in candidate]
        if not candidate or len(left) == len(active):
            continue
        if time.monotonic() > deadline:
            minimal = False
            break
        verdict = _feasible(without(problem, left, sentences), fixed, known)
        if verdict is None:
            minimal = False
        elif not verdict:
            active = left
    said = [sentences[rule].rstrip(".") for rule in active]
    nothing = f"no set of instances on the {count(problem.gpus, 'free GPU')} carries {carries}"
    these = "This rule cannot hold" if len(said) == 1 else "These rules cannot hold together"
    listed = "; ".join(text[0].upper() + text[1:] for text in said)
    sentence = f"{these} at {carries}: {listed}."
    if not active:
        sentence = f"Whatever the rules, {nothing}."
    return Conflict(tuple(active), sentence, minimal)


_SHAPE_RULES = (
    "attention_heads",
    "kv_heads",
    "ffn_width",
    "vocabulary",
    "experts",
    "expert_groups",
    "layer_split",
    "nvlink_locality",
    "context",
)


def _sentences(problem: FleetProblem) -> dict[str, str]:
    """Every rule with its sentence."""
    demand = problem.workload.requests_per_s
    share = "" if problem.demand_share == 1 else f"{problem.demand_share:.0%} of "
    found: dict[str, str] = {}
    for losses in problem.survive:
        many = f"any {losses.level}" if losses.count == 1 else f"any {losses.count} {losses.level}s"
        found[f"survive_{losses.level}"] = (
            f"after the loss of {many} the instances left have to carry {share}{demand:g} requests/s"
        )
    group = problem.groups[0]
    alone = problem.instance_problem(group, 1)
    skipped = ("gpu_count", "request_rate", "max_batch")
    for rule in rules_for(alone):
        if rule.id not in skipped:
            found[rule.id] = rule.sentence
    return found


def without(problem: FleetProblem, active: Sequence[str], known: dict[str, Any]) -> FleetProblem:
    """The problem with only the given rules on."""
    off = tuple(dict.fromkeys([*problem.search.disabled_rules, *(rule for rule in known if rule not in active)]))
    return problem.model_copy(update={"search": problem.search.model_copy(update={"disabled_rules": off})})


def _feasible(problem: FleetProblem, fixed: Fixed, known: Known) -> Verdict:
    try:
        found = FleetSolver(problem, Offers(problem, fixed, known), fixed=fixed).any()
    except SpaceTooLargeError:
        return None
    if found.best is not None:
        return True
    return False if found.status == "infeasible" else None


def fleet_repairs(problem: FleetProblem, fixed: Fixed, solved: Solved, within_s: float) -> tuple[FleetRepair, ...]:
    """The least changes: fewer requests/s, more nodes of a group, a loss no longer survived, instances that may span racks."""
    deadline = time.monotonic() + within_s
    found: list[FleetRepair] = []
    for attempt in (_fewer_requests, _without_losses, _more_nodes, _over_racks):
        if time.monotonic() > deadline:
            break
        found += attempt(problem, fixed, solved, deadline)
    return tuple(found)


def _fewer_requests(problem: FleetProblem, fixed: Fixed, solved: Solved, deadline: float) -> list[FleetRepair]:
    demand = problem.workload.requests_per_s
    try:
        offers = Offers(problem, fixed)
    except SpaceTooLargeError:
        return []

    def at(step: int) -> FleetProblem:
        workload = problem.workload.model_copy(update={"requests_per_s": demand * step / RATE_DIGITS})
        return problem.model_copy(update={"workload": workload})

    low, high = 0, RATE_DIGITS
    while high - low > 1 and time.monotonic() < deadline:
        middle = (low + high) // 2
        changed = at(middle)
        # Offers do not depend on the demand: T, k and c are functions of the rate at one instance.
        if FleetSolver(changed, offers.again(changed), fixed=fixed).any().best is not None:
            low = middle
        else:
            high = middle
    if not low or high - low > 1:
        return []
    rate = round(demand * low / RATE_DIGITS, 6)
    label = solved(at(low))
    if label is None:
        return []
    sentence = f"Lower workload.requests_per_s from {demand:g} to {rate:g} (found in steps of 1 % of what is asked); best then: {label}."
    return [FleetRepair((Change("workload.requests_per_s", demand, rate),), sentence, label)]


def _without_losses(problem: FleetProblem, fixed: Fixed, solved: Solved, deadline: float) -> list[FleetRepair]:
    found = []
    for losses in problem.survive:
        if time.monotonic() > deadline:
            break
        fewer = [
            one if one != losses else one.model_copy(update={"count": one.count - 1})
            for one in problem.survive
            if one != losses or one.count > 1
        ]
        label = solved(problem.model_copy(update={"survive": tuple(fewer)}))
        if label is not None:
            field = f"requirements.survive.{losses.level}"
            sentence = f"Lower {field} from {losses.count} to {losses.count - 1}; best then: {label}."
            found.append(FleetRepair((Change(field, losses.count, losses.count - 1),), sentence, label))
    return found


def _more_nodes(problem: FleetProblem, fixed: Fixed, solved: Solved, deadline: float) -> list[FleetRepair]:
    found, known = [], Known()
    for index, group in enumerate(problem.groups):
        step = group.racks or 1
        most = group.nodes * MOST_TIMES
        high: int | None = None
        tried = group.nodes + step
        low = group.nodes
        while tried <= most and time.monotonic() < deadline:
            if _feasible(_grown(problem, index, tried), fixed, known):
                high = tried
                break
            low, tried = tried, min(most, group.nodes + 2 * (tried - group.nodes)) if tried < most else most + 1
        while high is not None and high - low > step and time.monotonic() < deadline:
            middle = low + (high - low) // 2 // step * step
            if _feasible(_grown(problem, index, middle), fixed, known):
                high = middle
            else:
                low = middle
        if high is None or high - low > step:
            continue
        label = solved(_grown(problem, index, high))
        if label is not None:
            field = f"cluster.{index}.nodes"
            sentence = f"Raise {field} ({group.name}) from {group.nodes} to {high}; best then: {label}."
            found.append(FleetRepair((Change(field, group.nodes, high),), sentence, label))
    return found


def _over_racks(problem: FleetProblem, fixed: Fixed, solved: Solved, deadline: float) -> list[FleetRepair]:
    """Racks left out, so that an instance may stand on nodes of several; not where racks have to be survived."""
    groups = problem.groups
    racks = sum(group.racks for group in groups) + len({group.rack for group in groups if group.rack is not None})
    if racks < 2 or any(losses.level == "rack" for losses in problem.survive) or time.monotonic() > deadline:
        return []
    together = tuple(group.model_copy(update={"rack": None, "racks": 0}) for group in groups)
    label = solved(problem.model_copy(update={"groups": together}))
    if label is None:
        return []
    changes = [
        Change(f"cluster.{index}.rack{'s' if group.racks else ''}", group.racks or group.rack, None)
        for index, group in enumerate(groups)
        if group.racks or group.rack is not None
    ]
    fields = ", ".join(change.field for change in changes)
    sentence = f"Leave out {fields}, if the nodes of one instance may stand in several racks; best then: {label}."
    return [FleetRepair(tuple(changes), sentence, label)]


def _grown(problem: FleetProblem, index: int, nodes: int) -> FleetProblem:
    def changed(position: int, group: NodeGroup) -> NodeGroup:
        return group if position != index else group.model_copy(update={"nodes": nodes})

    return problem.model_copy(
        update={"groups": tuple(changed(position, group) for position, group in enumerate(problem.groups))}
    )
