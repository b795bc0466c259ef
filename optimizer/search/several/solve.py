"""The best choice for every model together, proved; or that there is none.

Other home: ``verify/several/compare.py``; docs/several.md, section 4.
"""

from __future__ import annotations

from collections.abc import Callable, Collection, Mapping
from dataclasses import dataclass
from typing import Any

from optimizer.facts.several import SeveralProblem
from optimizer.results.answer import Status
from optimizer.search.common.clock import Clock
from optimizer.search.common.solver import new_solver, outcome_of, solve_stoppable
from optimizer.search.several.candidates import ModelCandidates, SharedCandidate
from optimizer.search.several.model import SeveralModel

Adjust = Callable[[SeveralModel], None]


@dataclass(frozen=True, slots=True)
class Split:
    """A candidate for each model, and the instances of each on every node."""

    candidates: tuple[SharedCandidate, ...]
    on: tuple[tuple[bool, ...], ...]
    """(models, nodes): whether a model stands there."""
    instances: tuple[tuple[int, ...], ...]
    """(models, nodes): instances there; 0 of those that take nodes whole."""

    def value_steps(self, problem: SeveralProblem) -> int:
        """The weighted objective in ns times thousandths."""
        return sum(m.weight_steps * one.value for m, one in zip(problem.models, self.candidates, strict=True))

    def first_steps(self, problem: SeveralProblem) -> int:
        """The weighted first tier."""
        return sum(m.weight_steps * one.first for m, one in zip(problem.models, self.candidates, strict=True))


@dataclass(frozen=True, slots=True)
class FoundSplit:
    """What a search found; ``bound`` of the weighted objective in ns times thousandths where it is not proved."""

    outcome: Status
    split: Split | None = None
    bound: int | None = None


class SeveralSearch:
    """Candidates of every model, shared by all that is asked about one problem and problems with more or fewer nodes."""

    def __init__(self, problem: SeveralProblem) -> None:
        self.problem = problem
        self.models = [ModelCandidates(served, number) for number, served in enumerate(problem.models)]

    def candidates(
        self, nodes: int, without: Mapping[int, Collection[str]] | None = None
    ) -> list[list[SharedCandidate]]:
        """Those of every model on so many nodes.

        Args:
            without: rules left out, by model.
        """
        return [one.within(nodes, (without or {}).get(one.number, ())) for one in self.models]

    def best(self, clock: Clock, *, nodes: int | None = None, adjust: Adjust | None = None) -> FoundSplit:
        """The best split; of another number of nodes where one is given."""
        problem = self.problem if nodes is None else self.problem.with_nodes(nodes)
        return best_of(problem, self.candidates(problem.hardware.nodes), clock, adjust)

    def fits(
        self, clock: Clock, *, nodes: int | None = None, without: Mapping[int, Collection[str]] | None = None,
        among: Collection[int] | None = None,
    ) -> bool | None:  # fmt: skip
        """Whether some split keeps every rule (of the models ``among``; left out, of all); None: not known in the time there is."""
        problem = self.problem if nodes is None else self.problem.with_nodes(nodes)
        kept = range(len(self.models)) if among is None else sorted(among)
        candidates = [self.models[n].within(problem.hardware.nodes, (without or {}).get(n, ())) for n in kept]
        if not all(candidates):
            return False
        part = problem.model_copy(update={"models": tuple(problem.models[n] for n in kept)})
        outcome, _ = run(SeveralModel(part, candidates), clock)
        return None if outcome == "unknown" else outcome != "infeasible"


def run(model: SeveralModel, clock: Clock, minimise: Any = None) -> tuple[Status, Any]:
    """Solve once."""
    if minimise is not None:
        model.model.minimize(minimise)
    solver = new_solver(seed=1)
    if clock.left_s is not None:
        solver.parameters.max_time_in_seconds = clock.left_s
    status, _ = solve_stoppable(solver, model.model, None, clock.ctrl_c)
    return outcome_of(status, model.model), solver


def best_of(
    problem: SeveralProblem, candidates: list[list[SharedCandidate]], clock: Clock, adjust: Adjust | None = None
) -> FoundSplit:
    """Lexicographic tiers, each fixed at its proved optimum before the next."""
    if not all(candidates):
        return FoundSplit("infeasible")
    model = SeveralModel(problem, candidates)
    if adjust is not None:
        adjust(model)
    split: Split | None = None
    bound: int | None = None
    for number, tier in enumerate(model.tiers()):
        if isinstance(tier, int):
            continue
        outcome, solver = run(model, clock, tier)
        if outcome == "infeasible":
            return FoundSplit("infeasible")
        if outcome == "unknown":
            return FoundSplit("feasible" if split else "unknown", split, bound)
        split, best = _split_of(model, solver), int(solver.value(tier))
        if number == model.value_tier:
            bound = best if outcome == "optimal" else int(solver.best_objective_bound // 1)
        if outcome != "optimal":
            return FoundSplit("feasible", split, bound)
        model.model.add(tier <= best)
    return FoundSplit("optimal", split, split.value_steps(problem) if split else None)


def _split_of(model: SeveralModel, solver: Any) -> Split:
    chosen, on, instances = [], [], []
    for number, literals in enumerate(model.chosen):
        at = next(i for i, literal in enumerate(literals) if solver.boolean_value(literal))
        one = model.candidates[number][at]
        there = tuple(bool(solver.boolean_value(literal)) for literal in model.on[number])
        fuller = [bool(solver.boolean_value(literal)) for literal in model.fuller[number]]
        each = one.footprint.each
        chosen.append(one)
        on.append(there)
        instances.append(tuple(each * here + more for here, more in zip(there, fuller, strict=True)))
    return Split(tuple(chosen), tuple(on), tuple(instances))
