"""What may be changed in the file of an infeasible inventory: one relaxation per field, its settings from the stated value outward."""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from fractions import Fraction
from typing import Any

from optimizer.costs.power import MW_PER_W, group_mw
from optimizer.explain.common.numbers import count
from optimizer.explain.common.relaxations import Relaxation, batches, offered_formats, room_in_memory, switch_off
from optimizer.facts.inventory import InventoryProblem, NodeGroup, PowerLimit
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
class InventoryRelaxation:
    """A field that may move; settings 1…steps each allow what the one before allows, and more.

    Args:
        field: the name of the relaxation, that of its (first) field.
        steps: how many settings there are.
        at: the problem at a setting.
        changes: of the file at a setting.
        say: a setting as an instruction.
        rules: all that it relaxes, where it changes nothing else; empty: it may help against anything.
        doubling: later settings cost more to try: small ones come first.
    """

    field: str
    steps: int
    at: Callable[[int], InventoryProblem]
    changes: Callable[[int], tuple[Change, ...]]
    say: Callable[[int], str]
    rules: tuple[str, ...] = ()
    doubling: bool = False


def inventory_relaxations(problem: InventoryProblem, fixed: Fixed) -> list[InventoryRelaxation]:
    """Every relaxation that can move, in the order in which repairs are offered."""
    off = problem.search.disabled_rules
    relaxations = [*_losses(problem), *_share(problem), *_latencies(problem)]
    alone = problem.instance_problem(problem.groups[0], 1)
    asked = (*offered_formats(alone, fixed), *room_in_memory(alone), *batches(alone, fixed), *switch_off(alone))
    for relaxation in asked:
        if not relaxation.rules or set(relaxation.rules) - set(off):
            relaxations.append(_stated(problem, relaxation))
    return [
        _rate(problem),
        *relaxations,
        *_degrees(problem, fixed),
        *_power(problem),
        *_free(problem),
        *_nodes(problem),
        *_racks(problem),
    ]


def moved(problem: InventoryProblem, settings: Mapping[str, int], fixed: Fixed) -> InventoryProblem:
    """The problem with several relaxations moved; those that are no longer there once others have moved stay."""
    for field, setting in settings.items():
        relaxation = relaxation_of(problem, field, fixed)
        problem = problem if relaxation is None else relaxation.at(setting)
    return problem


def relaxation_of(problem: InventoryProblem, field: str, fixed: Fixed) -> InventoryRelaxation | None:
    """The relaxation of a field, if it can move."""
    return next((relaxation for relaxation in inventory_relaxations(problem, fixed) if relaxation.field == field), None)


def _field(field: str, old: Any, steps: int, value: Callable[[int], Any],
           at: Callable[[int], InventoryProblem], rules: tuple[str, ...] = (), note: str = "") -> InventoryRelaxation:  # fmt: skip
    """A relaxation of one field."""

    def say(k: int) -> str:
        new = value(k)
        verb = "set"
        if isinstance(old, int | float) and isinstance(new, int | float):
            verb = "raise" if new > old else "lower"
        return f"{verb} {field} from {_plain(old)} to {_plain(new)}{note}"

    return InventoryRelaxation(field, steps, at, lambda k: (Change(field, old, value(k)),), say, rules)


def _plain(value: Any) -> str:
    if isinstance(value, list | tuple):
        return "[" + ", ".join(map(str, value)) + "]"
    return f"{value:.10g}" if isinstance(value, float) else str(value)


def _rate(problem: InventoryProblem) -> InventoryRelaxation:
    demand = problem.workload.requests_per_s

    def value(k: int) -> float:
        return float(Fraction(repr(demand)) * (PERCENT - k) / PERCENT)

    def at(k: int) -> InventoryProblem:
        return problem.model_copy(update={"workload": problem.workload.model_copy(update={"requests_per_s": value(k)})})

    note = " (found in steps of 1 % of what is asked)"
    return _field("workload.requests_per_s", demand, PERCENT - 1, value, at, note=note)


def _losses(problem: InventoryProblem) -> list[InventoryRelaxation]:
    relaxations = []
    for losses in problem.survive:

        def at(k: int, level: str = losses.level) -> InventoryProblem:
            fewer = [
                one if one.level != level else one.model_copy(update={"count": one.count - k})
                for one in problem.survive
                if one.level != level or one.count > k
            ]
            return problem.model_copy(update={"survive": tuple(fewer)})

        def value(k: int, now: int = losses.count) -> int:
            return now - k

        field = f"requirements.survive.{losses.level}"
        relaxations.append(_field(field, losses.count, losses.count, value, at, (f"survive_{losses.level}",)))
    return relaxations


