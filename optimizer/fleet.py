"""What a program calls for inventories: ``load_inventory``, ``solve_fleet``, ``check_fleet``."""

from __future__ import annotations

import time
from collections.abc import Callable
from dataclasses import replace
from typing import TYPE_CHECKING

import numpy as np

from optimizer.answer import Fixed, Metrics, ObjectiveResult, RuleResult, Strategy, Verification
from optimizer.explain.fleet import beside_sentence, fleet_sentences
from optimizer.facts.errors import ProblemError
from optimizer.facts.inventory import FleetProblem, Rate
from optimizer.facts.inventory_file import inventory_from_dict, load_inventory
from optimizer.fleet_answer import FleetAnswer, LossScenario, Pool, PoolPart, RateRange, Reliability
from optimizer.placement import GpuPlace, PlacedInstance, Placement
from optimizer.search.fleet.losses import worst_losses
from optimizer.search.fleet.offers import MICRO, Offer, Offers
from optimizer.search.fleet.plan import Entry, offer_of
from optimizer.search.fleet.solve import FleetFound, FleetSolver, Placed
from optimizer.search.fleet.valuation import HOURS_PER_MONTH, SHARES
from optimizer.search.space import SpaceTooLargeError

if TYPE_CHECKING:
    from optimizer.search.solve import Progress

__all__ = ["check_fleet", "inventory_from_dict", "load_inventory", "solve_fleet"]

RANGES_WITHIN_S = 10.0
"""A search that took longer is not repeated for the ends of the failure rates."""
EXPLAIN_WITHIN_S = 10.0
"""Seconds for the conflict of an infeasible inventory, and again for its repairs."""
RULE_WORDS = {
    "gpu": "GPU",
    "node": "node",
    "rack": "rack",
    "zone": "zone",
}


def solve_fleet(
    problem: FleetProblem,
    *,
    time_limit_s: float | None = None,
    progress: Callable[[Progress], None] | None = None,
    workers: int = 1,
    ranges: bool = True,
) -> FleetAnswer:
    """The provably best instances for an inventory, where they stand, and what failures do to them, verified.

    Args:
        problem: from ``load_inventory``.
        time_limit_s: wall-clock limit of the search; None searches until it is proved.
        progress: called with each improvement while the search runs.
        workers: of the solver; more than one gives up determinism of the path, not of the proof.
        ranges: solve again at both ends of the failure rates, where the first search was quick.

    Returns:
        ``optimal`` only when bound and value meet in the same whole millisecond and the verifier agrees.

    Raises:
        ProblemError: an unknown rule is switched off, or the inventory offers too many shapes.
    """
    return _answer(problem, None, time_limit_s, progress, workers, ranges)


def check_fleet(
    problem: FleetProblem,
    fixed: Fixed,
    *,
    time_limit_s: float | None = None,
    progress: Callable[[Progress], None] | None = None,
) -> FleetAnswer:
    """The same with decisions fixed: every instance has the given TP, PP, EP and formats, and there are DP replicas.

    Raises:
        ProblemError: a decision that inventories do not take (slots, layers).
    """
    if fixed.max_num_seqs is not None or fixed.layers_per_stage is not None:
        raise ProblemError("--max-num-seqs, --layers", "are not taken with cluster; fix TP, PP, DP, EP or formats")
    answer = _answer(problem, fixed, time_limit_s, progress, 1, ranges=False)
    optimum = _answer(problem, None, time_limit_s, progress, 1, ranges=False, explain=False)
    if not answer.pools or answer.objective is None:
        feasible = False if answer.status == "infeasible" else None
        return replace(answer, feasible=feasible, optimum=optimum)
    best = optimum.objective
    if best is None:
        return replace(answer, feasible=True, optimum=optimum, status="feasible")
    value = answer.objective.value
    best_there_is = optimum.status == "optimal" and value <= best.value
    objective = replace(answer.objective, bound=best.bound, gap=max(0.0, value - best.bound) / max(value, 1.0))
    return replace(
        answer,
        status="optimal" if best_there_is else "feasible",
        objective=objective,
        feasible=True,
        optimum=optimum,
        explanation=(*answer.explanation, beside_sentence(answer, optimum)),
    )


