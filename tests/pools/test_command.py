"""Pools on the command line: solve, check, JSON that the schema takes, and refusals that say what is possible."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import jsonschema
import pytest

from optimizer.facts.errors import ProblemError
from optimizer.questions.pools import refuse
from optimizer.render.schemas import command_schema
from optimizer.results.pools import FixedPool
from tests.command import run
from tests.pools.clusters import cluster_values
from tests.pools.problems import problem_with, values_with


@pytest.fixture
def file(tmp_path: Path) -> str:
    path = tmp_path / "p.json"
    path.write_text(json.dumps(values_with(hardware={"gpus_per_node": 4}, workload={"requests_per_s": 10})))
    return str(path)


@pytest.fixture(scope="module")
def validator() -> jsonschema.Draft202012Validator:
    return jsonschema.Draft202012Validator(command_schema())


def test_solve_prints_one_screen_and_json(file: str, validator: jsonschema.Draft202012Validator) -> None:
    text = run("solve", file)
    assert text.returncode == 0 and "proved best" in text.stdout and text.stdout.count("\n") < 45
    assert "One more prefill instance would" in text.stdout
    data = json.loads(run("solve", file, "--json").stdout)
    validator.validate(data)
    assert (
        data["kind"] == "pools" and data["status"] == "optimal" and data["verification"]["optimality"] == "exhaustive"
    )
    assert data["strategy"]["gpus"] == 4 and data["link"] == "NVLink"


def test_check_judges_a_pair(file: str, validator: jsonschema.Draft202012Validator) -> None:
    good = run("check", file, "--prefill", "tp=1,count=2", "--decode", "tp=2,count=1", "--json")
    data = json.loads(good.stdout)
    validator.validate(data)
    assert good.returncode == 0 and data["feasible"] is True and data["optimum"]["status"] == "optimal"
    assert data["strategy"]["prefill"]["instances"] == 2 and data["strategy"]["decode"]["tensor_parallel"] == 2
    assert data["verification"]["passed"]
    poor = run("check", file, "--prefill", "tp=1,count=1", "--decode", "tp=1,count=1,max_num_seqs=2", "--json")
    data = json.loads(poor.stdout)
    assert poor.returncode == 1 and data["feasible"] is False and data["verification"]["passed"]
    assert [rule["id"] for rule in data["rules"] if not rule["holds"]] == ["decode_concurrency"]


@pytest.mark.parametrize(
    ("options", "said"),
    [
        (("--prefill", "tp=3"), "no pair of pools"),
        (("--prefill", "tp"), "name=value"),
        (("--prefill", "gpus=3"), "not known"),
        (("--prefill", "tp=1,tp=2"), "twice"),
        (("--decode", "pp=2"), "no stages"),
        (("--prefill", "max_num_seqs=2"), "decode instances"),
        (("--decode", "count=0"), "whole number"),
        (("--share", "0.3"), "state both"),
        (("--prefill", "tp=1", "--tp", "2", "--share", "0.35"), "whole tenth"),
        (("--prefill", "tp=1", "--tp", "2", "--share", "nan"), "whole tenth"),
        (("--prefill", "tp=1", "--tp", "2", "--share", "inf"), "whole tenth"),
        (("--prefill", "tp=1", "--tp", "2", "--dp", "4"), "no room side by side"),
        (("--tp", "2"), "--prefill"),
    ],
)
def test_decisions_that_mean_nothing_are_refused(file: str, options: tuple[str, ...], said: str) -> None:
    ran = run("check", file, *options)
    assert ran.returncode == 2 and said in ran.stderr and "Traceback" not in ran.stderr


@pytest.mark.parametrize("command", ["bench-plan", "fit"])
@pytest.mark.parametrize("serving", ["disaggregated", "any"])
def test_other_commands_say_what_answers(tmp_path: Path, command: str, serving: str) -> None:
    path = tmp_path / "p.json"
    path.write_text(json.dumps(values_with(serving=serving, hardware={"gpus_per_node": 2})))
    ran = run(command, str(path))
    assert "Traceback" not in ran.stderr
    assert ran.returncode == 2, (ran.returncode, ran.stdout[-500:], ran.stderr)
    assert "serving" in ran.stderr and "optimizer solve" in ran.stderr


def test_deploy_writes_pools_or_joint_instances_whichever_is_chosen(tmp_path: Path) -> None:
    path = tmp_path / "p.json"
    path.write_text(json.dumps(values_with(hardware={"gpus_per_node": 4}, workload={"requests_per_s": 10})))
    found = run("deploy", str(path), "--out", str(tmp_path / "pools"))
    assert found.returncode == 0 and "proved best" in found.stderr
    script = (tmp_path / "pools" / "start-node-0.sh").read_text()
    assert "kv_producer" in script and "kv_consumer" in script
    again = run("deploy", str(path), "--prefill", "tp=1,count=2", "--decode", "tp=2,count=1", "--dry-run")
    assert again.returncode == 0 and "prefill-1: GPUs 1" in again.stdout and "decode-0: GPUs 2,3" in again.stdout
    broken = run("deploy", str(path), "--prefill", "tp=1,count=1", "--decode", "tp=1,count=1,max_num_seqs=2")
    assert broken.returncode == 1 and "is not feasible; --force" in broken.stderr
    path.write_text(
        json.dumps(values_with(serving="any", hardware={"gpus_per_node": 2}, workload={"requests_per_s": 10}))
    )
    found = run("deploy", str(path), "--out", str(tmp_path / "any"))
    kind = json.loads(run("solve", str(path), "--json").stdout)["kind"]
    assert found.returncode == 0 and ("prefill 1" in found.stderr) == (kind == "pools")


REFUSED: list[tuple[dict[str, Any], str]] = [
    ({"workload": {"prefix": {"shared_tokens": 100}}}, "workload.prefix"),
    ({"workload": {"speculation": {"method": "ngram", "acceptance": 0.5}}}, "workload.speculation"),
    ({"requirements": {"e2e_p99_ms": 9000}}, "requirements.e2e_p99_ms"),
    ({"requirements": {"goodput": {"share": 0.9, "ttft_ms": 500}}}, "requirements.goodput"),
    ({"search": {"kv_reservation": "full"}}, "search.kv_reservation"),
    ({"search": {"pipeline_parallel": [2]}}, "search.pipeline_parallel"),
    ({"search": {"token_budgets": [2048, 8192]}}, "search.token_budgets"),
    ({"objective": {"preset": "balanced", "latency_weight": 0.5}}, "objective.latency_weight"),
]


@pytest.mark.parametrize(("changes", "field"), REFUSED, ids=[field for _, field in REFUSED])
def test_what_pools_do_not_know_is_refused(changes: dict[str, Any], field: str) -> None:
    with pytest.raises(ProblemError) as said:
        refuse(problem_with(**changes))
    assert str(said.value).startswith(field) and "joint" in str(said.value)


def test_pools_of_an_inventory(tmp_path: Path, validator: jsonschema.Draft202012Validator) -> None:
    path = tmp_path / "p.json"
    path.write_text(json.dumps(cluster_values()))
    data = json.loads(run("solve", str(path), "--json").stdout)
    validator.validate(data)
    assert data["kind"] == "cluster_pools" and data["status"] == "optimal" and data["strategy"]["prefill"][0]["group"]
    text = run("check", str(path), "--prefill", "tp=1,count=2,group=a", "--decode", "tp=2,count=1,group=b")
    assert text.returncode == 0 and "on a" in text.stdout and "Best:" in text.stdout
    wrong = run("check", str(path), "--prefill", "group=c")
    assert wrong.returncode == 2 and "not of the inventory" in wrong.stderr
    report = run("report", str(path), "--no-html", "--out", str(tmp_path / "r"))
    assert report.returncode == 0 and report.stdout.splitlines()[-1].startswith("PASS: prefill"), report.stderr
    path.write_text(json.dumps(cluster_values(serving="joint", objective="cheapest")))
    joint = run("solve", str(path))
    assert joint.returncode == 0 and "The GPUs in use cost" in joint.stdout


def test_conflicts_name_the_pool_and_repairs_are_applied(
    tmp_path: Path, validator: jsonschema.Draft202012Validator
) -> None:
    path, out = tmp_path / "p.json", tmp_path / "repaired.json"
    hardware = {"gpus_per_node": 2}
    path.write_text(json.dumps(values_with(hardware=hardware, workload={"requests_per_s": 100})))
    ran = run("solve", str(path), "--json")
    data = json.loads(ran.stdout)
    validator.validate(data)
    assert ran.returncode == 1 and data["status"] == "infeasible" and data["verification"]["optimality"] == "exhaustive"
    assert any(rule.startswith(("prefill_", "decode_")) for rule in data["conflicts"][0]["rules"])
    fields = [repair["changes"][0]["field"] for repair in data["repairs"]]
    assert "hardware.nodes" in fields
    number = str(1 + fields.index("hardware.nodes"))
    run("solve", str(path), "--apply-repair", number, "--out", str(out))
    assert run("solve", str(out)).returncode == 0


def test_fixed_pools() -> None:
    assert not FixedPool().any and FixedPool(count=1).any


@pytest.mark.parametrize("engine", ["vllm", "sglang"])
def test_the_lines_that_start_pools(file: str, engine: str) -> None:
    values = json.loads(Path(file).read_text())
    Path(file).write_text(json.dumps(values | {"engine": engine}))
    text = run("solve", file).stdout
    for word in {
        "vllm": ("NixlConnector", "kv_producer", "kv_consumer", "VLLM_NIXL_SIDE_CHANNEL_PORT=5600", "vllm_router"),
        "sglang": (
            "--disaggregation-mode prefill",
            "--disaggregation-mode decode",
            "--pd-disaggregation",
            "sglang_router",
        ),
    }[engine]:
        assert word in text


def test_an_engine_whose_transfer_is_not_known_is_refused() -> None:
    with pytest.raises(ProblemError, match="trtllm") as said:
        refuse(problem_with(engine="trtllm"))
    assert str(said.value).startswith("engine")
