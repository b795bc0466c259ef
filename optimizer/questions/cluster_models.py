"""``solve`` and ``check`` for several models on one inventory. ``docs/several.md``, section 8."""

from __future__ import annotations

import time
from collections.abc import Callable
from dataclasses import replace
from typing import TYPE_CHECKING, Any

from optimizer.explain.common.numbers import amount, milliseconds
from optimizer.explain.common.patience import EXPLAIN_WITHIN_S, NOT_ALL_TRIED
from optimizer.explain.inventory.conflict import inventory_conflict
from optimizer.explain.inventory.trial import Trials
from optimizer.explain.several.cluster_conflict import alone, cluster_conflict, fits, part_of
from optimizer.explain.several.cluster_repair import cluster_repairs
from optimizer.explain.several.cluster_why import exchanges, limits_of, one_more_node, sentences
from optimizer.facts.cluster_models import ClusterModelsProblem
from optimizer.facts.errors import ProblemError, closest
from optimizer.facts.proposal import ClusterModelsProposal, Proposal
from optimizer.questions.inventory import SEARCHED, refuse_unknown_rules
from optimizer.results.answer import Conflict, Fixed, unverified, with_verification
from optimizer.results.cluster_models import ClusterModelsAnswer, InventoryShare
from optimizer.search.common.clock import Clock
from optimizer.search.common.solver import CtrlC
from optimizer.search.inventory.power_rules import power_results
from optimizer.search.several.cluster_answer import left_of, objective_of, price_of, shares_of
from optimizer.search.several.cluster_solve import SharedSolver, SharedSplit, TablesOfModels
from optimizer.verify.several.cluster_check import verify_cluster_models

if TYPE_CHECKING:
    from optimizer.search.uniform.solve import Progress

EXCHANGED_WITHIN_S = 10.0
"""Seconds for what moving the border and one node more would bring, where no time limit is stated."""


def solve_cluster_models(
    problem: ClusterModelsProblem,
    *,
    time_limit_s: float | None = None,
    progress: Callable[[Progress], None] | None = None,
    repairs: bool = True,
    reasons: bool = True,
    gap: float = 0.0,
) -> ClusterModelsAnswer:
    """The provably best split of an inventory between the models, verified, or why there is none.

    Args:
        problem: from ``load_problem``.
        time_limit_s: wall-clock limit of the answer, verification included; None searches until it is proved.
        progress: told of each improvement.
        repairs: look for changes that make an infeasible problem feasible.
        reasons: say what moving the border between the models, and a node more, would bring.
        gap: the share of the value by which the proved bound may be below it: no search beyond.

    Raises:
        ProblemError: an unknown rule is switched off; the message names the field.
    """
    for number, served in enumerate(problem.models):
        try:
            refuse_unknown_rules(served.problem)
        except ProblemError as error:
            raise ProblemError(f"models.{number}.{error.field}", error.message) from None
    started = time.monotonic()
    deadline = None if time_limit_s is None else started + SEARCHED * time_limit_s
    known = TablesOfModels.of(problem)
    with CtrlC() as ctrl_c:
        solver = SharedSolver(problem, known, deadline=deadline, progress=progress, gap=gap, ctrl_c=ctrl_c)
        found = solver.run()
        if found.status == "infeasible" and found.best is None:
            # Pipelines over two groups are for models that nothing else serves.
            solver = SharedSolver(
                problem, known, deadline=deadline, progress=progress, gap=gap, ctrl_c=ctrl_c, pairs=True
            )
            found = solver.run()
        left = Clock(None if time_limit_s is None else max(0.01, started + time_limit_s - time.monotonic()), ctrl_c)
        if found.best is None:
            if found.status != "infeasible":
                return _empty(problem, "unknown", ("The search ended before any split was found; allow more time.",))
            return _none(problem, known, left, repairs)
        answer = _answer(problem, solver, found.best, found.status, found.bound)
        last = None if time_limit_s is None else started + time_limit_s
        answer = with_verification(answer, verify_cluster_models(problem, answer, deadline=last))
        said = [*answer.explanation, *sentences(problem, answer)]
        if answer.status == "optimal" and reasons:
            patience = Clock(EXCHANGED_WITHIN_S if left.limit_s is None else left.left_s, ctrl_c)
            moved = exchanges(problem, solver, patience)
            said += [one.sentence for one in moved]
            said += one_more_node(problem, found.best, patience)
            answer = replace(answer, exchange=moved)
        elif answer.status == "feasible" and answer.objective is not None:
            said.append(
                f"The search ended before the best split was proved: none is better by more than {answer.objective.gap:.2%}."
            )
    return replace(answer, explanation=tuple(said))


