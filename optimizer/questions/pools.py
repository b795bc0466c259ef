"""``solve`` and ``check`` for prefill and decode pools. ``docs/disaggregated.md``."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from typing import TYPE_CHECKING, Any

from optimizer.engines.transfer import transfer_of
from optimizer.explain.pools.conflict import conflict_of, nearest_pair
from optimizer.explain.pools.repair import repairs_of
from optimizer.explain.pools.why import limits_of, sentences
from optimizer.explain.uniform.memory_words import pool_sentences
from optimizer.facts.errors import ProblemError
from optimizer.facts.one_group import one_group
from optimizer.facts.problem import Problem
from optimizer.results.answer import model_read, unverified, with_verification
from optimizer.results.pools import FixedPools, PoolsAnswer
from optimizer.search.common.clock import Clock
from optimizer.search.common.solver import CtrlC
from optimizer.search.pools.answer import judge_rules, metrics_of, objective_of, strategy_of
from optimizer.search.pools.model import PoolColumns, check_rules, rule_ids
from optimizer.search.pools.solve import RowPair, active_rules, best, columns_of, feasible
from optimizer.verify.pools.check import verify_pools
from optimizer.verify.pools.pair import Shapes

if TYPE_CHECKING:
    from optimizer.search.uniform.solve import Progress

MOST_GPUS = 512
"""More GPUs are searched as one group of an inventory, where that means the same."""


def refuse(problem: Problem, *, gpus: bool = True) -> None:
    """What pools cannot be asked with, said by its field.

    Args:
        gpus: also more GPUs than are searched on equal nodes.

    Raises:
        ProblemError: the first such field.
    """
    work, limits, search = problem.workload, problem.requirements, problem.search

    def no(field: str, why: str) -> ProblemError:
        return ProblemError(field, f"{why} with serving: {problem.serving}; leave it out, or state serving: joint")

    transfer_of(problem.engine)
    if gpus and problem.hardware.gpus > MOST_GPUS and one_group(problem) is None:
        raise no(
            "hardware.nodes",
            f"NVLink domains over nodes with more than {MOST_GPUS:,} GPUs are searched on an inventory (cluster:), not",
        )
    if not problem.hardware.gpu.peer_links:
        raise no("hardware.gpu", f"{problem.hardware.gpu.name} reaches no other GPU, so that no cache can be sent")
    if work.prefix is not None:
        raise no("workload.prefix", "what is shared between prompts is not modelled")
    if work.speculation is not None:
        raise no("workload.speculation", "guessed tokens are not modelled")
    for name in ("e2e_p50_ms", "e2e_p99_ms", "goodput"):
        if getattr(limits, name) is not None:
            raise no(f"requirements.{name}", "a limit on whole requests is not modelled; limit TTFT and TPOT instead")
    if not problem.paged:
        raise no("search.kv_reservation", "full is not modelled")
    if search.pipeline_parallel is not None and 1 not in search.pipeline_parallel:
        raise no("search.pipeline_parallel", "pools without a PP of 1 are not searched")
    if search.data_parallel is not None:
        raise no("search.data_parallel", "counts of instances are not restricted so")
    if problem.costs is not None:
        raise no("--costs", f"{problem.costs.label} costs are not known of pools")
    if len(problem.variants()) > 1:
        raise no("search.token_budgets", "several token budgets are not compared")
    latency = problem.objective.latency_weight
    if latency is not None and latency != int(latency):
        raise no("objective.latency_weight", f"{latency} is no whole number, which is needed")


def solve_pools(
    problem: Problem,
    fixed: FixedPools = FixedPools(),
    *,
    time_limit_s: float | None = None,
    progress: Callable[[Progress], None] | None = None,
    repairs: bool = True,
    shapes: Shapes | None = None,
) -> PoolsAnswer:
    """The provably best pair of pools, verified, or why there is none.

    Args:
        problem: from ``load_problem``, with whatever ``serving``.
        fixed: decisions that replace what is searched.
        time_limit_s: of the search; None searches until it is proved.
        repairs: look for changes that make an infeasible problem feasible.
        shapes: the verifier's, for whoever asks more about the same problem.

    Raises:
        ProblemError: what is asked is not modelled for pools; the message names the field.
    """
    refuse(problem)
    check_rules(problem, rule_ids(problem))
    with CtrlC() as ctrl_c:
        clock = Clock(time_limit_s, ctrl_c)
        columns = columns_of(problem, fixed)
        found = best(problem, fixed, columns, clock)
        if found.pair is None or columns is None:
            return _none(problem, fixed, columns, found.outcome, clock, repairs)
        bound = found.bound_ns if found.outcome != "optimal" else None
        answer = _answer(problem, columns, found.pair, found.outcome, bound)
        verification = verify_pools(problem, answer, fixed, exhaustive=not ctrl_c.came, shapes=shapes)
    answer = with_verification(answer, verification)
    return _told(problem, columns, found.pair, answer)


def _told(problem: Problem, columns: PoolColumns, pair: RowPair, answer: PoolsAnswer) -> PoolsAnswer:
    """The answer with why it is so, and what is to be said of memory."""
    said = [*answer.explanation, *sentences(problem, columns, pair, answer)]
    if answer.strategy is not None:
        said += pool_sentences(problem, "Prefill", answer.strategy.prefill)
        said += pool_sentences(problem, "Decode", answer.strategy.decode)
    return replace(answer, explanation=tuple(said))


def found_pools(problem: Problem, fixed: FixedPools, clock: Clock) -> PoolsAnswer | None:
    """The best pair of pools, neither verified nor explained; None where there is none, or none was found in time.

    Raises:
        ProblemError: as for ``solve_pools``.
    """
    refuse(problem)
    check_rules(problem, rule_ids(problem))
    columns = columns_of(problem, fixed)
    found = best(problem, fixed, columns, clock)
    if found.pair is None or columns is None:
        return None
    return _answer(problem, columns, found.pair, found.outcome, found.bound_ns if found.outcome != "optimal" else None)


def _none(
    problem: Problem, fixed: FixedPools, columns: PoolColumns | None, outcome: str, clock: Clock, repairs: bool
) -> PoolsAnswer:
    if outcome != "infeasible":
        return _empty(problem, "unknown", ("The search ended before any pair of pools was found; allow more time.",))
    answer = _empty(problem, "infeasible", ())
    conflict = conflict_of(problem, columns, clock)
    said = [conflict.sentence]
    if columns is not None:
        said += nearest_pair(problem, columns, clock)
    changes = repairs_of(problem, fixed, conflict, clock) if repairs else ()
    answer = replace(answer, conflicts=(conflict,), repairs=changes, explanation=tuple(said))
    return with_verification(answer, verify_pools(problem, answer, fixed))


def check_pools(problem: Problem, fixed: FixedPools, *, time_limit_s: float | None = None) -> PoolsAnswer:
    """Whether a pair of pools keeps every rule, each with its slack, and the optimum beside it.

    Args:
        fixed: what is decided of either pool; what is left out is chosen as well as possible.

    Raises:
        ProblemError: a decision that no pair can have, or what is not modelled for pools.
    """
    refuse(problem)
    check_rules(problem, rule_ids(problem))
    for option, pool in (("--prefill", fixed.prefill), ("--decode", fixed.decode)):
        if pool.group is not None:
            raise ProblemError(option, f"group={pool.group} is for groups of cluster:; with hardware: there are none")
    clock = Clock(time_limit_s)
    columns = columns_of(problem, fixed)
    if columns is None:
        raise ProblemError(
            "--prefill", "no pair of pools has these decisions: a shape that the engine does not run, a pair that its connector "
            "does not join (docs/disaggregated.md, section 8), or more GPUs than there are"
        )  # fmt: skip
    optimum = solve_pools(problem, time_limit_s=time_limit_s, repairs=False)
    found = best(problem, fixed, columns, clock)
    fits = found.pair is not None
    pair = found.pair or _least_broken(problem, columns, clock)
    if pair is None:
        answer = _empty(problem, "unknown", ("The time limit was reached before the pools could be judged.",))
        return replace(answer, optimum=optimum)
    same = fits and optimum.status == "optimal" and optimum.strategy == strategy_of(columns, pair)
    status = "optimal" if same else "feasible" if fits else "infeasible"
    answer = replace(_answer(problem, columns, pair, status, None), feasible=fits, optimum=optimum)
    answer = with_verification(answer, verify_pools(problem, answer, fixed, exhaustive=False))
    return _told(problem, columns, pair, answer)


def _least_broken(problem: Problem, columns: PoolColumns, clock: Clock) -> RowPair | None:
    from optimizer.explain.pools.conflict import least_broken

    return least_broken(problem, columns, clock)


def _answer(problem: Problem, columns: PoolColumns, pair: RowPair, status: Any, bound_ns: int | None) -> PoolsAnswer:
    return PoolsAnswer(
        problem=problem.name,
        status=status,
        strategy=strategy_of(columns, pair),
        metrics=metrics_of(columns, pair),
        objective=objective_of(columns, pair, bound_ns),
        rules=judge_rules(columns, pair),
        verification=unverified(),
        explanation=(),
        link=columns.tables.costs.link.name,
        search_limits=limits_of(problem, columns),
        model=model_read(problem.model),
    )


def _empty(problem: Problem, status: Any, said: tuple[str, ...]) -> PoolsAnswer:
    from optimizer.costs.pools import link_between

    return PoolsAnswer(
        problem=problem.name,
        status=status,
        strategy=None,
        metrics=None,
        objective=None,
        rules=(),
        verification=unverified(),
        explanation=said,
        link=link_between(problem.hardware).name,
        search_limits=limits_of(problem, None),
        model=model_read(problem.model),
    )


__all__ = ["active_rules", "check_pools", "feasible", "refuse", "solve_pools"]
