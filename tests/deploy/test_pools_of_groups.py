"""Launch files of pools that stand on several groups: every part on its own nodes, every instance known to the router once."""

from __future__ import annotations

import json
import re
from collections.abc import Mapping
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
import yaml

from optimizer.deployment import launch_files
from optimizer.deployment.chosen import chosen_of_cluster_pools
from optimizer.deployment.options import resolve_options
from optimizer.facts.errors import ProblemError
from optimizer.facts.inventory import InventoryProblem
from optimizer.questions.deploy import deploy
from optimizer.reading.inventory_file import inventory_from_dict
from optimizer.results.answer import Verification
from optimizer.results.cluster_pools import ClusterPoolsAnswer, ClusterPoolsStrategy, GroupPool
from optimizer.results.place_pools import place_cluster_pools
from optimizer.results.pools import PoolStrategy
from tests.deploy.cases import commands_in, value

ZONES: Mapping[str, Any] = {
    "name": "zones",
    "serving": "disaggregated",
    "cluster": [
        {"name": "east", "gpu": "h100-sxm-80gb", "nodes": 1, "gpus_per_node": 4, "internode_gbit_per_s": 400},
        {"name": "west", "gpu": "l40s-48gb", "nodes": 2, "gpus_per_node": 4, "internode_gbit_per_s": 400},
    ],
    "model": "llama3-8b",
    "workload": {"prompt_tokens": 1500, "output_tokens": 200, "requests_per_s": 8},
}


def asked(engine: str, shares: tuple[float, float] = (1 / 3, 2 / 3)) -> tuple[InventoryProblem, ClusterPoolsAnswer]:
    """Prefill and decode on both groups, one instance east and two west of each."""
    problem = inventory_from_dict({**ZONES, "engine": engine})

    def parts(slots: tuple[int, int]) -> tuple[GroupPool, ...]:
        east, west = (PoolStrategy(n, 2, 1, most, "bf16", "bf16", n) for n, most in zip((1, 2), slots, strict=True))
        return GroupPool("east", shares[0], east), GroupPool("west", shares[1], west)

    verified = Verification(passed=True, checks=1, optimality="exhaustive", candidates=1, resolution="")
    strategy = ClusterPoolsStrategy(parts((5, 5)), parts((64, 32)))
    return problem, ClusterPoolsAnswer("zones", "optimal", strategy, None, None, (), verified, (), "network")


def addresses(files: Mapping[str, str]) -> list[str]:
    """What the router is given."""
    text = next(text for name, text in files.items() if name in ("start-router.sh", "router.yaml", "router.sbatch"))
    return re.findall(r"--(?:prefill|decode) (http://\S+)", text.replace("\\\n", " "))


def test_instances_are_numbered_through_and_sent_their_shares() -> None:
    problem, answer = asked("vllm")
    assert answer.strategy is not None
    placed = place_cluster_pools(problem, answer.strategy).instances
    assert [one.name for one in placed] == [f"{role}-{n}" for role in ("prefill", "decode") for n in range(3)]
    assert [one.share for one in placed] == pytest.approx([1 / 3] * 6)
    assert [one.nodes[0] for one in placed] == ["east-0", "west-0", "west-1"] * 2
    assert len({gpu.name for one in placed for gpu in one.gpus}) == 12


@pytest.mark.parametrize("engine", ["vllm", "sglang"])
@pytest.mark.parametrize("target", ["shell", "ray", "compose", "slurm", "kubernetes", "llm-d"])
def test_every_part_is_started_on_its_group(engine: str, target: str) -> None:
    problem, answer = asked(engine)
    files = deploy(problem, answer, target)
    slots = "--max-num-seqs" if engine == "vllm" else "--max-running-requests"
    if target in ("shell", "ray"):
        renamed = {
            re.sub(r"start-(east|west)", "start-node-", name): text
            for name, text in files.items()
            if "west-1" not in name
        }
        found = [value(one["words"], slots) for one in commands_in(renamed)]
        assert {"5", "64", "32"} >= set(found) and len(found) >= 2
        assert {f"start-{node}.sh" for node in ("east-0", "west-0", "west-1")} <= set(files)
    if target == "llm-d":
        assert "name: zones-decode-1" in files["modelservers.yaml"]
        return
    seen = addresses(files) if target != "slurm" else []
    if target == "kubernetes":
        documents = [one for one in yaml.safe_load_all(files["engines.yaml"]) if one["kind"] == "LeaderWorkerSet"]
        sizes = {one["metadata"]["name"]: one["spec"]["replicas"] for one in documents}
        assert sizes == {"zones-prefill-0": 1, "zones-prefill-1": 2, "zones-decode-0": 1, "zones-decode-1": 2}
        known = {f"http://{name}-{pod}.{name}.default:8000" for name, pods in sizes.items() for pod in range(pods)}
        assert set(seen) == known
    elif target != "slurm":
        assert len(seen) == len(set(seen)) == 6
        assert {one.split("/")[2].split(":")[0] for one in seen} == {"east-0", "west-0", "west-1"}
    else:
        assert {f"{role}-{n}.sbatch" for role in ("prefill", "decode") for n in range(3)} <= set(files)