def _answer(
    problem: FleetProblem,
    fixed: Fixed | None,
    time_limit_s: float | None,
    progress: Callable[[Progress], None] | None,
    workers: int,
    ranges: bool,
    explain: bool = True,
) -> FleetAnswer:
    from optimizer.verify.fleet import verify_fleet

    started = time.monotonic()
    deadline = None if time_limit_s is None else started + time_limit_s
    refuse_unknown_rules(problem)
    try:
        offers = Offers(problem, fixed)
    except SpaceTooLargeError as error:
        raise ProblemError("search", str(error)) from None
    solver = FleetSolver(problem, offers, fixed=fixed, deadline=deadline, progress=progress, workers=workers)
    found = solver.run()
    if found.best is None:
        answer = _without(problem, offers, found)
    else:
        answer = _with(problem, offers, solver, found, found.best)
        quick = time.monotonic() - started < RANGES_WITHIN_S
        if ranges and quick and found.status == "optimal":
            answer = replace(answer, ranges=tuple(_ranges(problem, offers, found.best, deadline)))
    answer = replace(answer, verification=verify_fleet(problem, answer, fixed or Fixed()))
    if found.status == "infeasible" and explain:
        answer = _explained(problem, answer, fixed or Fixed())
    return replace(answer, explanation=tuple(fleet_sentences(problem, answer, found)))


def with_plan(problem: FleetProblem, offers: Offers, solver: FleetSolver, placed: Placed) -> FleetAnswer:
    """An answer that claims a plan and its exact values, and nothing about better ones; not verified yet."""
    found = FleetFound("feasible", placed, 0, False, False, solver.rounds, 0.0, False)
    return _with(problem, offers, solver, found, placed)


def _explained(problem: FleetProblem, answer: FleetAnswer, fixed: Fixed) -> FleetAnswer:
    """With the conflict and the repairs of an infeasible inventory."""
    from optimizer.explain.fleet_conflict import fleet_conflict, fleet_repairs

    def solved(changed: FleetProblem) -> str | None:
        there = _answer(changed, fixed, EXPLAIN_WITHIN_S, None, 1, ranges=False, explain=False)
        return there.label if there.pools and there.verification.passed else None

    conflict = fleet_conflict(problem, fixed, EXPLAIN_WITHIN_S)
    return replace(answer, conflicts=(conflict,), repairs=fleet_repairs(problem, fixed, solved, EXPLAIN_WITHIN_S))


def refuse_unknown_rules(problem: FleetProblem) -> None:
    """Refuse ``search.disabled_rules`` that name nothing.

    Raises:
        ProblemError: with the closest known names.
    """
    from optimizer.facts.errors import closest
    from optimizer.search.rules import rule_ids

    own = tuple(f"survive_{losses.level}" for losses in problem.survive)
    known = (*own, *rule_ids(problem.instance_problem(problem.groups[0], 1)))
    for rule in problem.search.disabled_rules:
        if rule not in known:
            raise ProblemError("search.disabled_rules", f"no rule {rule!r} here; {closest(rule, known)}")


def _without(problem: FleetProblem, offers: Offers, found: FleetFound) -> FleetAnswer:
    return FleetAnswer(
        problem=problem.name,
        status=found.status,
        pools=(),
        placement=None,
        objective=None,
        objective_exact_ms=None,
        gpus_used=0,
        gpus_free=problem.gpus,
        request_mean_ms=None,
        tokens_per_s=None,
        peak_tokens_per_s=None,
        price_per_hour=None,
        rules=(),
        losses=(),
        reliability=None,
        ranges=(),
        verification=Verification(False, 0, "not claimed", 0, ""),
        explanation=(),
        search_limits=tuple(_limits(problem, offers)),
    )


def _with(problem: FleetProblem, offers: Offers, solver: FleetSolver, found: FleetFound, best: Placed) -> FleetAnswer:
    pools = tuple(_pool(problem, offers, solver, best, entry) for entry in best.plan.entries)
    value, demand = best.value, problem.workload.requests_per_s
    hours = solver.valuation.hours_between_outages(best.plan, best.split, best.site, value)
    bound = float(found.bound_ms or 0)
    whole = float(best.whole_ms)
    used = best.plan.gpus(offers)
    prices = [problem.groups[entry.group].price_per_gpu_hour for entry in best.plan.entries]
    price = None
    if all(one is not None for one in prices):
        gpus = [offer_of(offers, entry).gpus * entry.count for entry in best.plan.entries]
        price = float(sum(count * (one or 0.0) for count, one in zip(gpus, prices, strict=True)))
    losses = tuple(_losses(problem, offers, best))
    return FleetAnswer(
        problem=problem.name,
        status=found.status,
        pools=pools,
        placement=_placement(problem, offers, best, pools),
        objective=ObjectiveResult(
            value=whole,
            bound=bound,
            gap=max(0.0, whole - bound) / max(whole, 1.0),
            unit="ms",
            terms={"served": value.served_ms, "unserved": value.unserved_ms, "gpus": value.gpus_ms},
        ),
        objective_exact_ms=value.exact_ms,
        gpus_used=used,
        gpus_free=problem.gpus,
        request_mean_ms=best.split.mean_ms,
        tokens_per_s=demand * problem.workload.output_tokens,
        peak_tokens_per_s=sum(offer_of(offers, e).peak * e.count for e in best.plan.entries)
        / MICRO
        * problem.workload.output_tokens,
        price_per_hour=price,
        rules=tuple(_rules(problem, offers, best, losses, used)),
        losses=losses,
        reliability=Reliability(
            availability=value.availability,
            carried=value.carried,
            unserved_requests_per_month=(1 - value.availability) * demand * 3600 * HOURS_PER_MONTH,
            hours_between_outages=hours,
            capacity=value.capacity,
            states=value.states,
        ),
        ranges=(),
        verification=Verification(False, 0, "not claimed", 0, ""),
        explanation=(),
        search_limits=tuple(_limits(problem, offers)),
    )


