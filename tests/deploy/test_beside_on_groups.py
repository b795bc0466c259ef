"""Joint instances beside pools on an inventory as they are launched: each part on its nodes, or its GPUs of a node that both share."""

from __future__ import annotations

import json
import re
from dataclasses import replace
from functools import cache
from pathlib import Path
from typing import Any

import pytest
import yaml

from optimizer.deployment.chosen import chosen_of_cluster_pools
from optimizer.deployment.options import resolve_options
from optimizer.deployment.side_by_side import beside_of, side_by_side_files
from optimizer.facts.errors import ProblemError
from optimizer.questions.deploy import deploy
from optimizer.questions.solve import solve
from optimizer.results.answer import Strategy
from optimizer.results.cluster_side_by_side import ClusterSideBySideAnswer, GroupDivided
from optimizer.results.place_beside import moved, places_on
from optimizer.results.placement import GpuPlace, place_evenly
from tests.command import run
from tests.deploy.cases import placed
from tests.deploy.test_beside import FLAT, processes, role_of
from tests.deploy.test_pools_of_groups import asked
from tests.pools.clusters import cluster_values, cluster_with
from tests.pools.test_cluster_side_by_side import H100, NODES, ONE_NODE_EACH, SMALL

WHERE: dict[str, tuple[dict[str, Any], dict[str, tuple[str, str]], str]] = {
    "GPUs of one node": (
        ONE_NODE_EACH,
        {"replica-0": ("20.00", "h-0: 0"), "prefill-0": ("40.00", "l-0: 0"), "prefill-1": ("40.00", "l-0: 1")}
        | {"decode-0": ("80.00", "h-0: 1, 2")},
        "joint 20 pools 80",
    ),
    "nodes of a group": (
        NODES,
        {"replica-0": ("30.00", "h-0: 0"), "decode-0": ("70.00", "h-1: 0")}
        | {f"prefill-{n}": ("23.33", f"l-{n}: 0") for n in range(3)},
        "joint 30 pools 70",
    ),
    "one node of each": (
        SMALL,
        {"replica-0": ("40.00", "h-0: 0"), "prefill-0": ("60.00", "l-0: 0"), "decode-0": ("60.00", "h-1: 0")},
        "joint 40 pools 60",
    ),
}


@cache
def answered(case: str) -> tuple[Any, ClusterSideBySideAnswer]:
    problem = cluster_with(**WHERE[case][0])
    answer = solve(problem, repairs=False)
    assert isinstance(answer, ClusterSideBySideAnswer)
    return problem, answer


@pytest.mark.parametrize("case", WHERE)
@pytest.mark.parametrize("target", FLAT)
def test_each_part_stands_where_the_answer_says(case: str, target: str) -> None:
    _, placed, dealt = WHERE[case]
    files = deploy(*answered(case), target)
    table = {
        name: (share, gpus)
        for name, share, gpus in re.findall(
            r"^\| (\S+) \| TP\S+ \| (\S+)% \| (.*?) \(\S+\) \|", files["README.md"], re.M
        )
    }
    assert table == placed
    text = files.get("start-router.sh") or files["router.sbatch"]
    assert f"dealt='{dealt}'" in text
    if target == "shell":
        gpus = {
            role_of(one["words"]): one["environment"]["CUDA_VISIBLE_DEVICES"]
            for path, text in files.items()
            for _, one in processes({path.replace("start-h", "start-node-h").replace("start-l", "start-node-l"): text})
        }
        assert set(gpus) == {"joint", "prefill", "decode"}


@pytest.mark.parametrize("case", WHERE)
@pytest.mark.parametrize("target", ["kubernetes", "llm-d"])
def test_manifests_ask_for_the_gpus_of_each_part(case: str, target: str) -> None:
    files = deploy(*answered(case), target)
    name = {"kubernetes": "engines.yaml", "llm-d": "modelservers.yaml"}[target]
    joint, pools = files[f"joint/{name}"], files[f"pools/{name}"]
    assert "NVIDIA-L40S" in pools and "NVIDIA-L40S" not in joint and "NVIDIA-H" in joint
    sets = [one for one in yaml.safe_load_all(pools) if one["kind"] == "LeaderWorkerSet"]
    assert {one["metadata"]["labels"]["optimizer/role"] for one in sets} == {"prefill", "decode"}