@pytest.mark.parametrize("engine", ["vllm", "sglang"])
def test_flags_are_the_engines_own(engine: str, shared: Path) -> None:
    file = {"vllm": "vllm_serve_flags.json", "sglang": "sglang_launch_flags.json"}[engine]
    data = json.loads((shared / "engines" / file).read_text())
    known = {spelling for entry in data["flags"] for spelling in entry["flags"]} | {"--host", "--port", "--headless"}
    files = deploy(*asked(engine), "shell")
    for node in ("east-0", "west-0", "west-1"):
        for one in commands_in({"start-node-0.sh": files[f"start-{node}.sh"]}):
            assert {word for word in one["words"] if word.startswith("--")} <= known


@pytest.mark.parametrize("engine", ["vllm", "sglang"])
def test_dynamo_has_a_component_for_each_part_of_a_pool(engine: str) -> None:
    files = deploy(*asked(engine), "dynamo")
    documents = list(yaml.safe_load_all(files["dynamo.yaml"]))
    (graph,) = [one for one in documents if one["kind"] == "DynamoGraphDeployment"]
    workers = [one for one in graph["spec"]["components"] if one["type"] != "frontend"]
    assert [(one["name"], one["type"], one["replicas"]) for one in workers] == [
        ("prefill-0", "prefill", 1), ("prefill-1", "prefill", 2), ("decode-0", "decode", 1), ("decode-1", "decode", 2),
    ]  # fmt: skip
    slots = "--max-num-seqs" if engine == "vllm" else "--max-running-requests"
    args = [one["podTemplate"]["spec"]["containers"][0]["args"] for one in workers]
    assert [value(words, slots) for words in args] == ["5", "5", "64", "32"]
    assert [value(words, "--disaggregation-mode") for words in args] == ["prefill", "prefill", "decode", "decode"]
    # The frontend takes into a pool what has the length and the blocks of the first worker that it saw.
    same = ("--max-model-len", "--block-size") if engine == "vllm" else ("--context-length", "--page-size")
    assert len({tuple(value(words, flag) for flag in same) for words in args}) == 1
    # Each part on its own GPUs, and spread by itself: no rule of one counts the pods of another.
    asked_for = [one["podTemplate"]["spec"]["affinity"]["nodeAffinity"] for one in workers]
    assert ["H100" in json.dumps(one) for one in asked_for] == [True, False, True, False]
    labels = [one["podTemplate"]["metadata"]["labels"] for one in workers]
    for one in workers:
        spec = one["podTemplate"]["spec"]
        rules = [*spec["affinity"].get("podAntiAffinity", {}).get("requiredDuringSchedulingIgnoredDuringExecution", ())]
        for rule in (*rules, *spec["topologySpreadConstraints"]):
            matched = rule["labelSelector"]["matchLabels"].items()
            assert sum(matched <= own.items() for own in labels) == 1
    budgets = {one["metadata"]["name"]: one["spec"] for one in documents if one["kind"] == "PodDisruptionBudget"}
    assert {name: one["minAvailable"] for name, one in budgets.items()} == {"zones-prefill": 3, "zones-decode": 3}
    for role in ("prefill", "decode"):
        matched = budgets[f"zones-{role}"]["selector"]["matchLabels"].items()
        assert [matched <= own.items() for own in labels] == [one["type"] == role for one in workers]


def test_dynamo_takes_parts_of_one_length_alone() -> None:
    problem, answer = asked("vllm")
    chosen = chosen_of_cluster_pools(problem, answer)
    longer = [
        part.model_copy(update={"requirements": part.requirements.model_copy(update={"max_sequence_tokens": 8192})})
        for part in chosen.problems[3]
    ]
    uneven = replace(chosen, problems=(*chosen.problems[:3], tuple(longer)))
    with pytest.raises(ProblemError, match="parts of the decode pool serve sequences of 1700 and 8192 tokens"):
        launch_files(uneven, resolve_options(problem.model, "vllm", "dynamo"), "x")
    assert launch_files(uneven, resolve_options(problem.model, "vllm", "llm-d"), "x")


def test_shares_that_turns_do_not_give_are_refused() -> None:
    for target in ("shell", "llm-d", "dynamo"):
        with pytest.raises(ProblemError, match="50% to 1 × TP2 on east and 50% to 2 × TP2 on west"):
            deploy(*asked("vllm", (0.5, 0.5)), target)
