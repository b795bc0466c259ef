"""One instance of either pool: its step times and bytes, exactly. ``docs/disaggregated.md``, sections 2 to 4.

Callers work inside ``arithmetic.sixty_digits``.

Other home: ``costs/pools.py``; docs/disaggregated.md, section 2.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from decimal import Decimal
from fractions import Fraction
from functools import cached_property
from itertools import accumulate

from optimizer.facts.problem import Problem
from optimizer.verify.common.arithmetic import ceil_ratio, constant, decimal, exact, facts_of_costs
from optimizer.verify.common.budget import budget_bytes
from optimizer.verify.common.groups import Group, ReplicaShape
from optimizer.verify.common.occupancy import Moments, blocks_in_progress, moments_of_one, wanted, wanted_by
from optimizer.verify.common.stage import Stage, Stages
from optimizer.verify.common.times import StageDecode

UNSEEN = Decimal(10) ** 75
"""Digits from which on nothing is seen in sixty, with some to spare for moments of few in progress."""


@dataclass(frozen=True, slots=True)
class Queue:
    """M/G/1: how busy, and the wait at its mean and 99th percentile; None where it piles up."""

    busy: Decimal
    mean: Decimal | None
    p99: Decimal | None


def queue(rate: Decimal, services: Sequence[tuple[Decimal, Decimal]], longest: Decimal) -> Queue:
    """A queue of Poisson arrivals with a law of services.

    Args:
        rate: arrivals per ms.
        services: (share of the requests, ms) of each service.
        longest: the service that percentiles are planned for, ms.
    """
    first = sum((share * ms for share, ms in services), Decimal(0))
    second = sum((share * ms * ms for share, ms in services), Decimal(0))
    busy = rate * first
    if busy >= 1:
        return Queue(busy, None, None)
    mean, crowd = rate * second / (2 * (1 - busy)), 100 * busy
    if crowd <= 1:
        return Queue(busy, mean, Decimal(0))
    tail = second / (2 * first * (1 - busy)) * crowd.ln()
    return Queue(busy, mean, max(tail, longest * (1 - 1 / crowd)))


@dataclass(frozen=True, slots=True)
class Hop:
    """The slowest hop between the pools, as one GPU sees it."""

    name: str
    bytes_per_ms: Fraction
    latency: Decimal


def wire_of(problem: Problem) -> Hop:
    """NVLink where one domain holds every GPU, PCIe on a single node, else a GPU's share of its node's network."""
    hardware = problem.hardware
    if hardware.nvlink_domain_gpus >= hardware.gpus and hardware.nvlink_gb_per_s > 0:
        return Hop("NVLink", exact(hardware.nvlink_gb_per_s) * 500_000, Decimal(0))
    if hardware.nodes > 1:
        node = exact(hardware.internode_gbit_per_s) * 125_000
        return Hop("network", node / hardware.gpus_per_node, decimal(exact(hardware.internode_latency_us) / 1000))
    return Hop("PCIe", exact(hardware.pcie_gb_per_s) * 10**6, decimal(constant("pcie_latency_us") / 1000))


class PromptLaw:
    """How often prompts of each length come."""

    def __init__(self, problem: Problem) -> None:
        often: dict[int, int] = {}
        for prompt, _, weight in problem.requests:
            often[prompt] = often.get(prompt, 0) + weight
        total = sum(often.values())
        self.prompts = tuple((tokens, decimal(Fraction(weight, total))) for tokens, weight in sorted(often.items()))


@dataclass(frozen=True, slots=True)
class DecodeRank:
    """A decode rank under a load, without what the link adds."""

    n50: int
    n99: int
    number: Moments
    mean: Decimal
    """B."""
    first50: Decimal
    first99: Decimal
    token50: Decimal
    token99: Decimal


class PoolShape:
    """A shape without stages."""

    def __init__(self, problem: Problem, group: Group, stages: Stages, law: PromptLaw) -> None:
        self.problem, self.group, self.law = problem, group, law
        layers = (problem.model.layers,)
        self.shape = ReplicaShape(group, layers)
        self.stage: Stage = stages.of(group, layers)[0]
        self._step = StageDecode(self.stage, group.ranks)
        engine = facts_of_costs().engine(problem.engine, problem.engine_version)
        self.start, self.admit = decimal(exact(engine.start_ms)), decimal(exact(engine.admit_steps))
        self._rounds: list[Decimal] = []
        self._chains: dict[Fraction, DecodeRank | None] = {}
        self._computes: dict[int, Decimal] = {}
        self._queues: dict[Decimal, Queue] = {}

    @property
    def gpus(self) -> int:
        """S."""
        return self.shape.instance_gpus

    @property
    def length(self) -> int:
        """N."""
        stated = self.problem.requirements.max_batch
        return max(512, self.problem.max_batch if stated is None else 2 * stated)

    @property
    def states(self) -> int | None:
        """Sequences for whose recurrent states a rank has blocks; None: as many as one likes."""
        return self.stage.state_sequences(budget_bytes(self.problem))

    def round(self, n: int) -> Decimal:
        """A step of n sequences of the rank."""
        for b in range(len(self._rounds) + 1, n + 1):
            self._rounds.append(self._step.at(b))
        return self._rounds[n - 1]

    # Prefill

    def compute(self, tokens: int) -> Decimal:
        """X(m)."""
        found = self._computes.get(tokens)
        if found is None:
            found = self._computes[tokens] = decimal(self.stage.prefill_ms(tokens))
        return found

    def steps(self, tokens: int) -> int:
        """j(m)."""
        return ceil_ratio(tokens, self.problem.search.max_num_batched_tokens)

    def together(self, tokens: int) -> int:
        """Prompts that share a step."""
        return max(1, self.problem.search.max_num_batched_tokens // tokens)

    def alone(self, tokens: int) -> Decimal:
        """A prompt on an idle rank."""
        return self.compute(tokens) + self.steps(tokens) * self.round(1)

    def taken(self, tokens: int) -> Decimal:
        """θ(m)."""
        return self.compute(tokens) + self.steps(tokens) * self.round(1) / self.together(tokens)

    @cached_property
    def services(self) -> list[tuple[Decimal, Decimal]]:
        """The law of θ."""
        return [(share, self.taken(tokens)) for tokens, share in self.law.prompts]

    def feeding(self, rate: Decimal) -> Queue:
        """What waits for a prefill rank at so many prompts per ms."""
        found = self._queues.get(rate)
        if found is None:
            longest = self.taken(self.problem.workload.longest_prompt_tokens)
            found = self._queues[rate] = queue(rate, self.services, longest)
        return found

    @cached_property
    def mean_alone(self) -> Decimal:
        """E[alone]."""
        return sum((share * self.alone(tokens) for tokens, share in self.law.prompts), Decimal(0))

    @property
    def prompts_per_s(self) -> Decimal:
        """Requests/s that a rank works off at most."""
        return 1000 / sum((share * ms for share, ms in self.services), Decimal(0))

    # Cache

    def held(self, tokens: int) -> Fraction:
        """h(m) in bytes."""
        return self.stage.held_bytes(tokens)

    @cached_property
    def room(self) -> int:
        """Bytes that the budget leaves for the cache."""
        return budget_bytes(self.problem) - self.stage.beside_cache(0)

    @property
    def short_of_memory(self) -> int:
        """Bytes that an instance lacks to start; 0 or less: none."""
        return self.stage.memory_bytes(1) - budget_bytes(self.problem)

    @cached_property
    def held_by_one(self) -> Moments:
        """Bytes that one request in progress holds."""
        return moments_of_one(blocks_in_progress(self.problem), self.stage.held_bytes)

    def wants(self, number: Moments) -> Decimal:
        """K of a random number in progress."""
        return wanted(number, self.held_by_one, self.problem.requirements.preemption_share)

    @cached_property
    def most_held(self) -> int:
        """Requests in progress that the cache holds, up to N."""
        share, low, high = self.problem.requirements.preemption_share, 0, self.length + 1
        while high - low > 1:
            middle = (low + high) // 2
            low, high = (middle, high) if wanted_by(middle, self.held_by_one, share) <= self.room else (low, middle)
        return low

    # Decode

    def residence(self, n: int) -> Decimal:
        """R(n)."""
        return self.start + (self.admit + self.problem.workload.output_tokens) * self.round(n)

    @cached_property
    def slowness(self) -> list[Decimal]:
        """R(n) / n for n from 1 to N."""
        return [self.residence(n) / n for n in range(1, self.length + 1)]

    @cached_property
    def _completes(self) -> list[Decimal]:
        """Requests/s that at most 0 … N in progress complete."""
        return [Decimal(0), *accumulate((1000 / each for each in self.slowness), max)]

    def completes_per_s(self, slots: int) -> Decimal:
        """Requests/s that a rank completes at most with so many slots and its cache."""
        return self._completes[min(slots, self.most_held)]

    def decoding(self, requests_per_s: Fraction) -> DecodeRank | None:
        """The chain at a rate; None where requests pile up."""
        if requests_per_s not in self._chains:
            self._chains[requests_per_s] = self._chain(requests_per_s)
        return self._chains[requests_per_s]

    @cached_property
    def _slowest_from(self) -> list[Decimal]:
        """The largest R(m) / m of m > n, for n from 0 to N."""
        return [*reversed(list(accumulate(reversed(self.slowness), max))), Decimal(0)]

    def _weights(self, rate: Decimal) -> list[Decimal]:
        """π_n without its factor, from n = 0 to N, or to where all that follows changes no digit of what is counted."""
        weights, total, far = [Decimal(1)], Decimal(1), Decimal(self.length) ** 4 * UNSEEN
        for n, slowness in enumerate(self.slowness, 1):
            weight = weights[-1] * (rate * slowness)
            weights.append(weight)
            total += weight
            if weight * far < total and rate * self._slowest_from[n] < 1:
                break
        return weights

    def _chain(self, requests_per_s: Fraction) -> DecodeRank | None:
        rate, last = decimal(requests_per_s / 1000), self.length
        beyond = rate * self.residence(last) / last
        if beyond >= 1:
            return None
        weights = self._weights(rate)
        followed = len(weights) == last + 1
        rest = weights[-1] * beyond / (1 - beyond) if followed else Decimal(0)
        total = sum(weights, Decimal(0)) + rest
        reach, passed = total * 99 / 100, Decimal(0)
        c50: int | None = None
        c99: Decimal | None = None
        for n, weight in enumerate(weights):
            if c50 is None and passed + weight >= total / 2:
                c50 = n
            if passed + weight >= reach:
                c99 = Decimal(0) if n == 0 else n - 1 + (reach - passed) / weight
                break
            passed += weight
        if c99 is None or c50 is None:
            return None
        raw = [_beyond(weights[-1], beyond, last, k) if followed else Decimal(0) for k in (1, 2, 3)]
        for n, weight in enumerate(weights):
            for k in range(3):
                weight *= n
                raw[k] += weight
        m1, m2, m3 = (value / total for value in raw)
        n99 = 1 + int((m1 + max(Decimal(0), c99 - m1)).to_integral_value(rounding="ROUND_CEILING"))
        if n99 > last:
            return None
        n50 = min(c50 + 1, last)
        return DecodeRank(
            n50=c50 + 1,
            n99=n99,
            number=Moments(m1, m2 - m1**2, m3 - 3 * m1 * m2 + 2 * m1**3),
            mean=m1 / rate,
            first50=self.start + (self.admit + 1) * self.round(n50),
            first99=self.start + (self.admit + Decimal("1.5")) * self.round(n99),
            token50=self.round(n50),
            token99=self.round(n99),
        )


def _beyond(last_weight: Decimal, ratio: Decimal, last: int, power: int) -> Decimal:
    """Σ over j ≥ 1 of weight · ratio^j · (last + j)^power."""
    rest = 1 - ratio
    sums = [
        ratio / rest,
        ratio / rest**2,
        ratio * (1 + ratio) / rest**3,
        ratio * (1 + 4 * ratio + ratio**2) / rest**4,
    ]
    binomial = {1: (1, 1), 2: (1, 2, 1), 3: (1, 3, 3, 1)}[power]
    return last_weight * sum((c * last ** (power - i) * sums[i] for i, c in enumerate(binomial)), Decimal(0))
