"""NVIDIA Dynamo: a DynamoGraphDeployment with a frontend and a component for each part of a pool.

As the templates in ``dynamo/profiler/templates/dgd`` of the released ai-dynamo 1.6.1 package. Components of one type are one pool: a worker
registers by its mode, whatever its component is called. Versions and sources: ``docs/deploy.md``, section 10.
"""

from __future__ import annotations

from math import ceil
from typing import Any

from optimizer.deployment.command import Command
from optimizer.deployment.kubernetes import GROUP, ROLE, budgets, groups_of, labels_of, name_of, refuse_pods
from optimizer.deployment.limits import STOP_S, start_limit_s
from optimizer.deployment.names import service_name
from optimizer.deployment.options import SERVICE_PORT
from optimizer.deployment.platforms import CACHE, NVIDIA
from optimizer.deployment.pods import PROBED_S, placed_where, weights_claim, weights_path
from optimizer.deployment.service import Engine, Service
from optimizer.facts.errors import ProblemError
from optimizer.writing.quoting import kubernetes_word
from optimizer.writing.yaml_text import yaml_text

VERSION = "1.6.1"
BUNDLED = {"vllm": "0.31.0", "sglang": "0.5.21"}
"""The engine in its image: the requirements of the released package."""
SECRET = "hf-token-secret"
WEIGHTS = "/weights"
"""Where the hub's cache is mounted: the user of Dynamo's images is not root."""
OWN = {"vllm": {"--host": 1, "--port": 1, "--headless": 0}, "sglang": {"--port": 1}}
"""Flags of the engine's own server, whose place Dynamo's takes → words after them. Where SGLang's ``--host`` says, prefill instances answer
decode instances too (``managers/disagg_service.py``): left out, no other pod reaches them."""
START_S, SYSTEM_PORT = 7200, 9090
"""How long the operator's own start-up probe waits for a worker, s, and where it asks:
https://docs.nvidia.com/dynamo/dev/kubernetes/operations/health-probes."""
LENGTH = {"vllm": "--max-model-len", "sglang": "--context-length"}
"""The longest sequence. Dynamo's frontend takes a worker into a pool only where this is that of the first one that it saw."""
JOINED = {
    "--nnodes": 1, "--node-rank": 1, "--master-addr": 1, "--master-port": 1, "--dist-init-addr": 1, "--data-parallel-rpc-port": 1,
}  # fmt: skip
"""Flags that join the nodes of an instance, which Dynamo's operator adds itself."""


def dynamo_files(service: Service) -> dict[str, str]:
    """File names and contents.

    Raises:
        ProblemError: the GPUs are not NVIDIA's, pods cannot be told apart, or an instance has unequal parts.
    """
    if any(service.platform(engine) is not NVIDIA for engine in service.engines):
        raise ProblemError("--target", "dynamo: its images are for NVIDIA GPUs; --target kubernetes takes others")
    groups = groups_of(service)
    refuse_pods(service, groups)
    _refuse_lengths(service)
    app, namespace = service_name(service.name), service.options.namespace
    claim = f"{app}-weights"
    graph = {
        "apiVersion": "nvidia.com/v1beta1",
        "kind": "DynamoGraphDeployment",
        "metadata": {"name": app, "namespace": namespace, "labels": labels_of(app, "engine")},
        "spec": {
            "backendFramework": service.options.engine,
            "components": [
                _frontend(service),
                *(_workers(service, app, number, groups, claim) for number in range(len(groups))),
            ],
        },
    }
    documents = [weights_claim(service, claim, labels_of(app, "weights")), graph, *budgets(service, app)]
    return {"dynamo.yaml": yaml_text(*documents, title=f"{service.title}; for Dynamo {VERSION}")}


def image(service: Service) -> str:
    """The image of frontend and workers: as stated, else Dynamo's own for the engine."""
    return service.options.image or f"nvcr.io/nvidia/ai-dynamo/{service.options.engine}-runtime:{VERSION}"


def _frontend(service: Service) -> dict[str, Any]:
    container = {
        "name": "main",
        "image": image(service),
        "command": ["python3", "-m", "dynamo.frontend"],
        "args": ["--http-port", str(SERVICE_PORT), "--router-mode", "round-robin"],
        "envFrom": [{"secretRef": {"name": SECRET, "optional": True}}],
    }
    return {
        "name": "Frontend",
        "type": "frontend",
        "replicas": service.router_count,
        "podTemplate": {"spec": {"containers": [container]}},
    }


