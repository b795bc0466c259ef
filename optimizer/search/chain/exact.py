"""The whole chain problem as one CP-SAT model with named nodes: exact for any links, rule and limits, for small cases.

Variables: which interval each node holds, the flow through it there, and the flow of each link at each boundary. With
the interval's own flow variable, every flow is tied to a choice without big-M products of two choices.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from optimizer.search.chain.flow import SINK, SOURCE, Flows
from optimizer.search.chain.instance import ChainInstance, Placement
from optimizer.search.common.solver import cp_model, new_solver, solve_stoppable

LARGEST = 12_000
"""Most link flows (nodes * nodes * boundaries) for which the model is built."""


@dataclass(frozen=True, slots=True)
class Exact:
    """What the exact model found: a placement with its flow (None when nothing better than known), and its bound."""

    placement: Placement | None
    value: int
    flows: Flows
    bound: int


def fits(instance: ChainInstance) -> bool:
    """Whether the exact model is small enough to be worth building."""
    return len(instance.node_type) ** 2 * max(1, instance.layers - 1) <= LARGEST


def solve_exact(
    instance: ChainInstance, known: Placement, low: int, high: int, seconds: float, fixed: Placement | None = None
) -> Exact:
    """Search between a known value and a proved bound, starting from the known placement.

    Args:
        fixed: intervals that some nodes have to hold, whether or not they carry anything there.
    """
    model = _Model(instance, low, high)
    for node, (start, count) in (fixed or {}).items():
        model.cp.add(model.holds[node, start, count] == 1)
    for (node, start, count), chosen in model.holds.items():
        model.cp.add_hint(chosen, known.get(node) == (start, count))
    solver = new_solver(seed=1)
    solver.parameters.max_time_in_seconds = max(0.1, seconds)
    status, interrupted = solve_stoppable(solver, model.cp)
    if interrupted:
        raise KeyboardInterrupt
    if status == cp_model.MODEL_INVALID:
        raise RuntimeError(f"the chain model is invalid: {model.cp.validate()}")
    if status not in (cp_model.OPTIMAL, cp_model.FEASIBLE):
        return Exact(None, low, {}, high)
    value = int(solver.value(model.total))
    bound = value if status == cp_model.OPTIMAL else min(high, int(solver.best_objective_bound + 0.5))
    placement = {
        node: (start, count)
        for (node, start, count), chosen in model.holds.items()
        if solver.boolean_value(chosen) and solver.value(model.through[node, start, count])
    }
    flows: Flows = {}
    for (a, b, _), flow in model.flow.items():
        amount = int(solver.value(flow))
        if amount:
            flows[a, b] = flows.get((a, b), 0) + amount
    return Exact(placement, value, flows, max(value, bound))


class _Model:
    """The CP model; indices are (node, first layer, layers) and (from, to, boundary)."""

    def __init__(self, instance: ChainInstance, low: int, high: int) -> None:
        self.instance = instance
        self.cp = cp_model.CpModel()
        self.total = self.cp.new_int_var(low, high, "total")
        self.holds: dict[tuple[int, int, int], Any] = {}
        self.through: dict[tuple[int, int, int], Any] = {}
        self.flow: dict[tuple[int, int, int], Any] = {}
        self.nodes = range(len(instance.node_type))
        for node in self.nodes:
            self._intervals(node, high)
        self._links(high)
        for node in self.nodes:
            self._conserve(node)
        self._sections()
        self.cp.add(self.total == sum(flow for (a, _, _), flow in self.flow.items() if a == SOURCE))
        if instance.limited:
            self._limits()
        self.cp.maximize(self.total)

    def _intervals(self, node: int, high: int) -> None:
        layers = self.instance.layers
        for number, rate in enumerate(self.instance.rate[self.instance.node_type[node]]):
            for start in range(layers - number):
                key = (node, start, number + 1)
                self.holds[key] = self.cp.new_bool_var(f"holds{key}")
                self.through[key] = self.cp.new_int_var(0, min(rate, high), f"through{key}")
                self.cp.add(self.through[key] <= min(rate, high) * self.holds[key])
        self.cp.add_at_most_one(self.holds[key] for key in self.holds if key[0] == node)

    def _links(self, high: int) -> None:
        instance = self.instance
        for a in self.nodes:
            self._link(SOURCE, a, 0, min(high, instance.source[a]))
            self._link(a, SINK, instance.layers, min(high, instance.sink[a]))
            for b in self.nodes:
                for boundary in range(1, instance.layers):
                    self._link(a, b, boundary, min(high, instance.link[a][b]))

    def _link(self, a: int, b: int, boundary: int, capacity: int) -> None:
        if capacity > 0:
            self.flow[a, b, boundary] = self.cp.new_int_var(0, capacity, f"flow{a}_{b}_{boundary}")

    def _conserve(self, node: int) -> None:
        layers = self.instance.layers
        mine = [key for key in self.holds if key[0] == node]
        entering = [flow for (_, b, _), flow in self.flow.items() if b == node]
        self.cp.add(sum(entering) == sum(self.through[key] for key in mine))
        for boundary in range(layers + 1):
            leaving = [flow for (a, _, at), flow in self.flow.items() if a == node and at == boundary]
            self.cp.add(sum(leaving) == sum(self.through[key] for key in mine if key[1] + key[2] == boundary))
            if boundary == layers:
                continue
            arriving = sum(flow for (_, b, at), flow in self.flow.items() if b == node and at == boundary)
            begun = sum(self.through[key] for key in mine if key[1] == boundary)
            if not self.instance.contained:
                self.cp.add(arriving == begun)
            elif boundary == 0:
                self.cp.add(arriving <= begun)
            else:
                inside = sum(self.through[key] for key in mine if key[1] <= boundary < key[1] + key[2])
                self.cp.add(arriving <= inside)

    def _sections(self) -> None:
        """Redundant: the nodes that hold a layer carry the total through it together."""
        for layer in range(self.instance.layers):
            section = sum(flow for (_, start, count), flow in self.through.items() if start <= layer < start + count)
            self.cp.add(section >= self.total if self.instance.contained else section == self.total)

    def _limits(self) -> None:
        """Stages and time along every chain that carries tokens."""
        instance = self.instance
        used: dict[tuple[int, int], Any] = {}
        for (a, b, _), flow in self.flow.items():
            if (a, b) not in used:
                used[a, b] = self.cp.new_bool_var(f"used{a}_{b}")
            self.cp.add(flow == 0).only_enforce_if(used[a, b].negated())
        most = instance.max_stages or len(instance.node_type)
        horizon = instance.max_us if instance.max_us is not None else 0
        stage = [self.cp.new_int_var(1, most, f"stage{node}") for node in self.nodes]
        done = [self.cp.new_int_var(0, horizon, f"done{node}") for node in self.nodes]
        own = [
            sum(
                instance.stage_us[instance.node_type[node]][key[2] - 1] * self.holds[key]
                for key in self.holds
                if key[0] == node
            )
            for node in self.nodes
        ]
        for (a, b), taken in used.items():
            if a != SOURCE and b != SINK:
                self.cp.add(stage[b] >= stage[a] + 1).only_enforce_if(taken)
            if instance.max_us is None:
                continue
            if a == SOURCE:
                self.cp.add(done[b] >= own[b] + instance.source_us[b]).only_enforce_if(taken)
            elif b == SINK:
                self.cp.add(done[a] + instance.sink_us[a] <= horizon).only_enforce_if(taken)
            else:
                self.cp.add(done[b] >= done[a] + instance.link_us[a][b] + own[b]).only_enforce_if(taken)
