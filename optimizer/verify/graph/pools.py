"""Does a graph of pools show what the answer says, where it can stand, with the bytes that the model moves?

From the problem and the answer's decisions alone: places by filling nodes, weights and cache from the stage, traffic from the formulas
of ``docs/model.md``, section 3, and ``docs/disaggregated.md``, section 3.
"""

from __future__ import annotations

from collections import Counter, defaultdict
from collections.abc import Sequence
from dataclasses import dataclass
from decimal import Decimal
from fractions import Fraction

from optimizer.facts.inventory import InventoryProblem
from optimizer.facts.problem import Problem
from optimizer.results.cluster_pools import ClusterPoolsAnswer
from optimizer.results.graph import GraphCheck
from optimizer.results.pool_graph import PoolGpu, PoolGraph, PoolInstance
from optimizer.results.pools import PoolMetrics, PoolsAnswer, PoolStrategy
from optimizer.verify.common.arithmetic import ceil_ratio, constant, decimal, exact, sixty_digits
from optimizer.verify.common.ledger import CheckLedger, near
from optimizer.verify.common.links import exchange_places
from optimizer.verify.graph.places import Ground, GpuStand, link_of
from optimizer.verify.pools.pair import Shapes, group_of
from optimizer.verify.pools.pool import Crossing, sent_times
from optimizer.verify.pools.shape import Hop, PoolShape
from optimizer.verify.pools.site import PoolsSite

MOST_MISMATCHES = 100
SIDES = ("prefill", "decode")
NOISE = Decimal("1e-9")
"""Relative: bytes a second are products of floats."""


@dataclass(frozen=True, slots=True)
class _Part:
    """A pool on its group, as it must be drawn."""

    side: str
    group: str | None
    pool: PoolStrategy
    share: Fraction
    held: PoolMetrics
    shape: PoolShape
    ground: Ground
    hop: Hop


def verify_pool_graph(
    problem: Problem | InventoryProblem, answer: PoolsAnswer | ClusterPoolsAnswer, graph: PoolGraph
) -> GraphCheck:
    """Rebuild a graph's claims from the problem and the answer's decisions, and compare.

    Checked: each instance and GPU once, of the pool and group that the answer says, whole instances spread evenly over as many nodes as
    it says; links that join GPUs where they stand; requests, tokens and bytes of every instance, TP group and pair of instances;
    transfer times, and how busy each end of the link is.

    Args:
        graph: its transfers are taken one by one.
    """
    ledger = CheckLedger()
    if answer.strategy is None or answer.metrics is None:
        ledger.that("graph", False, "an answer with pools", "none")
        return GraphCheck(False, ledger.checks, 0, 0, tuple(ledger.mismatches))
    with sixty_digits():
        edges = _Check(ledger, problem, answer, graph).all()
    found = tuple(ledger.mismatches[:MOST_MISMATCHES])
    return GraphCheck(not found, ledger.checks, len(graph.gpus) + len(graph.instances), edges, found)


def _parts(problem: Problem | InventoryProblem, answer: PoolsAnswer | ClusterPoolsAnswer) -> list[_Part]:
    strategy, metrics = answer.strategy, answer.metrics
    if isinstance(problem, Problem):
        shapes, ground = Shapes(problem), Ground("node", problem.hardware.nodes, problem.hardware)
        return [
            _Part(side, None, pool, Fraction(1), getattr(metrics, side), shapes.of(group_of(pool)), ground, shapes.wire)
            for side in SIDES
            for pool in [getattr(strategy, side)]
        ]
    site, found = PoolsSite(problem), []
    several = len({one.group for side in SIDES for one in getattr(strategy, side)}) > 1
    for side in SIDES:
        for one, held in zip(getattr(strategy, side), getattr(metrics, side), strict=True):
            index = site.index(one)
            if index is None:
                continue
            ground = Ground(one.group, problem.groups[index].nodes, site.problems[index].hardware)
            shape, hop = site.shapes[index].of(group_of(one.pool)), site.hop(index, several)
            found.append(_Part(side, one.group, one.pool, exact(one.share), held, shape, ground, hop))
    return found


