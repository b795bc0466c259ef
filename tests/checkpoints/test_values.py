"""Right values of published configurations, family by family: parameters, cache, and what is refused by name."""

from __future__ import annotations

from functools import cache
from pathlib import Path
from typing import Any

import pytest
import yaml

from optimizer.checkpoints.family import family, known
from optimizer.checkpoints.huggingface import model_from_config
from optimizer.facts.errors import ProblemError
from optimizer.questions.model import kv_bytes_per_token

FILE = Path(__file__).parent / "values.yaml"


@cache
def _values() -> dict[str, dict[str, Any]]:
    values: dict[str, dict[str, Any]] = yaml.safe_load(FILE.read_text())
    return values


def _expanded(value: Any) -> Any:
    """Runs of (count, value) written out."""
    if isinstance(value, dict) and set(value) >= {"times", "runs"}:
        runs = value["runs"] * value["times"] + value.get("then", [])
        return [one for count, one in runs for _ in range(count)]
    if isinstance(value, dict):
        return {key: _expanded(one) for key, one in value.items()}
    return value


@pytest.mark.parametrize("name", sorted(_values()))
def test_published_configurations(name: str) -> None:
    case = _values()[name]
    model = model_from_config(_expanded(case["config"]), name=name)
    # Implementations without weights leave the routers' corrections out, which checkpoints store.
    assert abs(model.parameters / case["parameters"] - 1) < 1e-4
    if "full" in case:
        kept = kv_bytes_per_token(model)
        assert (kept["full"], kept["window"]) == (case["full"], case["window"])
    assert model.vision_parameters == case.get("vision", model.vision_parameters)
    if "weight_bytes" in case:
        assert abs(model.weight_bytes / case["weight_bytes"] - 1) < 1e-3
    assert sum(model.components().values()) == model.parameters


def test_every_listed_family_has_a_source() -> None:
    assert len(known()) > 100
    for name in known():
        found = family(name)
        assert found is not None and found.source


def test_identity_experts_hold_no_weights() -> None:
    # LongCat-Flash's card: 560B; the class in transformers allocates input projections for the identity experts too.
    config = {
        "model_type": "longcat_flash", "hidden_size": 6144, "num_layers": 28, "num_attention_heads": 64, "ffn_hidden_size": 12288,
        "expert_ffn_hidden_size": 2048, "n_routed_experts": 512, "zero_expert_num": 256, "zero_expert_type": "identity",
        "moe_topk": 12, "kv_lora_rank": 512, "q_lora_rank": 1536, "qk_nope_head_dim": 128, "qk_rope_head_dim": 64,
        "v_head_dim": 128, "vocab_size": 131072,
    }  # fmt: skip
    model = model_from_config(config, name="longcat")
    assert round(model.parameters / 1e9, 1) == 560.7
    assert any("identity experts" in note for note in model.notes)
    assert kv_bytes_per_token(model)["full"] == 28 * 2 * 576 * 2


def test_layers_with_heads_of_their_own_keep_them() -> None:
    # MiMo-V2-Flash: 4 KV heads in full layers, 8 in layers with a window; values are cached as wide as keys.
    config = {
        "model_type": "mimo_v2_flash", "hidden_size": 4096, "num_hidden_layers": 2, "num_attention_heads": 64,
        "num_key_value_heads": 4, "head_dim": 192, "v_head_dim": 128, "swa_num_key_value_heads": 8, "intermediate_size": 64,
        "hybrid_layer_pattern": [0, 1], "moe_layer_freq": [0, 1], "vocab_size": 100, "sliding_window": 128,
    }  # fmt: skip
    model = model_from_config(config, name="mimo")
    kept = kv_bytes_per_token(model)
    assert (kept["full"], kept["window"]) == (4 * 384 * 2, 8 * 384 * 2)
    assert model.kv_head_counts == (4, 8)


LLAMA: dict[str, Any] = {
    "hidden_size": 64, "num_hidden_layers": 2, "num_attention_heads": 4, "num_key_value_heads": 2, "intermediate_size": 128,
    "vocab_size": 100,
}  # fmt: skip


def test_an_unknown_type_is_refused_by_name_and_says_what_to_do() -> None:
    with pytest.raises(ProblemError, match=r"'made_up' is not on the list.*architecture: like-llama.*--template"):
        model_from_config({**LLAMA, "model_type": "made_up"}, name="x")


def test_latent_experts_with_residual_attention_are_refused_by_name() -> None:
    # Kimi K3: no published code says how its latent experts and residual attention are counted.
    text = {
        **LLAMA, "model_type": "kimi_linear", "routed_expert_hidden_size": 3584, "attn_res_block_size": 12, "kv_lora_rank": 512,
        "linear_attn_config": {"full_attn_layers": [2], "kda_layers": [1], "head_dim": 128, "num_heads": 4, "short_conv_kernel_size": 4},
    }  # fmt: skip
    with pytest.raises(ProblemError, match=r"Kimi K3.*not modelled"):
        model_from_config({"model_type": "kimi_k3", "text_config": text}, name="kimi-k3")


def test_like_llama_is_said() -> None:
    model = model_from_config({**LLAMA, "model_type": "made_up", "architecture": "like-llama"}, name="x")
    assert model.parameters == model_from_config({**LLAMA, "model_type": "llama"}, name="x").parameters
    assert any("because the problem says so" in note for note in model.notes)


