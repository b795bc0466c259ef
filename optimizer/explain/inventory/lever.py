"""What may be changed in the file of an infeasible inventory: one lever per field, its settings from the stated value outward."""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from fractions import Fraction
from typing import Any

from optimizer.explain.common.numbers import count
from optimizer.explain.uniform.levers import Lever, batches, offered_formats, room_in_memory, switch_off
from optimizer.facts.inventory import FleetProblem, NodeGroup
from optimizer.results.answer import Change, Fixed
from optimizer.search.uniform.space import pipeline_degrees, tensor_degrees

PERCENT = 100
MOST_TIMES = 8
"""A group is grown to at most so many times its nodes."""
MOST_IMBALANCE = 2
LATER = 1.01
MOST_LATER = 463
"""Deadlines grow by 1 % a step, up to a hundredfold."""


@dataclass(frozen=True, slots=True)
class FleetLever:
    """A field that may move; settings 1…steps each allow what the one before allows, and more.

    Args:
        field: the name of the lever, that of its (first) field.
        steps: how many settings there are.
        at: the problem at a setting.
        changes: of the file at a setting.
        say: a setting as an instruction.
        rules: all that it relaxes, where it changes nothing else; empty: it may help against anything.
        doubling: later settings cost more to try: small ones come first.
    """

    field: str
    steps: int
    at: Callable[[int], FleetProblem]
    changes: Callable[[int], tuple[Change, ...]]
    say: Callable[[int], str]
    rules: tuple[str, ...] = ()
    doubling: bool = False


def fleet_levers(problem: FleetProblem, fixed: Fixed) -> list[FleetLever]:
    """Every lever that can move, in the order in which repairs are offered."""
    off = problem.search.disabled_rules
    levers = [*_losses(problem), *_share(problem), *_latencies(problem)]
    alone = problem.instance_problem(problem.groups[0], 1)
    asked = (*offered_formats(alone, fixed), *room_in_memory(alone), *batches(alone, fixed), *switch_off(alone))
    for lever in asked:
        if not lever.rules or set(lever.rules) - set(off):
            levers.append(_stated(problem, lever))
    return [_rate(problem), *levers, *_degrees(problem, fixed), *_nodes(problem), *_racks(problem)]


def moved(problem: FleetProblem, settings: Mapping[str, int], fixed: Fixed) -> FleetProblem:
    """The problem with several levers moved; those that are no longer there once others have moved stay."""
    for field, setting in settings.items():
        lever = lever_of(problem, field, fixed)
        problem = problem if lever is None else lever.at(setting)
    return problem


def lever_of(problem: FleetProblem, field: str, fixed: Fixed) -> FleetLever | None:
    """The lever of a field, if it can move."""
    return next((lever for lever in fleet_levers(problem, fixed) if lever.field == field), None)


def _field(field: str, old: Any, steps: int, value: Callable[[int], Any],
           at: Callable[[int], FleetProblem], rules: tuple[str, ...] = (), note: str = "") -> FleetLever:  # fmt: skip
    """A lever of one field."""

    def say(k: int) -> str:
        new = value(k)
        verb = "set"
        if isinstance(old, int | float) and isinstance(new, int | float):
            verb = "raise" if new > old else "lower"
        return f"{verb} {field} from {_plain(old)} to {_plain(new)}{note}"

    return FleetLever(field, steps, at, lambda k: (Change(field, old, value(k)),), say, rules)


def _plain(value: Any) -> str:
    if isinstance(value, list | tuple):
        return "[" + ", ".join(map(str, value)) + "]"
    return f"{value:.10g}" if isinstance(value, float) else str(value)


def _rate(problem: FleetProblem) -> FleetLever:
    demand = problem.workload.requests_per_s

    def value(k: int) -> float:
        return float(Fraction(repr(demand)) * (PERCENT - k) / PERCENT)

    def at(k: int) -> FleetProblem:
        return problem.model_copy(update={"workload": problem.workload.model_copy(update={"requests_per_s": value(k)})})

    note = " (found in steps of 1 % of what is asked)"
    return _field("workload.requests_per_s", demand, PERCENT - 1, value, at, note=note)


