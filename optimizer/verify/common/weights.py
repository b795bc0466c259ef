"""Bytes of weights on one GPU, exactly: as the checkpoint stores them where they are served as published, else converted.

Other homes: ``costs/memory.py``, ``costs/parameters.py``; docs/model.md, section 2.
"""

from __future__ import annotations

from dataclasses import dataclass
from fractions import Fraction

from optimizer.engines.kernels import kernels_of
from optimizer.facts.model import LayerKind, ModelFacts
from optimizer.facts.problem import Problem
from optimizer.verify.common.arithmetic import ceil_ratio
from optimizer.verify.common.groups import Group


@dataclass(frozen=True, slots=True)
class WeightTables:
    """What the first and last stage hold beside layers, on one GPU."""

    first: Fraction
    """Token table, what stands beside it, towers."""
    tower: Fraction
    """Towers, which engines load on every stage."""
    head: Fraction
    """The output head, or the token table where it serves as one."""
    head_parameters: Fraction
    last: int
    """Norm before the head and its bias."""


def served_as_published(model: ModelFacts, group: Group) -> bool:
    """Whether no weight is converted."""
    return group.weight_format == model.native_weight_format


def kv_share(model: ModelFacts, kind: LayerKind, tensor: int) -> tuple[int, Fraction]:
    """(KV heads of a layer on one GPU, their share of the layer's)."""
    every = kind.kv_heads if kind.kv_heads else model.kv_heads
    here = max(1, ceil_ratio(every, tensor))
    return here, Fraction(here, every)


def beside_experts(
    model: ModelFacts, kind: LayerKind, group: Group, linear_bytes: Fraction
) -> tuple[Fraction, Fraction]:
    """(bytes of a layer's attention and of the rest, experts apart) on one GPU; ``linear_bytes`` where converted."""
    t, (_, share) = group.tensor, kv_share(model, kind, group.tensor)
    if served_as_published(model, group):
        rest = Fraction(kind.ffn_sharded_bytes, t) + kind.ffn_unquantized_bytes
        whole = (
            Fraction(kind.sharded_bytes, t)
            + kind.key_value_bytes * share
            + kind.replicated_bytes
            + kind.unquantized_bytes
        )
        return whole - rest, rest
    linear = Fraction(kind.sharded_parameters, t) + kind.key_value_parameters * share + kind.replicated_parameters
    own = Fraction(kind.ffn_sharded_parameters, t)
    rest = own * linear_bytes + 2 * kind.ffn_unquantized_parameters
    return linear * linear_bytes + 2 * kind.unquantized_parameters - rest, rest


def one_expert(model: ModelFacts, kind: LayerKind, group: Group, expert_bytes: Fraction) -> Fraction:
    """Bytes of one routed expert; ``expert_bytes`` a parameter where converted."""
    if served_as_published(model, group):
        return Fraction(kind.expert_bytes)
    return kind.expert_parameters * expert_bytes


def expert_padding(problem: Problem, group: Group) -> Fraction:
    """Bytes of an expert as the engine's kernels load it over its bytes in the checkpoint."""
    model = problem.model
    stored, method = group.weight_format, None
    if served_as_published(model, group):
        stored = model.expert_format
        method = None if model.quantization is None else model.quantization.method.lower()
    rule = kernels_of(problem.engine).padding_of(stored, problem.hardware.gpu, problem.engine_version, method)
    if rule is None or model.expert_ffn_width == 0:
        return Fraction(1)
    parts = group.slicing * (group.tensor if group.expert == 1 else 1)
    slice_ = ceil_ratio(ceil_ratio(model.expert_ffn_width, parts), rule.width_multiple) * rule.width_multiple
    hidden = ceil_ratio(model.hidden_size, rule.hidden_multiple) * rule.hidden_multiple
    padded = Fraction(slice_ * parts * hidden, model.expert_ffn_width * model.hidden_size)
    return padded * rule.held[0] / rule.held[1]


def tables(model: ModelFacts, group: Group) -> WeightTables:
    """The tables over the vocabulary, whose rows engines pad to a multiple of 64, and what stands beside them."""
    rows, t = ceil_ratio(model.vocabulary, 64) * 64, group.tensor
    table_width = model.embedding_width if model.embedding_width else model.hidden_size
    if served_as_published(model, group):
        row = Fraction(model.embedding_bytes, model.vocabulary)
        head_row = row if model.tied_embeddings else Fraction(model.head_bytes, model.vocabulary)
        cut, everywhere = model.table_bytes, model.input_bytes
    else:
        row = Fraction(2 * table_width)
        head_row = row if model.tied_embeddings else Fraction(2 * model.hidden_size)
        cut, everywhere = 2 * model.table_parameters, 2 * model.input_parameters
    return WeightTables(
        first=(rows * row + cut + model.vision_bytes) / t + everywhere,
        tower=Fraction(model.vision_bytes) / t,
        head=rows * head_row / t,
        head_parameters=Fraction(rows * model.hidden_size, t),
        last=2 * model.output_parameters,
    )
