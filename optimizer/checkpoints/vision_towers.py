"""Parameters of vision towers with their projectors, one function each; counted on the classes of transformers 5.24.0."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from optimizer.checkpoints.config import Config


def block(hidden: int, width: int) -> int:
    """Attention with biases, two layer norms, and an MLP with biases."""
    return 4 * hidden * hidden + 4 * hidden + 4 * hidden + 2 * hidden * width + width + hidden


def grid(config: Config) -> tuple[int, int, int, int, int]:
    """(hidden, width, layers, patch, patches) of a transformer on square images."""
    hidden, width = (
        config.size("hidden_size", "vt_hidden_size"),
        config.size("intermediate_size", "vt_intermediate_size"),
    )
    layers, patch = config.size("num_hidden_layers", "depth", "vt_num_hidden_layers"), config.size("patch_size")
    return hidden, width, layers, patch, (config.option("image_size", default=0) // patch) ** 2


def siglip(config: Config, outer: Mapping[str, Any], out: int) -> int:
    hidden, width, layers, patch, patches = grid(config)
    body = hidden * 3 * patch**2 + hidden + patches * hidden + layers * block(hidden, width) + 2 * hidden
    # PaliGemma's class builds the tower without its pooling head; other files say so where they do.
    if config.flag("vision_use_head", default=outer.get("model_type") != "paligemma"):
        body += hidden + block(hidden, width) - 2 * hidden
    return body + _projector(str(outer.get("model_type")), outer, hidden, out)


def _projector(outer_type: str, outer: Mapping[str, Any], hidden: int, out: int) -> int:
    """From a SigLIP tower to the language model."""
    if outer_type in ("cohere2_vision", "aya_vision"):
        inner, merged = int(outer.get("alignment_intermediate_size", 36864)), 4 * hidden
        norm = 2 * merged if outer_type == "aya_vision" else 0
        return norm + merged * inner + inner + inner // 2 * out + out
    if outer_type.startswith(("llava", "deepseek_vl")):
        return hidden * out + out + out * out + out
    return hidden * out + hidden


def clip(config: Config, outer: Mapping[str, Any], out: int) -> int:
    hidden, width, layers, patch, patches = grid(config)
    body = hidden + 3 * patch**2 * hidden + (patches + 1) * hidden + 4 * hidden + layers * block(hidden, width)
    return body + hidden * out + out + out * out + out


def pixtral(config: Config, outer: Mapping[str, Any], out: int) -> int:
    hidden, width, layers, patch, _ = grid(config)
    body = 3 * patch**2 * hidden + hidden + layers * (4 * hidden * hidden + 3 * hidden * width + 2 * hidden)
    projector = hidden * out + out * out
    if str(outer.get("model_type")) == "mistral3":
        merge = Config(outer, "model").option("spatial_merge_size", default=2, minimum=1)
        return body + projector + hidden + hidden * hidden * merge**2
    return body + projector + 2 * out


def merger(inner: int, out: int) -> int:
    return inner * inner + inner + inner * out + out


def qwen2_vl(config: Config, outer: Mapping[str, Any], out: int) -> int:
    hidden, layers, patch = config.size("embed_dim"), config.size("depth"), config.size("patch_size")
    body = 3 * 2 * patch**2 * hidden + layers * block(hidden, config.option("mlp_ratio", default=4) * hidden)
    return body + 2 * hidden + merger(4 * hidden, config.option("hidden_size", default=out))


def qwen2_5_vl(config: Config, outer: Mapping[str, Any], out: int) -> int:
    hidden, width, layers, patch, _ = grid(config)
    layer = 4 * hidden * hidden + 4 * hidden + 2 * hidden + 3 * hidden * width + 2 * width + hidden
    merged = merger(4 * hidden, config.option("out_hidden_size", default=out))
    return 3 * 2 * patch**2 * hidden + layers * layer + hidden + merged


def qwen3_vl(config: Config, outer: Mapping[str, Any], out: int) -> int:
    hidden, width, layers, patch, _ = grid(config)
    body = 3 * 2 * patch**2 * hidden + hidden + config.option("num_position_embeddings", default=2304) * hidden
    merged = merger(4 * hidden, config.option("out_hidden_size", default=out))
    deep = config.values.get("deepstack_visual_indexes")
    deeper = len(deep) if isinstance(deep, list) else 3 if "qwen3_vl" in str(outer.get("model_type")) else 0
    return body + layers * block(hidden, width) + 2 * hidden + merged + deeper * (8 * hidden + merged)


def llama4(config: Config, outer: Mapping[str, Any], out: int) -> int:
    hidden, width, layers, patch, patches = grid(config)
    body = hidden + (patches + 1) * hidden + 3 * patch**2 * hidden + 4 * hidden + layers * block(hidden, width)
    inner, projected = config.size("projector_input_dim"), config.size("projector_output_dim")
    return body + width * inner + inner * projected + config.size("vision_output_dim") * out


def kimi(config: Config, outer: Mapping[str, Any], out: int) -> int:
    hidden, width, layers, patch, _ = grid(config)
    places = config.option("init_pos_emb_height", "pos_emb_height", default=64) ** 2
    body = 3 * patch**2 * hidden + hidden + places * hidden + layers * block(hidden, width) + 2 * hidden
    return body + 2 * hidden + merger(4 * hidden, out)
