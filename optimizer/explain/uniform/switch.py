"""Where the best answer changes: facts and weights moved step by step outward, and the switch point bisected.

A switch point is a bracket: at one end the answer is as before, at the other it is not, both by comparing every
candidate of the changed problem (``search.uniform.winner``). Between the outward steps the answer is assumed to change at most
once in and out again; a change and its reversal within one step would be missed, and the words say which steps were asked.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

from optimizer.facts.errors import ProblemError
from optimizer.facts.problem import Problem
from optimizer.reading.stated import Stated
from optimizer.search.uniform.space import SpaceTooLargeError
from optimizer.search.uniform.winner import Winner, winner

OUTWARD = (1.05, 1.1, 1.2, 1.35, 1.5, 2.0, 3.0, 4.0)
RESOLUTION = 0.01


@dataclass(frozen=True, slots=True)
class Knob:
    """A fact that may be other than stated.

    Args:
        field: the dotted field of the problem file.
        words: what it is, for people.
        unit: of the value.
        value: as it is now.
        whole: whether only whole numbers make sense.
        set: the problem with another value; None where the facts refuse it.
        most, least: the value stays within these.
    """

    field: str
    words: str
    unit: str
    value: float
    whole: bool
    set: Callable[[float], Problem | None]
    least: float = 0.0
    most: float = float("inf")


@dataclass(frozen=True, slots=True)
class Switch:
    """The answer holds up to ``inside`` and no more at ``outside``, where ``there`` is best (None: nothing is feasible)."""

    inside: float
    outside: float
    there: Winner | None


def knobs(stated: Stated, problem: Problem) -> tuple[Knob, ...]:
    """The uncertain facts: bandwidth that is reached, request rate, failure rates, prompt and output length."""

    def field(name: str) -> Callable[[float], Problem | None]:
        return lambda value: _made(stated, name, value)

    def bandwidth(share: float) -> Problem | None:
        gpu = problem.hardware.gpu
        moved = gpu.model_copy(update={"memory_bandwidth_gb_per_s": gpu.memory_bandwidth_gb_per_s * share})
        return problem.model_copy(update={"hardware": problem.hardware.model_copy(update={"gpu": moved})})

    work, failures = problem.workload, problem.hardware.failures
    # Without a stated limit the longest sequence is whatever the workload asks for, up to the model's context.
    context = problem.requirements.max_sequence_tokens or problem.model.max_context_tokens
    longest = context - work.output_tokens
    found = [
        Knob("hardware.gpu.memory_bandwidth_gb_per_s", "memory bandwidth reached", "of what is assumed", 1.0, False, bandwidth),
        Knob("workload.requests_per_s", "request rate", "requests/s", work.requests_per_s, False,
             field("workload.requests_per_s")),
        Knob("workload.prompt_tokens", "mean prompt length", "tokens", work.prompt_tokens, True,
             field("workload.prompt_tokens"), 1, min(longest, work.prompt_tokens_p99 or longest)),
        Knob("workload.output_tokens", "mean output length", "tokens", work.output_tokens, True,
             field("workload.output_tokens"), 1, context - work.longest_prompt_tokens),
        Knob("hardware.failures.gpu_mtbf_hours", "time between failures of one GPU", "hours", failures.gpu_mtbf_hours,
             False, field("hardware.failures.gpu_mtbf_hours")),
        Knob("hardware.failures.node_mtbf_hours", "time between failures of one node", "hours", failures.node_mtbf_hours,
             False, field("hardware.failures.node_mtbf_hours")),
    ]  # fmt: skip
    if work.users is not None:
        # What arrives is no fact then but what each strategy makes of it.
        found = [knob for knob in found if knob.field != "workload.requests_per_s"]
    # A law or a trace is no single number that could be moved.
    spread = [name for name, law in (("prompt", work.prompt_law), ("output", work.output_law)) if law or work.recorded]
    found = [knob for knob in found if knob.field not in {f"workload.{name}_tokens" for name in spread}]
    if problem.hardware.nodes > 1:
        found.append(
            Knob("hardware.internode_gbit_per_s", "network bandwidth of a node", "Gbit/s",
                 problem.hardware.internode_gbit_per_s, False, field("hardware.internode_gbit_per_s"))
        )  # fmt: skip
    return tuple(found)


def _made(stated: Stated, field: str, value: float) -> Problem | None:
    try:
        return stated.changed({field: value}).problem()
    except ProblemError:
        return None


def best(problem: Problem | None, near: Winner | None = None) -> tuple[bool, Winner | None]:
    """(whether the question could be asked, the best candidate); tables are shared with a near winner."""
    if problem is None:
        return False, None
    try:
        return True, winner(problem, near=near.quantities if near is not None else None)
    except SpaceTooLargeError:
        return False, None


def outward(knob: Knob, up: bool, factors: tuple[float, ...] = OUTWARD) -> list[float]:
    """Values asked about, nearest first, within the knob's limits."""
    values: list[float] = []
    for factor in factors:
        value = knob.value * factor if up else knob.value / factor
        value = min(max(value, knob.least), knob.most)
        value = float(int(value) if knob.whole and not up else -(-value // 1) if knob.whole else value)
        if value != knob.value and value > 0 and value not in values:
            values.append(value)
    return values


def find_switch(
    knob: Knob, holds: Callable[[Winner | None], bool], up: bool, near: Winner | None = None
) -> tuple[Switch | None, float]:
    """The nearest switch on one side, and the furthest value asked about.

    Args:
        holds: whether the answer is as before.
        near: the winner now, whose tables are shared where they can be.
    """
    inside = knob.value
    for value in outward(knob, up):
        asked, there = best(knob.set(_typed(knob, value)), near)
        if not asked:
            return None, inside
        if not holds(there):
            return narrowed(knob, holds, inside, value, there, near), value
        inside = value
    return None, inside


def narrowed(
    knob: Knob,
    holds: Callable[[Winner | None], bool],
    inside: float,
    outside: float,
    there: Winner | None,
    near: Winner | None = None,
) -> Switch:
    """The bracket halved until it is within ``RESOLUTION`` of the value, or neighbouring whole numbers."""
    while abs(outside - inside) > (1 if knob.whole else RESOLUTION * knob.value):
        middle = (inside + outside) / 2
        middle = float(round(middle)) if knob.whole else middle
        if middle in (inside, outside):
            break
        asked, found = best(knob.set(_typed(knob, middle)), near)
        if not asked:
            break
        if holds(found):
            inside = middle
        else:
            outside, there = middle, found
    return Switch(inside, outside, there)


def _typed(knob: Knob, value: float) -> float:
    return int(value) if knob.whole else value
