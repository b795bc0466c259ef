"""Prefill and decode instances apart: the queue of prompts, the cache that crosses, the chain without prompts.

``docs/disaggregated.md``, sections 2 to 4. Step times and bytes are those of every other strategy (``costs.analytic``).

Other homes: ``verify/pools/pool.py``, ``verify/pools/pair.py``, ``verify/pools/shape.py``; docs/disaggregated.md,
section 2.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from functools import cached_property

import numpy as np

from optimizer.catalog.constants import constants
from optimizer.costs.analytic import AnalyticCosts
from optimizer.costs.chain import tail_moments
from optimizer.costs.load import chain_length
from optimizer.costs.memory import memory_budget_bytes
from optimizer.costs.occupancy import sequence_bytes
from optimizer.costs.shapes import Bools, Floats, Ints, Shape
from optimizer.facts.hardware import HardwareFacts
from optimizer.facts.problem import Problem

NOTHING_LEFT = -92.0
"""Logarithm of a share, 1e-40, that changes no sum of floats."""


@dataclass(frozen=True, slots=True)
class PoolLink:
    """What one GPU sends to, or receives from, the other pool."""

    name: str
    bytes_per_ms: float
    latency_ms: float


def link_between(hardware: HardwareFacts) -> PoolLink:
    """The slowest hop between a prefill and a decode instance, wherever they stand."""
    if hardware.nvlink_gb_per_s > 0 and hardware.gpus <= hardware.nvlink_domain_gpus:
        return PoolLink("NVLink", hardware.nvlink_gb_per_s / 2 * 1e6, 0.0)
    if hardware.nodes == 1:
        return PoolLink("PCIe", hardware.pcie_gb_per_s * 1e6, constants().pcie_latency_us / 1e3)
    share = hardware.internode_gbit_per_s / 8 * 1e6 / hardware.gpus_per_node
    return PoolLink("network", share, hardware.internode_latency_us / 1e3)


def link_across(hardware: HardwareFacts, latency_us: float) -> PoolLink:
    """What a GPU of a group has of its node's network, where the other end stands on another group.

    Args:
        hardware: of this end's group.
        latency_us: the longest of any group's network.
    """
    return PoolLink("network", hardware.internode_gbit_per_s / 8 * 1e6 / hardware.gpus_per_node, latency_us / 1e3)


@dataclass(frozen=True, slots=True)
class Waits:
    """Of one queue with Poisson arrivals, (Q,): share of the time busy, mean wait and its 99th percentile, ms."""

    busy: Floats
    mean: Floats
    p99: Floats


def waits(rate_per_ms: Floats, first: Floats, second: Floats, longest: Floats) -> Waits:
    """M/G/1 with an exponential tail of the exact mean, at low load no less than the uniform rest of a service.

    Args:
        rate_per_ms: (Q,) arrivals.
        first, second: (Q,) E[S] and E[S²] of a service.
        longest: (Q,) the service that percentiles are planned for.
    """
    busy = rate_per_ms * first
    fine = busy < 1
    safe = np.where(fine, busy, 0.0)
    mean = np.where(fine, rate_per_ms * second / (2 * (1 - safe)), np.inf)
    scale = np.divide(second, 2 * first * (1 - safe), out=np.zeros_like(second), where=first > 0)
    crowd = np.maximum(100 * safe, 1.0)
    tail = np.maximum(scale * np.log(crowd), longest * (1 - 1 / crowd))
    return Waits(busy, mean, np.where(fine, tail, np.inf))


@dataclass(frozen=True, slots=True)
class PrefillLoad:
    """Ranks of the prefill pool, (Q,): times in ms, infinite where requests pile up."""

    busy: Floats
    link_busy: Floats
    carries: Bools
    """Neither queue piles up; the cache is judged apart."""
    mean_ms: Floats
    """A, and the sender's mean wait."""
    prefill_p50: Floats
    prefill_p99: Floats
    ttft_p50: Floats
    ttft_p99: Floats
    cache_wanted: Floats
    """Bytes."""


@dataclass(frozen=True, slots=True)
class DecodeLoad:
    """Ranks of the decode pool, (Q,): times in ms, infinite where requests pile up."""

    link_busy: Floats
    carries: Bools
    """Neither the chain nor the link piles up; slots and cache are judged apart."""
    n50: Ints
    n99: Ints
    mean_ms: Floats
    """B, and the receiver's mean wait."""
    ttft_p50: Floats
    ttft_p99: Floats
    tpot_p50: Floats
    tpot_p99: Floats
    cache_wanted: Floats
    """Bytes."""


