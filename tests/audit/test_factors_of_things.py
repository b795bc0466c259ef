"""How many times one named thing is another, each with the right factor and a wrong one."""

from __future__ import annotations

import pytest

from tests.audit.test_parts_and_variants import problem, verdicts


@pytest.mark.parametrize(
    ("sentence", "right", "wrong"),
    [
        ("Prompts are {} times as long as the answers.", "five", "three"),
        ("Die Prompts sind {}mal so lang wie die Antworten.", "fünf", "zwei"),
        ("For every output token the service reads {} prompt tokens.", "five", "ten"),
        ("The limit that we allow is {} of the model's maximum context.", "an eighth", "half"),
        ("The model itself goes up to 131,072 tokens, {} times what we permit.", "eight", "four"),
        ("There are {} as many query heads as KV heads.", "eight times", "twice"),
        ("The feed-forward is {} times as wide as the hidden size.", "3.5", "8"),
        ("FP8 runs at {} the rate of bf16.", "twice", "four times"),
        ("NVLink offers 900 GB/s, {} what an A100 has.", "one and a half times", "three times"),
        ("Its memory delivers 3.35 TB/s, {} times as fast as an L40S.", "3.9", "two"),
        ("Elle lit sa mémoire à 3,35 To/s, soit {} fois plus vite qu'une L40S.", "3,9", "deux"),
    ],
)
def test_a_factor_is_that_of_both_sides(sentence: str, right: str, wrong: str) -> None:
    facts = problem("llama3.1-70b", "h100-sxm-80gb")
    assert "refuted" not in verdicts(sentence.format(right), facts), right
    assert "confirmed" in verdicts(sentence.format(right), facts)
    assert "refuted" in verdicts(sentence.format(wrong), facts)


@pytest.mark.parametrize(
    "sentence",
    [
        "The answers are not three times as long as the prompts.",
        "The old service was twice as fast as this one.",
        "Two replicas carry twice the load of one.",
    ],
)
def test_factors_of_anything_else_are_left_alone(sentence: str) -> None:
    assert "refuted" not in verdicts(sentence, problem("llama3.1-70b", "h100-sxm-80gb"))
