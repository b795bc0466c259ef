"""The steps behind the public calls: from a problem to quantities, a proved choice, a verified and explained answer."""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any, TypeVar

import numpy as np

from optimizer.costs.breakdown import breakdown
from optimizer.explain.common.numbers import count
from optimizer.explain.common.penalty import cheaper_lost
from optimizer.explain.uniform.costs import cost_sentences, interval_sentences, intervals_of
from optimizer.explain.uniform.infeasible import explained
from optimizer.explain.uniform.nearest import least_broken
from optimizer.explain.uniform.why import (
    alternative_sentence,
    binding_sentences,
    broken_sentences,
    objective_sentence,
    preset_sentences,
    strategy_sentences,
)
from optimizer.facts.errors import ProblemError, closest
from optimizer.facts.problem import Problem
from optimizer.questions.known_optima import keep, known
from optimizer.reading.stated import Stated
from optimizer.results.answer import (
    Alternative,
    Answer,
    Fixed,
    ObjectiveResult,
    unverified,
    with_verification,
)
from optimizer.search.uniform.evaluate import judge_rules, metrics_of, objective_of, strategy_of
from optimizer.search.uniform.quantities import ObjectiveWeights, Quantities
from optimizer.search.uniform.replica_counts import considered
from optimizer.search.uniform.rule import Choice
from optimizer.search.uniform.rules import rule_ids
from optimizer.search.uniform.solve import Solver
from optimizer.search.uniform.space import SpaceTooLargeError, search_limits
from optimizer.verify import verify_answer
from optimizer.verify.common.float_times import TimedShapes

if TYPE_CHECKING:
    from optimizer.verify.pools.pair import Shapes

AnyAnswer = TypeVar("AnyAnswer", bound=Answer)


def optimum_beside(problem: Problem, quantities: Quantities, solver: Solver) -> Answer:
    """The optimum beside a strategy that was asked about; unknown where Ctrl-C came before it."""
    found = known(problem)
    if found is not None:
        return found
    try:
        if not solver.interrupted:
            found = solved(quantities_of(problem, None), solver, alternatives=0, listed=True)
            keep(problem, found)
            return found
    except KeyboardInterrupt:
        solver.interrupt()
    return empty(problem, quantities, "unknown", ["Interrupted before the optimum was searched for."])


def with_reasons(
    answer: AnyAnswer,
    quantities: Quantities,
    fixed: Fixed | None,
    stated: Stated | None,
    solver: Solver,
    *,
    every: bool,
    repairs: bool,
) -> AnyAnswer:
    """The infeasible answer with its conflict and repairs; without them where Ctrl-C came."""
    try:
        if not solver.interrupted:
            solver.say("explaining")
            return explained(answer, quantities, fixed, stated, every=every, repairs=repairs, deadline=solver.deadline)
    except KeyboardInterrupt:
        solver.interrupt()
    said = "Interrupted before the conflicting rules and the repairs were found."
    return replace(answer, explanation=(*answer.explanation, said))


def why_ended(solver: Solver) -> str:
    """Interrupted, or out of time: the beginning of a sentence."""
    return "Interrupted" if solver.interrupted else "The time limit was reached"


@dataclass(slots=True)
class Kept:
    """Tables of one problem that a solve leaves for whoever asks more about it."""

    quantities: Quantities | None = None
    """Of the search."""
    timed: TimedShapes | None = None
    """Of the verifier, where the space is large."""
    pools: Shapes | None = None
    """Of the verifier, of prefill and decode pools."""

    def keep(self, timed: TimedShapes) -> None:
        """Take the verifier's."""
        self.timed = timed