def _none(problem: ClusterModelsProblem, known: TablesOfModels, clock: Clock, repairs: bool) -> ClusterModelsAnswer:
    """Why nothing works: models that nothing serves even alone, else what does not fit together."""
    if clock.limit_s is None:
        clock = Clock(EXPLAIN_WITHIN_S, clock.ctrl_c)
    conflicts: list[Conflict] = []
    said: list[str] = []
    for number, served in enumerate(problem.models):
        if fits(alone(problem, number), part_of(known, [number]), clock, pairs=True) is False:
            found = inventory_conflict(served.problem, Trials(Fixed(), clock.left_s or EXPLAIN_WITHIN_S))
            said.append(
                f"{served.name} cannot be served even with all {problem.gpus:,} free GPUs to itself, by what is searched."
            )
            rules = tuple(f"{served.name}: {rule}" for rule in found.rules)
            conflicts.append(Conflict(rules, f"{served.name}: {found.sentence}", found.minimal))
    if not conflicts:
        conflicts.append(cluster_conflict(problem, known, clock))
        said.append(conflicts[0].sentence)
    changes, cut = cluster_repairs(problem, known, Clock(clock.left_s, clock.ctrl_c)) if repairs else ((), False)
    said += [NOT_ALL_TRIED] if cut else []
    answer = replace(_empty(problem, "infeasible", tuple(said)), conflicts=tuple(conflicts), repairs=changes)
    return with_verification(answer, verify_cluster_models(problem, answer))


def _answer(
    problem: ClusterModelsProblem, solver: SharedSolver, split: SharedSplit, status: Any, bound: int | None
) -> ClusterModelsAnswer:
    return _with_shares(problem, shares_of(problem, solver, split), status, bound if status != "optimal" else None)


def _with_shares(
    problem: ClusterModelsProblem, shares: tuple[InventoryShare, ...], status: Any, bound: int | None
) -> ClusterModelsAnswer:
    return replace(
        _empty(problem, status, ()),
        models=shares,
        left=left_of(problem, shares),
        objective=objective_of(problem, shares, bound),
        price_per_hour=price_of(shares),
    )


def _empty(problem: ClusterModelsProblem, status: Any, said: tuple[str, ...]) -> ClusterModelsAnswer:
    return ClusterModelsAnswer(
        problem=problem.name,
        status=status,
        models=(),
        left=(),
        objective=None,
        price_per_hour=None,
        verification=unverified(),
        explanation=said,
        search_limits=limits_of(problem),
        assumed=problem.inventory.assumed,
    )


def check_cluster_models(
    problem: ClusterModelsProblem,
    proposal: ClusterModelsProposal,
    *,
    time_limit_s: float | None = None,
    progress: Callable[[Progress], None] | None = None,
) -> ClusterModelsAnswer:
    """Whether the instances that are proposed for each model keep every rule and share no GPU, and the best split beside them.

    Args:
        proposal: the instances of every model; formats, layer splits, places and shares that it leaves out are chosen.

    Raises:
        ProblemError: a model is not there or is left out, a group or node is not there, or parts contradict each other.
    """
    from optimizer.questions.check_placement import judged_instances, shape_refused
    from optimizer.search.inventory.proposed import ShapeNotAllowed, Taken, proposed_plan

    names = [one.name for one in problem.models]
    for name in proposal.models:
        if name not in names:
            raise ProblemError(f"models.{name}", f"is no model of this problem; {closest(name, names)}")
    missing = next((name for name in names if name not in proposal.models), None)
    if missing is not None:
        raise ProblemError(f"models.{missing}", "is missing: every model of an inventory needs its instances")
    asked: list[Any] = [None] * len(names)
    judged: list[Any] = [None] * len(names)
    taken: Taken = set()
    # Models that name their GPUs go first, so that others take what is left of the nodes they name.
    for number in sorted(range(len(names)), key=lambda n: _unnamed(proposal.models[names[n]])):
        served = problem.models[number]
        try:
            asked[number] = proposed_plan(served.problem, proposal.models[served.name], taken)
        except ShapeNotAllowed as refused:
            judged[number] = shape_refused(served.problem, refused, time_limit_s, progress)
        except ProblemError as error:
            raise ProblemError(f"models.{served.name}.{error.field}", error.message) from None
    asked = _placed_together(problem, proposal, asked)
    judged = [
        one if one is not None else judged_instances(served.problem, plan)
        for served, plan, one in zip(problem.models, asked, judged, strict=True)
    ]
    shares = tuple(
        InventoryShare(served.name, served.weight, one) for served, one in zip(problem.models, judged, strict=True)
    )
    optimum = solve_cluster_models(problem, time_limit_s=time_limit_s, progress=progress, repairs=False, reasons=False)
    return _beside(problem, shares, optimum)


