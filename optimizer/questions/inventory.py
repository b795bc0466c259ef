"""What a program calls for inventories: ``load_inventory``, ``solve_inventory``, ``check_inventory``."""

from __future__ import annotations

import time
from collections.abc import Callable
from dataclasses import replace
from typing import TYPE_CHECKING, Literal

from optimizer.explain.common.patience import EXPLAIN_WITHIN_S, NOT_ALL_TRIED
from optimizer.explain.inventory.answer import behind, beside_sentence, inventory_sentences
from optimizer.explain.inventory.cuts import beyond
from optimizer.explain.inventory.little_used import little_used
from optimizer.explain.uniform.memory_words import machine_sentences
from optimizer.facts.errors import ProblemError
from optimizer.facts.inventory import InventoryProblem, Rate
from optimizer.reading.inventory_file import inventory_from_dict, load_inventory
from optimizer.results.answer import WITHIN_SEARCHED, Fixed, model_read, with_verification
from optimizer.results.inventory import InventoryAnswer, LeastObjective, RateRange
from optimizer.search.inventory.answer import answer_with, answer_without, plan_label, with_plan
from optimizer.search.inventory.candidates import Candidates
from optimizer.search.inventory.found import InventoryFound, Placed
from optimizer.search.inventory.solve import InventorySolver

if TYPE_CHECKING:
    from optimizer.search.uniform.solve import Progress

__all__ = ["check_inventory", "inventory_from_dict", "load_inventory", "solve_inventory"]

_ENDS = ("low", "high")
RANGES_WITHIN_S = 10.0
"""A search that took longer is not repeated for the ends of the failure rates."""
_OF_THE_SEARCH = 0.25
"""Part of the time before that the searches at the ends of the failure rates may take."""
Explain = Literal["nothing", "conflict", "repairs"]
"""How much is said about an infeasible inventory."""
SEARCHED = 0.8
"""Part of a time limit that the search may take."""


def solve_inventory(
    problem: InventoryProblem,
    *,
    time_limit_s: float | None = None,
    progress: Callable[[Progress], None] | None = None,
    workers: int = 1,
    ranges: bool = True,
    explain: Explain = "repairs",
    gap: float = 0.0,
) -> InventoryAnswer:
    """The provably best instances for an inventory, where they stand, and what failures do to them, verified.

    Args:
        problem: from ``load_inventory``.
        time_limit_s: wall-clock limit of the answer, verification included; None searches until it is proved.
        progress: called with each improvement while the search runs.
        workers: of the solver; more than one gives up determinism of the path, not of the proof.
        ranges: solve again at both ends of the failure rates, where the first search was quick.
        explain: how much is said about an infeasible inventory: its conflict, and the changes that help.
        gap: the share of the value by which the proved bound may be below it: no search beyond. Presets that put something before
            the objective are searched to their end.

    Returns:
        ``optimal`` only when bound and value meet in the same whole millisecond and the verifier agrees.

    Raises:
        ProblemError: an unknown rule is switched off.
    """
    return _answer(problem, None, time_limit_s, progress, workers, ranges, explain, gap)


def check_inventory(
    problem: InventoryProblem,
    fixed: Fixed,
    *,
    time_limit_s: float | None = None,
    progress: Callable[[Progress], None] | None = None,
    repairs: bool = False,
) -> InventoryAnswer:
    """The same with decisions fixed: every instance has the given TP, PP, EP and formats, and there are DP replicas.

    Args:
        problem: from ``load_inventory``.
        fixed: the decisions.
        time_limit_s: as for ``solve_inventory``, for two searches together.
        progress: as for ``solve_inventory``.
        repairs: look for the least changes that help where nothing with these decisions works.

    Raises:
        ProblemError: a decision that inventories do not take (slots, layers).
    """
    if fixed.max_num_seqs is not None or fixed.layers_per_stage is not None:
        raise ProblemError("--max-num-seqs, --layers", "are not taken with cluster; fix TP, PP, DP, EP or formats")
    explain: Explain = "repairs" if repairs else "conflict"
    started = time.monotonic()
    half = None if time_limit_s is None else time_limit_s / 2
    answer = _answer(problem, fixed, half, progress, 1, ranges=False, explain=explain)
    left = None if time_limit_s is None else max(half or 0.0, time_limit_s - (time.monotonic() - started))
    optimum = _answer(problem, None, left, progress, 1, ranges=False, explain="nothing")
    if not answer.pools or answer.objective is None:
        feasible = False if answer.status == "infeasible" else None
        said = (*answer.explanation, beside_sentence(problem, answer, optimum))
        return replace(answer, feasible=feasible, optimum=optimum, explanation=said)
    best, outside = optimum.objective, beyond(problem, fixed)
    if best is None and optimum.status == "infeasible":  # of what is searched: here stands a set of instances beyond it
        optimum = replace(optimum, within=WITHIN_SEARCHED, cut_by=outside)
    said = (*answer.explanation, beside_sentence(problem, answer, optimum, outside))
    if best is None:
        return replace(answer, feasible=True, optimum=optimum, status="feasible", explanation=said)
    value = answer.objective.value
    best_there_is = (
        optimum.status == "optimal"
        and answer.verification.passed
        and value in (best.value, None if optimum.least is None else optimum.least.value_ms)
        and not outside
        and not behind(problem, answer, optimum)
    )
    bound = min(value, best.bound if optimum.least is None else optimum.least.value_ms)
    objective = replace(answer.objective, bound=bound, gap=(value - bound) / max(value, 1.0))
    return replace(
        answer,
        status="optimal" if best_there_is else "feasible",
        objective=objective,
        feasible=True,
        optimum=optimum,
        explanation=said,
    )


