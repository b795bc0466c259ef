"""Does a graph of pools show what the answer says, where it can stand, with the bytes that the model moves?

From the problem and the answer's decisions alone: places by filling nodes, weights and cache from the stage, traffic from the formulas
of ``docs/model.md``, section 3, and ``docs/disaggregated.md``, section 3.
"""

from __future__ import annotations

from collections import Counter, defaultdict
from collections.abc import Sequence

from optimizer.facts.inventory import InventoryProblem
from optimizer.facts.problem import Problem
from optimizer.results.cluster_pools import ClusterPoolsAnswer
from optimizer.results.graph import GraphCheck
from optimizer.results.pool_graph import PoolGpu, PoolGraph, PoolInstance
from optimizer.results.pools import PoolsAnswer
from optimizer.verify.common.arithmetic import ceil_ratio, decimal, sixty_digits
from optimizer.verify.common.ledger import CheckLedger, near
from optimizer.verify.common.places import GpuStand, Ground, link_of
from optimizer.verify.pools.graph_parts import WantedPart, parts_of
from optimizer.verify.pools.graph_traffic import NOISE, PoolTraffic, close, slowest, up

MOST_MISMATCHES = 100


def verify_pool_graph(
    problem: Problem | InventoryProblem,
    answer: PoolsAnswer | ClusterPoolsAnswer,
    graph: PoolGraph,
    among: Ground | None = None,
) -> GraphCheck:
    """Rebuild a graph's claims from the problem and the answer's decisions, and compare.

    Checked: each instance and GPU once, of the pool and group that the answer says, whole instances spread evenly over as many nodes as
    it says; links that join GPUs where they stand; requests, tokens and bytes of every instance, TP group and pair of instances;
    transfer times, and how busy each end of the link is.

    Args:
        graph: its transfers are taken one by one.
        among: equal nodes that the pools have some GPUs of; None: all nodes are theirs.
    """
    ledger = CheckLedger()
    if answer.strategy is None or answer.metrics is None:
        ledger.that("graph", False, "an answer with pools", "none")
        return GraphCheck(False, ledger.checks, 0, 0, tuple(ledger.mismatches))
    with sixty_digits():
        edges = _PoolsCheck(ledger, problem, answer, graph, among).all()
    found = tuple(ledger.mismatches[:MOST_MISMATCHES])
    return GraphCheck(not found, ledger.checks, len(graph.gpus) + len(graph.instances), edges, found)


class _PoolsCheck:
    """Everything that is drawn, against what must be."""

    def __init__(
        self,
        ledger: CheckLedger,
        problem: Problem | InventoryProblem,
        answer: PoolsAnswer | ClusterPoolsAnswer,
        graph: PoolGraph,
        among: Ground | None,
    ) -> None:
        self._ledger, self._problem, self._answer, self._graph = ledger, problem, answer, graph
        self._parts = {(part.side, part.group): part for part in parts_of(problem, answer, among)}
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
        ledger.that(
            "parts of pools", set(by_part) == set(self._parts), sorted(map(str, self._parts)), sorted(map(str, by_part))
        )
        for key, part in self._parts.items():
            self._spread(part, by_part[key])
            for one in by_part[key]:
                with ledger.about(one.name):
                    self._instance(part, one)
        domains = {(gpu.domain, self._stands[gpu.name].domain) for gpu in graph.gpus if gpu.name in self._stands}
        one_to_one = len(domains) == len({ours for ours, _ in domains}) == len({theirs for _, theirs in domains})
        ledger.that("NVLink domains", one_to_one, "those of the problem", sorted(ours for ours, _ in domains)[:5])
        self._times()
        traffic = PoolTraffic(ledger, graph, self._parts, self._gpus, self._stands)
        return len(graph.gpus) + traffic.rings() + traffic.transfers()

    def _spread(self, part: WantedPart, drawn: Sequence[PoolInstance]) -> None:
        """As many instances as decided, whole, on as many nodes as decided, no node with more than an even part of them."""
        ledger, pool = self._ledger, part.pool
        what = f"{part.side} pool" if part.group is None else f"{part.side} pool on {part.group}"
        ledger.same(f"{what}: instances", pool.instances, len(drawn))
        whole = max(1, ceil_ratio(part.shape.gpus, part.ground.hardware.gpus_per_node))
        on_node = Counter(node for one in drawn for node in one.nodes)
        ledger.same(f"{what}: nodes", min(pool.nodes, pool.instances * whole), len(on_node))
        most = ceil_ratio(pool.instances, max(1, pool.nodes // whole))
        ledger.that(
            f"{what}: fullest node", max(on_node.values(), default=0) <= most, f"at most {most}", on_node.most_common(1)
        )

    def _instance(self, part: WantedPart, one: PoolInstance) -> None:
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
            nodes = {self._stands[gpu.name].node for gpu in gpus if gpu.name in self._stands}
            racks = {group.rack_of(int(node.rpartition("-")[2])) for node in nodes}
            ledger.same("racks of an instance over nodes", 1, len(racks))
        close(ledger, "share of the requests", part.share / pool.instances, one.share)
        close(ledger, "requests per second", part.rate, one.requests_per_s)
        close(ledger, "tokens per second of a rank", part.tokens, one.tokens_per_s_per_rank)
        stands = [[self._stands[gpu.name] for gpu in gpus if gpu.rank == rank and gpu.name in self._stands]
                  for rank in range(pool.engine_ranks)]  # fmt: skip
        ledger.same("link of its TP groups", slowest([link_of(some) for some in stands]), one.all_reduce_link)
        sent = part.exchanged
        every = [stand for some in stands for stand in some]
        ledger.same("link of its exchanges", link_of(every) if sent else None, one.exchange_link)
        ledger.same("exchanged bytes of a token", up(sent), one.exchange_bytes_per_token)
        close(ledger, "exchanged bytes per second", sent * part.tokens, one.exchange_bytes_per_s)
        self._link(part, one)

    def _gpu(self, part: WantedPart, gpu: PoolGpu) -> None:
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
        ledger.same(f"{gpu.name} room for cache", max(0, part.shape.room), gpu.cache_room_bytes)

    def _link(self, part: WantedPart, one: PoolInstance) -> None:
        """What the busiest GPU moves: β, bytes a second, and that both make the answer's share of the time."""
        assert self._receiver is not None
        ledger, crossing = self._ledger, part.crossing(self._receiver.shape)
        busy = decimal(part.rate / part.shape.group.ranks / 1000) * crossing.mean
        close(ledger, "GB/s between the pools of a GPU", part.hop.bytes_per_ms / 10**6, one.cache_link_gb_per_s)
        moved, claimed = busy * decimal(part.hop.bytes_per_ms) * 1000, one.cache_bytes_per_s_per_gpu
        ledger.that("bytes per second between the pools", near(moved, claimed, moved * NOISE), moved, claimed)
        if one.cache_link_busy is not None:
            agrees = near(busy, one.cache_link_busy, busy * NOISE)
            ledger.that("share of the time that the link is busy", agrees, busy, one.cache_link_busy)
        ledger.same("busy link of the answer", part.held.link_busy, one.cache_link_busy)

    def _times(self) -> None:
        """The slowest end of any part, and the latency."""
        assert self._receiver is not None
        ends = [part.crossing(self._receiver.shape) for part in self._parts.values()]
        for name, which in (("transfer_ms", "usual"), ("transfer_longest_ms", "longest")):
            expected = max(getattr(end, which) + end.wire.latency for end in ends)
            self._ledger.time(name, expected, getattr(self._graph, name))
        self._ledger.same("link between the pools", self._receiver.hop.name, self._graph.link)
