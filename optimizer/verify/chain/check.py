"""Independent check of a chain answer: every claim again from the facts, in exact fractions, link by link.

Shares nothing with the search. Its maximum flow is Edmonds and Karp's (1972) augmenting paths on whole numbers; the bound is
checked by ``verify.chain.bound`` from the published weights alone.
"""

from __future__ import annotations

from collections import defaultdict, deque
from dataclasses import dataclass, field
from fractions import Fraction
from itertools import pairwise
from math import floor

from optimizer.facts.chain import SINK, SOURCE, ChainProblem, exact
from optimizer.results.answer import Mismatch, Verification
from optimizer.results.chain import ChainAnswer, LayersHeld
from optimizer.verify.chain.bound import check_bound
from optimizer.verify.chain.crossing import BoundCheck
from optimizer.verify.chain.nodes import checked_table

RESOLUTION = "0.001 tokens/s, capacities rounded down"
THOUSAND = 1000
ROUNDED = Fraction(1, THOUSAND)
"""Tables are rounded to thousandths, toward pessimism."""
NOISE = Fraction(1, 10**9)
"""Of 64-bit sums beside exact ones."""


@dataclass
class _Ledger:
    """Counts checks and keeps what failed."""

    checks: int = 0
    failed: list[Mismatch] = field(default_factory=list)

    def expect(self, holds: bool, what: str, expected: object, actual: object) -> bool:
        self.checks += 1
        if not holds:
            self.failed.append(Mismatch(what, str(expected), str(actual)))
        return holds


def verify_chain(problem: ChainProblem, answer: ChainAnswer) -> Verification:
    """Every claim of a chain answer, recomputed; all mismatches are returned, not only the first."""
    ledger = _Ledger()
    _tables(problem, ledger)
    held = _intervals(problem, answer, ledger)
    if len(held) == len(answer.placement) and not ledger.failed:
        _links(problem, answer, held, ledger)
        _nodes(problem, answer, held, ledger)
        _chains(problem, answer, held, ledger)
        _maximum(problem, answer, held, ledger)
    optimality = _bound(problem, answer, ledger)
    return Verification(
        passed=not ledger.failed,
        checks=ledger.checks,
        optimality=optimality,
        candidates=0,
        resolution=RESOLUTION,
        mismatches=tuple(ledger.failed),
    )


def _tables(problem: ChainProblem, ledger: _Ledger) -> None:
    """Tables that follow from facts are those that the facts give: tokens/s never above them, times never below."""
    work = problem.workload
    if not ledger.expect(work is None or work.batch is not None, "workload.batch", "a number", None):
        return
    for name, alone in problem.alone.items():
        own = checked_table(alone, (work.batch if work else None) or 1, problem.held_batches)
        kind = problem.cluster.types[name]
        stated, times = kind.throughput_tokens_per_s_by_layers, kind.time_ms_by_layers or {}
        if not own and stated == {1: 0.0}:
            continue
        if not ledger.expect(len(stated) == len(own), f"layers that a {name} holds", len(own), len(stated)):
            continue
        for layers, node in own.items():
            below, above = exact(stated[layers]), exact(times[layers])
            rate, step = Fraction(node.tokens_per_s), Fraction(node.step_ms)
            off = rate - below
            what = f"tokens/s of a {name} with {layers} layers"
            ledger.expect(-rate * NOISE <= off <= ROUNDED + rate * NOISE, what, _shown(rate), _shown(below))
            what = f"ms of a token in a {name} with {layers} layers"
            ledger.expect(-step * NOISE <= above - step <= ROUNDED + step * NOISE, what, _shown(step), _shown(above))


def _intervals(problem: ChainProblem, answer: ChainAnswer, ledger: _Ledger) -> dict[str, LayersHeld]:
    """Each node exists, is used once, and holds an interval inside the model that fits on it."""
    known = {node.name: node for node in problem.cluster.nodes}
    held: dict[str, LayersHeld] = {}
    for place in answer.placement:
        name = place.node
        if not ledger.expect(name in known and name not in held, f"node {name}", "a node of the problem, once", name):
            continue
        ledger.expect(place.type == known[name].type, f"type of {name}", known[name].type, place.type)
        most = problem.max_layers(known[name].type)
        ledger.expect(1 <= place.layers <= most, f"layers on {name}", f"1 to {most}", place.layers)
        end = place.start + place.layers
        inside = place.start >= 0 and end <= problem.model.layers
        ledger.expect(inside, f"interval of {name}", f"within 0 to {problem.model.layers}", f"{place.start} to {end}")
        held[name] = place
    return held


