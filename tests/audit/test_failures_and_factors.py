"""What a failure leaves, how many times one thing is another, what lengths take in the cache, limits by paraphrase: right and wrong."""

from __future__ import annotations

import pytest

from optimizer.auditing import audit
from optimizer.facts.problem import Problem
from optimizer.reading.load import problem_from_dict

STRATEGY = "The plan is TP4·PP1·DP4."
BAD = {"refuted", "contradicted"}


def stated(nodes: int) -> Problem:
    return problem_from_dict(
        {
            "engine": "vllm",
            "hardware": {"gpu": "h100-sxm-80gb", "nodes": nodes, "gpus_per_node": 8, "internode_gbit_per_s": 400},
            "model": "llama3.1-70b",
            "workload": {"prompt_tokens": 1500, "output_tokens": 300, "requests_per_s": 10},
            "requirements": {
                "ttft_p99_ms": 2000, "tpot_p99_ms": 60, "e2e_p99_ms": 30000, "max_batch": 64, "max_sequence_tokens": 16384,
            },
        },
        default_name="failures",
    )  # fmt: skip


@pytest.fixture(scope="module")
def problem() -> Problem:
    return stated(2)


def verdicts(text: str, problem: Problem, strategy: str = STRATEGY) -> set[str]:
    lines = [claim for claim in audit(f"{strategy}\n\n{text}", problem).claims if claim.line > 1]
    last = text.count("\n") + 3
    return {claim.verdict for claim in lines if claim.line == last}


PAIRS = (
    ("If one server fails, {} of the capacity is gone.", "half", "an eighth"),
    ("Losing one GPU costs us {} of the throughput.", "a quarter", "a sixteenth"),
    ("Beim Ausfall einer Karte fehlt {} der Kapazität.", "ein Viertel", "ein Sechzehntel"),
    ("La perte d'une carte coûte {} du débit.", "un quart", "un seizième"),
    ("The H100 has {} the memory bandwidth of an A100 80 GB.", "over one and a half times", "more than twice"),
    ("Die H100 hat {} Speicherbandbreite der A100 mit 80 GB.", "gut anderthalbmal die", "gut dreimal die"),
    ("Weights take 35.3 GB of a card.\nThat is {} the memory of one card.", "less than half of", "a quarter of"),
    ("The cache gets 30 GiB on a card, the weights take 33 GiB.\nSo the cache is {} as large as the weights.", "nearly 1 times",
     "three times"),
    ("NVLink gives every GPU 900 GB/s.\nThis is {} than the network of a node.", "more", "less"),
    ("NVLink: 900 GB/s je GPU.\nDas ist {} als das Netz des Knotens.", "mehr", "weniger"),
    ("NVLink : 900 Go/s par carte.\nC'est {} que le réseau du serveur.", "plus", "moins"),
    ("The survivors carry 7.2 requests/s.\nThat is {} the 70 % that are demanded.", "above", "below"),
    ("Es bleiben 7,2 Anfragen/s.\nDas liegt {} den verlangten 70 %.", "über", "unter"),
    ("The longest allowed request takes {} GiB.", "5", "2.5"),
    ("Die längste Anfrage belegt {} GiB.", "5", "3,1"),
    ("Une séquence de 8 192 jetons occupe {} Gio.", "2,5", "1,2"),
    ("A thread of 4,096 tokens needs 1.25 GiB of cache.\nOn one card it is {} MiB.", "320", "640"),
    ("Eine Sitzung von 4.096 Token belegt 1,25 GiB Cache.\nPro Karte sind das {} MiB.", "320", "160"),
    ("A context of 16,384 tokens takes 5 GiB.\nThe 163,840 tokens of a replica give room for {} such contexts.", "ten", "thirty"),
    ("The first token takes 300 ms at P99.\nThe limit is set at {} s.", "2", "3"),
    ("Das erste Token kommt nach 300 ms.\nDer Vertrag verlangt {} s.", "2", "4"),
    ("Le premier jeton arrive en 300 ms.\nLe contrat exige {} s.", "2", "5"),
    ("A reply of 300 tokens at 25 ms per token takes {} s.", "7.5", "12"),
    ("A 300-token reply at 20 ms per token needs {} seconds.", "6", "9.5"),
    ("300 Token zu 25 ms je Token dauern {} s.", "7,5", "4"),
    ("Une réponse de 300 jetons à 25 ms par jeton dure {} s.", "7,5", "11"),
    ("Over an hour, 36,000 letters produce {} tokens.", "10,800,000", "7,800,000"),
    ("A context of 16,384 tokens takes 5 GiB.\n163,840 tokens per replica are enough for {} such contexts.", "ten", "25"),
    ("In an hour, 36,000 letters produce {} tokens.", "10,800,000", "8,800,000"),
    ("In der Stunde waren es mehr, doch 600 Briefe erzeugen {} Token.", "180.000", "130.000"),
    ("| Property | Value |\n|---|---|\n| {} TFLOPS |", "BF16 dense | 989", "FP4 dense | 3,958"),
    ("Further tokens come every 25 ms, and we are allowed {}.", "60", "80"),
    ("Thereafter it is 25 ms.\nThe contract says {} ms for each further token.", "60", "75"),
)  # fmt: skip


