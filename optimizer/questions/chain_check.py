"""``check`` and ``why-not`` for chains: what a stated placement carries, and what it costs when nodes hold stated layers."""

from __future__ import annotations

import time
from collections.abc import Callable
from dataclasses import replace
from typing import TYPE_CHECKING, Any

from optimizer.facts.chain import ChainProblem
from optimizer.facts.errors import ProblemError, closest
from optimizer.questions.chain import DEFAULT_TIME_LIMIT_S, THOUSAND, carried_by, solve_chain
from optimizer.questions.chain_costs import priced
from optimizer.results.answer import Verification, with_verification
from optimizer.results.chain import ChainAnswer, LayersHeld
from optimizer.results.why import ChainWhyNot, Verdict
from optimizer.verify.chain.check import verify_chain

if TYPE_CHECKING:
    from optimizer.facts.proposal import ChainProposal
    from optimizer.search.chain.instance import ChainInstance, Placement

Progress = Callable[[Any], None]
SEARCHED = 0.5
"""Part of a time limit for the optimum; the rest is for the stated layers."""


def check_chain(
    problem: ChainProblem,
    proposal: ChainProposal,
    *,
    time_limit_s: float | None = None,
    progress: Progress | None = None,
) -> ChainAnswer:
    """Judge a placement of layers: the most tokens/s it carries, and the best placement beside it.

    Args:
        problem: the chain.
        proposal: interval of each node that holds any.
        time_limit_s: of the search for the optimum; 60 when left out.
        progress: called while that runs.

    Returns:
        ``feasible`` False, with sentences, where an interval does not fit or no chain passes every layer; else True with the
        placement's value, and the optimum's bound. Status ``optimal`` where the value meets that bound.

    Raises:
        ProblemError: there is no such node.
    """
    from optimizer.search.chain.flow import route
    from optimizer.search.chain.instance import scaled

    problem = priced(problem)
    placement = _placement(problem, proposal)
    optimum = solve_chain(problem, time_limit_s=time_limit_s, progress=progress)
    wrong = _misfits(problem, placement)
    if wrong:
        return _refused(problem, placement, optimum, wrong)
    instance = scaled(problem)
    routed = route(instance, placement)
    used = {node for link in routed.flows for node in link if node >= 0}
    there = carried_by(problem, {node: held for node, held in placement.items() if node in used}, routed.flows)
    value = routed.value / THOUSAND
    best = value == optimum.bound and value > 0
    answer = replace(
        optimum,
        status="optimal" if best else "feasible",
        value=value,
        gap=(optimum.bound - value) / value if value else None,
        placement=there.placement,
        flows=there.flows,
        chains=there.chains,
        idle=there.idle,
        explanation=(),
    )
    answer = with_verification(answer, verify_chain(problem, answer))
    said = (*answer.explanation, *_sentences(problem, placement, answer, optimum, instance))
    status = answer.status if value else "infeasible"
    return replace(answer, status=status, feasible=bool(value), optimum=optimum, explanation=said)


def _placement(problem: ChainProblem, proposal: ChainProposal) -> Placement:
    """Intervals by index of the node.

    Raises:
        ProblemError: there is no such node.
    """
    names = [node.name for node in problem.cluster.nodes]
    found: Placement = {}
    for name, held in proposal.nodes.items():
        if name not in names:
            raise ProblemError(f"nodes.{name}", f"no node {name!r}; {closest(name, names)}")
        found[names.index(name)] = held.start, held.layers
    return found


def _misfits(problem: ChainProblem, placement: Placement) -> list[str]:
    """Sentences about intervals that a node or the model does not have room for."""
    said, layers = [], problem.model.layers
    for index, (start, count) in placement.items():
        node = problem.cluster.nodes[index]
        most = problem.max_layers(node.type)
        if count > most:
            said.append(f"{node.name} holds at most {most} layers as a {node.type}, not {count}.")
        if start + count > layers:
            said.append(f"{node.name} ends at layer {start + count - 1}; the model's last layer is {layers - 1}.")
    return said


def _too_few(problem: ChainProblem, fixed: Placement) -> str | None:
    """A sentence where the other nodes do not hold what the stated intervals leave open."""
    held = {layer for start, count in fixed.values() for layer in range(start, start + count)}
    left = problem.model.layers - len(held)
    others = [node for index, node in enumerate(problem.cluster.nodes) if index not in fixed]
    most = sum(problem.max_layers(node.type) for node in others)
    return None if most >= left else f"The other nodes hold at most {most} layers, of {left} that are left."


def _refused(problem: ChainProblem, placement: Placement, optimum: ChainAnswer, wrong: list[str]) -> ChainAnswer:
    """A placement that cannot be: the verifier has to find the same."""
    nodes = problem.cluster.nodes
    claimed = tuple(
        LayersHeld(nodes[index].name, nodes[index].type, nodes[index].partition, start, count, 0.0, 0.0)
        for index, (start, count) in placement.items()
    )
    claim = replace(optimum, status="feasible", value=0.0, gap=None, placement=claimed, flows=(), chains=())
    found = verify_chain(problem, claim)
    agrees = any(one.what.startswith(("layers on", "interval of")) for one in found.mismatches)
    how = "the verifier refuses the placement too"
    return replace(
        claim,
        status="infeasible",
        placement=(),
        idle=tuple(node.name for node in nodes),
        verification=Verification(agrees, found.checks, "not claimed", 0, how, () if agrees else found.mismatches),
        feasible=False,
        optimum=optimum,
        explanation=(*wrong, _best(optimum)),
    )


def _best(optimum: ChainAnswer) -> str:
    if not optimum.placement:
        return "No placement of this chain is known to carry anything: see optimizer solve."
    known = "The best there is" if optimum.status == "optimal" else "The best that was found"
    return f"{known} carries {optimum.value:,.3f} tokens/s."


