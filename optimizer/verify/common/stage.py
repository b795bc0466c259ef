"""One stage on one GPU: memory by part, and time as a function of the sequences or prompt tokens it works on."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from fractions import Fraction
from typing import Any

from optimizer.facts.demand import Prefix
from optimizer.facts.hardware import HardwareFacts
from optimizer.facts.problem import Problem
from optimizer.verify.common.arithmetic import Affine, ceil, ceil_ratio, constant, exact
from optimizer.verify.common.beside import Beside, beside_of, tokens_in_flight
from optimizer.verify.common.contexts import gathered_ms, shared_contexts
from optimizer.verify.common.groups import Group, ReplicaShape
from optimizer.verify.common.layer import LayerExperts, LayerFacts, Rates, cache_only, layer_of, rates_of
from optimizer.verify.common.links import all_reduce, all_to_all, context_exchange, exchange_places, sends
from optimizer.verify.common.mixed import mean_context
from optimizer.verify.common.weights import tables


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
    """Paged: what sampling takes beyond the forward pass. Else logits of each slot."""
    fixed_bytes: int
    step: Affine
    """Milliseconds, all parts that grow linearly with b."""
    roofs: tuple[tuple[Fraction, Fraction], ...]
    """(memory ms, compute ms per sequence) of the dense layers and of the head."""
    experts: tuple[tuple[LayerExperts, int, int], ...]
    """(experts, layers that have them, tokens of each sequence that a step puts through them)."""
    prefill: Affine
    """Milliseconds, all parts that grow linearly with m."""
    attention: tuple[tuple[Fraction, int], ...]
    """(ms per token and token seen, window or 0)."""
    cached: tuple[tuple[int, int], ...]
    """(bytes of a token, tokens kept at most or 0 for all) of the layers with a cache, alike ones together."""
    admitted: tuple[tuple[int, int], ...]
    """The same while a prompt is worked on."""
    state_bytes: Fraction
    prefix: Prefix | None
    """What of a prompt is found in the cache."""
    in_flight_bytes: int
    """Of each token whose step is not done, of which there are at most ``unsettled``."""
    unsettled: int
    paged: bool
    """Whether cache is taken block by block; else each slot reserves its own longest sequence, and logits beside it."""

    def memory_bytes(self, sequences: int) -> int:
        """Memory that a GPU must have to run so many sequences; paged, one of the longest length has to fit."""
        reserved = 1 if self.paged else sequences
        return self.beside_cache(sequences) + reserved * self.sequence_bytes

    def beside_cache(self, sequences: int) -> int:
        """Memory of everything but the cache."""
        return self.weights_bytes + self.fixed_bytes + self.sampling_bytes(sequences)

    def sampling_bytes(self, sequences: int) -> int:
        """Memory of sampling and its logits beyond the forward pass."""
        return self.logits_bytes if self.paged else sequences * self.logits_bytes

    def held_bytes(self, tokens: int) -> Fraction:
        """Cache of one sequence of so many tokens, in whole blocks."""
        return self._bytes_of(tokens, self.cached)

    def admitted_bytes(self, tokens: int) -> Fraction:
        """The same while its prompt is worked on."""
        unsettled = max(0, min(tokens, self.unsettled - 1))
        return self._bytes_of(tokens, self.admitted) + self.in_flight_bytes * unsettled

    def _bytes_of(self, tokens: int, layers: tuple[tuple[int, int], ...]) -> Fraction:
        whole = -(-tokens // 16) * 16
        kept = sum(size * (min(whole, most) if most else whole) for size, most in layers)
        return kept + self.state_bytes

    @property
    def token_bytes(self) -> int:
        """Cache of one more token while no window is full."""
        return sum(size for size, _ in self.cached)

    def prefill_ms(self, tokens: int) -> Fraction:
        """Compute time of so many prompt tokens."""
        known = 0 if self.prefix is None else self.prefix.cached(tokens)
        total = self.prefill.at(tokens - known)
        for factor, window in self.attention:
            total += factor * (_pairs(tokens, window) - _pairs(known, window))
        return total


def _pairs(tokens: int, window: int) -> int:
    """Twice the pairs of tokens that attention scores up to here."""
    return min(tokens**2, 2 * tokens * min(tokens, window)) if window else tokens**2


@dataclass(frozen=True, slots=True)
class Draft:
    """What guesses tokens: bytes on a GPU of the last stage, one guess of b sequences, and what a prompt adds."""

    weights: Fraction
    kept: tuple[tuple[LayerFacts, int], ...]
    step: Affine
    roofs: tuple[tuple[Fraction, Fraction], ...]
    experts: tuple[tuple[LayerExperts, int, int], ...]
    prefill: Affine
    attend: tuple[tuple[Fraction, int], ...]
    gathered: Fraction = Fraction(0)
    """Milliseconds for the cache of one token that other ranks hold."""


def stated_draft(problem: Problem, group: Group, rates: Rates, reduce: Affine) -> Draft:
    """A draft model by its parameters, layers and cache, sliced over the TP group."""
    stated, t = problem.workload.speculation, group.tensor
    assert stated is not None and stated.draft_parameters is not None and stated.draft_layers is not None
    parameters = exact(stated.draft_parameters) * 10**9 / t
    token = ceil(Fraction(stated.draft_kv_bytes_per_token or 0, t))
    layer_ms = exact(problem.hardware.gpu.layer_time_factor) * (
        constant("t_layer") + (constant("t_tp") if t > 1 else 0)
    )
    read = mean_context(problem) * token / (constant("eta_kv") * rates.bandwidth)
    moved = Affine(reduce.slope * problem.model.hidden_size * 2, reduce.fixed)
    memory = 2 * parameters / (constant("eta_bw") * rates.bandwidth)
    return Draft(
        weights=2 * parameters,
        kept=((cache_only(token, ceil_ratio(problem.max_sequence_tokens, 16) * 16), 1),),
        step=Affine(read, stated.draft_layers * layer_ms).plus(moved, 2 * stated.draft_layers),
        roofs=((memory, 2 * parameters / (constant("eta_decode_flops") * rates.sixteen)),),
        experts=(),
        prefill=Affine(2 * parameters / (constant("eta_prefill_flops") * rates.sixteen)),
        attend=(),
    )


@dataclass(frozen=True, slots=True)
class _Shared:
    """What all stages of a group have in common."""

    rates: Rates
    layers: tuple[LayerFacts, ...]
    reduce: Affine
    exchange: Affine
    places: int
    """Places that copies of a token go to at most in an exchange."""
    context: Affine
    """Bytes between ranks that share contexts."""
    beside: Beside
    """What the engine takes beside weights and cache."""


class Stages:
    """The stages of one problem, each computed once.

    Args:
        sampled: sequences that the engine samples in its profiling run; None: as many as the problem's GPU has it run.
    """

    def __init__(self, problem: Problem, sampled: int | None = None) -> None:
        self.problem, self._sampled = problem, sampled
        self._stages: dict[tuple[Group, StageKind], Stage] = {}
        self._shared: dict[Group, _Shared] = {}
        self._kinds: dict[tuple[int, ...], tuple[StageKind, ...]] = {}
        self.of_replicas: dict[ReplicaShape, Any] = {}
        """What ``candidate`` computes once for all strategies of a shape, kept as long as the stages it is made of."""

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
                context=context_exchange(problem.hardware, group.contexts),
                beside=beside_of(problem, group, self._sampled),
            )
        return found

    def _draft(self, group: Group, shared: _Shared) -> Draft | None:
        """What guesses tokens, on a GPU of the last stage."""
        speculation, model = self.problem.workload.speculation, self.problem.model
        if speculation is None or speculation.method == "ngram":
            return None
        if speculation.method in ("draft", "eagle"):
            return stated_draft(self.problem, group, shared.rates, shared.reduce)
        last = model.kind_of_layer[-1]
        counts = tuple(int(k == last) for k in range(len(model.kinds)))
        one = self._compute(group, StageKind(counts, False, True), 0)
        layer, rates = shared.layers[last], shared.rates
        generation = exact(self.problem.hardware.gpu.layer_time_factor)
        moved = _messages(model.hidden_size, group, [(layer, 1)], shared)
        return Draft(
            weights=layer.dense_bytes + layer.expert_bytes + 4 * model.hidden_size**2,
            kept=((layer, 1),),
            step=Affine(one.step.slope, one.step.fixed - generation * constant("t_step")),
            roofs=one.roofs,
            experts=one.experts,
            prefill=Affine(
                2 * layer.linear_parameters / (constant("eta_prefill_flops") * rates.linear) + layer.expert_prefill_ms
            ).plus(moved),
            attend=((layer.prefill_flop_width, layer.window),),
            gathered=gathered_ms(group, [(layer, 1)], shared.context),
        )

    def _compute(self, group: Group, kind: StageKind, guesses: int | None = None) -> Stage:
        guessed = self.problem.workload.guessed if guesses is None else guesses
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
        checked = 1 + guessed
        products = checked * 2 * linear / (decode_flop * rates.linear)
        roofs = [(dense_bytes / (constant("eta_bw") * rates.linear_bandwidth), products)]
        step = _step(self.problem, group, held, rates, checked).plus(Affine(checked * moved.slope, moved.fixed))
        for of_kind, n in zip(model.kinds, kind.counts, strict=True):
            step = step.plus(shared_contexts(self.problem, group, of_kind, shared.context, checked), n)
        gathered = gathered_ms(group, held, shared.context)
        experts = [(layer.experts, n, checked) for layer, n in held if layer.experts is not None]
        prefill = Affine(2 * linear / (constant("eta_prefill_flops") * rates.linear)).plus(moved)
        prefill = prefill.plus(Affine(sum((n * layer.expert_prefill_ms for layer, n in held), Fraction(0))))
        if kind.last:
            weights += ends.last
            products = checked * 2 * ends.head_parameters / (decode_flop * rates.sixteen)
            roofs.append((ends.head / (constant("eta_bw") * rates.bandwidth), products))
            generation = exact(self.problem.hardware.gpu.layer_time_factor)
            step = step.plus(Affine(checked * constant("t_sequence"), generation * constant("t_step")))
        attend = [(n * layer.prefill_flop_width, layer.window) for layer, n in held]
        kept = held
        draft = self._draft(group, shared) if kind.last and guessed else None
        if draft is not None:
            weights += draft.weights
            kept = [*held, *draft.kept]
            step = step.plus(draft.step, guessed)
            roofs += [(guessed * memory, guessed * compute) for memory, compute in draft.roofs]
            experts += [(of, guessed * n, 1) for of, n, _ in draft.experts]
            prefill = prefill.plus(draft.prefill)
            attend += draft.attend
        alone = kind.first and kind.last and group.tensor * group.ranks == 1
        prefill = prefill.plus(Affine(gathered / 2))
        if draft is not None:
            prefill = prefill.plus(Affine(draft.gathered / 2))
            gathered += draft.gathered
        attention = constant("eta_prefill_attention") * rates.sixteen
        scored = [(width / attention, window) for width, window in attend]
        if gathered:
            scored.append((gathered / (2 * self.problem.search.max_num_batched_tokens), 0))
        return Stage(
            weights_bytes=ceil(weights),
            sequence_bytes=ceil(sum((n * layer.sequence_bytes for layer, n in kept), Fraction(0))),
            logits_bytes=shared.beside.sampling if kind.last else 0,
            fixed_bytes=shared.beside.engine + shared.beside.forward + (0 if alone else shared.beside.communication),
            step=step,
            roofs=tuple(roofs),
            experts=tuple(experts),
            prefill=prefill,
            attention=tuple(scored),
            cached=_alike((layer.kept, layer.token_bytes, n) for layer, n in kept),
            admitted=_alike((layer.admitted, layer.token_bytes, n) for layer, n in kept),
            state_bytes=sum((n * layer.state_bytes for layer, n in kept), Fraction(0)),
            in_flight_bytes=sum(n * layer.in_flight_bytes for layer, n in kept),
            unsettled=tokens_in_flight(self.problem),
            paged=self.problem.search.kv_reservation == "paged",
            prefix=self.problem.workload.prefix,
        )


def _alike(layers: Iterable[tuple[int, int, int]]) -> tuple[tuple[int, int], ...]:
    """Bytes per token of the layers of a stage by what they keep of a sequence; given (tokens kept, bytes of one, layers)."""
    sizes: dict[int, int] = {}
    for kept, each, count in layers:
        if each:
            sizes[kept] = sizes.get(kept, 0) + count * each
    return tuple((size, most) for most, size in sorted(sizes.items()))


def _step(problem: Problem, group: Group, held: list[tuple[LayerFacts, int]], rates: Rates, checked: int) -> Affine:
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
    return Affine(max(read, checked * attend), exact(problem.hardware.gpu.layer_time_factor) * overhead)


def _messages(hidden: int, group: Group, held: list[tuple[LayerFacts, int]], shared: _Shared) -> Affine:
    """All-reduces and all-to-alls of a stage, as a function of tokens."""
    total = Affine()
    for layer, n in held:
        total = total.plus(Affine(shared.reduce.slope * hidden * 2, shared.reduce.fixed), 2 * n)
        if layer.experts is not None and group.ranks > 1:
            sent = min(layer.experts.per_token, shared.places) * hidden * constant("exchange_bytes")
            if group.slicing > 1:  # every slice works on every token, which travels in 16 bit
                sent = Fraction(2 * min(group.slicing, shared.places) * hidden)
            total = total.plus(Affine(shared.exchange.slope * sent, shared.exchange.fixed), 2 * n)
    return total
