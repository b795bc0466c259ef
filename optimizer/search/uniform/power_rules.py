"""Rules on power: what all nodes draw together, and what the node that works hardest draws. ``docs/model.md``, section 7.

Other home: ``verify/common/rules.py``; docs/model.md, section 7.
"""

from __future__ import annotations

from collections.abc import Callable

import numpy as np

from optimizer.costs.power import MW_PER_W, hardware_mw, limit_mw, node_mw
from optimizer.costs.shapes import Ints
from optimizer.facts.hardware import HardwareFacts
from optimizer.facts.problem import Problem
from optimizer.results.answer import RuleResult
from optimizer.search.uniform.quantities import Quantities
from optimizer.search.uniform.rule import Choice, Poster, Rule


def power_rules(problem: Problem) -> tuple[Rule, ...]:
    """One rule for each limit that is stated."""
    hardware, found = problem.hardware, []
    if hardware.power_limit_watts is not None:
        found.append(
            _within("power_total", "All nodes together draw", hardware.power_limit_watts, hardware, hardware_mw)
        )
    if hardware.node_power_limit_watts is not None:
        limit = hardware.node_power_limit_watts
        found.append(_within("power_node", "The node with the most GPUs in use draws", limit, hardware, node_mw))
    return tuple(found)


def _within(
    rule: str, what: str, limit: float, stated: HardwareFacts, of: Callable[[HardwareFacts, Ints], Ints]
) -> Rule:
    sentence = f"{what} at most {limit:,.10g} W: {drawn(stated)}."
    most = limit_mw(limit)

    def post(model: Poster, quantities: Quantities) -> None:
        model.rows_at_most(rule, of(quantities.problem.hardware, quantities.space.gpus), most)

    def judge(quantities: Quantities, choice: Choice) -> RuleResult:
        used = np.array([quantities.space.gpus[choice.row]])
        actual = int(of(quantities.problem.hardware, used)[0])
        slack = (most - actual) / MW_PER_W
        return RuleResult(rule, sentence, limit, actual / MW_PER_W, "W", actual <= most, slack)

    return Rule(rule, sentence, post, judge)


def drawn(hardware: HardwareFacts) -> str:
    """What is counted, in words."""
    gpu = hardware.gpu
    said = f"{gpu.tdp_watts:g} W for each GPU in use (its board power), {gpu.idle_watts:g} W for each other one"
    return f"{said}, {hardware.host_watts:g} W for each host" if hardware.host_watts else f"{said}, hosts not counted"
