"""Independent check of a chain that stands for an inventory's instances: its nodes are the inventory's, and it carries the demand.

What the chain carries is checked by ``verify.chain.check``; here only what the inventory adds.
"""

from __future__ import annotations

from collections import Counter
from dataclasses import replace
from fractions import Fraction

from optimizer.facts.chain import ChainProblem, exact
from optimizer.facts.inventory import InventoryProblem
from optimizer.results.answer import Mismatch, Verification
from optimizer.results.chain import ChainAnswer

_NOISE = Fraction(1, 10**9)
"""Of a 64-bit quotient beside the exact one."""


def verify_demand(
    inventory: InventoryProblem, chain: ChainProblem, answer: ChainAnswer, verified: Verification
) -> Verification:
    """What was verified of the chain, and that it is one of this inventory for its requests.

    Args:
        inventory: what was asked.
        chain: the chain's own problem, made from it.
        answer: whose ``demand`` is stated.
        verified: of the chain by itself.
    """
    found: list[tuple[str, object, object, bool]] = []
    groups = {group.name: group for group in inventory.groups}
    for name, count in Counter(node.type for node in chain.cluster.nodes).items():
        there = groups[name].nodes if name in groups else 0
        found.append((f"nodes of {name}", f"at most {there}", count, count <= there))
    for name, kind in chain.cluster.types.items():
        if name not in groups:
            continue
        gpu, free = groups[name].gpu.name, groups[name].free_gpus
        holds = kind.gpu == gpu and kind.gpus <= free
        found.append((f"GPUs of a node of {name}", f"at most {free} x {gpu}", f"{kind.gpus} x {kind.gpu}", holds))
    for src in chain.cluster.nodes:
        for dst in chain.cluster.nodes:
            if src is dst or src.type not in groups or dst.type not in groups:
                continue
            slower = min(exact(groups[one].internode_gbit_per_s) for one in (src.type, dst.type))
            most = slower * 125_000_000 / exact(4 * inventory.model.hidden_size)
            capacity = chain.capacity(src.name, dst.name)
            holds = capacity is not None and capacity <= most
            if not holds:
                found.append((f"link {src.name} to {dst.name}", f"at most {float(most):,.3f}", capacity, holds))
    layers = inventory.model.layers
    found.append(("layers", layers, answer.layers, answer.layers == layers))
    demand = answer.demand
    if demand is not None:
        work = inventory.workload
        tokens = work.prompt_tokens + work.output_tokens - 1
        found.append(
            ("tokens of a request", tokens, demand.tokens_per_request, tokens == demand.tokens_per_request),
        )
        asked = work.requests_per_s
        found.append(("requests/s asked for", asked, demand.requests_per_s, asked == demand.requests_per_s))
        carried, said = exact(answer.value) / tokens, exact(demand.carried_requests_per_s)
        same = abs(carried - said) <= _NOISE * max(carried, said)
        found.append(("requests/s carried", float(carried), demand.carried_requests_per_s, same))
        found.append(("requests/s carried", f"above {asked:g}", float(carried), carried > exact(asked)))
    wrong = tuple(Mismatch(what, str(expected), str(actual)) for what, expected, actual, holds in found if not holds)
    return replace(
        verified,
        passed=verified.passed and not wrong,
        checks=verified.checks + len(found),
        optimality="refuted" if wrong and verified.optimality != "not claimed" else verified.optimality,
        mismatches=(*verified.mismatches, *wrong),
    )
