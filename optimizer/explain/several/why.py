"""What an answer about several models says: what each gets, what is left, which limits are close, and what moving the border costs."""

from __future__ import annotations

from collections import Counter

from optimizer.explain.common.numbers import amount, count, listing, milliseconds, time_or_none
from optimizer.facts.several import SeveralProblem
from optimizer.results.several import Exchange, ServedShare, SeveralAnswer
from optimizer.search.common.clock import Clock
from optimizer.search.several.answer import in_ms
from optimizer.search.several.model import SeveralModel
from optimizer.search.several.solve import FoundSplit, SeveralSearch, Split
from optimizer.search.uniform.evaluate import strategy_of

TOLD_MS = 0.005
"""Smaller differences are not told."""
TIGHT = 0.1
"""Rules with less than this share of their limit to spare are named."""
UNTOLD = ("gpu_count", "min_batch", "context", "tpot_full_batch", "max_batch")


def sentences(problem: SeveralProblem, answer: SeveralAnswer) -> list[str]:
    """What each model gets, and what is left."""
    said = [_gets(problem, answer, share) for share in answer.models]
    said.append(_left(problem, answer))
    if answer.objective is not None:
        weights = {share.name: share.weight for share in answer.models}
        terms = listing([
            f"{name} {milliseconds(value)}" + (f" (weight {weights[name]:g})" if weights[name] != 1 else "")
            for name, value in answer.objective.terms.items()
        ])  # fmt: skip
        said.append(
            f"Weighted sum of expected times a request over all failure states: {milliseconds(answer.objective.value)}: {terms}."
        )
    for share in answer.models:
        said += _close(share)
    return said


def _gets(problem: SeveralProblem, answer: SeveralAnswer, share: ServedShare) -> str:
    metrics, strategy = share.metrics, share.strategy
    where = _where(answer, share)
    users = next(one.problem.workload.users for one in problem.models if one.name == share.name)
    load = f"{metrics.requests_per_s or 0:,.4g} requests/s" if users is None else users.words
    return (
        f"{share.name}: {strategy.label} on {count(strategy.gpus, 'GPU')} ({where}), carries {load} with "
        f"TTFT {time_or_none(metrics.ttft_p99_ms)} and TPOT {time_or_none(metrics.tpot_p99_ms)} at P99; "
        f"all its limits hold up to {metrics.max_request_rate:,.4g} requests/s."
    )


def _where(answer: SeveralAnswer, share: ServedShare) -> str:
    """Instances on nodes, such as ``2 instances on each of node-0 and node-1``."""
    if share.whole_nodes:
        return f"{count(share.instances, 'instance')} on {count(share.nodes, 'node')} of its own"
    held = Counter(node for one in answer.placement or () if one.model == share.name for node in one.nodes)
    if len(set(held.values())) == 1 and len(held) <= 4:
        each = next(iter(held.values()))
        return f"{count(each, 'instance')} on {'each of ' if len(held) > 1 else ''}{listing(list(held))}"
    if len(held) <= 4:
        return listing([f"{number} on {node}" for node, number in held.items()])
    return f"{count(share.instances, 'instance')} over {count(share.nodes, 'node')}"


def _left(problem: SeveralProblem, answer: SeveralAnswer) -> str:
    free = sum(answer.free_gpus)
    if not free:
        return f"All {problem.hardware.gpus:,} GPUs are in use."
    there = [f"{gpus} on node-{node}" for node, gpus in enumerate(answer.free_gpus) if gpus]
    where = listing(there) if len(there) <= 4 else f"on {count(len(there), 'node')}"
    return f"Left over: {count(free, 'GPU')} of {problem.hardware.gpus:,} ({where})."


def _close(share: ServedShare) -> list[str]:
    found = []
    for rule in share.rules:
        if not rule.enabled or rule.slack is None or not isinstance(rule.limit, int | float) or rule.id in UNTOLD:
            continue
        if rule.holds and rule.limit and rule.slack <= TIGHT * abs(rule.limit):
            found.append(
                f"{share.name}: rule {rule.id} is close: {amount(rule.actual, rule.unit)} of {amount(rule.limit, rule.unit)}."
            )
    return found


