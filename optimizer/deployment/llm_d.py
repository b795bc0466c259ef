"""llm-d: a LeaderWorkerSet for each pool with the labels that its router tells pods by, and the sidecar of decode pods.

As in ``guides/pd-disaggregation`` of llm-d 0.9.0. Versions and sources: ``docs/deploy.md``, section 10.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from optimizer.deployment.kubernetes import (
    budgets,
    engine_manifests,
    group,
    groups_of,
    labels_of,
    name_of,
    refuse_pods,
)
from optimizer.deployment.names import service_name
from optimizer.deployment.options import SERVICE_PORT
from optimizer.deployment.pods import weights_claim
from optimizer.deployment.service import BEHIND_SIDECAR, Engine, Service
from optimizer.writing.yaml_text import yaml_text

VERSION, ROUTER_VERSION = "0.9.0", "v0.10.0"
"""Of llm-d, and of its router's chart and sidecar in that release."""
SIDECAR = f"ghcr.io/llm-d/llm-d-router-disagg-sidecar:{ROUTER_VERSION}"
CONNECTORS = {"vllm": "nixlv2", "sglang": "sglang"}
"""How the sidecar hands a request from prefill to decode: ``--kv-connector``."""
KEEP_ALIVE_S = 120
"""vLLM closes idle connections after 5 s, and the sidecar's are kept for 90: requests on a closed one would break."""
SELECTED = {"llm-d.ai/guide": "pd-disaggregation"}
"""What the guide's values of the router select pods by."""
SELECTED_JOINT = {"llm-d.ai/guide": "optimized-baseline"}
"""The same of the guide for instances that do both."""
MODEL = "llm-d.ai/model"
SERVES = "llm-d.ai/inference-serving"
ENGINE = "llm-d.ai/engine-type"
"""Tells the router which names an engine's metrics have; left out, it looks for vLLM's."""
GATEWAY = "llm-d-inference-gateway"
"""What the guides call the cluster's Gateway."""


def llm_d_files(service: Service) -> dict[str, str]:
    """File names and contents.

    Raises:
        ProblemError: pods cannot be told apart, or an instance has unequal parts.
    """
    groups = groups_of(service)
    refuse_pods(service, groups)
    app = service_name(service.name)
    claim = f"{app}-weights"
    documents = [weights_claim(service, claim, labels_of(app, "weights"))]
    for number, engines in enumerate(groups):
        (workload,) = group(service, app, name_of(app, groups, number), engines, claim)
        documents.append(_led(service, app, engines[0], workload))
    documents += budgets(service, app)
    title = f"{service.title}; for llm-d {VERSION}"
    values = {"router": {"modelServers": {"matchLabels": _selected(app)}}}
    return {
        "modelservers.yaml": yaml_text(*documents, title=title),
        "router.values.yaml": yaml_text(values, title=f"{title}, beside the values of its guide pd-disaggregation"),
    }


def llm_d_joint_files(service: Service) -> dict[str, str]:
    """File names and contents of joint instances, which are pods of any kind to its router, as in ``guides/optimized-baseline``.

    Raises:
        ProblemError: pods cannot be told apart, or an instance has unequal or unlike parts.
    """
    selected = {**SELECTED_JOINT, MODEL: service_name(service.name)}
    documents = [one for one in engine_manifests(service) if one["kind"] != "Service"]
    for one in documents:
        template = one["spec"].get("template") or one["spec"].get("leaderWorkerTemplate")
        if template is not None:
            pod = template.get("leaderTemplate") or template.get("workerTemplate") or template
            pod["metadata"]["labels"] = {**pod["metadata"]["labels"], **selected, **_served(service)}
    title = f"{service.title}; for llm-d {VERSION}"
    values = {"router": {"modelServers": {"matchLabels": selected}}}
    return {
        "modelservers.yaml": yaml_text(*documents, title=title),
        "router.values.yaml": yaml_text(values, title=f"{title}, beside the values of its guide optimized-baseline"),
    }


def weighted_route(name: str, namespace: str, pools: Sequence[tuple[str, int]]) -> dict[str, Any]:
    """An HTTPRoute that deals requests between InferencePools by weight.

    A Gateway that runs one endpoint picker for the whole rule runs that of the last (istio/istio issue 61594).

    Args:
        pools: (InferencePool, weight), that of prefill and decode last: its requests need its picker, and others are dealt in turn.
    """
    known = [
        {"group": "inference.networking.k8s.io", "kind": "InferencePool", "name": pool, "weight": weight}
        for pool, weight in pools
    ]
    return {
        "apiVersion": "gateway.networking.k8s.io/v1",
        "kind": "HTTPRoute",
        "metadata": {"name": name, "namespace": namespace},
        "spec": {
            "parentRefs": [{"group": "gateway.networking.k8s.io", "kind": "Gateway", "name": GATEWAY}],
            "rules": [{"matches": [{"path": {"type": "PathPrefix", "value": "/"}}], "backendRefs": known}],
        },
    }


