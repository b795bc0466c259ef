"""A figure that its own sentence contradicts is never confirmed, and what holds of a whole, a part or a period is taken for that."""

from __future__ import annotations

import pytest

from optimizer.auditing import audit
from optimizer.facts.problem import Problem
from optimizer.reading.load import problem_from_dict


def _problem(gpu: str, nodes: int, per_node: int, model: str, link: int = 100) -> Problem:
    return problem_from_dict(
        {
            "engine": "vllm",
            "hardware": {"gpu": gpu, "nodes": nodes, "gpus_per_node": per_node, "internode_gbit_per_s": link,
                         "price_per_gpu_hour": 1.5},
            "model": model,
            "workload": {"prompt_tokens": 800, "output_tokens": 200, "requests_per_s": 5},
            "requirements": {"ttft_p99_ms": 2000, "tpot_p99_ms": 80, "max_sequence_tokens": 8192},
        },
        default_name="factors",
    )  # fmt: skip


@pytest.fixture(scope="module")
def experts() -> Problem:
    return _problem("l40s-48gb", 4, 4, "qwen3-30b-a3b")


@pytest.fixture(scope="module")
def dense() -> Problem:
    return _problem("h100-sxm-80gb", 2, 4, "qwen2.5-14b")


EXPERTS, DENSE = "We propose TP1·PP1·DP16·EP4.", "We propose TP2·PP1·DP4."


def verdicts(text: str, problem: Problem, strategy: str) -> set[str]:
    return {claim.verdict for claim in audit(f"{strategy}\n\n{text}", problem).claims if claim.line > 1}


def of_figure(text: str, stated: str, problem: Problem, strategy: str) -> set[str]:
    claims = audit(f"{strategy}\n\n{text}", problem).claims
    return {claim.verdict for claim in claims if claim.line > 1 and claim.stated == stated}


@pytest.mark.parametrize(
    ("sentence", "right", "wrong"),
    [
        ("16 cards at 350 W each: {}.", "5.6 kW", "7 kW"),
        ("Die 16 Karten zu je 350 W ziehen zusammen {}.", "5,6 kW", "7,2 kW"),
        ("Les 16 cartes, à 350 W chacune, consomment au plus {}.", "5,6 kW", "7,2 kW"),
    ],
)
def test_the_power_of_all_cards_is_the_product_that_is_stated(
    sentence: str, right: str, wrong: str, experts: Problem
) -> None:
    assert of_figure(sentence.format(right), right, experts, EXPERTS) == {"confirmed"}
    assert of_figure(sentence.format(wrong), wrong, experts, EXPERTS) == {"refuted"}


@pytest.mark.parametrize("more", [" including the hosts", " at the wall"])
def test_the_power_of_machines_with_their_hosts_is_no_product_of_cards(more: str, experts: Problem) -> None:
    text = f"16 cards at 350 W each: 7.2 kW{more}."
    assert "refuted" not in of_figure(text, "7.2 kW", experts, EXPERTS)


@pytest.mark.parametrize(
    "sentence", ["4 nodes × 4 cards, so we rent {} GPUs.", "4 Knoten mit je 4 Karten, also {} GPUs."]
)
def test_the_cards_of_all_nodes_are_the_product_that_is_stated(sentence: str, experts: Problem) -> None:
    assert verdicts(sentence.format(16), experts, EXPERTS) == {"confirmed"}
    assert of_figure(sentence.format(20), "20", experts, EXPERTS) == {"refuted"}


def test_cards_that_share_experts_are_not_those_of_the_strategy(experts: Problem) -> None:
    assert verdicts("TP 1, DP 16; the experts are spread over four cards each (EP 4).", experts, EXPERTS) == {
        "confirmed"
    }
    assert "refuted" in verdicts("TP1·PP1·DP16·EP4 takes 12 GPUs.", experts, EXPERTS)


COMMAND = "{}\n\n```bash\nvllm serve Qwen/Qwen3-30B-A3B \\\n  --data-parallel-size {} \\\n  --max-num-seqs {}\n```"


def test_an_engine_a_node_has_its_part_of_the_ranks(experts: Problem) -> None:
    said = "We start one engine per node, with up to 40 sequences per rank:"
    assert verdicts(COMMAND.format(said, 4, 40), experts, EXPERTS) == {"confirmed"}
    assert "contradicted" in verdicts(COMMAND.format(said, 8, 40), experts, EXPERTS)
    assert "contradicted" in verdicts(COMMAND.format("We start it so:", 4, 40), experts, EXPERTS)


def test_seats_of_a_rank_are_those_the_text_gives(experts: Problem) -> None:
    said = "At most 40 requests per replica, one engine a node:"
    assert of_figure(COMMAND.format(said, 4, 64), "64", experts, EXPERTS) == {"contradicted"}


@pytest.mark.parametrize(
    "sentence", ["A link of 100 Gbit/s carries {} GB/s.", "Le lien de 100 Gbit/s transporte {} Go/s."]
)
def test_a_link_carries_no_more_than_its_bits(sentence: str, dense: Problem) -> None:
    assert "refuted" in verdicts(sentence.format(25), dense, DENSE)
    assert "refuted" not in verdicts(sentence.format("12.5"), dense, DENSE)
    assert "refuted" not in verdicts(sentence.format(11), dense, DENSE)


@pytest.mark.parametrize(
    "sentence",
    [
        "The service survives even the loss of both nodes.",
        "Der Dienst läuft auch mit dem Ausfall beider Knoten weiter.",
        "We carry on serving: it goes on with both servers down.",
    ],
)
def test_nothing_runs_without_any_node(sentence: str, dense: Problem) -> None:
    assert verdicts(sentence, dense, DENSE) == {"refuted"}


def test_what_is_said_of_both_nodes_that_run_is_no_loss(dense: Problem) -> None:
    assert "refuted" not in verdicts("With a card lost the service keeps running on both nodes.", dense, DENSE)
    assert "refuted" not in verdicts("With both nodes down, nothing keeps running.", dense, DENSE)
    text = "The loss of both nodes would stop the service, which keeps running on one node only."
    assert "refuted" not in verdicts(text, dense, DENSE)
    assert "refuted" not in verdicts("After a failure of both nodes, the backup site keeps serving.", dense, DENSE)


@pytest.mark.parametrize(
    "sentence",
    [
        "In bf16 the weights take {} and fit on a single H100.",
        "In bf16 belegen die Gewichte {} und passen auf eine einzige Karte.",
        "En bf16, les poids occupent {} : une seule carte de 80 Go suffit.",
    ],
)
def test_weights_that_fit_one_card_are_all_of_them(sentence: str, dense: Problem) -> None:
    assert "refuted" not in verdicts(sentence.format("29.5 GB"), dense, DENSE)
    assert "refuted" in verdicts(sentence.format("41 GB"), dense, DENSE)


@pytest.mark.parametrize(
    ("sentence", "right", "wrong"),
    [
        ("The machines cost 12.00 dollars an hour, so {} dollars for 30 days.", "8,640", "9,900"),
        ("Le parc coûte 12,00 dollars par heure, donc {} dollars pour 7 jours.", "2 016", "2 416"),
    ],
)
def test_a_sum_is_for_the_days_behind_it(sentence: str, right: str, wrong: str, dense: Problem) -> None:
    assert of_figure(sentence.format(right), right, dense, DENSE) == {"confirmed"}
    assert of_figure(sentence.format(wrong), wrong, dense, DENSE) == {"refuted"}
