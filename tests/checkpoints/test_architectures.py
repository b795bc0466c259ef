"""What sets architectures apart in the importer; totals of all catalog models are checked in test_parameters.py."""

from __future__ import annotations

from typing import Any

import pytest

from optimizer.catalog import lookup as catalog
from optimizer.checkpoints.huggingface import model_from_config
from optimizer.facts.errors import ProblemError
from optimizer.questions.model import kv_bytes_per_token

EXACT = {
    # Safetensors totals in Hugging Face metadata (Qwen3-Next: without its multi-token-prediction module).
    "llama3.3-70b": 70_553_706_496,
    "qwen3-4b": 4_022_468_096,
    "qwen3-30b-a3b": 30_532_122_624,
    "qwen3-next-80b-a3b": 79_674_391_296,
    "qwen2.5-72b": 72_706_203_648,
    "mixtral-8x22b": 140_630_071_296,
    "mistral-large-123b": 122_610_069_504,
    "gpt-oss-20b": 20_914_757_184,
    "qwen3-coder-480b-a35b": 480_154_875_392,
    "kimi-k2": 1_026_408_232_448,
}


@pytest.mark.parametrize("name", sorted(EXACT))
def test_exact_totals(name: str) -> None:
    assert catalog.model(name).parameters == EXACT[name]


def test_llama4_has_a_shared_expert_chunked_attention_and_every_other_layer_dense() -> None:
    maverick, scout = catalog.model("llama4-maverick"), catalog.model("llama4-scout")
    experts = [maverick.kinds[k].experts for k in maverick.kind_of_layer]
    assert experts[:4] == [0, 128, 0, 128]
    assert {scout.kinds[k].experts for k in scout.kind_of_layer} == {16}
    assert maverick.ffn_widths == (8192, 16384)
    assert [maverick.kinds[k].window_tokens for k in maverick.kind_of_layer[:4]] == [8192, 8192, 8192, 0]
    assert round(scout.active_parameters / 1e9) == round(maverick.active_parameters / 1e9) == 17


def test_the_indexer_of_sparse_attention_adds_parameters_and_cache() -> None:
    plain, sparse = catalog.model("deepseek-v3"), catalog.model("deepseek-v3.2")
    indexer = 1536 * 64 * 128 + 7168 * 128 + 7168 * 64 + 2 * 128
    assert sparse.parameters - plain.parameters == 61 * indexer
    assert sparse.kinds[0].kv_values_per_token_replicated == 512 + 64
    assert sparse.kinds[0].index_bytes_per_token == 128 + 4


def test_glm_has_biases_on_query_key_and_value_only() -> None:
    config: dict[str, Any] = dict(catalog.entry("models", "glm-4.5")["config"])
    biased = model_from_config(config, name="glm")
    bare = model_from_config(config | {"attention_bias": False}, name="glm")
    assert biased.parameters - bare.parameters == 92 * (96 + 2 * 8) * 128


@pytest.mark.parametrize(
    "change", [{"model_type": "made_up"}, {"model_type": "mamba2"}, {"linear_attn_config": {"head_dim": 8}}]
)
def test_architectures_that_are_not_modelled_are_refused(change: dict[str, Any]) -> None:
    config = {
        "model_type": "llama",
        "hidden_size": 64,
        "num_hidden_layers": 2,
        "num_attention_heads": 4,
        "vocab_size": 100,
    }
    with pytest.raises(ProblemError, match="not modelled"):
        model_from_config(config | change, name="other")


def _exact_halves(name: str) -> list[tuple[bool, bool, bool]]:
    """Per layer: caches by token, keeps a state, has experts."""
    model = catalog.model(name)
    kinds = [model.kinds[k] for k in model.kind_of_layer]
    cached = [k.kv_values_per_token_per_kv_head + k.kv_values_per_token_replicated > 0 for k in kinds]
    return [(c, k.state_values_per_sequence > 0, k.experts > 0) for c, k in zip(cached, kinds, strict=True)]


def test_nemotron_hybrids_have_one_half_a_layer() -> None:
    halves = _exact_halves("nemotron-3-nano-30b-a3b")
    assert all(sum(half) == 1 for half in halves)
    assert [sum(half[place] for half in halves) for place in range(3)] == [6, 23, 23]


def test_a_searched_decoder_lacks_some_attention() -> None:
    model = catalog.model("nemotron-super-49b")
    cached = [model.kinds[k].kv_values_per_token_per_kv_head > 0 for k in model.kind_of_layer]
    assert (len(cached), model.kv_heads, cached.count(False)) == (80, 8, 31)


def test_deepseek_v4_caches_a_window_and_compressed_vectors() -> None:
    model = catalog.model("deepseek-v4-flash")
    kinds = [model.kinds[k] for k in model.kind_of_layer]
    per_token = [k.kv_values_per_token_replicated for k in kinds]
    # Ratio 0: the window alone. Bytes of a page of 256 tokens in multiples of 576: at ratio 4, 64 vectors of 584 (37,440) and
    # 64 index keys of 132 (8,640), 180 a token; at ratio 128, 2 vectors (1,728), 6.75 a token, rounded up.
    assert [per_token.count(n) for n in (512, 180, 7)] == [2, 21, 20]
    assert [k.window_tokens for k in kinds[:3]] == [128, 128, 0]
    assert kinds[2].state_values_replicated == 128 * 512
    assert round(model.active_parameters / 1e9) == 14  # 13 B by the authors, without the embedding


