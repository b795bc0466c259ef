"""The largest image or video that an engine's profiling run puts through a vision tower, where it is known for a family.

What a file states (patch, merge, widths) is read from it; the largest item is of the family's published processor, since
``config.json`` does not hold it. vLLM prints what it profiles ("budget of ... tokens, and profiled with ... items of the
maximum feature size"): 16,384 tokens an image for Qwen3.5 and 3.6 (0.19 to 0.21, steps of 8,192, 16,384 and 65,536 tokens),
31 images in 8,192 tokens for Gemma 3 (0.11), a video of 2,496 tokens for Gemma 4 (0.22). A Qwen3.6-35B-A3B on one RTX 5090
has 1.56 GiB more without images and videos; the parts counted here are 1.52 GiB and 0.06 of results.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from math import ceil
from typing import Any

from optimizer.checkpoints.config import Config
from optimizer.facts.model import TowerRun

CHANNELS = 3
QWEN2_PIXELS = 12_845_056
"""max_pixels of the image processors of Qwen2-VL and Qwen2.5-VL: 16,384 tokens of 28 x 28."""
QWEN3_PIXELS = 16_777_216
"""longest_edge of the image processors from Qwen3-VL on: 16,384 tokens of 32 x 32."""
LLAMA4_TILES = 17
"""16 tiles at most and the whole image."""
GEMMA3_MARKS = 4
"""Beside the tokens of an image: its begin and end, and two blank lines."""
GEMMA4_VIDEO = {"frames": 32, "tokens": 70, "marks": 8}
"""Of a video: frames, tokens of each, and what marks each frame; 2,496 tokens in all."""

Run = Callable[[Config, Mapping[str, Any], int], TowerRun]


def qwen2(config: Config, outer: Mapping[str, Any], out: int) -> TowerRun:
    hidden, patch = config.size("embed_dim"), config.size("patch_size")
    width = config.option("mlp_ratio", default=4) * hidden
    return _merged(
        QWEN2_PIXELS, patch, config.option("spatial_merge_size", default=2, minimum=1), hidden, 2 * width, out
    )


def qwen2_5(config: Config, outer: Mapping[str, Any], out: int) -> TowerRun:
    hidden, width, patch = config.size("hidden_size"), config.size("intermediate_size"), config.size("patch_size")
    # The vision part of Qwen2.5-VL states its own width; an MLP with a gate holds both halves and their product.
    return _merged(
        QWEN2_PIXELS, patch, config.option("spatial_merge_size", default=2, minimum=1), hidden, 3 * width, out
    )


def qwen3(config: Config, outer: Mapping[str, Any], out: int) -> TowerRun:
    hidden, width, patch = config.size("hidden_size"), config.size("intermediate_size"), config.size("patch_size")
    deep = config.values.get("deepstack_visual_indexes")
    levels = len(deep) if isinstance(deep, list) else 3 if "qwen3_vl" in str(outer.get("model_type")) else 0
    merge = config.option("spatial_merge_size", default=2, minimum=1)
    return _merged(QWEN3_PIXELS, patch, merge, hidden, 2 * width, out * (1 + levels))


def gemma3(config: Config, outer: Mapping[str, Any], out: int) -> TowerRun:
    hidden, width, patch = config.size("hidden_size"), config.size("intermediate_size"), config.size("patch_size")
    tokens = Config(outer, "model").option("mm_tokens_per_image", default=256, minimum=1)
    return TowerRun(
        item_tokens=tokens + GEMMA3_MARKS,
        item_patches=(config.size("image_size") // patch) ** 2,
        patch_values=2 * hidden + CHANNELS * patch**2,
        patch_values_cut=2 * width,
        token_values=out,
    )


def gemma4(config: Config, outer: Mapping[str, Any], out: int) -> TowerRun:
    hidden, width, patch = config.size("hidden_size"), config.size("intermediate_size"), config.size("patch_size")
    pooled = config.option("pooling_kernel_size", default=3, minimum=1) ** 2
    video = GEMMA4_VIDEO
    # The tower is that of transformers, which engines do not cut.
    return TowerRun(
        item_tokens=video["frames"] * (video["tokens"] + video["marks"]),
        item_patches=video["frames"] * video["tokens"] * pooled,
        patch_values=2 * hidden + 3 * width + CHANNELS * patch**2,
        patch_values_cut=0,
        token_values=out,
    )


def pixtral(config: Config, outer: Mapping[str, Any], out: int) -> TowerRun:
    hidden, width, patch = config.size("hidden_size"), config.size("intermediate_size"), config.size("patch_size")
    merge = (
        Config(outer, "model").option("spatial_merge_size", default=2, minimum=1)
        if outer.get("model_type") == "mistral3"
        else 1
    )
    side = ceil(config.option("image_size", default=1024) / (patch * merge))
    # Each row of an image ends with a token of its own.
    return TowerRun(
        item_tokens=side * (side + 1),
        item_patches=(side * merge) ** 2,
        patch_values=2 * hidden + CHANNELS * patch**2,
        patch_values_cut=3 * width,
        token_values=out,
    )


def llama4(config: Config, outer: Mapping[str, Any], out: int) -> TowerRun:
    hidden, width, patch = config.size("hidden_size"), config.size("intermediate_size"), config.size("patch_size")
    patches = (config.size("image_size") // patch) ** 2
    return TowerRun(
        item_tokens=LLAMA4_TILES * patches // 4,
        item_patches=LLAMA4_TILES * (patches + 1),
        patch_values=2 * hidden + CHANNELS * patch**2,
        patch_values_cut=2 * width,
        token_values=out,
    )


def _merged(pixels: int, patch: int, merge: int, hidden: int, cut: int, out: int) -> TowerRun:
    """Of a tower that works on pairs of frames and merges squares of patches."""
    patches = pixels // patch**2
    return TowerRun(
        item_tokens=patches // merge**2,
        item_patches=patches,
        patch_values=2 * hidden + 2 * CHANNELS * patch**2,
        patch_values_cut=cut,
        token_values=out,
    )


RUNS: dict[str, dict[str, Run]] = {
    "qwen2_vl": {"qwen2_vl": qwen2},
    "qwen2_5_vl": {"qwen2_5_vl": qwen2_5},
    "qwen3_vl": {"qwen3_vl": qwen3},
    "qwen3_vl_moe": {"qwen3_vl": qwen3, "qwen3_vl_moe": qwen3},
    "qwen3_5": {"qwen3_5": qwen3, "qwen3_vl": qwen3},
    "qwen3_5_moe": {"qwen3_5": qwen3, "qwen3_5_moe": qwen3, "qwen3_vl_moe": qwen3},
    "gemma3": {"siglip_vision_model": gemma3},
    "gemma4": {"gemma4_vision": gemma4},
    "mistral3": {"pixtral": pixtral},
    "llava": {"pixtral": pixtral},
    "llama4": {"llama4_vision_model": llama4},
}
"""By the file's type and its tower's, the latter without an ending ``_vision``."""


def tower_run(outer_type: str, kind: str, config: Config, outer: Mapping[str, Any], out: int) -> TowerRun | None:
    """The run of a tower; None where the largest item of the family is not known here.

    Args:
        outer_type: ``model_type`` of the file.
        kind: that of its vision part.
        out: the language model's width.
    """
    runs = RUNS.get(outer_type, {})
    found = runs.get(kind) or runs.get(kind.removesuffix("_vision"))
    return found(config, outer, out) if found else None
