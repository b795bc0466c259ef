"""From a decoder's layers and a quantisation plan to ``ModelFacts``: parameters and exact bytes by parameter group."""

from __future__ import annotations

from collections import Counter
from dataclasses import dataclass, field

from optimizer.checkpoints.parts import Attention, Decoder, FeedForward, Layer, Linear
from optimizer.checkpoints.quantization.plan import QuantizationPlan
from optimizer.checkpoints.quantization.storage import Storage, sixteen
from optimizer.facts.model import LayerKind, Product, Quantization, WeightFormat

OUTPUT_PROJECTIONS = frozenset({"o_proj", "out_proj", "wo_b"})
"""Modules whose inputs TP cuts; of the others it cuts the outputs."""


TENSORS = {"q_proj": "qkv", "k_proj": "qkv", "v_proj": "qkv", "gate_proj": "gate_up", "up_proj": "gate_up",
           "o_proj": "o", "down_proj": "down", "q_b_proj": "q_b", "kv_b_proj": "kv_b"}  # fmt: skip
"""Which matrices engines merge into one tensor: vLLM's QKVParallelLinear and MergedColumnParallelLinear."""
TENSOR_BITS = (8, 16)
"""Formats whose tensors keep the shape of the matrix; those of 4 bits are repacked as kernels want them."""


@dataclass(slots=True)
class WeightCounts:
    """Parameters and bytes of a set of matrices by group."""

    parameters: Counter[str] = field(default_factory=Counter)
    bytes: Counter[str] = field(default_factory=Counter)


@dataclass(slots=True)
class Stores:
    """How each matrix of a checkpoint is stored, and how many weights are stored in which way."""

    plan: QuantizationPlan | None
    sixteen: WeightFormat
    linear: Counter[Storage] = field(default_factory=Counter)
    expert: Counter[Storage] = field(default_factory=Counter)

    def of(self, layer: int, linear: Linear, *, expert: bool = False) -> Storage:
        """Storage of one matrix."""
        stored = self.plan.storage(layer, linear, expert=expert) if self.plan else None
        return stored or sixteen(self.sixteen)

    def ways(self, layer: int, part: Layer) -> tuple[Storage, ...]:
        """Storage of every matrix of a layer, in order: layers of equal parts that agree in it weigh the same."""
        if self.plan is None:
            return ()
        beside = (half.linears for half in (part.attention, part.rest) if half is not None)
        found = [self.of(layer, linear) for linears in beside for linear in linears]
        experts = part.rest.experts if part.rest is not None else None
        routed = experts.linears if experts is not None else ()
        return (*found, *(self.of(layer, linear, expert=True) for linear in routed))

    def weigh(self, layer: int, linears: tuple[Linear, ...]) -> WeightCounts:
        """Matrices beside experts."""
        weights = WeightCounts()
        for linear in linears:
            stored = self.of(layer, linear)
            self.linear[stored] += linear.parameters
            weights.parameters[linear.group] += linear.parameters
            weights.bytes[linear.group] += stored.bytes_of(linear)
        return weights

    def products(self, layer: int, *halves: tuple[Linear, ...]) -> tuple[Product, ...]:
        """The tensors of a layer beside experts."""
        cut: dict[tuple[int, str, str], int] = {}
        key_value: Counter[tuple[int, str, str]] = Counter()
        for half, linears in enumerate(halves):
            for linear in linears:
                prefix, _, name = linear.module.rpartition(".")
                bits = self.of(layer, linear).bits
                # A gate beside attention is a tensor of its own.
                merged = TENSORS.get(name) if half or name not in ("gate_proj", "up_proj") else name
                if merged is None or linear.group == "replicated" or linear.copies > 1 or bits not in TENSOR_BITS:
                    continue
                key = half, prefix, merged
                cut.setdefault(key, 0)
                size = linear.parameters * int(bits) // 8
                if linear.group == "key_value":
                    key_value[key] += size
                else:
                    cut[key] += size
        return tuple(Product(cut_bytes=size, key_value_bytes=key_value[key]) for key, size in cut.items())

    def weigh_expert(self, layer: int, rest: FeedForward) -> int:
        """Bytes of one routed expert."""
        if rest.experts is None:
            return 0
        total = 2 * rest.experts.small
        for linear in rest.experts.linears:
            stored = self.of(layer, linear, expert=True)
            self.expert[stored] += linear.parameters * rest.experts.count
            total += stored.bytes_of(linear)
        return total

    def cut(self, decoder: Decoder) -> tuple[tuple[int, ...], tuple[int, ...]]:
        """(outputs, inputs) that TP cuts of quantised projections of latent and linear attention, in order."""
        outputs: set[int] = set()
        inputs: set[int] = set()
        for index, layer in enumerate(decoder.layers):
            attention = layer.attention
            if attention is None or not (decoder.mla or attention.state):
                continue
            for linear in attention.linears:
                if linear.group != "sharded" or linear.copies > 1 or self.of(index, linear).bits == 16:
                    continue
                if linear.module.rpartition(".")[2] in OUTPUT_PROJECTIONS:
                    inputs.add(linear.inputs)
                else:
                    outputs.add(linear.outputs)
        return tuple(sorted(outputs)), tuple(sorted(inputs))

    def most(self, *counters: Counter[Storage], quantized: bool = False) -> Storage | None:
        """The storage of most weights; with ``quantized`` of those that are not in 16 bit."""
        total: Counter[Storage] = Counter()
        for counter in counters:
            total.update(counter)
        if quantized:
            total = Counter({stored: n for stored, n in total.items() if stored.bits != 16})
        return max(total, key=lambda stored: total[stored]) if total else None

    def quantization(self) -> Quantization | None:
        """Facts for engines' rules; None where nothing is quantised and nothing asked of the cache."""
        if self.plan is None:
            return None
        bulk = self.most(self.linear, self.expert, quantized=True)
        if bulk is None and self.plan.kv_cache_format is None:
            return None
        plain = sixteen(self.sixteen)
        others = {stored.weight_format for stored in (*self.linear, *self.expert) if stored.bits != 16}
        others -= {(bulk or plain).weight_format}
        facts = self.plan.facts(bulk or plain, self.most(self.linear) or plain)
        experts = self.most(self.expert, quantized=True)
        own = {"other_formats": tuple(sorted(others)), "expert_format": experts.weight_format if experts else None}
        return facts.model_copy(update=own)


