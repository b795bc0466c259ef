"""Kinds of sentences that a first look accused although they are true, or that are about something else."""

import pytest

from optimizer import audit
from optimizer.reading.load import problem_from_dict

PROBLEM = {
    "hardware": {"gpu": "h200-sxm", "gpus_per_node": 8, "nodes": 2},
    "model": "deepseek-v3",
    "workload": {"prompt_tokens": 2000, "output_tokens": 400, "requests_per_s": 5},
    "requirements": {"max_batch": 64, "max_sequence_tokens": 32768},
}
OPTIONS = (
    "## Options\n\n| | A: two replicas, TP8 | B: one replica, TP8 × PP2 |\n|---|---|---|\n| GPUs per replica | 8 | 16 |\n\n"
    "We recommend **A**.\n\n## Memory (option A)\n\n"
)


def verdicts(text: str) -> set[str]:
    said = audit(OPTIONS + text, problem_from_dict(PROBLEM))
    return {c.verdict for c in said.claims if c.line == 11}


@pytest.mark.parametrize(
    "text",
    [
        "A checkpoint of 671 GB is too large for four of these cards.",
        "Every GPU stores 85.4 GB of weights.",
        "An average request of 2,000 + 400 tokens takes 169 MB.",
        "The service before this one had 14 GPUs in use.",
        "Next spring we want to try 32 GPUs.",
        "A limit of 32,768 tokens is a fifth of the window that the model has.",
        "The main memory of 2,048 GB holds the checkpoint three times.",
    ],
)
def test_what_is_true_or_of_something_else_is_not_accused(text):
    assert not verdicts(text) & {"refuted", "contradicted"}


@pytest.mark.parametrize(
    ("text", "right", "wrong"),
    [
        ("Every GPU stores {} of weights.", "85.4 GB", "120 GB"),
        ("An average request of 2,000 + 400 tokens takes {}.", "169 MB", "290 MB"),
    ],
)
def test_and_right_and_wrong_are_told_apart(text, right, wrong):
    assert "confirmed" in verdicts(text.format(right))
    assert "refuted" in verdicts(text.format(wrong))