def _pool(problem: FleetProblem, offers: Offers, solver: FleetSolver, best: Placed, entry: Entry) -> Pool:
    offer, group = offer_of(offers, entry), problem.groups[entry.group]
    family = best.plan.families(offers).index((offers.kind_of_group[entry.group], entry.offer))
    rate = best.split.rates[family]
    item = next(i for i in solver.items if i.group == entry.group and i.position == entry.offer)
    return Pool(
        parts=(PoolPart(group.name, offer.shape.pp, offer.nodes),),
        strategy=_strategy(offer, entry.count),
        instances=entry.count,
        share=best.split.thousandths[family] / SHARES * entry.count / best.plan.family_counts(offers)[family],
        planned_rate=rate,
        capacity=offer.capacity / MICRO,
        slots_capacity=offer.slots_capacity / MICRO,
        availability=item.availability,
        metrics=replace(_metrics(problem, entry, offer, rate), availability=item.availability),
    )


def _strategy(offer: Offer, instances: int) -> Strategy:
    shape = offer.shape
    return Strategy(
        tensor_parallel=shape.tp,
        pipeline_parallel=shape.pp,
        data_parallel=shape.engine_ranks * instances,
        expert_parallel=shape.ep,
        max_num_seqs=offer.slots,
        layers_per_stage=shape.layers_per_stage,
        weight_precision=shape.weight_format,
        kv_precision=shape.kv_format,
    )


def _metrics(problem: FleetProblem, entry: Entry, offer: Offer, rate: float) -> Metrics:
    """Metrics of one instance at its planned rate."""
    from optimizer.search.evaluate import metrics_of
    from optimizer.search.quantities import Quantities
    from optimizer.search.rules import Choice
    from optimizer.search.space import Space, chain_length

    alone = problem.instance_problem(problem.groups[entry.group], offer.nodes)
    alone = alone.model_copy(
        update={
            "workload": alone.workload.model_copy(update={"requests_per_s": rate}),
            "search": alone.search.model_copy(update={"disabled_rules": problem.search.disabled_rules}),
        }
    )
    space = Space(
        shapes=(offer.shape,),
        row_shape=np.zeros(1, dtype=np.int64),
        row_dp=np.array([offer.shape.engine_ranks], dtype=np.int64),
        slots=chain_length(alone),
    )
    return metrics_of(Quantities(alone, space), Choice(0, offer.slots))


def _placement(problem: FleetProblem, offers: Offers, best: Placed, pools: tuple[Pool, ...]) -> Placement:
    placed = []
    for number, stand in enumerate(best.stands):
        entry = best.plan.entries[stand.entry]
        group, pool = problem.groups[entry.group], pools[stand.entry]
        placed.append(
            PlacedInstance(
                name=f"replica-{number}",
                pool=stand.entry,
                strategy=pool.strategy,
                replicas=offer_of(offers, entry).shape.engine_ranks,
                share=pool.share / pool.instances,
                gpus=tuple(
                    GpuPlace(group.node_name(node), gpu)
                    for node, gpus in zip(stand.nodes, stand.gpus, strict=True)
                    for gpu in gpus
                ),
            )
        )
    return Placement(tuple(placed))