def layer_kinds(decoder: Decoder, stores: Stores) -> tuple[tuple[LayerKind, ...], tuple[int, ...]]:
    """(distinct kinds of layers, kind of each layer); layers that are stored differently are of different kinds."""
    kinds: dict[LayerKind, int] = {}
    alike: dict[tuple[Layer, tuple[Storage, ...]], tuple[LayerKind, Stores]] = {}
    kind_of_layer = []
    for index, part in enumerate(decoder.layers):
        key = part, stores.ways(index, part)
        if key not in alike:
            weighed = Stores(stores.plan, stores.sixteen)
            alike[key] = _kind(index, part, decoder, weighed), weighed
        kind, weighed = alike[key]
        stores.linear.update(weighed.linear)
        stores.expert.update(weighed.expert)
        kind_of_layer.append(kinds.setdefault(kind, len(kinds)))
    return tuple(kinds), tuple(kind_of_layer)


def _kind(index: int, part: Layer, decoder: Decoder, stores: Stores) -> LayerKind:
    attention, rest = part.attention or Attention(), part.rest or FeedForward()
    own, other = stores.weigh(index, attention.linears), stores.weigh(index, rest.linears)
    small = attention.small + part.attention_norms
    ffn_small = rest.small + part.rest_norms
    experts = rest.experts
    stored = not attention.shared_cache
    differs = attention.kv_per_kv_head and attention.kv_heads != decoder.kv_heads
    return LayerKind(
        sharded_parameters=own.parameters["sharded"] + other.parameters["sharded"],
        key_value_parameters=own.parameters["key_value"] + other.parameters["key_value"],
        replicated_parameters=own.parameters["replicated"] + other.parameters["replicated"],
        unquantized_parameters=small + ffn_small,
        experts=experts.count if experts else 0,
        experts_per_token=experts.per_token if experts else 0,
        expert_parameters=experts.parameters if experts else 0,
        kv_values_per_token_per_kv_head=attention.kv_per_kv_head if stored else 0,
        kv_values_per_token_replicated=attention.kv_replicated if stored else 0,
        window_tokens=part.window_tokens,
        state_values_per_sequence=attention.state,
        state_values_replicated=attention.state_replicated,
        unread_bytes_per_sequence=attention.unread,
        bytes_per_token_in_flight=attention.in_flight,
        attention_flop_width=attention.flop_width,
        prefill_flop_width=attention.prefill_flop_width,
        index_heads=attention.index_heads,
        index_bytes_per_token=attention.index_bytes if stored else 0,
        worked_values_per_token=attention.worked,
        ffn_sharded_parameters=other.parameters["sharded"],
        ffn_unquantized_parameters=ffn_small,
        sharded_bytes=own.bytes["sharded"] + other.bytes["sharded"],
        key_value_bytes=own.bytes["key_value"] + other.bytes["key_value"],
        replicated_bytes=own.bytes["replicated"] + other.bytes["replicated"],
        unquantized_bytes=2 * (small + ffn_small),
        expert_bytes=stores.weigh_expert(index, rest),
        ffn_sharded_bytes=other.bytes["sharded"],
        ffn_unquantized_bytes=2 * ffn_small,
        kv_heads=attention.kv_heads if differs else 0,
        copied_parameters=attention.copied,
        products=stores.products(index, attention.linears, rest.linears),
        shared_kv_values_per_token=0 if stored else attention.kv_per_kv_head * attention.kv_heads,
    )