def test_gpus_of_a_shared_node_keep_nvlink_pairs_whole() -> None:
    """Three of eight GPUs in pairs: two of a pair, and one of another, whose other one stays idle or serves by itself."""
    problem = cluster_with(cluster=[H100 | {"gpu": {"name": "x", **_PAIRS}, "gpus_per_node": 8}])
    joint, pools = places_on(problem, [GroupDivided("h", 1, 3, 1, 5)])
    assert [joint(GpuPlace("h-0", n)).index for n in range(3)] == [0, 1, 6]
    assert [pools(GpuPlace("h-0", n)).index for n in range(5)] == [2, 3, 4, 5, 7]


_PAIRS: dict[str, Any] = {
    "memory_mib": 81559, "memory_bandwidth_gb_per_s": 3350, "dense_tflops": {"bf16": 989, "fp8": 1979},
    "nvlink_gb_per_s": 600, "nvlink_domain_gpus": 2, "gpus_per_node": 8,
}  # fmt: skip


def test_the_pools_have_the_last_nodes_of_a_group() -> None:
    problem = cluster_with(cluster=[H100 | {"nodes": 5}])
    joint, pools = places_on(problem, [GroupDivided("h", 2, 6, 3, 9)])
    assert [joint(GpuPlace(f"h-{n}", 1)).node for n in range(2)] == ["h-0", "h-1"]
    assert [pools(GpuPlace(f"h-{n}", 1)).node for n in range(3)] == ["h-2", "h-3", "h-4"]


def test_the_command_writes_both_parts_of_an_inventory(tmp_path: Path) -> None:
    path = tmp_path / "p.json"
    path.write_text(json.dumps(cluster_values(**SMALL)))
    shown = run("deploy", str(path), "--dry-run")
    assert shown.returncode == 0 and "of the requests 40% to joint ones and 60% to pool-router" in shown.stdout
    written = run("deploy", str(path), "--target", "llm-d", "--out", str(tmp_path / "out"))
    assert written.returncode == 0 and "weight: 4" in (tmp_path / "out" / "route.yaml").read_text()
    refused = run("deploy", str(path), "--target", "dynamo")
    assert refused.returncode == 2 and "use --target llm-d or kubernetes" in refused.stderr


def test_groups_of_one_machine_are_refused() -> None:
    problem, answer = answered("one node of each")
    with pytest.MonkeyPatch.context() as patched:
        patched.setattr(type(problem), "in_hosts", lambda _: {"h": ("x", 0)})
        with pytest.raises(ProblemError, match="groups are one machine"):
            deploy(problem, answer, "shell")


@pytest.mark.parametrize("target", ["shell", "kubernetes"])
def test_shares_of_parts_are_dealt_beside_joint_instances_too(target: str) -> None:
    """Two tenths to joint instances; of the rest 0.3 and 0.7 to either part of both pools: products of three shares."""
    problem, answer = asked("vllm", (0.3, 0.7))
    joint = problem.instance_problem(problem.groups[0], 1)
    one = placed([[joint]], place_evenly(joint, Strategy(1, 1, 1, 1, 8, (joint.model.layers,), "bf16", "bf16")))
    there = replace(one, placement=moved(one.placement, lambda gpu: GpuPlace("north-0", gpu.index)))
    chosen = there, chosen_of_cluster_pools(problem, answer)
    both = beside_of("zones", "both", "a test", chosen, 2, (lambda gpu: gpu, lambda gpu: gpu))
    files = side_by_side_files(both, resolve_options(problem.model, "vllm", target), "a test")[0]
    text = files["start-router.sh"] if target == "shell" else files["router.yaml"]
    assert "dealt='joint 20 pools-0 7.2 pools-1 16.8 pools-2 16.8 pools-3 39.2'" in text
    parts = re.findall(r"^\s*(?:engines=')?\S+:\d+ 1 (\S+) /\w+'?$", text, re.M)
    assert set(parts) == {"joint", *(f"pools-{n}" for n in range(4))}
    if target == "kubernetes":
        documents = [one for path in files if path.endswith(".yaml") for one in yaml.safe_load_all(files[path])]
        services = {one["metadata"]["name"] for one in documents if one["kind"] == "Service"}
        addresses = re.findall(r"(\S+):8000 1 ", text)
        assert len(addresses) == 5 and {address.removeprefix("engines='") for address in addresses} <= services
