"""vLLM's first engine without chunked prefill, played request by request: prompts go before every token of an answer.

Each pipeline stage has a scheduler of its own ("virtual engine"), to which the next request goes where fewest are unfinished. A
scheduler with a prompt waiting computes whole prompts, and no token of an answer beside them; else a token for each of its
requests. So under a steady stream of arrivals first tokens come at once and answers stand still, the short ones for most of their time.
Source: vLLM 0.8.3, ``vllm/core/scheduler.py`` (``_schedule_default``) and ``vllm/engine/arg_utils.py`` (``_set_default_args_v0``:
no chunked prefill for latent attention, nor for contexts up to 32,768).
"""

from __future__ import annotations

import heapq
import math
import re
from collections import deque
from collections.abc import Sequence
from dataclasses import dataclass, field

from optimizer.facts.model import ModelFacts
from optimizer.reading.measurements import Measurement
from optimizer.verify.simulation.sequences import Request
from optimizer.verify.simulation.steps import SimulatedStepTimes
from optimizer.verify.simulation.trace import Arrival

FIRST_ENGINE_BEFORE, WITH_STAGES = (0, 8), (0, 9)
"""vLLM's second engine is the default from 0.8 on; with pipeline stages and no executor named, as a start-up script has it, from 0.9."""
FIRST_DATED, SECOND_DATED = 2000, (2025, 3)
"""Versions from 2000 on are years; 0.8.0 is of March 2025."""
LONG_CONTEXT = 32_768
CHUNKED = re.compile(r"(\bno |\bnot |\bwithout )?chunked[ -]prefill(:?\s*(?:off|disabled|=\s*false))?")
SEQUENCE_MS = 0.2
"""What the processor does for each sequence between two steps, ms: this engine schedules, samples and detokenises while the GPU waits.
Six open loops over two nodes: TPOT 139 ms with 14 sequences to a scheduler, 170 with 70; prompts between explain 20 of the 31."""
PROMPT_TOKENS = 8192
"""Tokens of prompts in one step; vLLM's own limit is the longest sequence, which a run does not state."""


def prompts_first(row: Measurement, model: ModelFacts) -> bool:
    """Whether a run was of that engine: what its note says of chunked prefill, else its version, stages and model."""
    said = CHUNKED.search(row.note.lower())
    if said:
        return bool(said[1] or said[2])
    latent = any(kind.latent for kind in model.kinds)
    return first_engine(row) and (latent or model.max_context_tokens <= LONG_CONTEXT)


def first_engine(row: Measurement) -> bool:
    """Whether a run was of vLLM's first engine, by its version (a release, or the year and month) and stages."""
    numbers = tuple(int(part) for part in re.findall(r"\d+", row.version)[:2])
    if row.engine not in {"vllm", ""} or not numbers:
        return False
    if numbers[0] >= FIRST_DATED:
        return numbers < SECOND_DATED
    return numbers < (WITH_STAGES if row.pp > 1 else FIRST_ENGINE_BEFORE)


@dataclass(slots=True)
class _Scheduler:
    """One virtual engine: what waits, what runs, whether a step of it is under way and how many prompts that carries."""

    waiting: deque[Request] = field(default_factory=deque)
    running: list[Request] = field(default_factory=list)
    prompts: int = 0
    busy: bool = False

    @property
    def unfinished(self) -> int:
        """Requests that are here."""
        return len(self.waiting) + self.prompts + len(self.running)


def play(
    times: SimulatedStepTimes,
    arrivals: Sequence[Arrival],
    most_running: int,
    launched_ms: Sequence[float],
    stalls_ms: Sequence[float] = (),
) -> tuple[list[Request], float]:
    """Every request answered, and when the last one was, ms.

    Args:
        times: the stages of the replica.
        arrivals: in order of time.
        most_running: sequences that a scheduler has in progress at most.
        launched_ms: what each stage's step takes at least, as long as its kernels take to launch.
        stalls_ms: by how much each of the first steps with prompts takes longer.
    """
    requests = [Request(number, arrival, 0, 0) for number, arrival in enumerate(arrivals)]
    schedulers = [_Scheduler() for _ in times.stages]
    free = [0.0] * len(times.stages)
    stalls = deque(stalls_ms)
    steps: list[tuple[float, int, list[Request], bool]] = []
    coming = deque(requests)
    now = 0.0
    while coming or steps:
        known = coming[0].arrived + times.start_ms if coming else math.inf
        if known <= (steps[0][0] if steps else math.inf):
            now = known
            min(schedulers, key=lambda one: one.unfinished).waiting.append(coming.popleft())
        else:
            now, which, batch, prompts = heapq.heappop(steps)
            _land(schedulers[which], batch, prompts, now)
        for which, one in enumerate(schedulers):
            if not one.busy and one.unfinished:
                batch, prompts = _next(one, most_running)
                extra = stalls.popleft() if prompts and stalls else 0.0
                heapq.heappush(
                    steps, (_through(times, launched_ms, batch, prompts, free, now, extra), which, batch, prompts)
                )
                one.busy, one.prompts = True, len(batch) if prompts else 0
    return requests, now


def _next(one: _Scheduler, most_running: int) -> tuple[list[Request], bool]:
    """What the next step carries: whole prompts where any waits and has room, else a token for each that runs."""
    batch: list[Request] = []
    tokens = 0
    while one.waiting and len(one.running) + len(batch) < most_running:
        tokens += one.waiting[0].prompt
        if batch and tokens > PROMPT_TOKENS:
            break
        batch.append(one.waiting.popleft())
    return (batch, True) if batch else (list(one.running), False)


def _through(
    times: SimulatedStepTimes,
    launched_ms: Sequence[float],
    batch: Sequence[Request],
    prompts: bool,
    free: list[float],
    now: float,
    extra: float,
) -> float:
    """When a step that begins now has passed every stage; keeps until when each stage is taken."""
    count = len(batch)
    tokens = sum(request.prompt for request in batch) if prompts else count
    context = sum(request.prompt + request.produced for request in batch) / count
    at = now
    for number, stage in enumerate(times.stages):
        own = stage.base[count] + count * stage.line(context)[0]
        own += sum(stage.prefill(0, 0, request.prompt) for request in batch) if prompts else 0.0
        own = max(own, launched_ms[number]) + (count * SEQUENCE_MS + extra) / len(times.stages)
        at = max(at + (times.hop_ms(tokens) if number else 0.0), free[number]) + own
        free[number] = at
    return at


def _land(one: _Scheduler, batch: Sequence[Request], prompts: bool, now: float) -> None:
    """A step is back: each of its requests has a token more, and those that have all leave."""
    one.busy, one.prompts = False, 0
    for request in batch:
        request.produced += 1
        if prompts:
            request.first = now
            one.running.append(request)
    left = [request for request in one.running if request.produced < request.output]
    for request in one.running:
        if request.produced >= request.output:
            request.finished = now
    one.running = left
