"""Which part of a config is the language model, and which family reads it; everything not on the list is refused by name."""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from optimizer.checkpoints.config import Config
from optimizer.checkpoints.family import Family, class_defaults, family, known
from optimizer.facts.errors import ProblemError, closest, near_names
from optimizer.facts.text import shown

# Where multimodal files nest their language model; the first that is there is read, then again inside it.
NESTED = (
    "thinker_config",
    "text_config",
    "llm_config",
    "language_config",
    "language_model_config",
    "text_model_config",
)
# Outer types whose class reads what it nests as its own, whatever type the file states there (MiniMaxM3VLConfig of transformers).
RETYPED = {"minimax_m3_vl": "minimax_m3_vl_text"}
# Keys that stand outside the nested config and hold for it where it does not state them itself.
INHERITED = (
    "quantization_config", "compression_config", "hf_quant_config", "quantization", "torch_dtype", "dtype",
    "tie_word_embeddings", "expert_dtype",
)  # fmt: skip
NOT_DECODERS = frozenset(
    {"albert", "bart", "bert", "clip", "deberta", "deberta-v2", "electra", "mt5", "roberta", "t5", "vit", "whisper",
     "xlm-roberta", "modernbert", "distilbert", "marian", "pegasus", "mbart", "blenderbot", "siglip"}
)  # fmt: skip
WITHOUT_ATTENTION = frozenset({"mamba", "mamba2", "falcon_mamba", "rwkv", "rwkv5", "rwkv6", "rwkv7", "xlstm"})
# What other layers are made of: a file that states one of these under a family that does not read it is another model.
STRUCTURE: dict[str, frozenset[str]] = {
    "kv_lora_rank": frozenset({"latent", "longcat", "kimi_linear"}),
    "linear_attn_config": frozenset({"kimi_linear"}),
    "linear_num_value_heads": frozenset({"delta"}),
    "hybrid_layer_pattern": frozenset({"mimo_v2"}),
    "hybrid_override_pattern": frozenset({"nemotron_h"}),
    "global_head_dim": frozenset({"gemma4"}),
    "num_attention_heads_per_layer": frozenset({"laguna"}),
    "altup_num_inputs": frozenset({"gemma3n"}),
    "block_configs": frozenset({"searched"}),
    "compress_ratios": frozenset({"compressed"}),
    "attn_type_list": frozenset({"minimax"}),
    "mamba_d_state": frozenset({"jamba", "bamba", "falcon_h1", "granite_hybrid"}),
    "cross_attention_layers": frozenset(),
    "routed_expert_hidden_size": frozenset({"kimi_linear"}),
}
EXPERT_COUNTS = ("n_routed_experts", "num_experts", "num_local_experts", "moe_num_experts")
NAME = re.compile(r"[a-z0-9_.-]{0,100}")
TEMPLATE = """\
model:
  name: my-model
  architecture: like-llama        # or like-qwen3, like-mixtral, like-deepseek_v3... (`optimizer model --known` lists them)
  hidden_size: 4096
  num_hidden_layers: 32
  num_attention_heads: 32
  num_key_value_heads: 8
  head_dim: 128
  intermediate_size: 14336
  vocab_size: 128256
  max_position_embeddings: 131072
  tie_word_embeddings: false
  torch_dtype: bfloat16"""


@dataclass(frozen=True, slots=True)
class Selected:
    """The language model of a file and the family that reads it."""

    config: Config
    family: Family
    model_type: str
    values: dict[str, Any]
    """The nested config with what it inherits."""
    outer: Mapping[str, Any]
    """The whole file."""
    notes: tuple[str, ...]


