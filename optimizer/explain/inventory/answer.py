"""What an inventory's answer says in sentences. ``docs/inventories.md``."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING

from optimizer.explain.common.numbers import count, milliseconds
from optimizer.explain.common.penalty import cheaper_lost
from optimizer.facts.inventory import InventoryProblem, level_word
from optimizer.results.inventory import InventoryAnswer, LossScenario, Pool, instance_label
from optimizer.search.uniform.quantities import ObjectiveWeights

if TYPE_CHECKING:
    from optimizer.search.inventory.found import InventoryFound

RARE_HOURS = 1000 * 365.25 * 24


def inventory_sentences(problem: InventoryProblem, answer: InventoryAnswer, found: InventoryFound) -> list[str]:
    """What runs where, what it is worth and whether that is proved, what losses do, and how long it stays up."""
    if not answer.pools:
        return _nothing(problem, answer, found)
    said = [_pools(problem, answer)]
    said += _price(answer)
    said += _spot(problem, answer)
    said += _objective(problem, answer, found)
    said += [_loss(problem, loss) for loss in answer.losses]
    said += _reliability(problem, answer)
    said += _ranges(answer)
    return said


def behind(problem: InventoryProblem, answer: InventoryAnswer, optimum: InventoryAnswer) -> float:
    """By how much an answer is behind the optimum in what its preset puts first (GPUs, price, tokens/s); 0: nothing comes first."""
    if problem.objective.preset == "fewest-gpus":
        return answer.gpus_used - optimum.gpus_used
    if problem.objective.preset == "cheapest":
        return (answer.price_per_hour or 0.0) - (optimum.price_per_hour or 0.0)
    if problem.objective.preset == "throughput":
        return (optimum.peak_tokens_per_s or 0.0) - (answer.peak_tokens_per_s or 0.0)
    return 0


def beside_sentence(
    problem: InventoryProblem, answer: InventoryAnswer, optimum: InventoryAnswer, outside: Sequence[str] = ()
) -> str:
    """How what was checked stands beside the optimum.

    Args:
        outside: fields of the search that leave out what was checked.
    """
    if optimum.objective is None and answer.objective is not None:
        if optimum.status != "infeasible":
            return "It keeps every rule. The optimum is not known."
        left_out = f" ({', '.join(outside)})" if outside else ""
        return f"It keeps every rule, and lies outside what optimizer solve searches{left_out}, where nothing keeps every rule."
    if optimum.objective is None:
        nothing = "Nothing else on this inventory works either: see optimizer solve."
        return nothing if optimum.status == "infeasible" else "The optimum is not known."
    if answer.objective is None:
        known = "best" if optimum.status == "optimal" else "best that was found"
        return (
            f"Without these decisions the {known} for this inventory is {optimum.label}: "
            f"{milliseconds(optimum.objective.value)} per request."
        )
    first, lead = behind(problem, answer, optimum), answer.objective.value - optimum.objective.value
    if optimum.least is not None and lead < 0:
        best = f"{optimum.label}, which spends less within {_percent(problem.objective.tolerance or 0)} of the least objective"
        more = answer.objective.value - optimum.least.value_ms
        least = (
            "It has the least objective there is"
            if more <= 0
            else f"It is {milliseconds(more)} above the least objective there is"
        )
        return f"It keeps every rule. {least}, and is {milliseconds(-lead)} per request better than {best} (objective.tolerance)."
    if first < 0 or (first == 0 and lead < 0):
        ahead = f"{milliseconds(-lead)} per request" if first == 0 else _of_tier(problem, -first)
        left_out = f" and leaves this out ({', '.join(outside)})" if outside else ""
        return f"It keeps every rule, and is {ahead} better than {optimum.label}, the best that optimizer solve searches{left_out}."
    if first > 0:
        return (
            f"It keeps every rule. The best for this inventory is {optimum.label}: {_of_tier(problem, first)} better."
        )
    if lead == 0:
        return "Nothing on this inventory is better by a whole millisecond."
    share_of = lead / max(answer.objective.value, 1.0)
    best = f"{milliseconds(optimum.objective.value)} per request, {milliseconds(lead)} ({share_of:.0%}) better"
    return f"It keeps every rule. The best for this inventory is {optimum.label}: {best}."


def _of_tier(problem: InventoryProblem, amount: float) -> str:
    if problem.objective.preset == "fewest-gpus":
        return count(round(amount), "GPU")
    if problem.objective.preset == "cheapest":
        return f"{amount:,.2f} per hour"
    return f"{amount:,.0f} tokens/s"


def _nothing(problem: InventoryProblem, answer: InventoryAnswer, found: InventoryFound) -> list[str]:
    if answer.status == "infeasible":
        with_them = " with the fixed decisions" if found.fixed else ""
        from optimizer.explain.inventory.cuts import cut_sentence

        searched = " that was searched" if answer.within else ""
        said = [cut_sentence(answer)] if answer.within else []
        said += [
            f"No set of instances{searched}{with_them} on the {count(problem.gpus, 'free GPU')} carries "
            f"{problem.workload.requests_per_s:g} requests/s within every limit and survives what is asked."
        ]
        for conflict in answer.conflicts:
            proof = "" if conflict.minimal else " Fewer of them may be enough for that."
            if conflict.minimal and len(conflict.rules) > 1:
                proof = " Without any one of them the others can."
            said.append(f"{conflict.sentence}{proof}" if conflict.rules else conflict.sentence)
        if answer.repairs:
            said.append("Repairs, each the least that is enough, verified (--apply-repair N --out FILE):")
        return said + [f"{number}. {one.sentence}" for number, one in enumerate(answer.repairs, 1)]
    return ["The search ended before any set of instances was found; allow more time."]


def _pools(problem: InventoryProblem, answer: InventoryAnswer) -> str:
    parts = []
    for pool in answer.pools:
        each = pool.strategy.gpus // pool.instances
        parts.append(
            f"{count(pool.instances, 'instance')} {instance_label(pool.strategy)} of {count(each, 'GPU')} on {pool.where} "
            f"({_stages(pool)}{pool.strategy.weight_precision} weights, {pool.share:.1%} of the requests)"
        )
    many = "; ".join(parts)
    return f"{answer.gpus_used:,} of {count(answer.gpus_free, 'free GPU')} are used: {many}."


def _stages(pool: Pool) -> str:
    """Which stages and layers of a pipeline stand on which of two groups; nothing where all are on one."""
    if len(pool.parts) == 1:
        return ""
    said, start = [], 0
    for part in pool.parts:
        layers = pool.strategy.layers_per_stage[start : start + part.stages]
        start += part.stages
        said.append(f"{count(part.stages, 'stage')} with {'+'.join(map(str, layers))} layers on {part.group}")
    return ", ".join(said) + "; "


def _first(problem: InventoryProblem) -> str:
    """What the preset puts before the time."""
    return {
        "cheapest": " (the lowest price first, then the time)",
        "fewest-gpus": " (the fewest GPUs first, then the time)",
    }.get(problem.objective.preset, "")


def _price(answer: InventoryAnswer) -> list[str]:
    """What the GPUs in use cost, where that is known."""
    if answer.price_per_hour is None:
        return []
    tokens = answer.price_per_million_output_tokens
    of_tokens = "" if tokens is None else f", {tokens:,.2f} for a million output tokens"
    return [f"The GPUs in use cost {answer.price_per_hour:,.2f} an hour{of_tokens}."]


def _spot(problem: InventoryProblem, answer: InventoryAnswer) -> list[str]:
    """Which GPUs in use the provider may take away, and how often."""
    nodes = {place.node for one in (answer.placement.instances if answer.placement else ()) for place in one.gpus}
    said = []
    for group in problem.groups:
        here = sum(group.node_name(index) in nodes for index in range(group.nodes))
        if group.interruptions_per_hour and here:
            hours = 1 / (here * group.interruptions_per_hour)
            said.append(
                f"{group.name} is spot: of the {count(here, 'node')} in use one is taken away every {hours:,.3g} hours in the mean, "
                f"and is back after {problem.failures.repair_hours.value:g}."
            )
    return said


def _objective(problem: InventoryProblem, answer: InventoryAnswer, found: InventoryFound) -> list[str]:
    objective, mean = answer.objective, answer.request_mean_ms
    if objective is None or mean is None:
        return []
    w = ObjectiveWeights.of(problem.objective)
    proof = {
        "optimal": "proved best: no other set of instances "
        + ("with the fixed decisions " if found.fixed else "")
        + ("that costs as little" if problem.priced else "with so few GPUs") * (answer.least is not None)
        + " " * (answer.least is not None)
        + "comes below that whole millisecond",
        "feasible": f"not proved best: nothing below {milliseconds(objective.bound)} is possible, a gap of {objective.gap:.2%}",
    }.get(answer.status, "")
    if not answer.verification.passed:
        proof = "which the verification does not confirm"
    name = f"'{problem.objective.preset}'{_first(problem)}"
    said = [
        f"Objective {name}: {milliseconds(objective.value)} expected per request over failure states "
        f"(an unserved request counts {milliseconds(w.penalty_ms * w.unserved)}), {proof}. "
        f"With everything up a request takes {milliseconds(mean)} in the mean.",
        *cheaper_lost(w, w.latency * mean),
    ]
    if answer.least is None and answer.status == "optimal" and answer.gpus_used < answer.gpus_free:
        if found.ties_settled and problem.objective.tolerance:
            what = "costs less" if problem.priced else "has fewer GPUs"
            said.append(
                f"No set of instances within {_percent(problem.objective.tolerance)} of it {what} (objective.tolerance)."
            )
        elif found.ties_settled:
            said.append(
                "No set of instances that costs less, or as much with fewer GPUs, reaches the same whole millisecond."
                if problem.priced
                else "No set of instances with fewer GPUs reaches the same whole millisecond."
            )
        else:
            said.append("Whether fewer GPUs reach the same whole millisecond was not settled in the time.")
    return said + _least(problem, answer, found)


def _least(problem: InventoryProblem, answer: InventoryAnswer, found: InventoryFound) -> list[str]:
    """What the GPUs that are left out would add, where the answer spends less within the tolerance."""
    least, objective = answer.least, answer.objective
    if least is None or objective is None:
        return []
    more, share_of = objective.value - least.value_ms, (objective.value - least.value_ms) / max(1, least.value_ms)
    words = (
        count(least.gpus_used - answer.gpus_used, "more GPU") if least.gpus_used > answer.gpus_used else "other GPUs"
    )
    price = ""
    if least.price_per_hour is not None and answer.price_per_hour is not None:
        price = f" at {least.price_per_hour - answer.price_per_hour:,.2f} an hour more"
    what = "costs the least" if problem.priced else "uses the fewest GPUs"
    proof = "proved" if found.ties_settled else "not proved"
    return [
        f"This {what} within {_percent(problem.objective.tolerance or 0)} of the least objective ({proof}). The least, "
        f"{milliseconds(least.value_ms)}, takes {words}{price} for {milliseconds(more)} ({share_of:.2%}) less: {least.label}. "
        f"objective.tolerance: 0 takes it."
    ]


def _percent(part: float) -> str:
    return f"{part * 100:.3g} %"


def _loss(problem: InventoryProblem, loss: LossScenario) -> str:
    word = level_word(loss.level)
    stated = any(one.level == loss.level for one in problem.survive)
    names = " and ".join(loss.lost) or "none in use"
    carries = loss.capacity_left >= loss.needed - 1e-6
    end = "" if stated else " (nothing is asked for this level)"
    lost = "Losing the worst" if loss.count == 1 else f"Losing the worst {loss.count}"
    plural = "" if loss.count == 1 else "s"
    verdict = "carry" if carries else "carry only"
    against = f" of the {loss.needed:g} needed"
    return (
        f"{lost} {word}{plural} ({names}) takes {count(loss.instances_lost, 'instance')}; those left {verdict} "
        f"{loss.capacity_left:,.2f}{against} requests/s{_within_limits(problem)}{end}."
    )


def _within_limits(problem: InventoryProblem) -> str:
    return " within every limit" if problem.requirements.latency_limits else ""


def _reliability(problem: InventoryProblem, answer: InventoryAnswer) -> list[str]:
    state = answer.reliability
    if state is None:
        return []
    # A state counts as served as long as the slots last, whatever that does to latency.
    late = ", late or not," if problem.requirements.latency_limits else ""
    said = (
        f"With failures of the stated rates counted, {share(state.availability)} of requests are served and "
        f"{lost(state.unserved_requests_per_month)} not; the whole demand is carried{late} {share(state.carried)} of the time"
    )
    if state.hours_between_outages is None or state.hours_between_outages > RARE_HOURS:
        return [said + ", with less than one outage in 1,000 years."]
    days = state.hours_between_outages / 24
    return [said + f", with {days:,.0f} days from one outage to the next."]


def _ranges(answer: InventoryAnswer) -> list[str]:
    said = []
    for one in answer.ranges:
        words = "At the worst failure rates of their range" if one.end == "low" else "At the best ones"
        choice = "the choice stays the same" if one.same_choice else f"the best choice is {one.choice}"
        said.append(f"{words} {choice}, and {share(one.availability)} of requests are served.")
    return said


def share(value: float) -> str:
    """A share near one with enough nines to tell it from one: ``99.998%``, ``more than 99.9999999%``."""
    missing = (1 - value) * 100
    if missing < 1e-7:
        return "more than 99.9999999%"
    digits = 2
    while missing < 2 * 10.0**-digits and digits < 8:
        digits += 1
    return f"{value * 100:.{digits}f}%"


def lost(requests_per_month: float) -> str:
    """Requests a month that are not served."""
    if requests_per_month < 1:
        return "less than one request a month is"
    return f"about {count(round(requests_per_month), 'request')} a month {'is' if round(requests_per_month) == 1 else 'are'}"
