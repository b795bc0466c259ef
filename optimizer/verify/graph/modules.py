"""What one module holds and how long it runs, in exact arithmetic. ``docs/graph.md``, modules.

Callers work inside ``arithmetic.sixty_digits``.

Other home: ``costs/modules.py``; docs/model.md, section 3.
"""

from __future__ import annotations

from dataclasses import dataclass
from decimal import Decimal
from fractions import Fraction
from math import ceil

from optimizer.facts.base import LARGEST_COUNT
from optimizer.facts.model import LayerKind
from optimizer.facts.problem import Problem
from optimizer.results.answer import Strategy
from optimizer.verify.common.arithmetic import constant, decimal, exact
from optimizer.verify.common.beside import beside_of
from optimizer.verify.common.budget import budget_bytes
from optimizer.verify.common.contexts import shared_contexts
from optimizer.verify.common.groups import row_of
from optimizer.verify.common.layer import attention_launch, layer_of, rates_of
from optimizer.verify.common.links import all_reduce, all_to_all, context_exchange, exchange_places
from optimizer.verify.common.roof import roof
from optimizer.verify.common.stage import Stage, Stages
from optimizer.verify.common.times import StageDecode
from optimizer.verify.common.weights import WeightTables, beside_experts, tables

HALVES = ("attention", "rest")


@dataclass(frozen=True, slots=True)
class Half:
    """Attention, or MLP and experts, of one layer: bytes, and milliseconds before a stage's sums are shared out."""

    weights_bytes: Fraction
    sequence_bytes: Fraction
    token_bytes: Fraction
    dense: Decimal
    read: Decimal
    """Reading the cache."""
    attend: Decimal
    """Computing on it."""
    own: Decimal
    """Experts, and the overhead of half a layer with the routing."""


@dataclass(frozen=True, slots=True)
class Expected:
    """One module of a stage on one GPU."""

    weights_bytes: Fraction
    kv_cache_bytes: Fraction
    logits_bytes: int
    ms: float


