"""What ``solve`` does for a chain: the search, the check of what it found, and the words."""

from __future__ import annotations

import time
from collections import deque
from collections.abc import Callable
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any

from optimizer.explain.chain.answer import chain_sentences
from optimizer.facts.chain import SINK, SOURCE, ChainProblem, exact
from optimizer.results.answer import Status, unverified, with_verification
from optimizer.results.chain import BoundProof, Chain, ChainAnswer, LayersHeld, LinkFlow
from optimizer.verify.chain.check import verify_chain

if TYPE_CHECKING:
    from optimizer.search.chain.flow import Flows
    from optimizer.search.chain.instance import Placement
    from optimizer.search.chain.solve import Search

DEFAULT_TIME_LIMIT_S = 60.0
THOUSAND = 1000

LiveProgress = Callable[[Any], None]


def solve_chain(
    problem: ChainProblem,
    *,
    time_limit_s: float | None = None,
    progress: LiveProgress | None = None,
    gap: float = 0.0,
) -> ChainAnswer:
    """The placement with the highest throughput found, its proved bound, and an independent check of both.

    Args:
        problem: from ``load_chain``.
        time_limit_s: wall-clock limit of the search, seconds; 60 when left out. The answer comes earlier when the value
            meets the bound.
        progress: called with ``Progress`` (elapsed seconds, tokens/s, bound) at each improvement.
        gap: the share of the value that the bound may be above it, where no better is asked for.

    Returns:
        ``optimal`` only when value = bound and the verifier agrees; ``feasible`` with value, bound and gap;
        ``infeasible`` when the bound is 0; ``unknown`` when nothing was found in time.
    """
    from optimizer.questions.chain_costs import priced
    from optimizer.search.chain.instance import scaled
    from optimizer.search.chain.solve import Search
    from optimizer.search.uniform.solve import Progress

    started = time.monotonic()

    def report(value: int, bound: int) -> None:
        if progress is not None:
            progress(Progress(time.monotonic() - started, value / THOUSAND, bound / THOUSAND, "tokens/s"))

    problem = priced(problem)
    limit = DEFAULT_TIME_LIMIT_S if time_limit_s is None else time_limit_s
    search = Search(scaled(problem), started + limit, report, gap)
    try:
        search.run()
    except KeyboardInterrupt:
        # Ctrl-C keeps the best placement and the proved bound.
        if not search.bounded:
            raise
        search.finished = False
    answer = _answer(problem, search)
    answer = with_verification(answer, verify_chain(problem, answer))
    answer = replace(answer, explanation=(*answer.explanation, *chain_sentences(problem, answer)))
    return replace(answer, seconds=time.monotonic() - started)


def carried_by(problem: ChainProblem, placement: Placement, routed: Flows) -> Carried:
    """What a placement in the search's integers is in the answer's terms."""
    names = [node.name for node in problem.cluster.nodes]
    ends = {-1: SOURCE, -2: SINK}
    flows = {(ends.get(a) or names[a], ends.get(b) or names[b]): flow for (a, b), flow in routed.items()}
    carried = {name: sum(flow for (_, dst), flow in flows.items() if dst == name) for name in names}
    held = tuple(
        LayersHeld(
            node=names[index],
            type=problem.cluster.nodes[index].type,
            partition=problem.cluster.nodes[index].partition,
            start=start,
            layers=count,
            tokens_per_s=carried[names[index]] / THOUSAND,
            capacity_tokens_per_s=float(problem.rate(problem.cluster.nodes[index].type, count)),
        )
        for index, (start, count) in sorted(placement.items(), key=lambda item: (item[1], item[0]))
    )
    used = {place.node for place in held}
    return Carried(
        placement=held,
        flows=tuple(_link(problem, src, dst, flow) for (src, dst), flow in sorted(flows.items())),
        chains=tuple(_decomposed(problem, flows, {place.node: place for place in held})),
        idle=tuple(name for name in names if name not in used),
    )


@dataclass(frozen=True, slots=True)
class Carried:
    """Who holds what, and what flows: fields of a ``ChainAnswer``."""

    placement: tuple[LayersHeld, ...]
    flows: tuple[LinkFlow, ...]
    chains: tuple[Chain, ...]
    idle: tuple[str, ...]


def _answer(problem: ChainProblem, search: Search) -> ChainAnswer:
    there = carried_by(problem, search.placement, search.flows)
    status: Status = "feasible"
    if search.bound == 0:
        status = "infeasible"
    elif search.value == 0:
        status = "unknown"
    elif search.value == search.bound:
        status = "optimal"
    certificate = search.certificate
    types = list(problem.cluster.types)
    return ChainAnswer(
        problem=problem.name,
        status=status,
        value=search.value / THOUSAND,
        bound=search.bound / THOUSAND,
        gap=(search.bound - search.value) / search.value if search.value else None,
        layers=problem.model.layers,
        placement=there.placement,
        flows=there.flows,
        chains=there.chains,
        idle=there.idle,
        proof=BoundProof(
            method="cross_section" if search.bound == certificate.bound else "search",
            cross_section_tokens_per_s=certificate.bound / THOUSAND,
            weight_per_node=dict(zip(types, certificate.per_node, strict=True)),
            weight_per_stage=certificate.stage,
            weight_per_us=certificate.micro,
            entry=certificate.entry,
            crossing=certificate.crossing,
        ),
        verification=unverified(),
        explanation=(),
        search_limits=tuple(_search_limits(problem, search)),
        published=problem.published.objective_tokens_per_s if problem.published else None,
    )


def _search_limits(problem: ChainProblem, search: Search) -> list[str]:
    said = [f"Costs: {problem.costs_source}."] if problem.costs_source else []
    said += ["Flows are whole thousandths of a token per second; throughputs and capacities are rounded down to that."]
    if not search.finished:
        said.append("The search was ended before every method was through.")
    return said


def _link(problem: ChainProblem, src: str, dst: str, flow: int) -> LinkFlow:
    capacity = problem.capacity(src, dst)
    return LinkFlow(src, dst, flow / THOUSAND, None if capacity is None else float(capacity))


def _decomposed(problem: ChainProblem, flows: dict[tuple[str, str], int], held: dict[str, LayersHeld]) -> list[Chain]:
    """The flow as chains, widest steps first; at most one chain per link."""
    left = dict(flows)
    chains = []
    while any(src == SOURCE for src, _ in left):
        way = deque([SOURCE])
        while way[-1] != SINK:
            way.append(max((flow, dst) for (src, dst), flow in left.items() if src == way[-1])[1])
        steps = list(zip(way, list(way)[1:], strict=False))
        amount = min(left[step] for step in steps)
        for step in steps:
            left[step] -= amount
            if not left[step]:
                del left[step]
        time_ms = sum((problem.latency_ms(a, b) for a, b in steps), exact(0))
        inner = tuple(list(way)[1:-1])
        for name in inner:
            time_ms += problem.stage_ms(held[name].type, held[name].layers) or 0
        chains.append(Chain(inner, amount / THOUSAND, round(float(time_ms), 6)))
    return chains
