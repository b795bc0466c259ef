"""Problem files: what is accepted, and that every refusal is one message naming the field, the value and what would be right."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest
import yaml

import optimizer
from optimizer.catalog import lookup as catalog
from optimizer.facts.errors import ProblemError
from optimizer.reading.files import read_mapping
from optimizer.reading.inventory_file import inventory_from_dict, is_inventory, load_inventory
from optimizer.reading.load import load_problem, problem_from_dict
from optimizer.reading.question import load_question
from tests.conftest import ROOT, changed

OF_OTHER_KINDS = ("day-on-h100-and-l40s", "day-profile", "two-models", "two-models-h100-and-l40s")


def test_the_example_case_loads(example: dict[str, Any]) -> None:
    problem = problem_from_dict(example)
    assert problem.hardware.gpus == 8
    assert problem.hardware.gpu.memory_mib == 81_559
    assert problem.model.parameters == 70_553_706_496
    assert [limit.field for limit in problem.requirements.latency_limits] == [
        "prefill_p50_ms",
        "prefill_p99_ms",
        "ttft_p99_ms",
        "tpot_p50_ms",
        "tpot_p99_ms",
    ]


@pytest.mark.parametrize("path", sorted((ROOT / "problems").glob("*.yaml")), ids=lambda path: path.stem)
def test_every_shipped_problem_loads(path: Path) -> None:
    if path.stem in OF_OTHER_KINDS:
        assert load_question(path).problem.name == path.stem
        with pytest.raises(ProblemError):
            load_problem(path)
    elif is_inventory(read_mapping(path, path.name)):
        assert load_inventory(path).name == path.stem
        with pytest.raises(ProblemError, match="states an inventory"):
            load_problem(path)
    else:
        assert load_problem(path).name == path.stem


def test_json_and_yaml_mean_the_same(example: dict[str, Any], tmp_path: Path) -> None:
    (tmp_path / "a.json").write_text(json.dumps(example))
    (tmp_path / "a.yaml").write_text(yaml.safe_dump(example))
    assert load_problem(tmp_path / "a.json") == load_problem(tmp_path / "a.yaml")


def test_a_config_path_is_relative_to_the_problem_file(example: dict[str, Any], tmp_path: Path) -> None:
    config = catalog.entry("models", "llama3-70b")["config"]
    (tmp_path / "model").mkdir()
    (tmp_path / "model" / "config.json").write_text(json.dumps(config))
    for stated in ("model/config.json", "model"):
        (tmp_path / "p.json").write_text(json.dumps(changed(example, model=stated)))
        assert load_problem(tmp_path / "p.json").model.parameters == 70_553_706_496


def test_inline_facts(example: dict[str, Any]) -> None:
    config = catalog.entry("models", "llama3-70b")["config"]
    gpu = catalog.gpu("h100-sxm-80gb").model_dump()
    inline = problem_from_dict(changed(example, model={"name": "llama3-70b", **config}, hardware__gpu=gpu))
    assert inline.model.parameters == 70_553_706_496
    assert inline.hardware == problem_from_dict(example).hardware


NAN, INFINITY = float("nan"), float("inf")


@pytest.mark.parametrize(
    ("change", "field", "said"),
    [
        ({"hardware__nodes": -1}, "hardware.nodes", "at least 1"),
        ({"hardware__nodes": 0}, "hardware.nodes", "at least 1"),
        ({"hardware__nodes": 1.5}, "hardware.nodes", "whole number"),
        ({"hardware__nodes": 10**9}, "hardware.nodes", "at most 1,000,000"),
        ({"hardware__gpus_per_node": "eight"}, "hardware.gpus_per_node", "whole number"),
        ({"hardware__gpu": "h100-sxm-80g"}, "hardware.gpu", "h100-sxm-80gb"),
        ({"hardware__gpu": None}, "hardware.gpu", "missing"),
        ({"model": "llama3-700b"}, "model", "llama3-70b"),
        ({"model": "nowhere/config.json"}, "model", "no such file"),
        ({"workload__requests_per_s": NAN}, "workload.requests_per_s", "finite"),
        ({"workload__requests_per_s": INFINITY}, "workload.requests_per_s", "finite"),
        ({"workload__requests_per_s": 0}, "workload.requests_per_s", "above 0"),
        ({"workload__prompt_tokens": -5}, "workload.prompt_tokens", "at least 1"),
        ({"workload__prompt_tokens_p99": 5}, "workload", "below the mean"),
        ({"requirements__max_sequence_tokens": 9000}, "requirements.max_sequence_tokens", "8192"),
        ({"requirements__max_sequence_tokens": 500}, "workload", "1,366"),
        ({"requirements__gpu_memory_utilization": 1.2}, "requirements.gpu_memory_utilization", "at most 1"),
        ({"requirements__min_batch": 65}, "requirements", "above max_batch"),
        ({"requirements__ttft_p95_ms": 5}, "requirements.ttft_p95_ms", "ttft_p99_ms"),
        ({"hardwear": {}}, "hardwear", "hardware"),
        ({"objective": "best"}, "objective", "balanced"),
        ({"engine": "tgi"}, "engine", "vllm"),
        ({"search__weight_precision": ["fp12"]}, "search.weight_precision", "fp8"),
        ({"hardware__nvlink_gb_per_s": 0, "hardware__nvlink_domain_gpus": 8}, "hardware.nvlink_domain_gpus", "above 0"),
    ],
)
def test_bad_fields(example: dict[str, Any], change: dict[str, Any], field: str, said: str) -> None:
    with pytest.raises(ProblemError) as error:
        problem_from_dict(changed(example, **change))
    assert error.value.field.startswith(field)
    assert said in str(error.value)
    assert "\n" not in str(error.value)


def test_a_longer_context_is_allowed_when_the_rule_is_off(example: dict[str, Any]) -> None:
    values = changed(example, requirements__max_sequence_tokens=9000, search__disabled_rules=["context"])
    assert problem_from_dict(values).max_sequence_tokens == 9000


@pytest.mark.parametrize(
    ("name", "content", "said"),
    [
        ("a.json", "{", "not valid JSON"),
        ("a.yaml", "a: [", "not valid YAML"),
        ("a.yaml", "", "nothing"),
        ("a.yaml", "- 1", "list"),
        ("a.yaml", "\x00\x01", "not valid YAML"),
        ("a.json", "[" * 100_000, "cannot be parsed"),
    ],
)
def test_bad_files(tmp_path: Path, name: str, content: str, said: str) -> None:
    (tmp_path / name).write_text(content)
    with pytest.raises(ProblemError, match=said):
        load_problem(tmp_path / name)


def test_missing_file_directory_and_binary(tmp_path: Path) -> None:
    (tmp_path / "b.yaml").write_bytes(b"\xff\xfe\x00")
    for path, said in (("none.yaml", "no such file"), ("", "directory"), ("b.yaml", "UTF-8")):
        with pytest.raises(ProblemError, match=said):
            load_problem(tmp_path / path)


def test_pcie_cards_have_no_nvlink_domain(example: dict[str, Any]) -> None:
    hardware = {"gpu": "l40s-48gb", "nodes": 2, "gpus_per_node": 4}
    resolved = problem_from_dict(changed(example, hardware=hardware)).hardware
    assert (resolved.nvlink_gb_per_s, resolved.nvlink_domain_gpus, resolved.gpus) == (0, 1, 8)


def test_rack_scale_domains_span_nodes(example: dict[str, Any]) -> None:
    resolved = problem_from_dict(changed(example, hardware={"gpu": "gb200-nvl72", "nodes": 18})).hardware
    assert (resolved.gpus_per_node, resolved.nvlink_domain_gpus, resolved.gpus) == (4, 72, 72)


@pytest.mark.parametrize("kind", ["hardware", "cluster"])
def test_a_request_that_is_too_long_names_the_field_and_what_is_too_short(kind: str) -> None:
    """The message was cut in the middle, at the apostrophe of a possessive, and named a field that was not stated."""
    stated: dict[str, Any] = {
        "hardware": {"hardware": {"gpu": "h100-sxm-80gb"}},
        "cluster": {"cluster": [{"gpu": "h100-sxm-80gb"}]},
    }[kind]
    stated |= {"model": "llama2-7b", "workload": {"prompt_tokens": 5000, "output_tokens": 100, "requests_per_s": 1}}
    with pytest.raises(ProblemError) as raised:
        optimizer.problem_from_dict(stated)
    said = "workload: the longest request, prompt and output together, has 5,100 tokens, more than the context of 4,096 tokens"
    assert str(raised.value).startswith(said)
    with pytest.raises(ProblemError, match=r"more than requirements.max_sequence_tokens = 4,000; raise that limit"):
        optimizer.problem_from_dict({**stated, "requirements": {"max_sequence_tokens": 4000}})


def test_what_would_be_right_is_said_after_a_long_value_of_the_wrong_kind(example: dict[str, Any]) -> None:
    group = {"name": "a", "gpu": "l40s", "nodes": 3, "gpus_per_node": 4}
    with pytest.raises(ProblemError, match="is not allowed; a list is needed"):
        stated = {key: value for key, value in example.items() if key != "hardware"}
        inventory_from_dict({**stated, "cluster": {"groups": [group, {**group, "name": "b"}]}})