def _share(problem: InventoryProblem) -> list[InventoryRelaxation]:
    """A smaller share of the demand after losses, in steps of one hundredth."""
    start = Fraction(repr(problem.demand_share))
    first = math.ceil(start * PERCENT) - 1
    if not problem.survive or first < 1:
        return []

    def value(k: int) -> float:
        return float(Fraction(first + 1 - k, PERCENT))

    def at(k: int) -> InventoryProblem:
        return problem.model_copy(update={"demand_share": value(k)})

    field, rules = "requirements.survive.demand_share", tuple(f"survive_{losses.level}" for losses in problem.survive)
    return [_field(field, problem.demand_share, first, value, at, rules)]


def _latencies(problem: InventoryProblem) -> list[InventoryRelaxation]:
    """Later deadlines, in steps of 1 %, rounded up to three digits."""
    relaxations = []
    for limit in problem.requirements.latency_limits:
        if limit.metric == "goodput":
            relaxations += _goodput(problem)
            continue

        def value(k: int, start: float = limit.limit_ms) -> float:
            exact = start * LATER**k
            unit = Fraction(10) ** (math.floor(math.log10(exact)) - 2)
            return float(math.ceil(Fraction(exact) / unit) * unit)

        def at(k: int, name: str = limit.field, value: Callable[[int], float] = value) -> InventoryProblem:
            later = problem.requirements.model_copy(update={name: value(k)})
            return problem.model_copy(update={"requirements": later})

        rule, note = limit.rule, " (found in steps of 1 %)"
        rules = (rule, "tpot_full_batch") if rule == "tpot_p99" else (rule,)
        relaxations.append(_field(f"requirements.{limit.field}", limit.limit_ms, MOST_LATER, value, at, rules, note))
    return relaxations


def _goodput(problem: InventoryProblem) -> list[InventoryRelaxation]:
    """A smaller share of the requests within their limits, in steps of one hundredth."""
    goodput = problem.requirements.goodput
    if goodput is None:
        return []
    first = math.ceil(Fraction(repr(goodput.share)) * PERCENT) - 1

    def value(k: int) -> float:
        return (first + 1 - k) / PERCENT

    def at(k: int) -> InventoryProblem:
        fewer = goodput.model_copy(update={"share": value(k)})
        return problem.model_copy(update={"requirements": problem.requirements.model_copy(update={"goodput": fewer})})

    field = "requirements.goodput.share"
    return [_field(field, goodput.share, first, value, at, ("goodput",))] if first >= 1 else []


def _stated(problem: InventoryProblem, relaxation: Relaxation) -> InventoryRelaxation:
    """A relaxation of the requirements or the search as one of an inventory."""
    section, name = relaxation.field.split(".")
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
        return relaxation.at(k)[relaxation.field]

    def at(k: int) -> InventoryProblem:
        new = value(k)
        changed = holder.model_copy(update={name: tuple(new) if isinstance(new, list) else new})
        return problem.model_copy(update={section: changed})

    rules = relaxation.rules
    if name == "max_batch":
        # Slots of an instance are what it bounds: what asks for a free slot, or for what all of them complete, is relaxed too.
        rules = (*rules, "concurrency", "request_rate")
    return _field(relaxation.field, old, relaxation.steps, value, at, rules)


def _degrees(problem: InventoryProblem, fixed: Fixed) -> list[InventoryRelaxation]:
    """More degrees than the file offers, the usual ones one after the other; experts spread further; layers shared less evenly."""
    search, relaxations = problem.search, list[InventoryRelaxation]()
    left_out = problem.model_copy(
        update={"search": search.model_copy(update={"tensor_parallel": None, "pipeline_parallel": None})}
    )
    for name in ("tensor_parallel", "pipeline_parallel"):
        stated: tuple[int, ...] | None = getattr(search, name)
        if stated is None or getattr(fixed, name) is not None:
            continue
        more = sorted(set(usual_degrees(left_out, name)) - set(stated))
        if more:
            offered = [tuple(sorted({*stated, *more[:k]})) for k in range(1, len(more) + 1)]
            relaxations.append(of_search(problem, name, stated, offered))
    modes = ("off", "replica", "any")
    mode = modes.index(search.expert_parallel)
    if problem.model.experts and mode < 2 and fixed.expert_parallel is None:
        relaxations.append(of_search(problem, "expert_parallel", search.expert_parallel, modes[mode + 1 :]))
    if search.layer_imbalance < MOST_IMBALANCE and "layer_split" not in search.disabled_rules:
        further = range(search.layer_imbalance + 1, MOST_IMBALANCE + 1)
        relaxations.append(of_search(problem, "layer_imbalance", search.layer_imbalance, further, ("layer_split",)))
    return relaxations