def broken(answer: SeveralAnswer) -> list[str]:
    """Rules that what was proposed breaks."""
    return [
        f"{share.name}: rule {rule.id} is broken: {amount(rule.actual, rule.unit)}, allowed {amount(rule.limit, rule.unit)}."
        for share in answer.models
        for rule in share.rules
        if rule.enabled and not rule.holds
    ]


def exchanges(search: SeveralSearch, split: Split, clock: Clock) -> tuple[Exchange, ...]:
    """For every model the best split in which it has more GPUs, and the best in which it has fewer."""
    found: list[Exchange] = []
    for number, served in enumerate(search.problem.models):
        now = split.candidates[number].gpus
        for direction in ("more", "fewer"):
            if clock.over:
                return tuple(found)

            def adjust(model: SeveralModel, number: int = number, now: int = now, direction: str = direction) -> None:
                if direction == "more":
                    model.at_least_gpus(number, now + 1)
                else:
                    model.at_most_gpus(number, now - 1)

            other = search.best(clock, adjust=adjust)
            if other.outcome in ("optimal", "infeasible"):
                found.append(_exchange(search.problem, split, other, served.name, direction))
    return tuple(found)


def _exchange(problem: SeveralProblem, split: Split, other: FoundSplit, name: str, direction: str) -> Exchange:
    if other.split is None:
        said = f"No split with {direction} GPUs for {name} keeps every rule."
        return Exchange(name, direction, {}, None, {}, said)
    names = [one.name for one in problem.models]
    gpus = {model: one.gpus for model, one in zip(names, other.split.candidates, strict=True)}
    more = in_ms(other.split.value_steps(problem) - split.value_steps(problem))
    own = {
        model: (then.value - now.value) / 1e6
        for model, then, now in zip(names, other.split.candidates, split.candidates, strict=True)
    }
    labels = listing([
        f"{model} {strategy_of(one.quantities, one.choice).label} ({count(one.gpus, 'GPU')})"
        for model, one in zip(names, other.split.candidates, strict=True)
    ])  # fmt: skip
    changed = (
        listing([f"{model} {_signed(value)}" for model, value in own.items() if abs(value) >= TOLD_MS])
        or "no model any time"
    )
    said = (
        f"With {direction} GPUs for {name}, best is {labels}: {changed}; the weighted sum changes by {_signed(more)}."
    )
    return Exchange(name, direction, gpus, more, own, said)


def _signed(value: float) -> str:
    return f"{'+' if value > 0 else '−' if value < 0 else '±'}{milliseconds(abs(value))}"


def one_more_node(search: SeveralSearch, split: Split, clock: Clock) -> str | None:
    """What a node more would be worth, and to whom; None where time ran out."""
    if clock.over:
        return None
    problem = search.problem
    found = search.best(clock, nodes=problem.hardware.nodes + 1)
    if found.split is None or found.outcome != "optimal":
        return None
    gained = in_ms(split.value_steps(problem) - found.split.value_steps(problem))
    pairs = zip(problem.models, split.candidates, found.split.candidates, strict=True)
    moved = listing(
        [f"{served.name} {now.gpus} → {then.gpus} GPUs" for served, now, then in pairs if now.gpus != then.gpus]
    )
    if gained <= 0 or not moved:
        return "One node more would change nothing by this objective."
    return f"One node more would take {milliseconds(gained)} off the weighted sum ({moved})."


def limits_of(problem: SeveralProblem) -> tuple[str, ...]:
    """What was not considered."""
    said = [
        "The instances of a model are equal and spread evenly over the nodes it stands on; models share no GPU.",
        "A model whose instance spans nodes takes its nodes whole.",
    ]
    hardware = problem.hardware
    if hardware.nvlink_gb_per_s > 0 and 1 < hardware.nvlink_domain_gpus < hardware.gpus_per_node:
        said.append(
            "Where NVLink joins parts of a node, a model shares nodes only with TP degrees that are powers of two."
        )
    return tuple(said)
