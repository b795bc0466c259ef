"""Parameters of vision towers that merge patches before the projector, or have scales and heads of their own; as ``vision_towers``."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from optimizer.checkpoints.config import Config
from optimizer.checkpoints.vision_towers import block, grid, merger


def _side(config: Config, key: str, default: int) -> int:
    """An edge in pixels, which some files state for both directions."""
    value = config.values.get(key, config.defaults.get(key, default))
    return int(value[0] if isinstance(value, list) else value)


def glm4v(config: Config, outer: Mapping[str, Any], out: int) -> int:
    """GLM-4.1V to GLM-4.6V: the width of the blocks' MLP is that of the language model, the merger's the file's."""
    hidden, wide, layers, patch, patches = grid(config)
    to = config.option("out_hidden_size", default=out)
    layer = 2 * hidden + 4 * hidden * hidden + 3 * to * hidden
    body = 6 * patch**2 * hidden + hidden + patches * hidden + layers * layer + 2 * hidden
    merge = config.option("spatial_merge_size", default=2) ** 2
    return body + merge * hidden * to + to + to * to + 2 * to + 3 * to * wide


def internvl(config: Config, outer: Mapping[str, Any], out: int) -> int:
    """InternViT, with a scale beside each half of a layer; files of the first releases say ``qkv_bias`` and ``qk_normalization``."""
    hidden, width = config.size("hidden_size"), config.size("intermediate_size")
    layers = config.size("num_hidden_layers")
    patch, image = _side(config, "patch_size", 14), _side(config, "image_size", 448)
    bias = config.flag("qkv_bias") or config.flag("attention_bias")
    norms = 2 * hidden if config.values.get("norm_type") == "rms_norm" else 4 * hidden
    layer = 2 * hidden + 4 * hidden**2 + hidden * (4 if bias else 1) + 2 * hidden * width + width + hidden + norms
    layer += 2 * hidden if config.flag("use_qk_norm") or config.flag("qk_normalization") else 0
    body = hidden + ((image // patch) ** 2 + 1) * hidden + 3 * patch**2 * hidden + hidden + layers * layer
    merged = 4 * hidden
    return body + 2 * merged + merger_without_first(merged, out)


def merger_without_first(inner: int, out: int) -> int:
    """Two linear layers with biases, both as wide as the language model."""
    return inner * out + out + out * out + out


def idefics3(config: Config, outer: Mapping[str, Any], out: int) -> int:
    """Idefics 3 and SmolVLM: SigLIP without its head, patches merged, one linear layer."""
    hidden, width, layers, patch, patches = grid(config)
    body = hidden * 3 * patch**2 + hidden + patches * hidden + layers * block(hidden, width) + 2 * hidden
    return body + hidden * int(outer.get("scale_factor", 2)) ** 2 * out


def siglip2(config: Config, outer: Mapping[str, Any], out: int) -> int:
    """SigLIP 2 of LFM2-VL: a fixed number of places, a projector with its own width."""
    hidden, width, layers, patch, _ = grid(config)
    places = config.option("num_patches", default=256)
    body = hidden * 3 * patch**2 + hidden + places * hidden + layers * block(hidden, width) + 2 * hidden
    if config.flag("vision_use_head", default=True):
        body += hidden + block(hidden, width) - 2 * hidden
    merged, inner = hidden * int(outer.get("downsample_factor", 2)) ** 2, int(outer.get("projector_hidden_size", 2560))
    norm = 2 * merged if outer.get("projector_use_layernorm", True) else 0
    bias = inner + out if outer.get("projector_bias", True) else 0
    return body + norm + merged * inner + inner * out + bias


def gemma4(config: Config, outer: Mapping[str, Any], out: int) -> int:
    """Gemma 4: two tables of positions, gated layers without biases, one linear layer."""
    hidden, width, layers, patch, _ = grid(config)
    head, heads = config.option("head_dim", default=64), config.size("num_attention_heads")
    kv = config.option("num_key_value_heads", default=heads)
    layer = 2 * hidden * head * (heads + kv) + 2 * head + 3 * hidden * width + 4 * hidden
    places = config.option("position_embedding_size", default=10240)
    return 2 * places * hidden + 3 * patch**2 * hidden + layers * layer + hidden * out


def minimax_m3(config: Config, outer: Mapping[str, Any], out: int) -> int:
    """MiniMax-M3: rotary positions, and two layers before and after patches are merged."""
    hidden, width, layers, patch, _ = grid(config)
    merge = config.option("spatial_merge_size", default=2) ** 2
    body = 6 * patch**2 * hidden + 2 * hidden + layers * block(hidden, width)
    return body + merger_without_first(hidden, out) + merger_without_first(merge * out, out)


def step3(config: Config, outer: Mapping[str, Any], out: int) -> int:
    """Step-3.7: a scale beside each half of a layer, two convolutions that halve the grid."""
    hidden, width, layers, patch, patches = grid(config)
    layer = 2 * hidden + block(hidden, width)
    down = 9 * hidden * 2 * hidden + 2 * hidden + 9 * 2 * hidden * 4 * hidden + 4 * hidden
    return 3 * patch**2 * hidden + patches * hidden + 2 * hidden + layers * layer + down + 4 * hidden * out


def exaone4_5(config: Config, outer: Mapping[str, Any], out: int) -> int:
    """EXAONE 4.5: Qwen2.5-VL's tower with grouped keys and values."""
    hidden, width, layers, patch, _ = grid(config)
    heads = config.size("num_heads")
    keys = 2 * config.option("num_key_value_heads", default=heads) * hidden // heads
    layer = (hidden + 1) * (2 * hidden + keys) + 2 * hidden + 3 * hidden * width + 2 * width + hidden
    merged = merger(4 * hidden, config.option("out_hidden_size", default=out))
    return 6 * patch**2 * hidden + layers * layer + hidden + merged
