"""Chain answers in words: what was found, why it cannot be better, and what the limits cost."""

from __future__ import annotations

from collections import Counter

from optimizer.facts.chain import ChainProblem
from optimizer.results.chain import ChainAnswer


def chain_sentences(problem: ChainProblem, answer: ChainAnswer) -> list[str]:
    """Sentences for people, most important first."""
    if answer.status == "infeasible":
        return [_infeasible(problem, answer)]
    if not answer.placement:
        return ["The time limit was reached before a placement was found; allow more time."]
    depth = max(len(chain.nodes) for chain in answer.chains)
    said = [
        f"{answer.value:,.1f} tokens/s over {len(answer.placement)} of {len(problem.cluster.nodes)} nodes; "
        f"the longest chain passes {depth} nodes."
    ]
    by_weights = answer.proof.method == "cross_section"
    why = "the exact model was searched through"
    if by_weights:
        slow = (
            " links too slow for one node to hand over all tokens ask for several side by side,"
            if answer.proof.crossing
            else ""
        )
        why = (
            f"the nodes that hold one layer carry all tokens together,{slow} and no set of cross-sections within the nodes "
            "there are carries more"
        )
    bound = f"Proved: none carries more than {answer.bound:,.1f} tokens/s ({answer.gap or 0:.1%} above), because {why}."
    if answer.verification.passed:
        # What the search proved is claimed only where the verifier confirms it.
        said.append(f"No placement carries more: {why}." if answer.status == "optimal" else bound)
    full = [place for place in answer.placement if place.tokens_per_s >= place.capacity_tokens_per_s * (1 - 1e-6)]
    kinds = Counter(f"{place.type} with {place.layers} layers" for place in full)
    if kinds:
        named = ", ".join(f"{count} x {kind}" for kind, count in kinds.most_common(4))
        said.append(f"Nodes at their limit: {named}.")
    tight = [
        flow
        for flow in answer.flows
        if flow.capacity_tokens_per_s and flow.tokens_per_s >= flow.capacity_tokens_per_s * 0.999
    ]
    if tight:
        said.append(f"Links at their limit: {len(tight)} of {len(answer.flows)} in use.")
    if answer.idle:
        said.append(f"Idle nodes: {', '.join(answer.idle)}.")
    if answer.published:
        lead = answer.value / answer.published - 1
        said.append(f"Published for this instance: {answer.published:,.1f} tokens/s; this is {lead:+.1%}.")
    return said


def _infeasible(problem: ChainProblem, answer: ChainAnswer) -> str:
    held = sum(problem.max_layers(node.type) for node in problem.cluster.nodes)
    if held < problem.model.layers:
        return (
            f"Because all nodes together hold {held} layers and the model has {problem.model.layers}, no chain exists."
        )
    limits = problem.requirements
    stated = [f"{name} = {value}" for name, value in limits.model_dump().items() if value is not None]
    cause = f" within {' and '.join(stated)}" if stated else ""
    why = "the cross-section bound is 0 tokens/s"
    if answer.proof.method == "search":
        why = "the exact model, every node and link by name, was searched through"
    elif answer.proof.entry:
        why = "the coordinator's links to the nodes, or those back, or the nodes themselves carry 0 tokens/s in all"
    return f"No chain through all {problem.model.layers} layers carries 0.001 tokens/s{cause}: {why}."
