"""What a failure takes and leaves, what is divided among cards, and what cards have: each with the right value and a wrong one."""

from __future__ import annotations

import pytest

from tests.audit.test_parts_and_variants import problem, verdicts

TWO = "The plan is TP4·PP1·DP2."


@pytest.mark.parametrize(
    ("sentence", "right", "wrong"),
    [
        ("If one GPU fails, {} GPUs carry on.", "4 of 8", "7 of 8"),
        ("When a card dies we lose {} of the throughput.", "50%", "12.5%"),
        ("{} of the capacity survives the loss of one GPU.", "50%", "87.5%"),
        ("Losing a single card stops all {}.", "four", None),
        ("If a GPU fails, {} of the two replicas is left.", "one", None),
    ],
)
def test_a_failed_card_takes_its_replica(sentence: str, right: str, wrong: str | None) -> None:
    facts = problem("llama3.1-70b", "h100-sxm-80gb")
    assert "refuted" not in verdicts(sentence.format(right), facts, TWO)
    assert "confirmed" in verdicts(sentence.format(right), facts, TWO)
    if wrong:
        assert "refuted" in verdicts(sentence.format(wrong), facts, TWO)


def test_a_lost_node_takes_the_replicas_on_it() -> None:
    facts = problem("llama3.1-70b", "h100-sxm-80gb", nodes=2)
    plan = "We run TP8·PP1·DP2, one replica on each node."
    assert "refuted" in verdicts("If one node fails, both instances are lost.", facts, plan)
    assert "refuted" in verdicts("When a server goes down, all replicas are gone.", facts, plan)


def test_replicas_of_a_node_that_is_not_full_are_those_placed_on_it() -> None:
    facts = problem("llama3.1-70b", "h100-sxm-80gb", nodes=2)
    plan = "We run TP4·PP1·DP2, one on each node."
    assert "refuted" in verdicts("If one node fails, both instances are lost.", facts, plan)
    unplaced = verdicts("If one node fails, both instances are lost.", facts, "We run TP4·PP1·DP2.")
    assert "refuted" not in unplaced  # both may stand on that node


def test_what_survivors_could_serve_is_not_what_they_get() -> None:
    facts = problem("llama3.1-70b", "h100-sxm-80gb")
    assert "refuted" not in verdicts(
        "When one GPU is lost, the other replica still manages 4.2 requests/s.", facts, TWO
    )


@pytest.mark.parametrize(
    ("sentence", "right", "wrong"),
    [
        ("With 8 KV heads on 4 cards, each card is left with {} of them.", "two", "four"),
        ("There are 64 query heads, so a four-way split hands {} to each card.", "16", "8"),
        ("8 KV-Köpfe auf 4 Karten ergeben {} je Karte.", "2", "4"),
    ],
)
def test_each_of_so_many_parts_has_its_share(sentence: str, right: str, wrong: str) -> None:
    facts = problem("llama3.1-70b", "h100-sxm-80gb")
    assert "refuted" not in verdicts(sentence.format(right), facts)
    assert "refuted" in verdicts(sentence.format(wrong), facts)


@pytest.mark.parametrize(
    ("sentence", "verdict"),
    [
        ("TP8 would be just as legal for the 64 query heads.", "confirmed"),
        ("TP3 would be just as legal for the 64 query heads.", "refuted"),
        ("TP3 is not possible with 64 attention heads.", "confirmed"),
        ("TP3 teilt die 64 Query-Köpfe.", "refuted"),
    ],
)
def test_tensor_parallelism_has_to_divide_the_heads(sentence: str, verdict: str) -> None:
    facts = problem("llama3.1-70b", "h100-sxm-80gb")
    said = verdicts(sentence, facts)
    assert verdict in said
    assert ("refuted" in said) == (verdict == "refuted")


@pytest.mark.parametrize(
    ("gpu", "sentence", "verdict"),
    [
        ("mi300x-192gb", "Between the cards there are no direct links, so everything crosses PCIe.", "refuted"),
        ("l40s-48gb", "Between the cards there are no direct links, so everything crosses PCIe.", "confirmed"),
        ("a100-sxm-80gb", "Should we need more speed, the tensor cores also execute FP8 at 624 TFLOPS.", "refuted"),
        ("mi300x-192gb", "FP8 is native to these matrix cores.", "confirmed"),
        ("a100-sxm-80gb", "FP8 is native to these tensor cores.", "refuted"),
    ],
)
def test_what_a_card_has(gpu: str, sentence: str, verdict: str) -> None:
    assert verdicts(sentence, problem("llama3.1-70b", gpu)) == {verdict}


def test_a_letter_that_proposes_with_would_tells_its_layout() -> None:
    from optimizer.auditing import audit

    facts = problem("llama3.1-70b", "h100-sxm-80gb", nodes=2)
    text = "Each server would run one full copy of the model, split eight ways."
    assert audit(text, facts).strategy == "TP8·PP1·DP2"


@pytest.mark.parametrize(
    "sentence", ["With TP0 the loss of one GPU stops all.", "TP0 is legal for 64 heads.", "TP0·PP0 dies with one card."]
)
def test_degrees_that_cannot_be_end_in_no_division(sentence: str) -> None:
    assert isinstance(verdicts(sentence, problem("llama3.1-70b", "h100-sxm-80gb")), set)
