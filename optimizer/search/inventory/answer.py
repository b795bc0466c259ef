"""From a placed plan to the typed answer: pools, where each instance stands, rules with their slack, losses, reliability."""

from __future__ import annotations

from dataclasses import replace

from optimizer.engines.sixteen_bit import sixteen_bit_note
from optimizer.facts.inventory import InventoryProblem, level_word
from optimizer.results.answer import Metrics, ObjectiveResult, RuleResult, Strategy, unverified
from optimizer.results.inventory import InventoryAnswer, LossScenario, Pool, PoolPart, Reliability, instance_label
from optimizer.results.placement import GpuPlace, PlacedInstance, Placement
from optimizer.search.inventory.candidates import MICRO, Candidates, InstanceCandidate
from optimizer.search.inventory.down_counts import availability
from optimizer.search.inventory.found import InventoryFound, Placed
from optimizer.search.inventory.losses import worst_losses
from optimizer.search.inventory.plan import Entry, candidate_of, parts_of
from optimizer.search.inventory.power_rules import power_results
from optimizer.search.inventory.solve import InventorySolver
from optimizer.search.inventory.tables import quantities
from optimizer.search.inventory.valuation import HOURS_PER_MONTH, SHARES


def with_plan(
    problem: InventoryProblem, candidates: Candidates, solver: InventorySolver, placed: Placed
) -> InventoryAnswer:
    """An answer that claims a plan and its exact values, and nothing about better ones; not verified yet."""
    found = InventoryFound("feasible", placed, 0, False, solver.rounds, 0.0, False)
    return answer_with(problem, candidates, solver, found, placed)


def answer_without(problem: InventoryProblem, candidates: Candidates, found: InventoryFound) -> InventoryAnswer:
    return InventoryAnswer(
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
        verification=unverified(),
        explanation=(),
        search_limits=tuple(limits_of(problem, candidates)),
    )


def answer_with(
    problem: InventoryProblem, candidates: Candidates, solver: InventorySolver, found: InventoryFound, best: Placed
) -> InventoryAnswer:
    pools = pools_of(problem, candidates, best)
    value, demand = best.value, problem.workload.requests_per_s
    hours = solver.valuation.hours_between_outages(best.plan, best.split, best.site, value)
    bound = float(found.bound_ms or 0)
    whole = float(best.whole_ms)
    used = best.plan.gpus(candidates)
    parts = [
        (problem.groups[group], part, e.count) for e in best.plan.entries for group, part in parts_of(candidates, e)
    ]
    from optimizer.search.uniform.evaluate import bill

    tokens = demand * problem.workload.output_tokens
    spent = bill([(group, count * part.gpus) for group, part, count in parts], tokens * value.availability)
    losses = tuple(losses_of(problem, candidates, best))
    return InventoryAnswer(
        problem=problem.name,
        status=found.status,
        pools=pools,
        placement=placement_of(problem, candidates, best, pools),
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
        tokens_per_s=tokens,
        peak_tokens_per_s=sum(candidate_of(candidates, e).peak * e.count for e in best.plan.entries)
        / MICRO
        * problem.workload.output_tokens,
        **spent,
        rules=tuple(rules_of(problem, candidates, best, losses, used)),
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
        verification=unverified(),
        explanation=(),
        search_limits=tuple(limits_of(problem, candidates)),
    )


def pools_of(problem: InventoryProblem, candidates: Candidates, best: Placed) -> tuple[Pool, ...]:
    """One for each entry of the plan; pools of one family have the same metrics, which are found once."""
    known: dict[tuple[int, int], Metrics] = {}
    pools = []
    for entry in best.plan.entries:
        family = candidates.places[entry.place].kind, entry.candidate
        if family not in known:
            rate = best.split.rates[best.plan.families(candidates).index(family)]
            known[family] = _metrics(problem, candidates, entry, rate)
        pools.append(_pool_of(problem, candidates, best, entry, known[family]))
    return tuple(pools)


def _pool_of(problem: InventoryProblem, candidates: Candidates, best: Placed, entry: Entry, metrics: Metrics) -> Pool:
    candidate = candidate_of(candidates, entry)
    family = best.plan.families(candidates).index((candidates.places[entry.place].kind, entry.candidate))
    rate = best.split.rates[family]
    up = availability(problem, candidates.places[entry.place].groups, candidate)
    return Pool(
        parts=tuple(
            PoolPart(problem.groups[group].name, part.stages, part.nodes) for group, part in parts_of(candidates, entry)
        ),
        strategy=_strategy(candidate, entry.count),
        instances=entry.count,
        share=best.split.thousandths[family] / SHARES * entry.count / best.plan.family_counts(candidates)[family],
        planned_rate=rate,
        capacity=candidate.capacity / MICRO,
        slots_capacity=candidate.slots_capacity / MICRO,
        availability=up,
        metrics=_billed(problem, candidates, entry, replace(metrics, availability=up)),
    )


def _billed(problem: InventoryProblem, candidates: Candidates, entry: Entry, metrics: Metrics) -> Metrics:
    """With what one instance costs and draws where it stands, as often as it is up there."""
    from optimizer.search.uniform.evaluate import bill

    used = [
        (problem.instance_problem(problem.groups[group], part.nodes).hardware, part.gpus)
        for group, part in parts_of(candidates, entry)
    ]
    return replace(metrics, **bill(used, metrics.tokens_per_s * metrics.availability))