def solved(
    quantities: Quantities, solver: Solver, *, alternatives: int, kept: Kept | None = None, listed: bool = False
) -> Answer:
    """The best strategy of a space with so many alternatives, verified; infeasible or unknown where there is none.

    Args:
        listed: found by comparing tables, without CP-SAT.
    """
    problem = quantities.problem
    if kept is not None:
        kept.quantities = quantities
    if not quantities.space.rows:
        said = ["The search limits and the GPUs there are leave no strategy to consider."]
        return verified(problem, empty(problem, quantities, "infeasible", said), solver)
    solver.say("searching")
    found = solver.listed(quantities) if listed else solver.best(quantities)
    if found.outcome == "infeasible":
        return verified(problem, _infeasible(quantities, solver), solver)
    if found.choice is None:
        more = "" if solver.interrupted else "; allow more time"
        return empty(problem, quantities, "unknown", [f"{why_ended(solver)} before any strategy was found{more}."])
    strategy, metrics = strategy_of(quantities, found.choice), metrics_of(quantities, found.choice)
    objective = objective_of(quantities, found.choice, found.bound if found.outcome != "optimal" else None)
    rules = judge_rules(quantities, found.choice)
    others: tuple[Alternative, ...] = ()
    complete = False
    if found.outcome == "optimal":
        try:
            others, complete = _alternatives(quantities, found.choice, objective, solver, alternatives)
        except KeyboardInterrupt:
            solver.interrupt()
    intervals = intervals_of(problem, strategy, metrics)
    answer = Answer(
        problem=problem.name,
        status=found.outcome,
        strategy=strategy,
        metrics=metrics,
        objective=objective,
        rules=rules,
        verification=unverified(),
        explanation=(),
        alternatives=others,
        search_limits=tuple(search_limits(problem, quantities.space)),
        cost_source=problem.cost_source,
        intervals=intervals,
        breakdown=breakdown_of(quantities, found.choice),
    )
    answer = verified(problem, answer, solver, kept=kept)
    # Nothing is called proved before the verifier has agreed.
    proved = found.outcome == "optimal"
    said = [
        *answer.explanation,
        *strategy_sentences(problem, strategy, metrics),
        *cost_sentences(problem, strategy, metrics),
        *interval_sentences(intervals),
        *(preset_sentences(problem, strategy, metrics) if answer.status == "optimal" else []),
        objective_sentence(problem, objective, answer.status == "optimal"),
        *cheaper_lost(ObjectiveWeights.of(problem.objective), objective.terms.get("served", 0.0)),
        *binding_sentences(problem, rules),
        *(alternative_sentence(other, strategy, metrics, problem.objective.preset) for other in others),
        *_on_alternatives(solver, len(others), alternatives, proved, complete),
    ]
    return replace(answer, explanation=tuple(said))


def _on_alternatives(solver: Solver, found: int, wanted: int, optimal: bool, complete: bool) -> list[str]:
    """What the alternatives that were found leave unsaid."""
    if not optimal:
        return [f"{why_ended(solver)} before anything was proved: there may be better strategies."]
    if not wanted:
        return []
    if not complete:
        return [f"{why_ended(solver)} before {'other' if found else 'any'} alternatives were found."]
    return [] if found else ["No other combination of TP, PP, DP and EP that was considered keeps every rule."]


def _alternatives(
    quantities: Quantities, best: Choice, objective: ObjectiveResult, solver: Solver, wanted: int
) -> tuple[tuple[Alternative, ...], bool]:
    """The best feasible strategies with another TP, PP, DP or EP, in order of the objective's tiers.

    Returns:
        Them, and False where the time limit or Ctrl-C came before all that were wanted had been looked for.
    """
    if wanted:
        solver.say("looking for alternatives")
    keys = np.stack(
        [
            quantities.space.column("tp"),
            quantities.space.column("pp"),
            quantities.space.row_dp,
            quantities.space.column("ep"),
            quantities.space.column("slice_ranks"),
            quantities.space.column("dcp"),
        ],
        axis=1,
    )
    taken = (keys == keys[best.row]).all(axis=1)
    found: list[Alternative] = []
    while len(found) < wanted and not taken.all():
        next_best = solver.best(quantities, without=taken)
        if next_best.outcome == "infeasible":
            break
        if next_best.outcome != "optimal" or next_best.choice is None:
            return tuple(found), False
        other = objective_of(quantities, next_best.choice, None)
        found.append(
            Alternative(
                strategy=strategy_of(quantities, next_best.choice),
                objective=other.value,
                difference=other.value - objective.value,
                difference_terms={name: other.terms[name] - value for name, value in objective.terms.items()},
                metrics=metrics_of(quantities, next_best.choice),
            )
        )
        taken |= (keys == keys[next_best.choice.row]).all(axis=1)
    return tuple(found), True