class Modules:
    """Every module of one strategy with b sequences in a micro-batch, all stages on the hardware of one problem."""

    def __init__(self, problem: Problem, strategy: Strategy, batch: int) -> None:
        self._problem, self._strategy, self._batch = problem, strategy, batch
        row = row_of(strategy)
        self._group = row.shape.group
        self.stages: tuple[Stage, ...] = Stages(problem).of(row.shape.group, row.shape.layers)
        self.budget = budget_bytes(problem)
        self.engine_bytes = beside_of(problem, self._group).engine
        self._ends = tables(problem.model, self._group)
        self.cache_tokens = 0
        """Paged: tokens that every stage of the replica holds, as the one with the least room does."""
        self.decode_ms = [StageDecode(stage, self._group.ranks).at(batch) for stage in self.stages]
        self._rates = rates_of(problem, strategy.weight_precision)
        self._halves = [{half: self._half(kind, half) for half in HALVES} for kind in problem.model.kinds]
        hidden = problem.model.hidden_size
        self.reduce_ms = decimal(all_reduce(problem.hardware, self._group.tensor).at(batch * hidden * 2))
        self._stage_ms = [self._terms(number) for number in range(len(self.stages))]

    def exchange_ms(self, layer: int) -> Decimal:
        """One all-to-all of a layer with experts."""
        return decimal(all_to_all(self._problem.hardware, self._group.expert_gpus).at(self.exchange_bytes(layer)))

    def exchange_bytes(self, layer: int) -> int:
        """What each GPU has for the others in one all-to-all."""
        per_token = self._kind(layer).experts_per_token
        places = exchange_places(self._problem.hardware, self._group.expert_gpus)
        hidden, slicing = self._batch * self._problem.model.hidden_size, self._group.slicing
        if slicing > 1:
            return 2 * hidden * min(slicing, places)
        return int(hidden * min(per_token, places) * constant("exchange_bytes"))

    @property
    def expert_gpus(self) -> int:
        """GPUs that hold the experts of a stage together."""
        return self._group.expert_gpus

    def tower(self, stage: int) -> int:
        """Bytes of vision towers that a stage loads, though no module of it works on images: all stages but the first."""
        return ceil(self._ends.tower) if stage else 0

    def room(self, stage: int) -> int:
        """Blocks of 16 tokens for which a stage has room; more than anything where it has no cache that grows."""
        held = self.stages[stage]
        left = self.budget - held.beside_cache(self._strategy.max_num_seqs)
        return max(0, left) // (16 * held.token_bytes) if held.token_bytes else LARGEST_COUNT

    def held(self, stage: int) -> range:
        """Layers of a stage."""
        layers = self._strategy.layers_per_stage
        return range(sum(layers[:stage]), sum(layers[: stage + 1]))

    def expected(self, kind: str, stage: int, layer: int | None) -> Expected:
        """What a module of this kind must say."""
        model, slots = self._problem.model, self._strategy.max_num_seqs
        ends = self._ends
        if layer is None and kind == "embedding":
            return Expected(ends.first, Fraction(0), 0, 0.0)
        if layer is None:
            tied = model.tied_embeddings and len(self.stages) == 1
            weights = (Fraction(0) if tied else ends.head) + ends.last
            logits = self.stages[stage].sampling_bytes(slots)
            return Expected(weights, Fraction(0), logits, float(self._head_ms(ends)))
        half = self._halves[model.kind_of_layer[layer]]["attention" if kind == "attention" else "rest"]
        dense_scale, cache_scale = self._stage_ms[stage]
        ms = half.dense * dense_scale + max(half.read, half.attend) * cache_scale + half.own
        paged = self.stages[stage].paged
        cache = self.cache_tokens * half.token_bytes if paged else slots * half.sequence_bytes
        return Expected(half.weights_bytes, cache, 0, float(ms))

    def _terms(self, stage: int) -> tuple[Decimal, Decimal]:
        """Factors by which the dense and cache times of single layers become shares of the stage's sums."""
        halves = [half for layer in self.held(stage) for half in self._of(layer)]
        if not halves:
            return Decimal(1), Decimal(1)
        memory, compute = self.stages[stage].roofs[0]
        whole = self._roof(decimal(memory), decimal(compute) * self._batch)
        layers = sum((half.dense for half in halves), Decimal(0))
        cache = max(sum((half.read for half in halves), Decimal(0)), sum((half.attend for half in halves), Decimal(0)))
        parts = sum((max(half.read, half.attend) for half in halves), Decimal(0))
        return whole / layers, (cache / parts if parts else Decimal(1))

    def _head_ms(self, ends: WeightTables) -> Decimal:
        memory = ends.head / (constant("eta_bw") * self._rates.bandwidth)
        compute = 2 * self._batch * ends.head_parameters / (constant("eta_decode_flops") * self._rates.sixteen)
        generation = exact(self._problem.hardware.gpu.layer_time_factor)
        step = generation * constant("t_step") + self._batch * constant("t_sequence")
        return self._roof(decimal(memory), decimal(compute)) + decimal(step)

    def _kind(self, layer: int) -> LayerKind:
        model = self._problem.model
        return model.kinds[model.kind_of_layer[layer]]

    def _of(self, layer: int) -> list[Half]:
        return list(self._halves[self._problem.model.kind_of_layer[layer]].values())

    def _half(self, kind: LayerKind, half: str) -> Half:
        """Attention keeps the projections and the cache; the rest of a layer is its MLP, router and experts."""
        layer, rates, rest = layer_of(self._problem, self._group, kind, self._rates), self._rates, half == "rest"
        ffn = Fraction(kind.ffn_sharded_parameters, self._group.tensor)
        linear = ffn if rest else layer.linear_parameters - ffn
        dense_bytes = beside_experts(self._problem.model, kind, self._group, rates.linear_bytes)[1 if rest else 0]
        flop = self._batch * 2 * linear / (constant("eta_decode_flops") * rates.linear)
        read = self._batch * layer.cache_bytes_read / (constant("eta_kv") * rates.bandwidth)
        attend = self._batch * layer.attention_flop / (constant("eta_decode_flops") * rates.sixteen)
        return Half(
            weights_bytes=dense_bytes + (layer.expert_bytes if rest else layer.beside_bytes),
            sequence_bytes=Fraction(0) if rest else layer.sequence_bytes,
            token_bytes=Fraction(0 if rest else layer.token_bytes),
            dense=self._roof(decimal(dense_bytes / (constant("eta_bw") * rates.linear_bandwidth)), decimal(flop)),
            read=Decimal(0) if rest else decimal(read),
            attend=Decimal(0) if rest else decimal(attend),
            own=self._overhead(kind, rest)
            + (self._experts(kind) if rest and kind.experts else Decimal(0))
            + (Decimal(0) if rest else self._contexts(kind)),
        )

    def _contexts(self, kind: LayerKind) -> Decimal:
        """What ranks that share contexts exchange in the layer."""
        links = context_exchange(self._problem.hardware, self._group.contexts)
        return decimal(shared_contexts(self._problem, self._group, kind, links, 1).at(self._batch))

    def _overhead(self, kind: LayerKind, rest: bool) -> Decimal:
        shared = self._group.tensor > 1
        total = (constant("t_layer") + (constant("t_tp") if shared else 0)) / 2
        if not rest:
            total += attention_launch(kind)
        if rest and kind.experts:
            total += constant("t_expert") * kind.experts / (1 + kind.experts / constant("experts_half"))
        generation = exact(self._problem.hardware.gpu.layer_time_factor)
        touched = self._touched(kind) * decimal(constant("t_touched")) if rest and kind.experts else Decimal(0)
        return decimal(generation) * (decimal(total) + touched)

    def _touched(self, kind: LayerKind) -> Decimal:
        missed = (Decimal(kind.experts - kind.experts_per_token) / kind.experts) ** (self._batch * self._group.ranks)
        return kind.experts * (1 - missed)

    def _experts(self, kind: LayerKind) -> Decimal:
        found = layer_of(self._problem, self._group, kind, self._rates).experts
        if found is None:
            return Decimal(0)
        return self._roof(self._touched(kind) * decimal(found.read_ms), decimal(found.token_ms) * self._batch)

    @staticmethod
    def _roof(x: Decimal, y: Decimal) -> Decimal:
        return roof(x, y, decimal(constant("overlap")))
