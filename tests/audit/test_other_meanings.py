"""Figures that are something else than what stands beside them, and flags that are listed below their command."""

from __future__ import annotations

import pytest

from optimizer.auditing import audit
from optimizer.facts.problem import Problem
from optimizer.reading.load import problem_from_dict

STRATEGY = "The plan is TP4·PP1·DP2."


@pytest.fixture(scope="module")
def problem() -> Problem:
    return problem_from_dict(
        {
            "engine": "vllm",
            "hardware": {"gpu": "h100-sxm-80gb", "nodes": 1, "gpus_per_node": 8},
            "model": "llama3.1-70b",
            "workload": {"prompt_tokens": 1500, "output_tokens": 300, "requests_per_s": 6},
            "requirements": {"ttft_p99_ms": 2000, "tpot_p99_ms": 60, "max_batch": 64, "max_sequence_tokens": 16384,
                             "gpu_memory_utilization": 0.9},
        },
        default_name="other",
    )  # fmt: skip


def verdicts(text: str, problem: Problem, strategy: str = STRATEGY) -> set[str]:
    return {claim.verdict for claim in audit(f"{strategy}\n\n{text}", problem).claims if claim.line > 1}


@pytest.mark.parametrize(
    "sentence",
    [
        "Over NVLink a card moves {} GB/s, which is half as much again as on the A100.",
        "NVLink bewegt {} GB/s und damit anderthalbmal so viel wie bei der A100.",
    ],
)
def test_a_card_to_compare_with_is_not_what_a_figure_is_of(sentence: str, problem: Problem) -> None:
    assert "refuted" not in verdicts(sentence.format(900), problem)
    assert "refuted" in verdicts(sentence.format(600), problem)


@pytest.mark.parametrize(
    "sentence",
    [
        "NVLink relie les cartes à 900 Go/s, plus que sur la A100.",
        "Every query arrives with 1,500 tokens of context and gets 300 of reply.",
        "The cache of a replica has room for 27 longest sequences.",
        "Im Cache ist Platz für 27 längste Sequenzen.",
    ],
)
def test_lengths_of_requests_and_counts_of_sequences_are_no_longest_context(sentence: str, problem: Problem) -> None:
    assert "refuted" not in verdicts(sentence, problem)


def test_a_longest_context_is_still_refuted(problem: Problem) -> None:
    assert "refuted" in verdicts("The model has a context of 32,768 tokens.", problem)


def test_a_share_of_each_gpu_is_of_all_where_replicas_are_not_counted(problem: Problem) -> None:
    assert "refuted" not in verdicts("We produce 1,800 tokens/s, or 225 per GPU.", problem, "We use TP4.")
    assert "refuted" in verdicts("We produce 1,800 tokens/s, or 325 per GPU.", problem)


@pytest.mark.parametrize(
    "sentence",
    [
        "The model is split with tensor parallelism over four cards (TP4), and we run this twice.",
        "Das Modell wird auf TP4 aufgeteilt und läuft zweimal.",
        "Le modèle est découpé en TP4 et tourne deux fois.",
    ],
)
def test_replicas_are_counted_by_how_often_a_model_is_started(sentence: str, problem: Problem) -> None:
    assert audit(sentence, problem).strategy == "TP4·PP1·DP2"


COMMAND = "vllm serve meta-llama/Llama-3.1-70B-Instruct"


@pytest.mark.parametrize(
    "form",
    [
        "`{}` with these options:\n\n- `{}`\n- `--max-num-seqs 32`",
        "We start `{}` with:\n\n1. `{}`\n2. `--max-num-seqs 32`",
        "`{}`\n`{}`\n`--max-num-seqs 32`",
        "    {}\n      {}\n      --max-num-seqs 32",
    ],
)
@pytest.mark.parametrize(
    ("right", "wrong"),
    [
        ("--tensor-parallel-size 4", "--tensor-parallel-size 8"),
        ("--gpu-memory-utilization 0.9", "--gpu-memory-utilization 0.97"),
        ("--max-model-len 16384", "--max-model-len 4096"),
    ],
)
def test_flags_listed_below_a_command_belong_to_it(form: str, right: str, wrong: str, problem: Problem) -> None:
    assert verdicts(form.format(COMMAND, right), problem) == {"confirmed"}
    assert verdicts(form.format(COMMAND, wrong), problem) & {"refuted", "contradicted"}


def test_what_is_said_of_stages_goes_before_a_flag(problem: Problem) -> None:
    report = f"We use TP4 without pipeline stages and start it twice.\n\n`{COMMAND}`\n`-tp 4`\n`-pp {{}}`"
    for stages, verdict in ((1, "confirmed"), (2, "contradicted")):
        result = audit(report.format(stages), problem)
        assert result.strategy == "TP4·PP1·DP2"
        assert [claim.verdict for claim in result.claims if claim.line == 5] == [verdict]
