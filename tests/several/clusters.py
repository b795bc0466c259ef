"""Generated small inventories with two models, and the brute force: every multiset of instances, every way to stand on the nodes."""

from __future__ import annotations

import itertools
import math
import random
from collections.abc import Iterator, Sequence
from fractions import Fraction
from typing import Any

import numpy as np

from optimizer.facts.cluster_models import ClusterModelsProblem
from optimizer.facts.inventory import InventoryProblem
from optimizer.reading.cluster_models import cluster_models_from_dict
from optimizer.results.placement import GpuPlace, PlacedInstance
from optimizer.verify.common.arithmetic import exact, sixty_digits
from optimizer.verify.common.groups import Row
from optimizer.verify.inventory.candidates import MILLION, CheckedInstance, candidates_of
from optimizer.verify.inventory.claims import needed_after_losses
from optimizer.verify.inventory.float_times import TimeCurves
from optimizer.verify.inventory.instance import Instances
from optimizer.verify.inventory.losses import worst_loss
from optimizer.verify.inventory.shares import largest_share, least_split, share_costs
from optimizer.verify.inventory.site import CheckedSite
from optimizer.verify.inventory.states import members_of, rates_of, states_of
from optimizer.verify.inventory.value import InstanceFamily, LoadWeights, totals

Chosen = tuple[tuple[CheckedInstance, int], ...]
GPUS = ("h100-sxm-80gb", "l40s-48gb", "a100-sxm-80gb")


def random_models(seed: int) -> dict[str, Any]:
    """A problem file's contents with at most 6 GPUs, two or three models."""
    rng = random.Random(seed)
    cluster: list[dict[str, Any]] = []
    for name in ("a", "b")[: rng.choice([1, 2, 2])]:
        nodes = rng.choice([1, 2])
        group = {
            "name": name,
            "gpu": rng.choice(GPUS),
            "nodes": nodes,
            "gpus_per_node": rng.choice([1, 2]) if nodes > 1 else rng.choice([2, 3]),
        }
        if rng.random() < 0.4:
            group["zone"] = rng.choice(["x", "y"])
        if rng.random() < 0.3:
            group["rack"] = rng.choice(["r1", "r2"])
        cluster.append(group)
    levels = ["gpu", "node"]
    levels += ["zone"] if any("zone" in one for one in cluster) else []
    levels += ["rack"] if any("rack" in one for one in cluster) else []
    models = []
    for number in range(2):
        requirements: dict[str, Any] = {"max_batch": rng.choice([8, 32]), "max_sequence_tokens": 2048}
        if rng.random() < 0.5:
            requirements["tpot_p99_ms"] = rng.choice([20, 40, 80])
        if rng.random() < 0.4:
            requirements["survive"] = {rng.choice(levels): 1, "demand_share": rng.choice([0.3, 0.6])}
        models.append(
            {
                "name": f"m{number}",
                "model": rng.choice(["llama3.1-8b", "qwen3-8b"]),
                "workload": {
                    "prompt_tokens": 500,
                    "output_tokens": rng.choice([50, 200]),
                    "requests_per_s": rng.choice([0.5, 2, 5]),
                },
                "requirements": requirements,
                "search": {"pipeline_parallel": [1]},
                "weight": rng.choice([1, 1, 0.5, 3]),
            }
        )
    failures = {"gpu_mtbf_hours": 3000, "node_mtbf_hours": 4000, "repair_hours": 20} if rng.random() < 0.3 else {}
    objective: Any = rng.choice(["balanced", "balanced", "fault-tolerance", "latency", {"gpu_ms": 20.0}])
    return {
        "name": f"models-{seed}",
        "cluster": cluster,
        "models": models,
        "objective": objective,
        **({"failures": failures} if failures else {}),
    }


def problem_of(values: dict[str, Any]) -> ClusterModelsProblem:
    """The same, resolved."""
    return cluster_models_from_dict(values)


@sixty_digits()
def best_by_hand(problem: ClusterModelsProblem) -> float | None:
    """The least weighted sum of whole milliseconds over every choice and every way to stand; None: there is none."""
    models = [_OneModel(served.problem) for served in problem.models]
    weights = [served.weight for served in problem.models]
    best: float | None = None
    for chosen in itertools.product(*(one.choices for one in models)):
        if not _enough(problem, chosen):
            continue
        for stands in _ways(problem, chosen):
            values = [one.value(mine, there) for one, mine, there in zip(models, chosen, stands, strict=True)]
            if None in values:
                continue
            total = sum(w * math.ceil((v or 0.0) - 1e-9) for w, v in zip(weights, values, strict=True))
            best = total if best is None else min(best, total)
    return best


def _enough(problem: ClusterModelsProblem, chosen: Sequence[Chosen]) -> bool:
    used = [0] * len(problem.groups)
    for mine in chosen:
        for candidate, n in mine:
            used[candidate.group] += candidate.gpus * n
    return all(taken <= group.gpus for taken, group in zip(used, problem.groups, strict=True))


Stand = tuple[tuple[CheckedInstance, tuple[str, ...]], ...]


