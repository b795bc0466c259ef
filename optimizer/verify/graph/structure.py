"""Is the graph complete and acyclic, and does each dependency stay on a GPU or cross a link that is there?"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterator, Sequence

from optimizer.results.answer import Strategy
from optimizer.results.graph import GraphNode, InstanceGraph
from optimizer.verify.common.ledger import CheckLedger
from optimizer.verify.common.places import GpuStand, link_of, link_of_pairs
from optimizer.verify.graph.expected import Step, steps_of
from optimizer.verify.graph.parts import Parts

Key = tuple[str, int | None, int, int | None, int | None]
"""Kind, replica, stage, layer and shard."""


class Structure:
    """One instance against what the strategy says it must be. ``steps`` pairs every node with its step."""

    def __init__(self, ledger: CheckLedger, parts: Parts, strategy: Strategy, instance: InstanceGraph) -> None:
        self._ledger, self._parts, self._strategy, self._instance = ledger, parts, strategy, instance
        self.stands: dict[str, GpuStand] = {}
        self.steps: list[tuple[Step, GraphNode]] = []
        self._seats: dict[tuple[int, int, int], str] = {}
        self._unseen: dict[Key, list[GraphNode]] = defaultdict(list)
        self._before: dict[str, set[str]] = defaultdict(set)
        self._last: dict[str, str] = {}

    def check(self) -> None:
        """Every check; later ones still run when earlier ones fail."""
        self._gpus()
        self._edges()
        for node in self._instance.nodes:
            self._unseen[node.kind, node.replica, node.stage, node.layer, node.shard].append(node)
        for stage in range(self._strategy.pipeline_parallel):
            for step in steps_of(self._parts.problem, self._strategy, stage):
                self._step(step, stage)
        left = [node.id for nodes in self._unseen.values() for node in nodes]
        self._ledger.that("nodes beside those expected", not left, "none", left[:3])

    def gpus_in_rank_order(self) -> tuple[str, ...]:
        """TP ranks innermost, then stages, then replicas."""
        s = self._strategy
        return tuple(
            self._seats.get((replica, stage, shard), "missing")
            for replica in self._instance.replicas
            for stage in range(s.pipeline_parallel)
            for shard in range(s.tensor_parallel)
        )

    def _gpus(self) -> None:
        s, instance = self._strategy, self._instance
        for gpu in instance.gpus:
            part = self._parts.of(gpu.stage)
            stand, hardware = part.ground.stand(gpu.name), part.problem.hardware
            there = f"a GPU of {part.ground.prefix}"
            if not self._ledger.that(f"GPU {gpu.name} of stage {gpu.stage}", stand is not None, there, gpu.name):
                continue
            assert stand is not None
            self.stands[gpu.name] = stand
            self._ledger.same(f"{gpu.name} node", stand.node, gpu.node)
            self._ledger.same(f"{gpu.name} type", hardware.gpu.name, gpu.type)
            self._ledger.same(f"{gpu.name} memory", hardware.gpu.memory_bytes, gpu.memory_bytes)
            seat = gpu.replica, gpu.stage, gpu.shard
            self._ledger.that(f"{gpu.name} place", seat not in self._seats, "one GPU to a place", seat)
            self._seats[seat] = gpu.name
        domains = {(gpu.domain, self.stands[gpu.name].domain) for gpu in instance.gpus if gpu.name in self.stands}
        same = len(domains) == len({theirs for theirs, _ in domains}) == len({ours for _, ours in domains})
        self._ledger.that("NVLink domains", same, "those of the problem", sorted(theirs for theirs, _ in domains)[:5])
        every = {
            (replica, stage, shard)
            for replica in instance.replicas
            for stage in range(s.pipeline_parallel)
            for shard in range(s.tensor_parallel)
        }
        self._ledger.same("places of the instance", every, set(self._seats))

    def _edges(self) -> None:
        import networkx

        nodes = {node.id: node for node in self._instance.nodes}
        self._ledger.same("distinct names", len(self._instance.nodes), len(nodes))
        for edge in self._instance.edges:
            ends = nodes.get(edge.source), nodes.get(edge.target)
            what = f"dependency {edge.source} -> {edge.target}"
            if self._ledger.that(what, None not in ends, "two nodes of the graph", edge):
                shared = all(end is not None and edge.gpu in end.gpus for end in ends)
                self._ledger.that(what, shared, "a GPU that both have", edge.gpu)
            self._before[edge.target].add(edge.source)
        graph = networkx.DiGraph((edge.source, edge.target) for edge in self._instance.edges)
        self._ledger.that("cycles", networkx.is_directed_acyclic_graph(graph), "none", "a cycle")

    def _step(self, step: Step, stage: int) -> None:
        for replica, shard, gpus in self._doers(step, stage):
            key = step.kind, replica, stage, step.layer, shard
            wanted = {self._last[gpu] for gpu in gpus if gpu in self._last}
            offered = self._unseen[key]
            what = f"{step.kind} of replica {replica}, stage {stage}, layer {step.layer}, shard {shard}"
            if not self._ledger.that(what, bool(offered), "a node", "missing"):
                continue
            found = next((node for node in offered if self._before[node.id] == wanted), offered[0])
            offered.remove(found)
            self._ledger.same(f"{found.id} waits for", sorted(wanted), sorted(self._before[found.id]))
            self._ledger.same(f"{found.id} GPUs", tuple(gpus), found.gpus)
            self._ledger.same(f"{found.id} instance", self._instance.name, found.instance)
            self._ledger.same(f"{found.id} link", self._link(step, gpus), found.link)
            self.steps.append((step, found))
            self._last.update(dict.fromkeys(gpus, found.id))

    def _doers(self, step: Step, stage: int) -> Iterator[tuple[int | None, int | None, Sequence[str]]]:
        """(replica, shard, GPUs) of every node of a step."""
        if step.by == "instance":
            yield None, None, [gpu for replica in self._instance.replicas for gpu in self._group(replica, stage)]
            return
        for replica in self._instance.replicas:
            group = self._group(replica, stage)
            if step.by == "shard":
                for shard, gpu in enumerate(group):
                    yield replica, shard, [gpu]
            elif step.kind == "send":
                yield replica, None, [*group, *self._group(replica, stage + 1)]
            else:
                yield replica, None, group

    def _group(self, replica: int, stage: int) -> list[str]:
        shards = range(self._strategy.tensor_parallel)
        return [self._seats.get((replica, stage, shard), "missing") for shard in shards]

    def _link(self, step: Step, gpus: Sequence[str]) -> str | None:
        stands = [self.stands[gpu] for gpu in gpus if gpu in self.stands]
        if step.kind == "token" or step.by == "shard" or len(stands) != len(gpus):
            return None
        if step.kind == "send":
            half = len(stands) // 2
            return link_of_pairs(stands[:half], stands[half:])
        return link_of(stands)
