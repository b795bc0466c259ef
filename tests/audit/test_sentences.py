"""Sentences of many wordings, one a line (``\\n`` breaks a line): right ones may never be accused, wrong ones have to be.

``sentences/``: about TP2·PP4·DP1 of Llama-3-70B on 8 H100, and about DeepSeek-V3 on 16 H200.
"""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from optimizer.auditing import audit
from optimizer.reading.load import load_problem, problem_from_dict
from tests.audit.problems import PROBLEMS

SENTENCES = Path(__file__).parent / "sentences"
LLAMA, DEEPSEEK = "The strategy is TP2-PP4-DP1.", "We run TP8-PP2-DP1 with EP8."


def read(name: str) -> list[str]:
    return [line.replace("\\n", "\n") for line in (SENTENCES / name).read_text().splitlines() if line.strip()]


def accused(report: str, problem: dict[str, Any]) -> list[Any]:
    result = audit(report, problem_from_dict(problem))
    return [claim for claim in result.claims if claim.verdict in ("refuted", "contradicted")]


@pytest.mark.parametrize("part", [0, *(pytest.param(part, marks=pytest.mark.long) for part in range(1, 8))])
def test_no_right_sentence_is_accused(example: dict[str, Any], part: int) -> None:
    for sentence in read("llama_true.txt")[part::8]:
        assert not accused(f"{LLAMA}\n\n{sentence}", example), sentence


def test_right_sentences_together_are_not_accused(example: dict[str, Any]) -> None:
    plain = [sentence for sentence in read("llama_true.txt") if "\n" not in sentence]
    consistent = [sentence for sentence in plain if "tpot" not in sentence.lower() and " ms" not in sentence]
    assert not accused("\n\n".join([LLAMA, *consistent]), example)
    assert not accused("\n\n".join([DEEPSEEK, *read("deepseek_true.txt")]), PROBLEMS["deepseek_h200_cluster"])


@pytest.mark.parametrize("sentence", read("llama_false.txt"))
def test_wrong_sentences_are_accused(sentence: str, example: dict[str, Any]) -> None:
    assert accused(f"{LLAMA}\n\n{sentence}", example)


@pytest.mark.parametrize(
    ("sentences", "problem", "strategy"),
    [
        ("qwen72b_true.txt", "qwen72b_8xa100", "We run TP4 with DP2."),
        ("deepseek_ep_true.txt", "deepseek_2x8h200", "We run TP16 with EP16."),
    ],
)
def test_right_sentences_that_look_wrong_are_not_accused(sentences: str, problem: str, strategy: str) -> None:
    """Parts, other cards and models, measured values, conditionals, shares: each near a figure that it is not."""
    stated = load_problem(str(Path(__file__).parent / "labelled" / f"{problem}.yaml"))
    for sentence in read(sentences):
        claims = audit(f"{strategy}\n\n{sentence}", stated).claims
        assert not [claim for claim in claims if claim.verdict in ("refuted", "contradicted")], sentence