def _refuse_lengths(service: Service) -> None:
    """Stop where the frontend would leave a part of a pool out."""
    flag = LENGTH[service.options.engine]
    for role in service.roles:
        lengths = list(dict.fromkeys(str(engine.commands[0].value(flag)) for engine in service.of_role(role)))
        if len(lengths) > 1:
            raise ProblemError(
                "requirements.max_sequence_tokens",
                f"parts of the {role} pool serve sequences of {' and '.join(lengths)} tokens, and Dynamo's frontend takes workers of one "
                "length alone into a pool; state the length, or use --target llm-d or kubernetes",
            )


def _workers(service: Service, app: str, number: int, groups: list[list[Engine]], claim: str) -> dict[str, Any]:
    """The component of a part of a pool; its labels are its own, so that parts spread each by itself."""
    engines, name = groups[number], name_of(app, groups, number)
    first, nodes = engines[0], len(engines[0].launch.parts)
    gpus = len(first.commands[0].gpus)
    path = WEIGHTS if weights_path(service) == CACHE else weights_path(service)
    labels = {**labels_of(app, "engine"), GROUP: name, ROLE: first.role}
    container = {
        "name": "main",
        "image": image(service),
        "command": ["python3", "-m", f"dynamo.{service.options.engine}"],
        "args": [kubernetes_word(word) for word in words(first.commands[0], first.role)],
        "env": [{"name": "HF_HOME", "value": WEIGHTS}] if path == WEIGHTS else [],
        "envFrom": [{"secretRef": {"name": SECRET, "optional": True}}],
        "resources": {"limits": {NVIDIA.resource: str(gpus)}},
        "volumeMounts": [{"name": "weights", "mountPath": path}],
        **_longer_start(service, first),
    }
    volumes = [{"name": "weights", "persistentVolumeClaim": {"claimName": claim}}]
    tolerations = [{"key": NVIDIA.resource, "operator": "Exists", "effect": "NoSchedule"}]
    return {
        "name": name.removeprefix(f"{app}-"),
        "type": first.role,
        "replicas": len(engines),
        **({"multinode": {"nodeCount": nodes}} if nodes > 1 else {}),
        "podTemplate": {
            "metadata": {"labels": labels},
            "spec": {
                "containers": [container],
                "volumes": volumes,
                "terminationGracePeriodSeconds": STOP_S + 20,
                "tolerations": tolerations,
                **placed_where(service, engines, labels),
            },
        },
    }


def _longer_start(service: Service, engine: Engine) -> dict[str, Any]:
    """A start-up probe where the operator's own gives the weights less time than they may take."""
    limit = start_limit_s(service.weight_bytes(engine))
    if limit <= START_S:
        return {}
    ask = {"httpGet": {"path": "/live", "port": SYSTEM_PORT}, "periodSeconds": PROBED_S, "timeoutSeconds": 5}
    return {"startupProbe": {**ask, "failureThreshold": ceil(limit / PROBED_S)}}


def words(command: Command, role: str) -> list[str]:
    """The arguments of Dynamo's worker: the engine's own, without its server's and those that join nodes."""
    arguments = list(command.arguments)
    if arguments[:2] == ["vllm", "serve"]:
        arguments = ["--model", arguments[2], *arguments[3:], "--disaggregation-mode", role]
        left_out = OWN["vllm"] | JOINED
    else:
        arguments = arguments[3:]
        left_out = OWN["sglang"] | JOINED
    found, skip = [], 0
    for word in arguments:
        if skip:
            skip -= 1
        elif word in left_out:
            skip = left_out[word]
        else:
            found.append(word)
    return found


def start(service: Service) -> list[str]:
    """Lines of the README: what the cluster needs, and the commands."""
    engine, namespace = service.options.engine, service.options.namespace
    return [
        f"The cluster needs the Dynamo platform {VERSION} (its operator, and Grove or LeaderWorkerSet where an instance spans nodes). "
        f"Its image holds {engine} {BUNDLED[engine]}; the flags were checked against {engine} {service.options.version}, so look at the "
        "workers' first lines.",
        "",
        "```bash",
        f"kubectl create secret generic {SECRET} -n {namespace} --from-literal=HF_TOKEN=YOUR_TOKEN  # gated or private models",
        "kubectl apply -f dynamo.yaml",
        "```",
        "",
        f"Requests go to port {SERVICE_PORT} of the Service of the frontend, which the operator makes.",
    ]
