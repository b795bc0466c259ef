"""Section 3, decode context parallelism: what TP ranks that share the tokens of a sequence tell each other."""

from __future__ import annotations

from collections.abc import Iterable
from fractions import Fraction

from optimizer.facts.model import LayerKind
from optimizer.facts.problem import Problem
from optimizer.verify.common.arithmetic import Affine, constant, exact
from optimizer.verify.common.groups import Group
from optimizer.verify.common.layer import LayerFacts


def shared_contexts(problem: Problem, group: Group, kind: LayerKind, exchange: Affine, checked: int) -> Affine:
    """Milliseconds in one layer of a decode step, as a function of sequences.

    Queries go to the ranks that hold the other tokens, and what they make of them comes back with its weight: three collectives, where
    tensor parallelism has two that cost T_TP together.

    Args:
        exchange: milliseconds of the layer's collectives, by the bytes that a rank sends.
        checked: tokens of each sequence in a step.
    """
    if group.contexts == 1 or not kind.attention_flop_width:
        return Affine()
    launched = exact(problem.hardware.gpu.layer_time_factor) * constant("t_tp") * Fraction(3, 2)
    sent = Fraction(2 * kind.attention_flop_width * (group.contexts - 1) * checked, group.tensor)
    return Affine(exchange.slope * sent, exchange.fixed + launched)


def gathered_ms(group: Group, held: Iterable[tuple[LayerFacts, int]], exchange: Affine) -> Fraction:
    """Milliseconds for the cache of one earlier token of a prompt that the other ranks hold, all layers together."""
    kept = sum(n * layer.token_bytes for layer, n in held)
    return exchange.slope * kept * (group.contexts - 1)