def select(values: Mapping[str, Any], field: str) -> Selected:
    """The language model of a config.

    Raises:
        ProblemError: not a decoder, or a model type that is not on the list; the message says what can be done.
    """
    outer, inner = values, _nested(values)
    nested = inner is not values
    merged: dict[str, Any] = {**{key: outer[key] for key in INHERITED if key in outer}, **inner}
    model_type = str(merged.get("model_type") or "").lower()
    like = str(outer.get("architecture") or "").lower()
    whole = Config(merged, field)
    if not NAME.fullmatch(model_type):
        raise whole.error("model_type", f"{shown(model_type)} is the name of no architecture")
    if outer.get("is_encoder_decoder") or merged.get("is_encoder_decoder") or model_type in NOT_DECODERS:
        raise whole.error("model_type", f"{model_type!r} is not a decoder; a decoder-only language model is needed")
    notes: tuple[str, ...] = ()
    if like.startswith("like-"):
        read_as = like.removeprefix("like-")
        found = family(read_as)
        if found is None or found.refuse:
            raise ProblemError(f"{field}.architecture", f"{like!r} is not known; {closest(read_as, known())}")
        said = f"model type {model_type!r}" if model_type and model_type != read_as else "the model"
        notes = (
            f"{said} is read as if it had the layers of {read_as}, because the problem says so (architecture: {like})",
        )
    else:
        read_as, found = model_type, family(model_type)
        found = _known(whole, model_type, found)
    _same_structure(whole, read_as, found)
    config = Config(merged, field, class_defaults(read_as), complete=not nested)
    return Selected(config, found, model_type or read_as, merged, outer, notes)


def _nested(values: Mapping[str, Any]) -> Mapping[str, Any]:
    """The language model's part: the file itself, or what it nests, whatever the depth."""
    for key in NESTED:
        inner = values.get(key)
        if isinstance(inner, Mapping):
            deeper = _nested(inner)
            passed = {k: values[k] for k in INHERITED if k in values and k not in deeper}
            own = RETYPED.get(str(values.get("model_type") or "").lower())
            stated = own or deeper.get("model_type") or _type_of_nested(values)
            return {**passed, **deeper, "model_type": stated}
    return values


def _type_of_nested(values: Mapping[str, Any]) -> str:
    """A nested config may leave its type to the outer one's class (``gemma3`` nests ``gemma3_text``)."""
    outer = str(values.get("model_type") or "").lower()
    plain = {"llava": "llama", "llava_next": "llama", "mistral3": "mistral", "idefics3": "llama", "smolvlm": "llama"}
    return plain.get(outer, f"{outer}_text" if family(f"{outer}_text") else outer)


def _known(config: Config, model_type: str, found: Family | None) -> Family:
    if found is not None and not found.refuse:
        return found
    if model_type in WITHOUT_ATTENTION:
        raise config.error(
            "model_type",
            f"{model_type!r} has no attention, so its layers are not modelled; decoders with attention are",
        )
    why = found.refuse if found else ""
    if not model_type:
        raise config.error("model_type", f"is missing: it says how the layers are read. {_what_to_do('')}")
    raise config.error(
        "model_type",
        f"{model_type!r} is not on the list of architectures that are read, so its layers are not modelled"
        + (f" ({why})" if why else "")
        + f", and nothing is guessed. {_what_to_do(model_type)}",
    )


def _what_to_do(model_type: str) -> str:
    near = near_names(model_type, known())
    listed = f"did you mean {' or '.join(near)}?" if near else "`optimizer model --known` lists them"
    return (
        f"If its layers are those of a listed type ({listed}), say so with `architecture: like-llama` (or another type) beside"
        " the config, and every answer will repeat it; or state the facts inline, as `optimizer model --template` prints them"
    )


def _same_structure(config: Config, read_as: str, found: Family) -> None:
    """The file states no structure that the family does not read.

    Raises:
        ProblemError: it does; the counts would be wrong.
    """
    reads = {found.reader, *({"latent"} if found.mla else ()), *({"delta"} if found.linear_layers else ())}
    for key, readers in STRUCTURE.items():
        stated = config.values.get(key)
        idle = not stated or (key == "attn_type_list" and isinstance(stated, list) and set(stated) == {1})
        if not idle and not reads & readers:
            raise config.error(
                key, f"is no part of {read_as or 'these'} layers, so the counts would be wrong: not modelled"
            )
    for key in EXPERT_COUNTS:
        count = config.values.get(key)
        if not found.experts and found.reader != "gemma4" and isinstance(count, int) and count > 1:
            raise config.error(key, f"{count}: {read_as or 'these'} layers have no experts; not modelled")
