"""What the profiling run of a vision tower takes: by hand, against public logs, and the same in both homes."""

from __future__ import annotations

from typing import Any

import pytest

from optimizer.checkpoints.huggingface import model_from_config
from optimizer.costs.analytic import AnalyticCosts
from optimizer.costs.shapes import Shape
from optimizer.facts.problem import Problem
from optimizer.questions.check import Fixed, check
from tests.costs.test_startup import _problem

GIB = 2**30
TEXT: dict[str, Any] = {
    "hidden_size": 2048, "intermediate_size": 5632, "num_hidden_layers": 2, "num_attention_heads": 16,
    "num_key_value_heads": 2, "head_dim": 128, "vocab_size": 32000, "max_position_embeddings": 32768,
}  # fmt: skip
QWEN3 = {"depth": 27, "hidden_size": 1152, "intermediate_size": 4304, "patch_size": 16, "out_hidden_size": 2048}
GEMMA4 = {"hidden_size": 1152, "intermediate_size": 4304, "num_hidden_layers": 27, "num_attention_heads": 16}


@pytest.mark.parametrize(
    ("outer", "text", "tower", "tokens", "patches"),
    [
        # vLLM 0.19 to 0.21 on Qwen3.6-35B-A3B: a budget of 16,384 tokens and one image, of 65,536 and four.
        ("qwen3_vl", "qwen3_vl_text", {"model_type": "qwen3_vl", **QWEN3}, 16_384, 65_536),
        # vLLM 0.8.3 and later on Mistral Small 3: two or three images in 8,192 tokens; 55 rows of 55 tokens and their ends.
        (
            "mistral3",
            "mistral",
            {
                "model_type": "pixtral", "hidden_size": 1024, "intermediate_size": 4096, "num_hidden_layers": 24,
                "num_attention_heads": 16, "patch_size": 14, "image_size": 1540,
            },
            3_080,
            12_100,
        ),
    ],
)  # fmt: skip
def test_the_largest_item_of_a_family(outer: str, text: str, tower: dict[str, Any], tokens: int, patches: int) -> None:
    model = model_from_config(
        {"model_type": outer, "text_config": {"model_type": text, **TEXT}, "vision_config": tower}, name="tiny"
    )
    assert model.tower_run is not None
    assert (model.tower_run.item_tokens, model.tower_run.item_patches) == (tokens, patches)
    assert any("items of the largest size" in note for note in model.notes)


def test_a_tower_whose_largest_item_is_not_known_is_said() -> None:
    tower = {
        "model_type": "siglip_vision_model", "hidden_size": 1152, "intermediate_size": 4304, "num_hidden_layers": 27,
        "num_attention_heads": 16, "image_size": 384, "patch_size": 14,
    }  # fmt: skip
    config = {"model_type": "llava", "text_config": {"model_type": "llama", **TEXT}, "vision_config": tower}
    model = model_from_config(config, name="tiny")
    assert model.vision_parameters > 0 and model.tower_run is None
    assert any("is not in its peak" in note for note in model.notes)


def _activations(problem: Problem, tp: int = 1) -> int:
    layers = (problem.model.layers,)
    return int(AnalyticCosts(problem, [Shape(tp, 1, 1, "fp8", "bf16", layers)]).memory().activations[0, 0])


def test_the_tower_of_qwen() -> None:
    problem = _problem("qwen3.5-27b-fp8", "rtx-pro-6000", "0.26.0", 0.9, 262_144, 2048, 256)
    # Patches of 16 x 16 pixels in pairs of frames and three colours, the residual stream and its norm, the MLP before and after.
    tower = 2 * 65_536 * (1_536 + 2 * 1_152 + 2 * 4_304)
    assert tower / GIB == pytest.approx(1.52, abs=0.005)
    assert _activations(problem) == tower + 2 * 16_384 * 5_120
    # A Qwen3.6-35B-A3B on one RTX 5090 is said to have 1.56 GiB more for its cache without images (width 2,048).
    assert (tower + 2 * 16_384 * 2_048) / GIB == pytest.approx(1.56, rel=0.03)
    cut = 2 * 65_536 * (1_536 + 2 * 1_152) + 65_536 * 2 * 4_304
    assert _activations(problem, 2) == cut + 2 * 16_384 * 5_120
    older = problem.model_copy(update={"engine_version": "0.7.3"})
    # What kernels of its gated delta nets hold of each token, where no image is profiled.
    assert _activations(older) == 2_048 * 2 * (3 * 5_120 + 84_992)


def test_as_many_images_as_a_step_has_tokens_for() -> None:
    # vLLM 0.11 on Gemma 3 27B: 31 images in 8,192 tokens.
    problem = _problem("gemma3-27b", "h100", "0.11.0", 0.9, 8192, 8192, 256)
    run = problem.model.tower_run
    assert run is not None and 8192 // run.item_tokens == 31
    assert _activations(problem) == 31 * (2 * 4_096 * (588 + 2 * 1_152 + 2 * 4_304) + 2 * 260 * 5_376)


@pytest.mark.parametrize("model", ["qwen3.5-27b-fp8", "gemma3-27b"])
@pytest.mark.parametrize("tp", [1, 2])
def test_both_homes_agree(model: str, tp: int) -> None:
    problem = _problem(model, "rtx-pro-6000", "0.32.0", 0.9, 8192, 2048, 64)
    boxed = problem.model_copy(update={"hardware": problem.hardware.model_copy(update={"gpus_per_node": 2})})
    answer = check(boxed, Fixed(tp, 1, 1), repairs=False)
    assert answer.verification.passed, answer.verification.mismatches
