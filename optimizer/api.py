"""What a program calls: ``load_problem``, ``solve``, ``check``. The command line is a thin layer over these."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any, TypeVar

import numpy as np

from optimizer.answer import (
    Alternative,
    Answer,
    CheckAnswer,
    Fixed,
    ObjectiveResult,
    Simulation,
    Verification,
)
from optimizer.costs.breakdown import breakdown
from optimizer.explain.conflict import least_broken
from optimizer.explain.costs import cost_sentences, interval_sentences, intervals_of
from optimizer.explain.infeasible import explained
from optimizer.explain.numbers import count
from optimizer.explain.why import (
    alternative_sentence,
    beside_sentence,
    binding_sentences,
    objective_sentence,
    strategy_sentences,
)
from optimizer.facts.errors import ProblemError, closest
from optimizer.facts.problem import Problem
from optimizer.facts.stated import Stated
from optimizer.search.evaluate import judge_rules, metrics_of, objective_of, strategy_of
from optimizer.search.quantities import Quantities
from optimizer.search.rules import Choice, rule_ids
from optimizer.search.solve import Found, Progress, Solver
from optimizer.search.space import SpaceTooLargeError, build_space, search_limits
from optimizer.verify import verify_answer

ALTERNATIVES = 3
AnyAnswer = TypeVar("AnyAnswer", bound=Answer)


def solve(
    problem: Problem,
    *,
    time_limit_s: float | None = None,
    progress: Callable[[Progress], None] | None = None,
    stated: Stated | None = None,
    all_conflicts: bool = False,
    repairs: bool = True,
) -> Answer:
    """The provably best strategy for a problem, verified, or why there is none.

    Args:
        problem: from ``load_problem``.
        time_limit_s: wall-clock limit of the search; None searches until it is proved.
        progress: called with each improvement while the solver runs.
        stated: the problem file (``facts.stated``), so that repairs speak of what it says; left out, of what resolves to it.
        all_conflicts: list every minimal conflict of an infeasible problem, up to twenty, instead of the plainest.
        repairs: look for the smallest changes that make an infeasible problem feasible.

    Returns:
        An ``Answer``; its status is ``optimal`` only when value = bound and the verifier agrees. Ctrl-C gives the best
        strategy found, with its gap (``KeyboardInterrupt`` while there is none).

    Raises:
        ProblemError: the problem names an unknown rule, or spans more candidates than are modelled.
    """
    solver = Solver(time_limit_s, progress, keep_incumbent=True)
    solver.say("building tables")
    q = _quantities(problem, None)
    answer = _solve(q, solver, alternatives=ALTERNATIVES)
    if answer.status != "infeasible":
        return answer
    return _explained(answer, q, None, stated, solver, every=all_conflicts, repairs=repairs)


def simulate(problem: Problem, answer: AnyAnswer, *, trace: Path | None = None, seed: int = 1) -> AnyAnswer:
    """The same answer with simulated percentiles beside the analytic ones; unchanged when there is nothing to simulate.

    Args:
        problem: what the answer is for.
        answer: of ``solve`` or ``check``.
        trace: requests to replay (columns arrived_at, num_prefill_tokens, num_decode_tokens); Poisson when left out.
        seed: of the random arrivals.

    Raises:
        ProblemError: the trace cannot be used.
    """
    from optimizer.verify.simulation import simulate as play
    from optimizer.verify.simulation.report import compare
    from optimizer.verify.simulation.trace import read_trace, trace_sentence

    metrics = answer.metrics
    if answer.strategy is None or metrics is None or metrics.ttft_p99_ms is None:
        return answer
    if problem.costs is not None:
        said = "Not simulated: the simulator plays the analytic model's steps, and these costs have another source."
        return replace(answer, explanation=(*answer.explanation, said))
    try:
        seen = play(problem, answer.strategy, seed=seed, trace=trace)
    except KeyboardInterrupt:
        return replace(answer, explanation=(*answer.explanation, "Not simulated: interrupted."))
    except ValueError as error:
        if trace is not None:
            raise ProblemError("--trace", str(error)) from None
        return answer
    found = compare(metrics, seen, problem.requirements)
    said_of_trace = () if trace is None else (trace_sentence(read_trace(trace), problem.workload),)
    percentiles = {}
    for metric in ("prefill", "ttft", "tpot"):
        for percentile in (50, 99):
            estimate = seen.latency(metric, percentile)
            if estimate is not None:
                percentiles[f"{metric}_p{percentile}_ms"] = (estimate.ms, estimate.half_width_ms)
    return replace(
        answer,
        explanation=(*answer.explanation, *said_of_trace),
        simulation=Simulation(
            percentiles=percentiles,
            arrivals=seen.arrivals,
            requests=seen.requests,
            preemptions=seen.preemptions,
            seed=seen.seed,
            disagreements=tuple(item.sentence for item in found),
            limits_hold=all(item.kind != "limit" for item in found),
        ),
    )


def check(
    problem: Problem,
    fixed: Fixed,
    *,
    time_limit_s: float | None = None,
    progress: Callable[[Progress], None] | None = None,
    stated: Stated | None = None,
    all_conflicts: bool = False,
    repairs: bool = True,
) -> CheckAnswer:
    """Whether a strategy keeps every rule, each with its slack, and the optimum beside it.

    Args:
        problem: from ``load_problem``.
        fixed: the strategy's decisions; those left out are chosen as well as possible.
        stated, all_conflicts, repairs: as for ``solve``, when the strategy is not feasible.

    Raises:
        ProblemError: a fixed decision is out of range or contradicts another.
    """
    check_fixed(problem, fixed)
    solver = Solver(time_limit_s, progress, keep_incumbent=True)
    solver.say("building tables")
    q = _quantities(problem, fixed)
    found = solver.best(q, fixed) if q.space.rows else Found("infeasible", None, None, None, 0.0)
    optimum = _optimum(problem, q, solver)
    if found.outcome == "unknown":
        empty = _empty(problem, q, "unknown", [f"{_why_ended(solver)} before the strategy could be judged."])
        return CheckAnswer(**_fields(empty), feasible=None, optimum=optimum)
    feasible = found.outcome != "infeasible"
    choice = found.choice if feasible else least_broken(q, fixed, solver)
    if choice is None:
        empty = _empty(problem, q, "unknown", [f"{_why_ended(solver)} before the strategy could be judged."])
        return CheckAnswer(**_fields(empty), feasible=None, optimum=optimum)
    strategy, metrics = strategy_of(q, choice), metrics_of(q, choice)
    objective = objective_of(q, choice, None)
    rules = tuple(sorted(judge_rules(q, choice), key=lambda rule: rule.holds or not rule.enabled))
    best = optimum.objective
    status = "infeasible" if not feasible else "feasible"
    if best is not None:
        # What was outside of the search may be better than the optimum, whose bound then says nothing about it.
        objective = _beside(objective, best) if objective.value >= best.bound or not feasible else objective
        if feasible and optimum.status == "optimal" and strategy == optimum.strategy:
            status = "optimal"
    said = [*strategy_sentences(problem, strategy, metrics), *binding_sentences(rules)]
    intervals = intervals_of(problem, strategy, metrics)
    said += [*cost_sentences(problem, strategy, metrics), *interval_sentences(intervals)]
    said.append(beside_sentence(problem, feasible, strategy, metrics, objective, optimum))
    answer = CheckAnswer(
        problem=problem.name,
        status=status,  # type: ignore[arg-type]
        strategy=strategy,
        metrics=metrics,
        objective=objective,
        rules=rules,
        verification=_unverified(),
        explanation=tuple(said),
        search_limits=tuple(search_limits(problem, q.space)),
        cost_source=problem.cost_source,
        intervals=intervals,
        breakdown=_breakdown(q, choice),
        feasible=feasible,
        optimum=optimum,
    )
    answer = _verified(problem, answer, solver, fixed)
    return answer if feasible else _explained(answer, q, fixed, stated, solver, every=all_conflicts, repairs=repairs)


def _optimum(problem: Problem, q: Quantities, solver: Solver) -> Answer:
    """The optimum beside a strategy that was asked about; unknown where Ctrl-C came before it."""
    try:
        if not solver.interrupted:
            return _solve(_quantities(problem, None), solver, alternatives=0)
    except KeyboardInterrupt:
        solver.interrupt()
    return _empty(problem, q, "unknown", ["Interrupted before the optimum was searched for."])


def _explained(
    answer: AnyAnswer,
    q: Quantities,
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
            return explained(answer, q, fixed, stated, every=every, repairs=repairs)
    except KeyboardInterrupt:
        solver.interrupt()
    said = "Interrupted before the conflicting rules and the repairs were found."
    return replace(answer, explanation=(*answer.explanation, said))


def _why_ended(solver: Solver) -> str:
    return "Interrupted" if solver.interrupted else "The time limit was reached"


def _solve(q: Quantities, solver: Solver, *, alternatives: int) -> Answer:
    problem = q.problem
    if not q.space.rows:
        said = ["The search limits and the GPUs there are leave no strategy to consider."]
        return _verified(problem, _empty(problem, q, "infeasible", said), solver)
    solver.say("searching")
    found = solver.best(q)
    if found.outcome == "infeasible":
        return _verified(problem, _infeasible(q, solver), solver)
    if found.choice is None:
        more = "" if solver.interrupted else "; allow more time"
        return _empty(problem, q, "unknown", [f"{_why_ended(solver)} before any strategy was found{more}."])
    strategy, metrics = strategy_of(q, found.choice), metrics_of(q, found.choice)
    objective = objective_of(q, found.choice, found.bound if found.outcome != "optimal" else None)
    rules = judge_rules(q, found.choice)
    others: tuple[Alternative, ...] = ()
    complete = False
    if found.outcome == "optimal":
        try:
            others, complete = _alternatives(q, found.choice, objective, solver, alternatives)
        except KeyboardInterrupt:
            solver.interrupt()
    intervals = intervals_of(problem, strategy, metrics)
    said = [
        *strategy_sentences(problem, strategy, metrics),
        *cost_sentences(problem, strategy, metrics),
        *interval_sentences(intervals),
        objective_sentence(problem, objective, found.outcome == "optimal"),
        *binding_sentences(rules),
        *(alternative_sentence(other) for other in others),
        *_on_alternatives(solver, len(others), alternatives, found.outcome == "optimal", complete),
    ]
    answer = Answer(
        problem=problem.name,
        status=found.outcome,
        strategy=strategy,
        metrics=metrics,
        objective=objective,
        rules=rules,
        verification=_unverified(),
        explanation=tuple(said),
        alternatives=others,
        search_limits=tuple(search_limits(problem, q.space)),
        cost_source=problem.cost_source,
        intervals=intervals,
        breakdown=_breakdown(q, found.choice),
    )
    return _verified(problem, answer, solver)


def _on_alternatives(solver: Solver, found: int, wanted: int, optimal: bool, complete: bool) -> list[str]:
    """What the alternatives that were found leave unsaid."""
    if not optimal:
        return [f"{_why_ended(solver)} before anything was proved: there may be better strategies."]
    if not wanted:
        return []
    if not complete:
        return [f"{_why_ended(solver)} before {'other' if found else 'any'} alternatives were found."]
    return [] if found else ["No other combination of TP, PP, DP and EP that was considered keeps every rule."]


def _alternatives(
    q: Quantities, best: Choice, objective: ObjectiveResult, solver: Solver, wanted: int
) -> tuple[tuple[Alternative, ...], bool]:
    """The best feasible strategies with another TP, PP, DP or EP, in order of the objective's tiers.

    Returns:
        Them, and False where the time limit or Ctrl-C came before all that were wanted had been looked for.
    """
    if wanted:
        solver.say("looking for alternatives")
    keys = np.stack([q.space.column("tp"), q.space.column("pp"), q.space.row_dp, q.space.column("ep")], axis=1)
    taken = (keys == keys[best.row]).all(axis=1)
    found: list[Alternative] = []
    while len(found) < wanted and not taken.all():
        next_best = solver.best(q, without=taken)
        if next_best.outcome == "infeasible":
            break
        if next_best.outcome != "optimal" or next_best.choice is None:
            return tuple(found), False
        other = objective_of(q, next_best.choice, None)
        found.append(
            Alternative(
                strategy=strategy_of(q, next_best.choice),
                objective=other.value,
                difference=other.value - objective.value,
                difference_terms={name: other.terms[name] - value for name, value in objective.terms.items()},
                metrics=metrics_of(q, next_best.choice),
            )
        )
        taken |= (keys == keys[next_best.choice.row]).all(axis=1)
    return tuple(found), True


def _infeasible(q: Quantities, solver: Solver) -> Answer:
    nearest = least_broken(q, None, solver)
    said = []
    if nearest is not None:
        strategy, rules = strategy_of(q, nearest), judge_rules(q, nearest)
        said.append(
            f"The strategy that breaks the fewest rules is {strategy.label} with {count(strategy.max_num_seqs, 'sequence')} per replica."
        )
        said += [text for text in binding_sentences(rules) if text.startswith("Broken")]
    return _empty(q.problem, q, "infeasible", said)


def _empty(problem: Problem, q: Quantities, status: str, said: list[str]) -> Answer:
    return Answer(
        problem=problem.name,
        status=status,  # type: ignore[arg-type]
        strategy=None,
        metrics=None,
        objective=None,
        rules=(),
        verification=_unverified(),
        explanation=tuple(said),
        search_limits=tuple(search_limits(problem, q.space)),
        cost_source=problem.cost_source,
    )


def _verified(problem: Problem, answer: AnyAnswer, solver: Solver, fixed: Fixed | None = None) -> AnyAnswer:
    """The answer with its verification; after Ctrl-C without the enumeration, and not called best where none came through."""
    try:
        solver.say("verifying")
        exhaustive = fixed is None and not solver.interrupted
        verification = verify_answer(problem, answer, fixed or Fixed(), exhaustive=exhaustive)
    except KeyboardInterrupt:
        solver.interrupt()
        said = "Interrupted while it was verified: nothing has been recomputed independently."
        if answer.status == "optimal":
            said += " The search has proved it best."
        status = "feasible" if answer.status == "optimal" else answer.status
        return replace(answer, status=status, explanation=(*answer.explanation, said))
    return replace(answer, verification=verification)


def _breakdown(q: Quantities, choice: Choice) -> dict[str, Any]:
    """Terms of a choice, its decode step with the median number of sequences in progress."""
    shape = q.space.shapes[int(q.space.row_shape[choice.row])]
    running = min(int(q.normal.n50[choice.row]), choice.max_num_seqs)
    return breakdown(q.problem, shape, choice.max_num_seqs, running)


def _unverified() -> Verification:
    return Verification(False, 0, "not claimed", 0, "")


def _fields(answer: Answer) -> dict[str, Any]:
    return {name: getattr(answer, name) for name in Answer.__dataclass_fields__}


def _beside(objective: ObjectiveResult, best: ObjectiveResult) -> ObjectiveResult:
    """The objective of a given strategy with the optimum's proven bound."""
    return replace(objective, bound=best.bound, gap=(objective.value - best.bound) / max(abs(objective.value), 1e-9))


def _quantities(problem: Problem, fixed: Fixed | None) -> Quantities:
    known = rule_ids(problem)
    for rule in problem.search.disabled_rules:
        if rule not in known:
            raise ProblemError(
                "search.disabled_rules", f"no rule {rule!r} applies to this problem; {closest(rule, known)}"
            )
    try:
        return Quantities(problem, build_space(problem, fixed))
    except SpaceTooLargeError as error:
        raise ProblemError("search", str(error)) from None


def check_fixed(problem: Problem, fixed: Fixed) -> None:
    """Refuse fixed decisions that contradict each other or the model."""
    split = fixed.layers_per_stage
    if split is None:
        return
    stages = fixed.pipeline_parallel
    if stages is not None and len(split) != stages:
        raise ProblemError("--layers", f"names {len(split)} stages, --pp says {stages}")
    if sum(split) != problem.model.layers:
        raise ProblemError(
            "--layers", f"adds up to {sum(split)} layers, {problem.model.name} has {problem.model.layers}"
        )
