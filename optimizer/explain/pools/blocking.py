"""What stands against strictly better pools on equal nodes: a minimal set of rules that nothing better keeps together.

"Strictly better" is posted as one more rule; then rules are left out one at a time, and stay out where still nothing better exists.
"""

from __future__ import annotations

from optimizer.explain.common.numbers import listing
from optimizer.explain.pools.conflict import LATER, said_rule
from optimizer.facts.problem import Problem
from optimizer.results.pools_why import PoolsAgainst
from optimizer.search.common.clock import Clock
from optimizer.search.pools.model import PoolColumns, PoolsModel
from optimizer.search.pools.solve import _run, active_rules

TIERS = {"fewest-gpus": ("gpus", "fewer GPUs"), "cheapest": ("gpus", "fewer GPUs")}
"""What a preset of whole GPUs puts before the objective."""


def blocking(
    problem: Problem, columns: PoolColumns, value_ns: int, gpus: int, clock: Clock
) -> tuple[PoolsAgainst, ...]:
    """For each tier, from the first: what keeps it from being better; of ``throughput`` and ``capacity`` the objective alone is left out.

    Args:
        value_ns: objective of the best.
        gpus: that it uses.
    """
    preset = problem.objective.preset
    if preset in ("throughput", "capacity"):
        return ()
    found = []
    if preset in TIERS:
        found.append(_tier(problem, columns, TIERS[preset][1], [("gpus", gpus - 1)], clock))
        found.append(
            _tier(problem, columns, "the objective with as many GPUs", [("gpus", gpus), ("value", value_ns - 1)], clock)
        )
    else:
        found.append(_tier(problem, columns, "the objective", [("value", value_ns - 1)], clock))
    return tuple(found)


def _tier(
    problem: Problem, columns: PoolColumns, tier: str, better: list[tuple[str, int]], clock: Clock
) -> PoolsAgainst:
    def exists(rules: list[str]) -> bool | None:
        model = PoolsModel(columns, rules)
        for name, most in better:
            model.model.add(getattr(model, name) <= most)
        outcome, _ = _run(model, clock)
        return None if outcome == "unknown" else outcome != "infeasible"

    kept = sorted(active_rules(problem), key=lambda rule: 1 + LATER.index(rule) if rule in LATER else 0)
    minimal = True
    if exists([]) is False:
        return PoolsAgainst(
            tier, (), f"Nothing is better in {tier}, whatever rule is given up: the costs themselves decide."
        )
    for rule in list(kept):
        fits = exists([one for one in kept if one != rule])
        if fits is False:
            kept.remove(rule)
        elif fits is None:
            minimal = False
    each = "without any one of them something better exists" if len(kept) > 1 else "without it something better exists"
    needed = f": {each}" if minimal else ", as far as the time allowed to see"
    words = listing([said_rule(problem, rule) for rule in kept])
    return PoolsAgainst(tier, tuple(kept), f"Strictly better in {tier} cannot hold together with {words}{needed}.")
