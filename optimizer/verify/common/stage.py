"""One stage on one GPU: memory by part, and time as a function of the sequences or prompt tokens it works on.

Other homes: ``costs/drafts.py``, ``costs/memory.py``, ``costs/steps.py``; docs/model.md, sections 2 and 3.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from fractions import Fraction
from typing import Any

from optimizer.facts.hardware import HardwareFacts
from optimizer.facts.problem import Problem
from optimizer.facts.workload import Prefix
from optimizer.verify.common.arithmetic import Affine, ceil, ceil_ratio, constant, exact
from optimizer.verify.common.beside import Beside, beside_of, tokens_in_flight
from optimizer.verify.common.contexts import gathered_ms, shared_contexts
from optimizer.verify.common.expected_tokens import found_tokens
from optimizer.verify.common.groups import Group, ReplicaShape
from optimizer.verify.common.layer import LayerExperts, LayerFacts, Rates, cache_only, layer_of, rates_of
from optimizer.verify.common.layer_share import LayerShare, Messages, decode_step, layer_share, moved_by, summed
from optimizer.verify.common.links import all_reduce, all_to_all, context_exchange, exchange_places, sends
from optimizer.verify.common.mixed import mean_context
from optimizer.verify.common.states import block_of_states
from optimizer.verify.common.weights import WeightTables, tables


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
    state_block_bytes: int
    """Of a block of states, of which each sequence needs one; 0: none."""
    paged: bool
    """Whether cache is taken block by block; else each slot reserves its own longest sequence, and logits beside it."""

    def memory_bytes(self, sequences: int) -> int:
        """Memory that a GPU must have to run so many sequences; paged, one of the longest length has to fit."""
        reserved = 1 if self.paged else sequences
        return self.beside_cache(sequences) + reserved * self.sequence_bytes

    def beside_cache(self, sequences: int) -> int:
        """Memory of everything but the cache."""
        return self.weights_bytes + self.fixed_bytes + self.sampling_bytes(sequences)

    def state_sequences(self, budget: int) -> int | None:
        """Sequences for whose states there are blocks; None: states set no limit."""
        if not self.state_block_bytes:
            return None
        return max(0, budget - self.beside_cache(0)) // self.state_block_bytes

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
        known = found_tokens(self.prefix, tokens)
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
    messages: Messages
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
        self._shares: dict[tuple[Group, int], tuple[LayerShare, ...]] = {}
        self._ends: dict[Group, WeightTables] = {}
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
                messages=Messages(
                    all_reduce(problem.hardware, group.tensor),
                    all_to_all(problem.hardware, group.expert_gpus) if group.ranks > 1 else Affine(),
                    exchange_places(problem.hardware, group.expert_gpus),
                ),
                context=context_exchange(problem.hardware, group.contexts),
                beside=beside_of(problem, group, self._sampled),
            )
        return found

    def _shares_of(self, group: Group, checked: int) -> tuple[LayerShare, ...]:
        """What a layer of each kind adds to a stage."""
        found = self._shares.get((group, checked))
        if found is None:
            shared = self._shared_by(group)
            found = self._shares[group, checked] = tuple(
                layer_share(self.problem, group, layer, shared.rates, shared.messages, checked)
                for layer in shared.layers
            )
        return found

    def _ends_of(self, group: Group) -> WeightTables:
        """What the first and last stages have beside layers."""
        found = self._ends.get(group)
        if found is None:
            found = self._ends[group] = tables(self.problem.model, group)
        return found

    def _draft(self, group: Group, shared: _Shared) -> Draft | None:
        """What guesses tokens, on a GPU of the last stage."""
        speculation, model = self.problem.workload.speculation, self.problem.model
        if speculation is None or speculation.method == "ngram":
            return None
        if speculation.method in ("draft", "eagle"):
            return stated_draft(self.problem, group, shared.rates, shared.messages.reduce)
        last = model.kind_of_layer[-1]
        counts = tuple(int(k == last) for k in range(len(model.kinds)))
        one = self._compute(group, StageKind(counts, False, True), 0)
        layer, rates = shared.layers[last], shared.rates
        generation = exact(self.problem.hardware.gpu.layer_time_factor)
        moved = moved_by(model.hidden_size, group, layer, shared.messages)
        return Draft(
            weights=layer.dense_bytes + layer.expert_bytes + layer.beside_bytes + 4 * model.hidden_size**2,
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
        rates, checked = shared.rates, 1 + guessed
        held = [(layer, n) for layer, n in zip(shared.layers, kind.counts, strict=True) if n]
        shares = [(one, n) for one, n in zip(self._shares_of(group, checked), kind.counts, strict=True) if n]
        ends = self._ends_of(group)
        weights = summed((one.weights, n) for one, n in shares)
        weights += ends.first if kind.first else ends.tower
        if kind.last and not (kind.first and model.tied_embeddings):
            weights += ends.head
        roofs = [(summed((one.memory, n) for one, n in shares), summed((one.compute, n) for one, n in shares))]
        step = decode_step(shares, checked)
        if group.contexts > 1:
            for of_kind, n in zip(model.kinds, kind.counts, strict=True):
                step = step.plus(shared_contexts(self.problem, group, of_kind, shared.context, checked), n)
        gathered = gathered_ms(group, held, shared.context) if group.contexts > 1 else Fraction(0)
        experts = [(layer.experts, n, checked) for layer, n in held if layer.experts is not None]
        prefill = Affine(
            summed((one.prefill.slope, n) for one, n in shares), summed((one.prefill.fixed, n) for one, n in shares)
        )
        if kind.last:
            weights += ends.last
            products = checked * 2 * ends.head_parameters / (constant("eta_decode_flops") * rates.sixteen)
            roofs.append((ends.head / (constant("eta_bw") * rates.bandwidth), products))
            generation = exact(self.problem.hardware.gpu.layer_time_factor)
            step = step.plus(Affine(checked * constant("t_sequence"), generation * constant("t_step")))
        attend = [(n * one.attention, layer.window) for (one, _), (layer, n) in zip(shares, held, strict=True)]
        kept = held
        draft = self._draft(group, shared) if kind.last and guessed else None
        if draft is not None:
            weights += draft.weights
            kept = [*held, *draft.kept]
            step = step.plus(draft.step, guessed)
            roofs += [(guessed * memory, guessed * compute) for memory, compute in draft.roofs]
            experts += [(of, guessed * n, 1) for of, n, _ in draft.experts]
            prefill = prefill.plus(draft.prefill)
            attention = constant("eta_prefill_attention") * rates.sixteen
            attend += [(width / attention, window) for width, window in draft.attend]
        alone = kind.first and kind.last and group.tensor * group.ranks == 1
        if draft is not None:
            gathered += draft.gathered
        if gathered:
            prefill = prefill.plus(Affine(gathered / 2))
            attend.append((gathered / (2 * self.problem.search.max_num_batched_tokens), 0))
        return Stage(
            weights_bytes=ceil(weights),
            sequence_bytes=ceil(summed((layer.sequence_bytes, n) for layer, n in kept)),
            logits_bytes=shared.beside.sampling if kind.last else 0,
            fixed_bytes=shared.beside.engine + shared.beside.forward + (0 if alone else shared.beside.communication),
            step=step,
            roofs=tuple(roofs),
            experts=tuple(experts),
            prefill=prefill,
            attention=tuple(attend),
            cached=_alike((layer.kept, layer.token_bytes, n) for layer, n in kept),
            admitted=_alike((layer.admitted, layer.token_bytes, n) for layer, n in kept),
            state_bytes=summed((layer.state_bytes, n) for layer, n in kept),
            in_flight_bytes=sum(n * layer.in_flight_bytes for layer, n in kept),
            unsettled=tokens_in_flight(self.problem),
            state_block_bytes=block_of_states(self.problem, shared.layers, kind.counts, kind.last),
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
