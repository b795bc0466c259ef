"""A rule says what is, and in a conflict what has to be: both from one text, no sentence is rewritten."""

from __future__ import annotations

from typing import Any

import pytest

from optimizer.reading.load import problem_from_dict
from optimizer.search.uniform.rule import DIVIDES, Told, told
from optimizer.search.uniform.rules import rules_for
from tests.conftest import changed


def test_both_from_one_text() -> None:
    assert told("TP ", DIVIDES, " 8.") == Told("TP divides 8.", "TP has to divide 8.")
    assert told("Nothing to choose.") == Told("Nothing to choose.", "Nothing to choose.")


@pytest.mark.parametrize(
    ("rule", "sentence", "clause"),
    [
        ("attention_heads", "TP divides the 64 attention heads.", "TP has to divide the 64 attention heads"),
        (
            "layer_split",
            "Every stage holds at least one of the 80 layers and is within 1 of an even split.",
            "every stage has to hold at least one of the 80 layers and be within 1 of an even split",
        ),
        ("experts", "A dense model has no experts: EP is 1.", "a dense model has no experts, so that EP has to be 1"),
        ("max_batch", "A replica runs at most 64 sequences at once.", "a replica runs at most 64 sequences at once"),
    ],
)
def test_rules_of_the_example(example: dict[str, Any], rule: str, sentence: str, clause: str) -> None:
    found = next(one for one in rules_for(problem_from_dict(example)) if one.id == rule)
    assert (found.sentence, found.clause) == (sentence, clause)


def test_no_text_is_left_with_both_words(example: dict[str, Any]) -> None:
    for stated in (example, changed(example, model="deepseek-v3", hardware__gpu="h200-sxm-141gb")):
        for rule in rules_for(problem_from_dict(stated)):
            assert not set("[]|") & set(rule.sentence + rule.clause), rule.id
