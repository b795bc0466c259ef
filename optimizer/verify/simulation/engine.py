"""The event loop: iteration-level continuous batching as vLLM's v1 scheduler does it.

Each step takes the running sequences of one micro-batch (one token each) and fills the rest of its token budget with
chunks of prompts in order of arrival. At most ``max_num_seqs`` requests run. KV blocks are taken as tokens are stored; when
none is left, the request admitted last gives its own up, goes back to the head of the queue and is computed again (prompt
and outputs so far). With P stages up to P micro-batches are in flight; each passes the stages in turn, one at a time.

Steps in which nothing joins or leaves are not run one by one: see ``_leap`` and ``_cycle``.
Source of the scheduling rules: vLLM 0.8 and later, ``vllm/v1/core/sched/scheduler.py``; chunked prefill: Agrawal et al.,
Sarathi-Serve (OSDI 2024); iteration-level batching: Yu et al., Orca (OSDI 2022).
"""

from __future__ import annotations

import math
from collections import deque
from dataclasses import dataclass
from heapq import heappop, heappush

from optimizer.verify.simulation.arrivals import Source
from optimizer.verify.simulation.sequences import MicroBatch, Request, blocks_of
from optimizer.verify.simulation.steps import StepTimes

_LONGEST_LEAP = 1 << 20


@dataclass(frozen=True, slots=True)
class Limits:
    """What the engine may hold."""

    max_num_seqs: int
    token_budget: int
    """Tokens of one step; also bounds the sequences that run, as vLLM requires."""
    kv_blocks: int
    max_sequence_tokens: int
    """Longer requests are refused, as are those that all blocks together cannot hold."""


@dataclass(frozen=True, slots=True)
class Run:
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