def _strategy(candidate: InstanceCandidate, instances: int) -> Strategy:
    return candidate.shape.strategy(candidate.shape.engine_ranks * instances, candidate.slots)


def _metrics(problem: InventoryProblem, candidates: Candidates, entry: Entry, rate: float) -> Metrics:
    """Metrics of one instance at its planned rate."""
    from optimizer.search.uniform.evaluate import metrics_of
    from optimizer.search.uniform.rule import Choice

    candidate = candidate_of(candidates, entry)
    parts = [problem.instance_problem(problem.groups[group], part.nodes) for group, part in parts_of(candidates, entry)]
    alone = parts[0].model_copy(
        update={
            "workload": parts[0].workload.model_copy(update={"requests_per_s": rate}),
            "search": parts[0].search.model_copy(update={"disabled_rules": problem.search.disabled_rules}),
        }
    )
    metrics = metrics_of(quantities(alone, parts, [candidate.shape]), Choice(0, candidate.slots))
    memories = [
        one.hardware.gpu.memory_bytes
        for one, part in zip(parts, candidate.parts, strict=True)
        for _ in range(part.stages)
    ]
    fullest = max(used / there for used, there in zip(metrics.memory_bytes_per_stage, memories, strict=True))
    return replace(metrics, memory_utilization=fullest)


def placement_of(problem: InventoryProblem, candidates: Candidates, best: Placed, pools: tuple[Pool, ...]) -> Placement:
    placed = []
    for number, stand in enumerate(best.stands):
        pool = pools[stand.entry]
        placed.append(
            PlacedInstance(
                name=f"replica-{number}",
                pool=stand.entry,
                strategy=pool.strategy,
                replicas=candidate_of(candidates, best.plan.entries[stand.entry]).shape.engine_ranks,
                share=pool.share / pool.instances,
                gpus=tuple(
                    GpuPlace(problem.groups[group].node_name(node), gpu)
                    for (group, node), gpus in zip(stand.nodes, stand.gpus, strict=True)
                    for gpu in gpus
                ),
            )
        )
    return Placement(tuple(placed))


def losses_of(problem: InventoryProblem, candidates: Candidates, best: Placed) -> list[LossScenario]:
    total = sum(candidate_of(candidates, entry).capacity * entry.count for entry in best.plan.entries)
    needed = problem.workload.requests_per_s * problem.demand_share
    stated = {losses.level: losses.count for losses in problem.survive}
    found = []
    for level in problem.levels():
        # Levels that nothing was promised for are shown with one loss, so that a person sees what it would do.
        count = stated.get(level, 1)
        worst = worst_losses(problem, candidates, best.plan, best.stands, level, count)
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


def rules_of(
    problem: InventoryProblem, candidates: Candidates, best: Placed, losses: tuple[LossScenario, ...], used: int
) -> list[RuleResult]:
    demand, off = problem.workload.requests_per_s, problem.search.disabled_rules
    capacity = sum(candidate_of(candidates, entry).capacity * entry.count for entry in best.plan.entries) / MICRO
    there = problem.gpus
    families = best.plan.families(candidates)
    tightest = min(
        solver_capacity / MICRO - rate
        for solver_capacity, rate in zip(
            (candidates.group_types[kind].candidates[position].capacity for kind, position in families),
            best.split.rates,
            strict=True,
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
            tightest if tightest < -1e-9 else max(0.0, tightest),
        ),
    ]
    stated = {one.level: one.count for one in problem.survive}
    share = "" if problem.demand_share == 1 else f"{problem.demand_share:.0%} of "
    for scenario in losses:
        if scenario.level in stated:
            word = level_word(scenario.level)
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
    gpus_on = dict.fromkeys(range(len(problem.groups)), 0)
    for entry in best.plan.entries:
        for group, part in parts_of(candidates, entry):
            gpus_on[group] += part.gpus * entry.count
    return found + power_results(problem, [gpus_on[index] for index in range(len(problem.groups))])


def plan_label(problem: InventoryProblem, candidates: Candidates, best: Placed) -> str:
    """Short name of a plan, such as ``2 × TP8·PP1 on h100``."""
    return " + ".join(
        f"{entry.count} × {instance_label(_strategy(candidate_of(candidates, entry), entry.count))} on "
        + " and ".join(problem.groups[group].name for group in candidates.places[entry.place].groups)
        for entry in best.plan.entries
    )


def limits_of(problem: InventoryProblem, candidates: Candidates) -> list[str]:
    """What was not considered."""
    model, search = problem.model, problem.search
    weights = search.weight_precision or (model.native_weight_format,)
    caches = search.kv_precision or (model.native_kv_format,)
    said = [
        f"{candidates.considered:,} shapes of an instance were considered.",
        "All nodes of an instance are in one rack. Its stages stand on one group, or on two where that carries more than "
        "instances within the groups would on the same GPUs; never on three. Shares of the load are whole thousandths.",
        f"Weight formats considered: {', '.join(map(str, weights))}; KV cache formats: {', '.join(map(str, caches))}.",
    ]
    note = sixteen_bit_note(model, problem.engine)
    said += [note] if note else []
    if search.disabled_rules:
        said.append(f"Rules switched off in the problem file: {', '.join(search.disabled_rules)}.")
    return said
