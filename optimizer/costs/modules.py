"""A stage's memory and decode time, module by module: embedding, attention, FFN or experts, collectives, head.

The cost model of ``docs/model.md`` knows whole stages. Here the same model is asked about a decoder whose layers are cut
in two, attention and the rest, so that no formula is written twice; what a module gets is then scaled so that the modules
of a stage sum to the stage. Where the model knows only a sum (the overhead of a layer), each half of the layer gets half.

Other home: ``verify/graph/modules.py``; docs/model.md, section 3.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import Literal

import numpy as np

from optimizer.costs.analytic import AnalyticCosts
from optimizer.costs.memory import cache_by_stage, memory_budget_bytes
from optimizer.costs.shapes import Shape
from optimizer.facts.model import LayerKind, ModelFacts
from optimizer.facts.problem import Problem

ModuleKind = Literal["embedding", "attention", "ffn", "experts", "head"]

OVERHEAD = "layer overhead"
COLLECTIVES = {"TP all-reduce": "all_reduce", "expert exchange": "all_to_all"}


@dataclass(frozen=True, slots=True)
class ModuleCost:
    """One module on one GPU: bytes it reserves there, and milliseconds in a decode step by term."""

    kind: ModuleKind
    layer: int | None
    """Counted from 0 over the whole model; None for the embedding and the head."""
    weights_bytes: int
    kv_cache_bytes: int
    logits_bytes: int
    terms_ms: Mapping[str, float]


@dataclass(frozen=True, slots=True)
class StageCost:
    """One GPU of a pipeline stage; ``modules`` in the order they run.

    ``weights_bytes`` and the like of the modules and ``rest_bytes`` (activations, communication buffers, engine) sum to
    the stage's memory, module and collective times to its decode step.
    """

    modules: tuple[ModuleCost, ...]
    rest_bytes: Mapping[str, int]
    all_reduce_ms: float
    """One all-reduce over the TP group; a layer has two."""
    all_to_all_ms: float
    """One all-to-all between coupled replicas; a layer with experts has two."""
    decode_ms: float


@dataclass(frozen=True, slots=True)
class ReplicaCost:
    """The stages of one replica, first to last, and the time of one token for all its sequences."""

    stages: tuple[StageCost, ...]
    round_ms: float
    sends_ms: float
    """All sends between its stages, as the cost model counts them wherever the replica stands."""
    sequences_per_micro_batch: int
    micro_batches: int


def replica_cost(
    problem: Problem, shape: Shape, slots: int, in_progress: int, budgets: Sequence[int] | None = None
) -> ReplicaCost:
    """Every module of a replica.

    Args:
        slots: max_num_seqs.
        budgets: bytes of one GPU that may be used, by stage; left out, those of the problem's GPU.
        in_progress: sequences in progress at the replica, n of ``docs/model.md``; at least 1.
    """
    costs = AnalyticCosts(problem, [shape])
    batch = -(-in_progress // shape.pp)
    halves = _Halves(problem, shape, batch)
    totals = costs.steps.decode_terms(np.array([[batch]]))
    memory, stages, start = costs.memory(), [], 0
    budgets = budgets or [memory_budget_bytes(problem)] * shape.pp
    cache = cache_by_stage(memory, costs.table, budgets, slots)
    # No module of a later stage works on images, but engines load the tower there too.
    tower = int(np.ceil(costs.arrays.tower_bytes[0]))
    for stage, layers in enumerate(shape.layers_per_stage):
        column = costs.table.class_of_stage[0][stage]
        held = range(start, start + layers)
        start += layers
        stages.append(
            halves.stage(
                held,
                first=stage == 0,
                last=stage == shape.pp - 1,
                terms={name: float(values[0, column, 0]) for name, values in totals.items()},
                weights_bytes=int(memory.weights[0, column]) - (tower if stage else 0),
                kv_cache_bytes=cache[stage],
                logits_bytes=int(memory.logits(slots)[0, column]),
                rest_bytes={
                    "activations": int(memory.activations[0, column]),
                    "communication buffers": int(memory.communication[0, column]),
                    "engine": int(memory.engine[0, column]),
                    **({"vision tower": tower} if stage and tower else {}),
                },
            )
        )
    round_ms = float(costs.service(in_progress).round_ms[0, in_progress - 1])
    sends_ms = float(costs.steps.send_ms(np.array([[float(batch)]]))[0, 0])
    return ReplicaCost(tuple(stages), round_ms, sends_ms, batch, min(in_progress, shape.pp))


@dataclass(slots=True)
class _Part:
    """A module before the stage's totals are shared out; ``weights`` and ``cache`` are not rounded."""

    kind: ModuleKind
    layer: int | None
    weights: float
    cache: float = 0.0
    terms: dict[str, float] = field(default_factory=dict)


