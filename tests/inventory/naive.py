"""The naive counterpart: every GPU by its own name in a CP-SAT model, for inventories of a handful of GPUs.

What the product counts, this model labels: which instance has which GPU, which nodes and racks each instance touches, and one
constraint for every single loss. The value of every multiset of instances comes from a table of the verifier's own values.
"""

from __future__ import annotations

import math
from collections.abc import Iterator, Sequence
from itertools import product
from typing import Any

from ortools.sat.python import cp_model

from optimizer.facts.inventory import InventoryProblem
from optimizer.verify.common.arithmetic import sixty_digits
from optimizer.verify.inventory.candidates import MILLION, CheckedInstance, candidates_of
from optimizer.verify.inventory.float_times import TimeCurves
from optimizer.verify.inventory.instance import Instances
from optimizer.verify.inventory.site import CheckedSite
from optimizer.verify.inventory.spread import Unfinished
from optimizer.verify.inventory.valuer import Valuer

MOST_ROWS = 2_000


@sixty_digits()
def naive_optimum(problem: InventoryProblem) -> float | None:
    """The least objective, ms; None when nothing is feasible.

    Raises:
        ValueError: the inventory is too large for this, or asks what this model does not know.
    """
    if any(losses.count != 1 for losses in problem.survive) or problem.within_s is not None:
        raise ValueError("single losses without restarts only")
    site = CheckedSite(problem)
    candidates = [candidate for group in candidates_of(site, Instances(problem)) for candidate in group]
    table = list(_values(problem, candidates))
    if not table:
        return None
    model = cp_model.CpModel()
    labelled = _Labelled(model, problem, site, candidates)
    value = model.new_int_var(0, max(ms for _, ms in table), "microseconds")
    model.add_allowed_assignments([*labelled.counts, value], [(*counts, ms) for counts, ms in table])
    labelled.survive()
    labelled.power()
    model.minimize(value)
    solver = cp_model.CpSolver()
    solver.parameters.presolve_inclusion_work_limit = 0  # see tests/search/test_solver_traps.py
    solver.parameters.num_workers = 1
    solver.parameters.max_time_in_seconds = 120
    status = solver.solve(model)
    if status == cp_model.INFEASIBLE:
        return None
    if status != cp_model.OPTIMAL:
        raise ValueError("not solved in time")
    return solver.objective_value / 1000


