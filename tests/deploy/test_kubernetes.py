"""Manifests: valid by Kubernetes' own schemas, placed by failure domain, and disrupted no more than survive allows."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
import yaml

from optimizer.deployment.pods import HOSTNAME
from optimizer.facts.errors import ProblemError
from optimizer.results.placement import GpuPlace, PlacedInstance, Placement
from tests.deploy.cases import CASES, files_of, placed, problem, strategy

kubernetes_validate = pytest.importorskip("kubernetes_validate")
jsonschema = pytest.importorskip("jsonschema")

LWS = yaml.safe_load((Path(__file__).parent / "data" / "leaderworkerset.yaml").read_text())


def _documents(case: str, engine: str = "vllm", **more: Any) -> list[dict[str, Any]]:
    files, _, _ = files_of(case, engine, "kubernetes", **more)
    return [document for name, text in files.items() if name.endswith(".yaml") for document in yaml.safe_load_all(text)]


def _kind(documents: list[dict[str, Any]], kind: str, part: str = "engine") -> dict[str, Any]:
    (found,) = [
        one
        for one in documents
        if one["kind"] == kind and one["metadata"]["labels"]["app.kubernetes.io/component"] == part
    ]
    return found


@pytest.mark.parametrize(
    ("case", "engine"),
    [*((case, engine) for case in CASES for engine in ("vllm", "sglang")), ("two instances", "trtllm")],
)
def test_manifests_are_valid(case: str, engine: str) -> None:
    documents = _documents(case, engine)
    for document in documents:
        if document["kind"] != "LeaderWorkerSet":
            kubernetes_validate.validate(document, "1.33", strict=True)
            continue
        jsonschema.validate(document, LWS)
        spec = document["spec"]
        template, rollout = spec["leaderWorkerTemplate"], spec["rolloutStrategy"]["rollingUpdateConfiguration"]
        # What its webhook asks beyond the schema (pkg/webhooks/leaderworkerset_webhook.go).
        assert spec["replicas"] >= 0 and template["size"] >= 1 and rollout["maxUnavailable"] >= 1
        for name in ("leaderTemplate", "workerTemplate"):
            pods = {"apiVersion": "v1", "kind": "PodTemplate", "metadata": {"name": "x"}, "template": template[name]}
            kubernetes_validate.validate(pods, "1.33", strict=True)
    names = [(one["kind"], one["metadata"]["name"]) for one in documents]
    assert len(names) == len(set(names))
    # A LeaderWorkerSet makes a headless Service of its own name.
    services = {name for kind, name in names if kind == "Service"}
    assert not services & {name for kind, name in names if kind == "LeaderWorkerSet"}


@pytest.mark.parametrize(
    ("path", "value"),
    [
        ("spec.leaderWorkerTemplate.size", "2"),
        ("spec.leaderWorkerTemplate.restartPolicy", "Never"),
        ("spec.startupPolicy", "Later"),
        ("spec.rolloutStrategy.rollingUpdateConfiguration.maxUnavailble", 1),
    ],
)
def test_the_schema_of_groups_refuses(path: str, value: object) -> None:
    (document,) = [one for one in _documents("stages on two nodes") if one["kind"] == "LeaderWorkerSet"]
    *parents, last = path.split(".")
    inner = document
    for name in parents:
        inner = inner[name]
    inner[last] = value
    with pytest.raises(jsonschema.ValidationError):
        jsonschema.validate(document, LWS)


@pytest.mark.parametrize("case", CASES)
def test_selectors_find_their_pods(case: str) -> None:
    documents = _documents(case)
    pods = []
    for one in documents:
        template = one.get("spec", {}).get("leaderWorkerTemplate")
        if template:
            index = "leaderworkerset.sigs.k8s.io/worker-index"
            pods.append(template["leaderTemplate"]["metadata"]["labels"] | {index: "0"})
            pods.append(template["workerTemplate"]["metadata"]["labels"] | {index: "1"})
        elif one["kind"] == "Deployment":
            pods.append(one["spec"]["template"]["metadata"]["labels"])
            assert one["spec"]["selector"]["matchLabels"].items() <= pods[-1].items()
    for one in documents:
        if one["kind"] == "Service":
            selected = [labels for labels in pods if one["spec"]["selector"].items() <= labels.items()]
            assert len(selected) == 1, one["metadata"]["name"]
        if one["kind"] == "PodDisruptionBudget":
            part = one["metadata"]["labels"]["app.kubernetes.io/component"]
            selected = [labels for labels in pods if one["spec"]["selector"]["matchLabels"].items() <= labels.items()]
            assert selected == [labels for labels in pods if labels["app.kubernetes.io/component"] == part]


@pytest.mark.parametrize(
    ("case", "survive", "may_be_evicted"),
    [
        ("one instance", {}, 0),
        ("two instances", {}, 0),
        ("two instances", {"gpu": 1}, 1),
        ("many nodes, spread", {"gpu": 1}, 1),
        ("many nodes, spread", {"node": 1}, 2),
        ("many nodes, spread", {"node": 2}, 3),
        ("stages on two nodes", {"gpu": 1}, 1),
        ("stages on two nodes", {"node": 1}, 1),
        ("stages on two nodes", {"node": 2}, 2),
    ],
)
def test_evictions_keep_what_survive_promised(case: str, survive: dict[str, int], may_be_evicted: int) -> None:
    documents = _documents(case, survive=survive)
    pods = 0
    for one in documents:
        if one["kind"] == "LeaderWorkerSet":
            pods += one["spec"]["replicas"] * one["spec"]["leaderWorkerTemplate"]["size"]
        if one["kind"] == "Deployment" and one["metadata"]["labels"]["app.kubernetes.io/component"] == "engine":
            pods += one["spec"]["replicas"]
    assert _kind(documents, "PodDisruptionBudget")["spec"]["minAvailable"] == pods - may_be_evicted


def _allows(spec: dict[str, Any], counts: list[int], node: int) -> bool:
    """Whether the scheduler's hard rules allow one more pod on a node; ``counts`` are pods of the group per node."""
    for term in (
        spec.get("affinity", {}).get("podAntiAffinity", {}).get("requiredDuringSchedulingIgnoredDuringExecution", [])
    ):
        if term["topologyKey"] == HOSTNAME and counts[node]:
            return False
    for rule in spec["topologySpreadConstraints"]:
        if rule["topologyKey"] == HOSTNAME and rule["whenUnsatisfiable"] == "DoNotSchedule":
            after = [count + (index == node) for index, count in enumerate(counts)]
            if after[node] - min(after) > rule["maxSkew"]:
                return False
    return True