def _losses(problem: FleetProblem) -> list[FleetLever]:
    levers = []
    for losses in problem.survive:

        def at(k: int, level: str = losses.level) -> FleetProblem:
            fewer = [
                one if one.level != level else one.model_copy(update={"count": one.count - k})
                for one in problem.survive
                if one.level != level or one.count > k
            ]
            return problem.model_copy(update={"survive": tuple(fewer)})

        def value(k: int, now: int = losses.count) -> int:
            return now - k

        field = f"requirements.survive.{losses.level}"
        levers.append(_field(field, losses.count, losses.count, value, at, (f"survive_{losses.level}",)))
    return levers


def _share(problem: FleetProblem) -> list[FleetLever]:
    """A smaller share of the demand after losses, in steps of one hundredth."""
    start = Fraction(repr(problem.demand_share))
    first = math.ceil(start * PERCENT) - 1
    if not problem.survive or first < 1:
        return []

    def value(k: int) -> float:
        return float(Fraction(first + 1 - k, PERCENT))

    def at(k: int) -> FleetProblem:
        return problem.model_copy(update={"demand_share": value(k)})

    field, rules = "requirements.survive.demand_share", tuple(f"survive_{losses.level}" for losses in problem.survive)
    return [_field(field, problem.demand_share, first, value, at, rules)]


def _latencies(problem: FleetProblem) -> list[FleetLever]:
    """Later deadlines, in steps of 1 %, rounded up to three digits."""
    levers = []
    for limit in problem.requirements.latency_limits:

        def value(k: int, start: float = limit.limit_ms) -> float:
            exact = start * LATER**k
            unit = Fraction(10) ** (math.floor(math.log10(exact)) - 2)
            return float(math.ceil(Fraction(exact) / unit) * unit)

        def at(k: int, name: str = limit.field, value: Callable[[int], float] = value) -> FleetProblem:
            later = problem.requirements.model_copy(update={name: value(k)})
            return problem.model_copy(update={"requirements": later})

        rule, note = limit.field.removesuffix("_ms"), " (found in steps of 1 %)"
        rules = (rule, "tpot_full_batch") if rule == "tpot_p99" else (rule,)
        levers.append(_field(f"requirements.{limit.field}", limit.limit_ms, MOST_LATER, value, at, rules, note))
    return levers


def _stated(problem: FleetProblem, lever: Lever) -> FleetLever:
    """A lever of the requirements or the search as one of an inventory."""
    section, name = lever.field.split(".")
    holder = getattr(problem, section)
    old = getattr(holder, name)
    if old is None:
        # Left out in the file: what then holds.
        alone = problem.instance_problem(problem.groups[0], 1)
        found: dict[str, Any] = {
            "weight_precision": [alone.model.native_weight_format],
            "kv_precision": [alone.model.native_kv_format],
            "max_sequence_tokens": alone.max_sequence_tokens,
        }
        old = found.get(name)

    def value(k: int) -> Any:
        return lever.at(k)[lever.field]

    def at(k: int) -> FleetProblem:
        new = value(k)
        changed = holder.model_copy(update={name: tuple(new) if isinstance(new, list) else new})
        return problem.model_copy(update={section: changed})

    return _field(lever.field, old, lever.steps, value, at, lever.rules)


