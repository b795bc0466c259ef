"""What the engine holds: requests, the micro-batches they run in, and the KV blocks they occupy."""

from __future__ import annotations

from heapq import heapify, heappop, heappush

from optimizer.verify.simulation.trace import Arrival

BLOCK_TOKENS = 16
"""Tokens of one KV block (vLLM's default block size)."""


def blocks_of(tokens: int) -> int:
    """KV blocks that so many tokens fill."""
    return -(-tokens // BLOCK_TOKENS)


class Request:
    """One request; times in ms, negative until they are known."""

    __slots__ = (
        "admission", "ahead", "arrived", "cached", "computed", "extra", "finished", "first", "flying", "joined", "number", "output",
        "produced", "prompt", "scheduled", "target", "tokens",
    )  # fmt: skip

    def __init__(self, number: int, arrival: Arrival, cached: int = 0, shared: int = 0) -> None:
        """A request whose first ``cached`` tokens are in the cache, ``shared`` of them held for all requests together."""
        self.number = number
        self.arrived, self.prompt, self.output = arrival.at_ms, arrival.prompt_tokens, arrival.output_tokens
        self.prompt -= cached  # what is computed
        self.cached = cached
        self.tokens = self.output  # ``output`` counts steps: fewer where a step yields several tokens
        self.ahead = 0  # tokens that it has in its cache beyond one a step, on average over its life
        self.extra = max(0, cached - shared) // BLOCK_TOKENS  # blocks that it holds beside those of its own tokens
        self.scheduled = self.first = self.finished = -1.0
        self.produced = 0  # output tokens, as of the micro-batch's step ``joined`` while it decodes
        self.computed = 0  # tokens of the prompt (and of outputs to recompute) that were scheduled
        self.target = self.prompt
        self.joined = 0
        self.admission = 0  # order of admission, larger is later
        self.flying = 0  # chunks in flight


class MicroBatch:
    """The sequences that decode together. All of them gain one token per step, so one counter serves them all."""

    __slots__ = (
        "_ends", "alike", "chunks", "context", "decoding", "growth", "hop", "landing", "phases", "stage_ms", "steps",
    )  # fmt: skip

    def __init__(self) -> None:
        self.steps = 0
        self.decoding: dict[int, Request] = {}
        self.context = 0  # tokens that the decoding sequences read in their next step
        self.phases = [0] * BLOCK_TOKENS  # sequences that need a new block at a step of this remainder
        self.landing: list[Request] = []  # prompts whose last chunk is in flight
        self.chunks: list[Request] = []  # prompts with a chunk in flight
        self.stage_ms: list[float] = []  # the step in flight, by stage
        self.growth: list[float] = []  # what one more token for each sequence adds
        self.hop = 0.0  # sending on to the next stage
        self.alike = 0  # steps that go on like the one in flight, itself included; 0 with a prompt on board
        self._ends: list[tuple[int, int]] = []  # (step after which it is complete, request number)

    def join(self, request: Request) -> None:
        """A prompt is computed, its first token is there: decode from the next step on."""
        request.joined = self.steps
        self.decoding[request.number] = request
        self.context += request.cached + request.ahead + request.prompt + request.produced
        self.phases[self._phase(request)] += 1
        heappush(self._ends, (self.steps + request.output - request.produced, request.number))

    def leave(self, request: Request) -> None:
        """Stop decoding; ``produced`` is brought up to date."""
        self.phases[self._phase(request)] -= 1
        request.produced += self.steps - request.joined
        del self.decoding[request.number]
        self.context -= request.cached + request.ahead + request.prompt + request.produced

    def evict(self, request: Request) -> None:
        """Leave before the end."""
        self.leave(request)
        self._ends = [end for end in self._ends if end[1] != request.number]
        heapify(self._ends)

    def advance(self, steps: int) -> None:
        """So many tokens for each sequence; none may be complete before the last."""
        self.steps += steps
        self.context += steps * len(self.decoding)

    def completed(self) -> list[Request]:
        """The sequences that have all their tokens, taken out."""
        done: list[Request] = []
        while self._ends and self._ends[0][0] <= self.steps:
            done.append(self.decoding[heappop(self._ends)[1]])
        for request in done:
            self.leave(request)
        return done

    @property
    def steps_to_completion(self) -> int:
        """Steps until the first sequence is complete; 0 without sequences."""
        return self._ends[0][0] - self.steps if self._ends else 0

    @property
    def blocks_needed(self) -> int:
        """New KV blocks that the next step fills."""
        return self.phases[self.steps % BLOCK_TOKENS]

    def blocks_for(self, steps: int) -> int:
        """New KV blocks that the next so many steps fill."""
        whole, rest = divmod(steps, BLOCK_TOKENS)
        return whole * len(self.decoding) + sum(self.phases[(self.steps + i) % BLOCK_TOKENS] for i in range(rest))

    def _phase(self, request: Request) -> int:
        """Step counters of this remainder are where the stored tokens (all but the newest) fill their last block."""
        return (request.joined - (request.prompt + request.produced - 1)) % BLOCK_TOKENS
