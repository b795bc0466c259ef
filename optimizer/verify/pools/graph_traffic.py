"""Are the edges of a graph of pools those that there must be, each with its bytes? ``docs/graph.md``, pools.

Callers work inside ``arithmetic.sixty_digits``.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping, Sequence
from decimal import Decimal
from fractions import Fraction

from optimizer.results.pool_graph import PoolGpu, PoolGraph, PoolInstance
from optimizer.verify.common.arithmetic import decimal
from optimizer.verify.common.ledger import CheckLedger, near
from optimizer.verify.common.places import GpuStand, link_of
from optimizer.verify.pools.graph_parts import WantedPart

NOISE = Decimal("1e-9")
"""Relative: bytes a second are products of floats."""


class PoolTraffic:
    """Traffic inside TP groups and between the pools, against the parts that instances belong to."""

    def __init__(
        self,
        ledger: CheckLedger,
        graph: PoolGraph,
        parts: Mapping[tuple[str, str | None], WantedPart],
        gpus: Mapping[str, Sequence[PoolGpu]],
        stands: Mapping[str, GpuStand],
    ) -> None:
        self._ledger, self._graph, self._parts, self._gpus, self._stands = ledger, graph, parts, gpus, stands

    def rings(self) -> int:
        """Every TP group's ring once; how many edges were seen."""
        wanted: dict[tuple[str, str], WantedPart] = {}
        for one in self._graph.instances:
            part = self._parts.get((one.pool, one.group))
            if part is None or part.pool.tensor_parallel == 1:
                continue
            seats = {(gpu.rank, gpu.shard): gpu.name for gpu in self._gpus.get(one.name, ())}
            for (rank, shard), name in seats.items():
                after = seats.get((rank, (shard + 1) % part.pool.tensor_parallel))
                if after is not None:
                    wanted[name, after] = part
        found = self._graph.tensor
        drawn = Counter((edge.source, edge.target) for edge in found)
        self._ledger.that("TP rings", drawn == Counter(wanted.keys()), f"{len(wanted)} edges", f"{len(found)} edges")
        for edge in found:
            part = wanted.get((edge.source, edge.target))
            if part is None:
                continue
            with self._ledger.about(f"{edge.source} to {edge.target}"):
                self._ledger.same("bytes of a token", up(part.reduced), edge.bytes_per_token)
                close(self._ledger, "bytes per second", part.reduced * part.tokens, edge.bytes_per_s)
                stands = [self._stands[name] for name in (edge.source, edge.target) if name in self._stands]
                self._ledger.same("link", link_of(stands), edge.link)
        return len(found)

    def transfers(self) -> int:
        """Every pair of instances once, each with its part of the requests; how many edges were seen."""
        ledger = self._ledger
        receiving = next(part for part in self._parts.values() if part.side == "decode")
        receiver, demand = receiving.shape, receiving.demand
        work, t = receiver.problem.workload, receiver.group.tensor
        usual, longest = receiver.held(work.prompt_tokens) * t, receiver.held(work.longest_prompt_tokens) * t
        mean = sum((share * decimal(receiver.held(m)) for m, share in receiver.law.prompts), Decimal(0)) * t
        sides = {
            side: {one.name: one for one in self._graph.instances if one.pool == side} for side in ("prefill", "decode")
        }
        stands = {one.name: self._stands_of(one) for one in self._graph.instances}
        seen: set[tuple[str, str]] = set()
        count = 0
        for edge in self._graph.transfers():
            count += 1
            source, target = sides["prefill"].get(edge.source), sides["decode"].get(edge.target)
            with ledger.about(f"cache {edge.source} to {edge.target}"):
                known = source is not None and target is not None
                if not ledger.that("ends", known, "prefill to decode", edge):
                    continue
                assert source is not None and target is not None
                seen.add((edge.source, edge.target))
                rate = self._rate(source) * self._rate(target) / demand
                close(ledger, "requests per second", rate, edge.requests_per_s)
                self._bytes("bytes of the mean prompt", usual, t, edge.bytes_per_request)
                self._bytes("bytes of the longest prompt", longest, t, edge.longest_bytes_per_request)
                moved = decimal(rate) * mean
                fits = near(moved, edge.bytes_per_s, moved * NOISE)
                ledger.that("bytes per second", fits, moved, edge.bytes_per_s)
                pairs = [_joining(a, b) for a in stands[edge.source] for b in stands[edge.target]]
                ledger.same("link", slowest(pairs), edge.link)
        wanted = len(sides["prefill"]) * len(sides["decode"])
        ledger.that("pairs of instances, each once", count == wanted == len(seen), wanted, count)
        return count

    def _stands_of(self, one: PoolInstance) -> set[GpuStand]:
        return {self._stands[gpu.name] for gpu in self._gpus.get(one.name, ()) if gpu.name in self._stands}

    def _rate(self, one: PoolInstance) -> Fraction:
        part = self._parts.get((one.pool, one.group))
        return part.rate if part is not None else Fraction(0)

    def _bytes(self, what: str, expected: Fraction, ranks: int, claimed: int) -> None:
        """Whole bytes: what a sequence holds is rounded up once on each GPU."""
        self._ledger.that(what, 0 <= claimed - expected <= ranks, decimal(expected), claimed)


def up(value: Fraction) -> int:
    """The next whole number."""
    return -(-value.numerator // value.denominator)


def close(ledger: CheckLedger, what: str, expected: Fraction, claimed: float) -> None:
    """Equal but for what floats lose in a few products."""
    value = decimal(expected)
    ledger.that(what, near(value, claimed, abs(value) * NOISE), value, claimed)


def slowest(kinds: Sequence[str | None]) -> str | None:
    """The slowest of some links; None where none is needed."""
    order = ("nvlink", "pcie", "network")
    found = [order.index(kind) for kind in kinds if kind is not None]
    return order[max(found)] if found else None


def _joining(one: GpuStand, other: GpuStand) -> str:
    if one.domain == other.domain:
        return "nvlink"
    return "pcie" if one.node == other.node else "network"
