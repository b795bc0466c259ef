"""What ``docs/deploy.md`` says of files, sentence by sentence, where no other test of this folder shows it."""

from __future__ import annotations

from math import ceil
from pathlib import Path
from typing import Any

import pytest
import yaml

from optimizer.cli.program import main
from optimizer.deployment.limits import SLOWEST_LOAD_BYTES_PER_S, start_limit_s
from optimizer.deployment.shell import PROGRAMS
from tests.conftest import ROOT
from tests.deploy.cases import DEEPSEEK, LOADER, files_of, problem, strategy, written


@pytest.fixture(scope="module")
def manifests() -> list[dict[str, Any]]:
    """Two instances on one node: engines, then routers."""
    files, _, _ = files_of("two instances", "vllm", "kubernetes")
    return [one for name in ("engines.yaml", "router.yaml") for one in yaml.load_all(files[name], Loader=LOADER)]


def _one(manifests: list[dict[str, Any]], kind: str, name: str) -> dict[str, Any]:
    (found,) = [one for one in manifests if one["kind"] == kind and one["metadata"]["name"].endswith(name)]
    return found


def _pod(manifests: list[dict[str, Any]], *, router: bool = False) -> dict[str, Any]:
    (found,) = [
        one for one in manifests if one["kind"] == "Deployment" and one["metadata"]["name"].endswith("router") is router
    ]
    assert found["spec"]["strategy"]["rollingUpdate"]["maxSurge"] == 0  # there are no spare GPUs
    pod: dict[str, Any] = found["spec"]["template"]
    return pod


def test_probes_wait_for_the_weights_and_then_answer_within_ten_seconds(manifests: list[dict[str, Any]]) -> None:
    (container,) = _pod(manifests)["spec"]["containers"]
    start, ready = container["startupProbe"], container["readinessProbe"]
    assert start["periodSeconds"] * start["failureThreshold"] >= 3600
    assert ready["periodSeconds"] * ready["failureThreshold"] <= 10
    assert {one["httpGet"]["path"] for one in (start, ready, container["livenessProbe"])} == {"/health"}
    large = problem(DEEPSEEK, 2).model.weight_bytes
    assert start_limit_s(large) > ceil(large / SLOWEST_LOAD_BYTES_PER_S) > 3600


def test_a_pod_leaves_then_ends_its_streams(manifests: list[dict[str, Any]]) -> None:
    pod = _pod(manifests)["spec"]
    (container,) = pod["containers"]
    assert container["lifecycle"]["preStop"]["exec"]["command"] == ["sleep", "15"]
    words = container["command"]
    assert words[words.index("--shutdown-timeout") + 1] == "120" and pod["terminationGracePeriodSeconds"] == 150


def test_what_a_pod_asks_for(manifests: list[dict[str, Any]]) -> None:
    pod = _pod(manifests)["spec"]
    (container,) = pod["containers"]
    assert container["resources"]["limits"] == {"nvidia.com/gpu": "4"}
    assert container["resources"]["requests"] == {"nvidia.com/gpu": "4", "cpu": "10", "memory": "39Gi"}
    assert pod["tolerations"] == [{"key": "nvidia.com/gpu", "operator": "Exists", "effect": "NoSchedule"}]
    memory = next(one for one in pod["volumes"] if one["name"] == "shared-memory")
    assert memory["emptyDir"] == {"medium": "Memory", "sizeLimit": "15Gi"}
    (secret,) = [one["valueFrom"]["secretKeyRef"] for one in container["env"] if one["name"] == "HF_TOKEN"]
    assert secret == {"name": "huggingface", "key": "token", "optional": True}
    required = pod["affinity"]["nodeAffinity"]["requiredDuringSchedulingIgnoredDuringExecution"]
    (term,) = required["nodeSelectorTerms"]
    assert term["matchExpressions"][0]["key"] == "nvidia.com/gpu.product"