def _answer(
    problem: InventoryProblem,
    fixed: Fixed | None,
    time_limit_s: float | None,
    progress: Callable[[Progress], None] | None,
    workers: int,
    ranges: bool,
    explain: Explain = "repairs",
    gap: float = 0.0,
) -> InventoryAnswer:
    from optimizer.verify.inventory import verify_inventory
    from optimizer.verify.inventory.budget import BESIDE_WITHIN_S, ENUMERATED_WITHIN_S

    started = time.monotonic()
    last = None if time_limit_s is None else started + time_limit_s
    # What is found has to be placed, recomputed and explained within the limit too.
    deadline = None if time_limit_s is None else started + SEARCHED * time_limit_s
    refuse_unknown_rules(problem)
    refuse_unpriced(problem)
    candidates = Candidates(problem, fixed)
    solver = InventorySolver(
        problem, candidates, fixed=fixed, deadline=deadline, progress=progress, workers=workers, gap=gap
    )
    found, least = solver.run(), None
    if fixed is None and problem.objective.tolerance and found.status == "optimal" and found.best is not None:
        found, least = _sparing(problem, candidates, solver, found)
    if found.best is None:
        answer = answer_without(problem, candidates, found)
    else:
        answer = replace(answer_with(problem, candidates, solver, found, found.best), least=least)
        if least is not None:
            answer = replace(answer, multipliers=solver.multipliers(found.best))
        if ranges and found.status == "optimal":
            quick = time.monotonic() - started < RANGES_WITHIN_S
            until = _no_longer(started, deadline) if quick else time.monotonic()
            answer = replace(answer, ranges=tuple(_ranges(problem, candidates, solver, found.best, until)))
    seconds = ENUMERATED_WITHIN_S if fixed is None or not answer.pools else BESIDE_WITHIN_S
    verified = verify_inventory(problem, answer, fixed or Fixed(), deadline=last, seconds=seconds)
    answer = with_verification(answer, verified)
    refuted, answer = answer.explanation, replace(answer, explanation=())
    said = _ends_left_out(problem, answer) if ranges and answer.status == "optimal" else ()
    if answer.status == "infeasible" and explain != "nothing":
        answer = _explained(problem, answer, fixed or Fixed(), progress, last, repairs=explain == "repairs")
    sentences = (
        *refuted,
        *inventory_sentences(problem, answer, found),
        *(little_used(problem, answer, solver, found.best) if fixed is None and found.best is not None else ()),
        *said,
        *answer.explanation,
        *machine_sentences(problem.engine_overhead, [group.gpu for group in problem.groups]),
    )
    return replace(answer, explanation=sentences, model=model_read(problem.model), assumed=problem.assumed)


def without_tolerance(problem: InventoryProblem) -> InventoryProblem:
    """The problem whose best set of instances is the one with the least objective, whatever it spends."""
    return problem.model_copy(update={"objective": problem.objective.model_copy(update={"tolerance": 0.0})})


def _sparing(
    problem: InventoryProblem, candidates: Candidates, solver: InventorySolver, found: InventoryFound
) -> tuple[InventoryFound, LeastObjective | None]:
    """What spends least within the tolerance of the best, and the best where that is another; both recomputed by the verifier."""
    from optimizer.verify.inventory import verify_inventory

    best = found.best
    assert best is not None
    try:
        spared = solver.spare(best)
    except KeyboardInterrupt:
        return found, None
    if spared.best.plan.key == best.plan.key:
        return replace(found, ties_settled=spared.proved), None
    claimed = with_plan(problem, candidates, solver, best)
    if not verify_inventory(problem, claimed, exhaustive=False).passed:
        return found, None
    least = LeastObjective(best.whole_ms, claimed.gpus_used, claimed.price_per_hour, claimed.label)
    leaner = replace(found, best=spared.best, ties_settled=spared.proved)
    if not spared.proved:
        return replace(leaner, status="feasible", bound_ms=best.whole_ms), least
    return replace(leaner, bound_ms=spared.best.whole_ms), least


