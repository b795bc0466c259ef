"""Vision towers beside a language model: their weights with the projector, and what of a file could not be counted.

Sources: the vision models of transformers 5.24.0 (siglip, clip, pixtral, qwen2_vl, qwen2_5_vl, qwen3_vl, qwen3_5, llama4,
kimi_k25), held against models built from them. Engines keep a tower in 16 bit.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any

from optimizer.checkpoints.config import Config
from optimizer.checkpoints.select import Selected

PARTS = ("vision_config", "audio_config", "vision_tower_config", "vit_config", "encoder_config", "talker_config")
MULTIMODAL = ("gemma3", "gemma3n", "gemma4", "llava", "mistral3", "_vl", "omni", "kimi_k25", "llama4", "qwen3_5")

Tower = Callable[[Config, Mapping[str, Any], int], int]


def towers(chosen: Selected, hidden: int) -> tuple[int, tuple[str, ...]]:
    """(parameters of the towers that are counted, notes on those that are not); ``hidden`` is the language model's width.

    Raises:
        ProblemError: a size of a known tower is missing or no whole number.
    """
    outer = chosen.outer.get("thinker_config")
    outer = outer if isinstance(outer, Mapping) else chosen.outer
    outer_type = str(outer.get("model_type") or "").lower()
    stated = [key for key in PARTS if isinstance(outer.get(key), Mapping)]
    total, notes = 0, []
    for key in stated:
        values = outer[key]
        kind = str(values.get("model_type") or TYPES.get(outer_type, "")).lower()
        tower = TOWERS.get(kind)
        if tower is None:
            notes.append(f"{key} ({kind or 'no model type'}) is not counted: its weights come on top")
            continue
        config = Config(values, f"{chosen.config.field}.{key}", CLASS_DEFAULTS.get(kind, {}), complete=False)
        total += tower(config, outer, hidden)
    if total:
        notes.append(
            f"vision tower and projector, {total:,} parameters, stand on the first stage, cut by TP; beyond one stage engines"
            " keep a copy on each"
        )
    elif not stated and any(name in outer_type for name in MULTIMODAL) and outer is not chosen.values:
        nested = any(isinstance(outer.get(key), Mapping) for key in ("text_config", "llm_config"))
        if nested:
            notes.append("the file states no vision or audio tower: none is counted, its weights come on top")
    return total, tuple(notes)


def _block(hidden: int, width: int) -> int:
    """Attention with biases, two layer norms, and an MLP with biases."""
    return 4 * hidden * hidden + 4 * hidden + 4 * hidden + 2 * hidden * width + width + hidden


def _grid(config: Config) -> tuple[int, int, int, int, int]:
    """(hidden, width, layers, patch, patches) of a transformer on square images."""
    hidden, width = (
        config.size("hidden_size", "vt_hidden_size"),
        config.size("intermediate_size", "vt_intermediate_size"),
    )
    layers, patch = config.size("num_hidden_layers", "depth", "vt_num_hidden_layers"), config.size("patch_size")
    return hidden, width, layers, patch, (config.option("image_size", default=0) // patch) ** 2


def _siglip(config: Config, outer: Mapping[str, Any], out: int) -> int:
    hidden, width, layers, patch, patches = _grid(config)
    body = hidden * 3 * patch**2 + hidden + patches * hidden + layers * _block(hidden, width) + 2 * hidden
    if config.flag("vision_use_head", default=True):
        body += hidden + _block(hidden, width) - 2 * hidden
    return body + hidden * out + hidden


def _clip(config: Config, outer: Mapping[str, Any], out: int) -> int:
    hidden, width, layers, patch, patches = _grid(config)
    body = hidden + 3 * patch**2 * hidden + (patches + 1) * hidden + 4 * hidden + layers * _block(hidden, width)
    return body + hidden * out + out + out * out + out


def _pixtral(config: Config, outer: Mapping[str, Any], out: int) -> int:
    hidden, width, layers, patch, _ = _grid(config)
    body = 3 * patch**2 * hidden + hidden + layers * (4 * hidden * hidden + 3 * hidden * width + 2 * hidden)
    projector = hidden * out + out * out
    if str(outer.get("model_type")) == "mistral3":
        merge = outer.get("spatial_merge_size", 2)
        return body + projector + hidden + hidden * hidden * int(merge) ** 2
    return body + projector + 2 * out


def _merger(inner: int, out: int) -> int:
    return inner * inner + inner + inner * out + out


def _qwen2_vl(config: Config, outer: Mapping[str, Any], out: int) -> int:
    hidden, layers, patch = config.size("embed_dim"), config.size("depth"), config.size("patch_size")
    body = 3 * 2 * patch**2 * hidden + layers * _block(hidden, config.option("mlp_ratio", default=4) * hidden)
    return body + 2 * hidden + _merger(4 * hidden, config.option("hidden_size", default=out))


def _qwen2_5_vl(config: Config, outer: Mapping[str, Any], out: int) -> int:
    hidden, width, layers, patch, _ = _grid(config)
    layer = 4 * hidden * hidden + 4 * hidden + 2 * hidden + 3 * hidden * width + 2 * width + hidden
    merged = _merger(4 * hidden, config.option("out_hidden_size", default=out))
    return 3 * 2 * patch**2 * hidden + layers * layer + hidden + merged


def _qwen3_vl(config: Config, outer: Mapping[str, Any], out: int) -> int:
    hidden, width, layers, patch, _ = _grid(config)
    body = 3 * 2 * patch**2 * hidden + hidden + config.option("num_position_embeddings", default=2304) * hidden
    merged = _merger(4 * hidden, config.option("out_hidden_size", default=out))
    deep = config.values.get("deepstack_visual_indexes")
    deeper = len(deep) if isinstance(deep, list) else 3 if "qwen3_vl" in str(outer.get("model_type")) else 0
    return body + layers * _block(hidden, width) + 2 * hidden + merged + deeper * (8 * hidden + merged)


def _llama4(config: Config, outer: Mapping[str, Any], out: int) -> int:
    hidden, width, layers, patch, patches = _grid(config)
    body = hidden + (patches + 1) * hidden + 3 * patch**2 * hidden + 4 * hidden + layers * _block(hidden, width)
    inner, projected = config.size("projector_input_dim"), config.size("projector_output_dim")
    return body + width * inner + inner * projected + config.size("vision_output_dim") * out


def _kimi(config: Config, outer: Mapping[str, Any], out: int) -> int:
    hidden, width, layers, patch, _ = _grid(config)
    places = config.option("init_pos_emb_height", "pos_emb_height", default=64) ** 2
    body = 3 * patch**2 * hidden + hidden + places * hidden + layers * _block(hidden, width) + 2 * hidden
    return body + 2 * hidden + _merger(4 * hidden, out)


TOWERS: dict[str, Tower] = {
    "siglip_vision_model": _siglip,
    "clip_vision_model": _clip,
    "pixtral": _pixtral,
    "qwen2_vl": _qwen2_vl,
    "qwen2_vl_vision": _qwen2_vl,
    "qwen2_5_vl": _qwen2_5_vl,
    "qwen2_5_vl_vision": _qwen2_5_vl,
    "qwen3_vl": _qwen3_vl,
    "qwen3_vl_vision": _qwen3_vl,
    "qwen3_vl_moe": _qwen3_vl,
    "qwen3_vl_moe_vision": _qwen3_vl,
    "qwen3_5": _qwen3_vl,
    "qwen3_5_vision": _qwen3_vl,
    "qwen3_5_moe": _qwen3_vl,
    "qwen3_5_moe_vision": _qwen3_vl,
    "llama4_vision_model": _llama4,
    "kimi_k25": _kimi,
    "kimi_k25_vision": _kimi,
}
TYPES = {
    "qwen2_vl": "qwen2_vl",
    "qwen2_5_vl": "qwen2_5_vl",
    "qwen3_vl": "qwen3_vl",
    "qwen3_vl_moe": "qwen3_vl",
    "qwen3_5": "qwen3_5",
    "qwen3_5_moe": "qwen3_5",
    "kimi_k25": "kimi_k25",
    "llama4": "llama4_vision_model",
}
"""The tower of a file whose vision part states no type."""
_QWEN3: dict[str, Any] = {
    "depth": 27, "hidden_size": 1152, "intermediate_size": 4304, "patch_size": 16, "out_hidden_size": 3584,
    "num_position_embeddings": 2304,
}  # fmt: skip
CLASS_DEFAULTS: dict[str, dict[str, Any]] = {
    "siglip_vision_model": {
        "hidden_size": 768, "intermediate_size": 3072, "num_hidden_layers": 12, "image_size": 224, "patch_size": 16,
    },
    "clip_vision_model": {
        "hidden_size": 768, "intermediate_size": 3072, "num_hidden_layers": 12, "image_size": 224, "patch_size": 32,
    },
    "pixtral": {"hidden_size": 1024, "intermediate_size": 4096, "num_hidden_layers": 24, "patch_size": 16},
    "qwen2_vl": {"embed_dim": 1280, "depth": 32, "patch_size": 14, "hidden_size": 3584, "mlp_ratio": 4},
    "qwen2_5_vl": {
        "hidden_size": 3584, "intermediate_size": 3420, "depth": 32, "patch_size": 14, "out_hidden_size": 3584,
    },
    **dict.fromkeys(("qwen3_vl", "qwen3_vl_moe", "qwen3_5", "qwen3_5_moe", "qwen3_vl_vision", "qwen3_5_vision"), _QWEN3),
    "llama4_vision_model": {
        "hidden_size": 768, "intermediate_size": 5632, "num_hidden_layers": 34, "image_size": 448, "patch_size": 14,
        "projector_input_dim": 4096, "projector_output_dim": 4096, "vision_output_dim": 7680,
    },
    "kimi_k25": {"hidden_size": 1152, "intermediate_size": 4304, "num_hidden_layers": 27, "patch_size": 14},
    "kimi_k25_vision": {"hidden_size": 1152, "intermediate_size": 4304, "num_hidden_layers": 27, "patch_size": 14},
}  # fmt: skip
"""Class defaults in transformers 5.24.0, left out of nested configs."""