def _values(problem: InventoryProblem, candidates: Sequence[CheckedInstance]) -> Iterator[tuple[tuple[int, ...], int]]:
    """(instances of each candidate, value in µs) of every multiset that can carry the demand, losses not asked about."""
    quiet = problem.model_copy(update={"survive": ()})
    room = [group.gpus for group in problem.groups]
    ranges = [range(room[candidate.group] // candidate.gpus + 1) for candidate in candidates]
    kept = []
    for counts in product(*ranges):
        used = [
            sum(candidate.gpus * n for candidate, n in zip(candidates, counts, strict=True) if candidate.group == g)
            for g in range(len(room))
        ]
        if any(counts) and all(u <= r for u, r in zip(used, room, strict=True)):
            kept.append(counts)
        if len(kept) > MOST_ROWS:
            raise ValueError("too many multisets")
    groups = {candidate.group: (candidate.group,) for candidate in candidates}
    valuer = Valuer(CheckedSite(quiet), TimeCurves(), groups, math.inf)
    for counts in kept:
        chosen = [(candidate, n) for candidate, n in zip(candidates, counts, strict=True) if n]
        try:
            found = valuer.value(chosen, math.inf)
        except Unfinished:
            raise ValueError("a multiset could not be valued") from None
        if found is not None:
            yield counts, round(found * 1000)


class _Labelled:
    """Variables of the labelled formulation: instance slots, each with its candidate and its GPUs."""

    def __init__(
        self,
        model: cp_model.CpModel,
        problem: InventoryProblem,
        site: CheckedSite,
        candidates: Sequence[CheckedInstance],
    ) -> None:
        self._model, self._problem, self._site, self._candidates = model, problem, site, candidates
        self._nodes = [
            (g, name) for g, group in enumerate(problem.groups) for name in map(group.node_name, range(group.nodes))
        ]
        slots = range(problem.gpus // min(candidate.gpus for candidate in candidates))
        self._is = {(i, o): model.new_bool_var("") for i in slots for o in range(len(candidates))}
        self._on = {
            (i, o, node): model.new_bool_var("")
            for i, o in self._is
            for node in self._nodes
            if node[0] == candidates[o].group
        }
        self._slots = slots
        for i in slots:
            model.add_at_most_one(self._is[i, o] for o in range(len(candidates)))
            self._places(i)
        self._owned: dict[tuple[int, str], list[Any]] = {}
        self._gpus_once()
        self.counts = []
        for o, candidate in enumerate(candidates):
            count = model.new_int_var(0, problem.gpus // candidate.gpus, "")
            model.add(count == sum(self._is[i, o] for i in slots))
            self.counts.append(count)

    def _places(self, i: int) -> None:
        """As many nodes as the shape needs, all in one rack and NVLink domain."""
        for o, candidate in enumerate(self._candidates):
            here = [node for node in self._nodes if node[0] == candidate.group]
            self._model.add(sum(self._on[i, o, node] for node in here) == candidate.nodes * self._is[i, o])
            for a, b in product(here, here):
                if a < b and self._together(a) != self._together(b):
                    self._model.add_at_most_one([self._on[i, o, a], self._on[i, o, b]])

    def _together(self, node: tuple[int, str]) -> object:
        found = self._site.node(node[1])
        assert found is not None
        return found.together

    def _gpus_once(self) -> None:
        """Every GPU of every node belongs to one instance at most."""
        for node in self._nodes:
            group = self._problem.groups[node[0]]
            gpus = range(group.free_gpus)
            owns = {(i, g): self._model.new_bool_var("") for i in self._slots for g in gpus}
            self._owned[node] = list(owns.values())
            for g in gpus:
                self._model.add_at_most_one(owns[i, g] for i in self._slots)
            for i in self._slots:
                each = sum(
                    candidate.gpus // candidate.nodes * self._on[i, o, node]
                    for o, candidate in enumerate(self._candidates)
                    if candidate.group == node[0]
                )
                self._model.add(sum(owns[i, g] for g in gpus) == each)

    def survive(self) -> None:
        """One constraint for every domain that may be lost."""
        needed = self._problem.workload.requests_per_s * self._problem.demand_share * MILLION
        everything = sum(
            candidate.capacity * self._is[i, o] for i in self._slots for o, candidate in enumerate(self._candidates)
        )
        for losses in self._problem.survive:
            if f"survive_{losses.level}" in self._problem.search.disabled_rules:
                continue
            if losses.level == "gpu":  # any GPU of an instance takes that instance
                for i in self._slots:
                    lost = sum(candidate.capacity * self._is[i, o] for o, candidate in enumerate(self._candidates))
                    self._model.add(everything - lost >= round(needed + 0.499))
                continue
            for nodes in self._domains(losses.level):
                lost = []
                for i, o in self._is:
                    touching = [self._on[i, o, node] for node in nodes if (i, o, node) in self._on]
                    if touching:
                        hit = self._model.new_bool_var("")
                        self._model.add_max_equality(hit, touching)
                        lost.append(self._candidates[o].capacity * hit)
                self._model.add(everything - sum(lost) >= round(needed + 0.499))

    def power(self) -> None:
        """Watts of every node of a limit: each GPU of it by itself, at its board power where some instance has it."""
        for limit in self._problem.power_limits:
            if limit.rule in self._problem.search.disabled_rules:
                continue
            watts: list[Any] = []
            for g, group in enumerate(self._problem.groups):
                if group.name not in limit.groups:
                    continue
                load, idle = round((group.gpu.tdp_watts or 0) * 1000), round((group.gpu.idle_watts or 0) * 1000)
                held = group.gpus_per_node - group.free_gpus
                for node in self._nodes:
                    if node[0] == g:
                        watts += [held * load, group.free_gpus * idle, round(group.host_watts * 1000)]
                        watts += [(load - idle) * own for own in self._owned[node]]
            self._model.add(sum(watts) <= round(limit.watts * 1000))

    def _domains(self, level: str) -> list[list[tuple[int, str]]]:
        """The nodes of each domain of a level."""
        found: dict[str, list[tuple[int, str]]] = {}
        for node in self._nodes:
            there = self._site.node(node[1])
            assert there is not None
            names = {"node": [there.name], "rack": [there.rack] if there.rack else []}.get(
                level, [name for kind, name in self._site.wide(there.group) if kind == level]
            )
            for name in names:
                found.setdefault(name, []).append(node)
        return list(found.values())
