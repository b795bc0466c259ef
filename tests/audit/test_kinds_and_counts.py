"""Replicas and their GPUs, what fits, kinds of layers, columns per GPU and alternatives: each right and wrong."""

from __future__ import annotations

import pytest

from optimizer.auditing import audit
from optimizer.auditing.context import Context
from optimizer.auditing.judge import statements_of
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
    "Up to 16 replicas would be possible at TP2 with twice the hardware.",
    "Ungeteilt belegen die Gewichte 141 GB.",
    "The 8 KV heads over TP4 leave two per GPU.",
    "Die 64 Query-Köpfe ergeben mit TP4 sechzehn je GPU.",
    "With TP8 and PP2 each GPU would keep 8.8 GB of weights.",
    "10 requests/s with 1,500 tokens in and 300 out: 3,000 tokens/s to be generated.",
    "Four replicas of four GPUs use eight cards per node.",
    "Vier Repliken zu je vier Karten nutzen acht GPUs je Server.",
    "Five replicas of four GPUs fit on twenty GPUs.",
    "A model of 40 GB fits on one card.",
    "Half as many cards would do.\nIn that case the weights take 70.6 GB per GPU.",
    "Up to 200 requests/s in bursts stay within the limits for ten seconds.",
    "Alle Grenzwerte halten mit FP8 bis 200 Anfragen/s.",
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


@pytest.fixture(scope="module")
def predicted(llama: Problem) -> float:
    """Requests/s within all limits, of two nodes with TP4·PP1·DP4, as the product itself gives it."""
    value = Context(llama, statements_of("The plan is TP4·PP1·DP4.")).predicted["p_max_request_rate"]
    assert value > 0
    return value


MOST = (
    "All limits hold up to {} requests/s.",
    "Alle Grenzwerte halten bis {} Anfragen/s.",
    "Le service tient ses limites jusqu'à {} requêtes par seconde.",
)


@pytest.mark.parametrize("text", MOST)
def test_the_rate_up_to_which_all_limits_hold(text: str, llama: Problem, predicted: float) -> None:
    assert "confirmed" in verdicts(text.format(f"{predicted:.4g}"), llama)
    assert verdicts(text.format(f"{predicted * 1.5:.4g}"), llama) & BAD
    assert not verdicts(text.format(f"{predicted * 1.1:.4g}"), llama) & BAD


SURVIVORS = (
    "If one GPU fails, the remaining replicas still meet all limits at the full {} requests/s.",
    "Fällt eine Karte aus, halten die übrigen Repliken alle Grenzwerte bei den vollen {} Anfragen/s.",
    "Les trois répliques restantes tiennent les {} requêtes par seconde dans toutes les limites.",
)


@pytest.mark.parametrize("text", SURVIVORS)
def test_what_survivors_carry(text: str, llama: Problem, predicted: float) -> None:
    def at(rate: float) -> Problem:
        workload = llama.workload.model_copy(update={"requests_per_s": rate})
        return llama.model_copy(update={"workload": workload})

    much, little = round(0.95 * predicted, 1), round(0.5 * predicted, 1)
    assert verdicts(text.format(much), at(much)) & BAD
    said = verdicts(text.format(little), at(little))
    assert "confirmed" in said and not said & BAD


ALONE = (
    "If a GPU fails, the service carries on with the other {}.",
    "Fällt eine Karte aus, läuft der Dienst auf den {} übrigen weiter.",
    "Si une carte tombe en panne, le service continue sur les {} autres.",
)


@pytest.mark.parametrize(("text", "number"), [*zip(ALONE, ("seven", "sieben", "sept"), strict=True)])
def test_a_single_replica_does_not_go_on(text: str, number: str, gemma: Problem) -> None:
    assert verdicts(text.format(number), gemma, "The plan is TP8·PP1·DP1.") & BAD
    assert not verdicts(text.format(number), gemma, "The plan is TP1·PP1·DP8.") & BAD


WAYS = "We suggest two replicas of Llama-3.1-70B, each sharded {} ways."


def test_a_variant_of_the_sentence_before(llama: Problem) -> None:
    plan = WAYS.format("eight")
    assert "confirmed" in verdicts("Every GPU keeps 17.6 GB of weights.", llama, plan)
    text = (
        "Had we gone for TP2, there would be eight replicas.\nThat variant would place {} GB of weights on every GPU."
    )
    assert not verdicts(text.format("70.6"), llama, plan) & BAD
    assert verdicts(text.format("17.6"), llama, plan) != {"confirmed"}


REST = (
    ("The network gives 200 Gbit/s per node, or {} GB/s.", "25", "50"),
    ("Das Netz hat 200 Gbit/s je Knoten, oder {} GB/s.", "25", "20"),
    ("Le réseau offre 200 Gbit/s par nœud, ou {} Go/s.", "25", "12"),
    ("Une carte consomme {} W.", "700", "400"),
)


@pytest.mark.parametrize(("text", "right", "wrong"), REST)
def test_rates_in_bits_and_bytes_and_power(text: str, right: str, wrong: str) -> None:
    problem = stated("h100-sxm-80gb", "llama3.1-70b", nodes=2)
    hardware = problem.hardware.model_copy(update={"internode_gbit_per_s": 200})
    problem = problem.model_copy(update={"hardware": hardware})
    assert not verdicts(text.format(right), problem) & BAD
    assert verdicts(text.format(wrong), problem) & BAD


def test_formats_of_an_a100_in_french() -> None:
    problem = stated("a100-sxm-40gb", "llama3.1-8b")
    text = "Le passage en {} serait accéléré par les cœurs tensoriels de l'A100."
    assert verdicts(text.format("FP8"), problem) & BAD
    assert not verdicts(text.format("INT8"), problem) & BAD


FACTS = (
    ("The RTX 6000 Ada reads its memory at {} GB/s.", "960", "2,039"),
    ("One {} would be enough to hold the weights of Llama-3.1-70B.", "H200", "RTX 6000 Ada"),
    ("The model itself stops at {} tokens.", "131,072", "16,380"),
    ("Llama-3.1-70B: das Modell selbst endet bei {} Token.", "131.072", "40.000"),
    ("The limit for the first token at P99 is {} ms and it is kept.", "2,000", "800"),
    ("The first node gets 62.5 % of the requests, the second the remaining {} %.", "37.5", "47.5"),
    ("Der erste Knoten trägt 60 % der Anfragen, der zweite die übrigen {} %.", "40", "30"),
    ("Le premier serveur prend 70 % des requêtes, le second les {} % restants.", "30", "40"),
)


@pytest.mark.parametrize(("text", "right", "wrong"), FACTS)
def test_facts_limits_and_shares(text: str, right: str, wrong: str, llama: Problem) -> None:
    assert not verdicts(text.format(right), llama) & BAD
    assert verdicts(text.format(wrong), llama) & BAD
