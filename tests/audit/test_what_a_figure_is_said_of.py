"""What a figure is said of: one direction of a link, one number format, so many tokens or GPUs, all groups of an inventory."""

from __future__ import annotations

from typing import Any

import pytest

from optimizer.auditing.ask import audit
from optimizer.questions.inventory import inventory_from_dict
from tests.audit.test_parts_and_variants import problem, verdicts


@pytest.mark.parametrize(
    ("model", "gpu", "sentence", "right", "wrong"),
    [
        ("llama3.1-8b", "h100-sxm-80gb", "PCIe carries {} in either direction.", "64 GB/s", "128 GB/s"),
        ("llama3.1-8b", "h100-sxm-80gb", "NVLink moves {} per direction and GPU.", "450 GB/s", "900 GB/s"),
        ("llama3.1-8b", "h100-sxm-80gb", "Über PCIe gehen {} je Richtung.", "64 GB/s", "128 GB/s"),
        ("llama3.1-8b", "b200-sxm-180gb", "Dense FP8 peaks at {} on a card.", "4.5 PFLOPS", "9 PFLOPS"),
        ("llama3.1-8b", "b200-sxm-180gb", "In BF16 a card peaks at {}, twice that in FP8.", "2.25 PFLOPS", "4.5 PFLOPS"),
        ("llama3.1-70b", "h100-sxm-80gb", "A prompt of 500 tokens puts {} into each all-reduce.", "8.2 MB", None),
        ("llama3.1-70b", "h100-sxm-80gb", "In an all-reduce {} go out for each token.", "16 KiB", "100 KiB"),
    ],
)  # fmt: skip
def test_a_rate_or_volume_is_judged_by_what_it_is_said_of(
    model: str, gpu: str, sentence: str, right: str, wrong: str | None
) -> None:
    facts = problem(model, gpu)
    said = verdicts(sentence.format(right), facts)
    assert "confirmed" in said
    assert "refuted" not in said
    if wrong:
        assert "refuted" in verdicts(sentence.format(wrong), facts)


@pytest.mark.parametrize(
    ("sentence", "right", "wrong"),
    [
        ("A card makes 989 TFLOPS in bf16 and {} that in FP8.", "twice", "four times"),
        ("In bf16 a card makes 989 TFLOPS, {} as much, 1,979, in FP8.", "twice", "half"),
    ],
)
def test_what_a_factor_is_of_may_stand_before_it(sentence: str, right: str, wrong: str) -> None:
    facts = problem("llama3.1-8b", "h100-sxm-80gb")
    said = verdicts(sentence.format(right), facts)
    assert "confirmed" in said
    assert "refuted" not in said
    assert "refuted" in verdicts(sentence.format(wrong), facts)


@pytest.mark.parametrize(
    ("sentence", "right", "wrong"),
    [
        ("The 131,072-token window is {} times our cap of 16,384, which is plenty.", "eight", "four"),
        ("A request of 4,096 tokens uses up {} of the 16,384-token limit.", "a quarter", "half"),
    ],
)
def test_two_lengths_are_compared(sentence: str, right: str, wrong: str) -> None:
    facts = problem("llama3.1-8b", "h100-sxm-80gb")
    assert "refuted" not in verdicts(sentence.format(right), facts)
    assert "refuted" in verdicts(sentence.format(wrong), facts)


def test_a_total_stands_beside_what_one_gpu_has() -> None:
    facts = problem("llama3.1-8b", "h100-sxm-80gb")
    table = "| Item | Value |\n|---|---|\n| HBM3, 80 GB a GPU | {} for eight |\n"
    assert "refuted" not in verdicts(table.format("640 GB"), facts)
    assert "refuted" in verdicts(table.format("480 GB"), facts)


def test_the_eight_way_instance_is_no_number_of_instances() -> None:
    facts = problem("llama3.1-8b", "h100-sxm-80gb")
    assert "refuted" not in verdicts("For the eight-way instance, start this on the first node.", facts)


