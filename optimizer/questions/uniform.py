"""What a program calls: ``load_problem``, ``solve``, ``check``. The command line is a thin layer over these."""

from __future__ import annotations

import time
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING

from optimizer.explain.common.patience import Patience
from optimizer.explain.uniform.costs import cost_sentences, interval_sentences, intervals_of
from optimizer.explain.uniform.infeasible import statement
from optimizer.explain.uniform.memory_words import memory_sentences
from optimizer.explain.uniform.nearest import least_broken
from optimizer.explain.uniform.outside import fields_outside
from optimizer.explain.uniform.why import beside_sentence, binding_sentences, strategy_sentences
from optimizer.explain.uniform.wide import WideSearch
from optimizer.facts.demand import MOST_BATCH
from optimizer.facts.errors import ProblemError
from optimizer.facts.problem import Problem
from optimizer.questions.uniform_steps import (
    AnyAnswer,
    Kept,
    beside,
    breakdown_of,
    empty,
    fields_of,
    optimum_beside,
    quantities_of,
    solved,
    verified,
    why_ended,
    with_reasons,
)
from optimizer.reading.load import no_peers
from optimizer.reading.stated import Stated
from optimizer.results.answer import (
    WITHIN_SEARCHED,
    Answer,
    CheckAnswer,
    Fixed,
    Metrics,
    Simulation,
    model_read,
    unverified,
)
from optimizer.search.uniform.evaluate import judge_rules, metrics_of, objective_of, strategy_of
from optimizer.search.uniform.solve import Found, Progress, Solver
from optimizer.search.uniform.space import context_degrees, search_limits, tensor_degrees

if TYPE_CHECKING:
    from optimizer.facts.demand import Requirements
    from optimizer.verify.simulation.report import SimulatedPercentiles

ALTERNATIVES = 3


def solve(
    problem: Problem,
    *,
    time_limit_s: float | None = None,
    progress: Callable[[Progress], None] | None = None,
    stated: Stated | None = None,
    all_conflicts: bool = False,
    repairs: bool = True,
    reasons: bool = True,
    alternatives: int = ALTERNATIVES,
    kept: Kept | None = None,
) -> Answer:
    """The provably best strategy for a problem, verified, or why there is none.

    Args:
        problem: from ``load_problem``.
        time_limit_s: wall-clock limit of the search; None searches until it is proved.
        progress: called with each improvement while the solver runs.
        stated: the problem file (``reading.stated``), so that repairs speak of what it says; left out, of what resolves to it.
        all_conflicts: list every minimal conflict of an infeasible problem, up to twenty, instead of the plainest.
        repairs: look for the smallest changes that make an infeasible problem feasible.
        reasons: False leaves out why an infeasible problem is; nothing is then said of what was not searched.
        alternatives: how many of the next best are looked for.
        kept: takes the tables.

    Returns:
        An ``Answer``; its status is ``optimal`` only when value = bound and the verifier agrees. Ctrl-C gives the best
        strategy found, with its gap (``KeyboardInterrupt`` while there is none).

    Raises:
        ProblemError: the problem names an unknown rule, or spans more candidates than are modelled.
    """
    refuse_contexts(problem)
    solver = Solver(time_limit_s, progress, keep_incumbent=True)
    solver.say("building tables")
    q = quantities_of(problem, None)
    answer = solved(q, solver, alternatives=alternatives, kept=kept)
    if answer.status == "infeasible" and reasons:
        answer = with_reasons(answer, q, None, stated, solver, every=all_conflicts, repairs=repairs)
    return _with_facts(problem, answer)


