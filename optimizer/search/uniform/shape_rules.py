"""Rules about shapes: what TP, PP, DP, EP and the layer split may be, whatever the load. ``docs/model.md``, section 7.

Other home: ``verify/common/rules.py``; docs/model.md, section 7.
"""

from __future__ import annotations

import numpy as np

from optimizer.costs.shapes import Bools, Ints
from optimizer.facts.hardware import HardwareFacts
from optimizer.facts.problem import Problem
from optimizer.search.uniform.quantities import Quantities
from optimizer.search.uniform.rule import DIVIDES, Rule, Told, at_most, told, yes_no
from optimizer.search.uniform.space import sharded_inside, shared_across, within_split_rule


def gpu_count_rule(problem: Problem) -> Rule:
    there = problem.hardware.gpus
    return at_most(
        "gpu_count",
        f"TP × PP × DP uses at most the {there:,} GPUs {gpus_words(problem.hardware)}.",
        there,
        "GPUs",
        lambda quantities: quantities.space.gpus,
    )


def gpus_words(hardware: HardwareFacts) -> str:
    """Which GPUs are counted: all, or those that the power limit of their node lets work."""
    if not hardware.idle_gpus_per_node:
        return "there are"
    return (
        f"that {hardware.node_power_limit_watts:,.10g} W a node let work, "
        f"{hardware.gpus_per_node} of the {hardware.built_in_per_node} in each"
    )


def _tp(quantities: Quantities) -> Ints:
    return quantities.space.column("tp")


def attention_heads_rule(problem: Problem) -> Rule:
    counts = problem.model.head_counts
    stated = " and ".join(map(str, counts))
    return yes_no(
        "attention_heads",
        told("TP ", DIVIDES, f" the {stated} attention heads."),
        lambda quantities: np.all([heads % _tp(quantities) == 0 for heads in counts], axis=0),
        f"a divisor of {stated}",
        lambda quantities, row: f"TP {_tp(quantities)[row]}",
    )


def kv_heads_rule(problem: Problem) -> Rule:
    model = problem.model
    counts = model.kv_head_counts
    heads = " and ".join(map(str, counts))
    sentence: str | Told = told(
        "TP ",
        DIVIDES,
        f" the {heads} KV heads",
        (", or is", " or be"),
        " a multiple of them so that each is replicated evenly.",
    )
    if model.mla:
        sentence = "The compressed MLA cache is whole on every TP rank, so KV heads set no limit on TP."

    def allowed(quantities: Quantities) -> Bools:
        tp = _tp(quantities)
        fits: Bools = np.full(len(tp), True)
        for count in () if model.mla else counts:
            fits &= (count % tp == 0) | (tp % count == 0)
        return fits

    limit = "any TP" if model.mla else f"a divisor or a multiple of {heads}"
    return yes_no("kv_heads", sentence, allowed, limit, lambda quantities, row: f"TP {_tp(quantities)[row]}")


