"""The event loop: iteration-level continuous batching on a pipeline of stages (Yu et al., Orca, OSDI 2022).

With P stages up to P micro-batches are in flight; each passes the stages in turn, and a stage serves one at a time in
order of launch. A micro-batch that is back is launched again at once, with whatever was waiting; a request that finds a
place in the pipeline empty starts a micro-batch of its own (vLLM's ``step_with_batch_queue``).

Steps in which nothing joins or leaves are not run event by event: see ``_leap`` (one stage) and ``_cycle`` (several).
"""

from __future__ import annotations

import math
from collections import deque
from dataclasses import dataclass
from heapq import heappop, heappush

import numpy as np

from optimizer.facts.workload import Speculation
from optimizer.verify.common.expected_tokens import found_tokens
from optimizer.verify.simulation.arrivals import Source
from optimizer.verify.simulation.occupancy import Occupancy
from optimizer.verify.simulation.scheduler import Chunk, Limits, Scheduler
from optimizer.verify.simulation.sequences import BLOCK_TOKENS, MicroBatch, Request
from optimizer.verify.simulation.steps import SimulatedStepTimes


@dataclass(frozen=True, slots=True)
class SimulationRun:
    """What happened. Times in ms."""

    requests: tuple[Request, ...]
    """In order of arrival; those not complete have ``finished`` = -1."""
    ended_ms: float
    in_system_ms: float
    """Time integral of the requests in the system."""
    refused: int
    preemptions: int
    recomputed_tokens: int
    most_running: int
    most_blocks: int
    occupancy: Occupancy


