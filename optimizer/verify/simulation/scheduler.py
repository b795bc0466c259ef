"""Which requests the next step carries: vLLM's v1 rules for slots, the token budget, KV blocks and preemption.

Running sequences come first, a token each, then prompts in order of admission, then waiting ones in order of arrival.
A prompt is cut where the budget ends. When no block is free, the request admitted last gives its own up, goes back to
the head of the queue, and is computed again, prompt and outputs so far; in such a step nobody is admitted.
Sources: vLLM 0.8 and later, ``vllm/v1/core/sched/scheduler.py``; for chunked prefill, Agrawal et al., Sarathi-Serve
(OSDI 2024).
"""

from __future__ import annotations

from collections import deque
from collections.abc import Sequence
from dataclasses import dataclass

from optimizer.facts.workload import Prefix, Speculation
from optimizer.verify.simulation.sequences import MicroBatch, Request, blocks_of


@dataclass(frozen=True, slots=True)
class Limits:
    """What a replica may hold."""

    max_num_seqs: int
    token_budget: int
    """Tokens of one step; also bounds the sequences that run, as vLLM requires."""
    kv_blocks: int
    prefix: Prefix | None = None
    """What of a prompt is found in the cache; ``kv_blocks`` are without what is held once."""
    speculation: Speculation | None = None
    """Tokens guessed in a step, each accepted at random."""
    max_sequence_tokens: int = 10**9
    """Longer requests are refused, as are those that all blocks together cannot hold."""


@dataclass(frozen=True, slots=True)
class Chunk:
    """Tokens ``start`` to ``end`` of a prompt."""

    request: Request
    start: int
    end: int


class Scheduler:
    """Slots, blocks and queues of one replica."""

    def __init__(self, limits: Limits) -> None:
        self._limits = limits
        self._slots = min(limits.max_num_seqs, limits.token_budget)
        self.waiting: deque[Request] = deque()
        self.prompting: list[Request] = []  # admitted, some of the prompt still to be scheduled
        self.running = self.blocks = 0
        self._admissions = 0
        self.most_running = self.most_blocks = self.preemptions = self.recomputed_tokens = 0

    @property
    def free_blocks(self) -> int:
        """KV blocks that nobody holds."""
        return self._limits.kv_blocks - self.blocks

    def accepts(self, tokens: int) -> bool:
        """Whether a request of so many tokens, prompt and output, can ever be served."""
        return tokens <= self._limits.max_sequence_tokens and blocks_of(tokens - 1) <= self._limits.kv_blocks

    def is_full(self) -> bool:
        """Whether no request can be admitted before one completes."""
        if self.running >= self._slots:
            return True
        if not self.waiting:
            return False
        first = self.waiting[0]
        return blocks_of(self._first_chunk(first)) + first.extra > self.free_blocks

    def take(self, blocks: int) -> None:
        """Hold more blocks."""
        self.blocks += blocks
        self.most_blocks = max(self.most_blocks, self.blocks)

    def complete(self, request: Request) -> None:
        """A request has all its tokens: its slot and blocks are free."""
        self.blocks -= blocks_of(request.prompt + request.produced - 1) + request.extra
        self.running -= 1

    def schedule(self, batch: MicroBatch, idle: Sequence[MicroBatch], now: float) -> list[Chunk]:
        """Take blocks for the next step of a micro-batch and choose the chunks of prompts that it carries.

        Args:
            batch: decodes in this step; loses those that are preempted.
            idle: the micro-batches that are not in flight, this one among them.
            now: ms.
        """
        evicted = False
        while batch.blocks_needed > self.free_blocks:
            self._preempt(self._victim(batch), idle)
            evicted = True
        self.take(batch.blocks_needed)
        left = self._limits.token_budget - len(batch.decoding)
        chunks: list[Chunk] = []
        for request in tuple(self.prompting):
            if left == 0:
                break
            end = min(request.target, request.computed + left)
            more = blocks_of(end) - blocks_of(request.computed)
            while request in self.prompting and more > self.free_blocks and not self.prompting[-1].flying:
                self._preempt(self.prompting[-1], idle)
                evicted = True
            if request not in self.prompting or more > self.free_blocks:
                break
            chunks.append(self._chunk(batch, request, end))
            left -= end - chunks[-1].start
        while self.waiting and not evicted and left > 0 and self.running < self._slots:
            request = self.waiting[0]
            end = min(request.target, left)
            if blocks_of(end) + request.extra > self.free_blocks:
                break
            self._admit(self.waiting.popleft(), now)
            chunks.append(self._chunk(batch, request, end))
            left -= end
        return chunks

    def _first_chunk(self, request: Request) -> int:
        return min(request.target, self._limits.token_budget)

    def _admit(self, request: Request, now: float) -> None:
        self._admissions += 1
        request.admission = self._admissions
        if request.scheduled < 0:
            request.scheduled = now
        self.take(request.extra)
        self.running += 1
        self.most_running = max(self.most_running, self.running)
        self.prompting.append(request)

    def _chunk(self, batch: MicroBatch, request: Request, end: int) -> Chunk:
        start = request.computed
        self.take(blocks_of(end) - blocks_of(start))
        request.computed = end
        request.flying += 1
        if end == request.target:
            self.prompting.remove(request)
            batch.landing.append(request)
        return Chunk(request, start, end)

    def _victim(self, batch: MicroBatch) -> Request:
        """The request admitted last among those that are not in flight."""
        candidates = [*batch.decoding.values(), *(request for request in self.prompting if not request.flying)]
        return max(candidates, key=lambda request: request.admission)

    def _preempt(self, request: Request, idle: Sequence[MicroBatch]) -> None:
        """Give up its blocks and wait at the head of the queue, to be computed again."""
        stored = request.computed
        if request in self.prompting:
            self.prompting.remove(request)
        else:
            next(batch for batch in idle if request.number in batch.decoding).evict(request)
            stored = request.prompt + request.produced - 1
        self.blocks -= blocks_of(stored) + request.extra
        self.preemptions += 1
        self.recomputed_tokens += stored
        request.target, request.computed = request.prompt + request.produced, 0
        self.running -= 1
        self.waiting.appendleft(request)
