"""Three reports of different wording with planted errors, and sentences that may never be accused."""

from __future__ import annotations

import time
from pathlib import Path
from typing import Any

import pytest

from optimizer.auditing import audit
from optimizer.reading.load import problem_from_dict
from tests.audit.problems import PROBLEMS

REPORTS = Path(__file__).parent / "reports"

PLANTED = {
    "deepseek_h200_cluster": {
        (15, "42.1 GB"),  # 673.2 GB ÷ 16: embedding, head, norms and routers are in 16 bit
        (19, "50 GB/s"),
        (22, "spans nodes"),
        (25, "3,200"),
        (29, "32 GPUs"),
        (33, "not 4"),
        (34, "--enable-turbo-mode"),
    },
    "qwen_l40s_note": {
        (13, "31.6 GB"),
        (20, "above the target"),
        (25, "61 ms"),
        (26, "One stage"),
        (29, "single replica"),
        (31, "--swap-space"),
    },
    "llama8b_replicas": {
        (7, "32 layers"),
        (10, "data parallelism copies"),
        (13, "900 GB/s"),
        (14, "no all-reduce"),
        (28, "90%"),
    },
}
CONFIRMED = {
    "deepseek_h200_cluster": {4, 5, 7, 9, 10, 11, 12, 13, 14, 18, 21},
    "qwen_l40s_note": {3, 5, 7, 11, 12, 14, 16, 21, 22, 24, 27, 28},
    "llama8b_replicas": {3, 5, 6, 8, 9, 11, 12, 20, 27},
}

TRUE_SENTENCES = """\
Each pipeline stage holds 20 layers.
Every TP rank holds 32 attention heads and 4 KV heads.
Weights per stage: 35.3 GB
A TP group of 2 GPUs holds 35.3 GB of weights.
Model weights per GPU: 17.6 GB
Weights per GPU = 141.1 GB / (2 × 4) = 17.64 GB
Total memory per GPU including KV cache: 43.6 GB
KV cache per token: 320 KB
An A100 has 40 GB of memory and NVLink 600 GB/s.
Llama-3-8B has 32 layers and 8 billion parameters.
100% − 43.75% = 56.25%
2 × 8192 × 2 bytes = 32 KiB
2 × 8192 × 2 bytes = 32 KB
900 GB/s = 7,200 Gbps
(8.5 - 8) / 8 = 6.3%
8.5 requests/s is 6% above the target.
We compared TP8-PP1-DP1 with TP4-PP2-DP1; both fit 8 GPUs.
Alternatively TP4·PP2 would use all 8 GPUs.
With 8 more GPUs, DP=2 becomes possible.
A second replica (DP=2) is not possible: it would need 16 GPUs.
No gradients or optimizer states are kept.
Prefill throughput: 40,000 tokens/s
Context length: 8K
Vocabulary: 128K tokens
Bubbles: (4 − 1) / (57 + 4 − 1) = 5%
Latency improved from 50 ms to 42 ms.
NVLink: 450 GB/s per direction
PCIe Gen5 x16 provides 128 GB/s bidirectional.
Weights occupy 22% of each GPU's memory.
Total VRAM: 637 GiB
The weights take 131.4 GiB.
3 + 4 × 2 = 11
Eight cards at $2.00 cost $384.00 a day.
And a month of 30 days? 11 520 $ for 8 GPUs at $2.00 an hour.
Lower bound from reading weights: 17.6 GB at 3,350 GB/s, 5.3 ms
Weights fill about a fifth of each card.
And on one GPU? A half of a stage, 17.6 GB of weights.
Zwei 80-GB-GPUs würden für die Gewichte in bf16 reichen.
Two 80 GB cards would be enough for the weights.
The stage spans two cards, and each one carries 17.6 GB of weights.
It has 70.6B weights at 2 bytes, 141 GB.
Le prix ? 8 × 2,00 = 16,00 $ l'heure, 384,00 $ par jour.
Version 0.32.0 at 10.0.0.1:6379 on 2025-12-23"""

FALSE_SENTENCES = """\
Weights per GPU: 35 GB
Each GPU stores 70 GB of weights.
Memory per GPU = 140 / 2 = 70 GB
8 × 80 = 600 GB
80 layers / 4 stages = 25 layers per stage
Layers per stage: 16
Hidden dimension: 4096
Total VRAM: 1280GB
Model weights = 70B × 2 bytes = 280 GB
NVLink bandwidth: 300 GB/s
GPUs required: 16
Tensor parallel size: 4
8/8 = 90%
All-reduce volume is 64 bytes per token
KV cache per token: 2.5 MB
Pipeline bubble: 10% with 8 micro-batches
Decode latency P50: 2 ms
Could implement DP=4 for more throughput
Model parameters: 13 billion
Half of each card is taken by weights.
The stage spans two cards, and each one carries 35.3 GB of weights.
Un seul GPU de 80 Go suffirait pour les poids en bf16."""


@pytest.mark.parametrize("name", PROBLEMS)
def test_planted_errors_are_found_and_nothing_else(name: str) -> None:
    result = audit((REPORTS / f"{name}.md").read_text(), problem_from_dict(PROBLEMS[name]))
    accused = [claim for claim in result.claims if claim.verdict in ("refuted", "contradicted")]
    assert {claim.line for claim in accused} == {line for line, _ in PLANTED[name]}
    for line, words in PLANTED[name]:
        assert any(claim.line == line and words in claim.reason for claim in accused), (line, words, accused)
    assert {claim.line for claim in result.claims if claim.verdict == "confirmed"} >= CONFIRMED[name]


@pytest.mark.parametrize("sentence", TRUE_SENTENCES.splitlines())
def test_true_sentences_are_never_accused(sentence: str, example: dict[str, Any]) -> None:
    result = audit(f"The strategy is TP2-PP4-DP1.\n\n{sentence}", problem_from_dict(example))
    assert not result.accused, result.claims


@pytest.mark.parametrize("sentence", FALSE_SENTENCES.splitlines())
def test_false_sentences_are_accused(sentence: str, example: dict[str, Any]) -> None:
    result = audit(f"The strategy is TP2-PP4-DP1.\n\n{sentence}", problem_from_dict(example))
    assert result.accused, result.claims


@pytest.mark.parametrize(
    "spelling",
    [
        "TP2-PP4-DP1",
        "TP=2, PP=4, DP=1",
        "TP 2 × PP 4 × DP 1",
        "tensor parallel size 2, pipeline parallel size 4",
        "TP2·PP4",
    ],
)
def test_spellings_of_one_strategy(spelling: str, example: dict[str, Any]) -> None:
    assert audit(f"We run {spelling}.", problem_from_dict(example)).strategy == "TP2·PP4·DP1"


def test_a_strategy_known_from_its_flags_only(example: dict[str, Any]) -> None:
    report = "```\nvllm serve x -tp 2 --pipeline-parallel-size=4\n```\n\nWeights per GPU: 35 GB\n"
    result = audit(report, problem_from_dict(example))
    assert result.strategy == "TP2·PP4·DP1" and result.accused


def test_a_line_of_hundreds_of_figures_is_left_alone(example: dict[str, Any]) -> None:
    """Every pair of figures would be tried; such a line says nothing that can be told."""
    start = time.monotonic()
    result = audit("We use TP4.\n\n" + "8 heads " * 240, problem_from_dict(example))
    assert not result.accused and time.monotonic() - start < 20