def test_weights_are_on_a_claim_of_their_size(manifests: list[dict[str, Any]]) -> None:
    claim = _one(manifests, "PersistentVolumeClaim", "weights")["spec"]
    assert claim["accessModes"] == ["ReadWriteMany"]
    assert (
        int(claim["resources"]["requests"]["storage"].removesuffix("Gi")) * 2**30
        > problem("llama3-70b", 1).model.weight_bytes
    )
    mounted = [
        one["persistentVolumeClaim"]["claimName"]
        for one in _pod(manifests)["spec"]["volumes"]
        if "persistentVolumeClaim" in one
    ]
    assert len(mounted) == 1 and mounted[0].endswith("-weights")


def test_routers_start_anew_when_their_configuration_changes(manifests: list[dict[str, Any]]) -> None:
    pod = _pod(manifests, router=True)
    (other,) = pod["spec"]["affinity"]["podAntiAffinity"]["requiredDuringSchedulingIgnoredDuringExecution"]
    assert other["topologyKey"] == "kubernetes.io/hostname"
    files, _, _ = files_of("many nodes, spread", "vllm", "kubernetes")
    more = _pod(list(yaml.load_all(files["engines.yaml"] + "---\n" + files["router.yaml"], Loader=LOADER)), router=True)
    key = "optimizer/configuration"
    assert pod["metadata"]["annotations"][key] != more["metadata"]["annotations"][key]


def test_settings_of_an_engine_that_change_start_it_anew() -> None:
    def annotations(sequences: int) -> dict[str, str]:
        stated = problem("llama3-70b", 1, "trtllm")
        files, _ = written(stated, strategy(stated, 8, 1, 1, n=sequences), "kubernetes")
        found: dict[str, str] = _pod(list(yaml.load_all(files["engines.yaml"], Loader=LOADER)))["metadata"][
            "annotations"
        ]
        return found

    assert annotations(8) != annotations(16) and annotations(8) == annotations(8)


def test_containers_of_compose_are_kept_by_the_supervisor() -> None:
    files, _, _ = files_of("two instances", "vllm", "compose")
    services = yaml.load(files["compose-node-0.yaml"], Loader=LOADER)["services"]
    engine, router = services["replica-0"], services["router"]
    assert engine["entrypoint"][:2] == ["python3", "/launch/supervise.py"] and "--stay" in engine["entrypoint"]
    mounted = {one.split(":")[0].removeprefix("./") for one in engine["volumes"]}
    assert {"supervise.py", "process_tree.py", "process_log.py"} <= mounted & set(files)
    assert engine["restart"] == router["restart"] == "unless-stopped" and "/health" in engine["healthcheck"]["test"][-1]
    assert engine["deploy"]["resources"]["reservations"]["devices"][0]["device_ids"] == ["0", "1", "2", "3"]


@pytest.mark.parametrize("target", ["shell", "systemd", "slurm"])
def test_starts_and_stops_have_the_times_that_are_told(target: str) -> None:
    files, stated, _ = files_of("two instances", "vllm", target)
    lines = [line for name, text in files.items() if name not in PROGRAMS for line in text.splitlines()]
    started = [line for line in lines if "supervise.py" in line and "--port" in line]
    assert started
    for line in started:
        assert "--grace 130" in line and f"--ready-within {start_limit_s(stated.model.weight_bytes)}" in line


def test_a_dry_run_writes_nothing(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    problem_file = ROOT / "problems" / "llama3-70b-8xh100.yaml"
    decisions = ["--tp", "4", "--pp", "1", "--dp", "2", "--max-num-seqs", "50"]
    with pytest.raises(SystemExit) as left:
        main(["deploy", str(problem_file), *decisions, "--dry-run", "--out", str(tmp_path / "out")])
    assert left.value.code in (0, None) and not (tmp_path / "out").exists()
    said = capsys.readouterr().out
    for part in ("GPUs 0,1,2,3", "serves port 8001", "router: port 8000", "files: README.md", "Nothing was written."):
        assert part in said