class SimulatedEngine:
    """One replica. Use once: ``Engine(...).run(requests)``."""

    def __init__(self, times: SimulatedStepTimes, limits: Limits, source: Source) -> None:
        self._times, self._source = times, source
        self._depth = len(times.stages)
        self._scheduler = Scheduler(limits)
        self._prefix, self._speculation = limits.prefix, limits.speculation
        self._random = np.random.default_rng(1)
        self._now = 0.0
        self._requests: list[Request] = []
        self._admitting: list[tuple[float, int]] = []  # heap of (known to the scheduler at, request number)
        self._idle = [MicroBatch() for _ in range(self._depth)]
        self._flights: deque[tuple[float, MicroBatch]] = deque()  # (back at, micro-batch)
        self._free = [0.0] * self._depth  # when each stage is done with what was launched
        self._after = times.stage_wait * (self._depth - 1)  # share of its work that a stage then waits for others
        self._wanted = self._unanswered = 0
        self._in_system = self._refused = 0
        self._in_system_ms = self._counted_to = 0.0
        self._occupancy = Occupancy()

    def run(self, requests: int) -> SimulationRun:
        """Serve until the first so many requests that were not refused are answered, or no request is left."""
        self._wanted = self._unanswered = requests
        while self._unanswered > 0:
            self._arrive(self._now)
            if len(self._flights) < self._depth and self._launch():
                continue
            if self._flights:
                self._cycle()
            back = self._flights[0][0] if self._flights else math.inf
            ready = self._next_ready(back) if len(self._flights) < self._depth else math.inf
            if ready < back:
                self._now = ready
            elif self._flights:
                self._return()
            else:
                break
        scheduler = self._scheduler
        return SimulationRun(
            requests=tuple(self._requests),
            ended_ms=self._counted_to,
            in_system_ms=self._in_system_ms,
            refused=self._refused,
            preemptions=scheduler.preemptions,
            recomputed_tokens=scheduler.recomputed_tokens,
            most_running=scheduler.most_running,
            most_blocks=scheduler.most_blocks,
            occupancy=self._occupancy,
        )

    # Arrivals

    def _arrive(self, until: float) -> None:
        """Take what arrives up to a time, and queue what the scheduler knows of by then."""
        while self._source.next_ms <= until:
            self._take_one()
        while self._admitting and self._admitting[0][0] <= until:
            self._scheduler.waiting.append(self._requests[heappop(self._admitting)[1]])

    def _take_one(self) -> None:
        arrival = self._source.take()
        if not self._scheduler.accepts(arrival.prompt_tokens + arrival.output_tokens):
            self._refused += 1
            return
        self._count(arrival.at_ms, 1)
        cached = found_tokens(self._prefix, arrival.prompt_tokens)
        request = Request(len(self._requests), arrival, cached, 0 if self._prefix is None else self._prefix.shared)
        if self._speculation is not None and request.output > 1:
            request.output = 1 + _steps(request.output - 1, self._speculation, self._random)
            request.ahead = (request.tokens - request.output) // 2
        self._requests.append(request)
        sequences = sum(len(batch.decoding) for _, batch in self._flights)
        context = sum(batch.context for _, batch in self._flights) / sequences if sequences else request.prompt
        known = request.arrived + self._times.admission_ms(max(1, sequences), context)
        heappush(self._admitting, (known, request.number))

    def _next_ready(self, until: float) -> float:
        """When the scheduler next learns of a request, infinite where not before ``until``.

        Takes the arrivals up to then.
        """
        while self._source.next_ms < min(until, self._known_next()):
            self._take_one()
        known = self._known_next()
        return known if known < until else math.inf

    def _known_next(self) -> float:
        """When the scheduler learns of the next request that has arrived."""
        return self._admitting[0][0] if self._admitting else math.inf

    def _count(self, at: float, change: int) -> None:
        self._in_system_ms += self._in_system * (at - self._counted_to)
        self._counted_to = at
        self._in_system += change

    # One step

    def _launch(self) -> bool:
        """Put the next micro-batch on its way; False when there is nothing to run."""
        batch = next((batch for batch in self._idle if batch.decoding), self._idle[0])
        before = self._scheduler.blocks
        chunks = self._scheduler.schedule(batch, self._idle, self._now)
        if self._scheduler.blocks != before:
            self._occupancy.note(self._now, before)
            self._occupancy.note(self._now, self._scheduler.blocks)
        if not chunks and not batch.decoding:
            return False
        self._idle.remove(batch)
        self._time(batch, chunks)
        at = self._now - batch.hop
        for s, ms in enumerate(batch.stage_ms):
            at = max(at + batch.hop, self._free[s]) + ms
            self._free[s] = at + ms * self._after
        self._flights.append((at, batch))
        return True

    def _time(self, batch: MicroBatch, chunks: list[Chunk]) -> None:
        """What the micro-batch takes at each stage, how that grows from step to step, and for how many steps."""
        decoding = len(batch.decoding)
        mean = batch.context / decoding if decoding else 0.0
        alike = 0.0 if chunks else float(batch.steps_to_completion)
        batch.stage_ms, batch.growth = [], []
        for stage in self._times.stages:
            each, slope, bend = stage.line(mean)
            compute = sum(stage.prefill(chunk.request.cached, chunk.start, chunk.end) for chunk in chunks)
            batch.stage_ms.append(stage.base[decoding + len(chunks)] + decoding * each + compute)
            batch.growth.append(decoding * slope)
            alike = min(alike, bend)
        batch.alike = int(alike)
        batch.chunks = [chunk.request for chunk in chunks]
        batch.hop = self._times.hop_ms(decoding + sum(chunk.end - chunk.start for chunk in chunks))

    def _return(self) -> None:
        """The oldest flight is back: tokens are there, some requests are complete."""
        self._now = self._flights[0][0]
        self._arrive(self._now)
        batch = self._flights.popleft()[1]
        batch.advance(1)
        for request in batch.completed():
            self._complete(request)
        for request in batch.chunks:
            request.flying -= 1
        for request in batch.landing:
            request.produced += 1
            if request.first < 0:
                request.first = self._now
            if request.produced >= request.output:
                self._complete(request)
            else:
                batch.join(request)
        batch.chunks, batch.landing = [], []
        self._idle.append(batch)

    def _complete(self, request: Request) -> None:
        request.finished = self._now
        self._occupancy.note(self._now, self._scheduler.blocks)
        self._scheduler.complete(request)
        self._occupancy.note(self._now, self._scheduler.blocks)
        self._count(self._now, -1)
        if request.number < self._wanted:
            self._unanswered -= 1
        self._source.completed(self._now)

    # Many steps at once

    def _cycle(self) -> None:
        """Relaunch micro-batches for as long as nothing joins, leaves or runs out of blocks."""
        scheduler = self._scheduler
        full = scheduler.is_full()
        if scheduler.prompting or (scheduler.waiting and not full):
            return
        if self._depth == 1:
            self._leap(full)
            return
        horizon = math.inf if full else min(self._source.next_ms, self._known_next())
        flights, free, stages, after = self._flights, self._free, range(self._depth), self._after
        while True:
            at, batch = flights[0]
            needed = batch.phases[(batch.steps + 1) % BLOCK_TOKENS]
            if at >= horizon or batch.alike <= 1 or needed > scheduler.free_blocks:
                return
            if needed:
                scheduler.take(needed)
            batch.alike -= 1
            batch.advance(1)
            stage_ms, growth, hop = batch.stage_ms, batch.growth, batch.hop
            at -= hop
            for s in stages:  # as in ``_launch``; most of a pipeline's simulation is spent here
                ms = stage_ms[s] = stage_ms[s] + growth[s]
                at += hop
                if free[s] > at:
                    at = free[s]
                at += ms
                free[s] = at + ms * after
            flights.popleft()
            flights.append((at, batch))

    def _leap(self, full: bool) -> None:
        """One stage, one micro-batch: its return moves to the end of the last step that is like the present one.

        Step j of the leap takes first + j * growth, so k steps take k * first + growth * k (k - 1) / 2.
        """
        finish, batch = self._flights[0]
        if batch.alike <= 1:
            return
        first, growth = batch.stage_ms[0], batch.growth[0]
        begun = finish - first
        steps = self._steps_with_blocks(batch, batch.alike)
        while not full:
            steps = min(steps, _steps_until(self._known_next() - begun, first, growth))
            if self._source.next_ms > begun + steps * first + growth * steps * (steps - 1) / 2:
                break
            self._take_one()
        if steps <= 1:
            return
        self._occupancy.note(begun, self._scheduler.blocks)
        self._scheduler.take(batch.blocks_for(steps) - batch.blocks_needed)
        batch.advance(steps - 1)
        end = begun + steps * first + growth * steps * (steps - 1) / 2
        self._occupancy.note(end, self._scheduler.blocks)
        self._free[0] = end
        self._flights[0] = (end, batch)

    def _steps_with_blocks(self, batch: MicroBatch, steps: int) -> int:
        """At most so many steps, as many as the free blocks allow; the first has its blocks already."""
        room = self._scheduler.free_blocks + batch.blocks_needed
        if batch.blocks_for(steps) <= room:
            return steps
        low, high = 1, steps
        while high - low > 1:
            middle = (low + high) // 2
            low, high = (middle, high) if batch.blocks_for(middle) <= room else (low, middle)
        return low


def _steps(tokens: int, speculation: Speculation, random: np.random.Generator) -> int:
    """Steps in which a sequence gets so many tokens: one each, and of the guesses those before the first that is wrong."""
    guessed = speculation.tokens or 0
    lucky = np.floor(np.log(random.random(tokens)) / math.log(speculation.acceptance))
    reached = np.cumsum(1 + np.minimum(guessed, lucky))
    return int(np.searchsorted(reached, tokens)) + 1


def _steps_until(wait: float, first: float, growth: float) -> int:
    """Fewest steps, at least one, that last for ``wait``; the first takes ``first``, each next ``growth`` more."""
    if wait <= first:
        return 1
    if wait == math.inf:
        return 1 << 62
    if growth <= 1e-12 * first:
        return math.ceil(wait / first)
    half = first - growth / 2
    return math.ceil((math.sqrt(half * half + 2 * growth * wait) - half) / growth)
