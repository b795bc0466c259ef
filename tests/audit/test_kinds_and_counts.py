"""Replicas and their GPUs, what fits, kinds of layers, columns per GPU and alternatives: each right and wrong."""

from __future__ import annotations

import pytest

from optimizer.auditing import audit
from optimizer.facts.problem import Problem
from optimizer.reading.load import problem_from_dict

BAD = {"refuted", "contradicted"}


def stated(gpu: str, model: str, nodes: int = 1, per_node: int = 8) -> Problem:
    return problem_from_dict(
        {
            "engine": "vllm",
            "hardware": {"gpu": gpu, "nodes": nodes, "gpus_per_node": per_node},
            "model": model,
            "workload": {"prompt_tokens": 1500, "output_tokens": 300, "requests_per_s": 10},
            "requirements": {"ttft_p99_ms": 2000, "tpot_p99_ms": 60, "max_batch": 64, "max_sequence_tokens": 16384},
        },
        default_name="kinds",
    )


@pytest.fixture(scope="module")
def llama() -> Problem:
    return stated("h100-sxm-80gb", "llama3.1-70b", nodes=2)


@pytest.fixture(scope="module")
def gemma() -> Problem:
    return stated("h100-sxm-80gb", "gemma3-27b")


def verdicts(text: str, problem: Problem, strategy: str = "The plan is TP4·PP1·DP4.") -> set[str]:
    last = text.count("\n") + 3
    return {claim.verdict for claim in audit(f"{strategy}\n\n{text}", problem).claims if claim.line == last}


PAIRS = (
    ("Three replicas of two GPUs occupy {} cards.", "six", "eight"),
    ("Drei Instanzen zu je vier Karten belegen {} GPUs.", "zwölf", "sechzehn"),
    ("Cinq répliques de deux cartes utilisent {} GPU.", "dix", "douze"),
    ("{} copies of two GPUs would fit into one server.", "Four", "Six"),
    ("Mit TP8 ergeben die sechzehn GPUs {} Repliken.", "zwei", "vier"),
    ("{} répliques de quatre GPU tiendraient dans un serveur.", "Deux", "Trois"),
    ("Without quantisation the weights fit on {} H100 with 80 GB.", "two", "one"),
    ("Ohne Quantisierung passen die Gewichte auf {} Karten mit 80 GB.", "zwei", "einer der"),
    ("| layout | weights | remark |\n|---|---|---|\n| TP1·PP1·DP16 | 141 GB | fits on a single {} GB card |", "192", "96"),
    ("| Größe | je GPU |\n|---|---|\n| KV-Cache je Token | {} KiB |", "80", "320"),
    ("| quantity | per card |\n|---|---|\n| KV cache per token | {} KiB |", "80", "160"),
)  # fmt: skip
GEMMA = (
    ("Most layers have a sliding window of {} tokens.", "1,024", "4,096"),
    ("Die zehn globalen Schichten brauchen je Token {} KiB im KV-Cache.", "80", "320"),
    ("In the ten global layers a token takes {} KiB of cache.", "80", "40"),
)
TRUE = (
    "Ungeteilt belegen die Gewichte 141 GB.",
    "The 8 KV heads over TP4 leave two per GPU.",
    "Die 64 Query-Köpfe ergeben mit TP4 sechzehn je GPU.",
    "With TP8 and PP2 each GPU would keep 8.8 GB of weights.",
    "10 requests/s with 1,500 tokens in and 300 out: 3,000 tokens/s to be generated.",
    "If we had two more servers, eight replicas of four cards would fit.",
)


@pytest.mark.parametrize(("text", "right", "wrong"), PAIRS)
def test_right_and_wrong(text: str, right: str, wrong: str, llama: Problem) -> None:
    assert not verdicts(text.format(right), llama) & BAD
    assert verdicts(text.format(wrong), llama) & BAD


@pytest.mark.parametrize(("text", "right", "wrong"), GEMMA)
def test_kinds_of_layers(text: str, right: str, wrong: str, gemma: Problem) -> None:
    said = verdicts(text.format(right), gemma, "The plan is TP4·PP1·DP2.")
    assert "confirmed" in said and not said & BAD
    assert verdicts(text.format(wrong), gemma, "The plan is TP4·PP1·DP2.") & BAD


@pytest.mark.parametrize("text", TRUE)
def test_what_is_true_is_not_accused(text: str, llama: Problem) -> None:
    assert not verdicts(text, llama) & BAD


COMMAND = "vllm serve meta-llama/Llama-3.1-70B-Instruct --tensor-parallel-size 8 --pipeline-parallel-size 2"


@pytest.mark.parametrize(
    ("heading", "accused"),
    [
        ("Alternative, not chosen:", False),
        ("Zum Vergleich:", False),
        ("Solution écartée :", False),
        ("Start it with:", True),
    ],
)
def test_a_command_below_an_alternative_is_another_strategys(heading: str, accused: bool, llama: Problem) -> None:
    text = f"{heading}\n\n```\n{COMMAND}\n```"
    claims = audit(f"The plan is TP4·PP1·DP4.\n\n{text}", llama).claims
    assert any(one.verdict in BAD for one in claims) is accused


def test_what_follows_an_alternatives_command_is_about_it(llama: Problem) -> None:
    text = f"Not chosen:\n\n```\n{COMMAND}\n```\n\nThat layout would run {{}} on the sixteen GPUs."
    assert not verdicts(text.format("one replica"), llama) & BAD
    assert verdicts(text.format("two replicas"), llama) & BAD