def _infeasible(quantities: Quantities, solver: Solver) -> Answer:
    nearest = least_broken(quantities, None)
    said = []
    if nearest is not None:
        strategy, rules = strategy_of(quantities, nearest), judge_rules(quantities, nearest)
        said.append(
            f"The strategy that breaks the fewest rules is {strategy.label} with {count(strategy.max_num_seqs, 'sequence')} per replica."
        )
        said += broken_sentences(rules)
    return empty(quantities.problem, quantities, "infeasible", said)


def empty(problem: Problem, quantities: Quantities, status: str, said: list[str]) -> Answer:
    """An answer without a strategy."""
    return Answer(
        problem=problem.name,
        status=status,  # type: ignore[arg-type]
        strategy=None,
        metrics=None,
        objective=None,
        rules=(),
        verification=unverified(),
        explanation=tuple(said),
        search_limits=tuple(search_limits(problem, quantities.space)),
        cost_source=problem.cost_source,
    )


def verified(
    problem: Problem, answer: AnyAnswer, solver: Solver, fixed: Fixed | None = None, *, kept: Kept | None = None
) -> AnyAnswer:
    """The answer with its verification; after Ctrl-C without the enumeration, and not called best where none came through."""
    try:
        solver.say("verifying")
        exhaustive = fixed is None and not solver.interrupted
        keep = None if kept is None else kept.keep
        verification = verify_answer(problem, answer, fixed or Fixed(), exhaustive=exhaustive, keep=keep)
    except KeyboardInterrupt:
        solver.interrupt()
        said = "Interrupted while it was verified: nothing has been recomputed independently."
        if answer.status == "optimal":
            said += " The search has proved it best."
        status = "feasible" if answer.status == "optimal" else answer.status
        return replace(answer, status=status, explanation=(*answer.explanation, said))
    return with_verification(answer, verification)


def breakdown_of(quantities: Quantities, choice: Choice) -> dict[str, Any]:
    """Terms of a choice, its decode step with the median number of sequences in progress."""
    shape = quantities.space.shapes[int(quantities.space.row_shape[choice.row])]
    running = min(int(quantities.normal.n50[choice.row]), choice.max_num_seqs)
    return breakdown(quantities.problem, shape, choice.max_num_seqs, running)


def fields_of(answer: Answer) -> dict[str, Any]:
    """Every field of an answer by name, not copied."""
    return {name: getattr(answer, name) for name in Answer.__dataclass_fields__}


def beside(objective: ObjectiveResult, best: ObjectiveResult) -> ObjectiveResult:
    """The objective of a given strategy with the optimum's proven bound."""
    return replace(objective, bound=best.bound, gap=(objective.value - best.bound) / max(abs(objective.value), 1e-9))


def quantities_of(problem: Problem, fixed: Fixed | None) -> Quantities:
    """The space searched, with its numbers.

    Raises:
        ProblemError: an unknown rule is switched off, or the space is too large.
    """
    known = rule_ids(problem)
    for rule in problem.search.disabled_rules:
        if rule not in known:
            raise ProblemError(
                "search.disabled_rules", f"no rule {rule!r} applies to this problem; {closest(rule, known)}"
            )
    try:
        return considered(problem, fixed)
    except SpaceTooLargeError as error:
        raise ProblemError("search", str(error)) from None
