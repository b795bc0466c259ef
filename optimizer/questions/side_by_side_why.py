"""Why joint instances beside pools, or why not: what questions about an answer say of them. ``docs/disaggregated.md``, section 14."""

from __future__ import annotations

from dataclasses import replace

from optimizer.explain.common.numbers import count, milliseconds
from optimizer.explain.pools.beside import KindFigures, MixFigures, mix_against, split_sentence
from optimizer.facts.problem import Problem
from optimizer.facts.side_by_side import TENTHS, not_split, units_of
from optimizer.questions.pools_against import figures_of_joint
from optimizer.questions.pools_chosen import AnyPoolsProblem, BestOf, chosen_joint, chosen_pools
from optimizer.questions.side_by_side_chosen import BothOf, FixedBoth, chosen_both
from optimizer.results.answer import Conflict
from optimizer.search.common.clock import Clock

NOT_SETTLED = "Not every split of requests and GPUs was settled: that nothing is better is not proved."


def figures_of(one: BestOf) -> KindFigures:
    """What joint instances or pools that were chosen deliver."""
    label = one.label
    if one.instances == "joint":
        joint = figures_of_joint(one.answer)
        return KindFigures(
            label, one.gpus, one.value_ms, joint.ttft_p50_ms, joint.ttft_p99_ms, joint.tpot_p50_ms, joint.tpot_p99_ms,
            one.max_request_rate,
        )  # fmt: skip
    metrics = one.answer.metrics
    busy = tuple((side, getattr(metrics, side).busy) for side in ("prefill", "decode"))
    return KindFigures(
        label, one.gpus, one.value_ms, metrics.ttft_p50_ms, metrics.ttft_p99_ms, metrics.tpot_p50_ms, metrics.tpot_p99_ms,
        metrics.max_request_rate, busy,
    )  # fmt: skip


def mix_figures(both: BothOf) -> MixFigures:
    """What both parts deliver."""
    joint, pools = figures_of(both.joint), figures_of(both.pools)
    return MixFigures(both.split.tenths / TENTHS, replace(joint, label=joint.label.removeprefix("joint ")), pools)


def between_mix(one: BestOf, other: BestOf) -> list[str]:
    """Sentences on two choices, one or both of which are joint instances beside pools."""
    mixes = [of for of in (one, other) if of.instances == "both"]
    said = [split_sentence(mix_figures(of.answer)) for of in mixes]
    if len(mixes) == 2:
        return said
    alone = other if one.instances == "both" else one
    return [*said, *mix_against(mix_figures(mixes[0].answer), figures_of(alone))]


def why_both(problem: Problem, best: BestOf, clock: Clock) -> list[str]:
    """Of a mix that is best: against each kind alone, or why there is none."""
    said = [split_sentence(mix_figures(best.answer))]
    for alone, name in ((chosen_joint(problem, clock=clock), "Joint"), (chosen_pools(problem, clock=clock), "Pools")):
        if alone is not None:
            more = milliseconds(alone.value_ms - best.value_ms)
            said += [f"Against {alone.label} alone: {more} less a request.", *between_mix(best, alone)[1:]]
        elif clock.over:
            said.append("Of one kind alone nothing was found in time.")
        else:
            said.append(_none_alone(problem, name, clock))
    return said


def _none_alone(problem: Problem, name: str, clock: Clock) -> str:
    """Which rules one kind alone does not keep."""
    if name == "Pools":
        from optimizer.explain.pools.conflict import conflict_of
        from optimizer.search.pools.solve import columns_of

        return f"No pools alone keep every rule. {conflict_of(problem, columns_of(problem), clock).sentence}"
    from optimizer.questions.joint import joint_of
    from optimizer.questions.uniform import solve

    answer = solve(joint_of(problem), time_limit_s=clock.left_s, repairs=False, alternatives=0)
    why = answer.conflicts[0].sentence if answer.conflicts else ""
    return f"No joint instances alone keep every rule. {why}".strip()


def why_no_mix(problem: AnyPoolsProblem, best: BestOf, clock: Clock) -> list[str]:
    """Of one kind alone that is best with ``serving: any``: what the best of both side by side would be."""
    if problem.serving != "any" or not isinstance(problem, Problem) or units_of(problem) < 2:
        return []
    why = not_split(problem)
    if why is not None:
        return [f"Joint instances beside pools are not tried {why}: what is said is of either kind alone."]
    found = chosen_both(problem, clock=clock)
    open_ended = [] if found.settled else [NOT_SETTLED]
    if found.best is None:
        none = "No split of requests and GPUs between joint instances and pools" if found.settled else "No split found"
        return [f"{none} keeps every rule.", *open_ended]
    more = milliseconds(found.best.value_ms - best.value_ms)
    return [
        f"The best of both side by side, {found.best.label}: {milliseconds(found.best.value_ms)} a request, {more} more.",
        *between_mix(best, found.best)[1:],
        *open_ended,
    ]


def both_broken(problem: Problem, foil: FixedBoth, clock: Clock) -> tuple[tuple[Conflict, ...], list[str]]:
    """Which rules keep given decisions of both parts out: those that the nearest split breaks, part by part.

    Raises:
        ProblemError: no joint instances and pools have these decisions side by side.
    """
    if not (foil.joint.any or foil.pools.prefill.any or foil.pools.decode.any):
        said = "No split of requests and GPUs between joint instances and pools keeps every rule."
        return (Conflict((), said, False),), [said]
    from optimizer.explain.pools.conflict import broken_words
    from optimizer.questions.side_by_side_check import check_beside

    share = None if foil.tenths is None else foil.tenths / TENTHS
    answer = check_beside(problem, foil.joint, foil.pools, share, time_limit_s=clock.left_s)
    conflicts = []
    for name, part in (("Joint instances", answer.joint), ("Pools", answer.pools)):
        broken = tuple(rule.id for rule in part.rules if rule.enabled and not rule.holds)
        if broken:
            conflicts.append(Conflict(broken, f"{name}: {' '.join(broken_words(part.rules))}", False))
    where = f"{answer.share:.0%} of the requests and {count(answer.joint_gpus, 'GPU')} for the joint instances"
    return tuple(conflicts), [
        f"No split keeps every rule. With {where}:",
        *(one.sentence for one in conflicts),
        "Changes that would let both in side by side are not looked for.",
    ]
