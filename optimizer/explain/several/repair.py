"""The least changes to a problem file that let all models be served: one field each, solved again."""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator
from typing import Any

from optimizer.explain.common.least import least_that_fits
from optimizer.explain.common.numbers import count
from optimizer.explain.common.patience import EXPLAIN_WITHIN_S
from optimizer.facts.problem import Problem
from optimizer.facts.several import SeveralProblem
from optimizer.results.answer import Change
from optimizer.results.several import SeveralRepair
from optimizer.search.common.clock import Clock
from optimizer.search.several.candidates import ModelCandidates
from optimizer.search.several.solve import SeveralSearch, Split
from optimizer.search.uniform.evaluate import strategy_of

MOST_NODES = 8
"""Times the nodes there are that are tried."""
MOST_GPUS = 256
MOST_LIMIT = 64
"""Times a latency limit that is tried."""
RATE_PARTS = 200
"""Steps in which a rate is lowered."""


def repairs_of(search: SeveralSearch, clock: Clock) -> tuple[tuple[SeveralRepair, ...], bool]:
    """(repairs of one field each, nodes first, then what each model asks; whether time ran out before all were tried)."""
    if clock.limit_s is None:
        clock = Clock(EXPLAIN_WITHIN_S, clock.ctrl_c)
    found = [_nodes(search, clock)]
    for number in range(len(search.models)):
        for build in (_rate, _survive, _limits):
            if clock.over:
                break
            found += list(build(search, number, clock))
    return tuple(one for one in found if one is not None), clock.over


def with_model(search: SeveralSearch, number: int, problem: Problem) -> SeveralSearch:
    """The same search with another question for one model; what is known of the others is kept."""
    changed = SeveralSearch.__new__(SeveralSearch)
    changed.problem = search.problem.with_model(number, problem)
    changed.models = list(search.models)
    changed.models[number] = ModelCandidates(changed.problem.models[number], number)
    return changed


def label_of(problem: SeveralProblem, split: Split) -> str:
    """What every model gets, in a few words."""
    pairs = zip(problem.models, split.candidates, strict=True)
    return " + ".join(f"{served.name} {strategy_of(one.quantities, one.choice).label}" for served, one in pairs)


def _least(low: int, high: int, fits: Callable[[int], bool]) -> int | None:
    """The least whole number above ``low`` and up to ``high`` that fits; more always fits where less does."""
    return None if high <= low else least_that_fits(low, high, fits)


def _solved(
    search: SeveralSearch, clock: Clock, change: Change, said: str, nodes: int | None = None
) -> SeveralRepair | None:
    found = search.best(clock, nodes=nodes)
    if found.split is None:
        return None
    problem = search.problem if nodes is None else search.problem.with_nodes(nodes)
    label = label_of(problem, found.split)
    return SeveralRepair((change,), f"{said}: {label}.", label)


def _nodes(search: SeveralSearch, clock: Clock) -> SeveralRepair | None:
    hardware = search.problem.hardware
    now, most = (
        hardware.nodes,
        min(MOST_NODES * hardware.nodes, max(hardware.nodes, MOST_GPUS // hardware.gpus_per_node)),
    )
    # Doubling first: few nodes more are often enough, and every number of nodes has tables of its own.
    high = now + 1
    while high < most and not search.fits(clock, nodes=high):
        high = min(most, now + 2 * (high - now))
    least = _least(now, high, lambda nodes: bool(search.fits(clock, nodes=nodes)))
    if least is None:
        return None
    said = f"Set hardware.nodes to {least} (now {now}), {count(least * hardware.gpus_per_node, 'GPU')} in all"
    return _solved(search, clock, Change("hardware.nodes", now, least), said, least)


def _rate(search: SeveralSearch, number: int, clock: Clock) -> Iterator[SeveralRepair | None]:
    problem, name = search.problem.models[number].problem, search.problem.models[number].name
    work = problem.workload
    if work.users is not None:
        now, field, unit = float(work.users.concurrent), f"models.{number}.workload.concurrency", "users"
        if work.users.think_time_s:
            field = f"models.{number}.workload.users.concurrent"
    else:
        now, field, unit = work.requests_per_s, f"models.{number}.workload.requests_per_s", "requests/s"

    def value(part: int) -> float:
        exact = now * part / RATE_PARTS
        return float(math.floor(exact)) if work.users is not None else float(f"{exact:.4g}")

    def changed(part: int) -> SeveralSearch:
        if work.users is not None:
            users = work.users.model_copy(update={"concurrent": max(1, int(value(part)))})
            return with_model(
                search, number, problem.model_copy(update={"workload": work.model_copy(update={"users": users})})
            )
        workload = work.model_copy(update={"requests_per_s": value(part)})
        return with_model(search, number, problem.model_copy(update={"workload": workload}))

    # The part that is given up, so that more always fits where less does.
    least = _least(0, RATE_PARTS - 1, lambda less: bool(changed(RATE_PARTS - less).fits(clock)))
    if least is None:
        return
    left = value(RATE_PARTS - least)
    new: Any = int(left) if work.users is not None else left
    said = f"Send {name} at most {new:,g} {unit} ({field}, now {now:,g})"
    yield _solved(
        changed(RATE_PARTS - least), clock, Change(field, int(now) if work.users is not None else now, new), said
    )


def _requiring(search: SeveralSearch, number: int, changes: dict[str, Any]) -> SeveralSearch:
    problem = search.problem.models[number].problem
    requirements = problem.requirements.model_copy(update=changes)
    return with_model(search, number, problem.model_copy(update={"requirements": requirements}))


def _survive(search: SeveralSearch, number: int, clock: Clock) -> Iterator[SeveralRepair | None]:
    survive, name = search.problem.models[number].problem.requirements.survive, search.problem.models[number].name
    for level in ("gpu", "node"):
        now = getattr(survive, level)
        for new in range(now - 1, -1, -1):
            changed = _requiring(search, number, {"survive": survive.model_copy(update={level: new})})
            if changed.fits(clock):
                field = f"models.{number}.requirements.survive.{level}"
                said = f"Let {name} survive {count(new, level)} lost instead of {now} ({field})"
                yield _solved(changed, clock, Change(field, now, new), said)
                break


def _limits(search: SeveralSearch, number: int, clock: Clock) -> Iterator[SeveralRepair | None]:
    problem, name = search.problem.models[number].problem, search.problem.models[number].name
    for limit in problem.requirements.latency_limits:
        field = f"{limit.rule}_ms"
        if getattr(problem.requirements, field, None) is None or limit.rule in problem.search.disabled_rules:
            continue
        now = limit.limit_ms
        step = max(0.1, round(now / 100, 1))
        start = math.floor(now / step)

        def changed(steps: int, field: str = field, step: float = step) -> SeveralSearch:
            return _requiring(search, number, {field: round(steps * step, 3)})

        least = _least(start, start * MOST_LIMIT, lambda steps, changed=changed: bool(changed(steps).fits(clock)))  # type: ignore[misc]
        if least is None:
            continue
        new = round(least * step, 3)
        dotted = f"models.{number}.requirements.{field}"
        said = f"Allow {name} {field} = {new:g} (now {now:g}; {dotted})"
        yield _solved(changed(least), clock, Change(dotted, now, new), said)