def usual_degrees(problem: InventoryProblem, name: str) -> list[int]:
    """Degrees of ``tensor_parallel`` or ``pipeline_parallel`` that are searched: as stated, else the default ones of any group."""
    of = {"tensor_parallel": tensor_degrees, "pipeline_parallel": pipeline_degrees}[name]
    return sorted({degree for group in problem.groups for degree in of(problem.instance_problem(group, 1))})


def of_search(
    problem: InventoryProblem, name: str, old: Any, offered: Sequence[Any], rules: tuple[str, ...] = ()
) -> InventoryRelaxation:
    """A relaxation of one field of the search, its settings in order."""

    def at(k: int) -> InventoryProblem:
        return problem.model_copy(update={"search": problem.search.model_copy(update={name: offered[k - 1]})})

    def value(k: int) -> Any:
        new = offered[k - 1]
        return list(new) if isinstance(new, tuple) else new

    stated = list(old) if isinstance(old, tuple) else old
    return _field(f"search.{name}", stated, len(offered), value, at, rules)


def _free(problem: InventoryProblem) -> list[InventoryRelaxation]:
    """GPUs of a group's nodes that are busy or broken, free again."""
    relaxations = []
    for index, group in enumerate(problem.groups):
        busy = group.gpus_per_node - group.free_gpus
        if busy <= 0 or group.nodes > 1:
            continue  # of several nodes each would have to have as many more

        def at(k: int, index: int = index) -> InventoryProblem:
            groups = tuple(
                one.model_copy(update={"free_gpus": one.free_gpus + k}) if position == index else one
                for position, one in enumerate(problem.groups)
            )
            return problem.model_copy(update={"groups": groups})

        def value(k: int, now: int = group.free_gpus) -> int:
            return now + k

        relaxations.append(_field(f"cluster.{index}.free_gpus", group.free_gpus, busy, value, at))
    return relaxations


def _nodes(problem: InventoryProblem) -> list[InventoryRelaxation]:
    """More nodes of one group; whole racks of it, where it states how many."""
    relaxations = []
    for index, group in enumerate(problem.groups):
        each = group.nodes // group.racks if group.racks else 1

        def grown(k: int, index: int = index, each: int = each) -> InventoryProblem:
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
        relaxations.append(InventoryRelaxation(f"cluster.{index}.nodes", steps, grown, changes, say, doubling=True))
    return relaxations


def _power(problem: InventoryProblem) -> list[InventoryRelaxation]:
    """More watts: of limits in steps of 1 %, up to what everything draws, and of nodes by the GPUs that they let work."""
    found = []
    for limit in problem.power_limits:
        groups = [group for group in problem.groups if group.name in limit.groups]
        most = sum(always + more * group.gpus for group in groups for always, more in [group_mw(group)]) / MW_PER_W
        # More nodes of a group draw more: a limit may have to make room for them too.
        steps = max(0, math.ceil(MOST_TIMES * PERCENT * most / limit.watts) - PERCENT)

        def watts(k: int, limit: PowerLimit = limit) -> float:
            return float(math.ceil(Fraction(repr(limit.watts)) * (PERCENT + k) / PERCENT))

        def at(k: int, limit: PowerLimit = limit) -> InventoryProblem:
            raised = limit.model_copy(update={"watts": watts(k, limit)})
            limits = tuple(raised if one == limit else one for one in problem.power_limits)
            return problem.model_copy(update={"power_limits": limits})

        if steps and "." not in limit.name:
            note = " W (found in steps of 1 %)"
            found.append(_field(limit.field, limit.watts, steps, watts, at, (limit.rule,), note))
    for index, group in enumerate(problem.groups):
        if group.idle_gpus and group.node_power_limit_watts is not None:
            found.append(_node_power(problem, index))
    return found


def _node_power(problem: InventoryProblem, index: int) -> InventoryRelaxation:
    group = problem.groups[index]

    def watts(k: int) -> float:
        always, more = group_mw(group)
        return math.ceil((always / group.nodes + more * (group.free_gpus + k)) / MW_PER_W)

    def at(k: int) -> InventoryProblem:
        changed = {
            "free_gpus": group.free_gpus + k,
            "idle_gpus": group.idle_gpus - k,
            "node_power_limit_watts": watts(k),
        }
        groups = list(problem.groups)
        groups[index] = group.model_copy(update=changed)
        return problem.model_copy(update={"groups": tuple(groups)})

    note = f" W, so that more GPUs of a node of {group.name} may work"
    return _field(
        f"cluster.{index}.node_power_limit_watts", group.node_power_limit_watts, group.idle_gpus, watts, at, note=note
    )


def _racks(problem: InventoryProblem) -> list[InventoryRelaxation]:
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
    return [InventoryRelaxation("cluster.racks", 1, lambda k: changed, lambda k: changes, lambda k: said)]
