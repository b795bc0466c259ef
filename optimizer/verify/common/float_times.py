"""Section 3 for many shapes at once in 64-bit floats: rounds, prefill and residence for every concurrency."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from optimizer.facts.problem import Problem
from optimizer.verify.common.arithmetic import constant, exact, facts_of_costs
from optimizer.verify.common.groups import ReplicaShape
from optimizer.verify.common.layer import LayerExperts
from optimizer.verify.common.mixed import law_of
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


def _roof(x: Floats, y: Floats) -> Floats:
    return np.maximum(x, y) + float(constant("overlap")) * np.minimum(x, y)


def decode_ms(stage: Stage, ranks: int, b: Floats, known: dict[tuple[LayerExperts, int], Floats]) -> Floats:
    """Decode time of one stage for every b."""
    total = float(stage.step.fixed) + float(stage.step.slope) * b
    for memory, compute in stage.roofs:
        total += _roof(np.full_like(b, float(memory)), float(compute) * b)
    for experts, layers, tokens in stage.experts:
        one = known.get((experts, ranks * tokens))
        if one is None:
            touched = experts.count * (1 - (1 - experts.per_token / experts.count) ** (b * ranks * tokens))
            one = _roof(touched * float(experts.read_ms), float(experts.token_ms) * b * tokens)
            one = known[experts, ranks * tokens] = one + touched * float(experts.touch_ms)
        total += layers * one
    return total


def shape_times(problem: Problem, shapes: Sequence[ReplicaShape], stages: Stages, upto: int) -> ShapeTimes:
    """Times of every shape for 1 ... ``upto`` sequences in progress."""
    work, engine = problem.workload, facts_of_costs().engines[problem.engine]
    deepest = max(shape.stages for shape in shapes)
    fewest = min(shape.stages for shape in shapes)
    b = np.arange(1, -(-upto // fewest) + 1, dtype=np.float64)
    law = law_of(problem.requests)
    lengths = (work.prompt_tokens, work.longest_prompt_tokens, *(law.prompts if work.mixed else ()))
    # Line 0 of each table is the stage that a shallower replica does not have.
    known: dict[tuple[LayerExperts, int], Floats] = {}
    decode, chunk, line = [np.zeros_like(b)], [(0.0,) * len(lengths)], dict[tuple[int, int], int]()
    places = np.zeros((len(shapes), deepest), dtype=np.int64)
    crossings = np.zeros((len(shapes), 2))
    for i, shape in enumerate(shapes):
        for s, stage in enumerate(stages.of(shape.group, shape.layers)):
            key = id(stage), shape.group.ranks  # ``stages`` keeps every stage alive
            if key not in line:
                line[key] = len(decode)
                decode.append(decode_ms(stage, shape.group.ranks, b, known))
                chunk.append(tuple(float(stage.prefill_ms(tokens)) for tokens in lengths))
            places[i, s] = line[key]
        sent = stages.sends(shape)
        crossings[i] = float(sent.slope), float(sent.fixed)
    table, whole = np.stack(decode), np.array(chunk)
    depth = np.array([[shape.stages] for shape in shapes])
    n = np.arange(1, upto + 1)
    column = -(-n // depth) - 1
    through = np.zeros((len(shapes), upto))
    worst, worst_pass = np.zeros_like(through), [np.zeros_like(through), np.zeros_like(through)]
    j = [chunks_of(problem, tokens) for tokens in lengths[:2]]
    for s in range(deepest):
        step = table[places[:, s : s + 1], column]
        through += step
        np.maximum(worst, step, out=worst)
        for k in (0, 1):
            np.maximum(worst_pass[k], step + whole[places[:, s : s + 1], k] / j[k], out=worst_pass[k])
    slope, fixed = crossings[:, :1], crossings[:, 1:]
    wait = 1 + float(constant("stage_wait")) * (depth - 1)
    rounds = np.maximum(
        through + fixed + slope * (column + 1) * (1 + work.guessed), np.minimum(n, depth) * worst * wait
    )
    prefill = []
    for k, tokens in enumerate(lengths[:2]):
        mine = whole[places, k].sum(axis=1, keepdims=True) / j[k]
        prefill.append(through + mine + (j[k] - 1) * worst_pass[k] + fixed + slope * -(-work.fresh(tokens) // j[k]))
    each = whole[places, 0]
    prompt_mean = each.sum(axis=1)
    prompts = prompt_mean[:, None]
    shares = np.array([float(share) for share in law.prompt_shares])
    if work.mixed:
        apart = whole[places][:, :, 2:]
        prompts, each = apart.sum(axis=1), apart @ shares
    prompt_sum, prompt_max = each.sum(axis=1), each.max(axis=1) * wait[:, 0]
    overlap = _overlap(prompts, shares)
    yielded = float(work.yielded)
    per_round = (n - 1) / work.output_tokens * yielded
    alone = (prompt_sum - prompt_max)[:, None]
    tpot = (rounds + per_round * (prompt_max[:, None] + alone / (1 + overlap[:, None] * per_round))) / yielded
    admission = float(exact(engine.start_ms)) + float(exact(engine.admit_steps)) * rounds
    residence = admission + prefill[0] + (prompt_sum - prompt_mean)[:, None] + (work.output_tokens - 1) * tpot
    return ShapeTimes(
        rounds,
        prefill[0],
        prefill[1],
        tpot,
        residence,
        prompt_sum,
        prompt_max,
        admission,
        prompt_mean,
        prompts,
        overlap,
        depth[:, 0].astype(np.float64),
    )


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
