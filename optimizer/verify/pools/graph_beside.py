"""Does a graph of joint instances beside pools show what the answer says, each part on GPUs of its own?

From the problem and the answer's decisions alone. The pools are checked by ``graph_check`` on the nodes that both share.

Other home: ``graph/beside.py``; docs/model.md, section 3.
"""

from __future__ import annotations

from collections import Counter, defaultdict
from fractions import Fraction

from optimizer.facts.problem import Problem
from optimizer.facts.side_by_side import joint_part, pools_part, units_of
from optimizer.results.answer import Strategy
from optimizer.results.beside_graph import BesideGraph, JointGpu, JointInstance
from optimizer.results.graph import GraphCheck
from optimizer.results.pool_graph import PoolGpu
from optimizer.results.side_by_side import SideBySideAnswer
from optimizer.verify.common.arithmetic import ceil_ratio, constant, exact, sixty_digits
from optimizer.verify.common.groups import Group
from optimizer.verify.common.ledger import CheckLedger
from optimizer.verify.common.links import exchange_places
from optimizer.verify.common.places import GpuStand, Ground, link_of
from optimizer.verify.common.stage import Stages
from optimizer.verify.pools.graph_check import MOST_MISMATCHES, verify_pool_graph
from optimizer.verify.pools.graph_traffic import close, up

Edge = tuple[str, str]


def verify_beside_graph(problem: Problem, answer: SideBySideAnswer, graph: BesideGraph) -> GraphCheck:
    """Rebuild both parts' claims and compare: each GPU once and of one part, whole instances, weights, links and bytes."""
    ledger, split = CheckLedger(), answer.split_of(problem)
    ground = Ground("node", problem.hardware.nodes, problem.hardware)
    if answer.joint.strategy is None or answer.joint.metrics is None:
        ledger.that("graph", False, "an answer with both parts", "one is missing")
        return GraphCheck(False, ledger.checks, 0, 0, tuple(ledger.mismatches))
    with sixty_digits():
        ledger.same("problem", problem.name, graph.problem)
        ledger.same("both parts", answer.label, graph.label)
        ledger.same("requests per second", problem.workload.requests_per_s, graph.requests_per_s)
        ledger.same("share of the joint instances", answer.share, graph.share)
        joint = joint_part(problem, split)
        edges = _JointCheck(ledger, joint, answer.joint.strategy, ground, graph).all()
        _apart(ledger, problem, split.units, graph)
        _domains(ledger, ground, graph)
    pools = verify_pool_graph(pools_part(problem, split), answer.pools, graph.pools, ground)
    found = (*ledger.mismatches, *pools.mismatches)[:MOST_MISMATCHES]
    nodes = len(graph.gpus) + len(graph.instances) + pools.nodes
    return GraphCheck(not found, ledger.checks + pools.checks, nodes, edges + pools.edges, found)


def _apart(ledger: CheckLedger, problem: Problem, units: int, graph: BesideGraph) -> None:
    """Each GPU of one part alone, and no part on more nodes, or GPUs of the one node, than it has."""
    parts = [{gpu.name for gpu in graph.gpus}, {gpu.name for gpu in graph.pools.gpus}]
    ledger.that("GPUs of one part alone", not parts[0] & parts[1], "none of both", sorted(parts[0] & parts[1])[:3])
    nodes = [{name.rpartition("/")[0] for name in part} for part in parts]
    several = problem.hardware.nodes > 1
    if several:
        ledger.that("nodes of one part alone", not nodes[0] & nodes[1], "none of both", sorted(nodes[0] & nodes[1])[:3])
    for name, part, at, most in zip(
        ("joint instances", "pools"), parts, nodes, (units, units_of(problem) - units), strict=True
    ):
        used = len(at) if several else len(part)
        ledger.that(f"{'nodes' if several else 'GPUs'} of the {name}", used <= most, f"at most {most}", used)


def _domains(ledger: CheckLedger, ground: Ground, graph: BesideGraph) -> None:
    """GPUs of both parts have one name for an NVLink domain, and those of two domains two."""
    drawn: list[JointGpu | PoolGpu] = [*graph.gpus, *graph.pools.gpus]
    named = [(gpu.domain, ground.stand(gpu.name)) for gpu in drawn]
    pairs = {(name, stand.domain) for name, stand in named if stand is not None}
    one_to_one = len(pairs) == len({ours for ours, _ in pairs}) == len({theirs for _, theirs in pairs})
    ledger.that("NVLink domains", one_to_one, "those of the problem", sorted(ours for ours, _ in pairs)[:5])


