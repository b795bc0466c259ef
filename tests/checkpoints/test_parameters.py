"""Parameter counts: golden figures with sources, published totals, and the sharding groups they are made of."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from optimizer.catalog import lookup as catalog
from optimizer.checkpoints.huggingface import model_from_config
from optimizer.facts.errors import ProblemError


def test_llama3_70b_is_70_553_706_496() -> None:
    # Hugging Face safetensors metadata of meta-llama/Meta-Llama-3-70B-Instruct.
    assert catalog.model("llama3-70b").parameters == 70_553_706_496


@pytest.mark.parametrize("name", catalog.names("models"))
def test_catalog_models_agree_with_published_totals(name: str) -> None:
    model = catalog.model(name)
    assert model.published_parameters is not None
    published = model.published_parameters
    # Totals that the authors rounded (284B, 1.6T) bind to half a unit of their last digit.
    rounding = 10 ** (len(str(published)) - len(str(published).rstrip("0"))) / 2
    assert abs(model.parameters - published) <= max(0.005 * published, rounding)
    assert sum(model.components().values()) == model.parameters


PUBLISHED = {
    # Model cards and safetensors metadata; DeepSeek-V3 without its multi-token-prediction module.
    "Qwen--Qwen3-235B-A22B": 235_093_634_560,
    "Qwen--Qwen3-32B": 32_762_123_264,
    "deepseek-ai--DeepSeek-V3": 671_026_419_200,
    "meta-llama--Meta-Llama-3.1-405B": 405_853_388_800,
    "meta-llama--Meta-Llama-3.1-70B": 70_553_706_496,
    "meta-llama--Meta-Llama-3.1-8B": 8_030_261_248,
    "mistralai--Mixtral-8x7B-v0.1": 46_702_792_704,
    "openai--gpt-oss-120b": 116_829_156_672,
}


@pytest.mark.parametrize("name", sorted(PUBLISHED))
def test_real_configs_agree_with_published_totals(name: str, shared: Path) -> None:
    config = json.loads((shared / "models" / f"{name}_config.json").read_text())
    assert abs(model_from_config(config, name=name).parameters / PUBLISHED[name] - 1) < 0.005


def test_active_parameters_of_moe_models() -> None:
    # Model cards: Mixtral 12.9 B, Qwen3-235B 22 B, DeepSeek-V3 37 B; gpt-oss counts 5.13 B without the embedding.
    assert round(catalog.model("mixtral-8x7b").active_parameters / 1e9, 1) == 12.9
    assert round(catalog.model("qwen3-235b-a22b").active_parameters / 1e9) == 22
    assert round(catalog.model("deepseek-v3").active_parameters / 1e9) == 38
    oss = catalog.model("gpt-oss-120b")
    assert round((oss.active_parameters - oss.embedding_parameters) / 1e9, 2) == 5.13


def _llama() -> dict[str, object]:
    return {
        "model_type": "llama",
        "hidden_size": 64,
        "num_hidden_layers": 2,
        "num_attention_heads": 4,
        "num_key_value_heads": 2,
        "intermediate_size": 128,
        "vocab_size": 100,
        "max_position_embeddings": 512,
    }


def test_a_tiny_llama_by_hand() -> None:
    model = model_from_config(_llama(), name="tiny")
    attention = 64 * 64 + 2 * 64 * 32 + 64 * 64
    assert model.parameters == 2 * 100 * 64 + 2 * (attention + 3 * 64 * 128 + 2 * 64) + 64
    assert model.kinds[0].kv_values_per_token_per_kv_head == 2 * 16


def test_tied_embeddings_are_counted_once() -> None:
    model = model_from_config(_llama() | {"tie_word_embeddings": True}, name="tiny")
    assert model_from_config(_llama(), name="tiny").parameters - model.parameters == 100 * 64


@pytest.mark.parametrize(
    ("change", "field"),
    [
        ({"num_hidden_layers": -80}, "num_hidden_layers"),
        ({"num_hidden_layers": None}, "num_hidden_layers"),
        ({"num_attention_heads": 0}, "num_attention_heads"),
        ({"num_key_value_heads": 3}, "num_key_value_heads"),
        ({"hidden_size": "big"}, "hidden_size"),
        ({"hidden_size": 65}, "num_attention_heads"),
        ({"model_type": "bert"}, "model_type"),
        ({"model_type": "mamba2"}, "model_type"),
        ({"is_encoder_decoder": True}, "model_type"),
        ({"torch_dtype": "int3"}, "torch_dtype"),
        ({"quantization_config": {"quant_method": "magic"}}, "quantization_config"),
        ({"model_type": "mixtral", "num_local_experts": 4, "num_experts_per_tok": 8}, "num_experts_per_tok"),
        ({"num_local_experts": 4, "num_experts_per_tok": 2}, "num_local_experts"),
        ({"model_type": None}, "model_type"),
        ({"model_type": "lama"}, "model_type"),
    ],
)
def test_configs_that_make_no_sense_are_refused_by_field(change: dict[str, object], field: str) -> None:
    values = _llama() | change
    with pytest.raises(ProblemError) as error:
        model_from_config({k: v for k, v in values.items() if v is not None}, name="bad")
    assert field in error.value.field


def test_windows_and_mla_are_read() -> None:
    oss = catalog.model("gpt-oss-120b")
    assert {oss.kinds[k].window_tokens for k in oss.kind_of_layer} == {0, 128}
    deepseek = catalog.model("deepseek-v3")
    assert deepseek.mla and deepseek.kinds[0].kv_values_per_token_replicated == 512 + 64