def _ends_left_out(problem: InventoryProblem, answer: InventoryAnswer) -> tuple[str, ...]:
    """What was not looked at of the ranges of the failure rates, and how to ask for it."""
    done = {one.end for one in answer.ranges}
    left = [end for end in _ENDS if end not in done and at_end(problem, end).failures != problem.failures]
    if not left:
        return ()
    words = " and at ".join({"low": "the worst", "high": "the best"}[end] for end in left)
    return (
        f"Whether the choice stays the same at {words} failure rates of their range was left out for time; "
        "optimizer how-sure looks at them.",
    )


def _explained(
    problem: InventoryProblem,
    answer: InventoryAnswer,
    fixed: Fixed,
    progress: Callable[[Progress], None] | None,
    last: float | None,
    *,
    repairs: bool,
) -> InventoryAnswer:
    """With the conflict of an infeasible inventory, and its repairs where asked for; Ctrl-C keeps what was found."""
    from optimizer.explain.inventory.conflict import inventory_conflict
    from optimizer.explain.inventory.cuts import inventory_cut, with_cut
    from optimizer.explain.inventory.repair import inventory_repairs
    from optimizer.explain.inventory.trial import Trials

    started = time.monotonic()

    def trials(phase: str) -> Trials:
        if progress is not None:
            from optimizer.search.uniform.solve import Progress

            progress(Progress(time.monotonic() - started, phase=phase))
        return Trials(fixed, EXPLAIN_WITHIN_S if last is None else max(0.0, last - time.monotonic()))

    try:
        answer = replace(answer, conflicts=(inventory_conflict(problem, trials("finding what conflicts")),))
        if repairs:
            tried = trials("finding the least changes that help")
            found = inventory_repairs(problem, fixed, answer.conflicts[0], tried)
            said = (NOT_ALL_TRIED,) if tried.cut else ()
            answer = replace(answer, repairs=found, explanation=(*answer.explanation, *said))
        if not fixed.any:
            cut = inventory_cut(problem, answer.repairs, trials("finding whether a wider search helps"))
            answer = with_cut(answer, cut)
    except KeyboardInterrupt:
        # It is proved infeasible all the same.
        return answer
    return answer


def refuse_unpriced(problem: InventoryProblem) -> None:
    """Refuse to look for the cheapest where not every price is known.

    Raises:
        ProblemError: naming the group without a price.
    """
    if problem.objective.preset != "cheapest":
        return
    for number, group in enumerate(problem.groups):
        if group.price_per_gpu_hour is None:
            said = f"of group {group.name} is not stated; objective cheapest needs the price of every GPU"
            raise ProblemError(f"cluster.{number}.price_per_gpu_hour", said)


def refuse_unknown_rules(problem: InventoryProblem) -> None:
    """Refuse ``search.disabled_rules`` that name nothing.

    Raises:
        ProblemError: with the closest known names.
    """
    from optimizer.facts.errors import closest
    from optimizer.search.uniform.rules import rule_ids

    own = (*(f"survive_{losses.level}" for losses in problem.survive), *(one.rule for one in problem.power_limits))
    known = (*own, *rule_ids(problem.instance_problem(problem.groups[0], 1)))
    for rule in problem.search.disabled_rules:
        if rule not in known:
            raise ProblemError("search.disabled_rules", f"no rule {rule!r} here; {closest(rule, known)}")


def _no_longer(started: float, deadline: float | None) -> float:
    """When the searches at the ends of the failure rates stop: a second, or a part of what all before took."""
    now = time.monotonic()
    until = now + max(1.0, _OF_THE_SEARCH * (now - started))
    return until if deadline is None else min(until, deadline)


def _ranges(
    problem: InventoryProblem, candidates: Candidates, solved: InventorySolver, best: Placed, deadline: float | None
) -> list[RateRange]:
    """The best choice at both ends of the failure rates: each search begins with the best plan at the stated rates."""
    found = []
    start = solved.ended
    for end in _ENDS:
        changed = at_end(problem, end)
        if changed.failures == problem.failures or (deadline is not None and time.monotonic() >= deadline):
            continue
        solver = InventorySolver(changed, candidates.again(changed), deadline=deadline, start=start)
        there = solver.run()
        if there.best is None or there.status != "optimal":
            continue
        chosen = there.best
        if problem.objective.tolerance:
            spared = solver.spare(chosen)
            if not spared.proved:
                continue
            chosen = spared.best
        same = chosen.plan.key == best.plan.key
        found.append(RateRange(end, chosen.value.availability, same, plan_label(problem, candidates, chosen)))
    return found


def at_end(problem: InventoryProblem, end: str) -> InventoryProblem:
    """The problem with every mean time between failures at one end of its range, and repair at the other."""

    def pick(rate: Rate | None, which: str) -> Rate | None:
        return None if rate is None else rate.model_copy(update={"value": getattr(rate, which)})

    other = {"low": "high", "high": "low"}[end]
    failures = problem.failures
    changes = {
        name: pick(getattr(failures, name), other if name == "repair_hours" else end)
        for name in type(failures).model_fields
    }
    return problem.model_copy(update={"failures": failures.model_copy(update=changes)})
