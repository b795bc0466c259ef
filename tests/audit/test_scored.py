"""Figures beside no known name: told by the words around them, right and wrong, and left alone where they may be something else."""

from __future__ import annotations

import pytest

from optimizer.auditing import audit
from optimizer.facts.problem import Problem
from optimizer.reading.load import problem_from_dict

PAIRS = (
    ("The two hosts are joined by a cable of {} Gbit/s.", "25", "100"),
    ("Its tokenizer knows {} different symbols.", "100,352", "151,936"),
    ("Grouped-query attention lets {} query heads share one key/value head.", "four", "eight"),
    ("The whole estate has to read {} tokens of prompts every second.", "10,800", "18,000"),
    ("Pulling the weights out of memory once takes {} ms.", "17", "29"),
    ("Beside the weights {} GB remain on every card.", "33", "41"),
    ("Jede Karte liest ihren Speicher mit {} GB/s.", "864", "1.555"),
    ("Zu lesen sind {} Token je Sekunde.", "10.800", "14.400"),
    ("À générer : {} jetons par seconde.", "1 800", "2 600"),
    ("Energy per day at full power: {} kWh", "67.2", "82.4"),
)
LEFT_ALONE = (
    "CUDA graphs and activations take 9 GB of memory on every card.",
    "With every slot taken the service can write 2,900 tokens a second at most.",
    "In the load test the first token took 1,310 ms.",
    "The adapter adds 312 million parameters.",
    "The sliding layers keep 1,024 tokens.",
)


@pytest.fixture(scope="module")
def problem() -> Problem:
    return problem_from_dict(
        {
            "engine": "vllm",
            "hardware": {"gpu": "l40s-48gb", "nodes": 2, "gpus_per_node": 4, "internode_gbit_per_s": 25},
            "model": "phi-4",
            "workload": {"prompt_tokens": 1800, "output_tokens": 300, "requests_per_s": 6},
            "requirements": {"ttft_p99_ms": 2200, "tpot_p99_ms": 55, "max_batch": 32, "max_sequence_tokens": 8192},
        },
        default_name="scored",
    )


def verdicts(sentence: str, problem: Problem) -> set[str]:
    """What the audit says of a sentence of a report on TP2·PP1·DP4."""
    claims = audit(f"We run TP2·PP1·DP4.\n\n{sentence}", problem).claims
    return {claim.verdict for claim in claims if claim.line == 3}


@pytest.mark.parametrize(("sentence", "right", "wrong"), PAIRS)
def test_a_figure_is_told_by_the_words_around_it(sentence: str, right: str, wrong: str, problem: Problem) -> None:
    assert verdicts(sentence.format(right), problem) <= {"confirmed"}
    assert "refuted" in verdicts(sentence.format(wrong), problem)


@pytest.mark.parametrize("sentence", LEFT_ALONE)
def test_what_the_ledger_does_not_have_is_not_refuted(sentence: str, problem: Problem) -> None:
    assert "refuted" not in verdicts(sentence, problem)


@pytest.mark.parametrize(
    "layout",
    ["Four instances of two cards each are up.", "Jedes Exemplar läuft auf zwei Karten, das ergibt vier Exemplare."],
)
def test_a_layout_without_names_is_a_strategy(layout: str, problem: Problem) -> None:
    assert audit(layout, problem).strategy == "TP2·PP1·DP4"