def ffn_width_rule(problem: Problem) -> Rule:
    model = problem.model
    widths = model.ffn_widths

    def allowed(quantities: Quantities) -> Bools:
        tp, ep = _tp(quantities), quantities.space.column("ep")
        fits: Bools = np.full(len(tp), True)
        for width in widths:
            fits &= width % tp == 0
        if model.experts:
            whole = (ep >= tp) | (tp % ep == 0)
            slices = np.maximum(1, tp // ep) * quantities.space.column("slice_ranks")
            fits &= whole & (model.expert_ffn_width % slices == 0)
        return fits

    stated = [str(w) for w in widths] + ([f"{model.expert_ffn_width} (experts)"] if model.experts else [])
    return yes_no(
        "ffn_width",
        told("TP ", DIVIDES, f" the feed-forward width {' and '.join(stated)}."),
        allowed,
        f"a divisor of {', '.join(stated)}",
        lambda quantities, row: f"TP {_tp(quantities)[row]}",
    )


def vocabulary_rule(problem: Problem) -> Rule:
    padded = -(-problem.model.vocabulary // 64) * 64
    return yes_no(
        "vocabulary",
        told("TP ", DIVIDES, f" the vocabulary, padded to {padded:,}."),
        lambda quantities: padded % _tp(quantities) == 0,
        f"a divisor of {padded}",
        lambda quantities, row: f"TP {_tp(quantities)[row]}",
    )


def experts_rule(problem: Problem) -> Rule:
    experts = problem.model.experts
    sentence = told("EP ", DIVIDES, f" the {experts} routed experts.")
    if not experts:
        sentence = told("A dense model has no experts", (": EP is", ", so that EP has to be"), " 1.")
    return yes_no(
        "experts",
        sentence,
        lambda quantities: (
            experts % quantities.space.column("ep") == 0 if experts else quantities.space.column("ep") == 1
        ),
        f"a divisor of {experts}" if experts else "EP 1",
        lambda quantities, row: f"EP {quantities.space.column('ep')[row]}",
    )


def expert_groups_rule(problem: Problem) -> Rule:
    inside = sharded_inside(problem)
    single = not shared_across(problem, 2)
    words = "1, a divisor of TP, or " if inside else "1, or "
    words += "with TP 1 a divisor of DP" if single else "TP × a divisor of DP"
    slices = problem.model.experts > 0 and not single

    def allowed(quantities: Quantities) -> Bools:
        tp, ep, dp = _tp(quantities), quantities.space.column("ep"), quantities.space.row_dp
        slicing = quantities.space.column("slice_ranks")
        ranks = np.maximum(1, ep // tp)
        within = (tp % np.minimum(ep, tp) == 0) & (inside | (ep == 1) | (ep == tp))
        spread = np.where(ep <= tp, within, (ep % tp == 0) & (dp % ranks == 0) & ((tp == 1) | (not single)))
        result: Bools = spread & ((slicing == 1) | (slices & (ep == 1) & (dp % slicing == 0)))
        return result

    return yes_no(
        "expert_groups",
        told(
            "Experts ",
            ("spread", "are spread"),
            f" over GPUs that already exist, as {problem.engine} groups them: EP ",
            ("is", "has to be"),
            f" {words}.",
        ),
        allowed,
        words,
        lambda quantities, row: (
            f"EP {quantities.space.column('ep')[row]} with TP {_tp(quantities)[row]}, DP {quantities.space.row_dp[row]}"
            + _slicing_words(int(quantities.space.column("slice_ranks")[row]))
        ),
    )


def _slicing_words(ranks: int) -> str:
    """That so many replicas slice every expert among them, where they do."""
    return f", sliced over {ranks} replicas" if ranks > 1 else ""


def layer_split_rule(problem: Problem) -> Rule:
    layers, imbalance = problem.model.layers, problem.search.layer_imbalance

    def allowed(quantities: Quantities) -> Bools:
        of_shape = np.array(
            [within_split_rule(problem, s.layers_per_stage) for s in quantities.space.shapes], dtype=np.bool_
        )
        result: Bools = of_shape[quantities.space.row_shape]
        return result

    if imbalance:
        sentence = told(
            "Every stage ",
            ("holds", "has to hold"),
            f" at least one of the {layers} layers and ",
            ("is", "be"),
            f" within {imbalance} of an even split.",
        )
    else:
        sentence = told("PP ", DIVIDES, f" the {layers} layers evenly (search.layer_imbalance is 0).")
    return yes_no(
        "layer_split",
        sentence,
        allowed,
        f"even ± {imbalance}" if imbalance else "even",
        lambda quantities, row: (
            "layers "
            + "+".join(str(v) for v in quantities.space.shapes[quantities.space.row_shape[row]].layers_per_stage)
        ),
    )


def places_of_groups(problem: Problem) -> tuple[int, int]:
    """(GPUs of the places that TP groups stay inside, places there are): NVLink domains that span nodes, else nodes."""
    hardware = problem.hardware
    domain = hardware.nvlink_domain_gpus if hardware.nvlink_gb_per_s > 0 else 1
    if domain > hardware.gpus_per_node:
        return domain, max(1, hardware.gpus // domain)
    return hardware.gpus_per_node, hardware.nodes


def room_for_groups(problem: Problem, tp: Ints) -> Ints:
    """TP groups of a width for which there is room, each inside one place, and inside one NVLink domain where one is wide enough.

    Wider groups cross the domains of their node, over PCIe: ``costs.links`` prices them by it.
    """
    hardware = problem.hardware
    size, places = places_of_groups(problem)
    domain = hardware.nvlink_domain_gpus if hardware.nvlink_gb_per_s > 0 else size
    whole, rest = divmod(size, min(domain, size))
    each = np.where(tp <= domain, whole * (min(domain, size) // tp) + rest // tp, size // tp)
    room: Ints = places * each
    return room


def tensor_groups_fit(problem: Problem, tp: Ints, groups: Ints) -> Bools:
    """Whether there is room for so many TP groups of a width."""
    result: Bools = groups <= room_for_groups(problem, tp)
    return result


def nvlink_rule(problem: Problem) -> Rule:
    size, places = places_of_groups(problem)
    hardware = problem.hardware
    joined = hardware.nvlink_domain_gpus >= size and hardware.nvlink_gb_per_s > 0
    place = "NVLink domain" if joined else "node"
    why = "" if joined else " (there is no NVLink)"
    if not joined and hardware.nvlink_gb_per_s > 0:
        why = f", and inside one NVLink domain of {hardware.nvlink_domain_gpus} where it is no wider"

    def allowed(quantities: Quantities) -> Bools:
        return tensor_groups_fit(problem, _tp(quantities), quantities.space.column("pp") * quantities.space.row_dp)

    def actual(quantities: Quantities, row: int) -> str:
        groups = int(quantities.space.column("pp")[row] * quantities.space.row_dp[row])
        return f"TP {_tp(quantities)[row]} in {groups} group{'s' if groups != 1 else ''}"

    return yes_no(
        "nvlink_locality",
        told(
            "Every TP group ",
            ("lies", "has to lie"),
            f" inside one {place} of {size} GPU{'s' if size != 1 else ''}{why}.",
        ),
        allowed,
        f"TP at most {size}, groups that fit into {places} {place if joined else 'node'}{'s' if places != 1 else ''}",
        actual,
    )


def context_rule(problem: Problem) -> Rule:
    limit, asked = problem.model.max_context_tokens, problem.max_sequence_tokens
    return at_most(
        "context",
        told(
            f"Sequences of up to {asked:,} tokens ", ("are", "have to be"), f" within the model's context of {limit:,}."
        ),
        limit,
        "tokens",
        lambda quantities: np.full(quantities.space.rows, asked, dtype=np.int64),
    )
