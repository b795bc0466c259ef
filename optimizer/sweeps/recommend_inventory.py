"""Which groups of an inventory to buy or rent, and how many nodes of each: the least that meets everything.

What is enough stays enough with more nodes: what is added may stand idle. So a set of nodes that is proved not to be enough rules
out every smaller one, and the least GPUs (or price) in use of any plan on the largest set bounds every set from below.
"""

from __future__ import annotations

import math
import time
from collections.abc import Mapping, Sequence
from itertools import product

from optimizer.facts.errors import ProblemError
from optimizer.facts.inventory import InventoryProblem
from optimizer.questions.cluster_pools import refuse_cluster
from optimizer.questions.inventory import refuse_unknown_rules
from optimizer.reading.stated import Stated
from optimizer.search.inventory.candidates import MICRO
from optimizer.sweeps.curve import worth
from optimizer.sweeps.inventory import inventory_problem
from optimizer.sweeps.node_sets import Nodes, NodeSets
from optimizer.sweeps.nodes import Counts, group_counts
from optimizer.sweeps.points import Point, Spec
from optimizer.sweeps.recommendation import Least, Recommendation

MOST_SETS = 100_000
MOST_TIES = 8
"""Sets of equal cost that are solved to find the best; more are left at that, and said."""
MOST_BELOW = 3
"""Sets that cost less and are shown with what they lack."""


def recommend_inventory(
    stated: Stated,
    nodes: Mapping[str, Counts] | None,
    least: Least,
    prices: Mapping[str, float],
    time_limit_s: float | None,
) -> Recommendation:
    """The nodes of each group with the least GPUs, or the least price per hour, with which every rule holds.

    Args:
        stated: the problem file.
        nodes: counts allowed, by group; a group that is not named stands as stated. Left out: from none to all of each group.
        least: what is made least: GPUs of the nodes there are, or their price per hour.
        prices: price per GPU and hour by GPU name, for groups that state none.
        time_limit_s: for finding the least; what is not settled then is said.

    Raises:
        ProblemError: a group or count cannot be used, or a price is missing.
    """
    problem = inventory_problem(stated, Spec(0, {}, None, ""), prices)
    if problem.serving == "joint":
        refuse_unknown_rules(problem)
    else:
        refuse_cluster(problem)
    if least == "price":
        unpriced = [group.name for group in problem.groups if group.price_per_gpu_hour is None]
        if unpriced:
            number = [group.name for group in problem.groups].index(unpriced[0])
            raise ProblemError(
                f"cluster.{number}.price_per_gpu_hour",
                f"is needed for the least price, and {unpriced[0]} states none; state it, or give --prices FILE",
            )
    allowed = _allowed(problem, nodes)
    deadline = None if time_limit_s is None else time.monotonic() + time_limit_s
    sets = _sets(problem, least, deadline)
    every = sorted((one for one in product(*allowed) if any(one)), key=lambda one: (sets.cost(one), one))
    if not every:
        raise ProblemError("--nodes", "leaves no node at all")
    largest = tuple(counts[-1] for counts in allowed)
    bound = sets.least_in_use(largest)
    if bound is None:
        below = [sets.solved(largest, 0, "conflict")]
        return Recommendation(least, None, None, (below[0][0],), len(every), len(every), below[0][1])
    chosen, settled = _least(sets, every, bound)
    if not chosen and settled:
        below = [sets.solved(largest, 0, "conflict")]
        return Recommendation(least, None, None, (below[0][0],), len(every), len(every), below[0][1])
    if not chosen:
        return Recommendation(least, None, None, (), len(every), 0, True, proved=False)
    return _told(sets, every, chosen, settled, bound, least)


def _sets(problem: InventoryProblem, least: Least, deadline: float | None) -> NodeSets:
    if problem.serving == "joint":
        return NodeSets(problem, least, deadline)
    from optimizer.sweeps.recommend_pools import PoolNodeSets

    return PoolNodeSets(problem, least, deadline)


def _allowed(problem: InventoryProblem, nodes: Mapping[str, Counts] | None) -> list[list[int]]:
    asked: Mapping[str, Counts] = nodes if nodes else {group.name: f"0..{group.nodes}" for group in problem.groups}
    named = group_counts(problem, asked, zero=True)
    allowed = [named.get(group.name, [group.nodes]) for group in problem.groups]
    many = math.prod(len(counts) for counts in allowed)
    if many > MOST_SETS:
        raise ProblemError("--nodes", f"{many:,} sets of nodes are allowed; at most {MOST_SETS:,}: name fewer counts")
    return allowed


def _least(sets: NodeSets, every: Sequence[Nodes], bound: int) -> tuple[list[Nodes], bool]:
    """(the sets of least cost that are enough, whether it is proved that nothing that costs less is)."""
    found: list[Nodes] = []
    settled = True
    for one in every:
        cost = sets.cost(one)
        if found and cost > sets.cost(found[0]):
            break
        if cost < bound:
            continue
        enough = sets.enough(one)
        if enough:
            found.append(one)
        elif enough is None and not found:
            settled = False
    return found, settled


def _told(
    sets: NodeSets, every: Sequence[Nodes], chosen: list[Nodes], settled: bool, bound: int, least: Least
) -> Recommendation:
    cost = sets.cost(chosen[0])
    cheaper = [one for one in every if sets.cost(one) < cost]
    chosen.sort(key=lambda one: (sum(count > 0 for count in one), one))
    solved = [sets.solved(one, 0, "nothing") for one in chosen[:MOST_TIES]]
    done = [(point, good) for point, good in solved if point.objective is not None]
    point, verified = min(done or solved, key=lambda pair: _worth(pair[0]))
    below: list[Point] = []
    agreed = True
    for one in _maximal(cheaper):
        lacking, good = sets.solved(one, len(below) + 1, "conflict")
        if lacking.status == "infeasible" or settled:
            below.append(lacking)
            agreed = agreed and good and lacking.status == "infeasible"
    proved = settled and point.status in ("optimal", "feasible") and verified and agreed
    return Recommendation(
        least,
        point,
        cost / MICRO if least == "price" else float(cost),
        tuple(below),
        len(every),
        len(cheaper),
        verified and agreed,
        proved=proved,
        by_bound=sum(sets.cost(one) < bound for one in cheaper),
        tried=sets.tried,
        ties=len(chosen),
    )


def _worth(point: Point) -> tuple[float, float]:
    return worth(point) if point.objective is not None else (math.inf, math.inf)


def _maximal(cheaper: Sequence[Nodes]) -> list[Nodes]:
    """The dearest of the cheaper sets, none within another."""
    kept: list[Nodes] = []
    for one in reversed(cheaper):
        if len(kept) == MOST_BELOW:
            break
        if not any(all(a <= b for a, b in zip(one, other, strict=True)) for other in kept):
            kept.append(one)
    return kept