def _unnamed(proposal: Proposal) -> int:
    """Instances that do not name their GPUs."""
    return sum(one.gpus is None for one in proposal.instances)


def _placed_together(problem: ClusterModelsProblem, proposal: ClusterModelsProposal, asked: list[Any]) -> list[Any]:
    """With places for the instances of models that name none, beside those of models that do."""
    from optimizer.search.inventory.placing import Rooms, room_of
    from optimizer.search.several.cluster_place import spread_out

    free = [
        number
        for number, (served, plan) in enumerate(zip(problem.models, asked, strict=True))
        if plan is not None and all(one.nodes is None for one in proposal.models[served.name].instances)
    ]
    rooms: Rooms = {}
    for number, plan in enumerate(asked):
        for stand in (plan.stands or ()) if plan is not None and number not in free else ():
            for (group, node), gpus in zip(stand.nodes, stand.gpus, strict=True):
                room = rooms.setdefault((group, node), room_of(problem.groups[group]))
                for part in room:
                    part[:] = [gpu for gpu in part if gpu not in gpus]
    wanted = [(problem.models[number].problem, asked[number].candidates, asked[number].plan) for number in free]
    for spread in (True, False):
        copied = {node: [list(part) for part in room] for node, room in rooms.items()}
        stands = spread_out(wanted, spread, copied)
        if stands is not None:
            break
    found = list(asked)
    for place, number in enumerate(free):
        found[number] = replace(asked[number], stands=None if stands is None else stands[place])
    return found


def _beside(
    problem: ClusterModelsProblem, shares: tuple[InventoryShare, ...], optimum: ClusterModelsAnswer
) -> ClusterModelsAnswer:
    """The judgement of what was proposed, with the optimum and what is said of both."""
    said: list[str] = []
    conflicts: list[Conflict] = []
    twice = _taken_twice(shares)
    if twice:
        text = f"Two instances take the same GPU: {', '.join(twice[:5])}{' and more' if twice[5:] else ''}."
        conflicts.append(Conflict(("placement",), text, True))
    used = dict.fromkeys((group.name for group in problem.groups), 0)
    for share in shares:
        for group, gpus in share.gpus_by_group.items():
            used[group] += gpus
    off = {rule for served in problem.models for rule in served.problem.search.disabled_rules}
    for rule in power_results(problem.inventory, list(used.values())):
        if not rule.holds and rule.id not in off:
            figures = f"{amount(rule.actual, rule.unit)} of {amount(rule.limit, rule.unit)}"
            conflicts.append(Conflict((rule.id,), f"{rule.sentence} Of all models together it is {figures}.", True))
    unknown = False
    for share in shares:
        if share.answer.status == "infeasible":
            for one in share.answer.conflicts:
                rules = tuple(f"{share.name}: {rule}" for rule in one.rules)
                conflicts.append(Conflict(rules, f"{share.name}: {one.sentence}", one.minimal))
        unknown |= share.answer.status == "unknown"
    feasible = None if unknown else not conflicts
    status: Any = "unknown" if unknown else "feasible" if feasible else "infeasible"
    answer = _with_shares(problem, shares, status, None)
    answer = replace(answer, feasible=feasible, optimum=optimum, conflicts=tuple(conflicts))
    value, best = answer.objective, optimum.objective
    said += [conflict.sentence for conflict in conflicts]
    if feasible and value is not None and best is not None:
        if value.value > best.value:
            more = milliseconds(value.value - best.value)
            said.append(f"The best split that was found is better by {more} of the weighted sum: {optimum.label}.")
        elif optimum.status == "optimal":
            answer = replace(answer, status="optimal")
        answer = replace(answer, objective=replace(value, bound=min(value.value, best.bound)))
    elif best is not None:
        said.append(f"The best split is {optimum.label}: {milliseconds(best.value)} of the weighted sum.")
    verification = verify_cluster_models(problem, answer, exhaustive=False)
    answer = with_verification(answer, verification)
    told = sentences(problem, answer) if feasible else []
    return replace(answer, explanation=(*answer.explanation, *said, *told))


def _taken_twice(shares: tuple[InventoryShare, ...]) -> list[str]:
    """GPUs that more than one instance takes, by name."""
    seen: dict[str, int] = {}
    for share in shares:
        for one in share.answer.placement.instances if share.answer.placement else ():
            for place in one.gpus:
                seen[place.name] = seen.get(place.name, 0) + 1
    return [name for name, times in seen.items() if times > 1]
