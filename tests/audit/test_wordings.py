"""Every quantity of the ledger in wordings of three languages, with the right value and with half as much again."""

from __future__ import annotations

import csv
from pathlib import Path

import pytest

from optimizer.auditing import audit
from optimizer.facts.problem import Problem
from optimizer.reading.load import problem_from_dict

ROWS = [
    tuple(row)
    for row in csv.reader((Path(__file__).parent / "sentences" / "wordings.tsv").open(encoding="utf-8"), delimiter="\t")
][1:]
STRATEGY = "Strategy: TP4, PP1, DP4.\n\n"


@pytest.fixture(scope="module")
def problem() -> Problem:
    return problem_from_dict(
        {
            "hardware": {
                "gpu": "a100-sxm-80gb", "nodes": 2, "gpus_per_node": 8, "internode_gbit_per_s": 200, "host_memory_gb": 1000,
                "cpu_cores": 96, "price_per_gpu_hour": 1.8,
            },
            "model": "llama3.1-70b",
            "workload": {"prompt_tokens": 1200, "output_tokens": 300, "requests_per_s": 8},
            "requirements": {"ttft_p99_ms": 3000, "tpot_p99_ms": 60, "max_batch": 48, "max_sequence_tokens": 8192},
        }
    )  # fmt: skip


@pytest.mark.parametrize("quantity", sorted({row[0] for row in ROWS}))
def test_the_right_value_is_confirmed_and_a_wrong_one_refuted(quantity: str, problem: Problem) -> None:
    pairs = [(right, wrong) for name, right, wrong in ROWS if name == quantity]
    for (right, wrong), true, false in zip(
        pairs, _said([r for r, _ in pairs], problem), _said([w for _, w in pairs], problem), strict=True
    ):
        assert true == {"confirmed"}, right
        assert false & {"refuted", "contradicted"}, wrong


def _said(sentences: list[str], problem: Problem) -> list[set[str]]:
    """The verdicts on each sentence, in one report that keeps them apart."""
    first, apart = 3, 5
    claims = audit(STRATEGY + ("\n" * apart).join(sentences) + "\n", problem).claims
    return [{claim.verdict for claim in claims if claim.line == first + apart * at} for at in range(len(sentences))]
