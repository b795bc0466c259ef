"""What a checkpoint is: layers by type, parameters by component, bytes, cache, and the degrees of parallelism it allows."""

from __future__ import annotations

from fractions import Fraction
from pathlib import Path
from typing import Any

from optimizer.catalog.constants import constants
from optimizer.checkpoints.family import family, known
from optimizer.checkpoints.select import TEMPLATE
from optimizer.engines.kernels import SliceRule, kernels_of, quantised_modules
from optimizer.facts.errors import ProblemError
from optimizer.facts.model import LayerKind, ModelFacts, WeightFormat
from optimizer.reading.load import resolve_model

LARGEST_TENSOR_PARALLEL = 128
SLICED_BY = "vllm"
"""The engine whose rules on blocks and groups count where no problem names one."""
VOCABULARY_PADDING = 64
CACHE_BYTES = {
    "fp16": Fraction(2),
    "bf16": Fraction(2),
    "fp8": Fraction(1),
    "int8": Fraction(1),
    "nvfp4": Fraction(9, 16),
}
"""Of a value; NVFP4 has an 8-bit scale for each 16."""
SHOWN_FORMATS: tuple[WeightFormat, ...] = ("bf16", "fp8", "int4", "mxfp4", "nvfp4")


def describe(path_or_name: str, like: str = "") -> dict[str, Any]:
    """Everything that was read of a checkpoint.

    Args:
        path_or_name: a catalog name, a config.json, or a folder with one.
        like: a listed model type whose layers it is said to have.

    Raises:
        ProblemError: there is no such model, or it cannot be read.
    """
    stated: str | dict[str, Any] = path_or_name
    if like:
        stated = {"config": path_or_name, "architecture": f"like-{like.removeprefix('like-')}"}
    return describe_model(resolve_model(stated, Path()))


def listed() -> list[dict[str, str]]:
    """Model types that are read, with the source of how."""
    found = ((name, family(name)) for name in known())
    return [{"model_type": name, "source": one.source} for name, one in found if one]


def template() -> str:
    """What to state inline of a model whose type is not listed."""
    return TEMPLATE


def describe_model(model: ModelFacts) -> dict[str, Any]:
    """The same of facts that are read already."""
    return {
        "name": model.name,
        "huggingface_id": model.huggingface_id,
        "architecture": model.architecture,
        "parameters": model.parameters,
        "active_parameters": model.active_parameters,
        "components": model.components(),
        "weight_bytes": model.weight_bytes,
        "weight_format": model.native_weight_format,
        "weight_bytes_in": bytes_in_formats(model),
        "kv_bytes_per_token": kv_bytes_per_token(model),
        "state_bytes_per_sequence": state_bytes(model),
        "vision_parameters": model.vision_parameters,
        "mtp_parameters": model.mtp_parameters,
        "quantization": model.quantization.model_dump() if model.quantization else None,
        "legal_tensor_parallel": legal_tensor_parallel(model),
        "legal_expert_parallel": [n for n in range(1, model.experts + 1) if model.experts % n == 0] or [1],
        "max_context_tokens": model.max_context_tokens,
        "tied_embeddings": model.tied_embeddings,
        "layers": layers_by_type(model),
        "notes": list(model.notes),
    }


def kv_bytes_per_token(model: ModelFacts) -> dict[str, Any]:
    """Bytes of one token over all layers, once, in the format that the checkpoint asks for, else 16 bit.

    ``full`` and ``window`` are what layers of the kind attend to. Of it, ``shared`` is read from an earlier layer's cache
    and not stored again, and layers with a window keep no more tokens than the window.
    """
    asked = model.quantization.kv_cache_format if model.quantization else None
    size = CACHE_BYTES[asked or "bf16"]
    sums = {"full": 0, "window": 0, "shared": 0}
    for kind in _kinds(model):
        shared = int(kind.shared_kv_values_per_token * size)
        own = int(kind.kv_values(model.kv_heads) * size) + kind.index_bytes_per_token
        sums["window" if kind.window_tokens else "full"] += own + shared
        sums["shared"] += shared
    return {**sums, "format": asked or model.native_dtype}


def state_bytes(model: ModelFacts) -> int:
    """Bytes that a sequence keeps whatever its length: recurrent states, convolutions, windows beside compressed caches."""
    return sum(2 * (kind.state_values_per_sequence + kind.state_values_replicated) for kind in _kinds(model))


