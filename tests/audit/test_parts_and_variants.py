"""Figures of a part (layers of a kind, some of the experts, one of several variants), opinions, and rates by the hour."""

from __future__ import annotations

from functools import cache

import pytest

from optimizer.auditing import audit
from optimizer.facts.problem import Problem
from optimizer.reading.load import problem_from_dict


@cache
def problem(model: str, gpu: str, nodes: int = 1) -> Problem:
    return problem_from_dict(
        {
            "engine": "vllm",
            "hardware": {"gpu": gpu, "nodes": nodes, "gpus_per_node": 8, "price_per_gpu_hour": 2.0},
            "model": model,
            "workload": {"prompt_tokens": 1500, "output_tokens": 300, "requests_per_s": 6},
            "requirements": {"ttft_p99_ms": 2000, "tpot_p99_ms": 60, "max_batch": 64, "max_sequence_tokens": 16384},
        },
        default_name="parts",
    )  # fmt: skip


def verdicts(text: str, facts: Problem, strategy: str = "The plan is TP4·PP1·DP2.") -> set[str]:
    return {claim.verdict for claim in audit(f"{strategy}\n\n{text}", facts).claims if claim.line > 1}


@pytest.mark.parametrize(
    ("sentence", "right", "wrong"),
    [
        ("A global layer keeps {} of keys and values for every token.", "8 KiB", "16 KiB"),
        ("The ten global layers grow by {} per token.", "80 KiB", "160 KiB"),
        ("Alle globalen Schichten zusammen belegen {} je Token.", "80 KiB", "200 KiB"),
        ("Les couches globales occupent {} par jeton.", "80 Kio", "48 Kio"),
        ("At 4,096 tokens the global layers hold {}.", "320 MiB", "3 GiB"),
    ],
)
def test_layers_of_a_kind_have_a_cache_of_their_own(sentence: str, right: str, wrong: str) -> None:
    facts = problem("gemma3-27b", "h100-sxm-80gb")
    assert "confirmed" in verdicts(sentence.format(right), facts)
    assert "refuted" not in verdicts(sentence.format(right), facts)
    assert "refuted" in verdicts(sentence.format(wrong), facts)


def test_such_layers_are_of_the_kind_spoken_of_before() -> None:
    facts = problem("gpt-oss-120b", "h100-sxm-80gb")
    text = "Each full-attention layer stores 2 KiB per token. Eighteen such layers make {} per token."
    assert verdicts(text.format("36 KiB"), facts) == {"confirmed"}
    assert "refuted" in verdicts(text.format("72 KiB"), facts)


@pytest.mark.parametrize(
    "sentence",
    [
        "In each layer the router picks {} of eight experts.",
        "Je Schicht wählt der Router {} von acht Experten.",
    ],
)
def test_some_of_the_experts_are_those_that_a_token_passes_through(sentence: str) -> None:
    facts = problem("mixtral-8x7b", "h100-sxm-80gb")
    two = "two" if "each" in sentence else "zwei"
    assert "refuted" not in verdicts(sentence.format(two), facts)
    assert "confirmed" in verdicts(sentence.format(two), facts)


@pytest.mark.parametrize(
    "sentence",
    [
        "In my experience 12 tokens per second is what readers find fluent.",
        "Meiner Erfahrung nach genügen 12 Token pro Sekunde.",
        "À mon avis, 12 jetons par seconde suffisent.",
    ],
)
def test_of_opinions_no_fact_decides(sentence: str) -> None:
    facts = problem("llama3.1-70b", "h100-sxm-80gb")
    assert "refuted" not in verdicts(sentence, facts)


@pytest.mark.parametrize(
    "sentence",
    [
        "Thirty days of eight GPUs at $2.00 amount to ${}.",
        "Acht GPUs zu 2,00 € kosten in 30 Tagen {} €.",
    ],
)
def test_a_unit_price_is_an_hours_whatever_the_sum_is_for(sentence: str) -> None:
    facts = problem("llama3.1-70b", "h100-sxm-80gb")
    assert verdicts(sentence.format("11520"), facts) == {"confirmed"}
    assert "refuted" in verdicts(sentence.format("23040"), facts)


def test_tokens_an_hour_are_a_rate() -> None:
    facts = problem("llama3.1-70b", "h100-sxm-80gb")
    assert verdicts("We generate 6.48 million output tokens an hour.", facts) == {"confirmed"}


TABLE = """| | A: an engine per server | B: one engine over both |
|---|---|---|
| Layout | TP8, two replicas | TP8 × PP2, one replica |
| Weights per GPU | {} | {} |
| Price per hour | {} | {} |

We recommend A.
"""


def test_columns_of_variants_are_judged_as_the_strategies_that_a_row_gives_them() -> None:
    facts = problem("llama3.1-70b", "h100-sxm-80gb", nodes=2)
    right = audit(TABLE.format("17.6 GB", "8.8 GB", "$32.00", "$32.00"), facts)
    assert right.strategy == "TP8·PP1·DP2"
    assert {claim.verdict for claim in right.claims} == {"confirmed"}
    for cells in (("8.8 GB", "8.8 GB", "$32", "$32"), ("17.6 GB", "17.6 GB", "$32", "$32")):
        assert "refuted" in {claim.verdict for claim in audit(TABLE.format(*cells), facts).claims}
    assert "refuted" in {c.verdict for c in audit(TABLE.format("17.6 GB", "8.8 GB", "$32", "$16"), facts).claims}
