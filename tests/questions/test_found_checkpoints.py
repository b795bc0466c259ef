"""Questions about checkpoints that were refused or counted wrongly once: what fits, and in which format."""

from __future__ import annotations

from typing import Any

import pytest

from optimizer import problem_from_dict, solve
from optimizer.questions.model import kv_bytes_per_token
from optimizer.results.answer import Answer

VISION: dict[str, Any] = {
    "hidden_size": 1152, "image_size": 896, "intermediate_size": 4304, "model_type": "siglip_vision_model",
    "num_attention_heads": 16, "num_hidden_layers": 27, "patch_size": 14,
}  # fmt: skip


def _answer(
    gpu: str | dict[str, Any], gpus: int, model: dict[str, Any], rate: float, tokens: tuple[int, int], **more: Any
) -> Answer:
    facts = {
        "hardware": {"gpu": gpu, "nodes": 1, "gpus_per_node": gpus},
        "model": model,
        "workload": {"prompt_tokens": tokens[0], "output_tokens": tokens[1], "requests_per_s": rate},
        "requirements": more,
    }
    return solve(problem_from_dict(facts), repairs=False)


def _gemma3(**text: Any) -> dict[str, Any]:
    return {
        "model_type": "gemma3", "torch_dtype": "bfloat16", "vision_config": VISION,
        "text_config": {"model_type": "gemma3_text", "sliding_window": 1024, **text},
    }  # fmt: skip


def test_gemma_3_4b_as_published_serves_131072_tokens_on_two_a100() -> None:
    """Refused once ("num_attention_heads is missing"): the published file leaves the class defaults out."""
    stated = _gemma3(
        hidden_size=2560,
        intermediate_size=10240,
        num_hidden_layers=34,
        rope_scaling={"factor": 8.0, "rope_type": "linear"},
    )
    facts = {
        "hardware": {"gpu": "a100-sxm-40gb"},
        "model": stated,
        "workload": {"prompt_tokens": 1, "output_tokens": 1, "requests_per_s": 1},
    }
    model = problem_from_dict(facts).model
    # 8 heads and 4 KV heads of 256; every sixth of 34 layers is full.
    assert (model.attention_heads, model.kv_heads, model.components()["embedding"]) == (8, 4, 262_208 * 2560)
    kept = kv_bytes_per_token(model)
    assert (kept["full"], kept["window"]) == (5 * 2 * 4 * 256 * 2, 29 * 2 * 4 * 256 * 2)
    answer = _answer("a100-sxm-40gb", 2, stated, 0.02, (30_000, 500), max_sequence_tokens=131_072)
    assert answer.status == "optimal" and answer.verification.passed


def test_one_h100_keeps_205000_tokens_of_gemma_3_27b_in_its_full_layers() -> None:
    """4.8 million tokens were said to fit: layers with a window were taken for all layers. Without images 222,000 fit: the
    engine's profiling run holds 31 of them, 1.4 GiB more than a step of text."""
    stated = _gemma3(
        hidden_size=5376,
        intermediate_size=21504,
        num_attention_heads=32,
        num_hidden_layers=62,
        num_key_value_heads=16,
        head_dim=128,
    )
    answer = _answer("h100-sxm-80gb", 1, stated, 0.2, (1000, 200))
    assert answer.metrics is not None and answer.verification.passed
    full = 10 * 2 * 16 * 128 * 2
    assert answer.metrics.kv_cache_bytes_per_gpu / full == pytest.approx(205_000, rel=0.02)
    # Windows of all requests in progress come off that, a prompt's chunk beside each.
    assert answer.metrics.max_sequence_tokens is not None and answer.metrics.max_sequence_tokens < 205_000


def test_llama_33b_in_three_stages_of_v100_in_16_bit() -> None:
    """vllm 414: 52 heads are not cut by 3, 60 layers are; a repair once offered fp8, which a V100 does not run."""
    gpu = {
        "name": "v100-32gb", "memory_mib": 32510, "memory_bandwidth_gb_per_s": 900, "dense_tflops": {"fp16": 112},
        "pcie_gb_per_s": 16, "gpus_per_node": 3,
    }  # fmt: skip
    stated = {
        "model_type": "llama", "hidden_size": 6656, "intermediate_size": 17920, "num_hidden_layers": 60, "num_attention_heads": 52,
        "vocab_size": 32000, "max_position_embeddings": 2048, "torch_dtype": "float16", "tie_word_embeddings": False,
    }  # fmt: skip
    answer = _answer(gpu, 3, stated, 0.2, (500, 200))
    assert answer.strategy is not None and answer.verification.passed
    chosen = answer.strategy
    assert (chosen.tensor_parallel, chosen.pipeline_parallel, chosen.data_parallel) == (1, 3, 1)
    assert (chosen.weight_precision, chosen.kv_precision) == ("fp16", "fp16")