class _Check:
    """Everything that is drawn, against what must be."""

    def __init__(
        self,
        ledger: CheckLedger,
        problem: Problem | InventoryProblem,
        answer: PoolsAnswer | ClusterPoolsAnswer,
        graph: PoolGraph,
    ) -> None:
        self._ledger, self._problem, self._answer, self._graph = ledger, problem, answer, graph
        self._parts = {(part.side, part.group): part for part in _parts(problem, answer)}
        self._rate = exact(problem.workload.requests_per_s)
        self._receiver = next((part for part in self._parts.values() if part.side == "decode"), None)
        self._gpus: dict[str, list[PoolGpu]] = defaultdict(list)
        self._stands: dict[str, GpuStand] = {}
        for gpu in graph.gpus:
            self._gpus[gpu.instance].append(gpu)

    def all(self) -> int:
        """Every check; how many edges were seen."""
        ledger, graph, answer = self._ledger, self._graph, self._answer
        ledger.same("problem", self._problem.name, graph.problem)
        ledger.same("pools", answer.label, graph.label)
        ledger.same("requests per second", self._problem.workload.requests_per_s, graph.requests_per_s)
        names = [one.name for one in graph.instances]
        ledger.same("names of instances, each once", len(names), len(set(names)))
        used = Counter(gpu.name for gpu in graph.gpus)
        ledger.that("GPUs used once", not used or max(used.values()) == 1, "each once", used.most_common(1))
        strangers = sorted(set(self._gpus) - set(names))
        ledger.that("GPUs of instances that are there", not strangers, "none else", strangers[:3])
        if not ledger.that("pools of the answer", self._receiver is not None, "both", "one is missing"):
            return 0
        by_part: dict[tuple[str, str | None], list[PoolInstance]] = defaultdict(list)
        for one in graph.instances:
            by_part[one.pool, one.group].append(one)
        ledger.that("parts of pools", set(by_part) == set(self._parts), sorted(map(str, self._parts)), sorted(map(str, by_part)))
        for key, part in self._parts.items():
            self._spread(part, by_part[key])
            for one in by_part[key]:
                with ledger.about(one.name):
                    self._instance(part, one)
        self._times()
        return len(graph.gpus) + self._rings() + self._transfers()

    def _spread(self, part: _Part, drawn: Sequence[PoolInstance]) -> None:
        """As many instances as decided, whole, on as many nodes as decided, no node with more than an even part of them."""
        ledger, pool = self._ledger, part.pool
        what = f"{part.side} pool" if part.group is None else f"{part.side} pool on {part.group}"
        ledger.same(f"{what}: instances", pool.instances, len(drawn))
        whole = max(1, ceil_ratio(part.shape.gpus, part.ground.hardware.gpus_per_node))
        on_node = Counter(node for one in drawn for node in one.nodes)
        ledger.same(f"{what}: nodes", min(pool.nodes, pool.instances * whole), len(on_node))
        most = ceil_ratio(pool.instances, max(1, pool.nodes // whole))
        ledger.that(f"{what}: fullest node", max(on_node.values(), default=0) <= most, f"at most {most}", on_node.most_common(1))

    def _instance(self, part: _Part, one: PoolInstance) -> None:
        ledger, pool, gpus = self._ledger, part.pool, self._gpus[one.name]
        seats = [(gpu.rank, gpu.shard) for gpu in gpus]
        wanted = [(rank, shard) for rank in range(pool.engine_ranks) for shard in range(pool.tensor_parallel)]
        ledger.same("places in rank order", wanted, seats)
        ledger.same("TP, EP and ranks", (pool.tensor_parallel, pool.expert_parallel, part.shape.group.ranks),
                    (one.tensor_parallel, one.expert_parallel, one.ranks))  # fmt: skip
        for gpu in gpus:
            self._gpu(part, gpu)
        ledger.same("nodes", tuple(dict.fromkeys(gpu.node for gpu in gpus)), one.nodes)
        per_node = part.ground.hardware.gpus_per_node
        if len(gpus) <= per_node:
            ledger.same("nodes of an instance that fits one", 1, len(one.nodes))
        else:
            ledger.same("whole nodes", len(gpus), len(one.nodes) * per_node)
        if len(one.nodes) > 1 and isinstance(self._problem, InventoryProblem):
            group = next(g for g in self._problem.groups if g.name == part.group)
            racks = {group.rack_of(int(node.rpartition("-")[2])) for node in one.nodes}
            ledger.same("racks of an instance over nodes", 1, len(racks))
        share = part.share / pool.instances
        rate = self._rate * share
        self._close("share of the requests", share, one.share)
        self._close("requests per second", rate, one.requests_per_s)
        self._close("tokens per second of a rank", self._tokens(part), one.tokens_per_s_per_rank)
        stands = [[self._stands[gpu.name] for gpu in gpus if gpu.rank == rank and gpu.name in self._stands]
                  for rank in range(pool.engine_ranks)]  # fmt: skip
        ledger.same("link of its TP groups", _slowest([link_of(some) for some in stands]), one.all_reduce_link)
        sent = self._exchanged(part)
        every = [stand for some in stands for stand in some]
        ledger.same("link of its exchanges", link_of(every) if sent else None, one.exchange_link)
        ledger.same("exchanged bytes of a token", ceil_ratio(sent, 1), one.exchange_bytes_per_token)
        self._close("exchanged bytes per second", sent * self._tokens(part), one.exchange_bytes_per_s)
        self._link(part, one, rate)

    def _gpu(self, part: _Part, gpu: PoolGpu) -> None:
        ledger, hardware = self._ledger, part.ground.hardware
        stand = part.ground.stand(gpu.name)
        if not ledger.that(f"GPU {gpu.name}", stand is not None, f"a GPU of {part.ground.prefix}", gpu.name):
            return
        assert stand is not None
        self._stands[gpu.name] = stand
        ledger.same(f"{gpu.name} pool", part.side, gpu.pool)
        ledger.same(f"{gpu.name} node", stand.node, gpu.node)
        ledger.same(f"{gpu.name} type", hardware.gpu.name, gpu.type)
        ledger.same(f"{gpu.name} memory", hardware.gpu.memory_bytes, gpu.memory_bytes)
        ledger.same(f"{gpu.name} weights", part.shape.stage.weights_bytes, gpu.weights_bytes)
        ledger.same(f"{gpu.name} room for cache", part.shape.room, gpu.cache_room_bytes)

    def _link(self, part: _Part, one: PoolInstance, rate: Fraction) -> None:
        """What the busiest GPU moves: β, bytes a second, and that both make the answer's share of the time."""
        assert self._receiver is not None
        receiver = self._receiver.shape
        times = sent_times(receiver.problem, part.shape, receiver) if part.side == "prefill" else Fraction(1)
        crossing = Crossing(part.hop, receiver, times)
        at_rank = decimal(rate / part.shape.group.ranks / 1000)
        busy = at_rank * crossing.mean
        self._close("GB/s between the pools of a GPU", part.hop.bytes_per_ms / 10**6, one.cache_link_gb_per_s)
        moved = busy * decimal(part.hop.bytes_per_ms) * 1000
        self._ledger.that(
            "bytes per second between the pools", near(moved, one.cache_bytes_per_s_per_gpu, moved * NOISE), moved, one.cache_bytes_per_s_per_gpu
        )  # fmt: skip
        if one.cache_link_busy is not None:
            agrees = near(busy, one.cache_link_busy, busy * NOISE)
            self._ledger.that("share of the time that the link is busy", agrees, busy, one.cache_link_busy)
        self._ledger.same("busy link of the answer", part.held.link_busy, one.cache_link_busy)

    def _times(self) -> None:
        """The slowest end of any part, and the latency."""
        assert self._receiver is not None
        receiver, ends = self._receiver.shape, []
        for part in self._parts.values():
            times = sent_times(receiver.problem, part.shape, receiver) if part.side == "prefill" else Fraction(1)
            ends.append(Crossing(part.hop, receiver, times))
        for name, which in (("transfer_ms", "usual"), ("transfer_longest_ms", "longest")):
            expected = max(getattr(end, which) + end.wire.latency for end in ends)
            self._ledger.time(name, expected, getattr(self._graph, name))
        self._ledger.same("link between the pools", self._receiver.hop.name, self._graph.link)

    def _rings(self) -> int:
        """Every TP group's ring once."""
        ledger, found = self._ledger, list(self._graph.tensor)
        wanted: dict[tuple[str, str], _Part] = {}
        for one in self._graph.instances:
            part = self._parts.get((one.pool, one.group))
            if part is None or part.pool.tensor_parallel == 1:
                continue
            seats = {(gpu.rank, gpu.shard): gpu.name for gpu in self._gpus[one.name]}
            for (rank, shard), name in seats.items():
                after = seats.get((rank, (shard + 1) % part.pool.tensor_parallel))
                if after is not None:
                    wanted[name, after] = part
        drawn = Counter((edge.source, edge.target) for edge in found)
        ledger.that("TP rings", drawn == Counter(wanted.keys()), f"{len(wanted)} edges", f"{len(found)} edges")
        for edge in found:
            part = wanted.get((edge.source, edge.target))
            if part is None:
                continue
            what = f"{edge.source} to {edge.target}"
            t, model = part.pool.tensor_parallel, part.shape.problem.model
            # Two all-reduces a layer of a vector in 16 bit, 2 (t − 1) / t of it leaves each GPU.
            sent = Fraction(8 * model.layers * model.hidden_size * (t - 1), t)
            ledger.same(f"{what}: bytes of a token", ceil_ratio(sent, 1), edge.bytes_per_token)
            self._close(f"{what}: bytes per second", sent * self._tokens(part), edge.bytes_per_s)
            stands = [self._stands[name] for name in (edge.source, edge.target) if name in self._stands]
            ledger.same(f"{what}: link", link_of(stands), edge.link)
        return len(found)

    def _transfers(self) -> int:
        """Every pair of instances once; each with its part of the requests."""
        assert self._receiver is not None
        ledger, receiver = self._ledger, self._receiver.shape
        work, t = receiver.problem.workload, receiver.group.tensor
        usual, longest = receiver.held(work.prompt_tokens) * t, receiver.held(work.longest_prompt_tokens) * t
        mean = sum((share * decimal(receiver.held(m)) for m, share in receiver.law.prompts), Decimal(0)) * t
        sides = {side: {one.name: one for one in self._graph.instances if one.pool == side} for side in SIDES}
        seen: set[tuple[str, str]] = set()
        count = 0
        for edge in self._graph.transfers():
            count += 1
            what = f"cache {edge.source} to {edge.target}"
            source, target = sides["prefill"].get(edge.source), sides["decode"].get(edge.target)
            if not ledger.that(what, source is not None and target is not None, "prefill to decode", edge):
                continue
            assert source is not None and target is not None
            seen.add((edge.source, edge.target))
            rate = self._rate * self._share(source) * self._share(target)
            self._close(f"{what}: requests per second", rate, edge.requests_per_s)
            self._bytes(f"{what}: bytes of the mean prompt", usual, t, edge.bytes_per_request)
            self._bytes(f"{what}: bytes of the longest prompt", longest, t, edge.longest_bytes_per_request)
            moved = decimal(rate) * mean
            ledger.that(f"{what}: bytes per second", near(moved, edge.bytes_per_s, moved * NOISE), moved, edge.bytes_per_s)
            ledger.same(f"{what}: link", self._between(source, target), edge.link)
        pairs = len(sides["prefill"]) * len(sides["decode"])
        ledger.that("pairs of instances, each once", count == pairs == len(seen), pairs, count)
        return count

    def _bytes(self, what: str, expected: Fraction, ranks: int, claimed: int) -> None:
        """Whole bytes: what a sequence holds is rounded up once on each GPU."""
        self._ledger.that(what, 0 <= claimed - expected <= ranks, decimal(expected), claimed)

    def _share(self, one: PoolInstance) -> Fraction:
        part = self._parts.get((one.pool, one.group))
        return part.share / part.pool.instances if part is not None else Fraction(0)

    def _between(self, source: PoolInstance, target: PoolInstance) -> str | None:
        stands = [
            {self._stands[gpu.name] for gpu in self._gpus[one.name] if gpu.name in self._stands} for one in (source, target)
        ]
        return _slowest(
            ["nvlink" if a.domain == b.domain else "pcie" if a.node == b.node else "network" for a in stands[0] for b in stands[1]]
        )

    def _tokens(self, part: _Part) -> Fraction:
        """Tokens a second at a rank."""
        work = self._problem.workload
        each = Fraction(work.output_tokens)
        if part.side == "prefill":
            often = Counter[int]()
            for prompt, _, weight in part.shape.problem.requests:
                often[prompt] += weight
            each = Fraction(sum(m * n for m, n in often.items()), sum(often.values()))
        return self._rate * part.share / (part.pool.instances * part.shape.group.ranks) * each

    def _exchanged(self, part: _Part) -> Fraction:
        """Bytes of a token that leave a GPU in both exchanges of every layer with experts."""
        group, model = part.shape.group, part.shape.problem.model
        if group.ranks == 1:
            return Fraction(0)
        gpus = group.expert_gpus
        places = exchange_places(part.ground.hardware, gpus)
        copies = sum(min(model.kinds[kind].experts_per_token, places) for kind in model.kind_of_layer if model.kinds[kind].experts)
        return 2 * copies * model.hidden_size * constant("exchange_bytes") * Fraction(gpus - 1, gpus)

    def _close(self, what: str, expected: Fraction, claimed: float) -> None:
        value = decimal(expected)
        self._ledger.that(what, near(value, claimed, abs(value) * NOISE), value, claimed)


def _slowest(kinds: Sequence[str | None]) -> str | None:
    order = ("nvlink", "pcie", "network")
    found = [order.index(kind) for kind in kinds if kind is not None]
    return order[max(found)] if found else None
