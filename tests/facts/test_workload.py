"""What a workload may state of lengths, traces, prefixes and guesses, and what is refused with the field named."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

import optimizer
from optimizer.facts.errors import ProblemError
from optimizer.facts.problem import Problem
from optimizer.reading.load import problem_from_dict
from tests.verify.builders import GPU, SMALL_DENSE

FORMS = {
    "vidur.csv": "arrived_at,num_prefill_tokens,num_decode_tokens\n0,100,10\n1,300,30\n",
    "azure.csv": "TIMESTAMP,ContextTokens,GeneratedTokens\n2023-11-16 18:15:46.6805900,100,10\n2023-11-16 18:15:47.6805900,300,30\n",
    "burst.csv": "Timestamp,Model,Request tokens,Response tokens,Total tokens,Log Type\n5,ChatGPT,100,10,110,x\n6,GPT-4,300,30,330,x\n"
    "7,GPT-4,50,0,50,x\n",
    "mooncake.jsonl": '{"timestamp": 0, "input_length": 100, "output_length": 10, "hash_ids": [1]}\n'
    '{"timestamp": 1000, "input_length": 300, "output_length": 30, "hash_ids": [1, 2]}\n',
}


def of(workload: dict[str, Any], folder: Path | None = None, **more: Any) -> Problem:
    values = {"hardware": {"gpu": GPU, "nodes": 1}, "model": SMALL_DENSE, "workload": workload, **more}
    return problem_from_dict(values, folder=folder)


@pytest.mark.parametrize("name", FORMS)
def test_traces_are_read_in_the_forms_in_which_they_are_published(name: str, tmp_path: Path) -> None:
    (tmp_path / name).write_text(FORMS[name])
    found = of({"trace": name}, tmp_path)
    assert [tuple(one) for one in found.requests] == [(100, 10, 1), (300, 30, 1)]
    assert (found.workload.prompt_tokens, found.workload.output_tokens) == (200, 20)
    assert found.workload.requests_per_s == 2.0
    assert found.longest_request_tokens == 330


def test_requests_that_are_not_served_are_left_out_and_said(tmp_path: Path) -> None:
    (tmp_path / "t.csv").write_text(FORMS["vidur.csv"] + "2,9000,5\n")
    found = of({"trace": "t.csv", "requests_per_s": 3}, tmp_path)
    assert found.workload.requests_per_s == 3
    assert found.workload.note is not None and "1 longer than 4,096 tokens would be refused" in found.workload.note


WRONG = [
    ({"output_tokens": 10, "requests_per_s": 1}, "workload.prompt_tokens", "is missing"),
    ({"prompt_tokens": 10, "output_tokens": 10}, "workload.requests_per_s", "is missing"),
    ({"trace": "none.csv"}, "workload.trace", "no such file"),
    ({"trace": "t.csv", "prompt_tokens": 5}, "workload.prompt_tokens", "stands beside trace"),
    (
        {"prompt_tokens": {"mean": 500, "p99": 400}, "output_tokens": 9, "requests_per_s": 1},
        "workload.prompt_tokens",
        "below the mean",
    ),
    (
        {"prompt_tokens": {"mean": 500, "cv": 1, "p50": 4}, "output_tokens": 9, "requests_per_s": 1},
        "workload.prompt_tokens",
        "cv stands",
    ),
    (
        {"prompt_tokens": 100, "output_tokens": 9, "requests_per_s": 1, "prefix": {"shared_tokens": 100}},
        "workload.prefix.shared_tokens",
        "is not below",
    ),
    (
        {
            "prompt_tokens": 100,
            "output_tokens": 9,
            "requests_per_s": 1,
            "speculation": {"method": "mtp", "acceptance": 0.8},
        },
        "workload.speculation.method",
        "states no multi-token-prediction module",
    ),
    (
        {
            "prompt_tokens": 100,
            "output_tokens": 9,
            "requests_per_s": 1,
            "speculation": {"method": "draft", "acceptance": 0.8},
        },
        "workload.speculation",
        "draft_parameters is needed",
    ),
    (
        {
            "prompt_tokens": 100,
            "output_tokens": 9,
            "requests_per_s": 1,
            "speculation": {"method": "draft", "acceptance": 0.8, "draft_model": "llama3.2-1b"},
        },
        "workload.speculation.draft_model",
        "vocabulary of 128,256",
    ),
    (
        {
            "prompt_tokens": 100,
            "output_tokens": 9,
            "requests_per_s": 1,
            "speculation": {"method": "draft", "acceptance": 0.8, "draft_model": "org/unknown"},
        },
        "workload.speculation.draft_model",
        "or state draft_parameters, draft_layers, draft_kv_bytes_per_token",
    ),
    (
        {
            "prompt_tokens": 100,
            "output_tokens": 9,
            "requests_per_s": 1,
            "speculation": {"method": "ngram", "acceptance": 0.8, "draft_model": "llama3.2-1b"},
        },
        "workload.speculation",
        "draft_model has no meaning with method ngram",
    ),
]


@pytest.mark.parametrize(("workload", "field", "said"), WRONG)
def test_what_is_wrong_is_named(workload: dict[str, Any], field: str, said: str, tmp_path: Path) -> None:
    with pytest.raises(ProblemError) as error:
        of(workload, tmp_path)
    assert error.value.field.startswith(field) and said in error.value.message


def test_choices_left_open_are_each_a_problem() -> None:
    work = {
        "prompt_tokens": 100, "output_tokens": 9, "requests_per_s": 1,
        "speculation": {"method": "ngram", "acceptance": 0.5, "max_tokens": 2},
    }  # fmt: skip
    found = of(work, search={"token_budgets": [1024, 4096]})
    choices = found.variants()
    assert len(choices) == 6
    one = found.decided(choices[-1])
    assert (one.search.max_num_batched_tokens, one.workload.guessed, one.variants()) == (4096, 2, ({},))
    assert float(one.workload.yielded) == 1.75


def test_a_draft_is_known_by_its_model() -> None:
    """Llama-3.2-1B: 16 layers of 2 · 8 KV heads · 64 values in 16 bit, 1,235,814,400 parameters; what is stated stands."""
    work = {"prompt_tokens": 100, "output_tokens": 9, "requests_per_s": 1}
    guesses = {"method": "draft", "acceptance": 0.7, "draft_model": "llama3.2-1b"}
    for stated, layers in (({}, 16), ({"draft_layers": 3}, 3)):
        values = {"hardware": {"gpu": GPU, "nodes": 1}, "model": "llama3.1-70b"}
        found = problem_from_dict(
            {**values, "workload": {**work, "speculation": guesses | stated}}
        ).workload.speculation
        assert found is not None and found.draft_model == "meta-llama/Llama-3.2-1B-Instruct"
        assert found.draft_parameters == 1.2358144 and found.draft_layers == layers
        assert found.draft_kv_bytes_per_token == 16 * 2 * 8 * 64 * 2


ROWS = [
    ("2,374.0,44", None),
    (
        "2,374.5,44",
        "line 4: arrived_at, num_prefill_tokens and num_decode_tokens have to be a time and two whole numbers",
    ),
    ("2,374", "not '2', '374', ''"),
    ("soon,374,44", "not 'soon', '374', '44'"),
    ("2,0,44", "line 4: needs a finite time and at least one token"),
]


@pytest.mark.parametrize(("row", "wrong"), ROWS)
def test_odd_rows_of_a_trace(row: str, wrong: str | None, tmp_path: Path) -> None:
    (tmp_path / "t.csv").write_text(FORMS["vidur.csv"] + row + "\n")
    if wrong is None:
        assert of({"trace": "t.csv"}, tmp_path).workload.prompt_tokens == (100 + 300 + 374) // 3
        return
    with pytest.raises(ProblemError) as error:
        of({"trace": "t.csv"}, tmp_path)
    assert error.value.field == "workload.trace" and wrong in error.value.message


@pytest.mark.parametrize("length", ["true", "12.7", '"x"'])
def test_lengths_in_json_are_whole_numbers(length: str, tmp_path: Path) -> None:
    """Read as 1 and 12 tokens once."""
    line = '{"timestamp": 0, "input_length": LENGTH, "output_length": 5}'.replace("LENGTH", length)
    (tmp_path / "t.jsonl").write_text(line + "\n" + FORMS["mooncake.jsonl"])
    with pytest.raises(ProblemError, match="two whole numbers"):
        of({"trace": "t.jsonl"}, tmp_path)


LAWS = [
    ({"mean": 500, "cv": 2, "max": 600}, "none longer than 600 there is no such law: cut there its mean is 287"),
    ({"mean": 500, "p50": 2}, "none longer than 4,096"),
    ({"mean": 500, "p50": 700}, "no lognormal law with mean 500 has a percentile of 700"),
]


@pytest.mark.parametrize(("law", "wrong"), LAWS)
def test_laws_that_do_not_exist_are_refused(law: dict[str, Any], wrong: str) -> None:
    with pytest.raises(ProblemError) as error:
        of({"prompt_tokens": law, "output_tokens": 9, "requests_per_s": 1})
    assert error.value.field == "workload.prompt_tokens" and wrong in error.value.message


@pytest.mark.parametrize("law", [{"mean": 500}, {"mean": 500, "cv": 0}])
def test_a_law_without_spread_is_a_number(law: dict[str, Any]) -> None:
    more = {"output_tokens": 9, "requests_per_s": 1}
    assert of({"prompt_tokens": law, **more}) == of({"prompt_tokens": 500, **more})


def test_what_an_inventory_does_not_decide_is_refused_by_name() -> None:
    """Several token budgets were ignored once; one is used."""
    values = {
        "cluster": [{"name": "a", "gpu": "h100-sxm-80gb", "nodes": 1, "gpus_per_node": 2}],
        "model": SMALL_DENSE,
        "workload": {"prompt_tokens": 100, "output_tokens": 9, "requests_per_s": 1},
    }
    guesses = {"method": "ngram", "acceptance": 0.5}
    for field, more in (
        ("search.token_budgets", {"search": {"token_budgets": [1024, 8192]}}),
        ("search.token_budgets", {"search": {"token_budgets": "engine"}}),
        ("workload.speculation", {"workload": {**values["workload"], "speculation": guesses}}),
        ("objective", {"objective": "capacity"}),
    ):
        with pytest.raises(ProblemError, match="with hardware:") as error:
            optimizer.problem_from_dict({**values, **more})
        assert error.value.field == field
    one = optimizer.problem_from_dict({**values, "search": {"token_budgets": [1024]}})
    assert one.search.max_num_batched_tokens == 1024