def _degrees(problem: FleetProblem, fixed: Fixed) -> list[FleetLever]:
    """More degrees than the file offers, the usual ones one after the other; experts spread further; layers shared less evenly."""
    search, levers = problem.search, list[FleetLever]()
    wide = search.model_copy(update={"tensor_parallel": None, "pipeline_parallel": None})
    homogeneous = [problem.model_copy(update={"search": wide}).instance_problem(group, 1) for group in problem.groups]
    for name, usual in (("tensor_parallel", tensor_degrees), ("pipeline_parallel", pipeline_degrees)):
        stated: tuple[int, ...] | None = getattr(search, name)
        if stated is None or getattr(fixed, name) is not None:
            continue
        more = sorted({degree for one in homogeneous for degree in usual(one)} - set(stated))
        if more:
            offered = [tuple(sorted({*stated, *more[:k]})) for k in range(1, len(more) + 1)]
            levers.append(_of_search(problem, name, stated, offered))
    modes = ("off", "replica", "any")
    mode = modes.index(search.expert_parallel)
    if problem.model.experts and mode < 2 and fixed.expert_parallel is None:
        levers.append(_of_search(problem, "expert_parallel", search.expert_parallel, modes[mode + 1 :]))
    if search.layer_imbalance < MOST_IMBALANCE and "layer_split" not in search.disabled_rules:
        further = range(search.layer_imbalance + 1, MOST_IMBALANCE + 1)
        levers.append(_of_search(problem, "layer_imbalance", search.layer_imbalance, further, ("layer_split",)))
    return levers


def _of_search(
    problem: FleetProblem, name: str, old: Any, offered: Sequence[Any], rules: tuple[str, ...] = ()
) -> FleetLever:
    """A lever of one field of the search, its settings in order."""

    def at(k: int) -> FleetProblem:
        return problem.model_copy(update={"search": problem.search.model_copy(update={name: offered[k - 1]})})

    def value(k: int) -> Any:
        new = offered[k - 1]
        return list(new) if isinstance(new, tuple) else new

    stated = list(old) if isinstance(old, tuple) else old
    return _field(f"search.{name}", stated, len(offered), value, at, rules)


def _nodes(problem: FleetProblem) -> list[FleetLever]:
    """More nodes of one group; whole racks of it, where it states how many."""
    levers = []
    for index, group in enumerate(problem.groups):
        each = group.nodes // group.racks if group.racks else 1

        def grown(k: int, index: int = index, each: int = each) -> FleetProblem:
            def changed(position: int, one: NodeGroup) -> NodeGroup:
                if position != index:
                    return one
                racks = one.racks + k if one.racks else 0
                return one.model_copy(update={"nodes": one.nodes + k * each, "racks": racks})

            groups = tuple(changed(position, one) for position, one in enumerate(problem.groups))
            return problem.model_copy(update={"groups": groups})

        def changes(k: int, index: int = index, each: int = each, group: NodeGroup = group) -> tuple[Change, ...]:
            nodes = Change(f"cluster.{index}.nodes", group.nodes, group.nodes + k * each)
            racks = Change(f"cluster.{index}.racks", group.racks, group.racks + k)
            return (nodes, racks) if group.racks else (nodes,)

        def say(k: int, index: int = index, each: int = each, group: NodeGroup = group) -> str:
            gpus = count(k * each * group.free_gpus, "GPU")
            said = f"raise cluster.{index}.nodes ({group.name}) from {group.nodes} to {group.nodes + k * each}"
            racks = f" and cluster.{index}.racks from {group.racks} to {group.racks + k}" if group.racks else ""
            return f"{said}{racks} ({gpus} more)"

        steps = group.nodes * (MOST_TIMES - 1) // each
        levers.append(FleetLever(f"cluster.{index}.nodes", steps, grown, changes, say, doubling=True))
    return levers


def _racks(problem: FleetProblem) -> list[FleetLever]:
    """Racks left out, so that an instance may stand on nodes of several; not where racks have to be survived."""
    groups = problem.groups
    racks = sum(group.racks for group in groups) + len({group.rack for group in groups if group.rack is not None})
    if racks < 2 or any(losses.level == "rack" for losses in problem.survive):
        return []
    together = tuple(group.model_copy(update={"rack": None, "racks": 0}) for group in groups)
    changes = tuple(
        Change(f"cluster.{index}.rack{'s' if group.racks else ''}", group.racks or group.rack, None)
        for index, group in enumerate(groups)
        if group.racks or group.rack is not None
    )
    fields = ", ".join(change.field for change in changes)
    said = f"leave out {fields}, if the nodes of one instance may stand in several racks"
    changed = problem.model_copy(update={"groups": together})
    return [FleetLever("cluster.racks", 1, lambda k: changed, lambda k: changes, lambda k: said)]