class _Halves:
    """The model with attention and the rest of each layer kind as layers of their own, one to a pipeline stage."""

    def __init__(self, problem: Problem, shape: Shape, batch: int) -> None:
        self.model, self.shape = problem.model, shape
        cut = _cut(problem.model)
        split = (0,) + (1,) * cut.layers + (0,)
        alone = replace(shape, pp=len(split), layers_per_stage=split, part_stages=())
        costs = AnalyticCosts(problem.model_copy(update={"model": cut}), [alone])
        self._terms = {name: v[0, :, 0] for name, v in costs.steps.decode_terms(np.array([[batch]])).items()}
        memory = costs.memory()
        self._weights = costs.arrays.resident_bytes[0]
        # Paged, the cache is shared out by what a token takes in each layer; else by what a sequence reserves.
        self._cache = memory.kv_per_sequence[0] if memory.held is None else memory.kv_per_token[0]
        self._column = costs.table.class_of_stage[0]
        self._launch = costs.steps.generation * costs.arrays.attention_launch_ms
        self._first_bytes = float(costs.arrays.embedding_bytes[0] + costs.arrays.first_bytes[0])
        self._head_bytes, self._last_bytes = float(costs.arrays.head_bytes[0]), costs.arrays.last_bytes

    def stage(
        self,
        held: Sequence[int],
        *,
        first: bool,
        last: bool,
        terms: Mapping[str, float],
        weights_bytes: int,
        kv_cache_bytes: int,
        logits_bytes: int,
        rest_bytes: Mapping[str, int],
    ) -> StageCost:
        parts = [_Part("embedding", None, self._first_bytes)] if first else []
        for layer in held:
            parts += self._layer(layer)
        if last:
            shared = first and self.model.tied_embeddings
            own = 0.0 if shared else self._head_bytes
            # What no layer takes part in is the head's: the output head itself, and what a step costs once.
            of_layers = {name for part in parts for name, value in part.terms.items() if value}
            head = {name: terms[name] for name in terms.keys() - of_layers - set(COLLECTIVES)}
            parts.append(_Part("head", None, own + self._last_bytes, 0.0, head))
        _scale(parts, terms)
        weights = apportion(weights_bytes, [part.weights for part in parts])
        cache = apportion(kv_cache_bytes, [part.cache for part in parts])
        modules = tuple(
            ModuleCost(
                kind=part.kind,
                layer=part.layer,
                weights_bytes=weights[i],
                kv_cache_bytes=cache[i],
                logits_bytes=logits_bytes if part.kind == "head" else 0,
                terms_ms={name: value for name, value in part.terms.items() if value},
            )
            for i, part in enumerate(parts)
        )
        routed = sum(part.kind == "experts" for part in parts)
        return StageCost(
            modules=modules,
            rest_bytes=rest_bytes,
            all_reduce_ms=terms["TP all-reduce"] / (2 * len(held)) if held else 0.0,
            all_to_all_ms=terms["expert exchange"] / (2 * routed) if routed else 0.0,
            decode_ms=sum(terms.values()),
        )

    def _layer(self, layer: int) -> list[_Part]:
        """Attention and the rest of a layer. Both halves were charged a whole layer's base overhead; each keeps half."""
        kind = self.model.kind_of_layer[layer]
        base = float(self._terms[OVERHEAD][self._column[1 + 2 * kind]] - self._launch[2 * kind])
        parts = []
        for half in (2 * kind, 2 * kind + 1):
            column = self._column[1 + half]
            terms = {name: float(values[column]) for name, values in self._terms.items() if name not in COLLECTIVES}
            terms[OVERHEAD] -= base / 2
            rest: ModuleKind = "experts" if self.model.kinds[kind].experts else "ffn"
            name: ModuleKind = "attention" if half % 2 == 0 else rest
            parts.append(_Part(name, layer, float(self._weights[half]), float(self._cache[column]), terms))
        return parts


def _cut(model: ModelFacts) -> ModelFacts:
    kinds = [half for kind in model.kinds for half in (_attention(kind), _rest(kind))]
    places = tuple(range(len(kinds)))
    return model.model_copy(update={"layers": len(kinds), "kinds": tuple(kinds), "kind_of_layer": places})


def _attention(kind: LayerKind) -> LayerKind:
    return kind.model_copy(
        update={
            "sharded_parameters": kind.sharded_parameters - kind.ffn_sharded_parameters,
            "unquantized_parameters": kind.unquantized_parameters - kind.ffn_unquantized_parameters,
            "sharded_bytes": kind.sharded_bytes - kind.ffn_sharded_bytes,
            "unquantized_bytes": kind.unquantized_bytes - kind.ffn_unquantized_bytes,
            "experts": 0,
            "experts_per_token": 0,
            "expert_parameters": 0,
            "expert_bytes": 0,
        }
    )


def _rest(kind: LayerKind) -> LayerKind:
    nothing = dict.fromkeys(
        (
            "key_value_parameters",
            "replicated_parameters",
            "copied_parameters",
            "key_value_bytes",
            "replicated_bytes",
            "kv_values_per_token_per_kv_head",
            "kv_values_per_token_replicated",
            "state_values_per_sequence",
            "state_values_replicated",
            "unread_bytes_per_sequence",
            "bytes_per_token_in_flight",
            "attention_flop_width",
            "index_heads",
            "index_bytes_per_token",
            "prefill_flop_width",
        ),
        0,
    )
    # What the allocator leaves behind tensors is of the whole layer: attention's, as what lies beside linear weights.
    own: dict[str, object] = {
        "products": (),
        "sharded_parameters": kind.ffn_sharded_parameters,
        "unquantized_parameters": kind.ffn_unquantized_parameters,
        "sharded_bytes": kind.ffn_sharded_bytes,
        "unquantized_bytes": kind.ffn_unquantized_bytes,
    }
    return kind.model_copy(update={**nothing, **own})


def _scale(parts: list[_Part], totals: Mapping[str, float]) -> None:
    """Make each term sum to the stage's: a roof over a stage is less than the roofs of its layers one by one."""
    for name, total in totals.items():
        if name in COLLECTIVES:
            continue
        found = sum(part.terms.get(name, 0.0) for part in parts)
        for part in parts:
            if part.terms.get(name):
                part.terms[name] *= total / found


def apportion(total: int, weights: Sequence[float]) -> list[int]:
    """Whole numbers in proportion to the weights that sum to the total; each is within one of its exact share."""
    whole, before, reached, result = sum(weights), 0, 0.0, []
    for position, weight in enumerate(weights):
        reached += weight
        after = total if position == len(weights) - 1 else round(total * reached / whole) if whole else 0
        result.append(after - before)
        before = after
    return result
