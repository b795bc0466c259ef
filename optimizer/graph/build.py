"""The execution graph of a plan: every module on its GPU, every collective and send, and when each runs.

One walk makes it: the modules of a stage run one after another, and each new node waits for whatever its GPUs did last.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import Any

from optimizer.catalog.constants import constants
from optimizer.costs.links import exchange_places
from optimizer.costs.modules import ModuleCost, StageCost
from optimizer.costs.parameters import VOCABULARY_PADDING
from optimizer.graph.declared import declared_links
from optimizer.graph.links import group_link, pair_link
from optimizer.graph.notes import placement_notes
from optimizer.graph.plan import DrawnPlan, InstancePlan
from optimizer.graph.schedule import Timing, Timings, send_bytes
from optimizer.results.answer import Strategy
from optimizer.results.graph import Edge, Gpu, Graph, GraphNode, InstanceGraph, NodeKind


def build_graph(plan: DrawnPlan, strategy: Strategy | None, label: str | None = None) -> Graph:
    """The graph of a plan.

    Args:
        plan: where everything stands; at least one instance.
        strategy: what all instances of the plan carry out together; None where their shapes differ.
        label: how to call the plan; left out, as the strategy is called.

    Returns:
        A graph whose instances are made when they are asked for, one at a time.
    """
    timings = Timings(plan)
    links = declared_links(plan)
    work = plan.instances[0].problem.workload

    def instances() -> Iterator[InstanceGraph]:
        for instance in plan.instances:
            yield _Walk(plan, instance, timings.of(instance)).result()

    return Graph(
        problem=plan.name,
        label=label or (strategy.label if strategy is not None else plan.name),
        strategy=strategy,
        context_tokens=work.prompt_tokens + -(-work.output_tokens // 2),
        links=links,
        notes=placement_notes(plan, timings),
        instance_count=len(plan.instances),
        instances=instances,
    )


class _Walk:
    """Stage by stage, in the order of time; ``_last`` is what each GPU did last."""

    def __init__(self, plan: DrawnPlan, instance: InstancePlan, timing: Timing) -> None:
        self._plan, self._instance, self._timing = plan, instance, timing
        self._model, self._shape = instance.problem.model, instance.shape
        self._nodes: list[GraphNode] = []
        self._edges: list[Edge] = []
        self._last: dict[str, str] = {}
        self._now = 0.0
        self._vector = timing.batch * self._model.hidden_size * 2
        for stage in range(self._shape.pp):
            self._stage(stage)
        self._tokens()

    def result(self) -> InstanceGraph:
        return InstanceGraph(
            name=self._instance.name,
            strategy=self._instance.strategy,
            sequences_in_progress=self._instance.sequences_in_progress,
            replicas=self._instance.replicas,
            gpus=self._gpus(),
            nodes=tuple(self._nodes),
            edges=tuple(self._edges),
            decode_step_ms=self._timing.step_ms,
            micro_batches=self._timing.micro_batches,
            sequences_per_micro_batch=self._timing.batch,
        )

    def _gpus(self) -> tuple[Gpu, ...]:
        found = []
        for number, stage in enumerate(self._instance.stages):
            facts, rest = stage.hardware.gpu, self._timing.stages[number].rest_bytes
            for replica, group in zip(self._instance.replicas, stage.gpus, strict=True):
                for shard, gpu in enumerate(group):
                    place = self._plan.places[gpu]
                    memory = facts.memory_bytes
                    found.append(Gpu(gpu, place.node, place.domain, facts.name, memory, replica, number, shard, rest))
        return tuple(found)

    def _stage(self, stage: int) -> None:
        cost = self._timing.stages[stage]
        for module in cost.modules:
            coupled = module.kind == "experts" and self._shape.engine_ranks > 1
            name = f"{module.kind}" if module.layer is None else f"l{module.layer}/{module.kind}"
            if coupled:
                self._exchange(stage, module, cost, "dispatch")
            self._module(stage, module, name)
            if coupled:
                self._exchange(stage, module, cost, "combine")
            if self._shape.tp > 1:
                self._reduce(stage, module, cost, name)
        if stage + 1 < self._shape.pp:
            self._send(stage)

    def _module(self, stage: int, module: ModuleCost, name: str) -> None:
        length = sum(module.terms_ms.values())
        start, end = self._timing.passes(self._now, length)
        for rank, replica in enumerate(self._instance.replicas):
            for shard, gpu in enumerate(self._instance.stages[stage].gpus[rank]):
                self._add(
                    GraphNode(
                        id=f"r{replica}/s{stage}/{name}/t{shard}",
                        kind=module.kind,
                        instance=self._instance.name,
                        replica=replica,
                        stage=stage,
                        layer=module.layer,
                        shard=shard,
                        gpus=(gpu,),
                        start_ms=start,
                        end_ms=end,
                        weights_bytes=module.weights_bytes,
                        kv_cache_bytes=module.kv_cache_bytes,
                        logits_bytes=module.logits_bytes,
                        experts=self._experts(module, rank * self._shape.tp + shard),
                        terms_ms=module.terms_ms,
                    )
                )
        self._now += length

    def _experts(self, module: ModuleCost, position: int) -> tuple[int, int, int] | None:
        """Routed experts of the GPU at a position of the group that holds them together."""
        if module.kind != "experts" or module.layer is None:
            return None
        count = self._model.kinds[self._model.kind_of_layer[module.layer]].experts
        group = max(self._shape.tp, self._shape.ep) * self._shape.slice_ranks
        slices = group // self._shape.ep
        part = position // slices
        first = part * count // self._shape.ep
        return first, (part + 1) * count // self._shape.ep - first, slices

    def _reduce(self, stage: int, module: ModuleCost, cost: StageCost, name: str) -> None:
        """The all-reduce after a module. The cost model has none after the embedding, and no gathering of logits."""
        counted = module.layer is not None
        ranks, kind, size = self._shape.tp, "all_reduce", self._vector
        sent = -(-2 * (ranks - 1) * size // ranks)
        if module.kind == "head":
            padded = -(-self._model.vocabulary // VOCABULARY_PADDING) * VOCABULARY_PADDING
            kind, size = "gather", -(-self._timing.batch * padded * 2 // ranks)
            sent = size
        for rank, replica in enumerate(self._instance.replicas):
            gpus = self._instance.stages[stage].gpus[rank]
            self._group(
                id=f"r{replica}/s{stage}/{name}/{kind}",
                kind=kind,
                replica=replica,
                stage=stage,
                layer=module.layer,
                gpus=gpus,
                length=cost.all_reduce_ms if counted else 0.0,
                message_bytes=size,
                sent_bytes_per_gpu=sent,
            )
        self._now += cost.all_reduce_ms if counted else 0.0

    def _exchange(self, stage: int, module: ModuleCost, cost: StageCost, name: str) -> None:
        assert module.layer is not None
        gpus = tuple(gpu for group in self._instance.stages[stage].gpus for gpu in group)
        per_token = self._model.kinds[self._model.kind_of_layer[module.layer]].experts_per_token
        problem = self._instance.problem
        places, slicing = exchange_places(problem.hardware, len(gpus)), self._shape.slice_ranks
        if slicing > 1:  # every token goes to every slice, in 16 bit
            size = self._vector * min(slicing, places)
        else:
            size = int(self._vector // 2 * min(per_token, places) * constants().exchange_bytes)
        self._group(
            id=f"{self._instance.name}/s{stage}/l{module.layer}/{name}",
            kind="all_to_all",
            replica=None,
            stage=stage,
            layer=module.layer,
            gpus=gpus,
            length=cost.all_to_all_ms,
            message_bytes=size,
            sent_bytes_per_gpu=-(-size * (len(gpus) - 1) // len(gpus)),
        )
        self._now += cost.all_to_all_ms

    def _send(self, stage: int) -> None:
        length = self._timing.sends[stage]
        size = send_bytes(self._instance.problem, self._timing.batch)
        for rank, replica in enumerate(self._instance.replicas):
            here, there = (self._instance.stages[s].gpus[rank] for s in (stage, stage + 1))
            self._group(
                id=f"r{replica}/s{stage}/send",
                kind="send",
                replica=replica,
                stage=stage,
                layer=None,
                gpus=(*here, *there),
                length=length,
                message_bytes=size,
                sent_bytes_per_gpu=-(-size // self._shape.tp),
                link=pair_link(here, there, self._plan.places),
            )
        self._now += length

    def _tokens(self) -> None:
        """The pass ends; the next token of the same sequences starts one step after this one did."""
        stage = self._shape.pp - 1
        for rank, replica in enumerate(self._instance.replicas):
            self._group(
                id=f"r{replica}/token",
                kind="token",
                replica=replica,
                stage=stage,
                layer=None,
                gpus=self._instance.stages[stage].gpus[rank],
                length=max(0.0, self._timing.step_ms - self._now),
                link=None,
            )

    def _group(self, *, gpus: Sequence[str], length: float, kind: str, **fields: Any) -> None:
        start, end = self._timing.passes(self._now, length)
        link = fields.pop("link") if "link" in fields else group_link(gpus, self._plan.places)
        known: NodeKind = kind  # type: ignore[assignment]
        self._add(
            GraphNode(
                kind=known,
                instance=self._instance.name,
                shard=None,
                gpus=tuple(gpus),
                start_ms=start,
                end_ms=end,
                link=link,
                **fields,
            )
        )

    def _add(self, node: GraphNode) -> None:
        before: dict[str, str] = {}
        for gpu in node.gpus:
            source = self._last.get(gpu)
            if source is not None:
                before.setdefault(source, gpu)
            self._last[gpu] = node.id
        self._edges += [Edge(source, node.id, gpu) for source, gpu in before.items()]
        self._nodes.append(node)