@pytest.mark.parametrize(
    "key", ["kv_lora_rank", "linear_attn_config", "hybrid_layer_pattern", "compress_ratios", "altup_num_inputs"]
)
def test_a_structure_that_the_family_does_not_read_is_refused(key: str) -> None:
    with pytest.raises(ProblemError, match="not modelled"):
        model_from_config({**LLAMA, "model_type": "llama", key: {"x": 1}}, name="x")


@pytest.mark.parametrize(
    ("more", "length"),
    [
        ({"max_position_embeddings": 8192}, 8192),
        ({"max_position_embeddings": 8192, "model_max_length": 131072}, 131072),
        ({"max_position_embeddings": 4096, "rope_scaling": {"rope_type": "linear", "factor": 4.0}}, 16384),
        ({"max_position_embeddings": 131072, "rope_scaling": {"rope_type": "llama3", "factor": 8.0}}, 131072),
        (
            {
                "max_position_embeddings": 32768,
                "rope_scaling": {"type": "yarn", "factor": 4.0, "original_max_position_embeddings": 32768},
            },
            131072,
        ),
    ],
)
def test_the_longest_context_follows_engines(more: dict[str, Any], length: int) -> None:
    assert model_from_config({**LLAMA, "model_type": "llama", **more}, name="x").max_context_tokens == length


@pytest.mark.parametrize(("model_type", "key"), [("phi3_v", "img_processor"), ("qwen", "visual")])
def test_a_tower_in_a_flat_file_is_said(model_type: str, key: str) -> None:
    sizes = {
        "hidden_size": 3072,
        "intermediate_size": 8192,
        "num_attention_heads": 32,
        "num_hidden_layers": 32,
        "vocab_size": 32064,
    }
    model = model_from_config({"model_type": model_type, **sizes, key: {"image_dim_out": 1024}}, name="x")
    assert any(f"{key} (no model type) is not counted" in note for note in model.notes)


@pytest.mark.parametrize("model_type", ["arcee", "apertus", "jais2", "nemotron", "starcoder2", "opt"])
def test_a_width_is_four_times_the_hidden_size_only_where_the_family_says_so(model_type: str) -> None:
    config = {
        "model_type": model_type,
        "hidden_size": 64,
        "num_hidden_layers": 2,
        "num_attention_heads": 4,
        "vocab_size": 100,
    }
    with pytest.raises(ProblemError, match=r"intermediate_size: is missing"):
        model_from_config({**config, "max_position_embeddings": 64}, name="x")
    # GPT-2: n_inner null is four times n_embd.
    small = {
        "model_type": "gpt2",
        "n_embd": 64,
        "n_layer": 1,
        "n_head": 4,
        "n_positions": 8,
        "n_inner": None,
        "vocab_size": 10,
    }
    assert model_from_config(small, name="x").ffn_widths == (256,)


@pytest.mark.parametrize(
    ("model_type", "stated", "parameters"),
    [
        # Built on the classes of transformers 5.24.0 from nested configs that state nothing else.
        ("aria_text", {}, 18_517_069_824),
        ("mellum", {}, 12_149_923_072),
        ("minicpm3", {"num_hidden_layers": 62, "num_attention_heads": 40}, 4_073_875_968),
        # Step3's card: 316 B in the language model.
        ("step3_text", {}, 316_294_538_240),
    ],
)
def test_what_a_nested_config_leaves_out_is_the_class_default(
    model_type: str, stated: dict[str, Any], parameters: int
) -> None:
    nested = {"model_type": "other", "text_config": {"model_type": model_type, **stated}}
    assert abs(model_from_config(nested, name="x").parameters / parameters - 1) < 1e-4


def test_the_first_layers_are_dense_where_the_class_says_so() -> None:
    # transformers 5.24.0: without first_k_dense_replace the first layer of Kimi-Linear, A.X K1, Hy3 and MiMo-V2-Flash has no experts.
    config = {
        "model_type": "hy_v3", "hidden_size": 64, "num_hidden_layers": 4, "num_attention_heads": 4, "num_key_value_heads": 2,
        "head_dim": 16, "intermediate_size": 96, "moe_intermediate_size": 32, "num_experts": 8, "num_experts_per_tok": 2, "vocab_size": 100,
    }  # fmt: skip
    model = model_from_config(config, name="x")
    assert [model.kinds[kind].experts for kind in model.kind_of_layer] == [0, 8, 8, 8]


@pytest.mark.parametrize(
    ("change", "said"),
    [
        ({"gating": "sometimes"}, "gating"),
        ({"num_attention_heads_per_layer": [4, 3]}, "num_attention_heads_per_layer"),
        ({"model_type": "llama", "num_attention_heads_per_layer": [4, 2]}, "no part of llama layers"),
    ],
)
def test_heads_and_gates_of_laguna_are_as_its_class_knows_them(change: dict[str, Any], said: str) -> None:
    config = {
        "model_type": "laguna", "hidden_size": 64, "num_hidden_layers": 2, "num_attention_heads": 4, "num_key_value_heads": 2,
        "head_dim": 16, "intermediate_size": 64, "moe_intermediate_size": 32, "num_experts": 4, "num_experts_per_tok": 2, "vocab_size": 100,
    }  # fmt: skip
    with pytest.raises(ProblemError, match=said):
        model_from_config({**config, **change}, name="x")