class _JointCheck:
    """The joint instances as drawn, against what must be."""

    def __init__(
        self, ledger: CheckLedger, part: Problem, strategy: Strategy, ground: Ground, graph: BesideGraph
    ) -> None:
        self._ledger, self._part, self._strategy, self._ground, self._graph = ledger, part, strategy, ground, graph
        s = strategy
        group = Group(
            s.tensor_parallel, s.expert_parallel, s.weight_precision, s.kv_precision, s.expert_slice_ranks,
            s.decode_context_parallel,
        )  # fmt: skip
        self._group, self._stages = group, Stages(part).of(group, s.layers_per_stage)
        self._count = max(1, s.data_parallel // group.ranks)
        self._gpus: dict[str, list[JointGpu]] = defaultdict(list)
        self._stands: dict[str, GpuStand] = {}
        for gpu in graph.gpus:
            self._gpus[gpu.instance].append(gpu)
        asked = [(prompt, weight) for prompt, _, weight in part.requests]
        prompt = Fraction(sum(prompt * weight for prompt, weight in asked), sum(weight for _, weight in asked))
        self._rate = exact(part.workload.requests_per_s) / self._count
        self._tokens = self._rate / group.ranks * (prompt + part.workload.output_tokens)

    def all(self) -> int:
        """Every check; how many edges were seen."""
        ledger, names = self._ledger, [one.name for one in self._graph.instances]
        ledger.same("joint instances", self._count, len(names))
        ledger.same("names of joint instances, each once", len(names), len(set(names)))
        strangers = sorted(set(self._gpus) - set(names))
        ledger.that("GPUs of joint instances that are there", not strangers, "none else", strangers[:3])
        used = Counter(gpu.name for gpu in self._graph.gpus)
        ledger.that("joint GPUs used once", not used or max(used.values()) == 1, "each once", used.most_common(1))
        for one in self._graph.instances:
            with ledger.about(one.name):
                self._instance(one)
        self._spread()
        self._rings()
        self._sends()
        return len(self._graph.gpus) + len(self._graph.tensor) + len(self._graph.sends)

    def _instance(self, one: JointInstance) -> None:
        ledger, s, gpus = self._ledger, self._strategy, self._gpus[one.name]
        ranks, stages, t = self._group.ranks, s.pipeline_parallel, s.tensor_parallel
        wanted = [(rank, stage, shard) for rank in range(ranks) for stage in range(stages) for shard in range(t)]
        ledger.same("places in rank order", wanted, [(gpu.rank, gpu.stage, gpu.shard) for gpu in gpus])
        ledger.same("TP, PP, EP and ranks", (t, stages, s.expert_parallel, ranks),
                    (one.tensor_parallel, one.pipeline_parallel, one.expert_parallel, one.ranks))  # fmt: skip
        ledger.same("nodes", tuple(dict.fromkeys(gpu.node for gpu in gpus)), one.nodes)
        close(ledger, "share of the requests", Fraction(1, self._count), one.share)
        close(ledger, "requests per second", self._rate, one.requests_per_s)
        close(ledger, "tokens per second of a rank", self._tokens, one.tokens_per_s_per_rank)
        most = None if s.expert_slice_ranks > 1 else up(self._exchanged())
        ledger.same("exchanged bytes of a token", most, one.exchange_bytes_per_token)
        for gpu in gpus:
            self._gpu(gpu)

    def _gpu(self, gpu: JointGpu) -> None:
        ledger, facts = self._ledger, self._part.hardware.gpu
        stand = self._ground.stand(gpu.name)
        if not ledger.that(f"GPU {gpu.name}", stand is not None, "a GPU of the nodes", gpu.name):
            return
        assert stand is not None
        self._stands[gpu.name] = stand
        ledger.same(f"{gpu.name} node", stand.node, gpu.node)
        ledger.same(f"{gpu.name} type", facts.name, gpu.type)
        ledger.same(f"{gpu.name} memory", facts.memory_bytes, gpu.memory_bytes)
        if ledger.that(f"{gpu.name} stage", 0 <= gpu.stage < len(self._stages), "one there is", gpu.stage):
            ledger.same(f"{gpu.name} weights", self._stages[gpu.stage].weights_bytes, gpu.weights_bytes)

    def _spread(self) -> None:
        """Instances that a node holds stand on one, no node with more than an even part of them."""
        ledger, per_node = self._ledger, self._part.hardware.gpus_per_node
        size = self._strategy.tensor_parallel * self._strategy.pipeline_parallel * self._group.ranks
        room = self._part.hardware.nodes * (per_node // size) if size <= per_node else 0
        if self._count <= room:
            on = Counter(node for one in self._graph.instances for node in one.nodes)
            most = ceil_ratio(self._count, self._part.hardware.nodes)
            fullest = max(on.values(), default=0)
            ledger.that("fullest node of joint instances", fullest <= most, f"at most {most}", on.most_common(1))
            ledger.same("nodes of an instance", 1, max((len(one.nodes) for one in self._graph.instances), default=1))

    def _rings(self) -> None:
        """Every TP group's ring once, with the bytes of its stage's layers."""
        s, t = self._strategy, self._strategy.tensor_parallel
        wanted: dict[Edge, int] = {}
        for gpus in self._gpus.values():
            seats = {(gpu.rank, gpu.stage, gpu.shard): gpu.name for gpu in gpus}
            for (rank, stage, shard), name in seats.items() if t > 1 else ():
                after = seats.get((rank, stage, (shard + 1) % t))
                if after is not None and stage < len(s.layers_per_stage):
                    wanted[name, after] = s.layers_per_stage[stage]
        found = self._graph.tensor
        drawn = Counter((edge.source, edge.target) for edge in found)
        self._ledger.that("TP rings", drawn == Counter(wanted.keys()), f"{len(wanted)} edges", f"{len(found)} edges")
        hardware = self._part.hardware
        domain = hardware.nvlink_domain_gpus if hardware.nvlink_gb_per_s > 0 else 1
        within = domain % t == 0
        for edge in found:
            layers = wanted.get((edge.source, edge.target))
            if layers is not None:
                if within:
                    self._ledger.same("link of a TP group that fits an NVLink domain", "nvlink", edge.link)
                reduced = Fraction(8 * layers * self._part.model.hidden_size * (t - 1), t)
                self._edge(edge.source, edge.target, edge.link, reduced, edge.bytes_per_token, edge.bytes_per_s)

    def _sends(self) -> None:
        """From each TP rank of a stage to the next stage's, once: hidden state and residual."""
        wanted: set[Edge] = set()
        for gpus in self._gpus.values():
            seats = {(gpu.rank, gpu.stage, gpu.shard): gpu.name for gpu in gpus}
            for (rank, stage, shard), name in seats.items():
                after = seats.get((rank, stage + 1, shard))
                if after is not None:
                    wanted.add((name, after))
        found = self._graph.sends
        drawn = Counter((edge.source, edge.target) for edge in found)
        self._ledger.that("sends of stages", drawn == Counter(wanted), f"{len(wanted)} edges", f"{len(found)} edges")
        size = Fraction(4 * self._part.model.hidden_size)
        for edge in found:
            self._edge(edge.source, edge.target, edge.link, size, edge.bytes_per_token, edge.bytes_per_s)

    def _edge(self, source: str, target: str, link: str, size: Fraction, per_token: int, per_s: float) -> None:
        with self._ledger.about(f"{source} to {target}"):
            self._ledger.same("bytes of a token", up(size), per_token)
            close(self._ledger, "bytes per second", size * self._tokens, per_s)
            stands = [self._stands[name] for name in (source, target) if name in self._stands]
            self._ledger.same("link", link_of(stands), link)

    def _exchanged(self) -> Fraction:
        """The most bytes of a token that a GPU of any stage sends in both exchanges of its layers with experts."""
        model, gpus, start, most = self._part.model, self._group.expert_gpus, 0, Fraction(0)
        if self._group.ranks == 1:
            return most
        places = exchange_places(self._ground.hardware, gpus)
        for layers in self._strategy.layers_per_stage:
            kinds = [model.kinds[kind] for kind in model.kind_of_layer[start : start + layers]]
            copies = sum(min(kind.experts_per_token, places) for kind in kinds if kind.experts)
            sent = 2 * copies * model.hidden_size * constant("exchange_bytes") * Fraction(gpus - 1, gpus)
            most, start = max(most, sent), start + layers
        return most
