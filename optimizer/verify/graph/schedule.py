"""Do the times of a graph follow from the cost model, and can the GPUs really keep them?"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Sequence

from optimizer.results.answer import Strategy
from optimizer.results.graph import GraphNode, InstanceGraph
from optimizer.verify.common.groups import row_of
from optimizer.verify.common.ledger import CheckLedger
from optimizer.verify.common.times import ReplicaTimes
from optimizer.verify.graph.expected import Step
from optimizer.verify.graph.modules import Modules
from optimizer.verify.graph.parts import Parts

MS = 2e-6
"""Two nanoseconds, as for every claim of a time."""


class Schedule:
    """Times of the instances of one strategy; what does not depend on the instance is computed once."""

    def __init__(
        self, ledger: CheckLedger, parts: Parts, strategy: Strategy, modules: Sequence[Modules], running: int
    ) -> None:
        self._ledger, self._parts, self._modules = ledger, parts, modules
        self._decode_ms = [float(one.decode_ms[stage]) for stage, one in enumerate(modules)]
        times = ReplicaTimes(parts.problem, row_of(strategy).shape, parts.costs())
        self._round = float(times.round(running))
        self._micro_batches = min(running, strategy.pipeline_parallel)
        self._batch = -(-running // strategy.pipeline_parallel)
        self._sends: dict[int, float] = {}

    def check(self, instance: InstanceGraph, steps: list[tuple[Step, GraphNode]]) -> None:
        """Lengths, order, the end of the step, and that no GPU does two things at once in the steady state."""
        ledger = self._ledger
        ledger.same("micro-batches", self._micro_batches, instance.micro_batches)
        ledger.same("sequences per micro-batch", self._batch, instance.sequences_per_micro_batch)
        through = sum(self._decode_ms)
        self._sends = {}
        for _, node in steps:
            if node.kind == "send":
                # Coupled replicas wait for the slowest of their sends.
                self._sends[node.stage] = max(self._send_ms(node), self._sends.get(node.stage, 0.0))
        through += sum(self._sends.values())
        expected = max(self._round, through)
        self._near("decode step", expected, instance.decode_step_ms)
        for step, node in steps:
            if step.kind != "token":
                self._length(step, node)
        self._stages(instance, steps)
        self._order(instance)
        self._apart(instance)
        for step, node in steps:
            if step.kind == "token":
                for number, end in enumerate(node.end_ms):
                    behind = number * expected / self._micro_batches
                    self._near(f"{node.id} end, micro-batch {number}", expected + behind, end)

    def _near(self, what: str, expected: float, actual: float) -> None:
        self._ledger.that(what, abs(expected - actual) <= MS + 1e-12 * abs(expected), expected, actual)

    def _length(self, step: Step, node: GraphNode) -> None:
        """Every pass takes what the cost model says; passes follow each other by equal shares of the step."""
        if not self._ledger.same(f"{node.id} passes", self._micro_batches, len(node.start_ms)):
            return
        expected = self._expected_ms(step, node)
        for start, end in zip(node.start_ms, node.end_ms, strict=True):
            self._near(f"{node.id} length", expected, end - start)

    def _expected_ms(self, step: Step, node: GraphNode) -> float:
        modules = self._modules[node.stage]
        if step.by == "shard":
            return modules.expected(node.kind, node.stage, node.layer).ms
        if step.kind == "send":
            return self._sends[node.stage]
        if not step.counted:
            return 0.0
        if step.kind == "all_to_all" and step.layer is not None:
            return float(modules.exchange_ms(step.layer))
        return float(modules.reduce_ms)

    def _send_ms(self, node: GraphNode) -> float:
        """Hidden state and residual over the link that was found for the pair."""
        return self._parts.send_ms(node.stage, node.link, self._batch)

    def _stages(self, instance: InstanceGraph, steps: list[tuple[Step, GraphNode]]) -> None:
        """A micro-batch occupies each stage for exactly the stage's decode step."""
        for replica in instance.replicas:
            for stage, expected in enumerate(self._decode_ms):
                own = [n for s, n in steps if n.stage == stage and n.replica in (replica, None)]
                own = [node for node in own if node.kind not in ("send", "token")]
                if own:
                    taken = max(node.end_ms[0] for node in own) - min(node.start_ms[0] for node in own)
                    self._near(f"replica {replica}, stage {stage}", expected, taken)

    def _order(self, instance: InstanceGraph) -> None:
        nodes = {node.id: node for node in instance.nodes}
        for edge in instance.edges:
            source, target = nodes.get(edge.source), nodes.get(edge.target)
            if source is not None and target is not None:
                pairs = zip(source.end_ms, target.start_ms, strict=False)
                late = all(end <= start + MS for end, start in pairs)
                self._ledger.that(
                    f"{edge.target} starts after {edge.source} ends", late, source.end_ms, target.start_ms
                )

    def _apart(self, instance: InstanceGraph) -> None:
        """Sends run beside the work of the next micro-batch; all else has its GPUs to itself, step after step."""
        period = instance.decode_step_ms
        busy: dict[str, list[tuple[float, float, str]]] = defaultdict(list)
        for node in instance.nodes:
            if node.kind not in ("send", "token"):
                for start, end in zip(node.start_ms, node.end_ms, strict=False):
                    if end > start:
                        for gpu in node.gpus:
                            busy[gpu].append((start % period, end - start, node.id))
        for gpu, runs in busy.items():
            runs.sort()
            first = (runs[0][0] + period, 0.0, runs[0][2])
            for (start, length, one), (following, _, other) in zip(runs, [*runs[1:], first], strict=True):
                apart = start + length <= following + MS
                self._ledger.that(f"{gpu}: {one} and {other} apart", apart, start + length, following)
