"""Both pools played request by request: prompts in steps of a token budget, transfers one at a time, decode steps.

Step times and bytes are the verifier's own; nothing of the queue formulas is used. Each request goes to a rank of either pool at
random, as a Poisson stream splits.
"""

from __future__ import annotations

import heapq
import random
from collections import deque
from dataclasses import dataclass, field

from optimizer.facts.problem import Problem
from optimizer.results.pools import PoolsStrategy
from optimizer.verify.common.arithmetic import sixty_digits
from optimizer.verify.pools.pair import PoolsPair, Shapes
from optimizer.verify.pools.shape import PoolShape

WARM_UP = 0.1
"""Share of the requests at the start that is not counted."""


@dataclass(slots=True)
class _Request:
    arrived: float
    prompt: int
    output: int
    ready: float = 0.0
    """On its decode rank, cache and all."""
    first: float = 0.0
    done: float = 0.0


@dataclass(frozen=True, slots=True)
class Played:
    """Milliseconds seen by the requests counted."""

    ttft: tuple[float, ...]
    tpot: tuple[float, ...]
    whole: tuple[float, ...]

    @staticmethod
    def quantile(values: tuple[float, ...], share: float) -> float:
        """The value that so large a share does not pass."""
        ordered = sorted(values)
        return ordered[min(len(ordered) - 1, int(share * len(ordered)))]

    def share_above(self, name: str, limit: float) -> float:
        """Share of the requests above a limit."""
        values: tuple[float, ...] = getattr(self, name)
        return sum(value > limit for value in values) / len(values)


@dataclass(slots=True)
class _Played:
    """Floats of one shape."""

    shape: PoolShape
    rounds: list[float] = field(default_factory=list)
    computes: dict[int, float] = field(default_factory=dict)

    def round(self, n: int) -> float:
        while len(self.rounds) < n:
            self.rounds.append(float(self.shape.round(len(self.rounds) + 1)))
        return self.rounds[n - 1]

    def compute(self, tokens: int) -> float:
        if tokens not in self.computes:
            self.computes[tokens] = float(self.shape.compute(tokens))
        return self.computes[tokens]


@sixty_digits()
def play(problem: Problem, strategy: PoolsStrategy, *, requests: int = 4000, seed: int = 1) -> Played:
    """Play so many requests.

    Args:
        problem: what was asked.
        strategy: both pools, each able to carry the load.
        requests: in all, the first tenth of them not counted.
        seed: of arrivals, lengths and ranks.
    """
    pair, chance = PoolsPair(Shapes(problem), strategy.prefill, strategy.decode), random.Random(seed)
    law = problem.requests
    lengths = chance.choices(law, weights=[one.weight for one in law], k=requests)
    clock, every = 0.0, []
    for one in lengths:
        clock += chance.expovariate(problem.workload.requests_per_s / 1000)
        every.append(_Request(clock, one.prompt_tokens, one.output_tokens))
    ranks = strategy.prefill.instances * strategy.prefill.engine_ranks
    senders: list[list[_Request]] = [[] for _ in range(ranks)]
    for request in every:
        chance.choice(senders).append(request)
    sent: list[tuple[float, int, _Request]] = []
    prefill = _Played(pair.prefill.shape)
    for rank, mine in enumerate(senders):
        sent += [(done, rank, request) for done, request in _prefill(problem, prefill, mine)]
    receivers: list[list[_Request]] = [[] for _ in range(strategy.decode.instances * strategy.decode.engine_ranks)]
    _send(pair, sent, receivers, chance)
    decode = _Played(pair.decode.shape)
    for mine in receivers:
        _decode(decode, sorted(mine, key=lambda request: request.ready))
    counted = every[int(WARM_UP * requests) :]
    return Played(
        ttft=tuple(request.first - request.arrived for request in counted),
        tpot=tuple((r.done - r.first) / (r.output - 1) for r in counted if r.output > 1),
        whole=tuple(request.done - request.arrived for request in counted),
    )


def _prefill(problem: Problem, times: _Played, mine: list[_Request]) -> list[tuple[float, _Request]]:
    """When each prompt of one rank is done: steps of at most the token budget, first come, first served."""
    shape, budget = times.shape, problem.search.max_num_batched_tokens
    beside, lead = times.round(1), float(shape.start + shape.admit * shape.round(1))
    waiting = deque((request.arrived + lead, request, request.prompt) for request in mine)
    clock, done = 0.0, []
    while waiting:
        clock = max(clock, waiting[0][0])
        left, step, finished = budget, beside, []
        while waiting and left and waiting[0][0] <= clock:
            ready, request, tokens = waiting.popleft()
            taken = min(tokens, left)
            left -= taken
            step += times.compute(request.prompt) * taken / request.prompt
            if taken < tokens:
                waiting.appendleft((ready, request, tokens - taken))
            else:
                finished.append(request)
        clock += step
        done += [(clock, request) for request in finished]
    return done


def _send(
    pair: PoolsPair, sent: list[tuple[float, int, _Request]], receivers: list[list[_Request]], chance: random.Random
) -> None:
    """Transfers, one at a time at either end, in the order in which prompts are done."""
    free_at = [0.0] * (1 + max(rank for _, rank, _ in sent)), [0.0] * len(receivers)
    latency = float(pair.wire.latency)
    known: dict[int, tuple[float, float]] = {}
    for done, rank, request in sorted(sent, key=lambda one: one[0]):
        if request.prompt not in known:
            known[request.prompt] = float(pair.sent.ms(request.prompt)), float(pair.received.ms(request.prompt))
        sends, receives = known[request.prompt]
        to = chance.randrange(len(receivers))
        start = max(done, free_at[0][rank], free_at[1][to])
        free_at[0][rank], free_at[1][to] = start + sends, start + receives
        request.ready = start + max(sends, receives) + latency
        receivers[to].append(request)


def _decode(times: _Played, mine: list[_Request]) -> None:
    """Steps of one rank; a request joins the second step that begins after it is there."""
    start = float(times.shape.start)
    coming = deque(mine)
    joins: deque[_Request] = deque()
    running: list[tuple[int, int, _Request]] = []
    clock, step = 0.0, 0
    while coming or joins or running:
        if not running and not joins:
            clock = max(clock, coming[0].ready + start)
        admitted = list(joins)
        joins.clear()
        while coming and coming[0].ready + start <= clock:
            joins.append(coming.popleft())
        for request in admitted:
            heapq.heappush(running, (step + request.output, id(request), request))
        clock += times.round(max(1, len(running)))
        step += 1
        for request in admitted:
            request.first = clock
        while running and running[0][0] == step:
            heapq.heappop(running)[2].done = clock