def helps(problem: Problem, stated: Stated | None, left_s: float | None) -> bool | None:
    """Whether a strategy outside of what was searched keeps every rule of an infeasible problem; None: not known in that time."""
    from optimizer.explain.uniform.cuts import opening_helps

    patience = Patience(None if left_s is None else time.monotonic() + left_s)
    return opening_helps(WideSearch(statement(stated, problem), problem), patience)


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
    from optimizer.results.pools import PoolsAnswer
    from optimizer.results.side_by_side import SideBySideAnswer
    from optimizer.verify.simulation import simulate as play
    from optimizer.verify.simulation.trace import read_trace, trace_sentence

    if isinstance(answer, PoolsAnswer | SideBySideAnswer):
        if trace is not None:
            raise ProblemError("--trace", "is played on joint instances; state its lengths as workload.trace for pools")
        if isinstance(answer, PoolsAnswer):
            return answer
        from optimizer.facts.side_by_side import joint_part

        # What a random share of a Poisson stream is, is one again.
        return replace(answer, joint=simulate(joint_part(problem, answer.split_of(problem)), answer.joint, seed=seed))
    metrics, problem = answer.metrics, problem.decided(answer.decided)
    if answer.strategy is None or metrics is None or metrics.ttft_p99_ms is None:
        return answer
    problem = problem.at_rate(metrics.requests_per_s)
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
    said_of_trace = () if trace is None else (trace_sentence(read_trace(trace), problem.workload),)
    return replace(
        answer,
        explanation=(*answer.explanation, *said_of_trace),
        simulation=simulation_of(metrics, seen, problem.requirements),
    )


def simulation_of(metrics: Metrics, seen: SimulatedPercentiles, requirements: Requirements) -> Simulation:
    """What a replica's simulation saw, beside its analytic metrics."""
    from optimizer.verify.simulation.report import compare

    found = compare(metrics, seen, requirements)
    percentiles = {}
    for metric in ("prefill", "ttft", "tpot", "e2e"):
        for percentile in (50, 99):
            estimate = seen.latency(metric, percentile)
            if estimate is not None:
                percentiles[f"{metric}_p{percentile}_ms"] = (estimate.ms, estimate.half_width_ms)
    return Simulation(
        percentiles=percentiles,
        arrivals=seen.arrivals,
        requests=seen.requests,
        preemptions=seen.preemptions,
        seed=seen.seed,
        disagreements=tuple(item.sentence for item in found),
        limits_hold=all(item.kind != "limit" for item in found),
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
    reasons: bool = True,
) -> CheckAnswer:
    """Whether a strategy keeps every rule, each with its slack, and the optimum beside it.

    Args:
        problem: from ``load_problem``.
        fixed: the strategy's decisions; those left out are chosen as well as possible.
        stated, all_conflicts, repairs, reasons: as for ``solve``, when the strategy is not feasible.

    Raises:
        ProblemError: a fixed decision is out of range or contradicts another.
    """
    check_fixed(problem, fixed)
    solver = Solver(time_limit_s, progress, keep_incumbent=True)
    solver.say("building tables")
    searched, problem = problem, _with_batch(problem, fixed)
    q = quantities_of(problem, fixed)
    found = solver.listed(q, fixed) if q.space.rows else Found("infeasible", None, None, None, 0.0)
    optimum = optimum_beside(searched, q, solver)
    if found.outcome == "unknown":
        nothing = empty(problem, q, "unknown", [f"{why_ended(solver)} before the strategy could be judged."])
        return CheckAnswer(**fields_of(_read(problem, nothing)), feasible=None, optimum=optimum)
    feasible = found.outcome != "infeasible"
    choice = found.choice if feasible else least_broken(q, fixed)
    if choice is None:
        nothing = empty(problem, q, "unknown", [f"{why_ended(solver)} before the strategy could be judged."])
        return CheckAnswer(**fields_of(_read(problem, nothing)), feasible=None, optimum=optimum)
    strategy, metrics = strategy_of(q, choice), metrics_of(q, choice)
    objective = objective_of(q, choice, None)
    rules = tuple(sorted(judge_rules(q, choice), key=lambda rule: rule.holds or not rule.enabled))
    best = optimum.objective
    status = "infeasible" if not feasible else "feasible"
    if feasible and optimum.status == "infeasible":
        # Of what is searched: here stands a strategy beyond it.
        optimum = replace(optimum, within=WITHIN_SEARCHED, cut_by=fields_outside(problem, strategy))
    if best is not None:
        # What was outside of the search may be better than the optimum, whose bound then says nothing about it.
        objective = beside(objective, best) if objective.value >= best.bound or not feasible else objective
        if feasible and optimum.status == "optimal" and strategy == optimum.strategy:
            status = "optimal"
    said = [*strategy_sentences(problem, strategy, metrics), *binding_sentences(problem, rules)]
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
        verification=unverified(),
        explanation=tuple(said),
        search_limits=tuple(search_limits(problem, q.space)),
        cost_source=problem.cost_source,
        intervals=intervals,
        breakdown=breakdown_of(q, choice),
        feasible=feasible,
        optimum=optimum,
    )
    answer = verified(problem, answer, solver, fixed)
    if answer.feasible is False and reasons:
        answer = with_reasons(answer, q, fixed, stated, solver, every=all_conflicts, repairs=repairs)
    return _with_facts(problem, answer)