@pytest.mark.parametrize(
    ("gpu", "plan", "right", "wrong"),
    [
        ("h100-sxm-80gb", "TP4·PP1·DP2", "The replicas do not exchange activations.",
         "The two replicas exchange activations after each layer."),
        ("h100-sxm-80gb", "TP4·PP1·DP2", None, "Die beiden Replikate tauschen nach jeder Schicht Aktivierungen aus."),
        ("a100-sxm-80gb", "TP4·PP1·DP2", "FP8 has to be emulated on this generation.", "BF16 has to be emulated on this generation."),
        ("h100-sxm-80gb", "TP4·PP1·DP2", "FP4 muss hier emuliert werden.", "FP8 muss hier emuliert werden."),
        ("h100-sxm-80gb", "TP4·PP1·DP2", None, "The three cards left can come back as TP3."),
        ("h100-sxm-80gb", "TP4·PP1·DP2", "Lose one GPU: 1/2 of the capacity keeps serving.",
         "Lose one GPU: 7/8 of the capacity keeps serving."),
        ("h100-sxm-80gb", "four tensor-parallel pairs", "If one card fails, three pairs carry on.", "If one card fails, all pairs stop."),
        ("h100-sxm-80gb", "four tensor-parallel pairs", "Each card stores 8 GB of weights.", "Each card stores 4 GB of weights."),
    ],
)  # fmt: skip
def test_what_replicas_formats_and_failures_do(gpu: str, plan: str, right: str | None, wrong: str) -> None:
    facts = problem("llama3.1-8b", gpu)
    if right:
        said = verdicts(right, facts, f"The plan is {plan}.")
        assert "confirmed" in said
        assert "refuted" not in said
    assert "refuted" in verdicts(wrong, facts, f"The plan is {plan}.")


def test_experts_may_be_spread_over_replicas() -> None:
    facts = problem("deepseek-r1", "h200-sxm-141gb", 2)
    assert "refuted" not in verdicts("The replicas exchange activations.", facts, "The plan is TP8·PP1·DP2·EP16.")


def test_a_cell_is_not_confirmed_by_the_heading_of_its_column() -> None:
    facts = problem("llama3.1-8b", "h100-sxm-80gb")
    table = "| | A: two replicas, TP4 each | B: one replica, TP8 |\n|---|---|---|\n| Share of the licence fee | 1/8 | 1/16 |\n"
    assert "confirmed" not in verdicts(table, facts)


INVENTORY: dict[str, Any] = {
    "name": "two-sites",
    "cluster": [
        {"name": "porto", "gpu": "a100-sxm-80gb", "nodes": 2, "gpus_per_node": 4},
        {"name": "graz", "gpu": "l40s-48gb", "nodes": 1, "gpus_per_node": 8},
    ],
    "model": "qwen2.5-32b",
    "workload": {"prompt_tokens": 1000, "output_tokens": 250, "requests_per_s": 5},
    "requirements": {"ttft_p99_ms": 4000, "tpot_p99_ms": 90, "max_batch": 32, "max_sequence_tokens": 8192},
}  # fmt: skip


@pytest.mark.parametrize(
    "text",
    [
        "We run four TP4 instances: two in Porto on the A100 and two in Graz on the L40S.",
        "Vier Instanzen mit TP4, davon zwei in Porto auf A100 und zwei in Graz auf L40S.",
        "Nous prévoyons quatre instances TP4, deux à Porto sur A100 et deux à Graz sur L40S.",
    ],
)
def test_a_number_of_instances_is_divided_among_groups(text: str) -> None:
    answer = audit(f"{text}\n", inventory_from_dict(INVENTORY))
    assert answer.strategy == "2 × TP4·PP1 on porto + 2 × TP4·PP1 on graz"
    assert {one.verdict for one in answer.claims} == {"confirmed"}


@pytest.mark.parametrize(
    ("right", "wrong"),
    [
        ("In Porto the cards talk over NVLink; in Graz, PCIe joins the cards.",
         "In Porto the cards talk over NVLink; in Graz, an NVSwitch joins the cards."),
        ("Both kinds of card compute BF16 in hardware.", "Both kinds of card compute FP8 in hardware."),
    ],
)  # fmt: skip
def test_a_feature_is_that_of_the_group_it_is_said_of(right: str, wrong: str) -> None:
    facts = inventory_from_dict(INVENTORY)
    plan = "We run four TP4 instances: two in Porto on the A100 and two in Graz on the L40S."
    bad = [{c.verdict for c in audit(f"{plan}\n\n{text}\n", facts).claims if c.line > 1} for text in (right, wrong)]
    assert "refuted" not in bad[0]
    assert "refuted" in bad[1]