def _losses(problem: FleetProblem, offers: Offers, best: Placed) -> list[LossScenario]:
    total = sum(offer_of(offers, entry).capacity * entry.count for entry in best.plan.entries)
    needed = problem.workload.requests_per_s * problem.demand_share
    stated = {losses.level: losses.count for losses in problem.survive}
    found = []
    for level in problem.levels():
        # Levels that nothing was promised for are shown with one loss, so that a person sees what it would do.
        count = stated.get(level, 1)
        worst = worst_losses(problem, offers, best.plan, best.stands, level, count)
        found.append(
            LossScenario(
                level=level,
                count=count,
                lost=worst.lost,
                instances_lost=worst.instances,
                capacity_left=(total - worst.capacity) / MICRO,
                needed=needed if level in stated else problem.workload.requests_per_s,
            )
        )
    return found


def _rules(
    problem: FleetProblem, offers: Offers, best: Placed, losses: tuple[LossScenario, ...], used: int
) -> list[RuleResult]:
    demand, off = problem.workload.requests_per_s, problem.search.disabled_rules
    capacity = sum(offer_of(offers, entry).capacity * entry.count for entry in best.plan.entries) / MICRO
    there = problem.gpus
    families = best.plan.families(offers)
    tightest = min(
        solver_capacity / MICRO - rate
        for solver_capacity, rate in zip(
            (offers.kinds[kind].offers[position].capacity for kind, position in families), best.split.rates, strict=True
        )
    )
    found = [
        RuleResult(
            "gpus_free",
            f"Every GPU in use is one of the {there:,} free ones, and is used once.",
            there,
            used,
            "GPUs",
            True,
            there - used,
        ),
        RuleResult(
            "demand",
            f"All instances together carry {demand:g} requests/s within every limit.",
            demand,
            capacity,
            "requests/s",
            capacity >= demand * (1 - 1e-12),
            capacity - demand,
        ),
        RuleResult(
            "pool_share",
            "Every instance is sent no more than it carries within every limit.",
            "its capacity",
            "its planned rate",
            "requests/s",
            tightest >= -1e-9,
            max(0.0, tightest),
        ),
    ]
    stated = {one.level: one.count for one in problem.survive}
    share = "" if problem.demand_share == 1 else f"{problem.demand_share:.0%} of "
    for scenario in losses:
        if scenario.level in stated:
            word = RULE_WORDS.get(scenario.level, scenario.level)
            many = f"any {word}" if scenario.count == 1 else f"any {scenario.count} {word}s"
            rule = f"survive_{scenario.level}"
            found.append(
                RuleResult(
                    rule,
                    f"After the loss of {many} the instances left carry {share}{demand:g} requests/s within every limit.",
                    scenario.needed,
                    scenario.capacity_left,
                    "requests/s",
                    scenario.capacity_left >= scenario.needed - 1e-6,
                    scenario.capacity_left - scenario.needed,
                    rule not in off,
                )
            )
    return found


def _ranges(problem: FleetProblem, offers: Offers, best: Placed, deadline: float | None) -> list[RateRange]:
    """The best choice at both ends of the failure rates."""
    found = []
    for end in ("low", "high"):
        changed = at_end(problem, end)
        if changed.failures == problem.failures:
            continue
        there = FleetSolver(changed, offers.again(changed), deadline=deadline).run()
        if there.best is None or there.status != "optimal":
            continue
        same = there.best.plan.key == best.plan.key
        found.append(RateRange(end, there.best.value.availability, same, plan_label(problem, offers, there.best)))
    return found


def at_end(problem: FleetProblem, end: str) -> FleetProblem:
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


def plan_label(problem: FleetProblem, offers: Offers, best: Placed) -> str:
    """Short name of a plan, such as ``2 × TP8·PP1 on h100``."""
    from optimizer.fleet_answer import instance_label

    return " + ".join(
        f"{entry.count} × {instance_label(_strategy(offer_of(offers, entry), entry.count))} on {problem.groups[entry.group].name}"
        for entry in best.plan.entries
    )


def _limits(problem: FleetProblem, offers: Offers) -> list[str]:
    """What was not considered."""
    model, search = problem.model, problem.search
    considered = sum(kind.considered for kind in offers.kinds)
    kept = sum(len(kind.offers) for kind in offers.kinds)
    weights = search.weight_precision or (model.native_weight_format,)
    caches = search.kv_precision or (model.native_dtype,)
    said = [
        f"{considered:,} shapes of an instance were considered; {kept:,} are left that no other beats wherever it stands.",
        "All stages of an instance stand on one group, in one rack; shares of the load are whole thousandths.",
        f"Weight formats considered: {', '.join(map(str, weights))}; KV cache formats: {', '.join(map(str, caches))}.",
    ]
    if search.disabled_rules:
        said.append(f"Rules switched off in the problem file: {', '.join(search.disabled_rules)}.")
    return said