class Engine:
    """One replica. Use once: ``Engine(...).run(requests)``."""

    def __init__(self, times: StepTimes, limits: Limits, source: Source) -> None:
        self.times, self.source = times, source
        self.depth = len(times.stages)
        self.slots = min(limits.max_num_seqs, limits.token_budget)
        self.budget, self.capacity = limits.token_budget, limits.kv_blocks
        self.longest = limits.max_sequence_tokens
        self.now = 0.0
        self.requests: list[Request] = []
        self.admitting: list[tuple[float, int]] = []  # heap of (known to the scheduler at, number)
        self.waiting: deque[Request] = deque()
        self.prompting: list[Request] = []  # admitted, some of the prompt still to be scheduled
        self.running = self.blocks = self.admissions = self.answered = self.in_system = 0
        self.idle = [MicroBatch() for _ in range(self.depth)]
        self.flights: deque[tuple[float, MicroBatch]] = deque()
        self.free = [0.0] * self.depth
        self.hop_fixed = times.send_fixed / max(1, self.depth - 1)
        self.hop_per_token = times.send_per_token / max(1, self.depth - 1)
        self.area = self.counted_to = 0.0
        self.refused = self.preemptions = self.recomputed = self.most_running = self.most_blocks = 0

    def run(self, requests: int) -> Run:
        """Serve until the first so many requests that were not refused are answered, or no request is left."""
        self.wanted = requests
        self._unanswered = requests
        while self._unanswered > 0:
            self._arrive(self.now)
            if len(self.flights) < self.depth and self._launch():
                continue
            if self.flights:
                self._cycle()
            back = self.flights[0][0] if self.flights else math.inf
            ready = self._next_ready(back) if len(self.flights) < self.depth else math.inf
            if ready < back:
                self.now = ready
            elif self.flights:
                self._return()
            else:
                break
        return Run(
            requests=tuple(self.requests),
            ended_ms=self.counted_to,
            in_system_ms=self.area,
            refused=self.refused,
            preemptions=self.preemptions,
            recomputed_tokens=self.recomputed,
            most_running=self.most_running,
            most_blocks=self.most_blocks,
        )

    # Arrivals

    def _arrive(self, until: float) -> None:
        """Take what arrives up to a time, and queue what the scheduler knows of by then."""
        while self.source.next_ms <= until:
            self._take_one()
        while self.admitting and self.admitting[0][0] <= until:
            self.waiting.append(self.requests[heappop(self.admitting)[1]])

    def _take_one(self) -> None:
        arrival = self.source.take()
        tokens = arrival.prompt_tokens + arrival.output_tokens
        if tokens > self.longest or blocks_of(tokens - 1) > self.capacity:
            self.refused += 1
            return
        self._count(arrival.at_ms, 1)
        request = Request(len(self.requests), arrival)
        self.requests.append(request)
        sequences = max(1, sum(len(flight[1].decoding) for flight in self.flights))
        context = sum(flight[1].context for flight in self.flights) / sequences or float(request.prompt)
        delay = self.times.admission_ms(min(sequences, self.slots), context)
        heappush(self.admitting, (request.arrived + delay, request.number))

    def _next_ready(self, until: float) -> float:
        """When the scheduler next learns of a request, infinite where not before ``until``; takes the arrivals up to then."""
        while self.source.next_ms < min(until, self.admitting[0][0] if self.admitting else math.inf):
            self._take_one()
        return self.admitting[0][0] if self.admitting and self.admitting[0][0] < until else math.inf

    def _count(self, at: float, change: int) -> None:
        self.area += self.in_system * (at - self.counted_to)
        self.counted_to = at
        self.in_system += change

    # One step

    def _launch(self) -> bool:
        """Put the next micro-batch on its way; False when there is nothing to run."""
        batch = next((b for b in self.idle if b.decoding), None) or next(iter(self.idle))
        chunks = self._schedule(batch)
        if not chunks and not batch.decoding:
            return False
        self.idle.remove(batch)
        decoding, mean = len(batch.decoding), batch.context / len(batch.decoding) if batch.decoding else 0.0
        sequences = decoding + len(chunks)
        batch.stage_ms, batch.growth, batch.left = [], [], math.inf
        for stage in self.times.stages:
            each, slope, bend = stage.line(mean)
            compute = sum(stage.prefill_to(end) - stage.prefill_to(start) for _, start, end in chunks)
            batch.stage_ms.append(stage.base[sequences] + decoding * each + compute)
            batch.growth.append(decoding * slope)
            batch.left = min(batch.left, bend)
        batch.chunks = [request for request, _, _ in chunks]
        self._fly(batch, self.now, decoding + sum(end - start for _, start, end in chunks))
        return True

    def _fly(self, batch: MicroBatch, at: float, tokens: int) -> None:
        """Through the stages, each of which serves one micro-batch at a time in order of launch."""
        free, hop = self.free, self.hop_fixed + self.hop_per_token * tokens
        at -= hop
        for s, ms in enumerate(batch.stage_ms):
            at += hop
            if free[s] > at:
                at = free[s]
            at += ms
            free[s] = at
        self.flights.append((at, batch))

    def _schedule(self, batch: MicroBatch) -> list[tuple[Request, int, int]]:
        """Blocks for the running sequences, then chunks (request, first token, end) for the budget that is left."""
        evicted = False
        while self.blocks + batch.blocks_needed > self.capacity:
            self._preempt(self._victim(batch))
            evicted = True
        self.blocks += batch.blocks_needed
        left = self.budget - len(batch.decoding)
        chunks: list[tuple[Request, int, int]] = []
        for request in list(self.prompting):
            if left == 0:
                break
            end = min(request.target, request.computed + left)
            more = blocks_of(end) - blocks_of(request.computed)
            while self.blocks + more > self.capacity and self.prompting[-1].flying == 0:
                evicted = True
                self._preempt(self.prompting[-1])
                if request.computed == 0:
                    break
            if self.blocks + more > self.capacity or request.computed == 0:
                evicted = True
                break
            chunks.append(self._chunk(batch, request, end))
            left -= end - chunks[-1][1]
        while self.waiting and not evicted and left > 0 and self.running < self.slots:
            request = self.waiting[0]
            end = min(request.target, left)
            if self.blocks + blocks_of(end) > self.capacity:
                break
            self._admit(self.waiting.popleft())
            chunks.append(self._chunk(batch, request, end))
            left -= end
        self.most_blocks = max(self.most_blocks, self.blocks)
        return chunks

    def _admit(self, request: Request) -> None:
        self.admissions += 1
        request.admission = self.admissions
        if request.scheduled < 0:
            request.scheduled = self.now
        self.running += 1
        self.most_running = max(self.most_running, self.running)
        self.prompting.append(request)

    def _chunk(self, batch: MicroBatch, request: Request, end: int) -> tuple[Request, int, int]:
        start = request.computed
        self.blocks += blocks_of(end) - blocks_of(start)
        request.computed = end
        request.flying += 1
        if end == request.target:
            self.prompting.remove(request)
            batch.landing.append(request)
        return request, start, end

    def _victim(self, batch: MicroBatch) -> Request:
        """The request admitted last among those that are not in flight."""
        candidates = [*batch.decoding.values(), *(request for request in self.prompting if request.flying == 0)]
        return max(candidates, key=lambda request: request.admission)

    def _preempt(self, request: Request) -> None:
        """Give up its blocks and wait at the head of the queue, to be computed again."""
        for batch in self.idle:
            if request.number in batch.decoding:
                batch.evict(request)
                break
        else:
            self.prompting.remove(request)
        stored = request.prompt + request.produced - 1 if request.computed == request.target else request.computed
        self.blocks -= blocks_of(stored)
        self.preemptions += 1
        self.recomputed += stored
        request.target, request.computed = request.prompt + request.produced, 0
        self.running -= 1
        self.waiting.appendleft(request)

    def _return(self) -> None:
        """The oldest flight is back: tokens are there, some requests are complete."""
        self.now = self.flights[0][0]
        self._arrive(self.now)
        batch = self.flights.popleft()[1]
        batch.advance(1)
        for request in batch.completed():
            self._complete(request)
        for request in batch.chunks:
            request.flying -= 1
        for request in batch.landing:
            request.produced += 1
            if request.first < 0:
                request.first = self.now
            if request.produced >= request.output:
                self._complete(request)
            else:
                batch.join(request)
        batch.chunks, batch.landing = [], []
        self.idle.append(batch)

    def _complete(self, request: Request) -> None:
        request.finished = self.now
        self.blocks -= blocks_of(request.prompt + request.produced - 1)
        self.running -= 1
        self._count(self.now, -1)
        if request.number < self.wanted:
            self._unanswered -= 1
        self.source.completed(self.now)

    # Many steps at once

    def _cycle(self) -> None:
        """Relaunch micro-batches for as long as nothing joins, leaves or runs out of blocks."""
        full = self._is_full()
        if self.prompting or (self.waiting and not full):
            return
        if self.depth == 1:
            self._leap(full)
            return
        while True:
            finish, batch = self.flights[0]
            if batch.chunks or batch.left <= 1 or batch.steps_to_completion <= 1:
                return
            if not full and (finish >= self.source.next_ms or (self.admitting and finish >= self.admitting[0][0])):
                return
            batch.advance(1)
            if self.blocks + batch.blocks_needed > self.capacity:
                batch.advance(-1)
                return
            self.blocks += batch.blocks_needed
            self.most_blocks = max(self.most_blocks, self.blocks)
            batch.left -= 1
            batch.stage_ms = [ms + more for ms, more in zip(batch.stage_ms, batch.growth, strict=True)]
            self.flights.popleft()
            self._fly(batch, finish, len(batch.decoding))

    def _is_full(self) -> bool:
        """Whether no request can be admitted before one completes."""
        if self.running >= self.slots:
            return True
        return bool(self.waiting) and self.blocks + blocks_of(min(self.waiting[0].target, self.budget)) > self.capacity

    def _leap(self, full: bool) -> None:
        """One stage, one micro-batch in flight: move its return to the end of the last step that is like the present one.

        Step j of the leap takes first + j * growth, so k steps take k * first + growth * k (k - 1) / 2.
        """
        finish, batch = self.flights[0]
        steps = min(batch.steps_to_completion, batch.left, _LONGEST_LEAP)
        if batch.chunks or steps <= 1:
            return
        first, growth = batch.stage_ms[0], batch.growth[0]
        begun = finish - first
        steps = self._steps_with_blocks(batch, int(steps))
        while not full and self.source.next_ms <= begun + steps * first + growth * steps * (steps - 1) / 2:
            self._take_one()
            if self.admitting:
                steps = min(steps, _steps_until(self.admitting[0][0] - begun, first, growth))
        if self.admitting and not full:
            steps = min(steps, _steps_until(self.admitting[0][0] - begun, first, growth))
        if steps <= 1:
            return
        self.blocks += batch.blocks_for(steps) - batch.blocks_needed
        self.most_blocks = max(self.most_blocks, self.blocks)
        batch.advance(steps - 1)
        end = begun + steps * first + growth * steps * (steps - 1) / 2
        self.free[0] = end
        self.flights[0] = (end, batch)

    def _steps_with_blocks(self, batch: MicroBatch, steps: int) -> int:
        """At most so many steps, as many as the free blocks allow; the first has its blocks already."""
        room = self.capacity - self.blocks + batch.blocks_needed
        if batch.blocks_for(steps) <= room:
            return steps
        low, high = 1, steps
        while high - low > 1:
            middle = (low + high) // 2
            low, high = (middle, high) if batch.blocks_for(middle) <= room else (low, middle)
        return low


def _steps_until(wait: float, first: float, growth: float) -> int:
    """Fewest steps, at least one, that take as long as ``wait``."""
    if wait <= first:
        return 1
    if growth <= 1e-12 * first:
        return math.ceil(wait / first)
    half = first - growth / 2
    return math.ceil((math.sqrt(half * half + 2 * growth * wait) - half) / growth)