def bytes_in_formats(model: ModelFacts) -> dict[str, int]:
    """Bytes of the weights converted to each format, and as they are; tables, norms and routers stay in 16 bit."""
    kinds = _kinds(model)
    linear = sum(k.sharded_parameters + k.key_value_parameters + k.replicated_parameters for k in kinds)
    experts = sum(k.experts * k.expert_parameters for k in kinds)
    rest = 2 * (model.parameters - linear - experts)
    formats = constants().formats
    sizes: dict[str, int] = {
        name: round(linear * formats[name].linear + experts * formats[name].expert) + rest for name in SHOWN_FORMATS
    }
    return {**sizes, model.native_weight_format: model.weight_bytes}


def legal_tensor_parallel(model: ModelFacts) -> list[int]:
    """TP degrees, expert parallelism off, that the heads, widths, vocabulary and vLLM's rules on blocks and groups allow."""
    return [t for t in range(1, LARGEST_TENSOR_PARALLEL + 1) if _cuts(model, t)]


def _cuts(model: ModelFacts, t: int) -> bool:
    rows = -(-model.vocabulary // VOCABULARY_PADDING) * VOCABULARY_PADDING
    widths = [*model.ffn_widths, *((model.expert_ffn_width,) if model.experts else ())]
    heads = all(count % t == 0 for count in model.head_counts)
    keys = model.mla or all(count % t == 0 or t % count == 0 for count in model.kv_head_counts)
    even = heads and keys and rows % t == 0 and all(width % t == 0 for width in widths)
    return even and (t == 1 or all(_whole(model, rule, t) for rule in kernels_of(SLICED_BY).slices_of(model)))


def _whole(model: ModelFacts, rule: SliceRule, t: int) -> bool:
    """Whether each GPU holds whole blocks or groups of what a rule speaks of."""
    stored, quantised = model.quantization, quantised_modules(model) & set(rule.modules)
    assert stored is not None  # the rule says something of the checkpoint
    units: tuple[int, ...] = stored.weight_block or (1, 1)
    if rule.multiple_of != "block":
        size = stored.group_size or 1
        while rule.multiple_of == "halved_group" and size % 2 == 0 and size // 2 >= (rule.smallest_group or 1):
            size //= 2
        units = (size,)
    cut: list[tuple[int, int]] = []
    if "attention" in quantised and not model.mla:
        cut.append((model.attention_heads * model.head_dim, t))
        counts = model.kv_head_counts if rule.multiple_of == "block" else ()
        cut += [(count * model.head_dim, min(t, count)) for count in counts]
    if "attention" in rule.modules:
        outputs = model.attention_outputs if rule.multiple_of == "block" else ()
        cut += [(dimension, t) for dimension in (*model.attention_inputs, *outputs)]
    cut += [(width, t) for width in model.ffn_widths] if "mlp" in quantised else []
    cut += [(model.expert_ffn_width, t)] if "experts" in quantised else []
    return all(size % (parts * unit) == 0 for size, parts in cut for unit in units)


def layers_by_type(model: ModelFacts) -> list[dict[str, Any]]:
    """Each kind of layer in words, with how many there are."""
    counts: dict[str, int] = {}
    for kind in _kinds(model):
        words = _words(kind, model)
        counts[words] = counts.get(words, 0) + 1
    return [{"layers": count, "type": words} for words, count in counts.items()]


def _words(kind: LayerKind, model: ModelFacts) -> str:
    mixing = []
    if kind.kv_values_per_token_per_kv_head or kind.shared_kv_values_per_token:
        mixing.append(f"attention with {kind.kv_heads or model.kv_heads} KV heads")
    if kind.kv_values_per_token_replicated:
        mixing.append("latent attention")
    if kind.state_values_per_sequence:
        mixing.append("recurrent state")
    window = f", window {kind.window_tokens:,}" if kind.window_tokens else ""
    shared = ", cache of an earlier layer" if kind.shared_kv_values_per_token else ""
    rest = f"{kind.experts} experts, {kind.experts_per_token} per token" if kind.experts else ""
    if kind.ffn_sharded_parameters:
        rest = f"{rest} and MLP" if rest else "MLP"
    return "; ".join(part for part in (" and ".join(mixing) + window + shared, rest) if part) or "nothing"


def _kinds(model: ModelFacts) -> list[LayerKind]:
    return [model.kinds[index] for index in model.kind_of_layer]


__all__ = ["ProblemError", "describe", "describe_model", "legal_tensor_parallel", "listed", "template"]
