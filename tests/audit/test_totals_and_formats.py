"""What parts have together, requests at once, what a format saves, the cache of a rank, and rates in bits and bytes."""

from __future__ import annotations

import pytest

from optimizer.auditing import audit
from tests.audit.test_parts_and_variants import problem, verdicts


@pytest.mark.parametrize(
    ("sentence", "right", "wrong"),
    [
        ("64 slots each let the two replicas together work on {} requests.", "128", "256"),
        ("Mit je 64 Plätzen bedienen die zwei Replikate zusammen {} Anfragen.", "128", "192"),
        ("A request takes about 10 s, so on average {} are in progress at once.", "60", "120"),
        ("Eine Anfrage dauert 10 s, also sind im Mittel {} gleichzeitig in Arbeit.", "60", "15"),
        ("An FP8 cache would save {} of it.", "50%", "75%"),
        ("FP8 weights would cut them to {}.", "half", "a quarter"),
        ("TP4 cuts the cache to {} on each GPU.", "a quarter", "half"),
        ("At 400 Gbit/s the servers exchange {}.", "50 GB/s", "40 GB/s"),
    ],
)
def test_totals_savings_and_units(sentence: str, right: str, wrong: str) -> None:
    facts = problem("llama3.1-70b", "h100-sxm-80gb", nodes=2)
    assert "refuted" not in verdicts(sentence.format(right), facts, "The plan is TP4·PP1·DP4.")
    assert "refuted" in verdicts(sentence.format(wrong), facts, "The plan is TP4·PP1·DP4.")


def test_the_latent_cache_is_whole_on_every_rank() -> None:
    facts = problem("deepseek-r1", "h200-sxm-141gb", nodes=2)
    plan = "The plan is TP8·PP1·DP2."
    assert "refuted" in verdicts("TP8 cuts that cache to an eighth on each GPU.", facts, plan)


def test_stages_that_differ_by_a_layer() -> None:
    facts = problem("deepseek-r1", "h200-sxm-141gb", nodes=2)
    plan = "The plan is TP8·PP2·DP1."
    assert "confirmed" in verdicts("Each stage holds 30 or 31 layers.", facts, plan)
    assert "refuted" in verdicts("Each stage holds 40 or 41 layers.", facts, plan)


def test_factors_of_a_product_are_no_numbers_of_sequences() -> None:
    facts = problem("llama3.1-70b", "h100-sxm-80gb")
    text = "Caching one token costs 320 KiB (2 × 80 × 8 × 128 × 2 bytes). The average request, 1,500 in and 300 out, holds {}."
    assert "refuted" not in verdicts(text.format("563 MiB of cache"), facts)
    said = audit("The plan is TP4·PP1·DP2.\n\n" + text.format("4.4 GiB of cache"), facts).claims
    assert not [c for c in said if c.stated == "4.4 GiB" and c.verdict == "confirmed"]


@pytest.mark.parametrize(
    "sentence",
    [
        "At 400 Gbit/s the servers exchange 40 GB/s in practice.",
        "At 400 Gbit/s the servers exchange at least 40 GB/s.",
        "A request takes about 10 s, and 64 may run at once on a replica.",
    ],
)
def test_what_may_be_less_is_left_alone(sentence: str) -> None:
    assert "refuted" not in verdicts(sentence, problem("llama3.1-70b", "h100-sxm-80gb", nodes=2))
