"""The CP-SAT model of several models on equal nodes: one candidate for each, and where its instances stand.

Other home: ``verify/several/packing.py``; docs/several.md, sections 3 and 4.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Sequence
from typing import Any

from optimizer.facts.errors import ProblemError
from optimizer.facts.several import SeveralProblem
from optimizer.search.common.solver import cp_model
from optimizer.search.several.candidates import SharedCandidate

LARGEST_SUM = 2**61
"""Weighted sums from here on are refused: the solver's numbers have 63 bits."""


class SeveralModel:
    """One model; ``tiers`` are minimised one after the other.

    Args:
        candidates: of each model; none of them may be empty.
    """

    def __init__(self, problem: SeveralProblem, candidates: Sequence[Sequence[SharedCandidate]]) -> None:
        self.problem, self.candidates = problem, candidates
        self.model: Any = cp_model.CpModel()
        self.chosen = [[self.model.new_bool_var("") for _ in of_model] for of_model in candidates]
        for literals in self.chosen:
            self.model.add_exactly_one(literals)
        self.gpus = [self._sum(number, [one.gpus for one in of]) for number, of in enumerate(candidates)]
        self._place()

    def _sum(self, number: int, values: Sequence[int]) -> Any:
        return sum(value * literal for value, literal in zip(values, self.chosen[number], strict=True))

    def _place(self) -> None:
        """Rule ``placement``: on every node the models together take at most the GPUs there are."""
        hardware, model = self.problem.hardware, self.model
        nodes, each_node = hardware.nodes, hardware.gpus_per_node
        taken: list[list[Any]] = []
        self.on: list[list[Any]] = []
        self.fuller: list[list[Any]] = []
        for number, of_model in enumerate(self.candidates):
            on = [model.new_bool_var("") for _ in range(nodes)]
            fuller = [model.new_bool_var("") for _ in range(nodes)]
            load = [model.new_int_var(0, each_node, "") for _ in range(nodes)]
            model.add(sum(on) == self._sum(number, [one.footprint.nodes for one in of_model]))
            model.add(sum(fuller) == self._sum(number, [one.footprint.more for one in of_model]))
            alike: dict[tuple[int, int], list[Any]] = defaultdict(list)
            for one, literal in zip(of_model, self.chosen[number], strict=True):
                alike[one.footprint.taken(each_node)].append(literal)
            for node in range(nodes):
                model.add_implication(fuller[node], on[node])
            for (every, more), literals in alike.items():
                for literal in [literals[0]] if len(literals) == 1 else [self._any(literals)]:
                    for node in range(nodes):
                        model.add(load[node] == every * on[node] + more * fuller[node]).only_enforce_if(literal)
            taken.append(load)
            self.on.append(on)
            self.fuller.append(fuller)
        for node in range(nodes):
            model.add(sum(load[node] for load in taken) <= each_node)
        # Nodes are alike: the first model's load falls from node to node.
        for node in range(nodes - 1):
            model.add(taken[0][node] >= taken[0][node + 1])

    def _any(self, literals: Sequence[Any]) -> Any:
        either = self.model.new_bool_var("")
        self.model.add(sum(literals) == either)
        return either

    def at_most_gpus(self, number: int, gpus: int) -> None:
        """A model takes at most so many GPUs."""
        self._keep(number, [one.gpus <= gpus for one in self.candidates[number]])

    def at_least_gpus(self, number: int, gpus: int) -> None:
        """A model takes at least so many GPUs."""
        self._keep(number, [one.gpus >= gpus for one in self.candidates[number]])

    def only(self, number: int, candidate: int) -> None:
        """One candidate of a model, and no other."""
        self._keep(number, [at == candidate for at in range(len(self.candidates[number]))])

    def _keep(self, number: int, kept: Sequence[bool]) -> None:
        for literal, stays in zip(self.chosen[number], kept, strict=True):
            if not stays:
                self.model.add(literal == 0)

    def tiers(self) -> list[Any]:
        """The preset's own tier where it has one, the objective, GPUs, nodes, and an order among what is left equal."""
        served = self.problem.models
        preset, found = self.problem.objective.preset, []
        if preset == "fewest-gpus":
            found.append(sum(self.gpus))
        elif preset == "throughput":
            found.append(self._weighted("first"))
        found.append(self._weighted("value"))
        if preset != "fewest-gpus":
            found.append(sum(self.gpus))
        numbers = range(len(served))
        found.append(sum(self._sum(n, [one.footprint.nodes for one in self.candidates[n]]) for n in numbers))
        found.append(sum(self._sum(n, range(len(self.candidates[n]))) for n in numbers))
        return found

    @property
    def value_tier(self) -> int:
        """Which of the tiers is the objective."""
        return 1 if self.problem.objective.preset in ("fewest-gpus", "throughput") else 0

    def _weighted(self, name: str) -> Any:
        """The weighted sum of the first tier (output tokens) or of the objective (ns), in thousandths.

        Raises:
            ProblemError: it does not fit into the solver's whole numbers.
        """
        columns = []
        for served, candidates in zip(self.problem.models, self.candidates, strict=True):
            unit = served.problem.workload.output_tokens if name == "first" else 1
            columns.append([served.weight_steps * unit * getattr(one, name) for one in candidates])
        if sum(max(abs(value) for value in column) for column in columns) >= LARGEST_SUM:
            raise ProblemError(
                "models", "the weights are too large for the solver's whole numbers; scale them all down"
            )
        return sum(self._sum(number, column) for number, column in enumerate(columns))
