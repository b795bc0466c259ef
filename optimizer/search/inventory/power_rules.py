"""Rules on the power of an inventory: of its nodes, racks, zones, stated domains, and of everything. ``docs/inventories.md``, section 4.

Other home: ``verify/inventory/power.py``; docs/inventories.md, section 4.
"""

from __future__ import annotations

from collections.abc import Sequence

from optimizer.costs.power import MW_PER_W, group_mw, limit_mw
from optimizer.facts.inventory import TOTAL, InventoryProblem, PowerLimit
from optimizer.results.answer import RuleResult

NODE_RULE = "power_node"


def power_sentences(problem: InventoryProblem) -> dict[str, str]:
    """Every rule that may be dropped, by its id, with what it asks for."""
    found: dict[str, list[PowerLimit]] = {}
    for limit in problem.power_limits:
        found.setdefault(limit.rule, []).append(limit)
    return {
        rule: f"{' and '.join(f'{_name(one)} may draw at most {one.watts:,.10g} W' for one in limits)}, {COUNTED}"
        for rule, limits in found.items()
    }


COUNTED = "GPUs in use at their board power, the others idle"


def power_results(problem: InventoryProblem, used: Sequence[int]) -> list[RuleResult]:
    """Every rule judged: of several limits of one level the one with the least room is told.

    Args:
        used: GPUs in use of each group.
    """
    drawn = [_drawn(problem, index, gpus) for index, gpus in enumerate(used)]
    number = {group.name: index for index, group in enumerate(problem.groups)}
    found: list[RuleResult] = []
    tightest: dict[str, tuple[int, PowerLimit, int]] = {}
    for limit in problem.power_limits:
        actual = sum(drawn[number[name]] for name in limit.groups if name in number)
        slack = limit_mw(limit.watts) - actual
        if limit.rule not in tightest or slack < tightest[limit.rule][0]:
            tightest[limit.rule] = slack, limit, actual
    nodes = _nodes(problem, used)
    if nodes:
        slack, limit_watts, actual, name = min(nodes)
        sentence = f"The node of {name} with the most GPUs in use draws at most {limit_watts:,.10g} W: {COUNTED}."
        found.append(_result(NODE_RULE, sentence, limit_watts, actual, slack, enabled=True))
    for rule, (slack, limit, actual) in tightest.items():
        sentence = f"{_name(limit)} draws at most {limit.watts:,.10g} W: {COUNTED}."
        off = rule in problem.search.disabled_rules
        found.append(_result(rule, sentence[0].upper() + sentence[1:], limit.watts, actual, slack, enabled=not off))
    return found


def _drawn(problem: InventoryProblem, index: int, gpus: int) -> int:
    always, more = group_mw(problem.groups[index])
    return always + more * gpus


def _nodes(problem: InventoryProblem, used: Sequence[int]) -> list[tuple[int, float, int, str]]:
    """(slack, limit, what it draws, name of the group) of nodes with a limit of their own, as many GPUs in use as can be."""
    found = []
    for group, gpus in zip(problem.groups, used, strict=True):
        if group.node_power_limit_watts is not None:
            always, more = group_mw(group)
            actual = always // group.nodes + more * min(gpus, group.free_gpus)
            limit = group.node_power_limit_watts
            found.append((limit_mw(limit) - actual, limit, actual, group.name))
    return found


def _result(rule: str, sentence: str, limit: float, actual: int, slack: int, *, enabled: bool) -> RuleResult:
    return RuleResult(rule, sentence, limit, actual / MW_PER_W, "W", slack >= 0, slack / MW_PER_W, enabled)


def _name(limit: PowerLimit) -> str:
    return "everything" if limit.level == TOTAL else f"{limit.level} {limit.name}"