def route_start(namespace: str, releases: Sequence[tuple[str, str, str]]) -> list[str]:
    """Lines of the README: what the cluster needs, and the commands, where a Gateway deals requests between several InferencePools.

    Args:
        releases: (name of the InferencePool, its guide, its folder).
    """
    lines = [
        f"These manifests follow llm-d {VERSION} with a Gateway (its guides say how to set one up, named {GATEWAY}): Istio, for example. "
        "A Gateway that knows no weights of InferencePools deals no such shares (Envoy AI Gateway 1.0, kgateway 2.0). Set PROVIDER to what "
        "the guides call yours. The cluster needs the CRDs of the Gateway API Inference Extension and LeaderWorkerSet too.",
        "",
        "```bash",
        f"git clone --depth 1 --branch v{VERSION} https://github.com/llm-d/llm-d.git",
    ]
    for name, guide, folder in releases:
        lines += [
            f"helm install {name} oci://ghcr.io/llm-d/charts/llm-d-router-gateway --version {ROUTER_VERSION} -n {namespace} \\",
            '  --set provider.name="$PROVIDER" -f llm-d/guides/recipes/router/base.values.yaml \\',
            f"  -f llm-d/guides/{guide}/router/{guide}.values.yaml -f {folder}/router.values.yaml",
        ]
    return [
        *lines,
        f"kubectl create secret generic huggingface -n {namespace} --from-literal=token=YOUR_TOKEN  # gated or private models",
        f"kubectl apply {' '.join(f'-f {folder}/modelservers.yaml' for _, _, folder in releases)} -f route.yaml",
        "```",
        "",
        "The guides' values prefer an instance that has a prompt's beginning in its cache; the answer counts on no such thing.",
    ]


def _served(service: Service) -> dict[str, str]:
    """Labels of every pod that serves."""
    return {SERVES: "true", ENGINE: service.options.engine}


def _selected(app: str) -> dict[str, str]:
    return {**SELECTED, MODEL: app}


def _led(service: Service, app: str, engine: Engine, workload: dict[str, Any]) -> dict[str, Any]:
    """The workload with what makes its leaders, which serve, known to the router."""
    template = workload["spec"]["leaderWorkerTemplate"]
    leader = template["leaderTemplate" if "leaderTemplate" in template else "workerTemplate"]
    named = {**_selected(app), **_served(service), "llm-d.ai/role": engine.role}
    leader["metadata"]["labels"] = {**leader["metadata"]["labels"], **named}
    container = leader["spec"]["containers"][0]
    if service.options.engine == "vllm":
        container["env"].append({"name": "VLLM_HTTP_TIMEOUT_KEEP_ALIVE", "value": str(KEEP_ALIVE_S)})
    if engine.role == "decode":
        leader["spec"]["initContainers"] = [_sidecar(service)]
    return workload


def _sidecar(service: Service) -> dict[str, Any]:
    """The container that takes a decode pod's requests, asks the prefill instance that the router chose, then the engine beside it."""
    found: dict[str, Any] = {
        "name": "routing-proxy",
        "image": SIDECAR,
        "args": [
            f"--port={SERVICE_PORT}",
            f"--model-server-port={BEHIND_SIDECAR}",
            f"--kv-connector={CONNECTORS[service.options.engine]}",
            "--secure-proxy=false",
        ],
        "ports": [{"name": "sidecar", "containerPort": SERVICE_PORT}],
        # An init container that goes on runs beside the others (Kubernetes, "Sidecar Containers").
        "restartPolicy": "Always",
        "securityContext": {"allowPrivilegeEscalation": False, "runAsNonRoot": True},
    }
    bootstrap = service.of_role("prefill")[0].bootstrap
    if bootstrap is not None:
        found["env"] = [{"name": "SGLANG_BOOTSTRAP_PORT", "value": str(bootstrap)}]
    return found


def start(service: Service) -> list[str]:
    """Lines of the README: what the cluster needs, and the commands."""
    app, namespace = service_name(service.name), service.options.namespace
    guide = "llm-d/guides"
    return [
        f"These manifests follow llm-d {VERSION} (its guide pd-disaggregation); the cluster needs the CRDs of the Gateway API Inference "
        "Extension and LeaderWorkerSet, as that guide says. The router is llm-d's own chart with the guide's values.",
        "",
        "```bash",
        f"git clone --depth 1 --branch v{VERSION} https://github.com/llm-d/llm-d.git",
        f"helm install {app} oci://ghcr.io/llm-d/charts/llm-d-router-standalone --version {ROUTER_VERSION} -n {namespace} \\",
        f"  -f {guide}/recipes/router/base.values.yaml \\",
        f"  -f {guide}/pd-disaggregation/router/pd-disaggregation.values.yaml -f router.values.yaml",
        f"kubectl create secret generic huggingface -n {namespace} --from-literal=token=YOUR_TOKEN  # gated or private models",
        "kubectl apply -f modelservers.yaml",
        "```",
        "",
        "The guide's values prefer a prefill instance that has a prompt's beginning in its cache; the answer counts on no such thing.",
    ]
