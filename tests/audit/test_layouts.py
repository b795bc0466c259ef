"""What a report is about and how its parts are told apart: sentences of one line, units of columns, headings, strategies in words."""

from __future__ import annotations

from typing import Any

import pytest

from optimizer.auditing import audit
from optimizer.auditing.context import Context
from optimizer.auditing.reading import read_report
from optimizer.facts.problem import Problem
from optimizer.reading.load import problem_from_dict

LLAMA: dict[str, Any] = {
    "engine": "vllm",
    "hardware": {
        "gpu": "h100-sxm-80gb", "nodes": 1, "gpus_per_node": 8, "host_memory_gb": 2048, "price_per_gpu_hour": 2.9,
    },
    "model": "llama3.1-70b",
    "workload": {"prompt_tokens": 1200, "output_tokens": 300, "requests_per_s": 6},
    "requirements": {
        "ttft_p99_ms": 1500, "tpot_p99_ms": 60, "max_batch": 128, "max_sequence_tokens": 16384, "gpu_memory_utilization": 0.9,
    },
}  # fmt: skip
STRATEGY = "Strategy: TP4, PP1, DP2.\n\n"


@pytest.fixture(scope="module")
def problem() -> Problem:
    return problem_from_dict(LLAMA)


def verdicts(text: str, problem: Problem) -> dict[str, set[str]]:
    """What is said of each sentence or row."""
    found: dict[str, set[str]] = {}
    for claim in audit(STRATEGY + text, problem).claims:
        found.setdefault(claim.text, set()).add(claim.verdict)
    return found


def test_claims_of_a_line_are_told_apart_by_sentence(problem: Problem) -> None:
    found = verdicts("The model has 80 layers. It has 16 KV heads. Every token takes 320 KiB of KV cache.", problem)
    assert found["The model has 80 layers."] == {"confirmed"}
    assert found["It has 16 KV heads."] == {"refuted"}
    assert found["Every token takes 320 KiB of KV cache."] == {"confirmed"}


def test_a_column_of_units_and_one_of_all_gpus(problem: Problem) -> None:
    table = "| Quantity | Unit | per GPU | whole system |\n|---|---|---|---|\n"
    found = verdicts(table + "| Dense BF16 | TFLOPS | 989 | 7,915 |\n| Board power | W | 700 | 6,400 |\n", problem)
    assert found["Dense BF16 | TFLOPS | 989 | 7,915"] == {"confirmed"}
    assert "refuted" in found["Board power | W | 700 | 6,400"]


def test_a_unit_as_heading_below_a_heading_of_one_gpu(problem: Problem) -> None:
    table = "## Memory of one GPU\n\n| What | GiB |\n|---|---|\n"
    assert verdicts(table + "| Weights | 32.9 |\n", problem)["Weights | 32.9"] == {"confirmed"}
    assert verdicts(table + "| Weights | 45.1 |\n", problem)["Weights | 45.1"] == {"refuted"}


def test_predictions_confirm_and_never_refute(problem: Problem) -> None:
    assert verdicts("The first token is expected after some 370 ms at P99.", problem) == {
        "The first token is expected after some 370 ms at P99.": {"confirmed"}
    } | verdicts("", problem)
    assert not any(
        "refuted" in said for said in verdicts("Further tokens arrive every 55 ms at P99.", problem).values()
    )


@pytest.mark.parametrize(
    ("text", "right"),
    [
        ("Further tokens arrive every 33 ms. The agreed ceiling for that figure is 60 ms.", True),
        ("Further tokens arrive every 33 ms. The agreed ceiling for that figure is 80 ms.", False),
        ("Jedes weitere Token braucht im 99. Perzentil rund 33 ms. Der Grenzwert dafür beträgt 80 ms.", False),
        ("The first token comes after 370 ms. This is far below the permitted 1.5 seconds.", True),
    ],
)
def test_a_limit_is_the_one_that_the_problem_states(text: str, right: bool, problem: Problem) -> None:
    said = set().union(*(verdict for line, verdict in verdicts(text, problem).items() if line in text))
    assert ("refuted" in said) != right


