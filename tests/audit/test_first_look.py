"""Faults that reports of a new wording showed, each of a kind, with the right value."""

from __future__ import annotations

from typing import Any

import pytest

from optimizer.auditing.implied_units import with_implied_units
from optimizer.auditing.measures import measures
from optimizer.auditing.reading import read_report
from optimizer.auditing.sheets import with_sheets
from optimizer.auditing.strategies import proposed_strategy
from optimizer.reading.load import problem_from_dict


@pytest.fixture(scope="module")
def problem() -> Any:
    return problem_from_dict(
        {
            "name": "two-boxes",
            "engine": "vllm",
            "hardware": {"gpu": "h100-sxm-80gb", "nodes": 2, "gpus_per_node": 8, "internode_gbit_per_s": 400},
            "model": "llama3.1-70b",
            "workload": {"prompt_tokens": 800, "output_tokens": 200, "requests_per_s": 6},
            "requirements": {"max_batch": 32, "max_sequence_tokens": 4096},
        }
    )


@pytest.mark.parametrize(
    ("text", "degrees"),
    [
        ("We recommend two independent replicas, each spread with tensor parallelism over four H100s.", (4, 1, 2)),
        ("Das Modell läuft in zwei Replikaten, jedes mit Tensorparallelität 4.", (4, 1, 2)),
        (
            "| Quantity | Unit | Value |\n|---|---|---|\n| Tensor parallel size | – | 8 |\n| Replicas | – | 2 |\n",
            (8, 1, 2),
        ),
        ("TP4, PP1.\n\nIf a server fails, two replicas remain.", (4, 1, 1)),
        ("TP8 in each box.\n\nWe could run nine replicas.\n\nThere are two replicas.", (8, 1, 2)),
        ("TP8. There are three replicas.", (8, 1, 1)),  # 24 GPUs, of which there are 16
    ],
)
def test_replicas_that_are_only_counted_belong_to_the_strategy(text: str, degrees: tuple[int, int, int]) -> None:
    found = proposed_strategy(with_sheets(read_report(text)), {}, 16)
    assert found is not None and (found.tp, found.pp, found.dp) == degrees


def test_an_hour_right_behind_a_price_goes_before_the_million_of_another() -> None:
    text = "The GPUs in use cost 43.20 an hour, 6.00 for a million output tokens."
    found = with_implied_units(text, measures(text, "en"))
    assert (found[0].value, found[0].dimension) == (43.2, "money/h")


@pytest.mark.parametrize("text", ["its bounds left 2 to look at", "the last 3 go first", "2 mo later"])
def test_english_words_are_no_french_bytes(text: str) -> None:
    assert [one.dimension for one in measures(text, "en")] == [""]


def test_french_bytes_are_read() -> None:
    assert [one.value for one in measures("80 Go et 2 To, 4 ko", "fr")] == [80e9, 2e12, 4e3]


def test_the_unit_of_a_title_stands_behind_each_figure_of_its_row() -> None:
    table = "| Size | H100 | L40S |\n|---|---|---|\n| Bandwidth (GB/s) | 3,350 | 864 |\n| Cards (each) | 8 | 4 |\n"
    rows = [one.cells[1:] for one in with_sheets(read_report(table))]
    assert rows == [("3,350 GB/s", "864 GB/s"), ("8", "4")]


def refuted(text: str, problem: Any) -> list[str]:
    from optimizer.auditing.ask import audit

    found = audit(f"We run TP8 on each node, two replicas.\n\n{text}\n", problem).claims
    return [one.reason for one in found if one.line == 3 and one.verdict in ("refuted", "contradicted")]


@pytest.mark.parametrize(
    "text",
    [
        "The tensor-parallel traffic never uses it, since a group of eight stays inside one server.",
        "16 of 16 free GPUs are used.",
        "One GPU takes exactly one instance with it.",
        "The H100s could then carry only 3.5 requests per second.",
    ],
)
def test_true_sentences_are_not_accused(text: str, problem: Any) -> None:
    assert refuted(text, problem) == []


def test_a_group_over_two_servers_is_refuted(problem: Any) -> None:
    assert any("stays inside one" in reason for reason in refuted("A TP group spans two servers.", problem))


@pytest.mark.parametrize(
    "text",
    [
        "All GPUs draw at most 12 kW.",
        "The feed allows 14 kW.",
        "Die Zuleitung ist mit 14 kW ausreichend.",
        "Mit 600 W je Server für das Übrige ergeben sich 12,4 kW.",
        "Die Leistung beträgt 16 × 700 W = 11,2 kW.",
        "When one server is lost, the other replica still manages 2.9 requests/s.",
        "max rate within limits 16.2 rps",
        "Ten layers see the whole context.",
        "80 layers, 64 heads, 8 of them kv",
        "6 rps x 200 tok = 1,200 tok/s out, 75 per card",
        "Eine Million erzeugter Token kostet damit etwa 6,11.",
        "The H100 has 80 GB, an A100 40 GB or 80 GB.",
    ],
)
def test_what_a_first_look_accused_and_is_true(text: str, problem: Any) -> None:
    assert refuted(text, problem) == []


@pytest.mark.parametrize(
    ("text", "right"),
    [
        ("The network has 25 Gbit/s, that is 3.5 GB/s.", "25 Gbit/s is 3.125 GB/s, not 3.5 GB/s."),
        ("Das Netz hat 25 Gbit/s, also 2,5 GB/s.", "25 Gbit/s is 3.125 GB/s, not 2,5 GB/s."),
        ("700 W per card, 8 cards: 4.8 kW", "5,600 W"),
        ("All GPUs draw 9.9 kW.", "11,200 W"),
        ("One H100 can hold the model.", "80 GB by name (84.93 GB of 10⁹ bytes)"),
        ("Two such cards are not enough for the 141 GB.", "160 GB by name (169.9 GB of 10⁹ bytes)"),
    ],
)
def test_reasons_give_the_right_figure(text: str, right: str, problem: Any) -> None:
    assert any(right in reason for reason in refuted(text, problem)), refuted(text, problem)