def _ways(problem: ClusterModelsProblem, chosen: Sequence[Chosen]) -> Iterator[list[Stand]]:
    """Every way to stand all instances, those that differ by equal instances alone once."""
    todo = [(number, candidate) for number, mine in enumerate(chosen) for candidate, n in mine for _ in range(n)]
    free = {group.node_name(node): group.free_gpus for group in problem.groups for node in range(group.nodes)}
    nodes_of = [[group.node_name(node) for node in range(group.nodes)] for group in problem.groups]
    seen = set()

    def extend(at: int, stood: list[tuple[int, CheckedInstance, tuple[str, ...]]]) -> Iterator[list[Stand]]:
        if at == len(todo):
            found = [tuple((c, where) for n, c, where in stood if n == number) for number in range(len(chosen))]
            key = tuple(tuple(sorted((id(c), where) for c, where in mine)) for mine in found)
            if key not in seen:
                seen.add(key)
                yield found
            return
        number, candidate = todo[at]
        each = candidate.gpus // candidate.nodes
        names = nodes_of[candidate.group]
        for first in range(len(names) - candidate.nodes + 1):
            where = tuple(names[first : first + candidate.nodes])
            if all(free[name] >= each for name in where):
                for name in where:
                    free[name] -= each
                yield from extend(at + 1, [*stood, (number, candidate, where)])
                for name in where:
                    free[name] += each

    yield from extend(0, [])


class _OneModel:
    """All multisets of instances that carry the demand, and their values."""

    def __init__(self, problem: InventoryProblem) -> None:
        self.problem, self.site, self.curves = problem, CheckedSite(problem), TimeCurves()
        self.demand = exact(problem.workload.requests_per_s)
        self.levels = rates_of(problem.failures, problem.levels())
        instances = Instances(problem)
        candidates = [one for group in candidates_of(self.site, instances) for one in group]
        ranges = [range(problem.groups[one.group].gpus // one.gpus + 1) for one in candidates]
        self.choices: list[Chosen] = []
        for counts in itertools.product(*ranges):
            chosen = tuple((one, n) for one, n in zip(candidates, counts, strict=True) if n)
            carried = sum(one.capacity * n for one, n in chosen)
            if chosen and carried >= float(self.demand) * MILLION - 1e-6 and _enough_of(problem, chosen):
                self.choices.append(chosen)
        self._known: dict[Any, float | None] = {}
        self._splits: dict[Any, Any] = {}

    def value(self, chosen: Chosen, stands: Stand) -> float | None:
        """ms; None where a rule is broken."""
        key = tuple(sorted((id(one), where) for one, where in stands))
        if key not in self._known:
            self._known[key] = self._value(chosen, stands)
        return self._known[key]

    def _value(self, chosen: Chosen, stands: Stand) -> float | None:
        problem = self.problem
        taken: dict[str, int] = {}
        placed, candidates = [], []
        for number, (one, where) in enumerate(stands):
            gpus = []
            for name in where:
                start = taken.get(name, 0)
                each = one.gpus // one.nodes
                taken[name] = start + each
                gpus += [GpuPlace(name, index) for index in range(start, start + each)]
            shape = one.instance.shape
            strategy = Row(shape, shape.group.ranks).strategy(one.slots)
            placed.append(PlacedInstance(f"i{number}", 0, strategy, shape.group.ranks, 0.0, tuple(gpus)))
            candidates.append(one)
        capacities = [Fraction(one.capacity, MILLION) for one in candidates]
        for loss in problem.survive:
            worst = worst_loss(self.site, loss, placed, capacities, [False] * len(placed))
            if worst.capacity_left < needed_after_losses(problem):
                return None
        split = self._split(chosen)
        if split is None:
            return None
        kinds, families = split
        members = members_of(self.site, placed, [kinds.index(one.kind) for one in candidates], self.levels)
        weights = LoadWeights.of(problem.objective)
        found = totals(
            families, float(self.demand), weights, states_of(problem, members, [f.instances for f in families])
        )
        return found.served_ms + found.unserved_ms + weights.gpu_ms * sum(one.gpus * n for one, n in chosen)

    def _split(self, chosen: Chosen) -> Any:
        key = tuple((id(one), n) for one, n in chosen)
        if key not in self._splits:
            kinds = list(dict.fromkeys(one.kind for one, _ in chosen))
            first = {one.kind: one for one, _ in reversed(chosen)}
            sizes = [sum(n for one, n in chosen if one.kind == kind) for kind in kinds]
            most = [
                largest_share(self.demand, size, Fraction(first[k].capacity, MILLION))
                for k, size in zip(kinds, sizes, strict=True)
            ]
            found = None
            if sum(most) >= 1000 and min(most) >= 1:
                costs = [
                    share_costs(self.curves.of(first[k].instance), self.demand, size, upto)
                    for k, size, upto in zip(kinds, sizes, most, strict=True)
                ]
                split = least_split(costs)
                if split is not None:
                    families = [
                        InstanceFamily(
                            self.curves.of(first[k].instance),
                            size,
                            share * float(self.demand) / (1000 * size),
                            first[k].slots_capacity / MILLION,
                        )
                        for k, size, share in zip(kinds, sizes, split[1], strict=True)
                    ]
                    found = kinds, families
            self._splits[key] = found
        return self._splits[key]


def _enough_of(problem: InventoryProblem, chosen: Chosen) -> bool:
    used = np.zeros(len(problem.groups), dtype=np.int64)
    for one, n in chosen:
        used[one.group] += one.gpus * n
    return bool((used <= [group.gpus for group in problem.groups]).all())
