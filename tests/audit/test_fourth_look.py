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
        "671 GB of weights fit into the 1,128 GB of a node of H200.",
        "Pro Sekunde sind 10.000 Prompt-Token zu lesen und 2.000 Token zu erzeugen.",
        "The checkpoint has 671 GB; an eighth of that, 83.9 GB, is what a card would hold of an even split.",
        "The network between the servers has 400 Gbit/s; no tensor-parallel traffic crosses it.",
        "First tokens come within 6 s, later ones within 120 ms.",
        "We looked at cards with 288 GB as well: three could hold the weights, with 193 GB to spare.",
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


@pytest.mark.parametrize(
    ("text", "right", "wrong"),
    [
        ("They bring {} prompt tokens and ask for 2,000 output tokens a second.", "10,000", "17,000"),
        ("Es kommen {} Prompt-Token und 2.000 Ausgabetoken je Sekunde zusammen.", "10.000", "17.000"),
    ],
)
def test_a_second_behind_the_last_of_two_counts_of_tokens_is_said_of_both(text, right, wrong):
    assert not verdicts(text.format(right)) & {"refuted", "contradicted"}
    said = audit(OPTIONS + text.format(wrong), problem_from_dict(PROBLEM)).claims
    assert not [c for c in said if (c.stated or "").startswith(wrong) and c.verdict == "confirmed"]
