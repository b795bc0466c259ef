"""``optimizer deploy`` end to end: what is written, what is refused, and with which exit code."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
import yaml

from tests.command import Ran, run
from tests.conftest import ROOT, changed
from tests.deploy.cases import commands_in, value


def _run(folder: Path, values: dict[str, Any], *arguments: str) -> Ran:
    path = folder / "problem.yaml"
    path.write_text(yaml.safe_dump(values))
    return run("deploy", str(path), *arguments)


def test_the_best_strategy_is_written(tmp_path: Path, example: dict[str, Any]) -> None:
    out = tmp_path / "out"
    found = _run(tmp_path, example, "--engine", "vllm", "--out", str(out))
    assert found.returncode == 0, found.stderr
    assert "TP4·PP1·DP2 with vLLM 0.32.0, proved best" in found.stderr
    files = {path.name: path.read_text() for path in out.iterdir()}
    assert set(files) == {
        "start-node-0.sh",
        "supervise.py",
        "process_tree.py",
        "process_log.py",
        "start-router.sh",
        "route.sh",
        "router.conf",
        "README.md",
    }
    assert (out / "start-node-0.sh").stat().st_mode & 0o111
    words = commands_in(files)[0]["words"]
    answer = run("solve", str(tmp_path / "problem.yaml"), "--json")
    strategy = yaml.safe_load(answer.stdout)["strategy"]
    assert value(words, "--max-num-seqs") == str(strategy["max_num_seqs"])
    assert value(words, "--tensor-parallel-size") == str(strategy["tensor_parallel"])
    assert value(words, "--gpu-memory-utilization") == str(example["requirements"]["gpu_memory_utilization"])
    again = _run(tmp_path, example, "--out", str(out))
    assert again.returncode == 2
    assert "more exist already; choose another folder or add --force" in again.stderr
    (out / "router.conf").write_text("mine")
    assert _run(tmp_path, example, "--out", str(out), "--force").returncode == 0
    assert "proxy_pass" in (out / "router.conf").read_text()


def test_an_infeasible_strategy_needs_force(tmp_path: Path, example: dict[str, Any]) -> None:
    asked = ("--tp", "2", "--pp", "4", "--dp", "1", "--out", str(tmp_path / "out"))
    found = _run(tmp_path, example, *asked)
    assert found.returncode == 1
    assert "TP2·PP4·DP1 is not feasible; --force writes" in found.stderr
    assert not (tmp_path / "out").exists()
    found = _run(tmp_path, example, *asked, "--force")
    assert found.returncode == 0
    script = (tmp_path / "out" / "start-node-0.sh").read_text()
    assert "NOT FEASIBLE" in script.splitlines()[1]
    assert "VLLM_PP_LAYER_PARTITION=20,20,20,20" in script
    assert "Not kept: Time per output token is at most 50 ms at P50." in (tmp_path / "out" / "README.md").read_text()


def test_nothing_feasible_means_nothing_to_launch(tmp_path: Path, example: dict[str, Any]) -> None:
    found = _run(tmp_path, changed(example, requirements__tpot_p99_ms=1), "--force")
    assert found.returncode == 1
    assert found.stdout == ""
    assert "no strategy keeps every rule, so there is none to launch" in found.stderr


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        (("--engine", "lmdeploy"), "--engine: 'lmdeploy' is not known; "),
        (("--target", "k8s"), "--target: 'k8s' is not known; "),
        (("--engine-version", "0.31.0"), "are not known here, and are not guessed; known: 0.32.0, 0.33.0"),
        (("--engine", "sglang", "--engine-version", "0.32.0"), "known: 0.5.23"),
        (("--image", "a b"), "--image: 'a b' is not an image name"),
        (("--namespace", "A"), "--namespace: 'A' is not a Kubernetes namespace"),
        (("--checkpoint-format", "fp7"), "--checkpoint-format: 'fp7' is not a known format"),
        (("--out", "/dev/null"), "--out: /dev/null is a file; a folder is needed"),
        (("--out", "/nowhere/at/all"), "--out: /nowhere/at is no directory"),
    ],
)
def test_bad_options_are_one_sentence(
    tmp_path: Path, example: dict[str, Any], arguments: tuple[str, ...], said: str
) -> None:
    found = _run(tmp_path, example, *arguments)
    assert found.returncode == 2
    assert said in found.stderr and found.stderr.count("\n") == 1
    assert found.stdout == ""


def test_an_inventory(tmp_path: Path) -> None:
    values = yaml.safe_load((ROOT / "problems" / "seven-h100.yaml").read_text())
    found = _run(tmp_path, values, "--target", "compose", "--hosts", "alpha")
    assert found.returncode == 0, found.stderr
    assert "==> compose-alpha.yaml <==" in found.stdout and "\nalpha:8002 1" in found.stdout