class PoolCosts:
    """Times and bytes of S shapes without stages, as prefill and as decode instances."""

    def __init__(self, problem: Problem, shapes: Sequence[Shape], link: PoolLink | None = None) -> None:
        self.problem = problem
        self.costs = AnalyticCosts(problem, shapes)
        self.link = link_between(problem.hardware) if link is None else link
        self.engine = constants().engine(problem.engine, problem.engine_version)
        self.slots = chain_length(problem)
        law: dict[int, int] = {}
        for one in problem.requests:
            law[one.prompt_tokens] = law.get(one.prompt_tokens, 0) + one.weight
        self.prompts = np.array(sorted(law), dtype=np.int64)
        self.share = np.array([law[int(m)] for m in self.prompts], dtype=np.float64)
        self.share /= self.share.sum()

    @cached_property
    def memory_short(self) -> Ints:
        """Bytes by which an instance of each shape does not start, (S,); 0 or less: it starts."""
        memory = self.costs.memory()
        short: Ints = memory.fixed.max(axis=1) - memory_budget_bytes(self.problem)
        return short

    @cached_property
    def room(self) -> Ints:
        """Bytes left for the cache on a GPU of each shape, (S,); negative: none."""
        left: Ints = memory_budget_bytes(self.problem) - self.costs.memory().base.max(axis=1)
        return left

    @cached_property
    def round_ms(self) -> Floats:
        """A decode step of n = 1 … N sequences of a rank, (S, N)."""
        n = np.broadcast_to(np.arange(1, self.slots + 1), (len(self.costs.table.shapes), self.slots))
        terms = self.costs.steps.decode_terms(n)
        rounds: Floats = np.asarray(sum(terms.values()))[:, 0, :]
        return rounds

    def compute_ms(self, tokens: int) -> Floats:
        """X(m), (S,)."""
        terms = self.costs.steps.prefill_terms(tokens)
        found: Floats = np.asarray(sum(terms.values()))[:, 0]
        return found

    def alone_ms(self, tokens: int) -> Floats:
        """A prompt through an idle instance, (S,)."""
        alone: Floats = self.compute_ms(tokens) + self._steps(tokens) * self.round_ms[:, 0]
        return alone

    def taken_ms(self, tokens: int) -> Floats:
        """θ: what a prompt takes of its rank, (S,)."""
        together = max(1, self._budget // tokens)
        taken: Floats = self.compute_ms(tokens) + self._steps(tokens) * self.round_ms[:, 0] / together
        return taken

    @property
    def _budget(self) -> int:
        return self.problem.search.max_num_batched_tokens

    def _steps(self, tokens: int) -> int:
        return -(-tokens // self._budget)

    def cache_bytes(self, tokens: Ints) -> Floats:
        """h(m): cache of so many tokens on one GPU of each shape, (T, S)."""
        found = sequence_bytes(tokens, self.costs.table, self.costs.arrays)[:, :, 0]
        return found.astype(np.float64)

    @cached_property
    def _sizes(self) -> tuple[Floats, Floats, Floats]:
        """E[h], E[h²] and h(longest) in bytes, (S,) each."""
        each = self.cache_bytes(self.prompts)
        longest = self.cache_bytes(np.array([self.problem.workload.longest_prompt_tokens]))[0]
        return self.share @ each, self.share @ each**2, longest

    @cached_property
    def _usual(self) -> Floats:
        usual: Floats = self.cache_bytes(np.array([self.problem.workload.prompt_tokens]))[0]
        return usual

    def sent_times(self, prefill: Ints, decode: Ints) -> Floats:
        """f: caches of a decode GPU that one GPU of the prefill side sends, (Q,), of pairs of shapes."""
        tp = self.costs.table.tp
        each: Floats = tp[decode] / tp[prefill]
        return np.maximum(each, 1.0) if self.problem.model.mla else each

    def crossing_ms(self, decode: Ints, times: Floats) -> tuple[Floats, Floats, Floats]:
        """(mean, usual prompt, longest) ms of so many caches of a decode shape over one GPU's link, (Q,) each; no latency."""
        mean, _, longest = self._sizes
        scale = times / self.link.bytes_per_ms
        return mean[decode] * scale, self._usual[decode] * scale, longest[decode] * scale

    def _link_waits(self, decode: Ints, times: Floats, rate: Floats) -> Waits:
        mean, square, longest = (values[decode] for values in self._sizes)
        scale = times / self.link.bytes_per_ms
        return waits(rate, mean * scale, square * scale**2, longest * scale)

    @cached_property
    def _services(self) -> tuple[Floats, Floats, Floats, Floats]:
        """E[θ], E[θ²], θ(longest) and E[alone], (S,) each."""
        each = np.stack([self.taken_ms(int(m)) for m in self.prompts])
        alone = np.stack([self.alone_ms(int(m)) for m in self.prompts])
        longest = self.taken_ms(self.problem.workload.longest_prompt_tokens)
        return self.share @ each, self.share @ each**2, longest, self.share @ alone

    def prefill(self, shape: Ints, decode: Ints, rate_per_s: Floats) -> PrefillLoad:
        """Load of ranks that feed decode instances of a shape.

        Args:
            shape, decode: (Q,) shapes of the pair.
            rate_per_s: (Q,) requests/s at one rank; infinite where none is left.
        """
        work = self.problem.workload
        gone = np.isinf(rate_per_s)
        rate = np.where(gone, 0.0, rate_per_s) / 1e3
        mean, square, longest, alone = (values[shape] for values in self._services)
        own = waits(rate, mean, square, longest)
        times = self.sent_times(shape, decode)
        sent = self._link_waits(decode, times, rate)
        together = max(1, self._budget // work.prompt_tokens)
        admitted = self.engine.start_ms + self.engine.admit_steps * self.round_ms[shape, 0]
        p50 = self.alone_ms(work.prompt_tokens)[shape]
        p99 = self.alone_ms(work.longest_prompt_tokens)[shape]
        p99 = p99 + (together - 1) * self.compute_ms(work.prompt_tokens)[shape]
        leaving = rate * (self.crossing_ms(decode, times)[2] + self.link.latency_ms + sent.p99)
        held = together + np.ceil(np.where(np.isfinite(leaving), leaving, 0.0))
        carries = ~gone & (own.busy < 1) & (sent.busy < 1)

        def finite(values: Floats) -> Floats:
            found: Floats = np.where(carries, values, np.inf)
            return found

        return PrefillLoad(
            busy=np.where(gone, np.inf, own.busy),
            link_busy=np.where(gone, np.inf, sent.busy),
            carries=carries,
            mean_ms=finite(admitted + own.mean + alone + sent.mean),
            prefill_p50=finite(p50),
            prefill_p99=finite(p99),
            ttft_p50=finite(admitted + own.mean + p50 + sent.mean),
            ttft_p99=finite(admitted + own.p99 + p99 + sent.p99),
            cache_wanted=finite(held * self._own_longest[shape]),
        )

    @cached_property
    def _own_longest(self) -> Floats:
        return self._sizes[2]

    def prefill_capacity_per_s(self) -> Floats:
        """Requests/s that one rank of each shape works off at most, (S,)."""
        most: Floats = 1e3 / self._services[0]
        return most

    @cached_property
    def residence_ms(self) -> Floats:
        """R(n), (S, N)."""
        stay: Floats = (
            self.engine.start_ms + (self.engine.admit_steps + self.problem.workload.output_tokens) * self.round_ms
        )
        return stay

    @cached_property
    def _logs(self) -> Floats:
        """Σ over m ≤ n of log(R(m) / m), n = 0 … N, (S, N + 1)."""
        n = np.arange(1, self.slots + 1)
        found = np.zeros((len(self.residence_ms), self.slots + 1))
        found[:, 1:] = np.cumsum(np.log(self.residence_ms / n), axis=1)
        return found

    def decode(self, shape: Ints, rate_per_s: Floats) -> DecodeLoad:
        """Load of decode ranks.

        Args:
            shape: (Q,) shapes.
            rate_per_s: (Q,) requests/s at one rank; infinite where none is left.
        """
        # Ranks of like load in progress together: the chain is followed only as far as the busiest of them reaches.
        order = np.argsort(np.where(np.isinf(rate_per_s), -1.0, rate_per_s), kind="stable")
        parts = [self._decode(shape[some], rate_per_s[some]) for some in np.split(order, range(256, len(order), 256))]
        back = np.empty_like(order)
        back[order] = np.arange(len(order))
        return DecodeLoad(
            **{
                name: np.concatenate([getattr(one, name) for one in parts])[back]
                for name in DecodeLoad.__dataclass_fields__
            }
        )

    def _reached(self, shape: Ints, rate: Floats) -> int:
        """Sequences in progress beyond which nothing of any chain here is left in the digits of a float, N at most.

        With fewer arrivals every state beyond the likeliest of the busiest chain is rarer still.
        """
        if not len(shape):
            return self.slots
        busiest = float(rate.max())
        logs = self._logs[sorted(set(shape.tolist()))] + np.log(busiest) * np.arange(self.slots + 1)
        alive = (logs > logs.max(axis=1, keepdims=True) + NOTHING_LEFT).any(axis=0)
        return int(np.flatnonzero(alive)[-1])

    def _decode(self, shape: Ints, rate_per_s: Floats) -> DecodeLoad:
        gone = np.isinf(rate_per_s)
        rate = np.where(gone, 1e-12, rate_per_s / 1e3)
        reached = max(1, self._reached(shape, rate))
        n = np.arange(reached + 1, dtype=np.float64)
        ratio = rate * self.residence_ms[shape, -1] / self.slots
        stable = ~gone & (ratio < 1)
        ratio = np.where(stable, ratio, 0.0)
        logs = self._logs[shape, : reached + 1] + np.log(rate)[:, None] * n
        logs -= logs.max(axis=1, keepdims=True)
        weights = np.exp(logs)
        tail = weights[:, -1] * ratio / (1 - ratio) if reached == self.slots else np.zeros(len(shape))
        cumulative = np.cumsum(weights, axis=1)
        total = cumulative[:, -1] + tail
        median = (cumulative < 0.5 * total[:, None]).sum(axis=1)
        reach = 0.99 * total
        k = (cumulative < reach[:, None]).sum(axis=1)
        stable &= k <= self.slots
        row, inside = np.arange(len(shape)), np.clip(k, 1, reached)
        c99 = inside - 1 + (reach - cumulative[row, inside - 1]) / weights[row, inside]
        c99 = np.where(k == 0, 0.0, c99)
        beyond = tail_moments(ratio, self.slots) * (weights[:, -1] if reached == self.slots else 0.0)
        mean, square, cube = ((weights @ np.stack([n, n**2, n**3], axis=1)).T + beyond) / total
        variance = square - mean**2
        third = cube - 3 * mean * square + 2 * mean**3
        n50 = median + 1
        n99 = 1 + np.ceil(mean + np.maximum(0.0, c99 - mean)).astype(np.int64)
        at50, at99 = np.minimum(n50, self.slots) - 1, np.minimum(n99, self.slots) - 1
        received = self._link_waits(shape, np.ones(len(shape)), np.where(gone, 0.0, rate))
        carries = stable & (n99 <= self.slots) & (received.busy < 1)
        coming = self.crossing_ms(shape, np.ones(len(shape)))[2] + self.link.latency_ms + received.p99
        coming = rate * np.where(np.isfinite(coming), coming, 0.0)
        held = self.costs.memory().held
        assert held is not None  # pools are refused where cache is reserved in full
        share = self.problem.requirements.preemption_share
        wanted = held.of_law(shape, mean + coming, variance + coming, third + coming, share)[:, 0]
        at_first = self.engine.start_ms + (self.engine.admit_steps + 1) * self.round_ms[shape, at50]
        at_worst = self.engine.start_ms + (self.engine.admit_steps + 1.5) * self.round_ms[shape, at99]

        def finite(values: Floats) -> Floats:
            found: Floats = np.where(carries, values, np.inf)
            return found

        never = self.slots + 1
        return DecodeLoad(
            link_busy=np.where(gone, np.inf, received.busy),
            carries=carries,
            n50=np.where(carries, n50, never),
            n99=np.where(carries, n99, never),
            mean_ms=finite(mean / rate + received.mean),
            ttft_p50=finite(at_first + received.mean),
            ttft_p99=finite(at_worst + received.p99),
            tpot_p50=finite(self.round_ms[shape, at50]),
            tpot_p99=finite(self.round_ms[shape, at99]),
            cache_wanted=finite(wanted),
        )

    @cached_property
    def cache_slots(self) -> Ints:
        """Most requests in progress that the cache of a decode rank of each shape holds, up to N, (S,)."""
        held = self.costs.memory().held
        assert held is not None
        return held.most(self.room[:, None], self.problem.requirements.preemption_share, self.slots)

    def decode_capacity_per_s(self, slots: Ints) -> Floats:
        """Requests/s that one rank of each shape completes at most with so many slots (S,) and its cache, (S,)."""
        n = np.arange(1, self.slots + 1)
        done = np.maximum.accumulate(n * 1e3 / self.residence_ms, axis=1)
        most = np.minimum(slots, self.cache_slots)
        found: Floats = np.where(most > 0, done[np.arange(len(done)), np.maximum(most, 1) - 1], 0.0)
        return found