@pytest.mark.parametrize(("sentence", "right", "wrong"), PAIRS)
def test_a_wrong_one_is_found_and_a_right_one_not_accused(
    sentence: str, right: str, wrong: str, problem: Problem
) -> None:
    assert not verdicts(sentence.format(right), problem) & BAD
    assert verdicts(sentence.format(wrong), problem) & BAD


@pytest.mark.parametrize(
    "sentence",
    [
        "When a GPU dies, its replica carries on with three cards.",
        "Fällt eine Karte aus, rechnet das Replikat mit drei Karten weiter.",
        "Si une carte tombe en panne, la réplique continue avec trois cartes.",
    ],
)
def test_a_replica_does_not_go_on_without_one_of_its_cards(sentence: str, problem: Problem) -> None:
    assert verdicts(sentence, problem) & BAD


@pytest.mark.parametrize(
    "sentence",
    [
        "If the server fails, everything stops.",
        "Fällt der Server aus, steht der ganze Dienst.",
        "Une panne du serveur interrompt le service.",
    ],
)
def test_a_service_on_one_node_stops_with_it_and_on_two_does_not(sentence: str, problem: Problem) -> None:
    assert verdicts(sentence, stated(1), "The plan is TP4·PP1·DP2.") == {"confirmed"}
    assert verdicts(sentence, problem) & BAD


@pytest.mark.parametrize("limit", ["30 s", "20 s"])
def test_the_limit_of_whole_requests_in_a_table_is_that_of_the_problem(limit: str, problem: Problem) -> None:
    table = f"| Metric | Predicted | Limit | Verdict |\n|---|---|---|---|\n| E2E P99 | 12 s | {limit} | ok |"
    assert bool(verdicts(table, problem) & BAD) == (limit != "30 s")


@pytest.mark.parametrize(
    "sentence",
    [
        "If a GPU fails, the pipeline of our old set-up lost an eighth of its throughput.",
        "A failed card is replaced within half of a day.",
        "When a server fails, the others must carry half of the requests.",
        "A reply of 300 tokens takes 9 s in all, of which the first token takes 1.5 s and each further one 25 ms.",
        "We saw 600 letters produce 90,000 tokens in the test last year.",
        "Twice the memory would not help.",
        "An H200 has nearly twice the memory of an H100.",
        "With an FP8 cache, a sequence of 8,192 tokens takes 1.25 GiB.",
        "A prefix of 2,048 tokens saves 40 MiB.",
        "A typical request of 1,800 tokens takes 0.55 GiB.",
        "We were allowed 20 more people.",
        "The contract says that the reports arrive within 90 ms of travel time to the customer.",
    ],
)
def test_what_may_be_something_else_is_not_accused(sentence: str, problem: Problem) -> None:
    assert not verdicts(sentence, problem) & BAD
