"""Section 3 for many shapes at once in 64-bit floats: rounds, prefill and residence for every concurrency.

Other home: ``costs/steps.py``; docs/model.md, section 3.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field, fields

import numpy as np
from numpy.typing import NDArray

from optimizer.facts.problem import Problem
from optimizer.verify.common.arithmetic import constant, exact, facts_of_costs
from optimizer.verify.common.expected_tokens import computed_tokens, tokens_of_a_step
from optimizer.verify.common.float_states import FloatStates
from optimizer.verify.common.groups import ReplicaShape
from optimizer.verify.common.mixed import law_of
from optimizer.verify.common.roof import float_roof
from optimizer.verify.common.stage import Stage, Stages
from optimizer.verify.common.times import chunks_of

Floats = NDArray[np.float64]
Ints = NDArray[np.int64]


@dataclass(frozen=True, slots=True)
class ShapeTimes:
    """Milliseconds; one line for each shape, one column for each concurrency 1 ... N."""

    round: Floats
    prefill: Floats
    """A prompt of the mean length."""
    prefill_longest: Floats
    tpot: Floats
    residence: Floats
    prompt_sum: Floats
    """One prompt through all stages, one number for each shape."""
    prompt_max: Floats
    """One prompt at the slowest stage."""
    admission: Floats
    """From arrival to the first step, no prompt ahead."""
    prompt_mean: Floats
    """A prompt of the mean length through all stages."""
    prompts: Floats
    """Each distinct prompt through all stages, a column each."""
    overlap: Floats
    """c."""
    stages: Floats
    """P."""
    _states: dict[int, FloatStates] = field(init=False, repr=False, compare=False, default_factory=dict)

    def states(self, length: int) -> FloatStates:
        """The chains of requests in progress of so many states, built once."""
        if length not in self._states:
            self._states[length] = FloatStates(self.residence, length)
        return self._states[length]


@dataclass(frozen=True, slots=True)
class TimedShapes:
    """Shapes that rules on degrees and memory leave, with their times."""

    shapes: Sequence[ReplicaShape]
    times: ShapeTimes


def decode_ms(stage: Stage, ranks: int, b: Floats, known: dict[tuple[int, int], Floats]) -> Floats:
    """Decode time of one stage for every b."""
    total = float(stage.step.fixed) + float(stage.step.slope) * b
    for memory, compute in stage.roofs:
        total += float_roof(np.full_like(b, float(memory)), float(compute) * b)
    for experts, layers, tokens in stage.experts:
        one = known.get((id(experts), ranks * tokens))  # the stage keeps them alive
        if one is None:
            touched = experts.count * (1 - (1 - experts.per_token / experts.count) ** (b * ranks * tokens))
            one = float_roof(touched * float(experts.read_ms), float(experts.token_ms) * b * tokens)
            one = known[id(experts), ranks * tokens] = one + touched * float(experts.touch_ms)
        total += layers * one
    return total


def shape_times(problem: Problem, shapes: Sequence[ReplicaShape], stages: Stages, upto: int) -> ShapeTimes:
    """Times of every shape for 1 ... ``upto`` sequences in progress."""
    deepest = sorted({shape.stages for shape in shapes})
    if len(deepest) == 1:
        return _of_depth(problem, shapes, stages, upto)
    # By depth: micro-batches of few sequences and many stages are few columns of many terms.
    lines = [[i for i, shape in enumerate(shapes) if shape.stages == depth] for depth in deepest]
    found = [_of_depth(problem, [shapes[i] for i in some], stages, upto) for some in lines]
    names = [one.name for one in fields(ShapeTimes) if one.init]
    columns = {name: np.empty((len(shapes), *getattr(found[0], name).shape[1:])) for name in names}
    for some, part in zip(lines, found, strict=True):
        for name in names:
            columns[name][some] = getattr(part, name)
    return ShapeTimes(**columns)


def _of_depth(problem: Problem, shapes: Sequence[ReplicaShape], stages: Stages, upto: int) -> ShapeTimes:
    """The same for shapes of equally many stages."""
    work, engine, depth = (
        problem.workload,
        facts_of_costs().engine(problem.engine, problem.engine_version),
        shapes[0].stages,
    )
    b = np.arange(1, -(-upto // depth) + 1, dtype=np.float64)
    law = law_of(problem.requests)
    lengths = sorted({work.prompt_tokens, work.longest_prompt_tokens})
    every = [*lengths, *(law.prompts if work.mixed else ())]
    known: dict[tuple[int, int], Floats] = {}
    decode: list[Floats] = []
    chunk: list[list[float]] = []
    line: dict[tuple[int, int], int] = {}
    held: list[dict[int, int]] = []
    """For each shape its stages by their line in the tables, and how many are so."""
    crossings = np.zeros((len(shapes), 2))
    for i, shape in enumerate(shapes):
        mine: dict[int, int] = {}
        for stage in stages.of(shape.group, shape.layers):
            key = id(stage), shape.group.ranks  # ``stages`` keeps every stage alive
            if key not in line:
                line[key] = len(decode)
                decode.append(decode_ms(stage, shape.group.ranks, b, known))
                chunk.append([float(stage.prefill_ms(tokens)) for tokens in every])
            mine[line[key]] = mine.get(line[key], 0) + 1
        held.append(mine)
        sent = stages.sends(shape)
        crossings[i] = float(sent.slope), float(sent.fixed)
    table, whole = np.stack(decode), np.array(chunk)
    # Stages that differ, the others filled up with the first of them, no times.
    widest = max(len(mine) for mine in held)
    places = np.array([[*mine, *[next(iter(mine))] * (widest - len(mine))] for mine in held])
    times = np.array([[*mine.values(), *[0] * (widest - len(mine))] for mine in held], dtype=np.float64)
    n = np.arange(1, upto + 1)
    j = [chunks_of(problem, tokens) for tokens in lengths]
    through = times[:, :1] * table[places[:, 0]]
    worst = table[places[:, 0]]
    passes = [worst + whole[places[:, :1], k] / j[k] for k in range(len(lengths))]
    for s in range(1, widest):
        step = table[places[:, s]]
        through += times[:, s : s + 1] * step
        np.maximum(worst, step, out=worst)
        for k in range(len(lengths)):
            np.maximum(passes[k], step + whole[places[:, s : s + 1], k] / j[k], out=passes[k])
    slope, fixed = crossings[:, :1], crossings[:, 1:]
    wait = 1 + float(constant("stage_wait")) * (depth - 1)
    of_n = -(-n // depth) - 1
    passed = (through + fixed + slope * b * (1 + work.guessed))[:, of_n]
    rounds = np.maximum(passed, np.minimum(n, depth) * wait * worst[:, of_n])
    prefill = []
    for k, tokens in enumerate(lengths):
        alone = (whole[places, k] * times).sum(axis=1, keepdims=True) / j[k]
        of_b = through + alone + (j[k] - 1) * passes[k] + fixed + slope * -(-computed_tokens(work, tokens) // j[k])
        prefill.append(of_b[:, of_n])
    mean = lengths.index(work.prompt_tokens)
    longest = prefill[lengths.index(work.longest_prompt_tokens)]
    each = whole[places, mean]
    prompt_mean = (each * times).sum(axis=1)
    prompts = prompt_mean[:, None]
    shares = np.array([float(share) for share in law.prompt_shares])
    if work.mixed:
        apart = whole[places][:, :, len(lengths) :]
        prompts, each = (apart * times[:, :, None]).sum(axis=1), apart @ shares
    prompt_sum, prompt_max = (each * times).sum(axis=1), each.max(axis=1) * wait
    overlap = _overlap(prompts, shares)
    yielded = float(tokens_of_a_step(work))
    per_round = (n - 1) / work.output_tokens * yielded
    with_prompts = rounds + per_round * prompt_max[:, None]
    if depth > 1:
        fresh = computed_tokens(work, work.prompt_tokens)
        room = np.minimum(per_round, problem.search.max_num_batched_tokens / fresh)
        longer = np.maximum(0.0, prompt_sum + slope[:, 0] * fresh - prompt_max)[:, None]
        carried = room * prompt_max[:, None] + _beyond(room, longer, rounds - passed)
        less = carried * rounds * max(0.0, 1 - 1 / depth - 0.5 / depth**2) * np.minimum(1.0, room / (1 + room / 1.5))
        half = (rounds + carried) / 2
        with_prompts = np.maximum(with_prompts, half + np.sqrt(half * half - less))
    tpot = np.maximum.accumulate(with_prompts, axis=1) / yielded
    admission = float(exact(engine.start_ms)) + float(exact(engine.admit_steps)) * rounds
    residence = admission + prefill[mean] + (prompt_sum - prompt_mean)[:, None] + (work.output_tokens - 1) * tpot
    return ShapeTimes(
        rounds,
        prefill[mean],
        longest,
        tpot,
        residence,
        prompt_sum,
        prompt_max,
        admission,
        prompt_mean,
        prompts,
        overlap,
        np.full(len(shapes), float(depth)),
    )


def _beyond(prompts: Floats, each: Floats, waited: Floats) -> Floats:
    """Work of a geometric number of prompts, each so long, beyond what a micro-batch waits for anyway."""
    again = prompts / (1 + prompts)
    with np.errstate(divide="ignore", invalid="ignore"):
        first, part = np.divmod(waited / each, 1.0)
    held = prompts * each * again ** np.nan_to_num(first) * (1 - np.nan_to_num(part) * (1 - again))
    return np.where(each > 0, held, 0.0)


def _overlap(prompts: Floats, shares: Floats) -> Floats:
    """c of every shape: half the mean of the shorter of two prompts over the mean of one."""
    if prompts.shape[1] == 1:
        return np.full(len(prompts), 0.5)
    found = np.empty(len(prompts))
    for i, line in enumerate(prompts):
        order = np.argsort(line)
        at_least = np.cumsum(shares[order][::-1])[::-1]
        both = at_least**2
        found[i] = line[order] @ (both - np.append(both[1:], 0.0)) / (2 * (line @ shares))
    return found