def _sentences(
    problem: ChainProblem, placement: Placement, answer: ChainAnswer, optimum: ChainAnswer, instance: ChainInstance
) -> list[str]:
    if not answer.value:
        held = [0] * problem.model.layers
        for start, count in placement.values():
            for layer in range(start, start + count):
                held[layer] += 1
        bare = [layer for layer, count in enumerate(held) if not count]
        if bare:
            cause = f"No node holds layer {bare[0]}" + (f" (nor {len(bare) - 1} more)." if len(bare) > 1 else ".")
        elif instance.limited:
            cause = "No chain through every layer keeps the limits on stages and time, or no links join its nodes."
        else:
            cause = f"No links join intervals that follow each other (connection: {problem.connection}) through every layer."
        return [f"It carries no token. {cause}", _best(optimum)]
    said = [f"It carries {answer.value:,.3f} tokens/s."]
    used = {held.node for held in answer.placement}
    silent = [problem.cluster.nodes[index].name for index in placement if problem.cluster.nodes[index].name not in used]
    if silent:
        said.append(f"These hold layers and carry nothing: {', '.join(silent)}.")
    if instance.limited:
        said.append("Chains are limited in stages or time: the placement may carry more by another choice of links.")
    if answer.status == "optimal":
        said.append("No placement carries more.")
    elif answer.value >= optimum.value:
        said.append(f"Nothing better is known; none carries more than {optimum.bound:,.3f} tokens/s.")
    else:
        lead = optimum.value - answer.value
        said.append(f"{_best(optimum)[:-1]}, {lead:,.3f} ({lead / answer.value:.1%}) more.")
    return said


def why_not_chain(
    problem: ChainProblem,
    proposal: ChainProposal,
    *,
    time_limit_s: float | None = None,
    progress: Progress | None = None,
) -> ChainWhyNot:
    """Why nodes do not hold the stated layers: not possible, worse by so many tokens/s, a tie, or they do.

    The other nodes are placed as well as possible around them. On small chains the exact model proves what is lost; on larger ones
    the best that was found is a lower bound, and where it stays below the optimum the verdict is ``undecided``.

    Args:
        problem: the chain.
        proposal: interval of each node that is asked about.
        time_limit_s: of the two searches together; 60 when left out.
        progress: called while they run.

    Raises:
        ProblemError: there is no such node.
    """
    from optimizer.search.chain.around import around
    from optimizer.search.chain.exact import fits, solve_exact
    from optimizer.search.chain.flow import route
    from optimizer.search.chain.improve import improve
    from optimizer.search.chain.instance import scaled

    problem = priced(problem)
    fixed = _placement(problem, proposal)
    words = ", ".join(f"{name} with layers {h.start} to {h.start + h.layers - 1}" for name, h in proposal.nodes.items())
    limit = DEFAULT_TIME_LIMIT_S if time_limit_s is None else time_limit_s
    started = time.monotonic()
    optimum = solve_chain(problem, time_limit_s=SEARCHED * limit, progress=progress)
    wrong = _misfits(problem, fixed)

    def told(verdict: Verdict, foil: float | None, bound: float | None, *said: str) -> ChainWhyNot:
        value = optimum.value if optimum.placement else None
        lost = None if foil is None or value is None else value - foil
        return ChainWhyNot(problem.name, verdict, words, foil, bound, value, lost, said, optimum.verification)

    if wrong:
        return told("not allowed", None, 0.0, *wrong)
    if not optimum.placement:
        verdict: Verdict = "not allowed" if optimum.status == "infeasible" else "undecided"
        return told(verdict, None, optimum.bound, *optimum.explanation)
    holds = {held.node: (held.start, held.layers) for held in optimum.placement}
    if all(holds.get(problem.cluster.nodes[index].name) == held for index, held in fixed.items()):
        return told("best", optimum.value, optimum.bound, f"The best placement has {words}: nothing speaks against it.")
    instance = scaled(problem)
    short = _too_few(problem, fixed)
    if short is not None:
        return told("not allowed", None, 0.0, short)
    names = [node.name for node in problem.cluster.nodes]
    known = {**{names.index(name): held for name, held in holds.items()}, **fixed}
    deadline = started + limit
    enough = round(optimum.value * THOUSAND)
    start = max(known, around(instance, known, fixed), key=lambda one: route(instance, one).value)
    if route(instance, start).value < enough:
        start = improve(instance, start, lambda: time.monotonic() >= deadline, lambda value: None, fixed)
    placement = start
    value, bound, proved = route(instance, placement).value, round(optimum.bound * THOUSAND), False
    if value < enough and fits(instance) and (left := deadline - time.monotonic()) > 0:
        exact = solve_exact(instance, placement, 0, bound, left, fixed)
        value, bound = max(value, exact.value if exact.placement is not None else 0), exact.bound
        proved = value == bound
    foil, most = value / THOUSAND, bound / THOUSAND
    lost = optimum.value - foil
    if lost <= 0:
        return told(
            "tie",
            foil,
            most,
            f"With {words} the others can be placed so that {foil:,.3f} tokens/s are carried: no less.",
        )
    beside = f"With {words} and the others placed as well as possible around, "
    if proved or most < optimum.value:
        carries = f"{foil:,.3f} tokens/s are carried" if proved else f"at most {most:,.3f} tokens/s are carried"
        return told("worse", foil, most, f"{beside}{carries}, where the best carries {optimum.value:,.3f}.")
    found = f"{beside}{foil:,.3f} tokens/s were found, {lost:,.3f} less than the best; that no more is possible is not proved."
    return told("undecided", foil, most, found)
