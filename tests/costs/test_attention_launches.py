"""Latent attention and the indexers of sparse attention launch more in a layer, in both homes of the formula."""

from __future__ import annotations

import numpy as np
import pytest

from optimizer.catalog import lookup as catalog
from optimizer.catalog.constants import constants
from optimizer.costs.analytic import AnalyticCosts
from optimizer.costs.shapes import Shape
from optimizer.questions.uniform import check
from optimizer.reading.load import problem_from_dict
from optimizer.results.answer import Fixed

ASKED = {
    "hardware": {"gpu": "b200-sxm-180gb", "nodes": 1},
    "workload": {"prompt_tokens": 1000, "output_tokens": 500, "requests_per_s": 1},
    "search": {"tensor_parallel": [8], "pipeline_parallel": [1]},
}


@pytest.mark.parametrize(
    ("model", "latent", "indexed"),
    [
        ("deepseek-v3", 61, 0),
        ("deepseek-v3.2", 61, 61),
        ("glm-5", 78, 78),
        ("kimi-k2", 61, 0),
        ("minimax-m3", 0, 57),
        ("qwen3-235b-a22b", 0, 0),
    ],
)
def test_each_layer_with_such_attention_counts(model: str, latent: int, indexed: int) -> None:
    facts, c = catalog.model(model), constants()
    kinds = [facts.kinds[kind] for kind in facts.kind_of_layer]
    assert (sum(kind.latent for kind in kinds), sum(kind.index_heads > 0 for kind in kinds)) == (latent, indexed)
    problem = problem_from_dict({**ASKED, "model": model})
    shape = Shape(8, 1, 8, facts.native_weight_format, "bf16", (facts.layers,))
    steps = AnalyticCosts(problem, [shape]).steps
    one = np.array([[1]])
    with_them = float(steps.decode_terms(one)["layer overhead"].sum())
    steps.arrays.attention_launch_ms[:] = 0
    without = float(steps.decode_terms(one)["layer overhead"].sum())
    assert with_them - without == pytest.approx(steps.generation * (latent * c.t_latent + indexed * c.t_indexer))


@pytest.mark.parametrize("model", ["deepseek-v3.2", "minimax-m3"])
def test_the_verifier_counts_the_same(model: str) -> None:
    problem = problem_from_dict({**ASKED, "model": model})
    answer = check(problem, Fixed(tensor_parallel=8, pipeline_parallel=1, data_parallel=1, expert_parallel=8))
    assert answer.verification.passed and not answer.verification.mismatches


def test_every_gpu_keeps_the_whole_index_key() -> None:
    """MiniMax-M3 at TP8: one KV head of 128 keys and 128 values in 16 bit, and 256 bytes of the index key in 57 of 60 layers."""
    problem = problem_from_dict({**ASKED, "model": "minimax-m3"})
    facts = problem.model
    costs = AnalyticCosts(problem, [Shape(8, 1, 8, facts.native_weight_format, "bf16", (facts.layers,))])
    cached = costs.steps.arrays.kv_bytes_per_token[0]
    assert [int(cached[kind]) for kind in facts.kind_of_layer] == [512] * 3 + [512 + 256] * 57
