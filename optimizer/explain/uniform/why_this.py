"""Why this answer: what stands against everything strictly better, tier by tier, and what each limit is worth.

"Strictly better" is added to the rules as one more that must hold; the minimal sets of rules that it cannot hold together
with are what the optimum rests on. An empty one means that nothing considered is better at all: the costs decide. What a
limit is worth is the objective's gain when it is moved a little and the problem solved again.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, replace
from functools import partial
from typing import Any

import numpy as np

from optimizer.costs.failures import STATES
from optimizer.costs.shapes import Bools, Ints
from optimizer.explain.common.numbers import milliseconds
from optimizer.explain.common.sets import hitting_sets
from optimizer.explain.uniform.choice import winners_confirmed
from optimizer.explain.uniform.conflict import plainness
from optimizer.explain.uniform.conflict_words import member_words
from optimizer.explain.uniform.relaxations import make
from optimizer.explain.uniform.wide import WideSearch, smallest
from optimizer.facts.demand import FEWEST
from optimizer.facts.errors import ProblemError
from optimizer.facts.problem import Problem
from optimizer.reading.stated import Stated
from optimizer.results.answer import Strategy, Verification
from optimizer.search.uniform.capacity import RATE_STEP_PER_S, capacity
from optimizer.search.uniform.quantities import Quantities
from optimizer.search.uniform.screen import peak_completions
from optimizer.search.uniform.violations import violation_masks
from optimizer.search.uniform.winner import Winner, winner

MOST_SETS = 100


@dataclass(frozen=True, slots=True)
class Worth:
    """A limit moved a little: the best strategy then, and what it gains (negative: worse).

    ``gain_ms`` is of the objective; ``gain_first`` of the tier that the preset puts before it, in ``first_unit``.
    """

    words: str
    changes: Mapping[str, Any]
    strategy: Strategy | None
    objective_ms: float | None
    gain_ms: float | None
    gain_first: float | None = None
    first_unit: str = ""


@dataclass(frozen=True, slots=True)
class Against:
    """What stands against a strictly better value of one tier: rules and search limits; none: the costs themselves."""

    tier: str
    members: tuple[str, ...]
    sentence: str


@dataclass(frozen=True, slots=True)
class WhyThis:
    """``strategy`` None: the problem is infeasible, and there is nothing to explain here."""

    problem: str
    strategy: Strategy | None
    objective_ms: float | None
    against: tuple[Against, ...]
    worths: tuple[Worth, ...]
    sentences: tuple[str, ...]
    verification: Verification | None = None
    """Of the strategy, every number recomputed."""


def why_this(problem: Problem, stated: Stated) -> WhyThis:
    """Why the optimum cannot be improved, and what it would take."""
    if problem.costs is not None and stated.costs is None:
        # The statement has to mean the same problem, its source of costs included.
        stated = replace(stated, costs=problem.costs)
    top = winner(problem)
    if top is None:
        none = "No strategy keeps every rule; `optimizer solve` names the conflict and the repairs."
        return WhyThis(problem.name, None, None, (), (), (none,))
    wide = WideSearch(stated, problem)
    against = _against(wide, top)
    worths = tuple(_worths(problem, stated, top))
    s = top.strategy
    said = [f"{s.label} is best: {milliseconds(top.objective_ms)} expected per request."]
    said += [one.sentence for one in against]
    return WhyThis(problem.name, s, top.objective_ms, against, worths, tuple(said), winners_confirmed((top, None)))


def _against(wide: WideSearch, top: Winner) -> tuple[Against, ...]:
    preset = wide.problem.objective.preset
    value = top.tiers[1]
    if preset not in ("throughput", "capacity", *FEWEST):
        return (_tier(wide, "the objective", lambda quantities, slots: objective_by_slots(quantities, slots) < value),)
    first = top.tiers[0]
    if preset in FEWEST:
        name = "fewer GPUs"

        def ahead(quantities: Quantities, slots: Ints) -> Bools:
            return np.broadcast_to((quantities.space.gpus < first)[:, None], slots.shape)

        def level(quantities: Quantities, slots: Ints) -> Bools:
            return np.broadcast_to((quantities.space.gpus == first)[:, None], slots.shape)
    else:
        name = "more requests/s within all limits" if preset == "capacity" else "more tokens/s at the peak"

        def ahead(quantities: Quantities, slots: Ints) -> Bools:
            result: Bools = _peaks(quantities, slots) > -first
            return result

        def level(quantities: Quantities, slots: Ints) -> Bools:
            result: Bools = _peaks(quantities, slots) == -first
            return result

    return (
        _tier(wide, name, ahead),
        _tier(
            wide,
            "the objective, at the same first tier",
            lambda quantities, slots: level(quantities, slots) & (objective_by_slots(quantities, slots) < value),
        ),
    )


def _peaks(quantities: Quantities, slots: Ints) -> Ints:
    of_rows = capacity if quantities.problem.objective.preset == "capacity" else peak_completions
    return np.stack([of_rows(quantities, slots[:, m])[0] for m in range(slots.shape[1])], axis=1)


def objective_by_slots(quantities: Quantities, slots: Ints) -> Ints:
    """The objective of each row with the given sequences, (R, M) ns; ``screen.objective_at_most_slots`` per column."""
    values, (rest_served, rest_unserved) = quantities.state_values, quantities.rest_values
    total: Ints = np.broadcast_to((rest_served + rest_unserved + quantities.gpu_ns)[:, None], slots.shape).copy()
    for down in range(STATES):
        shed = (values.served[:, down] + values.unserved[:, down])[:, None]
        total += np.where(quantities.slots_to_carry[down][:, None] <= slots, values.carried[:, down][:, None], shed)
    return total


def _tier(wide: WideSearch, tier: str, better: Callable[[Quantities, Ints], Bools]) -> Against:
    """What every strictly better candidate of the extended question breaks."""
    masks = smallest(_better_masks(wide, better))
    if not masks:
        return Against(
            tier, (), f"Nothing is better in {tier}, whatever rule is given up: the costs themselves decide."
        )
    sets, _ = hitting_sets(masks, MOST_SETS)
    among = " (among the part of the candidates that was compared; there are too many for all)" if wide.sampled else ""
    bits = wide.member_bits
    named = [tuple(name for name, bit in bits.items() if found & bit) for found in sets]
    members = min(named, key=lambda names: (plainness(names, wide.rules), names))
    clauses = [member_words(wide.problem, member) for member in members]
    sentence = (
        f"Strictly better in {tier} cannot hold together with these: {'; '.join(clauses)}. Each is needed: without any one "
        f"of them something better exists{among}."
    )
    return Against(tier, members, sentence)


def _better_masks(wide: WideSearch, better: Callable[[Quantities, Ints], Bools]) -> Ints:
    found = []
    for quantities, outside in wide.worlds:
        rules = {rule: wide.member_bits[rule] for rule in wide.rules}
        thresholds = [np.minimum(quantities.slots_to_carry[down], quantities.space.slots) for down in range(STATES)]
        found.append(
            violation_masks(
                quantities,
                rules,
                outside,
                wanted=partial(better, quantities),
                more_slots=thresholds,
            )
        )
    return np.concatenate(found) if found else np.empty(0, dtype=np.int64)


def _worths(problem: Problem, stated: Stated, top: Winner) -> list[Worth]:
    """Re-solved gains, for one more GPU and node, memory, bandwidths and every stated limit."""
    hardware, needs = problem.hardware, problem.requirements
    moves: list[tuple[str, Mapping[str, Any] | Problem | None]] = []
    if hardware.nodes == 1:
        moves.append(("one more GPU in the node", {"hardware.gpus_per_node": hardware.gpus_per_node + 1}))
    moves.append((f"one more node of {hardware.gpus_per_node} GPUs", {"hardware.nodes": hardware.nodes + 1}))
    moves.append(("1 % more GPU memory", _gpu(problem, "memory_mib", 1.01)))
    moves.append(("10 % more memory bandwidth", _gpu(problem, "memory_bandwidth_gb_per_s", 1.1)))
    if hardware.nvlink_gb_per_s:
        moves.append(("10 % more NVLink bandwidth", {"hardware.nvlink_gb_per_s": hardware.nvlink_gb_per_s * 1.1}))
    if hardware.nodes > 1:
        faster = {"hardware.internode_gbit_per_s": hardware.internode_gbit_per_s * 1.1}
        moves.append(("10 % more network bandwidth per node", faster))
    share = min(1.0, round(needs.gpu_memory_utilization + 0.01, 6))
    moves.append((f"memory utilization {share:.0%}", {"requirements.gpu_memory_utilization": share}))
    moves.append(
        ("10 % more sequences per replica (max_batch)", {"requirements.max_batch": -(-problem.max_batch * 11 // 10)})
    )
    for limit in needs.latency_limits:
        if limit.metric == "goodput":
            continue
        field = f"requirements.{limit.field}"
        metric = "prefill" if limit.metric == "prefill" else limit.metric.upper()
        later = round(limit.limit_ms * 1.1, 6)
        moves.append((f"{metric} P{limit.percentile} limit 10 % later ({later:g} ms)", {field: later}))
    found = []
    for words, move in moves:
        changed = move if isinstance(move, Problem) else make(stated, move) if move is not None else None
        if changed is None:
            continue
        there = winner(changed, near=top.quantities)
        gain = top.objective_ms - there.objective_ms if there is not None else None
        changes = move if isinstance(move, Mapping) else {}
        first, unit = _first_gain(problem, top, there)
        strategy, objective = (there.strategy, there.objective_ms) if there else (None, None)
        found.append(Worth(words, changes, strategy, objective, gain, first, unit))
    return found


def _first_gain(problem: Problem, top: Winner, there: Winner | None) -> tuple[float | None, str]:
    """Gain in the tier before the objective, where the preset has one."""
    preset = problem.objective.preset
    if there is None or preset not in ("throughput", "capacity", *FEWEST):
        return None, ""
    gain = top.tiers[0] - there.tiers[0]
    if preset in FEWEST:
        return float(gain), "GPUs"
    if preset == "capacity":
        return gain * RATE_STEP_PER_S, "requests/s"
    return gain / 1e6 * problem.workload.output_tokens, "tokens/s"


def _gpu(problem: Problem, fact: str, factor: float) -> Problem | None:
    """The problem with a fact of its GPU scaled."""
    value = getattr(problem.hardware.gpu, fact) * factor
    value = int(value) if fact.endswith("mib") else value
    try:
        gpu = problem.hardware.gpu.model_copy(update={fact: value})
    except ProblemError:
        return None
    return problem.model_copy(update={"hardware": problem.hardware.model_copy(update={"gpu": gpu})})