@pytest.mark.parametrize(
    ("change", "field"),
    [
        ({"model_type": "deepseek_v4", "head_dim": 16, "sliding_window": 8, "compress_ratios": [4]}, "compress_ratios"),
        ({"model_type": "nemotron_h", "hybrid_override_pattern": "MX"}, "hybrid_override_pattern"),
        ({"model_type": "mixtral", "moe_layer_freq": [1], "num_experts": 4}, "moe_layer_freq"),
        (
            {"model_type": "nemotron_h", "hybrid_override_pattern": 3, "num_hidden_layers": None},
            "hybrid_override_pattern",
        ),
        ({"model_type": "qwen3_moe", "mlp_only_layers": 1, "num_experts": 4}, "mlp_only_layers"),
        ({"model_type": "deci", "block_configs": [{}]}, "block_configs"),
        ({"model_type": "deci", "block_configs": [{"attention": {"no_op": True}}] * 2}, "block_configs"),
    ],
)
def test_lists_that_do_not_fit_the_layers_are_refused(change: dict[str, Any], field: str) -> None:
    config = {"hidden_size": 64, "num_hidden_layers": 2, "num_attention_heads": 4, "vocab_size": 100}
    more = {"n_groups": 1, "intermediate_size": 64, "num_key_value_heads": 2}
    with pytest.raises(ProblemError) as error:
        model_from_config(config | more | change, name="other")
    assert field in error.value.field


def test_some_layers_read_what_an_earlier_indexer_has_chosen() -> None:
    """GLM-5.2 has indexers in layers 0 to 2 and every fourth from 6 on: 86 GiB for a million tokens (public start-up of vLLM 0.25.1)."""
    model = catalog.model("glm-5.2")
    own = [layer for layer, kind in enumerate(model.kind_of_layer) if model.kinds[kind].index_bytes_per_token]
    assert own == [0, 1, 2, *range(6, 78, 4)]
    assert sum(model.kinds[kind].kv_bytes(1, 2) for kind in model.kind_of_layer) == 78 * 576 * 2 + 21 * 132
    listed = {"indexer_types": ["full" if layer in own else "shared" for layer in range(78)]}
    config = {
        key: value
        for key, value in catalog.entry("models", "glm-5.2")["config"].items()
        if "index_topk_freq" not in key
    }
    assert model_from_config({**config, **listed}, name="x").kind_of_layer == model.kind_of_layer


def test_layers_of_a_searched_decoder_have_their_own_key_value_heads() -> None:
    # DeciLM-7B lists them alone; Puzzle's decoders (arXiv 2411.19146) state a group of heads for each layer.
    sizes = {
        "hidden_size": 64,
        "num_hidden_layers": 3,
        "num_attention_heads": 8,
        "intermediate_size": 96,
        "vocab_size": 100,
    }
    listed = {"model_type": "deci", **sizes, "num_key_value_heads_per_layer": [4, 2, 1]}
    rest = {"ffn": {"intermediate_size": 96}}
    blocks = [{"attention": {"n_heads_in_group": group}, **rest} for group in (2, 4, 8)]
    by_hand = 2 * 100 * 64 + 64 + 3 * (2 * 64 + 2 * 64 * 64 + 3 * 64 * 96) + 2 * 64 * 8 * (4 + 2 + 1)
    for config in (listed, {"model_type": "nemotron-nas", **sizes, "block_configs": blocks}):
        model = model_from_config(config, name="x")
        assert model.parameters == by_hand
        assert kv_bytes_per_token(model)["full"] == 2 * 2 * 8 * (4 + 2 + 1)


def test_a_searched_decoder_states_its_layers() -> None:
    sizes = {
        "hidden_size": 64,
        "num_hidden_layers": 2,
        "num_attention_heads": 8,
        "intermediate_size": 96,
        "vocab_size": 100,
    }
    for change, said in (
        ({}, "block_configs"),
        ({"num_key_value_heads_per_layer": [3, 1]}, "num_key_value_heads_per_layer"),
        (
            {"block_configs": [{"attention": {"no_op": True}, "ffn": {"intermediate_size": 96}}] * 2},
            "no layer that attends",
        ),
    ):
        with pytest.raises(ProblemError, match=said):
            model_from_config({"model_type": "deci", **sizes, **change}, name="x")


@pytest.mark.parametrize(
    ("stated", "chunked"),
    [
        ({}, 3),
        ({"no_rope_layers": []}, 3),
        ({"no_rope_layers": [1, 0, 1, 0]}, 2),
        ({"layer_types": ["chunked_attention"] * 1 + ["full_attention"] * 3}, 1),
        ({"attention_chunk_size": None}, 0),
    ],
)
def test_the_layers_of_llama4_that_attend_in_chunks_are_those_that_the_file_lists(
    stated: dict[str, Any], chunked: int
) -> None:
    # transformers 5.24.0, Llama4TextConfig: layer_types, else no_rope_layers (1: rotary, in chunks), else every fourth is full.
    config = {
        "model_type": "llama4_text", "hidden_size": 64, "num_hidden_layers": 4, "num_attention_heads": 4, "num_key_value_heads": 2,
        "intermediate_size": 64, "intermediate_size_mlp": 128, "num_local_experts": 2, "num_experts_per_tok": 1, "vocab_size": 100,
        "interleave_moe_layer_step": 1, "attention_chunk_size": 32,
    }  # fmt: skip
    model = model_from_config(config | stated, name="x")
    assert sum(model.kinds[kind].window_tokens == 32 for kind in model.kind_of_layer) == chunked