def _may_send(problem: ChainProblem, a: LayersHeld, b: LayersHeld) -> bool:
    """The connection rule."""
    end = a.start + a.layers
    if problem.connection == "contained":
        return b.start <= end < b.start + b.layers
    return b.start == end


def _links(problem: ChainProblem, answer: ChainAnswer, held: dict[str, LayersHeld], ledger: _Ledger) -> None:
    """Each flow is positive, on a link there is, within its capacity, and between nodes that may be joined."""
    seen: set[tuple[str, str]] = set()
    for flow in answer.flows:
        name, amount = f"link {flow.src} to {flow.dst}", exact(flow.tokens_per_s)
        ledger.expect((flow.src, flow.dst) not in seen, name, "stated once", "twice")
        seen.add((flow.src, flow.dst))
        ledger.expect(amount > 0, f"flow on {name}", "above 0", amount)
        ends = flow.src in (SOURCE, *held) and flow.dst in (SINK, *held)
        if not ledger.expect(ends and (flow.src, flow.dst) != (SOURCE, SINK), name, "between placed nodes", "others"):
            continue
        capacity = problem.capacity(flow.src, flow.dst)
        ledger.expect(
            capacity is None or amount <= capacity, f"flow on {name}", f"at most {_shown(capacity)}", _shown(amount)
        )
        if flow.src == SOURCE:
            ledger.expect(held[flow.dst].start == 0, name, "starts at layer 0", held[flow.dst].start)
        elif flow.dst == SINK:
            end = held[flow.src].start + held[flow.src].layers
            ledger.expect(end == problem.model.layers, name, f"ends at {problem.model.layers}", end)
        else:
            a, b = held[flow.src], held[flow.dst]
            ledger.expect(_may_send(problem, a, b), name, f"joined under rule {problem.connection!r}", "not joined")


def _nodes(problem: ChainProblem, answer: ChainAnswer, held: dict[str, LayersHeld], ledger: _Ledger) -> None:
    """What enters a node leaves it and is within its throughput; what leaves the source is the value."""
    into: dict[str, Fraction] = defaultdict(Fraction)
    out: dict[str, Fraction] = defaultdict(Fraction)
    for flow in answer.flows:
        into[flow.dst] += exact(flow.tokens_per_s)
        out[flow.src] += exact(flow.tokens_per_s)
    for name, place in held.items():
        ledger.expect(into[name] == out[name], f"flow through {name}", _shown(into[name]), _shown(out[name]))
        most = problem.rate(place.type, place.layers)
        ledger.expect(into[name] <= most, f"throughput of {name}", f"at most {_shown(most)}", _shown(into[name]))
        ledger.expect(
            exact(place.tokens_per_s) == into[name], f"tokens/s of {name}", _shown(into[name]), place.tokens_per_s
        )
    value = exact(answer.value)
    ledger.expect(out[SOURCE] == value, "flow from the source", answer.value, _shown(out[SOURCE]))
    ledger.expect(into[SINK] == value, "flow to the sink", answer.value, _shown(into[SINK]))


def _chains(problem: ChainProblem, answer: ChainAnswer, held: dict[str, LayersHeld], ledger: _Ledger) -> None:
    """The chains add up to the flow of each link and of the whole, and every way tokens take keeps the limits."""
    total: dict[tuple[str, str], Fraction] = defaultdict(Fraction)
    for chain in answer.chains:
        way = (SOURCE, *chain.nodes, SINK)
        for pair in pairwise(way):
            total[pair] += exact(chain.tokens_per_s)
    stated = {(flow.src, flow.dst): exact(flow.tokens_per_s) for flow in answer.flows}
    ledger.expect(dict(total) == stated, "chains", "the flow of each link", "another flow")
    stages, times = _longest(problem, stated, held)
    limits = problem.requirements
    if limits.max_stages is not None:
        ledger.expect(stages <= limits.max_stages, "stages of a chain", f"at most {limits.max_stages}", stages)
    if limits.max_ms_per_token is not None:
        most = exact(limits.max_ms_per_token)
        ledger.expect(times <= most, "milliseconds of a chain", f"at most {_shown(most)}", _shown(times))


