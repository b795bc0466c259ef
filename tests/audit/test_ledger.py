"""Quantities are data: every formula of the data files has a value, and what is added to the ledger is audited with no code."""

from __future__ import annotations

from typing import Any

import pytest

from optimizer.auditing.context import Context
from optimizer.auditing.derived import derived_lexicon
from optimizer.auditing.facts import Degrees, Situation
from optimizer.auditing.figures import judge_figures
from optimizer.auditing.formula import UnknownName, value_of
from optimizer.auditing.lexicon import lexicon, quantities
from optimizer.auditing.reading import read_report
from optimizer.auditing.sentences import sentences_of
from optimizer.auditing.situations import own_situation
from optimizer.reading.load import problem_from_dict
from optimizer.reporting.ledger import Ledger
from optimizer.results.audit import Claim

CONDITIONS = {
    "mla",
    "dense",
    "no_nvlink",
    "no_host_memory",
    "no_price",
    "no_cpu_cores",
    "no_blocks",
    "no_strategy",
    "no_tp",
    "pipeline",
    "several_widths",
}


def situation(example: dict[str, Any], model: str, degrees: Degrees) -> Situation:
    problem = problem_from_dict({**example, "model": model, "search": {}, "requirements": {"max_batch": 64}})
    return Situation(
        problem,
        problem.hardware.gpu,
        problem.model,
        degrees,
        problem.model.native_weight_format,
        problem.model.native_dtype,
    )


@pytest.mark.parametrize("model", ["llama3-70b", "mixtral-8x7b", "deepseek-v3"])
def test_every_formula_has_a_value_where_it_applies(model: str, example: dict[str, Any]) -> None:
    names = situation(example, model, Degrees(8, 1, 1, 1)).values
    known = set(situation(example, "mixtral-8x7b", Degrees(8, 1, 1, 1)).values) | set(names)
    for id, quantity in quantities().items():
        for listed in quantity.values.values():
            for text in (part for one in listed for part in one.removeprefix("between ").split(" and ")):
                if text.startswith("ledger("):
                    continue
                try:
                    # What is left of a memory may be less than nothing, where the weights do not fit.
                    assert value_of(text, names) >= 0 or quantity.rest, (id, text)
                except UnknownName as missing:
                    # Absent for this model (a dense one has no experts, MLA no plain heads) or problem, never misspelt.
                    assert str(missing).strip("'") in known | {
                        "ffn",
                        "expert_ffn",
                        "price",
                        "experts_gpu",
                        "experts_all",
                        "experts_by_tp",
                    }, (id, text, missing)
        assert quantity.unless in CONDITIONS | {""}, id


def judged(sentence: str, example: dict[str, Any], ledger: Ledger) -> list[Claim]:
    statements = read_report(f"We run TP2-PP4-DP1.\n\n{sentence}")
    context = Context(problem_from_dict(example), statements)
    context.__dict__["ledger"] = ledger
    own = own_situation(context)
    return [
        claim
        for read in sentences_of(statements[-1], lexicon(), "en")
        for claim in judge_figures(read, context, lexicon(), own)
    ]


def test_a_figure_added_to_the_ledger_is_audited_by_its_title(example: dict[str, Any]) -> None:
    ledger = Ledger()
    ledger.derive("shards", "Shards of the checkpoint", "weights / bytes of a shard", "30 × 1", 30, "shards")
    ledger.derive("spool", "Spool space of a node", "nodes × bytes", "2 × 500 GB", 1e12, "B")
    for right in ("Shards of the checkpoint: 30", "The spool space of a node is 1 TB."):
        assert [claim.verdict for claim in judged(right, example, ledger)] == ["confirmed"], right
    for wrong in ("Shards of the checkpoint: 40", "The spool space of a node is 3 TB."):
        assert [claim.verdict for claim in judged(wrong, example, ledger)] == ["refuted"], wrong
    assert not judged("Shards of the checkpoint: 40", example, Ledger())


def test_predicted_figures_confirm_and_never_refute(example: dict[str, Any]) -> None:
    ledger = Ledger()
    ledger.given("warm", "Time to warm the caches", 400.0, "ms", "by the load model")
    assert [claim.verdict for claim in judged("Time to warm the caches: 400 ms", example, ledger)] == ["confirmed"]
    assert not judged("Time to warm the caches: 900 ms", example, ledger)


def test_names_lead_to_their_quantity(example: dict[str, Any]) -> None:
    found = {
        term.id("quantity") for term in lexicon().terms("The hidden size, die Speicherbandbreite et le vocabulaire", [])
    }
    assert {"hidden_size", "memory_bandwidth", "vocabulary"} <= found
    assert derived_lexicon(Ledger()).index == {} or all(
        kind != "quantity" for meanings in derived_lexicon(Ledger()).index.values() for kind, _ in meanings
    )


@pytest.mark.parametrize("text", ["__import__('os')", "layers.real", "[1]", "'x'", "layers if layers else 1"])
def test_formulas_can_do_arithmetic_only(text: str) -> None:
    with pytest.raises(ValueError):
        value_of(text, {"layers": 80.0})
