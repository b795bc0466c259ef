"""Vision and audio towers beside a language model: their weights with the projector, and what of a file could not be counted.

Sources: the models of transformers 5.24.0 that the table below names, held against models built from them
(``vision_towers``, ``vision_towers_merged``, ``audio_towers``). Engines keep a tower in 16 bit.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any

from optimizer.checkpoints import audio_towers as audio
from optimizer.checkpoints import vision_towers as vision
from optimizer.checkpoints import vision_towers_merged as merged
from optimizer.checkpoints.config import Config
from optimizer.checkpoints.select import Selected
from optimizer.checkpoints.tower_runs import tower_run
from optimizer.facts.model import TowerRun

PARTS = (
    "vision_config",
    "high_res_vision_config",
    "audio_config",
    "vision_tower_config",
    "vit_config",
    "encoder_config",
    "talker_config",
    "img_processor",
    "audio_processor",
    "speech_config",
    "sound_config",
    "visual",
)
"""Where files describe what stands beside the language model."""
MULTIMODAL = ("gemma3", "gemma3n", "gemma4", "llava", "mistral3", "_vl", "omni", "kimi_k25", "llama4", "qwen3_5")

Tower = Callable[[Config, Mapping[str, Any], int], int]


def towers(chosen: Selected, hidden: int) -> tuple[int, TowerRun | None, tuple[str, ...]]:
    """(parameters of the towers that are counted, what an engine's profiling run takes for them, notes on what is not known).

    Args:
        hidden: the language model's width.

    Raises:
        ProblemError: a size of a known tower is missing or no whole number.
    """
    outer = chosen.outer.get("thinker_config")
    outer = outer if isinstance(outer, Mapping) else chosen.outer
    outer_type = str(outer.get("model_type") or "").lower()
    stated = [key for key in PARTS if isinstance(outer.get(key), Mapping)]
    total, run, notes = 0, None, []
    for key in stated:
        values = outer[key]
        kind = str(RETYPED.get(outer_type) or values.get("model_type") or TYPES.get(outer_type, "")).lower()
        tower = TOWERS.get(kind)
        if tower is None or outer_type not in BESIDE.get(kind, (outer_type,)):
            notes.append(f"{key} ({kind or 'no model type'}) is not counted: its weights come on top")
            continue
        config = Config(values, f"{chosen.config.field}.{key}", CLASS_DEFAULTS.get(kind, {}), complete=False)
        total += tower(config, outer, hidden)
        run = run or tower_run(outer_type, kind, config, outer, hidden)
    if total:
        notes.append(
            f"towers and their projectors, {total:,} parameters, stand on the first stage, cut by TP; beyond one stage engines keep a copy"
            f" on each. {_said(run)}"
        )
    elif not stated and any(name in outer_type for name in MULTIMODAL) and outer is not chosen.values:
        nested = any(isinstance(outer.get(key), Mapping) for key in ("text_config", "llm_config"))
        if nested:
            notes.append("the file states no vision or audio tower: none is counted, its weights come on top")
    return total, run, tuple(notes)


def _said(run: TowerRun | None) -> str:
    """What of an engine's profiling run is counted."""
    if run is None:
        return (
            "What an engine's profiling run takes for images and sound is not in its peak: engine_overhead states what its log prints"
            " (optimizer import log)"
        )
    return (
        f"Where the engine profiles them (vLLM), its peak holds items of the largest size, {run.item_tokens:,} tokens from"
        f" {run.item_patches:,} patches each; served without images, `--limit-mm-per-prompt` with 0 of each saves this"
    )


TOWERS: dict[str, Tower] = {
    "siglip_vision_model": vision.siglip,
    "clip_vision_model": vision.clip,
    "pixtral": vision.pixtral,
    "qwen2_vl": vision.qwen2_vl,
    "qwen2_vl_vision": vision.qwen2_vl,
    "qwen2_5_vl": vision.qwen2_5_vl,
    "qwen2_5_vl_vision": vision.qwen2_5_vl,
    "qwen3_vl": vision.qwen3_vl,
    "qwen3_vl_vision": vision.qwen3_vl,
    "qwen3_vl_moe": vision.qwen3_vl,
    "qwen3_vl_moe_vision": vision.qwen3_vl,
    "qwen3_5": vision.qwen3_vl,
    "qwen3_5_vision": vision.qwen3_vl,
    "qwen3_5_moe": vision.qwen3_vl,
    "qwen3_5_moe_vision": vision.qwen3_vl,
    "llama4_vision_model": vision.llama4,
    "kimi_k25": vision.kimi,
    "kimi_k25_vision": vision.kimi,
    "glm4v_vision": merged.glm4v,
    "glm4v_moe_vision": merged.glm4v,
    "internvl_vision": merged.internvl,
    "intern_vit_6b": merged.internvl,
    "idefics3_vision": merged.idefics3,
    "smolvlm_vision": merged.idefics3,
    "siglip2_vision_model": merged.siglip2,
    "gemma4_vision": merged.gemma4,
    "gemma4_audio": audio.gemma4,
    "minimax_m3_vl_vision": merged.minimax_m3,
    "step3p5_vision": merged.step3,
    "exaone4_5_vision": merged.exaone4_5,
    "qwen2_5_omni_vision_encoder": vision.qwen2_5_vl,
    "qwen2_5_omni_audio_encoder": audio.qwen2_5_omni,
    "qwen3_omni_moe_vision_encoder": vision.qwen3_vl,
    "qwen3_omni_moe_audio_encoder": audio.qwen3_omni,
    "qwen2_audio_encoder": audio.qwen2_audio,
    "voxtral_encoder": audio.voxtral,
}
BESIDE = {
    "idefics3_vision": ("idefics3", "smolvlm", "granite_docling"),
    "siglip2_vision_model": ("lfm2_vl",),
    "minimax_m3_vl_vision": ("minimax_m3_vl",),
    "step3p5_vision": ("step3p7",),
    "qwen2_audio_encoder": ("qwen2_audio",),
    "voxtral_encoder": ("voxtral",),
}
"""Outer types whose projector is counted with a tower; beside others it is not known."""
TYPES = {
    "qwen2_vl": "qwen2_vl",
    "qwen2_5_vl": "qwen2_5_vl",
    "qwen3_vl": "qwen3_vl",
    "qwen3_vl_moe": "qwen3_vl",
    "qwen3_5": "qwen3_5",
    "qwen3_5_moe": "qwen3_5",
    "kimi_k25": "kimi_k25",
    "llama4": "llama4_vision_model",
    "glm4v": "glm4v_vision",
    "glm4v_moe": "glm4v_moe_vision",
    "gemma4": "gemma4_vision",
    "qwen2_audio": "qwen2_audio_encoder",
    "internvl_chat": "intern_vit_6b",
}
"""The tower of a file whose vision part states no type."""
RETYPED = {"minimax_m3_vl": "minimax_m3_vl_vision"}
"""Outer types whose class reads its vision part as its own, whatever type the file states there (``MiniMaxM3VLConfig``)."""
_QWEN3: dict[str, Any] = {
    "depth": 27, "hidden_size": 1152, "intermediate_size": 4304, "patch_size": 16, "out_hidden_size": 3584,
    "num_position_embeddings": 2304,
}  # fmt: skip
_GLM4V: dict[str, Any] = {
    "depth": 24, "hidden_size": 1536, "intermediate_size": 13696, "image_size": 336, "patch_size": 14, "out_hidden_size": 4096,
}  # fmt: skip
_IDEFICS3: dict[str, Any] = {
    "hidden_size": 1152, "intermediate_size": 3072, "num_hidden_layers": 12, "image_size": 224, "patch_size": 32,
}  # fmt: skip
_WHISPER: dict[str, Any] = {"d_model": 1280, "encoder_ffn_dim": 5120, "encoder_layers": 32, "output_dim": 3584}
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
    **dict.fromkeys(("glm4v_vision", "glm4v_moe_vision"), _GLM4V),
    "internvl_vision": {
        "hidden_size": 1024, "intermediate_size": 4096, "num_hidden_layers": 24, "patch_size": 14, "image_size": 448,
    },
    **dict.fromkeys(("idefics3_vision", "smolvlm_vision"), _IDEFICS3),
    "siglip2_vision_model": {
        "hidden_size": 768, "intermediate_size": 3072, "num_hidden_layers": 12, "patch_size": 16,
    },
    "gemma4_vision": {
        "hidden_size": 768, "intermediate_size": 3072, "num_hidden_layers": 16, "num_attention_heads": 12, "patch_size": 16,
    },
    "gemma4_audio": {"hidden_size": 1024, "num_hidden_layers": 12},
    "minimax_m3_vl_vision": {
        "hidden_size": 1280, "intermediate_size": 5120, "num_hidden_layers": 32, "patch_size": 14,
    },
    "step3p5_vision": {
        "hidden_size": 1536, "intermediate_size": 8960, "num_hidden_layers": 47, "image_size": 728, "patch_size": 14,
    },
    "exaone4_5_vision": {
        "hidden_size": 3584, "intermediate_size": 3420, "depth": 32, "patch_size": 14, "num_heads": 16, "num_key_value_heads": 8,
        "out_hidden_size": 3584,
    },
    "qwen2_5_omni_vision_encoder": {
        "hidden_size": 3584, "intermediate_size": 3420, "depth": 32, "patch_size": 14, "out_hidden_size": 3584,
    },
    "qwen3_omni_moe_vision_encoder": _QWEN3,
    "voxtral_encoder": {"hidden_size": 1280, "intermediate_size": 5120, "num_hidden_layers": 32},
    **dict.fromkeys(("qwen2_5_omni_audio_encoder", "qwen3_omni_moe_audio_encoder", "qwen2_audio_encoder"), _WHISPER),
}  # fmt: skip
"""Class defaults in transformers 5.24.0, left out of nested configs."""
