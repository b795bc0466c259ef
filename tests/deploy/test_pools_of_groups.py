"""Launch files of pools that stand on several groups: every part on its own nodes, every instance known to the router once."""

from __future__ import annotations

import json
import re
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import pytest
import yaml

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


def test_shares_that_turns_do_not_give_and_dynamo_are_refused() -> None:
    with pytest.raises(ProblemError, match="50% to 1 × TP2 on east and 50% to 2 × TP2 on west"):
        deploy(*asked("vllm", (0.5, 0.5)), "shell")
    with pytest.raises(ProblemError, match="several components of one role"):
        deploy(*asked("vllm"), "dynamo")
