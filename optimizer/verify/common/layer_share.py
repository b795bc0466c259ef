"""What one layer of a kind adds to a stage that holds it. Stages add these up: all are linear in the number of layers.

Other home: ``costs/steps.py``; docs/model.md, section 3.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from fractions import Fraction

from optimizer.facts.problem import Problem
from optimizer.verify.common.arithmetic import Affine, constant, exact
from optimizer.verify.common.groups import Group
from optimizer.verify.common.layer import LayerFacts, Rates


@dataclass(frozen=True, slots=True)
class Messages:
    """All-reduces and all-to-alls of a group, as functions of bytes, and how many places a token's copies go to at most."""

    reduce: Affine
    exchange: Affine
    places: int


@dataclass(frozen=True, slots=True)
class LayerShare:
    """Milliseconds and bytes of one layer."""

    weights: Fraction
    """Bytes, experts included."""
    memory: Fraction
    """Reading the weights that every token passes."""
    compute: Fraction
    """Their products for one sequence of a decode step."""
    read: Fraction
    """Reading the cache of one sequence."""
    attend: Fraction
    """Attention of one sequence."""
    overhead: Fraction
    """What no byte or FLOP explains."""
    moved: Affine
    """Messages, by tokens."""
    prefill: Affine
    """Products, experts and messages, by prompt tokens."""
    attention: Fraction
    """Per prompt token and token seen."""


def layer_share(
    problem: Problem, group: Group, layer: LayerFacts, rates: Rates, messages: Messages, checked: int
) -> LayerShare:
    """One layer of a kind.

    Args:
        checked: tokens of each sequence that a decode step puts through it.
    """
    moved = moved_by(problem.model.hidden_size, group, layer, messages)
    decode = constant("eta_decode_flops")
    overhead = constant("t_layer") + (constant("t_tp") if group.tensor > 1 else 0)
    overhead += layer.attention_launch_ms
    if layer.experts is not None:
        count = layer.experts.count
        overhead += constant("t_expert") * count / (1 + count / constant("experts_half"))
    products = 2 * layer.linear_parameters / (constant("eta_prefill_flops") * rates.linear)
    return LayerShare(
        weights=layer.dense_bytes + layer.expert_bytes + layer.beside_bytes,
        memory=layer.dense_bytes / (constant("eta_bw") * rates.linear_bandwidth),
        compute=checked * 2 * layer.linear_parameters / (decode * rates.linear),
        read=layer.cache_bytes_read / (constant("eta_kv") * rates.bandwidth),
        attend=layer.attention_flop / (decode * rates.sixteen),
        overhead=exact(problem.hardware.gpu.layer_time_factor) * overhead,
        moved=moved,
        prefill=Affine(products + moved.slope + layer.expert_prefill_ms, moved.fixed),
        attention=layer.prefill_flop_width / (constant("eta_prefill_attention") * rates.sixteen),
    )


def moved_by(hidden: int, group: Group, layer: LayerFacts, messages: Messages) -> Affine:
    """All-reduces and all-to-alls of a layer, as a function of tokens."""
    total = Affine(messages.reduce.slope * hidden * 4, 2 * messages.reduce.fixed)
    if layer.experts is not None and group.ranks > 1:
        sent = min(layer.experts.per_token, messages.places) * hidden * constant("exchange_bytes")
        if group.slicing > 1:  # every slice works on every token, which travels in 16 bit
            sent = Fraction(2 * min(group.slicing, messages.places) * hidden)
        total = total.plus(Affine(messages.exchange.slope * sent, messages.exchange.fixed), 2)
    return total


def decode_step(held: Sequence[tuple[LayerShare, int]], checked: int) -> Affine:
    """The cache, messages, and the time per layer that no byte or FLOP explains, by sequences."""
    read, attend = summed((one.read, n) for one, n in held), summed((one.attend, n) for one, n in held)
    moved = summed((one.moved.slope, n) for one, n in held), summed((one.moved.fixed, n) for one, n in held)
    overhead = summed((one.overhead, n) for one, n in held)
    return Affine(max(read, checked * attend) + checked * moved[0], overhead + moved[1])


def summed(terms: Iterable[tuple[Fraction, int]]) -> Fraction:
    """Σ n · value."""
    total: Fraction | None = None
    for value, n in terms:
        total = n * value if total is None else total + n * value
    return Fraction(0) if total is None else total
