"""What is to be launched, from an answer about equal nodes or about an inventory: placement, problems, verdict, losses."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from fractions import Fraction

from optimizer.deployment.losses import may_lose
from optimizer.facts.inventory import InventoryProblem
from optimizer.facts.problem import Problem
from optimizer.results.answer import Answer, CheckAnswer, Metrics, ObjectiveResult, RuleResult
from optimizer.results.cluster_pools import ClusterPoolsAnswer, ClusterPoolsStrategy
from optimizer.results.inventory import InventoryAnswer, stage_problems
from optimizer.results.place_pools import ROLES, place_cluster_pools, place_pools
from optimizer.results.placement import GpuPlace, PlacedInstance, Placement, place_evenly
from optimizer.results.pools import PoolsAnswer


@dataclass(frozen=True, slots=True)
class Chosen:
    """``problems`` has the homogeneous problem of each pool's stages; ``may_lose`` instances may be away at once.

    ``verdict`` is a few words; ``broken`` holds a sentence for each rule that the strategy does not keep.
    """

    name: str
    label: str
    problems: tuple[tuple[Problem, ...], ...]
    placement: Placement
    may_lose: int
    verdict: str
    broken: tuple[str, ...]
    routers: int = 2
    """Nodes that get a router: one more than the nodes that may be lost, and two at least."""
    roles: tuple[str, ...] = ()
    """``prefill``, ``decode`` or, of joint instances beside these, "", by the number of the pool; empty where every instance does both."""
    may_lose_of: tuple[int, ...] = ()
    """Instances of each role that may be away, those of both at the same time."""
    link: str = ""
    """What cache crosses between them: NVLink, PCIe or network."""
    joint_share: Fraction = Fraction(0)
    """Of the requests, what joint instances are sent beside pools; 0 where there is one kind."""

    def title(self, engine_name: str) -> str:
        """One line for the head of every file."""
        return f"{self.name}: {self.label} with {engine_name}, {self.verdict}"


def chosen_of(problem: Problem, answer: Answer) -> Chosen:
    """The strategy of an answer on equal nodes.

    Raises:
        ValueError: the answer has no strategy, or one with more GPUs than there are.
    """
    if answer.strategy is None:
        raise ValueError("the answer has no strategy")
    problem = problem.decided(answer.decided)
    placement = place_evenly(problem, answer.strategy)
    broken = _broken(answer.rules)
    return Chosen(
        problem.name,
        answer.strategy.label,
        ((served_by(problem, answer.metrics),) * answer.strategy.pipeline_parallel,),
        placement,
        0 if broken else may_lose(problem, placement),
        verdict_of(answer.status, answer.objective, bool(broken), isinstance(answer, CheckAnswer)),
        broken,
        max(2, 1 + problem.requirements.survive.node),
    )


def chosen_of_pools(problem: Problem, answer: PoolsAnswer, may_lose_of: tuple[int, int] = (0, 0)) -> Chosen:
    """The pools of an answer about prefill and decode instances.

    Args:
        may_lose_of: instances of prefill and of decode that may be away at the same time.

    Raises:
        ValueError: the answer has no pools, or they find no room.
    """
    if answer.strategy is None:
        raise ValueError("the answer has no pools")
    served = _of_pool(problem)
    broken = _broken(answer.rules)
    return Chosen(
        problem.name,
        answer.label,
        ((served,), (served,)),
        place_pools(problem, answer.strategy),
        0 if broken else sum(may_lose_of),
        verdict_of(answer.status, answer.objective, bool(broken), answer.feasible is not None),
        broken,
        max(2, 1 + problem.requirements.survive.node),
        ROLES,
        (0, 0) if broken else may_lose_of,
        answer.link,
    )


def chosen_of_cluster_pools(problem: InventoryProblem, answer: ClusterPoolsAnswer) -> Chosen:
    """The pools of an answer about prefill and decode instances on an inventory, each part on its group.

    What may be away at once is not worked out for them: nothing may be evicted.

    Raises:
        ValueError: the answer has no pools, or they find no room.
    """
    if answer.strategy is None:
        raise ValueError("the answer has no pools")
    sides = answer.strategy.prefill, answer.strategy.decode
    groups = [problem.group(part.group) for parts in sides for part in parts]
    roles = tuple(role for role, parts in zip(ROLES, sides, strict=True) for _ in parts)
    broken = _broken(answer.rules)
    placement = on_hosts(problem, _by_part(place_cluster_pools(problem, answer.strategy), answer.strategy))
    return Chosen(
        problem.name,
        answer.label,
        tuple((_of_pool(problem.instance_problem(group, group.nodes)),) for group in groups),
        placement,
        0,
        verdict_of(answer.status, answer.objective, bool(broken), answer.feasible is not None),
        broken,
        routers_of(problem, placement),
        roles,
        (),
        answer.link,
    )


def _by_part(placement: Placement, strategy: ClusterPoolsStrategy) -> Placement:
    """The instances numbered by the part of a pool that they belong to, prefill's parts first."""
    parts = [part.group for parts in (strategy.prefill, strategy.decode) for part in parts]
    first = len(strategy.prefill)

    def number(one: PlacedInstance) -> int:
        group = one.gpus[0].node.rpartition("-")[0]
        return parts.index(group, first) if one.pool else parts.index(group)

    return Placement(tuple(replace(one, pool=number(one)) for one in placement.instances))