@pytest.mark.parametrize(
    "text",
    [
        "We recommend two independent replicas, each spread with tensor parallelism over four H100s. No pipeline parallelism.",
        "Das Modell läuft in zwei Replikaten, jedes mit Tensorparallelität 4 auf vier Karten.",
        "Tensor parallelism over four cards.\n\n| Item | Value |\n|---|---|\n| Replicas | 2 |",
    ],
)
def test_a_strategy_in_words(text: str, problem: Problem) -> None:
    found = Context(problem, read_report(text)).strategy
    assert found is not None and (found.tp, found.pp, found.dp) == (4, 1, 2)


def test_a_longer_limit_in_the_command_than_in_the_text(problem: Problem) -> None:
    text = "Requests are capped at 16,384 tokens.\n\n```\nvllm serve m \\\n  --max-model-len 32768\n```\n"
    assert verdicts(text, problem)["--max-model-len 32768"] == {"contradicted"}
    assert verdicts(text.replace("32768", "16384"), problem)["--max-model-len 16384"] == {"confirmed"}


def test_a_number_of_german_thousands_in_a_line_without_small_words(problem: Problem) -> None:
    assert not any("refuted" in said for said in verdicts("- KV: 1.310.720 KiB", problem).values())


@pytest.mark.parametrize(
    ("right", "wrong"),
    [
        ("Prompt and answer together are 1,500 tokens.", "Prompt and answer together are 1,150 tokens."),
        ("TPOT p99 ~33 ms\n\nTPOT p50 26 ms", "TPOT p99 ~33 ms\n\nTPOT p50 41 ms"),
        ("Of 80 GB, the weights take 35.3 GB, which leaves 44.7 GB.", "Of 80 GB, the weights take 35.3 GB, which leaves 32.5 GB."),
        ("In a minute 360 requests arrive.", "In a minute 240 requests arrive."),
        ("There are 8 GPUs in total.", "There are 12 GPUs in total."),
        ("Prompts are 1,200 tokens long on average.", "Prompts are 800 tokens long on average."),
        ("Nobody may send more than 16,384 tokens.", "Requests are capped at 12,288 tokens."),
        ("We promise 60 ms per token at P99.", "We promise 96 ms per token at P99."),
        ("Wir erlauben Sequenzen bis 16.384 Token.", "Wir erlauben Sequenzen bis 12.288 Token."),
        ("Over 24 hours that is $556.8.", "Over 24 hours that is $656.8."),
        ("| | per hour | per day | per 30 days |\n|---|---|---|---|\n| all 8 | 23.20 | 556.80 | 16,704 |",
         "| | per hour | per day | per 30 days |\n|---|---|---|---|\n| all 8 | 23.20 | 556.80 | 18,704 |"),
    ],
)  # fmt: skip
def test_a_wording_with_the_right_and_a_wrong_value(right: str, wrong: str, problem: Problem) -> None:
    assert not any("refuted" in said or "contradicted" in said for said in verdicts(right, problem).values())
    assert any("refuted" in said or "contradicted" in said for said in verdicts(wrong, problem).values())


@pytest.mark.parametrize(
    "text",
    [
        "Keys and values are kept for eight heads.",
        "huit têtes de requête partagent une tête KV.",
        "- Vokabular: 128.256",
        "Every GPU carries 32.9 GiB of the model.",
        "Sharding leaves 35.3 GB of weights on a card.",
        "The first 3 dense layers are wider.",
        "max rate within limits 10.9 rps",
        "6 rps x 300 tok = 1,800 tok/s out, 225 per card",
        "With 900 W for the rest of the server the feed has to carry 6.5 kW.",
    ],
)
def test_true_wordings_that_were_once_accused(text: str, problem: Problem) -> None:
    assert not any("refuted" in said for said in verdicts(text, problem).values())
