"""Relations in wordings of their own: failures, layers of a kind, comparisons, totals and units, each right and wrong."""

from __future__ import annotations

import pytest

from tests.audit.test_parts_and_variants import problem, verdicts

PLANS = {
    "llama": ("llama3.1-70b", "h100-sxm-80gb", 1, "We run TP4 with two replicas (TP4·PP1·DP2)."),
    "gemma": ("gemma3-27b", "h100-sxm-80gb", 2, "We run TP4·PP1·DP4, two replicas on each node."),
    "oss": ("gpt-oss-120b", "h100-sxm-80gb", 1, "We run TP2·PP1·DP4."),
    "r1": ("deepseek-r1", "h200-sxm-141gb", 2, "We run TP8·PP2·DP1."),
}


@pytest.mark.parametrize(
    ("plan", "sentence", "right", "wrong"),
    [
        ("llama", "When a card breaks, we still have {} of our throughput.", "half", "seven eighths"),
        ("llama", "Bei einem Kartenausfall bleiben {} % der Leistung.", "50", "87,5"),
        ("llama", "Fällt eine GPU aus, rechnen noch {} Karten weiter.", "vier", "sieben"),
        ("llama", "En cas de panne d'une carte, il reste {} de la capacité.", "la moitié", "sept huitièmes"),
        ("llama", "A dead GPU costs us {} of the capacity.", "50%", "12.5%"),
        ("gemma", "When a node goes offline, {} replicas keep running.", "two", "three"),
        ("gemma", "Le nœud perdu emporte {} des quatre répliques.", "deux", "une"),
        ("oss", "After the failure of one card {} of the throughput is left.", "75%", "50%"),
        ("r1", "If a GPU fails, {} continues to serve.", None, "half of the service"),
        ("gemma", "One layer in {} is global.", "six", "four"),
        ("gemma", "Every {} layer attends to the whole context.", "sixth", "fourth"),
        ("oss", "{} of the 36 layers use a sliding window.", "18", "12"),
        ("r1", "The first three layers are dense, the remaining {} are MoE.", "58", "61"),
        ("llama", "The prompt makes up {} of the tokens of a request.", "five sixths", "half"),
        ("llama", "Answers are {} as long as the prompts.", "a fifth", "half"),
        ("llama", "A prompt is {} times the length of its answer.", "five", "three"),
        ("llama", "The allowed length is {} of what the model could do.", "an eighth", "a quarter"),
        ("llama", "Das Modell könnte das {} der erlaubten Länge.", "Achtfache", "Vierfache"),
        ("llama", "Eine H200 hätte {} mehr Speicher als die H100.", "76 %", "30 %"),
        ("llama", "The weights are {} times the size of a card.", "1.75", "3"),
        ("llama", "Eight cards at 2 dollars make {} dollars an hour.", "16", "18"),
        ("llama", "6 requests per second are {} per minute.", "360", "600"),
        ("llama", "The two replicas can hold {} sequences, 64 each.", "128", "256"),
        ("llama", "With 64 slots per replica, {} requests can run at once in all.", "128", "512"),
        ("llama", "400 Gbit/s sind {} GB/s.", "50", "40"),
        ("llama", "64 heads cannot be spread over {} cards.", "three", "four"),
        ("r1", "Expert parallelism over 16 GPUs would put {} experts on each.", "16", "32"),
        ("gemma", "In five of six layers the window is {} tokens.", "1,024", None),
        ("llama", "The whole box costs 16 an hour, {} what one replica costs.", "twice", "four times"),
    ],
)
def test_a_relation_is_read_in_other_words(plan: str, sentence: str, right: str | None, wrong: str | None) -> None:
    model, gpu, nodes, strategy = PLANS[plan]
    facts = problem(model, gpu, nodes)
    if right:
        said = verdicts(sentence.format(right), facts, strategy)
        assert "refuted" not in said
        assert "confirmed" in said
    if wrong:
        assert "refuted" in verdicts(sentence.format(wrong), facts, strategy)


@pytest.mark.parametrize(
    "sentence",
    [
        "If one GPU fails, half of the load must still be carried.",
        "We keep one of the two replicas warm in case a node fails.",
        "A GPU failure is expected once in three years.",
        "When one card fails, the engineers restart two services within 10 minutes.",
        "One GPU of eight shows 50% utilisation when idle.",
        "16 an hour over 30 days is 11,520.",
        "A third replica would need four more cards.",
        "An answer takes 9 s on average; at night only 4 requests run at once.",
        "A replica that loses a GPU is restarted on the remaining four cards within 3 minutes.",
        "Losing one of eight cards sounds harmless, yet four of them go quiet.",
        "The first two layers of defence are the firewall and the proxy.",
        "A third of the users speak German.",
    ],
)
def test_other_uses_of_such_words_are_left_alone(sentence: str) -> None:
    facts = problem("llama3.1-70b", "h100-sxm-80gb")
    assert "refuted" not in verdicts(sentence, facts, PLANS["llama"][3])
