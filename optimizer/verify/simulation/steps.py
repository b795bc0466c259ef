"""How long one step of an engine takes: ``docs/model.md``, section 3, in 64-bit floats and for the real contexts.

A step carries b sequences: running ones, which produce a token each, and prompts, of which it computes a chunk.

    stage time = base(b) + sum over running sequences of per_sequence(context)
                         + sum over chunks of prefill(end) - prefill(start)

``base`` holds weights, head, experts and overheads; ``per_sequence`` the cache, messages and sampling, piecewise linear
in the context. The doc's decode_s(b) is base(b) + b * per_sequence(c), its pass_s that plus prefill_s.
"""

from __future__ import annotations

from bisect import bisect_right
from dataclasses import dataclass

import numpy as np

from optimizer.facts.problem import Problem
from optimizer.results.answer import Strategy
from optimizer.verify.common.arithmetic import constant, exact, facts_of_costs
from optimizer.verify.common.groups import row_of
from optimizer.verify.common.links import sends
from optimizer.verify.common.stage import Stage, Stages


@dataclass(frozen=True, slots=True)
class StageTimes:
    """One stage. Milliseconds and tokens."""

    base: tuple[float, ...]
    """Entry b: a step with b sequences, without what depends on contexts."""
    contexts: tuple[float, ...]
    """Where ``per_sequence`` bends, increasing, at least two; beyond the ends it goes on straight."""
    per_sequence: tuple[float, ...]
    prefill_fixed: float
    """Charged with the first chunk of a prompt."""
    prefill_per_token: float
    attention: tuple[tuple[float, int], ...]
    """(ms per token and token seen, window or 0)."""

    def prefill_to(self, tokens: int) -> float:
        """Compute time of the first so many tokens of a prompt."""
        if tokens == 0:
            return 0.0
        total = self.prefill_fixed + self.prefill_per_token * tokens
        for factor, window in self.attention:
            total += factor * tokens * (min(tokens, 2 * window) if window else tokens)
        return total

    def prefill(self, cached: int, start: int, end: int) -> float:
        """Compute time of a prompt's tokens from start to end, behind so many that are cached."""
        if not cached:
            return self.prefill_to(end) - self.prefill_to(start)
        fixed = 0.0 if start else self.prefill_fixed
        return fixed + self.prefill_to(cached + end) - self.prefill_to(cached + start)

    def line(self, context: float) -> tuple[float, float, float]:
        """(per_sequence at a context, its growth per token, tokens until it bends)."""
        i = min(max(bisect_right(self.contexts, context), 1), len(self.contexts) - 1)
        left, right = self.contexts[i - 1], self.contexts[i]
        slope = (self.per_sequence[i] - self.per_sequence[i - 1]) / (right - left)
        bend = right - context if i < len(self.contexts) - 1 else float("inf")
        return self.per_sequence[i - 1] + slope * (context - left), slope, bend


@dataclass(frozen=True, slots=True)
class SimulatedStepTimes:
    """All stages of one replica, first to last, the sends between them, and what admission takes besides."""

    stages: tuple[StageTimes, ...]
    send_fixed: float = 0.0
    """All stage-to-stage sends of a step together, ms."""
    send_per_token: float = 0.0
    start_ms: float = 0.0
    """T_START: arrival to known by the scheduler."""
    admit_steps: float = 0.0
    stage_wait: float = 0.0
    """STAGE_WAIT: share of its work by which a stage is busy longer, for each further stage."""

    def round_ms(self, sequences: int, context: float) -> float:
        """round(n) of the doc: one token for each of so many sequences of this context."""
        depth = len(self.stages)
        b = -(-sequences // depth)
        each = [stage.base[b] + b * stage.line(context)[0] for stage in self.stages]
        return max(
            sum(each) + self.send_fixed + self.send_per_token * b,
            min(sequences, depth) * max(each) * (1 + self.stage_wait * (depth - 1)),
        )

    def hop_ms(self, tokens: int) -> float:
        """One send of so many tokens to the next stage."""
        return (self.send_fixed + self.send_per_token * tokens) / max(1, len(self.stages) - 1)

    def admission_ms(self, sequences: int, context: float) -> float:
        """Delay between a request's arrival and the moment from which a step may take it.

        The doc's mean is T_START + ADMIT_STEPS * round(n). Half a round of it is the mean wait for the step in progress
        to end, and the engine makes requests wait for that by itself.
        """
        return self.start_ms + max(0.0, self.admit_steps - 0.5) * self.round_ms(sequences, context)


def step_times(problem: Problem, strategy: Strategy) -> SimulatedStepTimes:
    """The step times of one replica of a strategy, from the verifier's own formulas."""
    shape = row_of(strategy).shape
    windows = {kind.window_tokens for kind in problem.model.kinds}
    bends = sorted({2, *(w for w in windows if w > 2), max(problem.max_sequence_tokens, *windows, 3) + 1})
    held = [Stages(_with_context(problem, bend)).of(shape.group, shape.layers) for bend in bends]
    built: dict[Stage, StageTimes] = {}
    for stage, *longer in zip(*held, strict=True):
        if stage not in built:
            slopes = [float(each.step.slope) for each in (stage, *longer)]
            built[stage] = _floats(stage, bends, slopes, shape.group.ranks, strategy.max_num_seqs)
    sent = sends(problem.hardware, shape.group.tensor, shape.stages, problem.model.hidden_size)
    engine = facts_of_costs().engine(problem.engine, problem.engine_version)
    return SimulatedStepTimes(
        stages=tuple(built[stage] for stage in held[0]),
        send_fixed=float(sent.fixed),
        send_per_token=float(sent.slope),
        start_ms=float(exact(engine.start_ms)),
        admit_steps=float(exact(engine.admit_steps)),
        stage_wait=float(constant("stage_wait")),
    )


def _with_context(problem: Problem, context: int) -> Problem:
    """The same problem with decode steps at this context: c = prompt + ceil(output / 2), with two output tokens."""
    work = problem.workload.alike(context - 1, 2)
    return problem.model_copy(update={"workload": work})


def _floats(stage: Stage, bends: list[int], slopes: list[float], ranks: int, most_sequences: int) -> StageTimes:
    b = np.arange(most_sequences + 1, dtype=np.float64)
    overlap = float(constant("overlap"))
    base = np.full_like(b, float(stage.step.fixed))
    for memory, compute in stage.roofs:
        read, multiplied = float(memory), float(compute) * b
        base += np.maximum(read, multiplied) + overlap * np.minimum(read, multiplied)
    for experts, layers, tokens in stage.experts:
        touched = experts.count * (1 - (1 - experts.per_token / experts.count) ** (b * ranks * tokens))
        read_all, multiplied = touched * float(experts.read_ms), float(experts.token_ms) * b * tokens
        roof = np.maximum(read_all, multiplied) + overlap * np.minimum(read_all, multiplied)
        base += layers * (roof + touched * float(experts.touch_ms))
    return StageTimes(
        base=tuple(base.tolist()),
        contexts=tuple(map(float, bends)),
        per_sequence=tuple(slopes),
        prefill_fixed=float(stage.prefill.fixed),
        prefill_per_token=float(stage.prefill.slope),
        attention=tuple((float(factor), window) for factor, window in stage.attention),
    )
