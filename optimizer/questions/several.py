"""``solve`` and ``check`` for several models on shared nodes. ``docs/several.md``."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from typing import TYPE_CHECKING, Any

from optimizer.explain.common.numbers import count
from optimizer.explain.common.patience import NOT_ALL_TRIED
from optimizer.explain.several.conflict import conflict_of, unserved_alone
from optimizer.explain.several.repair import repairs_of
from optimizer.explain.several.why import broken, exchanges, limits_of, one_more_node, sentences
from optimizer.explain.uniform.nearest import least_broken
from optimizer.facts.errors import ProblemError, closest
from optimizer.facts.proposal import ProposedModel, SeveralProposal
from optimizer.facts.several import SeveralProblem
from optimizer.questions.uniform import check_fixed
from optimizer.questions.uniform import solve as solve_uniform
from optimizer.results.answer import Conflict, Fixed, unverified, with_verification
from optimizer.results.several import SeveralAnswer
from optimizer.search.common.clock import Clock
from optimizer.search.common.solver import CtrlC
from optimizer.search.several.answer import objective_of, share_of
from optimizer.search.several.candidates import ModelCandidates, SharedCandidate, footprint_of
from optimizer.search.several.place import placed
from optimizer.search.several.solve import SeveralSearch, Split, best_of
from optimizer.search.uniform.quantities import Quantities
from optimizer.search.uniform.solve import Solver
from optimizer.search.uniform.space import build_space
from optimizer.verify.several.check import verify_several

if TYPE_CHECKING:
    from optimizer.search.uniform.solve import Progress


def solve_several(
    problem: SeveralProblem,
    *,
    time_limit_s: float | None = None,
    progress: Callable[[Progress], None] | None = None,
    repairs: bool = True,
) -> SeveralAnswer:
    """The provably best split of the nodes between the models, verified, or why there is none.

    Args:
        problem: from ``load_problem``.
        time_limit_s: of the search; None searches until it is proved.
        progress: told of each phase.
        repairs: look for changes that make an infeasible problem feasible.

    Raises:
        ProblemError: an unknown rule is switched off, or a model's space is too large; the message names the field.
    """
    with CtrlC() as ctrl_c:
        clock, say = Clock(time_limit_s, ctrl_c), _saying(progress)
        say("building tables")
        search = SeveralSearch(problem)
        alone = unserved_alone(search)
        if alone:
            return _unserved(search, alone, clock, repairs)
        say("searching")
        found = search.best(clock)
        if found.split is None:
            return _none(search, found.outcome, clock, repairs)
        bound = found.bound if found.outcome != "optimal" else None
        answer = _answer(problem, found.split, found.outcome, bound)
        say("verifying")
        verification = verify_several(problem, answer, exhaustive=not clock.over)
        answer = with_verification(answer, verification)
        said = [*answer.explanation, *sentences(problem, answer)]
        if found.outcome == "optimal":
            say("explaining")
            moved = exchanges(search, found.split, clock)
            more = one_more_node(search, found.split, clock)
            said += [one.sentence for one in moved] + ([more] if more else [])
            answer = replace(answer, exchange=moved)
        else:
            said.append("The search ended before the best split was proved: there may be better ones.")
    return replace(answer, explanation=tuple(said))


def _saying(progress: Callable[[Progress], None] | None) -> Callable[[str], None]:
    return Solver(None, progress).say


def _unserved(search: SeveralSearch, alone: list[int], clock: Clock, repairs: bool) -> SeveralAnswer:
    """Models that nothing serves even by themselves: each with its own conflict."""
    problem, conflicts, said = search.problem, [], []
    for number in alone:
        served = problem.models[number]
        found = solve_uniform(served.problem, time_limit_s=clock.left_s, repairs=False, alternatives=0)
        said.append(f"{served.name} cannot be served even with all {problem.hardware.gpus:,} GPUs to itself.")
        for one in found.conflicts:
            rules = tuple(f"{served.name}: {rule}" for rule in one.rules)
            conflicts.append(Conflict(rules, f"{served.name}: {one.sentence}", one.minimal))
        if found.status != "infeasible":
            # What this search leaves out stands in its limits: it is not said of the hardware.
            said.append(f"{served.name}: no strategy of those considered here; see the limits of the search.")
    changes, cut = repairs_of(search, clock) if repairs else ((), False)
    said += [NOT_ALL_TRIED] if cut else []
    answer = _empty(problem, "infeasible", tuple(said), tuple(conflicts))
    answer = with_verification(answer, verify_several(problem, answer))
    return replace(answer, repairs=changes)


def _none(search: SeveralSearch, outcome: str, clock: Clock, repairs: bool) -> SeveralAnswer:
    problem = search.problem
    if outcome != "infeasible":
        return _empty(problem, "unknown", ("The search ended before any split was found; allow more time.",))
    conflict = conflict_of(search, clock)
    changes, cut = repairs_of(search, clock) if repairs else ((), False)
    said = (conflict.sentence, *((NOT_ALL_TRIED,) if cut else ()))
    answer = replace(_empty(problem, "infeasible", said, (conflict,)), repairs=changes)
    return with_verification(answer, verify_several(problem, answer))


def check_several(
    problem: SeveralProblem,
    proposal: SeveralProposal,
    *,
    time_limit_s: float | None = None,
    progress: Callable[[Progress], None] | None = None,
) -> SeveralAnswer:
    """Whether what each model is to get keeps every rule and finds room, and the best split beside it.

    Args:
        proposal: decisions by the model's name; what is left out is chosen as well as possible.

    Raises:
        ProblemError: a name or a decision that no candidate can have.
    """
    names = [one.name for one in problem.models]
    for name in proposal.models:
        if name not in names:
            raise ProblemError(f"models.{name}", f"is no model of this problem; {closest(name, names)}")
    clock = Clock(time_limit_s)
    search = SeveralSearch(problem)
    asked = [
        _asked(search.models[n], proposal.models.get(name, ProposedModel()), problem) for n, name in enumerate(names)
    ]
    optimum = solve_several(problem, time_limit_s=time_limit_s, progress=progress, repairs=False)
    kept = all(fits for _, fits in asked)
    found = best_of(problem, [candidates for candidates, _ in asked], clock)
    if found.outcome == "unknown":
        return replace(
            _empty(problem, "unknown", ("The time limit was reached before the split could be judged.",)),
            optimum=optimum,
        )
    split = found.split
    if split is None:
        chosen = tuple(candidates[0] for candidates, _ in asked)
        answer = replace(_judged(problem, chosen), feasible=False, optimum=optimum)
        said = ["What is proposed finds no room on the nodes (placement)."]
    else:
        answer = replace(
            _answer(problem, split, "feasible" if kept else "infeasible", None), feasible=kept, optimum=optimum
        )
        said = []
        value, best = answer.objective, optimum.objective
        if kept and optimum.status == "optimal" and value is not None and best is not None:
            if value.value == best.value:
                answer = replace(answer, status="optimal")
            elif value.value > best.value:
                more = value.value - best.value
                said.append(f"The best split, {optimum.label}, is better by {more:,.1f} ms of the weighted sum.")
    answer = with_verification(answer, verify_several(problem, answer, exhaustive=False))
    whats = sentences(problem, answer) if split is not None else []
    return replace(answer, explanation=(*answer.explanation, *said, *broken(answer), *whats))


def _asked(model: ModelCandidates, asked: ProposedModel, problem: SeveralProblem) -> tuple[list[SharedCandidate], bool]:
    """Candidates of a model that have the decisions, and whether they keep its own rules; else the one that breaks fewest."""
    fixed = Fixed(
        asked.tp, asked.pp, asked.dp, asked.ep, asked.max_num_seqs, asked.layers, asked.weights, asked.kv,
        asked.expert_slice_ranks, asked.dcp,
    )  # fmt: skip
    there = problem.hardware.nodes
    if asked.nodes is not None and asked.nodes > there:
        raise ProblemError(f"models.{model.served.name}.nodes", f"{asked.nodes} is more than the {there} there are")
    check_fixed(model.served.problem, fixed)
    spreads = [asked.nodes] if asked.nodes is not None else list(range(1, there + 1))
    if not fixed.any and asked.nodes is None:
        candidates = model.within(there)
        if candidates:
            return candidates, True
    found = [one for nodes in spreads for one in model.fixed_on(nodes, fixed)]
    if found:
        return found, True
    for nodes in reversed(spreads):
        for one in model.problems(nodes):
            quantities = Quantities(one, build_space(one, fixed))
            choice = least_broken(quantities, fixed) if quantities.space.rows else None
            if choice is None:
                continue
            nearest = footprint_of(quantities, nodes, choice)
            if nearest.footprint.whole or nearest.footprint.instances >= nodes:
                return [nearest], False
            if asked.nodes is not None:
                said = f"{nodes} is more than its {count(nearest.footprint.instances, 'instance')}; one at least stands on each"
                raise ProblemError(f"models.{model.served.name}.nodes", said)
    raise ProblemError(
        f"models.{model.served.name}",
        "no strategy has these decisions: a shape that the engine does not run, or more GPUs than there are",
    )


def _judged(problem: SeveralProblem, chosen: tuple[SharedCandidate, ...]) -> SeveralAnswer:
    shares = tuple(share_of(served, one) for served, one in zip(problem.models, chosen, strict=True))
    split = Split(chosen, (), ())
    return replace(_empty(problem, "infeasible", ()), models=shares, objective=objective_of(problem, split, None))


def _answer(problem: SeveralProblem, split: Split, status: Any, bound: int | None) -> SeveralAnswer:
    instances, free = placed(problem, split)
    return replace(
        _judged(problem, split.candidates),
        status=status,
        placement=instances,
        free_gpus=free,
        objective=objective_of(problem, split, bound),
    )


def _empty(
    problem: SeveralProblem, status: Any, said: tuple[str, ...], conflicts: tuple[Conflict, ...] = ()
) -> SeveralAnswer:
    return SeveralAnswer(
        problem=problem.name,
        status=status,
        models=(),
        placement=None,
        free_gpus=(),
        objective=None,
        verification=unverified(),
        explanation=said,
        conflicts=conflicts,
        search_limits=limits_of(problem),
        assumed=problem.hardware.assumed if problem.hardware.nodes > 1 else (),
    )