def _of_pool(problem: Problem) -> Problem:
    """The problem that an instance of a pool is started by: its longest sequence stated, and a server as any other."""
    length = {"max_sequence_tokens": problem.max_sequence_tokens}
    return problem.model_copy(
        update={"serving": "joint", "requirements": problem.requirements.model_copy(update=length)}
    )


def chosen_of_inventory(problem: InventoryProblem, answer: InventoryAnswer, checked: bool) -> Chosen:
    """The pools of an answer about an inventory.

    Raises:
        ValueError: the answer has no placement.
    """
    if answer.placement is None:
        raise ValueError("the answer has no placement")
    problems = tuple(
        tuple(served_by(one, pool.metrics) for one in stage_problems(problem, pool)) for pool in answer.pools
    )
    broken = _broken(answer.rules)
    verdict = verdict_of(answer.status, answer.objective, bool(broken), checked)
    lost = 0 if broken else inventory_may_lose(problem, answer)
    return Chosen(
        problem.name,
        answer.label,
        problems,
        on_hosts(problem, answer.placement),
        lost,
        verdict,
        broken,
        routers_of(problem, answer.placement),
    )


def routers_of(problem: InventoryProblem, placement: Placement) -> int:
    """Nodes that get a router: so many that no stated losses of nodes, racks or wider domains take all of them, two at least."""
    away = [level.count * _widest(problem, placement, level.level) for level in problem.survive if level.level != "gpu"]
    return max(2, 1 + max(away, default=0))


def _widest(problem: InventoryProblem, placement: Placement, level: str) -> int:
    """Most nodes in use that one domain of a level holds."""
    if level == "node":
        return 1
    groups = {group.name: group for group in problem.groups}
    held: dict[str, int] = {}
    for node in placement.nodes:
        name, _, number = node.rpartition("-")
        group = groups.get(name)
        if group is None or not number.isdigit():
            return len(placement.nodes)
        if level == "rack":
            domains = [group.rack_of(int(number)) or node]
        else:
            domains = [domain for domain, names in problem.wide_domains(level).items() if name in names]
        for domain in domains:
            held[domain] = held.get(domain, 0) + 1
    return max(held.values(), default=1)


def on_hosts(problem: InventoryProblem, placement: Placement) -> Placement:
    """The placement with the cards of groups that are one machine under the machine's name, numbered through.

    The cards of a host count in the order in which ``domains`` names its groups.
    """
    hosts = {problem.group(name).node_name(0): place for name, place in problem.in_hosts().items()}

    def there(place: GpuPlace) -> GpuPlace:
        host, before = hosts.get(place.node, (place.node, 0))
        return GpuPlace(host, before + place.index)

    return Placement(tuple(replace(one, gpus=tuple(there(place) for place in one.gpus)) for one in placement.instances))


def served_by(problem: Problem, metrics: Metrics | None) -> Problem:
    """The problem with the longest sequence that the answer serves, which engines are started with."""
    if metrics is None:
        return problem
    length = {"max_sequence_tokens": metrics.max_sequence_tokens}
    return problem.model_copy(update={"requirements": problem.requirements.model_copy(update=length)})


def inventory_may_lose(problem: InventoryProblem, answer: InventoryAnswer) -> int:
    """Instances that may be away whichever they are: those of the stated losses, as long as the strongest so many can be missed.

    A PodDisruptionBudget counts pods and cannot tell a strong instance from a weak one.
    """
    asked = {level.level for level in problem.survive}
    most = max((loss.instances_lost for loss in answer.losses if loss.level in asked), default=0)
    capacities = sorted((pool.capacity for pool in answer.pools for _ in range(pool.instances)), reverse=True)
    needed = problem.demand_share * problem.workload.requests_per_s
    while most and sum(capacities[most:]) < needed:
        most -= 1
    return most


def _broken(rules: Sequence[RuleResult]) -> tuple[str, ...]:
    return tuple(f"Not kept: {rule.sentence}" for rule in rules if rule.enabled and not rule.holds)


def verdict_of(status: str, objective: ObjectiveResult | None, broken: bool, checked: bool) -> str:
    if broken or status == "infeasible":
        return "NOT FEASIBLE, written on request"
    if status == "optimal":
        return "proved best"
    gap = f", at most {objective.gap:.2%} above the best" if objective is not None else ""
    return f"{'keeps every rule' if checked else 'the best found in time'}{gap}"