def _with_batch(problem: Problem, fixed: Fixed) -> Problem:
    """The problem judged: where no ``max_batch`` is stated, the engine's default is what it starts with and no limit on what is asked."""
    wanted, requirements = fixed.max_num_seqs, problem.requirements
    if wanted is None or requirements.max_batch is not None or not problem.max_batch < wanted <= MOST_BATCH:
        return problem
    return problem.model_copy(update={"requirements": requirements.model_copy(update={"max_batch": wanted})})


def _with_facts(problem: Problem, answer: AnyAnswer) -> AnyAnswer:
    """The answer with what was read of the model, and what is to be said of memory."""
    said = (*answer.explanation, *memory_sentences(problem, answer.strategy))
    return replace(_read(problem, answer), explanation=said)


def _read(problem: Problem, answer: AnyAnswer) -> AnyAnswer:
    """The answer with what was read of the model, and what was assumed of the hardware."""
    several = problem.hardware.nodes > 1
    return replace(answer, model=model_read(problem.model), assumed=problem.hardware.assumed if several else ())


def refuse_contexts(problem: Problem, fixed: Fixed | None = None) -> None:
    """Refuse degrees of decode context parallelism of which the engine runs none with the model, whatever TP may be."""
    fixed, search = fixed or Fixed(), problem.search
    wanted, field = search.decode_context_parallel, "search.decode_context_parallel"
    if fixed.decode_context_parallel is not None:
        wanted, field = (fixed.decode_context_parallel,), "--dcp"
    if wanted is None:
        return
    tensor = (fixed.tensor_parallel,) if fixed.tensor_parallel else tensor_degrees(problem)
    cache = fixed.kv_precision and (fixed.kv_precision,)
    caches = cache or search.kv_precision or (problem.model.native_kv_format,)
    run = sorted({n for tp in tensor for one in caches for n in context_degrees(problem, tp, str(one))})
    if not set(wanted) & set(run):
        tp = f" at TP {tensor[0]}" if len(tensor) == 1 else ""
        raise ProblemError(
            field,
            f"{', '.join(map(str, wanted))}: {problem.engine} runs {problem.model.name} with {', '.join(map(str, run))}{tp} "
            "(docs/model.md, section 8)",
        )


def check_fixed(problem: Problem, fixed: Fixed) -> None:
    """Refuse fixed decisions that contradict each other, the model or the GPU."""
    gpu = problem.hardware.gpu
    for option, degree in (
        ("--tp", fixed.tensor_parallel),
        ("--pp", fixed.pipeline_parallel),
        ("--ep", fixed.expert_parallel),
    ):
        if not gpu.peer_links and degree not in (None, 1):
            raise ProblemError(option, no_peers(gpu))
    refuse_contexts(problem, fixed)
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
