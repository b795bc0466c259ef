"""Add a GPU: one file of figures, each with its source."""

from __future__ import annotations

from scripts.recipes.recipe import Recipe, new

CARD = """\
name: example-48gb
title: Example card 48 GB
aliases: [example card]
memory_mib: 46068
reserved_mib: 613
compute_capability: "8.9"
memory_bandwidth_gb_per_s: 864
dense_tflops: {fp16: 362.05, bf16: 362.05, fp8: 733, int8: 733}
nvlink_gb_per_s: 0
nvlink_domain_gpus: 1
pcie_gb_per_s: 32
gpus_per_node: 8
tdp_watts: 350
idle_watts: 35
layer_time_factor: 1.4
sources:
  memory_mib: where the figure stands
  reserved_mib: where the figure stands
  compute_capability: where the figure stands
  memory_bandwidth_gb_per_s: where the figure stands
  dense_tflops: where the figure stands
  nvlink_gb_per_s: where the figure stands
  nvlink_domain_gpus: where the figure stands
  pcie_gb_per_s: where the figure stands
  gpus_per_node: where the figure stands
  tdp_watts: where the figure stands
  idle_watts: where the figure stands
  layer_time_factor: where the figure stands
"""
TEST = """
from optimizer import problem_from_dict, solve


def test_the_card_is_solved_for() -> None:
    work = {"prompt_tokens": 500, "output_tokens": 100, "requests_per_s": 1}
    hardware = {"gpu": "example card", "nodes": 1, "gpus_per_node": 2}
    answer = solve(problem_from_dict({"name": "n", "hardware": hardware, "model": "llama3.1-8b", "workload": work}))
    assert answer.status == "optimal" and answer.verification.passed
"""
RECIPE = Recipe(
    "a GPU", 1, {"optimizer/catalog/data/gpus/example-48gb.yaml": new(CARD)}, TEST, ("tests/facts/test_catalog.py",)
)
