"""One stage on one GPU: memory by part, and time as a function of the sequences or prompt tokens it works on."""

from __future__ import annotations

from dataclasses import dataclass
from fractions import Fraction
from typing import TYPE_CHECKING

from optimizer.facts.hardware import HardwareFacts
from optimizer.facts.problem import Problem
from optimizer.verify.common.arithmetic import Affine, ceil, constant, exact
from optimizer.verify.common.groups import Group, ReplicaShape
from optimizer.verify.common.layer import LayerExperts, LayerFacts, Rates, layer_of, rates_of
from optimizer.verify.common.links import all_reduce, all_to_all, exchange_places, sends
from optimizer.verify.common.weights import tables

if TYPE_CHECKING:
    from optimizer.verify.common.candidate import Replica


@dataclass(frozen=True, slots=True)
class StageKind:
    """Stages with equal values cost the same: layers of each kind, and whether the stage is first and last."""

    counts: tuple[int, ...]
    first: bool
    last: bool


@dataclass(frozen=True, slots=True)
class Stage:
    """Bytes on one GPU, and the pieces of a decode step of b sequences and of a prefill of m tokens."""

    weights_bytes: int
    sequence_bytes: int
    logits_bytes: int
    fixed_bytes: int
    step: Affine
    """Milliseconds, all parts that grow linearly with b."""
    roofs: tuple[tuple[Fraction, Fraction], ...]
    """(memory ms, compute ms per sequence) of the dense layers and of the head."""
    experts: tuple[tuple[LayerExperts, int], ...]
    """(experts, layers that have them)."""
    prefill: Affine
    """Milliseconds, all parts that grow linearly with m."""
    attention: tuple[tuple[Fraction, int], ...]
    """(ms per token and token seen, window or 0)."""
    cached: tuple[tuple[int, int], ...]
    """(bytes of a token, tokens kept at most or 0 for all) of the layers with a cache, alike ones together."""
    state_bytes: Fraction
    reserved: int
    """Paged: sequences whose logits are reserved whatever max_num_seqs is. 0: each slot reserves its own longest sequence."""

    def memory_bytes(self, sequences: int) -> int:
        """Memory that a GPU must have to run so many sequences; paged, one of the longest length has to fit."""
        reserved = 1 if self.reserved else sequences
        return self.beside_cache(sequences) + reserved * self.sequence_bytes

    def beside_cache(self, sequences: int) -> int:
        """Memory of everything but the cache."""
        return self.weights_bytes + self.fixed_bytes + (self.reserved or sequences) * self.logits_bytes

    def held_bytes(self, tokens: int) -> Fraction:
        """Cache of one sequence of so many tokens, in whole blocks."""
        whole = -(-tokens // 16) * 16
        kept = sum(size * (min(whole, most) if most else whole) for size, most in self.cached)
        return kept + self.state_bytes

    @property
    def token_bytes(self) -> int:
        """Cache of one more token while no window is full."""
        return sum(size for size, _ in self.cached)

    def prefill_ms(self, tokens: int) -> Fraction:
        """Compute time of so many prompt tokens."""
        total = self.prefill.at(tokens)
        for factor, window in self.attention:
            total += factor * (min(tokens**2, 2 * tokens * min(tokens, window)) if window else tokens**2)
        return total


@dataclass(frozen=True, slots=True)
class _Shared:
    """What all stages of a group have in common."""

    rates: Rates
    layers: tuple[LayerFacts, ...]
    reduce: Affine
    exchange: Affine
    places: int
    """Places that copies of a token go to at most in an exchange."""
    engine_bytes: int
    """Engine and activations."""


class Stages:
    """The stages of one problem, each computed once."""

    def __init__(self, problem: Problem) -> None:
        self.problem = problem
        self._stages: dict[tuple[Group, StageKind], Stage] = {}
        self._shared: dict[Group, _Shared] = {}
        self._kinds: dict[tuple[int, ...], tuple[StageKind, ...]] = {}
        self.replicas: dict[ReplicaShape, Replica] = {}
        """What ``candidate`` keeps of whole replicas."""

    def of(self, group: Group, layers: tuple[int, ...]) -> tuple[Stage, ...]:
        """The stages of a replica, first to last."""
        return tuple(self.stage(group, kind) for kind in self.kinds(layers))

    def kinds(self, layers: tuple[int, ...]) -> tuple[StageKind, ...]:
        """What each stage of a replica holds, first to last."""
        kinds = self._kinds.get(layers)
        if kinds is None:
            kinds = self._kinds[layers] = self._kinds_of(layers)
        return kinds

    def hardware(self, shape: ReplicaShape) -> tuple[HardwareFacts, ...]:
        """What each stage of a replica stands on."""
        return (self.problem.hardware,) * shape.stages

    def sends(self, shape: ReplicaShape) -> Affine:
        """Milliseconds of all stage-to-stage sends of one replica together, for m tokens."""
        return sends(self.problem.hardware, shape.group.tensor, shape.stages, self.problem.model.hidden_size)

    def _kinds_of(self, layers: tuple[int, ...]) -> tuple[StageKind, ...]:
        model, start, kinds = self.problem.model, 0, []
        for position, count in enumerate(layers):
            held = model.kind_of_layer[start : start + count]
            start += count
            counts = tuple(held.count(k) for k in range(len(model.kinds)))
            kinds.append(StageKind(counts, position == 0, position == len(layers) - 1))
        return tuple(kinds)

    def stage(self, group: Group, kind: StageKind) -> Stage:
        """One stage."""
        found = self._stages.get((group, kind))
        if found is None:
            found = self._stages[group, kind] = self._compute(group, kind)
        return found

    def _shared_by(self, group: Group) -> _Shared:
        found = self._shared.get(group)
        if found is None:
            problem, rates = self.problem, rates_of(self.problem, group.weight_format)
            found = self._shared[group] = _Shared(
                rates=rates,
                layers=tuple(layer_of(problem, group, kind, rates) for kind in problem.model.kinds),
                reduce=all_reduce(problem.hardware, group.tensor),
                exchange=all_to_all(problem.hardware, group.expert_gpus) if group.ranks > 1 else Affine(),
                places=exchange_places(problem.hardware, group.expert_gpus),
                engine_bytes=int(constant("engine_bytes")) + _activation_bytes(problem, group),
            )
        return found

    def _compute(self, group: Group, kind: StageKind) -> Stage:
        model, shared = self.problem.model, self._shared_by(group)
        rates = shared.rates
        held = [(layer, n) for layer, n in zip(shared.layers, kind.counts, strict=True) if n]
        ends = tables(model, group)
        dense_bytes = sum((n * layer.dense_bytes for layer, n in held), Fraction(0))
        linear = sum((n * layer.linear_parameters for layer, n in held), Fraction(0))
        weights = dense_bytes + sum((n * layer.expert_bytes for layer, n in held), Fraction(0))
        if kind.first:
            weights += ends.first
        if kind.last and not (kind.first and model.tied_embeddings):
            weights += ends.head
        moved = _messages(model.hidden_size, group, held, shared)
        decode_flop = constant("eta_decode_flops")
        roofs = [
            (dense_bytes / (constant("eta_bw") * rates.linear_bandwidth), 2 * linear / (decode_flop * rates.linear))
        ]
        step = _step(self.problem, group, held, rates).plus(moved)
        prefill = Affine(2 * linear / (constant("eta_prefill_flops") * rates.linear)).plus(moved)
        prefill = prefill.plus(Affine(sum((n * layer.expert_prefill_ms for layer, n in held), Fraction(0))))
        if kind.last:
            weights += ends.last
            products = 2 * ends.head_parameters / (decode_flop * rates.sixteen)
            roofs.append((ends.head / (constant("eta_bw") * rates.bandwidth), products))
            generation = exact(self.problem.hardware.gpu.layer_time_factor)
            step = step.plus(Affine(constant("t_sequence"), generation * constant("t_step")))
        alone = kind.first and kind.last and group.tensor * group.ranks == 1
        attention = constant("eta_prefill_attention") * rates.sixteen
        return Stage(
            weights_bytes=ceil(weights),
            sequence_bytes=ceil(sum((n * layer.sequence_bytes for layer, n in held), Fraction(0))),
            logits_bytes=ceil(model.vocabulary * constant("logit_bytes")) if kind.last else 0,
            fixed_bytes=shared.engine_bytes + (0 if alone else int(constant("comm_bytes"))),
            step=step,
            roofs=tuple(roofs),
            experts=tuple((layer.experts, n) for layer, n in held if layer.experts is not None),
            prefill=prefill,
            attention=tuple((n * layer.prefill_flop_width / attention, layer.window) for layer, n in held),
            cached=_alike(held),
            state_bytes=sum((n * layer.state_bytes for layer, n in held), Fraction(0)),
            reserved=reserved_sequences(self.problem),
        )


def reserved_sequences(problem: Problem) -> int:
    """Sequences whose logits an engine sets aside when cache is paged; 0 without paging."""
    if problem.search.kv_reservation == "full":
        return 0
    if "max_batch" not in problem.search.disabled_rules:
        return problem.max_batch
    stated = problem.requirements.max_batch
    return max(512, problem.max_batch if stated is None else 2 * stated)


def _alike(held: list[tuple[LayerFacts, int]]) -> tuple[tuple[int, int], ...]:
    """Bytes per token of the layers of a stage by what they keep of a sequence."""
    sizes: dict[int, int] = {}
    for layer, n in held:
        if layer.token_bytes:
            sizes[layer.kept] = sizes.get(layer.kept, 0) + n * layer.token_bytes
    return tuple((size, most) for most, size in sorted(sizes.items()))


def _step(problem: Problem, group: Group, held: list[tuple[LayerFacts, int]], rates: Rates) -> Affine:
    """The cache, and the time per layer that no byte or FLOP explains."""
    read = sum((n * layer.cache_bytes_read for layer, n in held), Fraction(0)) / (constant("eta_kv") * rates.bandwidth)
    flop = sum((n * layer.attention_flop for layer, n in held), Fraction(0))
    attend = flop / (constant("eta_decode_flops") * rates.sixteen)
    per_layer = constant("t_layer") + (constant("t_tp") if group.tensor > 1 else 0)
    overhead = sum((n * per_layer for _, n in held), Fraction(0))
    for layer, n in held:
        if layer.experts is not None:
            count = layer.experts.count
            overhead += n * constant("t_expert") * count / (1 + count / constant("experts_half"))
    return Affine(max(read, attend), exact(problem.hardware.gpu.layer_time_factor) * overhead)


def _messages(hidden: int, group: Group, held: list[tuple[LayerFacts, int]], shared: _Shared) -> Affine:
    """All-reduces and all-to-alls of a stage, as a function of tokens."""
    total = Affine()
    for layer, n in held:
        total = total.plus(Affine(shared.reduce.slope * hidden * 2, shared.reduce.fixed), 2 * n)
        if layer.experts is not None and group.ranks > 1:
            sent = min(layer.experts.per_token, shared.places) * hidden * constant("exchange_bytes")
            total = total.plus(Affine(shared.exchange.slope * sent, shared.exchange.fixed), 2 * n)
    return total


def _activation_bytes(problem: Problem, group: Group) -> int:
    """Activations of the largest prefill step."""
    model, t, hidden = problem.model, group.tensor, problem.model.hidden_size
    widths = [Fraction(2 * width, t) for width in model.ffn_widths]
    keys = 0 if model.mla else 2 * model.kv_heads
    widths.append(Fraction((model.attention_heads + keys) * model.head_dim, t))
    for per_token in {kind.experts_per_token for kind in model.kinds if kind.experts}:
        sliced = group.expert == 1
        one = hidden + Fraction(2 * model.expert_ffn_width, t if sliced else 1)
        widths.append(per_token * one / (1 if sliced else min(group.expert, per_token)))
    return ceil(problem.search.max_num_batched_tokens * 2 * (2 * hidden + max(widths)))