@pytest.mark.parametrize("case", ["two instances", "many nodes, spread", "experts in each replica", "one instance"])
def test_wherever_the_scheduler_puts_pods_no_node_holds_more_than_planned(case: str) -> None:
    import itertools

    _, nodes, decisions = CASES[case]
    stated = problem(CASES[case][0], nodes)
    spec = _kind(_documents(case), "Deployment")["spec"]
    pods, per_pod = spec["replicas"], decisions["tp"] * decisions["pp"]
    planned = -(-pods // nodes)
    reached = 0
    for order in itertools.product(range(nodes), repeat=pods):
        counts = [0] * nodes
        for node in order:
            if (counts[node] + 1) * per_pod > stated.hardware.gpus_per_node:
                break
            if not _allows(spec["template"]["spec"], counts, node):
                break
            counts[node] += 1
        else:
            reached += 1
            assert max(counts) <= planned
    assert reached, "the rules leave no place for all pods"


def test_workers_have_no_probes_and_join_their_leader() -> None:
    template = _kind(_documents("stages on two nodes"), "LeaderWorkerSet")["spec"]["leaderWorkerTemplate"]
    leader, worker = (template[name]["spec"]["containers"][0] for name in ("leaderTemplate", "workerTemplate"))
    assert {"startupProbe", "readinessProbe", "livenessProbe"} <= set(leader)
    assert not {"startupProbe", "readinessProbe", "livenessProbe"} & set(worker)
    assert leader["command"][leader["command"].index("--node-rank") + 1] == "0"
    assert worker["command"][worker["command"].index("--node-rank") + 1] == "$(LWS_WORKER_INDEX)"
    for one in (leader, worker):
        assert one["command"][one["command"].index("--master-addr") + 1] == "$(LWS_LEADER_ADDRESS)"
        assert {"name": "shared-memory", "mountPath": "/dev/shm"} in one["volumeMounts"]


def test_a_single_instance_needs_no_router() -> None:
    files, _, _ = files_of("one instance", "vllm", "kubernetes")
    assert set(files) == {"engines.yaml", "README.md"}
    service = _kind(_documents("one instance"), "Service")
    assert "clusterIP" not in service["spec"]


def _asked(workload: dict[str, Any]) -> dict[str, list[str]]:
    """Labels that a workload's pods ask of their nodes."""
    affinity = workload["spec"]["template"]["spec"]["affinity"]["nodeAffinity"]
    (term,) = affinity["requiredDuringSchedulingIgnoredDuringExecution"]["nodeSelectorTerms"]
    return {one["key"]: one["values"] for one in term["matchExpressions"]}


def _two_pools(**options: Any) -> dict[str, str]:
    from optimizer.deployment import launch_files
    from optimizer.deployment.options import resolve_options, with_hosts

    fast, slow = problem("llama3-70b", 1), problem("llama3-70b", 2, gpu="a100-sxm-80gb")
    first, second = strategy(fast, 4, 1, 2, n=40), strategy(slow, 8, 1, 2, n=16)
    instances = [
        PlacedInstance(f"fast-{i}", 0, first, 1, 0.35, tuple(GpuPlace("h100-0", 4 * i + g) for g in range(4)))
        for i in range(2)
    ]
    instances += [
        PlacedInstance(f"slow-{i}", 1, second, 1, 0.15, tuple(GpuPlace(f"a100-{i}", g) for g in range(8)))
        for i in range(2)
    ]
    placement = Placement(tuple(instances))
    chosen = with_hosts(
        resolve_options(fast.model, "vllm", options.pop("target")), options.pop("hosts", None), placement.nodes
    )
    return launch_files(placed([[fast], [slow]], placement, may_lose=1, name="two pools"), chosen, "two pools")


def test_pools_keep_their_own_strategies_shares_and_nodes() -> None:
    # Without hosts, the label of the GPU keeps each pool to its nodes.
    files = _two_pools(target="kubernetes")
    engines = [one for one in yaml.safe_load_all(files["engines.yaml"]) if one["kind"] == "Deployment"]
    assert [_asked(one) for one in engines] == [
        {"nvidia.com/gpu.product": ["NVIDIA-H100-80GB-HBM3"]},
        {"nvidia.com/gpu.product": ["NVIDIA-A100-SXM4-80GB"]},
    ]
    files = _two_pools(target="kubernetes", hosts="h100-0=gpu-a,a100-0=gpu-b,a100-1=gpu-c")
    engines = [one for one in yaml.safe_load_all(files["engines.yaml"]) if one["kind"] == "Deployment"]
    assert [one["spec"]["replicas"] for one in engines] == [2, 2]
    hosts, sequences = [], []
    for one in engines:
        pod = one["spec"]["template"]["spec"]
        hosts.append(_asked(one)[HOSTNAME])
        words = pod["containers"][0]["command"]
        sequences.append(words[words.index("--max-num-seqs") + 1])
    assert hosts == [["gpu-a"], ["gpu-b", "gpu-c"]]
    assert sequences == ["40", "16"]
    # Each address of a group stands for one instance: 2 x 7 and 2 x 3 of 20.
    assert "-0-engines:8000 7\n" in files["router.yaml"] and "-1-engines:8000 3'" in files["router.yaml"]
    shell = _two_pools(target="shell")
    assert set(shell) >= {"start-h100-0.sh", "start-a100-0.sh", "start-a100-1.sh", "router.conf"}
    assert "a100-1:8001 3" in shell["start-router.sh"]


def test_hosts_are_checked() -> None:
    for hosts, said in (
        ("gpu-a", "names 1 hosts, the strategy uses 3 nodes"),
        ("h100-0=a,a100-0=b", "a100-1 left out"),
        ("h100-0=a,a100-0=b,a100-2=d", "a100-1 left out"),
        ("a,b,b", "names a host twice"),
        ("a,b,C_", "'C_' is not a host name"),
        ("a,b,", "is not a host name"),
    ):
        with pytest.raises(ProblemError, match=said):
            _two_pools(target="shell", hosts=hosts)
    for more in ("h100-0=a,a100-0=b,a100-1=c,a100-2=d", "a,b,c,d"):
        assert "start-c.sh" in _two_pools(target="shell", hosts=more)