def _longest(
    problem: ChainProblem, flows: dict[tuple[str, str], Fraction], held: dict[str, LayersHeld]
) -> tuple[int, Fraction]:
    """Most stages and most milliseconds on any way over links that carry tokens."""
    stages: dict[str, int] = defaultdict(int)
    times: dict[str, Fraction] = defaultdict(Fraction)
    for name in sorted(held, key=lambda n: held[n].start + held[n].layers):
        place = held[name]
        own = problem.stage_ms(place.type, place.layers) or Fraction(0)
        for src, dst in flows:
            if dst == name:
                stages[name] = max(stages[name], stages[src] + 1)
                times[name] = max(times[name], times[src] + problem.latency_ms(src, name) + own)
    ends = [src for src, dst in flows if dst == SINK]
    return (
        max((stages[name] for name in ends), default=0),
        max((times[name] + problem.latency_ms(name, SINK) for name in ends), default=Fraction(0)),
    )


def _maximum(problem: ChainProblem, answer: ChainAnswer, held: dict[str, LayersHeld], ledger: _Ledger) -> None:
    """The value is the maximum flow of the placement (at most that, where chains are limited)."""
    most = maximum_flow(problem, held)
    value = exact(answer.value) * THOUSAND
    limited = problem.requirements.max_stages is not None or problem.requirements.max_ms_per_token is not None
    agrees = value <= most if limited else value == most
    ledger.expect(agrees, "maximum flow of the placement", _shown(Fraction(most, THOUSAND)), answer.value)


def maximum_flow(problem: ChainProblem, held: dict[str, LayersHeld]) -> int:
    """Maximum flow in thousandths of a token/s, by augmenting along shortest ways until there is none."""
    left: dict[tuple[str, str], dict[tuple[str, str], int]] = defaultdict(dict)

    def arc(a: tuple[str, str], b: tuple[str, str], capacity: Fraction | None) -> None:
        left[a][b] = unlimited if capacity is None else floor(capacity * THOUSAND)
        left[b].setdefault(a, 0)

    unlimited = 1 + sum(floor(problem.rate(place.type, place.layers) * THOUSAND) for place in held.values())
    source, sink = (SOURCE, ""), (SINK, "")
    for name, place in held.items():
        arc((name, "in"), (name, "out"), problem.rate(place.type, place.layers))
        if place.start == 0:
            arc(source, (name, "in"), problem.capacity(SOURCE, name))
        if place.start + place.layers == problem.model.layers:
            arc((name, "out"), sink, problem.capacity(name, SINK))
        for other, there in held.items():
            if other != name and _may_send(problem, place, there):
                arc((name, "out"), (other, "in"), problem.capacity(name, other))
    total = 0
    while True:
        before = {source: source}
        queue = deque([source])
        while queue and sink not in before:
            at = queue.popleft()
            for further, room in left[at].items():
                if room and further not in before:
                    before[further] = at
                    queue.append(further)
        if sink not in before:
            return total
        way = [sink]
        while way[-1] != source:
            way.append(before[way[-1]])
        steps = list(zip(way[1:], way, strict=False))
        amount = min(left[a][b] for a, b in steps)
        for a, b in steps:
            left[a][b] -= amount
            left[b][a] += amount
        total += amount


def _bound(problem: ChainProblem, answer: ChainAnswer, ledger: _Ledger) -> str:
    """The bound is at least the value, the gap is theirs, and the published weights prove it."""
    value, bound = exact(answer.value), exact(answer.bound)
    ledger.expect(value <= bound, "bound", f"at least {answer.value}", answer.bound)
    gap = None if value == 0 else (bound - value) / value
    same = (gap is None) == (answer.gap is None) and (
        gap is None or answer.gap is None or abs(gap - exact(answer.gap)) < Fraction(1, 10**9)
    )
    ledger.expect(same, "gap", gap if gap is None else float(gap), answer.gap)
    ledger.expect((answer.status == "infeasible") <= (bound == 0), "bound of an infeasible problem", 0, answer.bound)
    claimed = answer.status == "optimal"
    ledger.expect(claimed == (value == bound and value > 0), "status", "optimal when value = bound", answer.status)
    proved = check_bound(problem, answer.proof)
    refuted = proved is BoundCheck.REFUTED
    ledger.expect(not refuted, "weights of the bound", "no cross-section above it passes", "one passes")
    stated = exact(answer.proof.cross_section_tokens_per_s)
    ledger.expect(bound <= stated, "bound", f"at most the cross-section's {_shown(stated)}", answer.bound)
    if answer.proof.method == "cross_section":
        ledger.expect(bound == stated, "bound", _shown(stated), answer.bound)
    if not claimed:
        return "not claimed"
    if ledger.failed:
        return "refuted"
    by_weights = answer.proof.method == "cross_section" and proved is BoundCheck.CONFIRMED
    return "certificate" if by_weights else "bound"


def _shown(number: Fraction | None) -> str:
    return "no limit" if number is None else f"{float(number):,.3f}"
