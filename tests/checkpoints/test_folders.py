"""A folder with a config: what stands beside it counts, and its tensors have to fit; towers; the command."""

from __future__ import annotations

import json
import struct
from pathlib import Path
from typing import Any

import pytest
from typer.testing import CliRunner

from optimizer.checkpoints.config import Config
from optimizer.checkpoints.huggingface import model_from_config
from optimizer.checkpoints.towers import CLASS_DEFAULTS, TOWERS
from optimizer.cli.program import app_of
from optimizer.facts.errors import ProblemError
from optimizer.questions.model import describe, legal_tensor_parallel
from optimizer.reading.checkpoint import model_at

LLAMA: dict[str, Any] = {
    "model_type": "llama", "hidden_size": 64, "num_hidden_layers": 2, "num_attention_heads": 4, "num_key_value_heads": 2,
    "intermediate_size": 128, "vocab_size": 100, "max_position_embeddings": 512,
}  # fmt: skip


def _folder(path: Path, sizes: dict[str, int], **more: Any) -> Path:
    (path / "config.json").write_text(json.dumps({**LLAMA, **more}))
    header, start = {}, 0
    for name, size in sizes.items():
        header[name] = {"dtype": "BF16", "shape": [size // 2], "data_offsets": [start, start + size]}
        start += size
    text = json.dumps(header).encode()
    (path / "model.safetensors").write_bytes(struct.pack("<Q", len(text)) + text)
    return path


def test_tensors_that_fit_are_said(tmp_path: Path) -> None:
    right = describe_bytes()
    model = model_at(_folder(tmp_path, {"model.layers.0.x": right, "visual.y": 10**6, "mtp.z": 10**6}))
    assert any("checked against the tensors" in note for note in model.notes)


def describe_bytes() -> int:
    return model_from_config(LLAMA, name="x").weight_bytes


def test_tensors_that_do_not_fit_are_an_error_that_names_both(tmp_path: Path) -> None:
    with pytest.raises(ProblemError, match=r"config.json counts to .* the tensors in model.safetensors take"):
        model_at(_folder(tmp_path, {"model.layers.0.x": int(describe_bytes() * 1.05)}))


def test_the_index_alone_is_enough(tmp_path: Path) -> None:
    (tmp_path / "config.json").write_text(json.dumps(LLAMA))
    index = tmp_path / "model.safetensors.index.json"
    index.write_text(json.dumps({"metadata": {"total_size": describe_bytes()}, "weight_map": {"a": "one.safetensors"}}))
    assert model_at(tmp_path).notes
    index.write_text(json.dumps({"metadata": {"total_size": 2 * describe_bytes()}}))
    with pytest.raises(ProblemError, match=r"index\.json"):
        model_at(tmp_path)


def test_what_model_optimizer_writes_beside_the_config_counts(tmp_path: Path) -> None:
    (tmp_path / "config.json").write_text(json.dumps(LLAMA))
    stated = {"producer": {"name": "modelopt"}, "quantization": {"quant_algo": "FP8", "exclude_modules": ["lm_head"]}}
    (tmp_path / "hf_quant_config.json").write_text(json.dumps(stated))
    assert model_at(tmp_path).native_weight_format == "fp8"


def test_what_belongs_to_one_of_several_configs_stands_under_its_name(tmp_path: Path) -> None:
    stated = {"producer": {"name": "modelopt"}, "quantization": {"quant_algo": "FP8", "exclude_modules": ["lm_head"]}}
    for name in ("org--a", "org--b"):
        (tmp_path / f"{name}_config.json").write_text(json.dumps(LLAMA))
    (tmp_path / "org--a_hf_quant_config.json").write_text(json.dumps(stated))
    read = [model_at(tmp_path / f"{name}_config.json").native_weight_format for name in ("org--a", "org--b")]
    assert read == ["fp8", "bf16"]


def test_limits_without_end_are_read_and_sizes_without_end_refused(tmp_path: Path) -> None:
    # NVIDIA's Nemotron-H files hold "time_step_limit": [0.0, Infinity], as Python's json writes it.
    file = tmp_path / "config.json"
    file.write_text(json.dumps({**LLAMA, "time_step_limit": [0.0, float("inf")]}))
    assert model_at(tmp_path).parameters == model_from_config(LLAMA, name="x").parameters
    file.write_text(json.dumps({**LLAMA, "hidden_size": float("inf")}))
    with pytest.raises(ProblemError, match=r"hidden_size: inf is not a whole number"):
        model_at(tmp_path)


# Towers with their projectors, counted on the classes of transformers 5.24.0 at these sizes.
COUNTED = [
    ("voxtral_encoder", {}, "voxtral", 3072, 662_134_784),
    ("siglip_vision_model", {}, "gemma3", 2304, 94_654_464),
    (
        "clip_vision_model",
        {"hidden_size": 1024, "intermediate_size": 4096, "num_hidden_layers": 24, "image_size": 336, "patch_size": 14},
        "llava",
        4096,
        324_487_168,
    ),
    ("pixtral", {"patch_size": 14}, "mistral3", 5120, 438_958_080),
    ("qwen2_vl", {}, "qwen2_vl", 8192, 675_759_104),
    ("qwen2_5_vl", {}, "qwen2_5_vl", 8192, 3_083_025_152),
    ("qwen3_vl", {}, "qwen3_vl", 4096, 566_949_104),
    ("qwen3_5", {}, "qwen3_5", 4096, 453_650_672),
    ("llama4_vision_model", {}, "llama4", 5120, 455_178_240),
    ("kimi_k25", {}, "kimi_k25", 7168, 471_143_920),
    (
        "siglip_vision_model",
        {"hidden_size": 1152, "num_hidden_layers": 27, "image_size": 512},
        "cohere2_vision",
        8192,
        670_168_832,
    ),
    ("siglip_vision_model", {}, "deepseek_vl", 4096, 112_815_360),
    ("glm4v_vision", {}, "glm4v", 4096, 892_498_432),
    ("internvl_vision", {}, "internvl", 4096, 337_509_376),
    ("idefics3_vision", {}, "idefics3", 4096, 171_270_144),
    ("siglip2_vision_model", {}, "lfm2_vl", 2560, 107_359_488),
    ("gemma4_vision", {}, "gemma4", 2560, 167_364_608 + 768 * 2560),
    ("gemma4_audio", {}, "gemma4", 2560, 304_824_608 + 1536 * 2560),
    ("minimax_m3_vl_vision", {}, "minimax_m3_vl", 6144, 865_567_232),
    ("step3p5_vision", {}, "step3p7", 4096, 1_981_014_784),
    ("exaone4_5_vision", {}, "exaone4_5", 3584, 2_671_868_672),
    ("qwen2_5_omni_vision_encoder", {}, "qwen2_5_omni_thinker", 3584, 3_083_025_152),
    ("qwen2_5_omni_audio_encoder", {}, "qwen2_5_omni_thinker", 3584, 3_722_672_384 - 3_083_025_152),
    ("qwen3_omni_moe_vision_encoder", {"deepstack_visual_indexes": [8, 16, 24]}, "qwen3_omni_moe", 2048, 566_949_104),
    ("qwen3_omni_moe_audio_encoder", {}, "qwen3_omni_moe", 3584, 649_894_784),
]


@pytest.mark.parametrize(
    ("kind", "stated", "outer", "hidden", "count"), COUNTED, ids=[f"{case[2]}-{case[0]}" for case in COUNTED]
)
def test_towers(kind: str, stated: dict[str, Any], outer: str, hidden: int, count: int) -> None:
    config = Config(stated, "vision_config", CLASS_DEFAULTS[kind], complete=False)
    assert TOWERS[kind](config, {"model_type": outer}, hidden) == count


def test_the_command_prints_what_was_read() -> None:
    done = CliRunner().invoke(app_of(), ["model", "deepseek-v3", "--json"])
    data = json.loads(done.stdout)
    assert data["parameters"] == 671_026_419_200
    assert data["kv_bytes_per_token"]["full"] == 70_272
    assert data["legal_tensor_parallel"] == [1, 2, 4, 8, 16]
    assert set(data) >= {
        "weight_bytes",
        "state_bytes_per_sequence",
        "vision_parameters",
        "mtp_parameters",
        "quantization",
    }
    assert CliRunner().invoke(app_of(), ["model", "--template"]).stdout.startswith("model:")


def test_groups_of_an_odd_number_of_blocks_allow_one_gpu() -> None:
    # 29568 / 128 = 231 groups.
    config = {
        **LLAMA, "model_type": "qwen2", "hidden_size": 8192, "intermediate_size": 29568, "num_attention_heads": 64,
        "num_key_value_heads": 8, "quantization_config": {"quant_method": "awq", "bits": 4, "group_size": 128},
    }  # fmt: skip
    from optimizer.checkpoints.huggingface import model_from_config

    assert legal_tensor_parallel(model_from_config(config, name="x")) == [1]
    assert describe("qwen3-8b")["legal_tensor_parallel"] == [1, 2, 4, 8, 16, 32]


def test_what_an_engine_pads_or_halves_limits_no_degree() -> None:
    # gpt-oss-120b runs at TP8 (docs.vllm.ai, recipes): 2,880 / 8 = 360 is no multiple of 32, and vLLM pads mxfp4.
    assert describe("gpt-oss-120b")["legal_tensor_parallel"][:4] == [1, 2, 4, 8]
    # Qwen1.5-MoE-A2.7B-Chat-GPTQ-Int4: 1,408 / 2 = 704 is no multiple of 128; moe_wna16.py halves the groups of experts, not of the MLP.
    config = {
        "model_type": "qwen2_moe", "hidden_size": 2048, "intermediate_size": 5632, "moe_intermediate_size": 1408, "num_experts": 60,
        "shared_expert_intermediate_size": 5632, "num_experts_per_tok": 4, "num_hidden_layers": 2, "num_attention_heads": 16,
        "num_key_value_heads": 16, "vocab_size": 151936, "decoder_sparse_step": 1,
        "quantization_config": {"quant_method": "gptq", "bits": 4, "group_size": 128},
    }  # fmt: skip
    assert legal_tensor_parallel(model_from_config(config, name="x")) == [1, 2, 4]
    # Experts alone are in groups of 32 (Kimi-K2.5): attention in 16 bit binds nothing.
    assert describe("kimi-k2.5")["legal_tensor_parallel"] == [1, 2, 4, 8, 16, 32, 64]


def test_blocks_of_delta_nets_limit_degrees_too() -> None:
    # vLLM refuses Qwen3-Next in blocks of 128 at TP8: 512 / 8 = 64 of each expert.
    config = {
        "model_type": "qwen3_next", "hidden_size": 2048, "intermediate_size": 5120, "moe_intermediate_size": 512, "num_experts": 512,
        "shared_expert_intermediate_size": 512, "num_experts_per_tok": 10, "num_hidden_layers": 4, "num_attention_heads": 16,
        "num_key_value_heads": 2, "head_dim": 256, "vocab_size": 151936, "decoder_sparse_step": 1, "linear_num_key_heads": 16,
        "linear_num_value_heads": 32, "linear_key_head_dim": 128, "linear_value_head_dim": 128,
        "quantization_config": {
            "quant_method": "fp8", "weight_block_size": [128, 128], "modules_to_not_convert": ["linear_attn.in_proj_ba", "lm_head"],
        },
    }  # fmt: skip
    assert legal_tensor_parallel(model_from_config(config, name="x")) == [1, 2, 4]
