"""Both pools played request by request: prompts in steps of a token budget, transfers one at a time, decode steps.

Step times and bytes are the verifier's own; nothing of the queue formulas is used. Each request goes to a rank of either pool at
random, as a Poisson stream splits.
"""

from __future__ import annotations

import heapq
import random
from collections import deque
from collections.abc import Sequence
from dataclasses import dataclass, field

from optimizer.facts.inventory import InventoryProblem
from optimizer.facts.problem import Problem
from optimizer.results.cluster_pools import ClusterPoolsStrategy
from optimizer.results.pools import PoolsStrategy
from optimizer.verify.common.arithmetic import sixty_digits
from optimizer.verify.pools.cluster_pair import ClusterPair
from optimizer.verify.pools.pair import PoolsPair, Shapes
from optimizer.verify.pools.pool import AnyPool, Crossing
from optimizer.verify.pools.shape import PoolShape
from optimizer.verify.pools.site import PoolsSite

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
    pair = PoolsPair(Shapes(problem), strategy.prefill, strategy.decode)
    ends = [(pair.prefill, pair.sent, 1.0)], [(pair.decode, pair.received, 1.0)]
    return _play(problem, *ends, requests, random.Random(seed))


@sixty_digits()
def play_cluster(
    problem: InventoryProblem, strategy: ClusterPoolsStrategy, *, requests: int = 4000, seed: int = 1
) -> Played:
    """The same on an inventory: a request goes to a part of each pool by its share, then to any of its ranks."""
    site = PoolsSite(problem)
    pair = ClusterPair(site, strategy)
    first, second = ([(part.pool, part.crossing, float(part.share)) for part in side] for side in pair.parts)
    return _play(site.problems[0], first, second, requests, random.Random(seed))


Part = tuple[AnyPool, Crossing, float]
"""A pool or a part of one, what its GPUs move of each prompt, and its share of the requests."""


def _play(
    problem: Problem, first: Sequence[Part], second: Sequence[Part], requests: int, chance: random.Random
) -> Played:
    law = problem.requests
    lengths = chance.choices(law, weights=[one.weight for one in law], k=requests)
    clock, every = 0.0, []
    for one in lengths:
        clock += chance.expovariate(problem.workload.requests_per_s / 1000)
        every.append(_Request(clock, one.prompt_tokens, one.output_tokens))
    sent: list[tuple[float, int, _Request]] = []
    senders = _ranks(first)
    for rank, mine in enumerate(_sent_to(senders, every, chance)):
        sent += [(done, rank, request) for done, request in _prefill(problem, senders[rank].times, mine)]
    receivers = _ranks(second)
    arrived = _send(senders, receivers, sent, chance)
    for receiver, mine in zip(receivers, arrived, strict=True):
        _decode(receiver.times, sorted(mine, key=lambda request: request.ready))
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


@dataclass(frozen=True, slots=True)
class _Rank:
    """One data-parallel rank, and its chance of a request."""

    times: _Played
    crossing: Crossing
    chance: float


def _ranks(parts: Sequence[Part]) -> list[_Rank]:
    found = []
    for pool, crossing, share in parts:
        ranks, times = pool.count * pool.shape.group.ranks, _Played(pool.shape)
        found += [_Rank(times, crossing, share / ranks)] * ranks
    return found


def _sent_to(ranks: Sequence[_Rank], every: Sequence[_Request], chance: random.Random) -> list[list[_Request]]:
    """The requests of each rank."""
    found: list[list[_Request]] = [[] for _ in ranks]
    places = chance.choices(range(len(ranks)), weights=[rank.chance for rank in ranks], k=len(every))
    for place, request in zip(places, every, strict=True):
        found[place].append(request)
    return found


def _send(
    senders: Sequence[_Rank],
    receivers: Sequence[_Rank],
    sent: list[tuple[float, int, _Request]],
    chance: random.Random,
) -> list[list[_Request]]:
    """Transfers, one at a time at either end, in the order in which prompts are done; the requests of each receiver."""
    free_at = [0.0] * len(senders), [0.0] * len(receivers)
    arrived: list[list[_Request]] = [[] for _ in receivers]
    weights = [rank.chance for rank in receivers]
    known: dict[tuple[int, int], float] = {}

    def ms(crossing: Crossing, tokens: int) -> float:
        key = id(crossing), tokens
        if key not in known:
            known[key] = float(crossing.ms(tokens))
        return known[key]

    for done, rank, request in sorted(sent, key=lambda one: one[0]):
        (to,) = chance.choices(range(len(receivers)), weights=weights)
        one, other = senders[rank].crossing, receivers[to].crossing
        sends, receives = ms(one, request.prompt), ms(other, request.prompt)
        start = max(done, free_at[0][rank], free_at[1][to])
        free_at[0][rank], free_at[1][to] = start + sends, start + receives
        request.ready = start + max(sends, receives) + float(max(one.wire.latency, other.wire.latency))
        arrived[to].append(request)
    return arrived


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
