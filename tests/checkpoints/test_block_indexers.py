"""MiniMax-M3's sparse attention: what its indexers add to parameters, cache and memory.

Shapes as published (headers of MiniMax-M3-NVFP4: index_q_proj [512, 6144], index_k_proj [128, 6144], two norms of 128); cached
as ``MiniMaxM3IndexerCache`` of vLLM ``models/minimax_m3/common/indexer.py`` has it: one key of 128 values a token in 16 bit.
"""

from __future__ import annotations

from typing import Any

import pytest

from optimizer.catalog import lookup as catalog
from optimizer.checkpoints.huggingface import model_from_config
from optimizer.engines.memory import served
from optimizer.facts.errors import ProblemError
from optimizer.facts.model import ModelFacts
from optimizer.questions.model import kv_bytes_per_token
from optimizer.reading.load import problem_from_dict

LAYERS, SPARSE = 60, 57
INDEXER = 6144 * 4 * 128 + 6144 * 128 + 2 * 128
INDEX_KEY = 128 * 2
GROUPED = 2 * 4 * 128


def _stated(**change: Any) -> dict[str, Any]:
    config = {**catalog.entry("models", "minimax-m3")["config"], **change}
    return {key: value for key, value in config.items() if value is not None}


def _read(config: dict[str, Any]) -> ModelFacts:
    return model_from_config(config, name="x")


def _index_keys(model: ModelFacts) -> list[int]:
    return [layer for layer, kind in enumerate(model.kind_of_layer) if model.kinds[kind].index_bytes_per_token]


def test_indexers_of_the_catalog_model_are_counted() -> None:
    with_them, without = catalog.model("minimax-m3"), _read(_stated(sparse_attention_config=None))
    assert with_them.parameters - without.parameters == SPARSE * INDEXER == 224_147_712
    assert with_them.weight_bytes - without.weight_bytes == 2 * SPARSE * INDEXER
    assert with_them.mtp_parameters - without.mtp_parameters == INDEXER
    assert _index_keys(with_them) == list(range(3, LAYERS))
    assert kv_bytes_per_token(without)["full"] == LAYERS * GROUPED * 2 == 122_880
    assert kv_bytes_per_token(with_them)["full"] == LAYERS * GROUPED * 2 + SPARSE * INDEX_KEY == 137_472


def test_index_keys_stay_in_16_bit_beside_a_cache_in_8() -> None:
    kinds = catalog.model("minimax-m3").kinds
    model = catalog.model("minimax-m3")
    in_fp8 = sum(kinds[kind].kv_bytes(model.kv_heads, 1) for kind in model.kind_of_layer)
    assert in_fp8 == LAYERS * GROUPED + SPARSE * INDEX_KEY == 76_032


def test_files_of_transformers_5_name_the_layers_and_state_the_indexer_flat() -> None:
    kinds = ["full_attention"] * 3 + ["minimax_m3_sparse"] * SPARSE
    flat = _stated(sparse_attention_config=None, layer_types=kinds, index_n_heads=4, index_head_dim=128)
    left_out = _stated(sparse_attention_config=None, layer_types=kinds)
    for config in (flat, left_out):
        read = _read(config)
        assert (read.kinds, read.kind_of_layer) == (_read(_stated()).kinds, catalog.model("minimax-m3").kind_of_layer)


@pytest.mark.parametrize("nested", ["minimax_m2", "minimax_m3_vl_text", None])
def test_a_multimodal_file_is_of_its_class_whatever_type_it_nests(nested: str | None) -> None:
    vision = {
        "model_type": "clip_vision_model",
        "hidden_size": 1280,
        "num_hidden_layers": 32,
        "intermediate_size": 5120,
    }
    outer = {"model_type": "minimax_m3_vl", "text_config": _stated(model_type=nested), "vision_config": vision}
    model = _read(outer)
    assert model.parameters == catalog.model("minimax-m3").parameters
    assert model.vision_parameters == 865_567_232
    assert len(_index_keys(model)) == SPARSE


def test_sparse_attention_that_is_switched_off_has_no_indexers() -> None:
    sparse = {**_stated()["sparse_attention_config"], "use_sparse_attention": False}
    assert _index_keys(_read(_stated(sparse_attention_config=sparse))) == []


@pytest.mark.parametrize(
    ("change", "field"),
    [
        ({"sparse_num_index_heads": 8}, "sparse_num_index_heads"),
        ({"sparse_num_index_heads": "four"}, "sparse_num_index_heads"),
        ({"sparse_index_dim": 0}, "sparse_index_dim"),
        ({"sparse_attention_freq": [1] * 59}, "sparse_attention_freq"),
        ({"sparse_attention_freq": None}, "sparse_attention_freq"),
    ],
)
def test_fields_that_do_not_fit_are_refused_by_name(change: dict[str, Any], field: str) -> None:
    sparse = {**_stated()["sparse_attention_config"], **change}
    with pytest.raises(ProblemError) as error:
        _read(_stated(sparse_attention_config=sparse))
    assert error.value.field.endswith(f"sparse_attention_config.{field}")


def test_a_description_that_is_no_mapping_is_refused() -> None:
    with pytest.raises(ProblemError, match="mapping"):
        _read(_stated(sparse_attention_config=[1]))


@pytest.mark.parametrize("name", ["self_attn.index_q_proj", "self_attn.indexer.q_proj"])
def test_lists_of_excepted_modules_name_an_indexer_in_two_ways(name: str) -> None:
    def stored(ignored: list[str]) -> int:
        quantization = {"quant_method": "fp8", "weight_block_size": [128, 128], "modules_to_not_convert": ignored}
        return _read(_stated(quantization_config=quantization)).weight_bytes

    queries = 6144 * 4 * 128
    scales = 4 * (6144 // 128) * 4
    excepted = stored([f"model.layers.{layer}.{name}" for layer in range(3, LAYERS)])
    assert excepted - stored([]) == SPARSE * (queries - scales)


@pytest.mark.parametrize(("model", "attention"), [("minimax-m3", None), ("deepseek-v3.2", "indexed")])
def test_workspaces_of_latent_kernels_are_not_those_of_grouped_heads(model: str, attention: str | None) -> None:
    problem = problem_from_dict(
        {
            "model": model,
            "hardware": {"gpu": "b200-sxm-180gb", "nodes": 1},
            "workload": {"prompt_tokens": 1000, "output_tokens": 500, "requests_per_s": 1},
        }
    )
    assert served(problem).attention == attention
